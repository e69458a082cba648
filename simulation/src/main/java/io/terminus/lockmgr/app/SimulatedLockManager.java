package io.terminus.lockmgr.app;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.grpc.LockAdminService;
import io.terminus.lockmgr.grpc.LockService;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreSettings;
import io.terminus.security.AuditLog;
import io.terminus.simulation.kernel.World;
import io.terminus.simulation.standin.Grpc;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.LongSupplier;
import org.springframework.util.unit.DataSize;

/** The lock manager's process without Spring: what {@link SingleNode} makes, in the same order. */
public final class SimulatedLockManager {

    private final LockTable table;
    private final LockManager manager;

    private SimulatedLockManager(LockTable table, LockManager manager) {
        this.table = table;
        this.manager = manager;
    }

    /** @param compactAfterBytes small, so that generations of the log end in a short run */
    public static SimulatedLockManager start(
            Path directory, int port, String bootId, Duration maxTtl, long compactAfterBytes) {
        LockManagerProperties properties = new LockManagerProperties(
                directory,
                port,
                "0.0.0.0",
                Duration.ofMillis(300),
                maxTtl,
                maxTtl,
                Duration.ofSeconds(1),
                Duration.ofSeconds(5),
                DataSize.ofBytes(compactAfterBytes),
                10_000,
                0,
                65_536,
                new LockManagerProperties.Limits(
                        1000,
                        1000,
                        1000,
                        1000,
                        10_000,
                        1000,
                        128,
                        DataSize.ofKilobytes(4),
                        64,
                        4096,
                        DataSize.ofMegabytes(4),
                        10,
                        100),
                LockManagerProperties.Mode.STANDALONE,
                1,
                LockManagerProperties.Cluster.NONE,
                null);
        DecisionStore store = DecisionStore.open(new StoreSettings(
                properties.dataDir(),
                bootId,
                properties.compactAfter().toBytes(),
                properties.maxLocks(),
                properties.maxTtl().toNanos(),
                properties.epochAtLeast()));
        SessionDesk desk = new SessionDesk();
        WatchDesk watches = new WatchDesk(properties.limits().watchers());
        AuditLog audit = new AuditLog(properties.dataDir());
        LongSupplier clock = () -> World.here().nanoTime();
        LockTable table = SingleNode.table(properties, store, clock.getAsLong());
        Journal journal = new LocalJournal(store);
        LockManager manager = new LockManager(
                table,
                journal,
                desk,
                watches,
                audit,
                clock,
                new LockMetrics(new SimpleMeterRegistry(), journal, watches::count),
                () -> System.exit(LockManagerApplication.EXIT_FAILED));
        manager.start();
        Grpc.serve(
                port,
                List.of(
                        new LockService(manager, desk, watches, properties.service(), store.epoch(), () -> null).bind(),
                        new LockAdminService(manager, desk, audit).bind()));
        return new SimulatedLockManager(table, manager);
    }

    /** For checkers: between two steps nobody changes it. */
    public LockTable table() {
        return table;
    }

    public void close() {
        manager.close();
    }
}
