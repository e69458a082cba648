package io.terminus.lockmgr.lock;

/**
 * A holder was asked to give a lock back: what of it, for which modes, and by when (the deadline). Each notice names all
 * that is needed by now, so only the newest counts; a recall has one deadline, however many wait.
 *
 * <pre>
 *   lock        |--------------------------------------|
 *   requested              |-------|
 *   needed      |---|                        |----|           the hull of these two is said as needed
 *   keep            |------------------------|                and this as what the holder may keep
 * </pre>
 *
 * <p>Nothing may be kept once anybody needs a byte of what was requested.
 */
final class Recall extends Timed {

    final Held lock;
    final long sinceNanos;
    /** The smallest range around all that is needed, and the modes it is needed for as bits. */
    long neededStart = Long.MAX_VALUE;

    long neededEnd;
    int wantedModes;
    /** What may be kept; [0, 0): nothing. */
    long keepStart;

    long keepEnd;

    Recall(Held lock, long sinceNanos) {
        this.lock = lock;
        this.sinceNanos = sinceNanos;
        keepStart = lock.start;
        keepEnd = lock.end;
    }

    /** Adds a need. Returns whether the holder has to be told all anew: more is needed, or less may be kept. */
    boolean add(Waiter waiter) {
        long start = Math.max(waiter.start, lock.start);
        long end = Math.min(waiter.end, lock.end);
        boolean more = start < neededStart || end > neededEnd;
        neededStart = Math.min(neededStart, start);
        neededEnd = Math.max(neededEnd, end);
        wantedModes |= 1 << waiter.mode.ordinal();
        if (keepEnd != 0) {
            if (end <= lock.requestedStart) {
                more |= end > keepStart;
                keepStart = Math.max(keepStart, end);
            } else if (start >= lock.requestedEnd) {
                more |= start < keepEnd;
                keepEnd = Math.min(keepEnd, start);
            } else {
                more = true;
                keepStart = 0;
                keepEnd = 0;
            }
        }
        return more;
    }

    /** Does this say nothing that the earlier one did not say, but for modes? */
    boolean within(Recall earlier) {
        boolean needsNoMore = neededStart >= earlier.neededStart && neededEnd <= earlier.neededEnd;
        boolean keepsNoLess = earlier.keepEnd == 0
                || keepEnd != 0
                        && keepStart <= Math.max(earlier.keepStart, lock.start)
                        && keepEnd >= Math.min(earlier.keepEnd, lock.end);
        return needsNoMore && keepsNoLess;
    }
}
