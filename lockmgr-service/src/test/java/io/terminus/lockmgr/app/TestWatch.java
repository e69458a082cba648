package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.terminus.proto.lock.v1.LockEvent;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.LockServiceGrpc.LockServiceStub;
import io.terminus.proto.lock.v1.WatchMessage;
import io.terminus.proto.lock.v1.WatchRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A watcher that keeps what it is told. One test thread. */
final class TestWatch {

    private static final long PATIENCE_SECONDS = 30;

    record Pieces(List<LockInfo> held, List<LockInfo> waiting, int messages) {}

    private final BlockingQueue<WatchMessage> received = new LinkedBlockingQueue<>();
    private final CompletableFuture<Status> end = new CompletableFuture<>();
    private @Nullable ClientCallStreamObserver<WatchRequest> call;

    private TestWatch() {}

    static TestWatch start(LockServiceStub stub, String volume) {
        TestWatch watch = unread(stub, volume);
        watch.read(Integer.MAX_VALUE);
        return watch;
    }

    /** Takes one message, and no more before it is asked to. */
    static TestWatch unread(LockServiceStub stub, String volume) {
        TestWatch watch = new TestWatch();
        stub.watch(
                WatchRequest.newBuilder().setVolume(volume).build(),
                new ClientResponseObserver<WatchRequest, WatchMessage>() {
                    @Override
                    public void beforeStart(ClientCallStreamObserver<WatchRequest> out) {
                        watch.call = out;
                        out.disableAutoRequestWithInitial(1);
                    }

                    @Override
                    public void onNext(WatchMessage message) {
                        watch.received.add(message);
                    }

                    @Override
                    public void onError(Throwable t) {
                        watch.end.complete(Status.fromThrowable(t));
                    }

                    @Override
                    public void onCompleted() {
                        watch.end.complete(Status.OK);
                    }
                });
        return watch;
    }

    void read(int messages) {
        assertThat(call).isNotNull();
        if (call != null) {
            call.request(messages);
        }
    }

    void breakOff() {
        assertThat(call).isNotNull();
        if (call != null) {
            call.cancel("broken by the test", null);
        }
    }

    Pieces snapshot() {
        List<LockInfo> held = new ArrayList<>();
        List<LockInfo> waiting = new ArrayList<>();
        int messages = 0;
        boolean complete = false;
        while (!complete) {
            WatchMessage message = next();
            assertThat(message.hasSnapshot()).as("%s", message).isTrue();
            messages++;
            held.addAll(message.getSnapshot().getHeldList());
            waiting.addAll(message.getSnapshot().getWaitingList());
            complete = message.getSnapshot().getComplete();
        }
        return new Pieces(held, waiting, messages);
    }

    LockEvent event() {
        WatchMessage message = next();
        assertThat(message.hasEvent()).as("%s", message).isTrue();
        return message.getEvent();
    }

    /** Messages that came and were not asked for yet. */
    int heard() {
        return received.size();
    }

    Status end() {
        return end.orTimeout(PATIENCE_SECONDS, TimeUnit.SECONDS).join();
    }

    private WatchMessage next() {
        try {
            WatchMessage message = received.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            if (message == null) {
                throw new AssertionError("nothing came; the watch's end: " + end);
            }
            return message;
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
