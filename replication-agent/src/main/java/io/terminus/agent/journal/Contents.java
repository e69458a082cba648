package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.ALIGNMENT;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;

/**
 * What a journal holds: its segments, and how far they are filled, checked, synced and released. The parts of a {@link Journal} share it;
 * each of its fields says who changes it.
 */
final class Contents {

    final JournalSpec spec;
    final int segmentBytes;
    final SegmentStore store;
    final Disk disk;
    final Health health;

    private final int segmentShift;
    private final Condition segmentsChanged;
    private final long maxWaitNanos;

    /** Records below it are published: complete, checked, in order. Capturing, with the lock; or receiving; or cutting, beside neither. */
    volatile long end;

    /** Whoever syncs, one at a time, and cutting. */
    volatile long durable;

    /** With the lock. */
    volatile long oldest;

    /** As {@link #end}. */
    volatile Lineage lineage = Lineage.EMPTY;

    /** What lies before it was never looked at: the checkpoint that this journal was opened from. */
    private volatile long checkedFrom;

    /** Up to here bytes that are not zeros may lie behind the end; only grows until a cut or reset. Guarded by the lock. */
    long touchedEnd;

    /** @param segmentsChanged of the lock, signalled by the store */
    Contents(
            JournalSpec spec,
            SegmentStore store,
            Disk disk,
            Health health,
            Condition segmentsChanged,
            long maxWaitNanos) {
        this.spec = spec;
        this.segmentBytes = spec.segmentBytes();
        this.segmentShift = Integer.numberOfTrailingZeros(segmentBytes);
        this.store = store;
        this.disk = disk;
        this.health = health;
        this.segmentsChanged = segmentsChanged;
        this.maxWaitNanos = maxWaitNanos;
    }

    /** Nothing before {@code position}, and nothing behind it yet. */
    void startAt(long position, Lineage terms) {
        lineage = terms;
        touchedEnd = position;
        durable = position;
        oldest = position;
        checkedFrom = position;
        end = position;
    }

    long checkedFrom() {
        return checkedFrom;
    }

    // ---- where a position lies

    long number(long position) {
        return position >>> segmentShift;
    }

    int at(long position) {
        return (int) position & segmentBytes - 1;
    }

    /** Where the segment of that number begins. */
    long start(long number) {
        return number << segmentShift;
    }

    long segmentEnd(long position) {
        return start(number(position) + 1);
    }

    Segment segment(long position) {
        Segment segment = store.get(number(position));
        if (segment == null) {
            throw new IllegalArgumentException(
                    "position " + position + " of a journal that holds [" + oldest + ", " + end + ")");
        }
        return segment;
    }

    static void requireAligned(long position) {
        if (position < 0 || position % ALIGNMENT != 0) {
            throw new IllegalArgumentException("position " + position + ": records start at multiples of " + ALIGNMENT);
        }
    }

    void requireReadable(long from, long to) {
        if (from < oldest || to > end || from > to) {
            throw new IllegalArgumentException(
                    "[" + from + ", " + to + ") of a journal that holds [" + oldest + ", " + end + ")");
        }
    }

    // ---- segments that are to be there, and on the disk

    /** When a wait for segments that begins now is given up. */
    long deadline() {
        return System.nanoTime() + maxWaitNanos;
    }

    /** Returns when the segments [from, to) are ready. The caller holds the lock, which is given up while waiting. */
    void awaitSegments(long from, long to, long deadline) throws JournalException {
        boolean asked = false;
        boolean interrupted = false;
        try {
            while (!haveSegments(from, to)) {
                health.checkUsable();
                if (!asked) {
                    store.want(to);
                    asked = true;
                }
                IOException refusal = store.refusal();
                if (refusal != null && !(refusal instanceof JournalNoSpaceException)) {
                    throw health.fail("a segment could not be prepared", refusal);
                }
                long waitNanos = deadline - System.nanoTime();
                if (refusal != null && (waitNanos <= 0 || !store.releaseWouldHelp())) {
                    throw new JournalNoSpaceException(String.valueOf(refusal.getMessage()), refusal);
                }
                if (waitNanos <= 0) {
                    throw new JournalNoSpaceException(
                            "all " + spec.maxSegments() + " segments are in use, nothing before " + oldest
                                    + " is released, for " + TimeUnit.NANOSECONDS.toMillis(maxWaitNanos) + " ms");
                }
                try {
                    segmentsChanged.awaitNanos(waitNanos);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private boolean haveSegments(long from, long to) {
        for (long number = from; number < to; number++) {
            if (store.get(number) == null) {
                return false;
            }
        }
        return true;
    }

    /** fdatasync of what lies in [from, to). */
    void force(long from, long to) throws JournalException {
        try {
            for (long position = from; position < to; position = segmentEnd(position)) {
                segment(position).force(disk);
            }
        } catch (IOException e) {
            if (health.closed()) {
                throw new JournalClosedException();
            }
            throw health.fail("fdatasync of the journal failed", e);
        }
    }
}
