package io.terminus.lockmgr.agents;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A replicated volume: what its value block says, and what its agents say of themselves. Positions and sizes in bytes; -1
 * stands for a figure that nobody tells.
 *
 * @param writer as the value block has it, though nobody may be serving
 * @param copies that an acknowledgement needs; 0: all in sync
 * @param health of the volume as a whole, and {@code why} in words; empty when all is well
 * @param detail what the writer is doing or waiting for
 * @param nbdUri empty when it is served nowhere
 */
public record Replication(
        String uuid,
        long sizeBytes,
        long term,
        String writer,
        String ackLevel,
        int copies,
        int minCopies,
        String failover,
        String standing,
        Health health,
        String why,
        String detail,
        String nbdUri,
        long committed,
        List<Replica> replicas) {

    /** Worst last. */
    public enum Health {
        /** Served, and every replica is in sync. */
        WELL,
        /** Out of use, as an operator wanted it. */
        OUT_OF_USE,
        /** No agent answers. */
        UNKNOWN,
        /** Served, with less than it was made for. */
        DEGRADED,
        /** Clients are not served. */
        DOWN
    }

    /**
     * @param answers does the agent answer; if not, {@code detail} says why not
     * @param role as the agent itself says; empty when it does not answer
     * @param lagBytes of the journal that it has not received; known to the writer only
     */
    public record Replica(
            String agent,
            String control,
            boolean answers,
            String role,
            boolean inSync,
            boolean connected,
            long received,
            long durable,
            long applied,
            long lagBytes,
            long differingBlocks,
            String detail,
            @Nullable Progress copy,
            @Nullable Progress verify) {}

    /** @param remainingSeconds -1: not known */
    public record Progress(
            String phase,
            long doneBytes,
            long totalBytes,
            long bytesPerSecond,
            long remainingSeconds,
            long differingBlocks,
            String detail) {}
}
