package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.List;

/**
 * Asks holders for what others need, and says by when. While anybody waits for a lock that its session may believe in, the
 * lock has a {@link Recall}; only standbys ask for nothing back.
 */
final class Recalls {

    private static final Mode[] MODES = Mode.values();

    private final Turn turn;
    private final Expansion expansion;
    private final Deadlines<Recall> deadlines = new Deadlines<>();

    Recalls(Turn turn, Expansion expansion) {
        this.turn = turn;
        this.expansion = expansion;
    }

    /** A request starts to wait: every holder in its way is told, if it was not told as much before. */
    void forNew(Request request) {
        for (Waiter part : request.parts) {
            part.volume.forEachLockInTheWay(part, lock -> {
                if (lock.live()) {
                    need(lock, part);
                }
                return true;
            });
        }
    }

    private void need(Held lock, Waiter waiter) {
        Recall recall = lock.recall;
        if (recall == null) {
            recall = new Recall(lock, turn.now);
            begin(recall, deadlineFromNow(recall));
        }
        int modesBefore = recall.wantedModes;
        boolean anew = recall.add(waiter);
        int mode = 1 << waiter.mode.ordinal();
        say(recall, anew ? mode : mode & ~modesBefore);
    }

    /**
     * A lock is new, or has another range or mode, and all who wait behind it stay: its holder is told what they need, or,
     * if nobody needs it any more, its recall is over. The deadline of a recall stays.
     */
    void restate(Held lock) {
        if (!lock.live()) {
            return;
        }
        Recall earlier = lock.recall;
        Recall recall = new Recall(lock, earlier == null ? turn.now : earlier.sinceNanos);
        lock.volume.forEachChainThatNeeds(lock, waiter -> {
            recall.add(waiter);
            return true;
        });
        forget(lock);
        if (recall.wantedModes != 0) {
            begin(recall, earlier == null ? deadlineFromNow(recall) : earlier.deadlineNanos);
            int saidModes = earlier != null && recall.within(earlier) ? earlier.wantedModes : 0;
            say(recall, recall.wantedModes & ~saidModes);
        }
    }

    /** What was split off a lock has its deadline, lest a holder win time by cutting. Followed by {@link #restate}. */
    void inherit(Held half, Held from) {
        Recall recall = from.recall;
        if (recall != null) {
            begin(new Recall(half, recall.sinceNanos), recall.deadlineNanos);
        }
    }

    /** The holder works on it: the deadline moves, up to the cap. */
    void progress(Held lock) {
        if (lock.recall != null) {
            deadlines.arm(lock.recall, deadlineFromNow(lock.recall));
        }
    }

    void forget(Held lock) {
        if (lock.recall != null) {
            deadlines.disarm(lock.recall);
            lock.recall = null;
            lock.session.recalledLocks--;
        }
    }

    /** The locks that somebody still needs and whose holders have had their time. All are asked for before any is taken. */
    List<Held> pollOverdue() {
        List<Held> overdue = new ArrayList<>();
        for (Recall due = deadlines.pollDue(turn.now); due != null; due = deadlines.pollDue(turn.now)) {
            if (!due.lock.volume.forEachChainThatNeeds(due.lock, waiter -> false)) {
                overdue.add(due.lock);
            }
            forget(due.lock);
        }
        return overdue;
    }

    private void begin(Recall recall, long deadlineNanos) {
        recall.lock.recall = recall;
        recall.lock.session.recalledLocks++;
        deadlines.arm(recall, deadlineNanos);
    }

    private long deadlineFromNow(Recall recall) {
        return Math.min(
                turn.now + turn.settings.recallDeadlineNanos(), recall.sinceNanos + turn.settings.recallCapNanos());
    }

    private void say(Recall recall, int modes) {
        if (modes == 0) {
            return;
        }
        notices(recall, modes).forEach(turn::say);
        turn.event(LockEvent.Kind.RECALLED, recall.lock, "");
        expansion.contended(recall.lock);
    }

    /** What the holder was told, once more. */
    List<Notice> unanswered(Recall recall) {
        return notices(recall, recall.wantedModes);
    }

    private List<Notice> notices(Recall recall, int modes) {
        List<Notice> notices = new ArrayList<>();
        for (Mode mode : MODES) {
            if ((modes >> mode.ordinal() & 1) != 0) {
                notices.add(new Notice.Recall(
                        recall.lock.session.id,
                        recall.lock.id,
                        recall.neededStart,
                        recall.neededEnd,
                        mode,
                        recall.deadlineNanos + turn.sleptNanos,
                        recall.keepStart,
                        recall.keepEnd));
            }
        }
        return notices;
    }
}
