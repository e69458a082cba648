package io.terminus.lockmgr.lock;

/** Something that falls due. At most one {@link Deadlines} may know it, and only that one changes its fields. */
abstract sealed class Timed permits Session, Request, Recall, LockDelay {

    /** On the table's own clock; meaningless unless armed. */
    long deadlineNanos;
    /** Who of two with one deadline comes first; it keeps the table deterministic. */
    long armedAs;

    boolean armed;
}
