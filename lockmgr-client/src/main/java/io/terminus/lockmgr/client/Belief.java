package io.terminus.lockmgr.client;

/**
 * Until when the locks of one session may be believed in. Written by the session's owner only, read by any thread.
 *
 * <p>The end moves only forward, until the session is over; then it never holds again. A new session has a new belief.
 */
final class Belief {

    private static final long NEVER = Long.MIN_VALUE;

    private final LeaseClock clock;
    private boolean over;
    private volatile long untilNanos = NEVER;

    Belief(LeaseClock clock) {
        this.clock = clock;
    }

    /**
     * One volatile read and one look at the clock. The clock comes last: a thread that is stopped between the two then finds a later
     * time, never an older one.
     */
    boolean holds() {
        long until = untilNanos;
        return clock.nanos() < until;
    }

    /** The time of the check, or {@link Long#MIN_VALUE}: not held. The clock comes last here as well. */
    long holdsAtNanos() {
        long until = untilNanos;
        long now = clock.nanos();
        return now < until ? now : Long.MIN_VALUE;
    }

    long untilNanos() {
        return untilNanos;
    }

    void extendTo(long nanos) {
        if (!over && nanos > untilNanos) {
            untilNanos = nanos;
        }
    }

    void end() {
        over = true;
        untilNanos = NEVER;
    }
}
