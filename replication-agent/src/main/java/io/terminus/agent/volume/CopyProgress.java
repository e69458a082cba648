package io.terminus.agent.volume;

/**
 * How far a copy to a replica is.
 *
 * @param copiedBytes of the volume, holes included
 * @param totalBytes what was marked when the copy began, or at most since
 * @param bytesPerSecond lately; 0 when nothing moves, or nothing is known yet
 */
public record CopyProgress(long copiedBytes, long totalBytes, long bytesPerSecond) {

    /** Seconds to go at that rate; -1 if nothing moves. */
    public long remainingSeconds() {
        return bytesPerSecond == 0 ? -1 : (totalBytes - copiedBytes + bytesPerSecond - 1) / bytesPerSecond;
    }
}
