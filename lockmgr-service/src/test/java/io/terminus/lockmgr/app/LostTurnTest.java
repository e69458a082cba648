package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.grpc.LockAdminService;
import io.terminus.lockmgr.grpc.LockService;
import io.terminus.lockmgr.grpc.ServiceLimits;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.ConfigureVolumeRequest;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.ListBlockersRequest;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockAdminGrpc.LockAdminBlockingStub;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc.LockServiceBlockingStub;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.OperateRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.WatchVolumesRequest;
import io.terminus.security.AuditLog;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.springframework.util.unit.DataSize;

/** A leader whose group does not take a turn any more: whoever asked in that turn is answered, and nobody hears what is not decided. */
@Timeout(60)
class LostTurnTest {

    private static final long TTL_MILLIS = 20_000;
    private static final long PATIENCE_SECONDS = 30;

    @TempDir
    Path directory;

    private final FakeGroup group = new FakeGroup();
    private final CompletableFuture<Boolean> over = new CompletableFuture<>();
    private LockManager manager;
    private Server server;
    private ManagedChannel channel;
    private String session = "";
    private long heldLock;

    /** A journal in memory, and from some moment on the group takes nothing that somebody is to hear. */
    private static final class FakeGroup implements Journal {
        private volatile boolean lost;
        private boolean appended;

        @Override
        public void append(List<Change> changes) {
            appended = true;
        }

        @Override
        public boolean gathersRenewals() {
            return true;
        }

        @Override
        public void renewed(String sessionId, long nowNanos) {}

        @Override
        public boolean mayWait(boolean heard, long nowNanos) {
            return heard || appended;
        }

        @Override
        public void commit(boolean heard, long nowNanos) {
            if (lost && mayWait(heard, nowNanos)) {
                throw new LeadLostException("another one leads");
            }
            appended = false;
        }

        @Override
        public void recoveryOver() {}

        @Override
        public long syncs() {
            return 0;
        }

        @Override
        public long appends() {
            return 0;
        }

        @Override
        public void close() {}
    }

    private record Stubs(LockServiceBlockingStub locks, LockAdminBlockingStub admin, String session, long lockId) {}

    private interface Asking {
        void of(Stubs stubs);
    }

    /** Every call that has one answer, and what the answer is when nobody knows what became of it. */
    private enum Call {
        OPEN_SESSION(
                Status.Code.UNKNOWN,
                to -> to.locks.openSession(OpenSessionRequest.newBuilder()
                        .setOwner("late")
                        .setTtlMillis(TTL_MILLIS)
                        .build())),
        CLOSE_SESSION(
                Status.Code.UNKNOWN,
                to -> to.locks.closeSession(CloseSessionRequest.newBuilder()
                        .setSessionId(to.session)
                        .build())),
        ACQUIRE(Status.Code.UNKNOWN, to -> to.locks.acquireLock(acquire(to.session, 50, 0))),
        RELEASE(
                Status.Code.UNKNOWN,
                to -> to.locks.releaseLock(ReleaseLockRequest.newBuilder()
                        .setSessionId(to.session)
                        .setLockId(to.lockId)
                        .build())),
        OPERATE(
                Status.Code.UNKNOWN,
                to -> to.locks.operate(OperateRequest.newBuilder()
                        .setSessionId(to.session)
                        .setOperation(Operation.newBuilder()
                                .setGetValue(GetValue.newBuilder().setVolume("v")))
                        .build())),
        FORCE_RELEASE(
                Status.Code.UNKNOWN,
                to -> to.admin.forceRelease(ForceReleaseRequest.newBuilder()
                        .setVolume("v")
                        .setLockId(to.lockId)
                        .build())),
        CONFIGURE_VOLUME(
                Status.Code.UNKNOWN,
                to -> to.admin.configureVolume(ConfigureVolumeRequest.newBuilder()
                        .setVolume("v")
                        .setLockDelayMillis(1)
                        .build())),
        GET_VALUE(
                Status.Code.UNAVAILABLE,
                to -> to.locks.getValueBlock(
                        GetValue.newBuilder().setVolume("v").build())),
        LIST_VOLUMES(Status.Code.UNAVAILABLE, to -> to.admin.listVolumes(ListVolumesRequest.getDefaultInstance())),
        LIST_LOCKS(Status.Code.UNAVAILABLE, to -> to.admin.listLocks(ListLocksRequest.getDefaultInstance())),
        LIST_SESSIONS(Status.Code.UNAVAILABLE, to -> to.admin.listSessions(ListSessionsRequest.getDefaultInstance())),
        LIST_BLOCKERS(Status.Code.UNAVAILABLE, to -> to.admin.listBlockers(ListBlockersRequest.getDefaultInstance())),
        GET_CONTENTION(
                Status.Code.UNAVAILABLE, to -> to.admin.getContention(GetContentionRequest.getDefaultInstance())),
        WATCH_VOLUMES(
                Status.Code.UNAVAILABLE,
                to -> to.admin
                        .watchVolumes(WatchVolumesRequest.getDefaultInstance())
                        .next());

