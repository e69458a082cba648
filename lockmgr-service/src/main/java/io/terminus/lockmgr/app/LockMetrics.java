package io.terminus.lockmgr.app;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.MultiGauge;
import io.micrometer.core.instrument.Tags;
import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.LockTable.VolumeView;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Reason;
import io.terminus.lockmgr.store.DecisionStore;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * What happened, counted, and how much is held and waited for by volume. Volumes have gauges only while there are at most
 * {@value #MAX_VOLUMES_SHOWN} of them. Owner thread of the table.
 */
final class LockMetrics {

    static final int MAX_VOLUMES_SHOWN = 200;

    private static final long REFRESH_NANOS = TimeUnit.SECONDS.toNanos(5);

    private final Counter grants;
    private final Counter waits;
    private final Counter recalls;
    private final Counter losses;
    private final Counter expiries;
    private final Counter renewals;
    private final Map<Reason, Counter> refusals = new EnumMap<>(Reason.class);
    private final MultiGauge held;
    private final MultiGauge waiting;
    private long refreshedNanos;
    private boolean refreshed;

    LockMetrics(MeterRegistry registry, DecisionStore store) {
        grants = registry.counter("terminus.lock.grants");
        waits = registry.counter("terminus.lock.waits");
        recalls = registry.counter("terminus.lock.recalls");
        losses = registry.counter("terminus.lock.losses");
        expiries = registry.counter("terminus.lock.expiries");
        renewals = registry.counter("terminus.lock.renewals");
        for (Reason reason : Reason.values()) {
            refusals.put(reason, registry.counter("terminus.lock.refusals", "reason", reason.name()));
        }
        held = MultiGauge.builder("terminus.lock.held").register(registry);
        waiting = MultiGauge.builder("terminus.lock.waiting").register(registry);
        FunctionCounter.builder("terminus.store.syncs", store, DecisionStore::syncs)
                .register(registry);
        FunctionCounter.builder("terminus.store.decisions", store, DecisionStore::appends)
                .register(registry);
    }

    void count(Command command, Decision decision) {
        boolean answered = false;
        for (Notice notice : decision.notices()) {
            answered |= notice instanceof Notice.Answer;
            switch (notice) {
                case Notice.Granted g -> grants.increment();
                case Notice.GrantedAll g -> grants.increment(g.locks().size());
                case Notice.Recall r -> recalls.increment();
                case Notice.Lost l -> losses.increment();
                case Notice.RenewalAnswered r -> renewals.increment();
                case Notice.Refused r -> {
                    Counter counter = refusals.get(r.reason());
                    if (counter != null) {
                        counter.increment();
                    }
                }
                case Notice.Done d -> {}
                case Notice.ValueStored v -> {}
                case Notice.SessionEnded e -> {}
            }
        }
        if (command instanceof Command.Acquire && !answered) {
            waits.increment();
        }
        if (command instanceof Command.Tick) {
            // Only time ends a session in a tick.
            for (Change change : decision.changes()) {
                if (change instanceof Change.SessionClosed) {
                    expiries.increment();
                }
            }
        }
    }

    void refresh(LockTable table, long nowNanos) {
        if (refreshed && nowNanos - refreshedNanos < REFRESH_NANOS) {
            return;
        }
        refreshed = true;
        refreshedNanos = nowNanos;
        List<VolumeView> volumes = table.volumes();
        List<VolumeView> shown = volumes.size() <= MAX_VOLUMES_SHOWN ? volumes : List.of();
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
    }
}
