package io.terminus.lockmgr.client;

import java.time.Duration;

/**
 * What the lock manager tells a holder unasked, each thing once. All calls come from the client's one callback thread, in order, the
 * same that completes futures: a slow listener delays other callbacks, never renewals. What concerns a grant of a {@link LockCache} is
 * dealt with there; only its loss is told here as well.
 */
public interface LockListener {

    /** Hears nothing: for programs that only look at {@link Grant#believed()}. */
    LockListener NONE = new LockListener() {};

    /**
     * Somebody needs this lock, or part of it. The library has already said that the recall was heard: now drain, report with
     * {@link Grant#progress(long)}, and release, or, where {@link Recall#keep()} is set, shrink to that. After the deadline without
     * progress the lock is taken.
     */
    default void recalled(Grant grant, Recall recall) {
        recalled(grant, recall.needed(), recall.deadline());
    }

    /** The same in fewer words, for holders that always give back the whole lock. */
    default void recalled(Grant grant, LockRange needed, Duration deadline) {}

    /**
     * The lock is gone, and {@code grant.believed()} is false already. The lock manager may grant it to others as soon as this
     * returns: stop here what must have stopped by then.
     */
    default void lost(Grant grant, String why) {}

    /**
     * Belief has ended because no renewal was answered in time; the locks may or may not be held. Nothing is believed now: of several groups
     * nothing in one of them, here and in {@link #safe} and {@link #sessionLost}.
     */
    default void jeopardy() {}

    /** The jeopardy is over: what was not reported lost is still held and believed again. */
    default void safe() {}

    /** The session is over: every grant was lost (each was reported). A new session is being opened. */
    default void sessionLost(String why) {}

    /**
     * A listener that shrinks by itself when only expansion is in the way, and passes on everything else. For holders that ask
     * {@link Grant#believed(long, long)} as their guard, for the very bytes, behind each use: a use of what was shrunk away is then
     * seen to be no longer covered.
     */
    static LockListener shrinking(LockListener next) {
        return new LockListener() {
            @Override
            public void recalled(Grant grant, Recall recall) {
                LockRange keep = recall.keep();
                if (keep != null && grant.range().contains(keep)) {
                    var unused = grant.shrink(keep);
                } else {
                    next.recalled(grant, recall);
                }
            }

            @Override
            public void lost(Grant grant, String why) {
                next.lost(grant, why);
            }

            @Override
            public void jeopardy() {
                next.jeopardy();
            }

            @Override
            public void safe() {
                next.safe();
            }

            @Override
            public void sessionLost(String why) {
                next.sessionLost(why);
            }
        };
    }
}
