package io.terminus.lockmgr.lock;

/**
 * What a command changed that must outlive the process. All changes of one command are one decision: the store appends
 * them as one checksummed record, before any {@link Notice} of that command leaves.
 *
 * <p>Waiters are not here: clients send them again after a restart. Neither are renewals: a restart gives every session
 * one full ttl.
 */
public sealed interface Change {

    /** True where the answer must wait for fsync, so that power loss cannot take the change back. */
    default boolean mustBeSynced() {
        return false;
    }

    record SessionOpened(String sessionId, String owner, long ttlNanos) implements Change {}

    record SessionClosed(String sessionId) implements Change {}

    /** A new volume, or new settings of one (same uuid). */
    record VolumePut(String volume, String uuid, long lockDelayNanos) implements Change {}

    /** Nobody uses it, and it has neither a value block nor settings. */
    record VolumeGone(String volume) implements Change {}

    /**
     * A new grant, or a changed one (same id). {@code requestId} is the acquire (or split) that made it,
     * {@code lastRequestId} the newest request that changed it: one that is not newer comes for the second time. Session ""
     * is nobody: the holder vanished and the volume's lock delay runs.
     */
    record LockPut(
            long lockId,
            String sessionId,
            long requestId,
            long lastRequestId,
            String volume,
            long requestedStart,
            long requestedEnd,
            long start,
            long end,
            Mode mode,
            long token,
            boolean revoked)
            implements Change {}

    record LockGone(long lockId) implements Change {}

    /** {@code sessionId} and {@code requestId} say whose put it was, so that a retry of it is answered as done. */
    record ValuePut(String volume, long version, byte[] value, String sessionId, long requestId) implements Change {
        @Override
        public boolean mustBeSynced() {
            return true;
        }
    }
}
