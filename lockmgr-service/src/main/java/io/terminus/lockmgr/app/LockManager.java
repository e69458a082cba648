package io.terminus.lockmgr.app;

import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.grpc.LockLoop;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreFailedException;
import io.terminus.proto.lock.v1.Reason;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
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
    private final LongSupplier clock;
    private final LockMetrics metrics;
    private final Runnable onFailure;
    private final ArrayBlockingQueue<Step> queue = new ArrayBlockingQueue<>(QUEUED_STEPS);
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private final Thread thread = new Thread(this::run, "lock-table");
    private volatile boolean stopping;

    // Owner thread only
    private final List<Saying> sayings = new ArrayList<>();
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
            LongSupplier clock,
            LockMetrics metrics,
            Runnable onFailure) {
        this.table = table;
        this.store = store;
        this.desk = desk;
        this.clock = clock;
        this.metrics = metrics;
        this.onFailure = onFailure;
        this.wasRecovering = table.recovering();
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
    public void forceRelease(String volume, long lockId) {
        await(future -> turn -> {
            // Nobody hears the answer through the desk: it is in the decision, and said when it is durable.
            Decision decision = turn.apply(new Command.ForceRelease(--operatorRequests, volume, lockId));
            turn.afterwards(() -> {
                for (Notice notice : decision.notices()) {
                    if (notice instanceof Notice.Refused refused) {
                        future.completeExceptionally(new AdminRefusedException(refused.reason(), refused.message()));
                    }
                }
                future.complete(true);
            });
        });
    }

    @Override
    public boolean closeSession(String sessionId) {
        return await(future -> turn -> {
            boolean known = table.session(sessionId).isPresent();
            turn.apply(new Command.CloseSession(sessionId, "closed by an operator"));
            turn.afterwards(() -> future.complete(known));
        });
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
                turn(queue.poll(TICK_NANOS, TimeUnit.NANOSECONDS));
            }
            Step left = queue.poll();
            while (left != null) {
                turn(left);
                left = queue.poll();
            }
            desk.close(Reason.REASON_UNSPECIFIED, "the lock manager is stopping");
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
        nowNanos = clock.getAsLong();
        // Time first: after a sleep of the process the table must learn of the gap before it judges anything by it.
        if (nowNanos - lastTickNanos >= TICK_NANOS) {
            lastTickNanos = nowNanos;
            turn.apply(new Command.Tick());
            metrics.refresh(table, nowNanos);
        }
        Step step = first;
        for (int steps = 0; step != null; step = ++steps < STEPS_IN_TURN ? queue.poll() : null) {
            step.run(turn);
        }
        if (mustSync) {
            store.sync();
        } else {
            store.flush();
        }
        if (wasRecovering && !table.recovering()) {
            wasRecovering = false;
            store.recoveryOver();
            LOG.info("recovery is over: locks are granted again");
        }
        mustSync = false;
        for (Saying saying : sayings) {
            switch (saying) {
                case Told told -> desk.deliver(told.notice(), table, nowNanos);
                case Then then -> then.saying().run();
            }
        }
        sayings.clear();
        desk.endOfTurn();
    }

    private final Turn turn = new Turn() {
        @Override
        public LockTable table() {
            return table;
        }

        @Override
        public Decision apply(Command command) {
            Decision decision = table.apply(command, nowNanos);
            for (Notice notice : decision.notices()) {
                sayings.add(new Told(notice));
            }
            store.append(decision.changes());
            mustSync |= DecisionStore.mustBeSynced(decision.changes());
            metrics.count(command, decision);
            return decision;
        }

        @Override
        public void afterwards(Runnable saying) {
            sayings.add(new Then(saying));
        }

        @Override
        public long nowNanos() {
            return nowNanos;
        }
    };

    /** What waits for the end of the turn. */
    private sealed interface Saying {}

    private record Told(Notice notice) implements Saying {}

    private record Then(Runnable saying) implements Saying {}

    private void fail() {
        stopping = true;
        for (Saying saying : sayings) {
            if (saying instanceof Told told && told.notice() instanceof Notice.Answer answer) {
                desk.unknownOutcome(answer);
            }
        }
        sayings.clear();
        desk.endOfTurn();
        desk.close(Reason.UNKNOWN_OUTCOME, "the lock manager failed and stops; whether this was done is not known");
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
