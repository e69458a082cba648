package io.terminus.lockmgr.app;

import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.grpc.LockLoop;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.store.StoreFailedException;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.security.Audit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.LongFunction;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The turns of the table, and the order of things around them. A turn takes what is queued (at most
 * {@value #STEPS_IN_TURN} steps, and none behind {@value #OPERATIONS_IN_TURN} operations) and
 *
 * <ol>
 *   <li>lets each step apply its commands; every decision is appended to the journal,
 *   <li>commits the journal once: to the disk, or to the group,
 *   <li>and only then says what is to be said, in the order in which it came up.
 * </ol>
 *
 * <p>One turn runs at a time, and whoever runs it owns the table, the store and the desks until it is over. That is mostly a
 * thread of gRPC which has just read what the turn is about and will write what comes of it: each thread less on that way is
 * a wake-up less, and wake-ups are what an operation costs most of. Who finds a turn running leaves its steps to it: they
 * are seen behind its end. The thread "lock-table" is for the rest: time that passes, what one turn left over, what is heavy,
 * and whatever waits for the disk, since gRPC's threads serve others as well.
 *
 * <p>The queue holds {@value #QUEUED_STEPS} steps of those that may wait; who finds it full waits. Beside them it holds what
 * session streams have in work, which each of them bounds.
 *
 * <p>If the store fails, nothing of the turn is said but that its outcome is not known: table and disk may differ now. The
 * same goes for a broken rule of our own. The loop ends, and with it the process.
 */
final class LockManager implements LockLoop, AdminDesk, AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(LockManager.class);

    static final int QUEUED_STEPS = 8192;
    static final int STEPS_IN_TURN = 256;

    /** With so many no further step is taken: whoever runs the turn has others to serve as well. */
    static final int OPERATIONS_IN_TURN = 16 << 10;

    /** The table wants to hear of time every 100 ms. */
    private static final long TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    /** Where renewals are gathered they come to the table together, so often at most. */
    private static final long RENEWALS_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    private static final String FAILED = "the lock manager failed and stops";
    private static final String LEAD_LOST = "this lock manager does not lead its group any more";

    private static final long OPERATOR_WAITS_SECONDS = 10;

    private final LockTable table;
    private final Journal journal;
    private final SessionDesk desk;
    private final WatchDesk watches;
    private final Audit audit;
    private final LongSupplier clock;
    private final LockMetrics metrics;
    private final Runnable onFailure;
    private final ConcurrentLinkedQueue<Step> queue = new ConcurrentLinkedQueue<>();
    private final Semaphore room = new Semaphore(QUEUED_STEPS);
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private final Thread thread = new Thread(this::run, "lock-table");
    /** The thread sleeps, or is about to: who sees this and wants a turn wakes it. */
    private final AtomicBoolean parked = new AtomicBoolean();

    private final AtomicReference<Owner> owner = new AtomicReference<>(Owner.NOBODY);
    /** The thread is about to take a turn: nobody else begins one, or it might wait for ever. */
    private volatile boolean threadsTurn;

    /** The table has more to end than it did in its last tick. */
    private volatile boolean behind;

    private volatile boolean stopping;
    /** Nothing that is queued will run any more. */
    private volatile boolean over;

    // Owner of the turn only
    private final List<Step> steps = new ArrayList<>();
    /** Of {@link #steps}. */
    private int begun;

    /** What waits for the end of the turn, in its order: a {@link Notice}, or a {@link Runnable} of the shell. */
    private final List<Object> sayings = new ArrayList<>();

    /** Of {@link #sayings}. */
    private int said;

    /** Runs behind the sayings, and tells nobody anything: need not wait for the journal. */
    private final List<Runnable> asides = new ArrayList<>();

    /** Renewals that wait for the next tick, one for each session at most. Only where the journal gathers them. */
    private final Map<String, Renewal> renewals = new LinkedHashMap<>();

    private long lastRenewalsNanos;
    /** Of a turn on another thread than ours, which ends everything. */
    private @Nullable Throwable failure;

    private boolean wasRecovering;
    private long nowNanos;
    private volatile long lastTickNanos;
    private long operatorRequests;

    /** Who owns the table, and all that a turn touches. */
    private enum Owner {
        NOBODY,
        /** Whoever runs a turn. */
        SOMEBODY,
        /** The thread, which has to finish a turn that another began. */
        THREAD
    }

    /** @param onFailure ends the process; called once, on the owner thread, when the loop has failed */
    LockManager(
            LockTable table,
            Journal journal,
            SessionDesk desk,
            WatchDesk watches,
            Audit audit,
            LongSupplier clock,
            LockMetrics metrics,
            Runnable onFailure) {
        this.table = table;
        this.journal = journal;
        this.desk = desk;
        this.watches = watches;
        this.audit = audit;
        this.clock = clock;
        this.metrics = metrics;
        this.onFailure = onFailure;
        this.wasRecovering = table.recovering();
        metrics.showQueue(queue::size);
    }

    void start() {
        thread.start();
    }

    @Override
    public void submit(Step step) {
        boolean admitted = false;
        try {
            while (!over && !admitted) {
                admitted = room.tryAcquire(100, TimeUnit.MILLISECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (!admitted) {
            step.refused();
            return;
        }
        enqueue(new Admitted(step));
        turn();
    }

    /** Takes one of the {@value #QUEUED_STEPS} places until it runs. */
    private record Admitted(Step step) implements Step {
        @Override
        public void run(Turn turn) {
            step.run(turn);
        }

        @Override
        public int operations() {
            return step.operations();
        }

        @Override
        public boolean heavy() {
            return step.heavy();
        }

        @Override
        public void refused() {
            step.refused();
        }

        @Override
        public void unknown(String why) {
            step.unknown(why);
        }
    }

    @Override
    public void enqueue(Step step) {
        queue.add(step);
        if (over) {
            refuseLeft();
        }
    }

    @Override
    public void turn() {
        if (threadsTurn || !owner.compareAndSet(Owner.NOBODY, Owner.SOMEBODY)) {
            return; // Who is at it looks again when it is done.
        }
        turn(false);
    }

    /** To be called by the owner, which owns nothing any more when this returns. */
    private void turn(boolean onThread) {
        Owner next = Owner.NOBODY;
        try {
            begin(onThread);
            if (!onThread && journal.mayWait(somebodyHears(), nowNanos)) {
                next = Owner.THREAD;
            } else {
                finish();
            }
        } catch (Throwable e) {
            if (onThread) {
                fail(e); // Nobody owns the table after this.
                return;
            }
            failure = e;
            next = Owner.THREAD; // The end takes its time, which a thread of gRPC has not.
        }
        leaveTo(next);
    }

    private void leaveTo(Owner next) {
        owner.set(next);
        if (next == Owner.THREAD || threadsTurn || stopping || behind || !queue.isEmpty()) {
            wake();
        }
    }

    private void wake() {
        if (parked.get() && parked.compareAndSet(true, false)) {
            LockSupport.unpark(thread);
        }
    }

    @Override
    public <T> T ask(Question<T> question) {
        return await(future -> turn -> {
            T answer = question.of(table, desk::attached, nowNanos);
            turn.afterwards(() -> future.complete(answer));
        });
    }

    @Override
    public void forceRelease(String who, String volume, long lockId) {
        audited(who, "force-release", volume + " lock " + lockId, id -> new Command.ForceRelease(id, volume, lockId));
    }

    @Override
    public void configureVolume(String who, String volume, long lockDelayMillis) {
        audited(
                who,
                "configure-volume",
                volume + " lock-delay " + lockDelayMillis + " ms",
                id -> new Command.ConfigureVolume(
                        id, volume, UUID.randomUUID().toString(), TimeUnit.MILLISECONDS.toNanos(lockDelayMillis)));
    }

    @Override
    public boolean closeSession(String who, String sessionId) {
        boolean known = await(future -> turn -> {
            boolean isOpen = table.session(sessionId).isPresent();
            turn.apply(new Command.CloseSession(sessionId, "closed by an operator"));
            turn.afterwards(() -> future.complete(isOpen));
        });
        audit.record(who, "close-session", "session " + sessionId, known ? "done" : "UNKNOWN_SESSION");
        return known;
    }

    /** Nobody hears the answer through the desk: it is in the decision, and said when it is durable. */
    private void audited(String who, String action, String what, LongFunction<Command> command) {
        try {
            await(future -> turn -> {
                Decision decision = turn.apply(command.apply(--operatorRequests));
                turn.afterwards(() -> {
                    for (Notice notice : decision.notices()) {
                        // It may have ended the wait of a session's request as well, which is no answer to the
                        // operator.
                        if (notice instanceof Notice.Refused refused
                                && refused.sessionId().isEmpty()) {
                            future.completeExceptionally(
                                    new AdminRefusedException(refused.reason(), refused.message()));
                        }
                    }
                    future.complete(true);
                });
            });
        } catch (AdminRefusedException e) {
            audit.record(who, action, what, String.valueOf(e.getMessage()));
            throw e;
        }
        audit.record(who, action, what, "done");
    }

    /** Runs what is queued by now, tells every client, closes the store with a mark; what comes meanwhile is refused. */
    @Override
    public void close() {
        stopping = true;
        wake();
        ended.join();
    }

    /** How long ago the table last heard what time it is: nothing expires and nobody is served while that grows. Any thread. */
    long nanosSinceTick() {
        return clock.getAsLong() - lastTickNanos;
    }

    private void run() {
        while (!over) {
            threadsTurn = true;
            if (owner.get() == Owner.THREAD) {
                finishTurn();
            }
            boolean last = stopping;
            if (owner.compareAndSet(Owner.NOBODY, Owner.SOMEBODY)) {
                threadsTurn = false;
                if (last) {
                    end();
                } else {
                    turn(true);
                }
            }
            awaitTurn();
        }
    }

    /** Sleeps until there is something to do. An interrupt must not reach the disk, which would take it for a failure. */
    private void awaitTurn() {
        parked.set(true);
        Owner now = owner.get();
        // Somebody wakes the thread when there is something for it, the end included.
        boolean nothingToDo =
                now == Owner.SOMEBODY || now == Owner.NOBODY && queue.isEmpty() && !threadsTurn && !behind && !stopping;
        if (nothingToDo && !over) {
            LockSupport.parkNanos(this, TICK_NANOS);
        }
        parked.set(false);
        if (Thread.interrupted()) {
            LOG.warn("somebody interrupted the thread of the lock table, which means nothing to it");
        }
    }

    private void finishTurn() {
        Throwable why = failure;
        if (why != null) {
            fail(why);
            return;
        }
        try {
            finish();
        } catch (Throwable e) {
            fail(e);
            return;
        }
        leaveTo(Owner.NOBODY);
    }

    /** The end of the loop, by its thread; it owns the table and keeps it. */
    private void end() {
        try {
            // What is queued now and no more: who is answered may ask again, for ever.
            int left = queue.size();
            do {
                left -= begin(true);
                finish();
            } while (left > 0);
            desk.close(Reason.REASON_UNSPECIFIED, "the lock manager is stopping");
            watches.close("the lock manager is stopping");
            journal.close();
        } catch (Throwable e) {
            fail(e);
            return;
        }
        over = true;
        refuseLeft();
        ended.complete(null);
    }

    /** Returns the number of steps it ran. */
    private int begin(boolean onThread) {
        metrics.beginTurn();
        int admitted = 0;
        int operations = 0;
        while (steps.size() < STEPS_IN_TURN && operations < OPERATIONS_IN_TURN) {
            Step step = queue.peek();
            if (step == null || step.heavy() && !onThread) {
                break;
            }
            queue.remove();
            steps.add(step);
            operations += step.operations();
            if (step instanceof Admitted) {
                admitted++;
            }
        }
        if (admitted > 0) {
            room.release(admitted);
        }
        // After the steps were taken: a renewal among them was sent before this time, and its lease must not begin
        // earlier.
        nowNanos = clock.getAsLong();
        // Time first: after a sleep of the process the table must learn of the gap before it judges anything by it.
        // By the thread alone: a hundred thousand sessions may be over at once, and others have streams to read.
        if (onThread && (nowNanos - lastTickNanos >= TICK_NANOS || table.behind())) {
            lastTickNanos = nowNanos;
            renewTogether();
            turn.apply(new Command.Tick());
            metrics.refresh(table, nowNanos);
        }
        while (begun < steps.size()) {
            steps.get(begun++).run(turn);
        }
        behind = table.behind();
        return begun;
    }

    /** Before the tick: who has renewed has not gone silent. */
    private void renewTogether() {
        if (renewals.isEmpty() || nowNanos - lastRenewalsNanos < RENEWALS_NANOS) {
            return;
        }
        lastRenewalsNanos = nowNanos;
        for (Renewal renewal : renewals.values()) {
            // A renewal out of a stream of before would be answered on the newer one, where its number means another.
            if (renewal.current.getAsBoolean()) {
                renew(renewal.command);
            }
        }
        renewals.clear();
    }

    private void renew(Command.Renew command) {
        for (Notice notice : turn.apply(command).notices()) {
            if (notice instanceof Notice.RenewalAnswered) {
                journal.renewed(command.sessionId(), nowNanos);
            }
        }
    }

    private void finish() {
        long beforeNanos = System.nanoTime();
        long syncsBefore = journal.syncs();
        journal.commit(somebodyHears(), nowNanos);
        metrics.written(System.nanoTime() - beforeNanos, journal.syncs() != syncsBefore);
        if (wasRecovering && !table.recovering()) {
            wasRecovering = false;
            journal.recoveryOver();
            LOG.info("recovery is over: locks are granted again");
        }
        for (; said < sayings.size(); said++) {
            if (sayings.get(said) instanceof Notice notice) {
                desk.deliver(notice, table, nowNanos);
            } else {
                ((Runnable) sayings.get(said)).run();
            }
        }
        sayings.clear();
        said = 0;
        for (int i = 0; i < asides.size(); i++) {
            asides.get(i).run();
        }
        asides.clear();
        desk.endOfTurn();
        watches.endOfTurn(table);
        metrics.endOfTurn();
        // Not before: whoever runs must be answered if the turn is not committed.
        steps.clear();
        begun = 0;
    }

    /** Watchers too: a leader that was replaced without knowing it must not tell them either what it thinks. */
    private boolean somebodyHears() {
        return !sayings.isEmpty() || watches.tells();
    }

    private final Turn turn = new Turn() {
        @Override
        public LockTable table() {
            return table;
        }

        @Override
        public Decision apply(Command command) {
            Decision decision = table.apply(command, nowNanos);
            sayings.addAll(decision.notices());
            if (!decision.changes().isEmpty()) {
                journal.append(decision.changes());
            }
            if (!decision.events().isEmpty()) {
                watches.happened(decision.events(), System.currentTimeMillis());
            }
            metrics.count(command, decision, nowNanos);
            return decision;
        }

        @Override
        public void afterwards(Runnable saying) {
            sayings.add(saying);
        }

        @Override
        public void aside(Runnable task) {
            asides.add(task);
        }

        @Override
        public void renew(Command.Renew command, BooleanSupplier current) {
            if (journal.gathersRenewals()) {
                renewals.put(command.sessionId(), new Renewal(command, current));
            } else {
                apply(command);
            }
        }

        @Override
        public long nowNanos() {
            return nowNanos;
        }
    };

    /** @param current does the stream it came from still speak for the session? */
    private record Renewal(Command.Renew command, BooleanSupplier current) {}

    /** By the thread, as the owner; it owns the table for ever then. */
    private void fail(Throwable why) {
        stopping = true;
        if (why instanceof LeadLostException) {
            LOG.info("the turns end: {}", why.getMessage());
        } else if (why instanceof StoreFailedException) {
            LOG.error(
                    "stopping, because the store failed: {}; the next start goes on from the log",
                    why.getMessage(),
                    why);
        } else {
            LOG.error("stopping, because a rule of the lock manager is broken", why);
        }
        try {
            if (why instanceof LeadLostException) {
                // Who is on a stream asks the next leader, and is told for certain.
                sayings.clear();
                said = 0;
            }
            sayUnknown(why instanceof LeadLostException ? LEAD_LOST : FAILED);
            journal.close();
        } catch (RuntimeException e) {
            LOG.error("the store could not be closed either: {}", e.getMessage());
        } finally {
            over = true;
            refuseLeft();
            ended.complete(null);
            wake();
            onFailure.run();
        }
    }

    private void sayUnknown(String why) {
        // What was said before something broke is not said again in other words.
        for (Object saying : sayings.subList(said, sayings.size())) {
            if (saying instanceof Notice.Answer answer) {
                desk.unknownOutcome(answer);
            }
        }
        sayings.clear();
        desk.endOfTurn();
        watches.close(why);
        desk.close(Reason.UNKNOWN_OUTCOME, why + "; whether this was done is not known");
        // Those that were begun are not refused: what they did may be found on the disk, or in the group.
        steps.subList(0, begun).forEach(step -> step.unknown(why));
        steps.subList(begun, steps.size()).forEach(Step::refused);
        steps.clear();
    }

    private void refuseLeft() {
        for (Step left = queue.poll(); left != null; left = queue.poll()) {
            left.refused();
        }
    }

    private interface Asking<T> {
        Body with(CompletableFuture<T> future);
    }

    private interface Body {
        void run(Turn turn);
    }

    private <T> T await(Asking<T> asking) {
        CompletableFuture<T> future = new CompletableFuture<>();
        Body body = asking.with(future);
        submit(new Step() {
            /** Operators look at everything there is, and close what may hold much of it. */
            @Override
            public boolean heavy() {
                return true;
            }

            @Override
            public void run(Turn turn) {
                try {
                    body.run(turn);
                } catch (AdminRefusedException e) {
                    future.completeExceptionally(e);
                }
            }

            @Override
            public void refused() {
                future.completeExceptionally(new AdminRefusedException(null, "the lock manager is stopping"));
            }

            @Override
            public void unknown(String why) {
                future.completeExceptionally(
                        new AdminRefusedException(null, why + "; whether this was done is not known"));
            }
        });
        try {
            return future.get(OPERATOR_WAITS_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof AdminRefusedException refused) {
                throw refused;
            }
            throw new IllegalStateException(e.getCause());
        } catch (TimeoutException e) {
            throw new AdminRefusedException(
                    null, "the lock manager did not answer within " + OPERATOR_WAITS_SECONDS + " s");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AdminRefusedException(null, "interrupted");
        }
    }
}
