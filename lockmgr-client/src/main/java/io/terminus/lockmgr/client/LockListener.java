package io.terminus.lockmgr.client;

import java.time.Duration;

/**
 * What the lock manager tells a holder unasked. All calls come from the client's one callback thread, in order, the same that completes
 * futures: a slow listener delays other callbacks, never renewals.
 */
public interface LockListener {

    /** Hears nothing: for programs that only look at {@link Grant#believed()}. */
    LockListener NONE = new LockListener() {};

    /**
     * Somebody needs {@code needed} of this lock. The library has already said that the recall was heard: now drain, report with
     * {@link Grant#progress(long)}, and release. After {@code deadline} without progress the lock is taken.
     */
    default void recalled(Grant grant, LockRange needed, Duration deadline) {}

    /**
     * The lock is gone, and {@code grant.believed()} is false already. The lock manager may grant it to others as soon as this
     * returns: stop here what must have stopped by then.
     */
    default void lost(Grant grant, String why) {}

    /** Belief has ended because no renewal was answered in time; the locks may or may not be held. Nothing is believed now. */
    default void jeopardy() {}

    /** The jeopardy is over: what was not reported lost is still held and believed again. */
    default void safe() {}

    /** The session is over: every grant was lost (each was reported). A new session is being opened. */
    default void sessionLost(String why) {}
}
