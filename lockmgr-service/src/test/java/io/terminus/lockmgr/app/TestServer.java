package io.terminus.lockmgr.app;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreSettings;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.springframework.util.unit.DataSize;

/** A lock manager on a free port, with everything but Spring, and one channel to it. */
final class TestServer implements AutoCloseable {

    static final Duration TTL = Duration.ofSeconds(20);

    final LockManager manager;
    final DecisionStore store;
    final CountDownLatch failed = new CountDownLatch(1);
    private final GrpcServer server;
    private final ManagedChannel channel;

    TestServer(Path directory, int outboundLimit) {
        this(directory, outboundLimit, "boot-1");
    }

    TestServer(Path directory, int outboundLimit, String bootId) {
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
                outboundLimit);
        store = DecisionStore.open(new StoreSettings(
                directory, bootId, 1 << 20, 1000, properties.maxTtl().toNanos(), 0));
        SessionDesk desk = new SessionDesk();
        BootClock clock = new BootClock();
        LockTable table = LockManagerApplication.table(properties, store, clock.getAsLong());
        manager = new LockManager(
                table, store, desk, clock, new LockMetrics(new SimpleMeterRegistry(), store), failed::countDown);
        manager.start();
        server = new GrpcServer(properties, manager, desk);
        server.start();
        channel = NettyChannelBuilder.forAddress("127.0.0.1", server.port())
                .usePlaintext()
                .build();
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

    ManagedChannel channel() {
        return channel;
    }

    @Override
    public void close() {
        server.stop();
        channel.shutdownNow();
    }
}
