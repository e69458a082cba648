package io.terminus.lockmgr.app;

import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.store.DecisionBatch;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.LongAdder;

/**
 * The decisions of one leadership, on the disks of the group. One entry for each turn, and one turn at a time: between two turns the table is
 * what is decided, and nothing more.
 *
 * <p>Whatever somebody is to hear waits for an entry, also what only looked at the table: a leader that was replaced without knowing it gets
 * no entry through, so nothing it says is out of date.
 *
 * <p>Time is a part of each entry. While there are sessions an entry comes every {@value #STALE_MILLIS} ms at least, so that the next leader
 * goes on from a time that is not long ago: a lease of one who died is over at most that much and the election later.
 */
final class GroupJournal implements Journal {

    static final long STALE_MILLIS = 400;

    /** A leader that hears nothing of the others steps down long before. */
    private static final long PATIENCE_SECONDS = 10;

    private final GroupMember member;
    private final long epoch;
    private final DecisionBatch batch = new DecisionBatch();
    private final LongAdder commits;
    private final LongAdder decisions;
    private long number;
    private long committedNanos;
    private volatile boolean over;
    private volatile CompletableFuture<Boolean> waiting = new CompletableFuture<>();

    /**
     * @param commits of this process so far
     * @param decisions of this process so far
     */
    GroupJournal(GroupMember member, long epoch, long nowNanos, LongAdder commits, LongAdder decisions) {
        this.member = member;
        this.epoch = epoch;
        this.committedNanos = nowNanos;
        this.commits = commits;
        this.decisions = decisions;
    }

    /** Was it the group that ended the turns, or was that asked for? Else something is broken. Any thread. */
    boolean over() {
        return over;
    }

    /** Nothing is committed any more, also what waits now. Any thread. */
    void end() {
        over = true;
        waiting.completeExceptionally(lost());
    }

    private static LeadLostException lost() {
        return new LeadLostException("another lock manager of the group leads, or none");
    }

    @Override
    public void append(List<Change> changes) {
        batch.add(changes);
        decisions.increment();
    }

    @Override
    public boolean gathersRenewals() {
        return true;
    }

    @Override
    public void renewed(String sessionId, long nowNanos) {
        batch.renewed(sessionId, nowNanos);
    }

    @Override
    public boolean mayWait(boolean heard, long nowNanos) {
        return heard
                || !batch.isEmpty()
                || nowNanos - committedNanos >= TimeUnit.MILLISECONDS.toNanos(STALE_MILLIS)
                        && member.sessionCount() > 0;
    }

    @Override
    public void commit(boolean heard, long nowNanos) {
        if (!mayWait(heard, nowNanos)) {
            return;
        }
        CompletableFuture<Boolean> decided = new CompletableFuture<>();
        waiting = decided;
        if (over) {
            throw lost();
        }
        long digest = member.digest();
        List<byte[]> parts = batch.take();
        for (int i = 0; i < parts.size(); i++) {
            boolean last = i == parts.size() - 1;
            var unused = member.decide(epoch, ++number, nowNanos, digest, last, parts.get(i))
                    .whenComplete((applied, failure) -> {
                        if (failure != null) {
                            decided.completeExceptionally(failure);
                        } else if (!applied || last) {
                            decided.complete(applied);
                        }
                    });
        }
        try {
            await(decided);
        } catch (LeadLostException e) {
            over = true;
            throw e;
        }
        committedNanos = nowNanos;
        commits.increment();
    }

    private static void await(CompletableFuture<Boolean> decided) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    if (decided.get(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                        return;
                    }
                    throw new LeadLostException("another lock manager of the group leads since");
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } catch (ExecutionException e) {
            throw new LeadLostException("the group did not take the turn: " + e.getCause());
        } catch (TimeoutException e) {
            throw new LeadLostException("the group did not take the turn within " + PATIENCE_SECONDS + " s");
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** A group does not lose its memory as long as more than half of it lives. */
    @Override
    public void recoveryOver() {}

    @Override
    public long syncs() {
        return commits.sum();
    }

    @Override
    public long appends() {
        return decisions.sum();
    }

    @Override
    public void close() {}
}
