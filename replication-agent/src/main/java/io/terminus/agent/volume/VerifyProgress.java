package io.terminus.agent.volume;

import java.util.List;

/**
 * How far the comparison of a replica with the writer's image is, or how it ended.
 *
 * @param comparedBytes the volume up to there
 * @param bytesPerSecond lately; 0 when nothing moves, or nothing is known yet
 * @param repairs what differs is mended
 * @param differingBlocks of 4 KiB, found so far, those that were mended since among them
 * @param mendedBlocks of those, durable at the replica
 * @param differing the first ranges of the volume that differ, neighbours as one
 * @param detail what is waited for, or why it was given up; else empty
 */
public record VerifyProgress(
        Phase phase,
        long comparedBytes,
        long totalBytes,
        long bytesPerSecond,
        boolean repairs,
        long differingBlocks,
        long mendedBlocks,
        List<Range> differing,
        String detail) {

    public enum Phase {
        /** The replica is away, copied to, or behind. */
        WAITING,
        COMPARING,
        /** All was compared; the replica makes durable what was mended. */
        ENDING,
        COMPLETE,
        /** Not all was compared. */
        GIVEN_UP
    }

    /** A part of the volume, in bytes. */
    public record Range(long offset, long lengthBytes) {}

    public VerifyProgress {
        differing = List.copyOf(differing);
    }

    public boolean over() {
        return phase == Phase.COMPLETE || phase == Phase.GIVEN_UP;
    }

    /** Seconds to go at that rate; -1 if nothing moves. */
    public long remainingSeconds() {
        return bytesPerSecond == 0 ? -1 : (totalBytes - comparedBytes + bytesPerSecond - 1) / bytesPerSecond;
    }
}
