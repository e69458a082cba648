package io.terminus.lockmgr.history;

import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * What several clients of one lock manager saw, on one clock, and whether a right lock manager can have shown it to them.
 *
 * <p>Each byte of a volume is a lock of its own with six modes. An acquire takes effect somewhere between its call and its
 * answer, a release between its call and its answer, so the lock was certainly held from the answer of the acquire to the
 * call of the release, or to the last moment at which the holder believed. A history without a refused try is
 * linearizable (Herlihy, Wing: Linearizability, 1990) exactly if no two such certain holds of modes that conflict share a
 * byte and an instant: then each acquire may be said to have happened at its answer, each release at its call. A refused
 * try is right if something that conflicts may have been held or waited for at some instant between its call and its
 * answer. And tokens rise: what was certainly held later has the higher one.
 *
 * <p>Any thread may write; {@link #violations} comes when all have ended.
 */
public final class LockHistory {

    /** A mode of a range that was certainly held from {@code fromNanos} to {@code untilNanos}. */
    public record Hold(String client, LockRange range, LockMode mode, long token, long fromNanos, long untilNanos) {}

    /** A lock that may have been held or waited for from {@code fromNanos} to {@code untilNanos}, at the outside. */
    public record Interest(String client, LockRange range, LockMode mode, long fromNanos, long untilNanos) {}

    /** A try that was refused because somebody was in its way. */
    public record RefusedTry(String client, LockRange range, LockMode mode, long fromNanos, long untilNanos) {}

    private static final int SHOWN = 20;

    private final List<Hold> holds = new ArrayList<>();
    private final List<Interest> interests = new ArrayList<>();
    private final List<RefusedTry> refused = new ArrayList<>();

    public synchronized void add(Hold hold) {
        holds.add(hold);
    }

    public synchronized void add(Interest interest) {
        interests.add(interest);
    }

    public synchronized void add(RefusedTry refusedTry) {
        refused.add(refusedTry);
    }

    public synchronized int holds() {
        return holds.size();
    }

    public synchronized int refusedTries() {
        return refused.size();
    }

    /** What no right lock manager can have shown, in sentences; the first {@value #SHOWN}. */
    public synchronized List<String> violations() {
        List<String> violations = new ArrayList<>();
        findHoldsThatOverlap(violations);
        findTokensThatFall(violations);
        findTriesRefusedForNothing(violations);
        return violations.subList(0, Math.min(SHOWN, violations.size()));
    }

    private void findHoldsThatOverlap(List<String> violations) {
        List<Hold> active = new ArrayList<>();
        for (Hold hold : sorted(Comparator.comparingLong(Hold::fromNanos))) {
            active.removeIf(other -> other.untilNanos <= hold.fromNanos);
            for (Hold other : active) {
                if (conflict(hold.range, hold.mode, other.range, other.mode)) {
                    violations.add(hold + " was held beside " + other);
                }
            }
            active.add(hold);
        }
    }

    private void findTokensThatFall(List<String> violations) {
        List<Hold> byEnd = sorted(Comparator.comparingLong(Hold::untilNanos));
        List<Hold> ended = new ArrayList<>();
        int next = 0;
        for (Hold hold : sorted(Comparator.comparingLong(Hold::fromNanos))) {
            while (next < byEnd.size() && byEnd.get(next).untilNanos <= hold.fromNanos) {
                Hold over = byEnd.get(next++);
                // Only the highest token of a range and mode is of interest.
                ended.removeIf(before ->
                        before.mode == over.mode && contains(over.range, before.range) && before.token <= over.token);
                ended.add(over);
            }
            for (Hold before : ended) {
                if (before.token >= hold.token && conflict(hold.range, hold.mode, before.range, before.mode)) {
                    violations.add(hold + " came after " + before + " with a token that is not higher");
                }
            }
        }
    }

    private void findTriesRefusedForNothing(List<String> violations) {
        for (RefusedTry refusal : refused) {
            boolean reason = false;
            for (Interest interest : interests) {
                reason |= interest.fromNanos < refusal.untilNanos
                        && refusal.fromNanos < interest.untilNanos
                        && conflict(refusal.range, refusal.mode, interest.range, interest.mode);
            }
            if (!reason) {
                violations.add(refusal + " was refused, but nothing can have been in its way");
            }
        }
    }

    private List<Hold> sorted(Comparator<Hold> order) {
        return holds.stream().sorted(order).toList();
    }

    private static boolean contains(LockRange outer, LockRange inner) {
        return outer.startInclusive() <= inner.startInclusive() && inner.endExclusive() <= outer.endExclusive();
    }

    private static boolean conflict(LockRange a, LockMode aMode, LockRange b, LockMode bMode) {
        return a.startInclusive() < b.endExclusive()
                && b.startInclusive() < a.endExclusive()
                && !COMPATIBLE[aMode.ordinal()][bMode.ordinal()];
    }

    /** Written down once more, from the textbook: the product's own matrix is on trial here. */
    private static final boolean[][] COMPATIBLE = {
        //  NL    CR     CW     PR     PW     EX
        {true, true, true, true, true, true}, // NL
        {true, true, true, true, true, false}, // CR
        {true, true, true, false, false, false}, // CW
        {true, true, false, true, false, false}, // PR
        {true, true, false, false, false, false}, // PW
        {true, false, false, false, false, false}, // EX
    };
}
