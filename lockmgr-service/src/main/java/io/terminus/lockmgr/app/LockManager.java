package io.terminus.lockmgr.app;

import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.grpc.Audit;
import io.terminus.lockmgr.grpc.LockLoop;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreFailedException;
import io.terminus.proto.lock.v1.Reason;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.LongFunction;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The thread that owns the table, and the order of things around it. A turn takes what is queued (at most
 * {@value #STEPS_IN_TURN} steps) and
 *
 * <ol>
 *   <li>lets each step apply its commands; every decision is appended to the log,
 *   <li>writes the log, and syncs it once if any decision of the turn asks for it,
 *   <li>and only then says what is to be said, in the order in which it came up.
 * </ol>
 *
 * <p>The queue holds {@value #QUEUED_STEPS} steps; who finds it full waits, which holds up the streams behind it.
 *
 * <p>If the store fails, nothing of the turn is said but that its outcome is not known: table and disk may differ now. The
 * same goes for a broken rule of our own. The loop ends, and with it the process.
 */
final class LockManager implements LockLoop, AdminDesk, AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(LockManager.class);

    static final int QUEUED_STEPS = 8192;
    static final int STEPS_IN_TURN = 256;

    /** The table wants to hear of time every 100 ms. */
    private static final long TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private static final long OPERATOR_WAITS_SECONDS = 10;

    private final LockTable table;
    private final DecisionStore store;
    private final SessionDesk desk;
    private final WatchDesk watches;
    private final Audit audit;
    private final LongSupplier clock;
    private final LockMetrics metrics;
    private final Runnable onFailure;
    private final ArrayBlockingQueue<Step> queue = new ArrayBlockingQueue<>(QUEUED_STEPS);
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private final Thread thread = new Thread(this::run, "lock-table");
    private volatile boolean stopping;

    // Owner thread only
    private final List<Step> steps = new ArrayList<>();
    /** What waits for the end of the turn, in its order: a {@link Notice}, or a {@link Runnable} of the shell. */
    private final List<Object> sayings = new ArrayList<>();

    private boolean mustSync;
    private boolean wasRecovering;
    private long nowNanos;
    private long lastTickNanos;
    private long operatorRequests;

    /** @param onFailure ends the process; called once, on the owner thread, when the loop has failed */
    LockManager(
            LockTable table,
            DecisionStore store,
            SessionDesk desk,
            WatchDesk watches,
            Audit audit,
            LongSupplier clock,
            LockMetrics metrics,
            Runnable onFailure) {
        this.table = table;
        this.store = store;
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
        try {
            while (!stopping) {
                if (queue.offer(step, 100, TimeUnit.MILLISECONDS)) {
                    if (stopping && queue.remove(step)) {
                        break; // the loop may have looked for the last time before this was queued
                    }
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        step.refused();
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

    /** Says what is queued, tells every client, closes the store with a mark. */
    @Override
    public void close() {
        stopping = true;
        ended.join();
    }

    private void run() {
        try {
            while (!stopping) {
                turn(table.behind() ? queue.poll() : queue.poll(TICK_NANOS, TimeUnit.NANOSECONDS));
            }
            Step left = queue.poll();
            while (left != null) {
                turn(left);
                left = queue.poll();
            }
            desk.close(Reason.REASON_UNSPECIFIED, "the lock manager is stopping");
            watches.close("the lock manager is stopping");
            store.close();
        } catch (StoreFailedException e) {
            LOG.error("stopping, because the store failed: {}; the next start goes on from the log", e.getMessage(), e);
            fail();
        } catch (Throwable e) {
            LOG.error("stopping, because a rule of the lock manager is broken", e);
            fail();
        } finally {
            ended.complete(null);
        }
    }

    private void turn(@Nullable Step first) {
        metrics.beginTurn();
        if (first != null) {
            steps.add(first);
            queue.drainTo(steps, STEPS_IN_TURN - 1);
        }
        // After the steps were taken: a renewal among them was sent before this time, and its lease must not begin
        // earlier.
        nowNanos = clock.getAsLong();
        // Time first: after a sleep of the process the table must learn of the gap before it judges anything by it.
        if (nowNanos - lastTickNanos >= TICK_NANOS || table.behind()) {
            lastTickNanos = nowNanos;
            turn.apply(new Command.Tick());
            metrics.refresh(table, nowNanos);
        }
        for (int i = 0; i < steps.size(); i++) {
            steps.get(i).run(turn);
        }
        steps.clear();
        long beforeNanos = System.nanoTime();
        if (mustSync) {
            store.sync();
        } else {
            store.flush();
        }
        metrics.written(System.nanoTime() - beforeNanos, mustSync);
        if (wasRecovering && !table.recovering()) {
            wasRecovering = false;
            store.recoveryOver();
            LOG.info("recovery is over: locks are granted again");
        }
        mustSync = false;
        for (int i = 0; i < sayings.size(); i++) {
            if (sayings.get(i) instanceof Notice notice) {
                desk.deliver(notice, table, nowNanos);
            } else {
                ((Runnable) sayings.get(i)).run();
            }
        }
        sayings.clear();
        desk.endOfTurn();
        watches.endOfTurn(table);
        metrics.endOfTurn();
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
                store.append(decision.changes());
                mustSync |= DecisionStore.mustBeSynced(decision.changes());
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
        public long nowNanos() {
            return nowNanos;
        }
    };

    private void fail() {
        stopping = true;
        for (Object saying : sayings) {
            if (saying instanceof Notice.Answer answer) {
                desk.unknownOutcome(answer);
            }
        }
        sayings.clear();
        desk.endOfTurn();
        watches.close("the lock manager failed and stops");
        desk.close(Reason.UNKNOWN_OUTCOME, "the lock manager failed and stops; whether this was done is not known");
        steps.forEach(Step::refused);
        Step left = queue.poll();
        while (left != null) {
            left.refused();
            left = queue.poll();
        }
        try {
            store.close();
        } catch (RuntimeException e) {
            LOG.error("the store could not be closed either: {}", e.getMessage());
        }
        onFailure.run();
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
