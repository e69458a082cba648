package io.terminus.lockmgr.lock;

import java.util.List;

/** What a command says to a session. Notices of one session leave in the order in which they came out of the table. */
public sealed interface Notice {

    String sessionId();

    sealed interface Answer extends Notice {
        long requestId();
    }

    record Granted(
            String sessionId,
            long requestId,
            long lockId,
            String volume,
            String volumeUuid,
            long requestedStart,
            long requestedEnd,
            long start,
            long end,
            Mode mode,
            long token)
            implements Answer {}

    /** All locks of an atomic acquire, in the order of its parts; or the two halves of a split lock, the lower one first. */
    record GrantedAll(String sessionId, long requestId, List<Granted> locks) implements Answer {}

    record Done(String sessionId, long requestId) implements Answer {}

    /** A put value block. */
    record ValueStored(String sessionId, long requestId, String volume, String volumeUuid, long version, byte[] value)
            implements Answer {}

    /** {@code message} names the value and the rule. On VERSION_MISMATCH the shell adds the current block. */
    record Refused(String sessionId, long requestId, Reason reason, String message, String volume) implements Answer {}

    /** To shrink to [keepStart, keepEnd) is enough; [0, 0): all of it is wanted back. */
    record Recall(
            String sessionId,
            long lockId,
            long neededStart,
            long neededEnd,
            Mode wanted,
            long deadlineNanos,
            long keepStart,
            long keepEnd)
            implements Notice {}

    record Lost(String sessionId, long lockId, String volume, long start, long end, String why) implements Notice {}

    record RenewalAnswered(String sessionId, long sequence) implements Notice {}

    /** The session is over: its stream is to be closed with this reason. */
    record SessionEnded(String sessionId, String why) implements Notice {}
}
