package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Mode;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * Somebody needs (part of) a lock.
 *
 * @param needed the part that is in the way
 * @param wanted the mode it is needed in
 * @param keep not null: only what expansion added is in the way, and to {@link Grant#shrink} to this is enough
 * @param deadline without progress by then the lock is taken
 */
public record Recall(
        LockRange needed, LockMode wanted, @Nullable LockRange keep, Duration deadline) {

    static Recall of(io.terminus.proto.lock.v1.Recall wire) {
        // A mode that is not said, or not known here, is taken for the strongest.
        boolean known = wire.getWanted() != Mode.MODE_UNSPECIFIED && wire.getWanted() != Mode.UNRECOGNIZED;
        return new Recall(
                LockRange.of(wire.getNeeded()),
                known ? LockMode.of(wire.getWanted()) : LockMode.EX,
                wire.hasKeep() ? LockRange.of(wire.getKeep()) : null,
                Duration.ofMillis(wire.getDeadlineMillis()));
    }
}
