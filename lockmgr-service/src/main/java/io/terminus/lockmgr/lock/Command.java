package io.terminus.lockmgr.lock;

import java.util.List;

/**
 * Everything that can happen to a {@link LockTable}. Commands carry raw input: the table checks it and answers with a
 * refusal that names the value and the rule. Durations are nanoseconds.
 */
public sealed interface Command {

    /** Opens a session; {@code sessionId} is chosen by the shell (random), so that the table stays deterministic. */
    record OpenSession(String sessionId, String owner, long ttlNanos) implements Command {}

    /** Ends a session and releases all it holds. An unknown session is already closed. */
    record CloseSession(String sessionId, String why) implements Command {}

    /** A renewal that came in on the session's stream. */
    record Renew(String sessionId, long sequence) implements Command {}

    /**
     * {@code volumeUuid} names the volume should this be its first use. {@code waitNanos}: 0 tries, -1 (standby only) waits
     * for ever. The grant may grow to [desiredStart, desiredEnd), which contains the range, or is [0, 0) for no growth.
     * {@code also}: further parts, granted together with the first or not at all.
     */
    record Acquire(
            String sessionId,
            long requestId,
            String volume,
            String volumeUuid,
            long start,
            long end,
            Mode mode,
            long waitNanos,
            boolean standby,
            long desiredStart,
            long desiredEnd,
            List<Part> also)
            implements Command {

        /** One range, not to be expanded. */
        public Acquire(
                String sessionId,
                long requestId,
                String volume,
                String volumeUuid,
                long start,
                long end,
                Mode mode,
                long waitNanos,
                boolean standby) {
            this(sessionId, requestId, volume, volumeUuid, start, end, mode, waitNanos, standby, 0, 0, List.of());
        }
    }

    /** A further range of an atomic acquire. */
    record Part(String volume, String volumeUuid, long start, long end, Mode mode) {}

    /** Another mode for a lock that is held. */
    record Convert(String sessionId, long requestId, long lockId, Mode mode, long waitNanos) implements Command {}

    /** Gives back what lies outside [start, end). */
    record Shrink(String sessionId, long requestId, long lockId, long start, long end) implements Command {}

    /** Makes two locks of one: below {@code at} and from there on. */
    record Split(String sessionId, long requestId, long lockId, long at) implements Command {}

    /** After a loss of memory: a lock the session still believes in, as it was granted. Only while recovering. */
    record Reassert(
            String sessionId,
            long requestId,
            String volume,
            String volumeUuid,
            long requestedStart,
            long requestedEnd,
            long start,
            long end,
            Mode mode,
            long lockId,
            long token)
            implements Command {}

    /** An operator sets how long ranges of a volume stay closed after a holder vanished; answered to session "". */
    record ConfigureVolume(long requestId, String volume, String volumeUuid, long lockDelayNanos) implements Command {}

    record Cancel(String sessionId, long requestId, long acquireRequestId) implements Command {}

    record Promote(String sessionId, long requestId, long acquireRequestId, long waitNanos) implements Command {}

    record Release(String sessionId, long requestId, long lockId) implements Command {}

    record PutValue(String sessionId, long requestId, String volume, long lockId, long expectedVersion, byte[] value)
            implements Command {}

    /** The client library stopped believing in this lock. */
    record AckLost(String sessionId, long requestId, long lockId) implements Command {}

    /** The holder works on a recall: its deadline moves, up to the hard cap. */
    record Progress(String sessionId, long requestId, long lockId, long progress) implements Command {}

    /** An operator takes a lock from its holder. {@code requestId} is echoed in the answer, to session "". */
    record ForceRelease(long requestId, String volume, long lockId) implements Command {}

    /** Time has passed. Sent at least every 100 ms. */
    record Tick() implements Command {}
}
