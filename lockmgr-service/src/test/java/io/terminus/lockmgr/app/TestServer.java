package io.terminus.lockmgr.app;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreSettings;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.security.AuditLog;
import io.terminus.security.Exposure;
import io.terminus.security.TlsKeys;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.springframework.util.unit.DataSize;

/** A lock manager on a free port, with everything but Spring, and one channel to it. */
final class TestServer implements AutoCloseable {

    static final Duration TTL = Duration.ofSeconds(20);

    private static final long MAX_LOCKS = 10_000;

    static final LockManagerProperties.Limits LIMITS = new LockManagerProperties.Limits(
            100,
            100,
            10_000,
            1000,
            10_000,
            1000,
            128,
            DataSize.ofKilobytes(4),
            64,
            4096,
            DataSize.ofMegabytes(4),
            10,
            500);

    final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    final LockManager manager;
    final DecisionStore store;
    final CountDownLatch failed = new CountDownLatch(1);
    private final WatchDesk watches;
    private final GrpcServer server;
    private final ManagedChannel channel;

    TestServer(Path directory, int outboundLimit) {
        this(directory, outboundLimit, "boot-1");
    }

    TestServer(Path directory, int outboundLimit, String bootId) {
        this(directory, outboundLimit, bootId, LIMITS);
    }

    TestServer(Path directory, int outboundLimit, String bootId, LockManagerProperties.Limits limits) {
        this(directory, outboundLimit, bootId, limits, null);
    }

    /** Callers have to show certificates; the channel here has none. */
    TestServer(Path directory, TlsKeys keys) {
        this(directory, 1000, "boot-1", LIMITS, keys);
    }

    private TestServer(
            Path directory,
            int outboundLimit,
            String bootId,
            LockManagerProperties.Limits limits,
            @Nullable TlsKeys keys) {
        LockManagerProperties properties = new LockManagerProperties(
                directory,
                0,
                "127.0.0.1",
                Duration.ofMillis(200),
                TTL,
                TTL,
                Duration.ofSeconds(5),
                Duration.ofSeconds(30),
                DataSize.ofMegabytes(64),
                MAX_LOCKS,
                0,
                outboundLimit,
                limits,
                LockManagerProperties.Mode.STANDALONE,
                1,
                LockManagerProperties.Cluster.NONE,
                null);
        store = DecisionStore.open(new StoreSettings(
                directory, bootId, 1 << 20, MAX_LOCKS, properties.maxTtl().toNanos(), 0));
        SingleNode node = new SingleNode(properties, store, registry, failed::countDown);
        manager = node.manager;
        watches = node.watches;
        server = new GrpcServer(properties, node, keys, new Exposure(false));
        server.start();
        channel = NettyChannelBuilder.forAddress("127.0.0.1", server.port())
                .usePlaintext()
                .build();
    }

    /** The turns alone, not started. Time is what the clock says, and begins at 0. */
    static LockManager loop(Path directory, LongSupplier clock, Runnable onFailure) {
        LockManagerProperties properties = new LockManagerProperties(
                directory,
                0,
                "127.0.0.1",
                Duration.ofMillis(200),
                TTL,
                TTL,
                Duration.ofSeconds(5),
                Duration.ofSeconds(30),
                DataSize.ofMegabytes(64),
                1000,
                0,
                1000,
                LIMITS,
                LockManagerProperties.Mode.STANDALONE,
                1,
                LockManagerProperties.Cluster.NONE,
                null);
        DecisionStore store =
                DecisionStore.open(new StoreSettings(directory, "boot-1", 1 << 20, 1000, TTL.toNanos(), 0));
        WatchDesk watches = new WatchDesk(10);
        Journal journal = new LocalJournal(store);
        return new LockManager(
                SingleNode.table(properties, store, 0),
                journal,
                new SessionDesk(),
                watches,
                new AuditLog(directory),
                clock,
                new LockMetrics(new SimpleMeterRegistry(), journal, watches::count),
                onFailure);
    }

    LockServiceGrpc.LockServiceStub async() {
        return LockServiceGrpc.newStub(channel);
    }

    LockServiceGrpc.LockServiceBlockingStub blocking() {
        return LockServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    LockAdminGrpc.LockAdminBlockingStub admin() {
        return LockAdminGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    int port() {
        return server.port();
    }

    int watchers() {
        return watches.count();
    }

    ManagedChannel channel() {
        return channel;
    }

    @Override
    public void close() {
        server.stop();
        channel.shutdownNow();
    }
}
