package io.terminus.lockmgr.lock;

import java.util.List;

/** A lock held or waited for, as it is shown to people and programs that look on. */
public sealed interface ClaimView {

    long id();

    String volume();

    long start();

    long end();

    Mode mode();

    String sessionId();

    String owner();

    long requestId();

    /** {@code delayed}: held by nobody any more, the volume's lock delay runs. */
    record LockView(
            long id,
            String volume,
            long requestedStart,
            long requestedEnd,
            long start,
            long end,
            Mode mode,
            long token,
            String sessionId,
            String owner,
            long requestId,
            boolean revoked,
            boolean recalled,
            boolean delayed)
            implements ClaimView {}

    /**
     * {@code convertsLockId}: the lock a waiting conversion would change; 0 for an acquire. {@code blockedBy}: ids of locks
     * and waiters in the way, the first 16 at most.
     */
    record WaiterView(
            long id,
            String volume,
            long start,
            long end,
            Mode mode,
            String sessionId,
            String owner,
            long requestId,
            boolean standby,
            long convertsLockId,
            List<Long> blockedBy)
            implements ClaimView {}
}
