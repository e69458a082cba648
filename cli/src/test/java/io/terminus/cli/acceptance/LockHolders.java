package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Range;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Sessions that hold locks and wait for some, and give nothing back when they are asked. */
final class LockHolders implements AutoCloseable {

    /** Longer than any story; the set's lock manager must allow it. */
    static final long TTL_MILLIS = 600_000;

    private static final long PATIENCE_SECONDS = 30;

    private final ManagedChannel channel;
    private final Map<String, String> sessions = new HashMap<>();

    LockHolders(String lockManager) {
        channel = NettyChannelBuilder.forTarget(lockManager).usePlaintext().build();
    }

    /** Holds it when this returns. */
    void hold(String owner, String volume, Mode mode, long start, long end) {
        Answer answer = ask(owner, volume, mode, start, end)
                .orTimeout(PATIENCE_SECONDS, TimeUnit.SECONDS)
                .join();
        if (!answer.hasGranted()) {
            throw new AssertionError(owner + " was not granted: " + answer);
        }
    }

    /** Waits, if it has to, until the session ends. */
    CompletableFuture<Answer> ask(String owner, String volume, Mode mode, long start, long end) {
        AcquireLockRequest request = AcquireLockRequest.newBuilder()
                .setSessionId(session(owner))
                .setAcquire(Acquire.newBuilder()
                        .setVolume(volume)
                        .setRange(Range.newBuilder().setStart(start).setEnd(end))
                        .setMode(mode)
                        .setWaitMillis(TTL_MILLIS))
                .build();
        CompletableFuture<Answer> answered = new CompletableFuture<>();
        LockServiceGrpc.newStub(channel).acquireLock(request, new StreamObserver<>() {
            @Override
            public void onNext(Answer answer) {
                answered.complete(answer);
            }

            @Override
            public void onError(Throwable failure) {
                answered.completeExceptionally(failure);
            }

            @Override
            public void onCompleted() {
                // The answer was all.
            }
        });
        return answered;
    }

    /** Returns when so many requests wait for locks of this volume. */
    void awaitWaiting(String volume, int waiting) {
        ListLocksRequest request =
                ListLocksRequest.newBuilder().setVolume(volume).setWaiting(true).build();
        await().atMost(Duration.ofSeconds(PATIENCE_SECONDS))
                .until(() -> LockAdminGrpc.newBlockingStub(channel)
                                .withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS)
                                .listLocks(request)
                                .getLocksCount()
                        == waiting);
    }

    private String session(String owner) {
        return sessions.computeIfAbsent(
                owner,
                o -> LockServiceGrpc.newBlockingStub(channel)
                        .withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS)
                        .openSession(OpenSessionRequest.newBuilder()
                                .setOwner(o)
                                .setTtlMillis(TTL_MILLIS)
                                .build())
                        .getSessionId());
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
