package io.terminus.lockmgr.lock;

import java.util.Comparator;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** What falls due, soonest first: a look at the soonest is all a tick costs while nothing is due. */
final class Deadlines<T extends Timed> {

    private final TreeSet<T> byDeadline = new TreeSet<>(
            Comparator.<T>comparingLong(timed -> timed.deadlineNanos).thenComparingLong(timed -> timed.armedAs));

    private long armed;

    /** Sets or moves a deadline. */
    void arm(T timed, long deadlineNanos) {
        disarm(timed);
        timed.deadlineNanos = deadlineNanos;
        timed.armedAs = armed++;
        timed.armed = true;
        byDeadline.add(timed);
    }

    void disarm(T timed) {
        if (timed.armed) {
            byDeadline.remove(timed);
            timed.armed = false;
        }
    }

    /** Takes out the soonest if it is due; null if nothing is. */
    @Nullable
    T pollDue(long nowNanos) {
        if (byDeadline.isEmpty() || byDeadline.first().deadlineNanos > nowNanos) {
            return null;
        }
        T due = byDeadline.removeFirst();
        due.armed = false;
        return due;
    }
}
