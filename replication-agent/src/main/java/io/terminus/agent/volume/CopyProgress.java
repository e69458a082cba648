package io.terminus.agent.volume;

/**
 * How far a copy to a replica is.
 *
 * @param copiedBytes of the volume, holes included
 * @param totalBytes what was marked when the copy began, or at most since
 * @param bytesPerSecond lately; 0 when nothing moves, or nothing is known yet
 */
public record CopyProgress(Phase phase, long copiedBytes, long totalBytes, long bytesPerSecond) {

    public enum Phase {
        /** The replica notes that it is incomplete, or the writer applies what the replica has applied already. */
        PREPARING,
        COPYING,
        /** Nothing is missing any more; the replica makes that durable. */
        ENDING
    }

    public long leftBytes() {
        return totalBytes - copiedBytes;
    }

    /** Seconds to go at that rate; -1 if nothing moves. */
    public long remainingSeconds() {
        return bytesPerSecond == 0 ? -1 : (leftBytes() + bytesPerSecond - 1) / bytesPerSecond;
    }
}
