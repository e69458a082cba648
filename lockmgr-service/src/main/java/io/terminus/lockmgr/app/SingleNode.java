package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.grpc.LockAdminService;
import io.terminus.lockmgr.grpc.LockService;
import io.terminus.lockmgr.grpc.ServiceLimits;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreSettings;
import io.terminus.security.Audit;
import io.terminus.security.AuditLog;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A lock manager of one process: its disk remembers what it decided. */
final class SingleNode implements LockNode {

    private static final Logger LOG = LoggerFactory.getLogger(SingleNode.class);

    final LockManager manager;
    final DecisionStore store;
    final WatchDesk watches;
    private final ServiceLimits limits;
    private final SessionDesk desk = new SessionDesk();
    private final AuditLog audit;

    /** @param onFailure ends the process; called once, when the turns have failed */
    static SingleNode start(LockManagerProperties properties, MeterRegistry registry, Runnable onFailure) {
        DecisionStore store = DecisionStore.open(new StoreSettings(
                properties.dataDir(),
                DecisionStore.kernelBootId(),
                properties.compactAfter().toBytes(),
                properties.maxLocks(),
                properties.maxTtl().toNanos(),
                properties.epochAtLeast()));
        try {
            return new SingleNode(properties, store, registry, onFailure);
        } catch (RuntimeException e) {
            store.close();
            throw e;
        }
    }

    SingleNode(LockManagerProperties properties, DecisionStore store, MeterRegistry registry, Runnable onFailure) {
        this.store = store;
        this.watches = new WatchDesk(properties.limits().watchers());
        this.audit = new AuditLog(properties.dataDir());
        BootClock clock = new BootClock();
        LockTable table = table(properties, store, clock.getAsLong());
        this.limits = properties.service();
        Journal journal = new LocalJournal(store);
        this.manager = new LockManager(
                table,
                journal,
                desk,
                watches,
                audit,
                clock,
                new LockMetrics(registry, journal, watches::count),
                onFailure);
        manager.start();
    }

    @Override
    public AdminDesk admin() {
        return manager;
    }

    @Override
    public void serve(MutableHandlerRegistry services, Supplier<@Nullable Executor> eventLoop) {
        var unused =
                services.addService(new LockService(manager, desk, watches, limits, store.epoch(), eventLoop).bind());
        unused = services.addService(new LockAdminService(manager, desk, audit).bind());
    }

    @Override
    public Audit audit() {
        return audit;
    }

    @Override
    public @Nullable String whyNotReady() {
        return null; // its port opens when everything behind it is ready
    }

    @Override
    public long nanosSinceTick() {
        return manager.nanosSinceTick();
    }

    @Override
    public void close() {
        manager.close();
        audit.close();
    }

    /** The table as the store remembers it, with the recovery window that the store asks for. */
    static LockTable table(LockManagerProperties properties, DecisionStore store, long nowNanos) {
        Settings settings;
        try {
            settings = properties.table().withMaxLocks(store.mostLocks());
            properties.service();
        } catch (IllegalArgumentException e) {
            throw new StartRefusedException("the settings cannot be used: " + e.getMessage(), e);
        }
        long recoveryTtlNanos = store.recoveryTtlNanos();
        long recoveryNanos = recoveryTtlNanos == 0 ? 0 : recoveryTtlNanos + LockTable.marginNanos(recoveryTtlNanos);
        if (recoveryNanos > 0) {
            LOG.warn(
                    "grants may have been forgotten by the machine: nothing is granted for {} s",
                    recoveryNanos / 1_000_000_000L);
        }
        LockTable table = new LockTable(settings, store.epoch(), nowNanos, nowNanos + recoveryNanos);
        try {
            table.restore(store.restored());
        } catch (IllegalStateException e) {
            throw new StartRefusedException("data directory damaged: " + e.getMessage(), e);
        }
        LOG.info(
                "epoch {}, data in {}, {} sessions and {} volumes restored",
                store.epoch(),
                properties.dataDir().toAbsolutePath(),
                table.sessions().size(),
                table.volumes().size());
        return table;
    }
}
