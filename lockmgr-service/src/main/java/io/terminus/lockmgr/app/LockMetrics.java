package io.terminus.lockmgr.app;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.MultiGauge;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.LockTable.VolumeView;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Reason;
import java.time.Duration;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntSupplier;
import org.agrona.collections.Long2LongHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What happened, counted and timed, and how much is held and waited for by volume. Volumes have gauges only while there are
 * at most {@value #MAX_VOLUMES_SHOWN} of them.
 *
 * <p>A command that is answered at once costs additions to fields here, which {@link #endOfTurn} carries to the registry;
 * only what waits or is recalled has an entry, from its beginning to its end. Owner thread of the table.
 */
final class LockMetrics {

    static final int MAX_VOLUMES_SHOWN = 200;

    private static final long NOT_RECALLED = Long.MIN_VALUE;
    private static final long REFRESH_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** Looking at all volumes takes no more than this share of the owner's time. */
    private static final int REFRESH_SHARE = 1000;

    /** The bounds of the histograms, from what is hardly a wait to the longest recall. */
    private static final Duration[] BUCKETS = {
        Duration.ofNanos(100_000),
        Duration.ofMillis(1),
        Duration.ofMillis(5),
        Duration.ofMillis(25),
        Duration.ofMillis(100),
        Duration.ofMillis(500),
        Duration.ofSeconds(1),
        Duration.ofSeconds(5),
        Duration.ofSeconds(30),
        Duration.ofMinutes(5)
    };

    /** What a journal says of its work. Any thread. */
    interface Written {
        /** How often somebody waited for a disk. */
        long syncs();

        /** Decisions appended. */
        long appends();
    }

    enum WaitOutcome {
        GRANTED,
        DEADLINE,
        CANCELLED,
        DEADLOCK,
        LOST
    }

    enum RecallOutcome {
        RELEASED,
        SHRUNK,
        REVOKED
    }

    private final Counter grants;
    private final Counter atOnce;
    private final Counter queued;
    private final Counter refusedAtOnce;
    private final Counter waits;
    private final Counter recalls;
    private final Counter losses;
    private final Counter expiries;
    private final Counter deadlocks;
    private final Counter renewals;
    private final Map<Reason, Counter> refusals = new EnumMap<>(Reason.class);
    private final Map<WaitOutcome, Timer> waitTimes = new EnumMap<>(WaitOutcome.class);
    private final Map<RecallOutcome, Timer> recallTimes = new EnumMap<>(RecallOutcome.class);
    private final Timer turns;
    private final DistributionSummary turnCommands;
    private final Timer writes;
    private final Timer syncs;
    private final MultiGauge held;
    private final MultiGauge waiting;
    private final AtomicLong sessions = new AtomicLong();
    private final AtomicLong indexEntries = new AtomicLong();
    private final AtomicLong volumes = new AtomicLong();

    private final GrantTraces traces = new GrantTraces();

    private volatile IntSupplier queue = () -> 0;

    // This turn
    private long turnStartNanos;
    private int commands;
    private long grantsNow;
    private long atOnceNow;
    private long queuedNow;
    private long refusedNow;
    private long renewalsNow;

    /** Since when each request waits, by session and request. Bounded by the table's limits for waiters. */
    private final Map<String, Map<Long, Long>> waitingSince = new HashMap<>();
    /** Since when each lock is recalled. Bounded by the locks there are. */
    private final Long2LongHashMap recalledSince = new Long2LongHashMap(NOT_RECALLED);

    private boolean started;
    private long nextRefreshNanos;

    /** @param watchers how many there are; asked by any thread */
    LockMetrics(MeterRegistry registry, Written journal, IntSupplier watchers) {
        grants = registry.counter("terminus.lock.grants");
        atOnce = registry.counter("terminus.lock.acquires", "path", "at-once");
        queued = registry.counter("terminus.lock.acquires", "path", "queued");
        refusedAtOnce = registry.counter("terminus.lock.acquires", "path", "refused");
        waits = registry.counter("terminus.lock.waits");
        recalls = registry.counter("terminus.lock.recalls");
        losses = registry.counter("terminus.lock.losses");
        expiries = registry.counter("terminus.lock.expiries");
        deadlocks = registry.counter("terminus.lock.deadlocks");
        renewals = registry.counter("terminus.lock.renewals");
        for (Reason reason : Reason.values()) {
            refusals.put(reason, registry.counter("terminus.lock.refusals", "reason", reason.name()));
        }
        for (WaitOutcome outcome : WaitOutcome.values()) {
            waitTimes.put(
                    outcome,
                    Timer.builder("terminus.lock.wait")
                            .description("How long requests waited")
                            .tag("outcome", name(outcome))
                            .serviceLevelObjectives(BUCKETS)
                            .register(registry));
        }
        for (RecallOutcome outcome : RecallOutcome.values()) {
            recallTimes.put(
                    outcome,
                    Timer.builder("terminus.lock.recall")
                            .description("From a recall to its end")
                            .tag("outcome", name(outcome))
                            .serviceLevelObjectives(BUCKETS)
                            .register(registry));
        }
        turns = Timer.builder("terminus.lock.turn")
                .description("Turns of the thread that owns the table")
                .serviceLevelObjectives(BUCKETS)
                .register(registry);
        turnCommands = DistributionSummary.builder("terminus.lock.turn.commands")
                .description("Commands in a turn")
                .register(registry);
        writes = Timer.builder("terminus.store.write")
                .description("Writing a turn's decisions to the log and the maps")
                .serviceLevelObjectives(BUCKETS)
                .register(registry);
        syncs = Timer.builder("terminus.store.sync")
                .description("The same with an fsync")
                .serviceLevelObjectives(BUCKETS)
                .register(registry);
        held = MultiGauge.builder("terminus.lock.held").register(registry);
        waiting = MultiGauge.builder("terminus.lock.waiting").register(registry);
        Gauge.builder("terminus.lock.sessions", sessions, AtomicLong::get).register(registry);
        Gauge.builder("terminus.lock.volumes", volumes, AtomicLong::get).register(registry);
        Gauge.builder("terminus.lock.index.entries", indexEntries, AtomicLong::get)
                .description("Entries of the indexes of all volumes; identical shared locks have one together")
                .register(registry);
        Gauge.builder("terminus.lock.queue.steps", this, metrics -> metrics.queue.getAsInt())
                .register(registry);
        Gauge.builder("terminus.lock.watchers", watchers, IntSupplier::getAsInt).register(registry);
        FunctionCounter.builder("terminus.store.syncs", journal, Written::syncs).register(registry);
        FunctionCounter.builder("terminus.store.decisions", journal, Written::appends)
                .register(registry);
    }

    /** @param queuedSteps how many wait for the owner; asked by any thread */
    void showQueue(IntSupplier queuedSteps) {
        queue = queuedSteps;
    }

    /** Another table from now on: what waits and is recalled in this one begins anew. */
    void startOver() {
        waitingSince.clear();
        recalledSince.clear();
        started = false;
    }

    void beginTurn() {
        turnStartNanos = System.nanoTime();
    }

    void count(Command command, Decision decision, long nowNanos) {
        commands++;
        List<Notice> notices = decision.notices();
        for (int i = 0; i < notices.size(); i++) {
            note(notices.get(i), nowNanos);
        }
        switch (command) {
            case Command.Acquire acquire ->
                acquired(acquire, answer(notices, acquire.sessionId(), acquire.requestId()), nowNanos);
            case Command.Convert convert -> {
                if (answer(notices, convert.sessionId(), convert.requestId()) == null) {
                    startsToWait(convert.sessionId(), convert.requestId(), nowNanos);
                }
            }
            case Command.Shrink shrink -> recallEnds(shrink.lockId(), RecallOutcome.SHRUNK, nowNanos);
            case Command.Tick tick -> countExpiries(decision.changes());
            case Command.OpenSession c -> countSessions(decision.changes());
            case Command.CloseSession c -> countSessions(decision.changes());
            case Command.Renew c -> {}
            case Command.Split c -> {}
            case Command.Reassert c -> {}
            case Command.ConfigureVolume c -> {}
            case Command.Cancel c -> {}
            case Command.Promote c -> {}
            case Command.Release c -> {}
            case Command.PutValue c -> {}
            case Command.AckLost c -> {}
            case Command.Progress c -> {}
            case Command.ForceRelease c -> {}
        }
        if (!recalledSince.isEmpty()) {
            endRecalls(decision.changes(), nowNanos);
        }
    }

    private void note(Notice notice, long nowNanos) {
        switch (notice) {
            case Notice.Granted g -> {
                grantsNow++;
                long waited = waitEnds(g.sessionId(), g.requestId(), WaitOutcome.GRANTED, nowNanos);
                traces.granted(g, turnStartNanos, waited);
            }
            case Notice.GrantedAll g -> {
                grantsNow += g.locks().size();
                long waited = waitEnds(g.sessionId(), g.requestId(), WaitOutcome.GRANTED, nowNanos);
                g.locks().forEach(lock -> traces.granted(lock, turnStartNanos, waited));
            }
            case Notice.Recall r -> {
                recalls.increment();
                if (!recalledSince.containsKey(r.lockId())) {
                    recalledSince.put(r.lockId(), nowNanos);
                }
            }
            case Notice.Lost l -> {
                losses.increment();
                recallEnds(l.lockId(), RecallOutcome.REVOKED, nowNanos);
            }
            case Notice.RenewalAnswered r -> renewalsNow++;
            case Notice.Refused r -> refused(r, nowNanos);
            case Notice.SessionEnded e -> sessionEnds(e.sessionId(), nowNanos);
            case Notice.Done d -> {}
            case Notice.ValueStored v -> {}
        }
    }

    private void refused(Notice.Refused refused, long nowNanos) {
        Counter counter = refusals.get(refused.reason());
        if (counter != null) {
            counter.increment();
        }
        if (refused.reason() == Reason.DEADLOCK) {
            deadlocks.increment();
        }
        waitEnds(
                refused.sessionId(),
                refused.requestId(),
                switch (refused.reason()) {
                    case DEADLINE -> WaitOutcome.DEADLINE;
                    case CANCELLED -> WaitOutcome.CANCELLED;
                    case DEADLOCK -> WaitOutcome.DEADLOCK;
                    case INVALID_RANGE,
                            INVALID_MODE,
                            INVALID_NAME,
                            INVALID_ARGUMENT,
                            UNKNOWN_SESSION,
                            UNKNOWN_LOCK,
                            UNKNOWN_REQUEST,
                            WOULD_BLOCK,
                            VERSION_MISMATCH,
                            NOT_HOLDER,
                            LIMIT_EXCEEDED,
                            RECOVERING -> WaitOutcome.LOST;
                },
                nowNanos);
    }

    private void acquired(Command.Acquire acquire, Notice.@Nullable Answer answer, long nowNanos) {
        String outcome;
        switch (answer) {
            case null -> {
                queuedNow++;
                startsToWait(acquire.sessionId(), acquire.requestId(), nowNanos);
                outcome = "queued";
            }
            case Notice.Refused refused -> {
                refusedNow++;
                outcome = refused.reason().name();
            }
            case Notice.Granted g -> {
                atOnceNow++;
                outcome = "granted";
            }
            case Notice.GrantedAll g -> {
                atOnceNow++;
                outcome = "granted";
            }
            case Notice.Done d -> outcome = "done";
            case Notice.ValueStored v -> outcome = "done";
        }
        LockJfr.Acquire event = new LockJfr.Acquire();
        if (event.isEnabled()) {
            event.volume = acquire.volume();
            event.start = acquire.start();
            event.end = acquire.end();
            event.mode = acquire.mode().name();
            event.outcome = outcome;
            event.commit();
        }
    }

    private static Notice.@Nullable Answer answer(List<Notice> notices, String sessionId, long requestId) {
        for (int i = 0; i < notices.size(); i++) {
            if (notices.get(i) instanceof Notice.Answer answer
                    && answer.requestId() == requestId
                    && answer.sessionId().equals(sessionId)) {
                return answer;
            }
        }
        return null;
    }

    private void startsToWait(String sessionId, long requestId, long nowNanos) {
        waits.increment();
        waitingSince.computeIfAbsent(sessionId, s -> new HashMap<>()).putIfAbsent(requestId, nowNanos);
    }

    /** Returns how long it waited; 0: it did not. */
    private long waitEnds(String sessionId, long requestId, WaitOutcome outcome, long nowNanos) {
        if (waitingSince.isEmpty()) {
            return 0;
        }
        Map<Long, Long> ofSession = waitingSince.get(sessionId);
        if (ofSession == null) {
            return 0;
        }
        Long since = ofSession.remove(requestId);
        if (ofSession.isEmpty()) {
            waitingSince.remove(sessionId);
        }
        if (since == null) {
            return 0;
        }
        waited(sessionId, requestId, nowNanos - since, outcome);
        return nowNanos - since;
    }

    private void sessionEnds(String sessionId, long nowNanos) {
        Map<Long, Long> lost = waitingSince.remove(sessionId);
        if (lost != null) {
            lost.forEach((requestId, since) -> waited(sessionId, requestId, nowNanos - since, WaitOutcome.LOST));
        }
    }

    private void waited(String sessionId, long requestId, long nanos, WaitOutcome outcome) {
        Timer timer = waitTimes.get(outcome);
        if (timer != null) {
            timer.record(nanos, TimeUnit.NANOSECONDS);
        }
        LockJfr.Wait event = new LockJfr.Wait();
        if (event.isEnabled()) {
            event.session = sessionId;
            event.request = requestId;
            event.waitedNanos = nanos;
            event.outcome = name(outcome);
            event.commit();
        }
    }

    private void endRecalls(List<Change> changes, long nowNanos) {
        for (int i = 0; i < changes.size(); i++) {
            if (changes.get(i) instanceof Change.LockGone gone) {
                recallEnds(gone.lockId(), RecallOutcome.RELEASED, nowNanos);
            }
        }
    }

    private void recallEnds(long lockId, RecallOutcome outcome, long nowNanos) {
        long since = recalledSince.isEmpty() ? NOT_RECALLED : recalledSince.remove(lockId);
        if (since == NOT_RECALLED) {
            return;
        }
        Timer timer = recallTimes.get(outcome);
        if (timer != null) {
            timer.record(nowNanos - since, TimeUnit.NANOSECONDS);
        }
        LockJfr.Recall event = new LockJfr.Recall();
        if (event.isEnabled()) {
            event.lock = lockId;
            event.tookNanos = nowNanos - since;
            event.outcome = name(outcome);
            event.commit();
        }
    }

    /** Only time ends a session in a tick. */
    private void countExpiries(List<Change> changes) {
        for (int i = 0; i < changes.size(); i++) {
            if (changes.get(i) instanceof Change.SessionClosed) {
                expiries.increment();
            }
        }
        countSessions(changes);
    }

    private void countSessions(List<Change> changes) {
        for (int i = 0; i < changes.size(); i++) {
            Change change = changes.get(i);
            if (change instanceof Change.SessionOpened) {
                sessions.incrementAndGet();
            } else if (change instanceof Change.SessionClosed) {
                sessions.decrementAndGet();
            }
        }
    }

    void written(long nanos, boolean synced) {
        (synced ? syncs : writes).record(nanos, TimeUnit.NANOSECONDS);
    }

    /** Carries what was counted to the registry. */
    void endOfTurn() {
        if (commands == 0) {
            return;
        }
        turns.record(System.nanoTime() - turnStartNanos, TimeUnit.NANOSECONDS);
        turnCommands.record(commands);
        add(grants, grantsNow);
        add(atOnce, atOnceNow);
        add(queued, queuedNow);
        add(refusedAtOnce, refusedNow);
        add(renewals, renewalsNow);
        commands = 0;
        grantsNow = 0;
        atOnceNow = 0;
        queuedNow = 0;
        refusedNow = 0;
        renewalsNow = 0;
    }

    private static void add(Counter counter, long amount) {
        if (amount > 0) {
            counter.increment(amount);
        }
    }

    void refresh(LockTable table, long nowNanos) {
        if (!started) {
            started = true;
            nextRefreshNanos = nowNanos;
            sessions.set(table.sessionCount());
        }
        if (nowNanos - nextRefreshNanos < 0) {
            return;
        }
        long before = System.nanoTime();
        List<VolumeView> all = table.volumes();
        volumes.set(all.size());
        long entries = 0;
        for (VolumeView volume : all) {
            entries += table.indexEntries(volume.name());
        }
        indexEntries.set(entries);
        List<VolumeView> shown = all.size() <= MAX_VOLUMES_SHOWN ? all : List.of();
        held.register(
                shown.stream()
                        .map(v -> MultiGauge.Row.of(Tags.of("volume", v.name()), v.held()))
                        .toList(),
                true);
        waiting.register(
                shown.stream()
                        .map(v -> MultiGauge.Row.of(Tags.of("volume", v.name()), v.waiting()))
                        .toList(),
                true);
        nextRefreshNanos = nowNanos + Math.max(REFRESH_NANOS, REFRESH_SHARE * (System.nanoTime() - before));
    }

    private static String name(Enum<?> outcome) {
        return outcome.name().toLowerCase(Locale.ROOT);
    }
}
