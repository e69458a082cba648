package io.terminus.lockmgr.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Range;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

/** The turns of the loop are taken by hand here, so that a call can be given up at any moment. */
class GivingUpTest {
    private final LockTable table = new LockTable(Settings.defaults(), 1, 0);
    private final SessionDesk desk = new SessionDesk();
    private final List<LockLoop.Step> queue = new ArrayList<>();
    private final List<Object> sayings = new ArrayList<>();

    @Test
    void aCallThatGivesUpLateDoesNotReleaseWhatALaterCallOfTheSameIdWasToldItHolds() throws Exception {
        LockService service = new LockService(
                new LockLoop() {
                    @Override
                    public void submit(Step step) {
                        synchronized (queue) {
                            queue.add(step);
                        }
                    }

                    @Override
                    public void enqueue(Step step) {
                        submit(step);
                    }

                    @Override
                    public void turn() {}
                },
                desk,
                new WatchDesk(1),
                new ServiceLimits(64, 64, 1 << 20, 1000, 1, 10),
                1,
                () -> null);
        Server server =
                NettyServerBuilder.forPort(0).addService(service.bind()).build().start();
        ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", server.getPort())
                .usePlaintext()
                .build();
        table.apply(new Command.OpenSession("s", "s", 0), 0);
        AcquireLockRequest request = AcquireLockRequest.newBuilder()
                .setSessionId("s")
                .setRequestId(7)
                .setAcquire(Acquire.newBuilder()
                        .setVolume("v")
                        .setMode(Mode.MODE_EX)
                        .setRange(Range.newBuilder().setEnd(10)))
                .build();

        Context.CancellableContext first = Context.current().withCancellation();
        List<Object> unheard = new ArrayList<>();
        first.run(() -> unheard.add(LockServiceGrpc.newFutureStub(channel).acquireLock(request)));
        LockLoop.Step asked = next(1);
        run(asked); // granted; the answer is not said yet
        first.cancel(null);
        LockLoop.Step givesUp = next(1);
        say();
        CompletableFuture<Answer> second = new CompletableFuture<>();
        Thread.startVirtualThread(
                () -> second.complete(LockServiceGrpc.newBlockingStub(channel).acquireLock(request)));
        LockLoop.Step askedAgain = next(1);
        run(askedAgain);
        say();
        assertThat(second.get().hasGranted()).isTrue();
        run(givesUp);
        say();

        assertThat(table.heldBy("s")).hasSize(1); // the second caller has been told so, and nobody tells it otherwise
        channel.shutdownNow();
        server.shutdownNow();
    }

    private LockLoop.Step next(int count) {
        await().until(() -> {
            synchronized (queue) {
                return queue.size() >= count;
            }
        });
        synchronized (queue) {
            return queue.removeFirst();
        }
    }

    private void run(LockLoop.Step step) {
        step.run(new LockLoop.Turn() {
            @Override
            public LockTable table() {
                return table;
            }

            @Override
            public LockTable.Decision apply(Command command) {
                LockTable.Decision decision = table.apply(command, 0);
                sayings.addAll(decision.notices());
                return decision;
            }

            @Override
            public void afterwards(Runnable saying) {
                sayings.add(saying);
            }

            @Override
            public void aside(Runnable task) {
                sayings.add(task);
            }

            @Override
            public void renew(Command.Renew command, BooleanSupplier current) {
                apply(command);
            }

            @Override
            public long nowNanos() {
                return 0;
            }
        });
    }

    private void say() {
        sayings.forEach(saying -> {
            if (saying instanceof Runnable runnable) {
                runnable.run();
            } else {
                desk.deliver((Notice) saying, table, 0);
            }
        });
        sayings.clear();
        desk.endOfTurn();
    }
}
