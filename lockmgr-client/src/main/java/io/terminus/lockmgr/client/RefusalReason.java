package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Reason;

/** Why a request was not granted or not done: the lock manager's reasons, then the library's own. */
public enum RefusalReason {
    INVALID_RANGE,
    INVALID_MODE,
    INVALID_NAME,
    INVALID_ARGUMENT,
    /** The lock manager does not know the session any more; all its locks are gone. */
    UNKNOWN_SESSION,
    UNKNOWN_LOCK,
    UNKNOWN_REQUEST,
    /** Tried once, somebody is in the way. */
    WOULD_BLOCK,
    /** The wait ended before the grant. */
    DEADLINE,
    CANCELLED,
    /** The newest request of a circle of waiters; the message names the circle. */
    DEADLOCK,
    VERSION_MISMATCH,
    NOT_HOLDER,
    LIMIT_EXCEEDED,
    /** The lock manager started after a possible loss of memory and waits for old leases to end. Ask again. */
    RECOVERING,
    /** The lock manager's store failed: whether it was done is not known. */
    UNKNOWN_OUTCOME,

    /** The library's own: the grant was taken back before it reached its caller. */
    REVOKED,
    /** The library's own: {@link LockClient.Config#maxInFlight()} requests are in flight. Nothing was sent. */
    TOO_MANY_IN_FLIGHT,
    /** The library's own: the client is closed. */
    CLOSED;

    static RefusalReason of(Reason wire) {
        return switch (wire) {
            case INVALID_RANGE -> INVALID_RANGE;
            case INVALID_MODE -> INVALID_MODE;
            case INVALID_NAME -> INVALID_NAME;
            case INVALID_ARGUMENT -> INVALID_ARGUMENT;
            case UNKNOWN_SESSION -> UNKNOWN_SESSION;
            case UNKNOWN_LOCK -> UNKNOWN_LOCK;
            case UNKNOWN_REQUEST -> UNKNOWN_REQUEST;
            case WOULD_BLOCK -> WOULD_BLOCK;
            case DEADLINE -> DEADLINE;
            case CANCELLED -> CANCELLED;
            case DEADLOCK -> DEADLOCK;
            case VERSION_MISMATCH -> VERSION_MISMATCH;
            case NOT_HOLDER -> NOT_HOLDER;
            case LIMIT_EXCEEDED -> LIMIT_EXCEEDED;
            case RECOVERING -> RECOVERING;
            // A reason of a newer lock manager: nothing may be concluded from it.
            case UNKNOWN_OUTCOME, REASON_UNSPECIFIED, UNRECOGNIZED -> UNKNOWN_OUTCOME;
        };
    }
}
