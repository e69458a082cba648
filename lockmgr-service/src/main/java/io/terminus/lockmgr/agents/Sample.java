package io.terminus.lockmgr.agents;

import org.jspecify.annotations.Nullable;

/**
 * One point of the plots of a volume: what happened since the point before. Null: nothing of the kind happened, or nobody
 * told.
 *
 * @param atMillis of the epoch
 * @param writeP50Micros of what clients wrote, as they see it
 * @param lagBytes of the replica that is furthest behind
 */
public record Sample(
        long atMillis,
        @Nullable Double writeP50Micros,
        @Nullable Double writeP99Micros,
        @Nullable Double writesPerSecond,
        @Nullable Double readsPerSecond,
        @Nullable Double writtenBytesPerSecond,
        @Nullable Long lagBytes) {}