        private final Status.Code code;
        private final Asking asking;

        Call(Status.Code code, Asking asking) {
            this.code = code;
            this.asking = asking;
        }
    }

    @BeforeEach
    void start() throws IOException {
        SessionDesk desk = new SessionDesk();
        WatchDesk watches = new WatchDesk(10);
        AuditLog audit = new AuditLog(directory);
        LockTable table = new LockTable(Settings.defaults(), 1, 0);
        long beganNanos = System.nanoTime();
        manager = new LockManager(
                table,
                group,
                desk,
                watches,
                audit,
                () -> System.nanoTime() - beganNanos,
                new LockMetrics(new SimpleMeterRegistry(), group, watches::count),
                () -> over.complete(true));
        manager.start();
        ServiceLimits limits =
                new ServiceLimits(64, 4096, (int) DataSize.ofMegabytes(4).toBytes(), 1000, 10, 500);
        server = NettyServerBuilder.forPort(0)
                .addService(new LockService(manager, desk, watches, limits, 1, () -> null).bind())
                .addService(new LockAdminService(manager, desk, audit).bind())
                .build()
                .start();
        channel = NettyChannelBuilder.forAddress("127.0.0.1", server.getPort())
                .usePlaintext()
                .build();
        session = locks().openSession(OpenSessionRequest.newBuilder()
                        .setOwner("holder")
                        .setTtlMillis(TTL_MILLIS)
                        .build())
                .getSessionId();
        heldLock = locks().acquireLock(acquire(session, 0, 0)).getGranted().getLockId();
    }

    @AfterEach
    void stop() {
        channel.shutdownNow();
        server.shutdownNow();
        if (!over.isDone()) {
            manager.close();
        }
    }

    @ParameterizedTest
    @EnumSource
    void everyCallOfATurnThatIsLostIsAnswered(Call call) {
        group.lost = true;

        StatusRuntimeException answer = catchThrowableOfType(
                StatusRuntimeException.class,
                () -> call.asking.of(new Stubs(
                        locks(),
                        LockAdminGrpc.newBlockingStub(channel).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS),
                        session,
                        heldLock)));

        assertThat(answer.getStatus().getCode()).isEqualTo(call.code);
        assertThat(over.join()).isTrue();
    }

    @Test
    void whoWaitsSinceAnEarlierTurnIsTold() {
        String other = locks().openSession(OpenSessionRequest.newBuilder()
                        .setOwner("waiter")
                        .setTtlMillis(TTL_MILLIS)
                        .build())
                .getSessionId();
        var waits = LockServiceGrpc.newFutureStub(channel)
                .withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS)
                .acquireLock(acquire(other, 0, 20_000));
        await().until(() -> manager.ask((table, attached, now) ->
                table.volumes("", 1).items().getFirst().waiting() == 1));
        group.lost = true;

        StatusRuntimeException loses = catchThrowableOfType(
                StatusRuntimeException.class, () -> locks().getValueBlock(GetValue.getDefaultInstance()));

        ExecutionException answer = catchThrowableOfType(ExecutionException.class, waits::get);
        assertThat(loses.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(Status.fromThrowable(answer).getCode()).isEqualTo(Status.Code.UNKNOWN);
        assertThat(answer).hasMessageContaining("whether this was done is not known");
    }

    @Test
    void aStreamThatAttachesInATurnThatIsLostEnds() {
        group.lost = true;

        TestStream stream = TestStream.open(LockServiceGrpc.newStub(channel), "late", TTL_MILLIS);

        assertThat(stream.end().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(stream.end().getDescription()).contains("does not lead its group any more");
    }

    @Test
    void anOperatorOverRestIsTold() {
        group.lost = true;

        assertThat(catchThrowableOfType(AdminRefusedException.class, () -> manager.closeSession("ops", session)))
                .hasMessageContaining("does not lead its group any more; whether this was done is not known");
    }

    @Test
    void aWatcherHearsNothingThatTheGroupHasNotDecided() {
        group.lost = true;

        TestWatch watch = TestWatch.start(LockServiceGrpc.newStub(channel), "v");

        assertThat(watch.end().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(watch.heard()).isZero();
    }

    private LockServiceBlockingStub locks() {
        return LockServiceGrpc.newBlockingStub(channel).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private static AcquireLockRequest acquire(String session, long start, long waitMillis) {
        return AcquireLockRequest.newBuilder()
                .setSessionId(session)
                .setAcquire(Acquire.newBuilder()
                        .setVolume("v")
                        .setRange(Range.newBuilder().setStart(start).setEnd(start + 10))
                        .setMode(Mode.MODE_EX)
                        .setWaitMillis(waitMillis))
                .build();
    }
}
