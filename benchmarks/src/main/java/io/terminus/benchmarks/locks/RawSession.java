package io.terminus.benchmarks.locks;

import io.grpc.Channel;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Release;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A session stream without the client library: what is sent leaves as it is, answers come back one by one. Renews nothing, so it lives for one
 * ttl. Any thread may send; answers are heard on gRPC's threads, one at a time.
 */
final class RawSession implements AutoCloseable {

    private static final int OPEN_SECONDS = 30;

    private final StreamObserver<ClientMessage> out;
    private final CompletableFuture<Welcome> welcome = new CompletableFuture<>();

    /** @param broken hears why the stream ended, unless it was closed here */
    RawSession(Channel channel, String owner, Consumer<Answer> answers, Consumer<Throwable> broken) throws Exception {
        this.out = LockServiceGrpc.newStub(channel).session(new StreamObserver<>() {
            @Override
            public void onNext(ServerMessage message) {
                if (message.hasWelcome()) {
                    welcome.complete(message.getWelcome());
                }
                for (Answer answer : message.getAnswersList()) {
                    answers.accept(answer);
                }
            }

            @Override
            public void onError(Throwable failure) {
                welcome.completeExceptionally(failure);
                broken.accept(failure);
            }

            @Override
            public void onCompleted() {
                // As asked for.
            }
        });
        send(ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder().setOwner(owner).setTtlMillis(Sessions.MAX_TTL_SECONDS * 1000L))
                .build());
        welcome.get(OPEN_SECONDS, TimeUnit.SECONDS);
    }

    synchronized void send(ClientMessage message) {
        out.onNext(message);
    }

    void send(Operation operation) {
        send(ClientMessage.newBuilder().addOperations(operation).build());
    }

    static Operation acquire(long requestId, String volume, long slot) {
        return Operation.newBuilder()
                .setRequestId(requestId)
                .setAcquire(exclusive(volume, slot))
                .build();
    }

    /** The slot-th 64 KiB of the volume, waited for as long as anybody may. */
    static Acquire.Builder exclusive(String volume, long slot) {
        return Acquire.newBuilder()
                .setVolume(volume)
                .setRange(slot(slot))
                .setMode(Mode.MODE_EX)
                .setWaitMillis(TimeUnit.HOURS.toMillis(1));
    }

    static Range.Builder slot(long slot) {
        return Range.newBuilder().setStart(slot * Sessions.SLOT_BYTES).setEnd((slot + 1) * Sessions.SLOT_BYTES);
    }

    static Operation release(long requestId, long lockId) {
        return Operation.newBuilder()
                .setRequestId(requestId)
                .setRelease(Release.newBuilder().setLockId(lockId))
                .build();
    }

    @Override
    public void close() {
        out.onCompleted();
    }
}
