package io.terminus.lockmgr.lock;

/**
 * What happened to a lock or waiter of a watched volume, for those who look on. In the order in which it happened.
 *
 * @param claim the lock or waiter as it is after the event, or was when it left; for VALUE_PUT the lock that was shown
 * @param why a sentence for people; empty where the kind says all
 */
public record LockEvent(Kind kind, ClaimView claim, String why, long valueVersion) {

    public enum Kind {
        GRANTED,
        CHANGED,
        RELEASED,
        EXPIRED,
        REVOKED,
        WAITING,
        GAVE_UP,
        RECALLED,
        VALUE_PUT
    }
}
