package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockServiceGrpc.LockServiceStub;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Release;
import io.terminus.proto.lock.v1.Renew;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.util.ArrayDeque;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The client's side of a session stream, without any cleverness. One test thread. */
final class TestStream {

    private static final long PATIENCE_SECONDS = 30;

    private final BlockingQueue<ServerMessage> received = new LinkedBlockingQueue<>();
    private final CompletableFuture<Status> end = new CompletableFuture<>();
    private final ArrayDeque<Answer> answers = new ArrayDeque<>();
    private final ArrayDeque<Event> events = new ArrayDeque<>();
    private final ArrayDeque<Long> renewals = new ArrayDeque<>();
    private final ArrayDeque<Welcome> welcomes = new ArrayDeque<>();
    private final ClientCallStreamObserver<ClientMessage> out;
    private long requestId;

    private TestStream(LockServiceStub stub, boolean reads) {
        ClientResponseObserver<ClientMessage, ServerMessage> in = new ClientResponseObserver<>() {
            @Override
            public void beforeStart(ClientCallStreamObserver<ClientMessage> call) {
                if (!reads) {
                    call.disableAutoRequestWithInitial(0);
                }
            }

            @Override
            public void onNext(ServerMessage message) {
                received.add(message);
            }

            @Override
            public void onError(Throwable t) {
                end.complete(Status.fromThrowable(t));
            }

            @Override
            public void onCompleted() {
                end.complete(Status.OK);
            }
        };
        out = (ClientCallStreamObserver<ClientMessage>) stub.session(in);
    }

    static TestStream open(LockServiceStub stub, String owner, long ttlMillis) {
        TestStream stream = raw(stub);
        stream.send(ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder().setOwner(owner).setTtlMillis(ttlMillis))
                .build());
        return stream;
    }

    static TestStream reattach(LockServiceStub stub, String sessionId) {
        TestStream stream = raw(stub);
        stream.send(attach(sessionId));
        return stream;
    }

    static TestStream raw(LockServiceStub stub) {
        return new TestStream(stub, true);
    }

    static TestStream unread(LockServiceStub stub) {
        return new TestStream(stub, false);
    }

    static ClientMessage attach(String sessionId) {
        return ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder().setSessionId(sessionId))
                .build();
    }

    /** After a reattach: ids that were used on the stream before mean the requests of then. */
    void useIdsAbove(long id) {
        requestId = id;
    }

    void send(ClientMessage message) {
        out.onNext(message);
    }

    void read() {
        out.request(Integer.MAX_VALUE);
    }

    long send(Operation.Builder operation) {
        send(ClientMessage.newBuilder()
                .addOperations(operation.setRequestId(++requestId))
                .build());
        return requestId;
    }

    long acquire(String volume, long start, long end, Mode mode, long waitMillis) {
        return send(Operation.newBuilder()
                .setAcquire(Acquire.newBuilder()
                        .setVolume(volume)
                        .setRange(Range.newBuilder().setStart(start).setEnd(end))
                        .setMode(mode)
                        .setWaitMillis(waitMillis)));
    }

    Granted acquired(String volume, long start, long end, Mode mode) {
        long id = acquire(volume, start, end, mode, 30_000);
        Answer answer = answer();
        assertThat(answer.getRequestId()).isEqualTo(id);
        assertThat(answer.hasGranted()).as("%s", answer).isTrue();
        return answer.getGranted();
    }

    long release(long lockId) {
        return send(Operation.newBuilder().setRelease(Release.newBuilder().setLockId(lockId)));
    }

    void renew(long sequence) {
        send(ClientMessage.newBuilder()
                .setRenew(Renew.newBuilder().setSequence(sequence))
                .build());
    }

    Welcome welcome() {
        return next(welcomes);
    }

    Answer answer() {
        return next(answers);
    }

    Event event() {
        return next(events);
    }

    long renewal() {
        return next(renewals);
    }

    boolean hasRenewal() {
        sort(received.poll());
        return !renewals.isEmpty();
    }

    Status end() {
        return end.orTimeout(PATIENCE_SECONDS, TimeUnit.SECONDS).join();
    }

    void breakOff() {
        out.cancel("broken by the test", null);
    }

    private <T> T next(ArrayDeque<T> kind) {
        try {
            while (kind.isEmpty()) {
                ServerMessage message = received.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
                assertThat(message)
                        .as("nothing came; the stream's end: %s", end)
                        .isNotNull();
                sort(message);
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return kind.remove();
    }

    private void sort(@org.jspecify.annotations.Nullable ServerMessage message) {
        if (message == null) {
            return;
        }
        if (message.hasWelcome()) {
            welcomes.add(message.getWelcome());
        }
        events.addAll(message.getEventsList());
        answers.addAll(message.getAnswersList());
        if (message.hasRenewal()) {
            renewals.add(message.getRenewal().getSequence());
        }
    }
}
