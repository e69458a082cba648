package io.terminus.benchmarks.locks;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.VolumeInfo;
import io.terminus.proto.lock.v1.Welcome;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntToLongFunction;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * Many sessions over few connections. They are opened by unary calls and have no stream, so each lives for exactly one lease from its
 * opening: enough to hold and to wait, and the way to let any number of them die at one moment.
 */
final class Sessions implements AutoCloseable {

    static final long SLOT_BYTES = 64 << 10;
    static final int MAX_TTL_SECONDS = 600;
    static final int MAX_SESSIONS = 250_000;

    /** Calls under way at once; the next one waits for an answer. */
    private static final int WINDOW = 256;

    private static final int CONNECTIONS = 4;

    private final ManagedChannel[] channels = new ManagedChannel[CONNECTIONS];
    private final LockServiceGrpc.LockServiceStub[] stubs = new LockServiceGrpc.LockServiceStub[CONNECTIONS];

    Sessions(Subprocess server) {
        for (int i = 0; i < CONNECTIONS; i++) {
            channels[i] = server.channel();
            stubs[i] = LockServiceGrpc.newStub(channels[i]);
        }
    }

    private LockServiceGrpc.LockServiceStub stub(int session) {
        return stubs[session % CONNECTIONS];
    }

    /** How many were opened before the lock manager refused one more, and why it did. */
    record Opened(int count, @Nullable String limit) {}

    /**
     * Opens sessions, {@value #WINDOW} at a time. Ends early, without a failure, at the lock manager's limit.
     *
     * @param ids takes the ids, in no order
     * @param ttlMillis asked when the call is made
     */
    Opened open(int count, ConcurrentLinkedQueue<String> ids, IntToLongFunction ttlMillis) throws Exception {
        AtomicReference<@Nullable String> limit = new AtomicReference<>();
        AtomicInteger opened = new AtomicInteger();
        Calls calls = new Calls();
        for (int i = 0; i < count && limit.get() == null; i++) {
            StreamObserver<Welcome> reply = calls.reply(
                    welcome -> {
                        opened.incrementAndGet();
                        ids.add(welcome.getSessionId());
                    },
                    failure -> {
                        if (Status.fromThrowable(failure).getCode() != Status.Code.RESOURCE_EXHAUSTED) {
                            return false;
                        }
                        limit.set(String.valueOf(failure.getMessage()));
                        return true;
                    });
            stub(i).openSession(
                            OpenSessionRequest.newBuilder()
                                    .setOwner("bench-session")
                                    .setTtlMillis(ttlMillis.applyAsLong(i))
                                    .build(),
                            reply);
        }
        calls.awaitAll();
        return new Opened(opened.get(), limit.get());
    }

    /**
     * Gives every session its locks, in slots of one volume that nobody shares. In one atomic acquire each, if the lock manager knows that.
     *
     * @return locks held in all
     */
    long holdSlots(Iterable<String> ids, String volume, int locksEach) throws Exception {
        boolean atomic = true;
        long held = 0;
        int session = 0;
        Calls calls = new Calls();
        for (String id : ids) {
            long first = (long) session * locksEach;
            if (session == 0) {
                atomic = granted(id, volume, first, locksEach);
                held += locksEach;
            } else if (atomic) {
                acquire(calls, session, id, acquire(volume, first, locksEach));
                held += locksEach;
            } else {
                for (int i = 0; i < locksEach; i++) {
                    acquire(calls, session, id, RawSession.exclusive(volume, first + i));
                    held++;
                }
            }
            session++;
        }
        calls.awaitAll();
        return held;
    }

    /** Tries whether all are granted together; else takes the rest one by one. */
    private boolean granted(String id, String volume, long first, int locksEach) {
        LockServiceGrpc.LockServiceBlockingStub stub = LockServiceGrpc.newBlockingStub(channels[0]);
        AcquireLockRequest.Builder request = AcquireLockRequest.newBuilder().setSessionId(id);
        Answer answer = stub.acquireLock(
                request.setAcquire(acquire(volume, first, locksEach)).build());
        if (answer.hasGrantedAll() || locksEach == 1) {
            return true;
        }
        for (int i = 1; i < locksEach; i++) {
            Answer rest = stub.acquireLock(
                    request.setAcquire(RawSession.exclusive(volume, first + i)).build());
            if (!rest.hasGranted()) {
                throw new IllegalStateException(rest.toString());
            }
        }
        return false;
    }

    private static Acquire.Builder acquire(String volume, long first, int locks) {
        Acquire.Builder acquire = RawSession.exclusive(volume, first);
        for (int i = 1; i < locks; i++) {
            acquire.addAlsoBuilder()
                    .setVolume(volume)
                    .setRange(RawSession.slot(first + i))
                    .setMode(acquire.getMode());
        }
        return acquire;
    }

    private void acquire(Calls calls, int session, String id, Acquire.Builder acquire) throws Exception {
        StreamObserver<Answer> reply = calls.reply(
                answer -> {
                    if (answer.hasRefused()) {
                        throw new IllegalStateException(answer.toString());
                    }
                },
                failure -> false);
        stub(session)
                .acquireLock(
                        AcquireLockRequest.newBuilder()
                                .setSessionId(id)
                                .setAcquire(acquire)
                                .build(),
                        reply);
    }

    /** Asks for a lock and does not wait for the answer: it is heard when the lock is granted. */
    void acquireAsync(int session, String id, String volume, long slot, StreamObserver<Answer> reply) {
        stub(session)
                .acquireLock(
                        AcquireLockRequest.newBuilder()
                                .setSessionId(id)
                                .setAcquire(RawSession.exclusive(volume, slot))
                                .build(),
                        reply);
    }

    void releaseAsync(int session, String id, long lockId, StreamObserver<Answer> reply) {
        stub(session)
                .releaseLock(
                        ReleaseLockRequest.newBuilder()
                                .setSessionId(id)
                                .setLockId(lockId)
                                .build(),
                        reply);
    }

    void closeAll(Iterable<String> ids) throws Exception {
        Calls calls = new Calls();
        int session = 0;
        for (String id : ids) {
            stub(session++)
                    .closeSession(
                            CloseSessionRequest.newBuilder().setSessionId(id).build(),
                            calls.reply(closed -> {}, failure -> false));
        }
        calls.awaitAll();
    }

    long held(String volume) {
        return count(volume, VolumeInfo::getHeld);
    }

    long waiting(String volume) {
        return count(volume, VolumeInfo::getWaiting);
    }

    private long count(String volume, ToLongFunction<VolumeInfo> what) {
        Optional<VolumeInfo> found = LockAdminGrpc.newBlockingStub(channels[0])
                .listVolumes(ListVolumesRequest.getDefaultInstance())
                .getVolumesList()
                .stream()
                .filter(info -> info.getName().equals(volume))
                .findFirst();
        return found.isEmpty() ? 0 : what.applyAsLong(found.get());
    }

    @Override
    public void close() {
        for (ManagedChannel channel : channels) {
            channel.shutdownNow();
        }
    }

    /** Unary calls, {@value #WINDOW} of them under way. */
    private static final class Calls {

        interface Forgiven {
            /** False: this failure is the end of the benchmark. */
            boolean test(Throwable failure);
        }

        interface Heard<T> {
            void accept(T answer);
        }

        private final Semaphore window = new Semaphore(WINDOW);
        private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

        /** Waits for its turn. */
        <T> StreamObserver<T> reply(Heard<T> heard, Forgiven forgiven) throws Exception {
            window.acquire();
            throwFailure();
            return new StreamObserver<>() {
                @Override
                public void onNext(T answer) {
                    try {
                        heard.accept(answer);
                    } catch (RuntimeException e) {
                        failure.compareAndSet(null, e);
                    }
                }

                @Override
                public void onError(Throwable broken) {
                    if (!forgiven.test(broken)) {
                        failure.compareAndSet(null, broken);
                    }
                    window.release();
                }

                @Override
                public void onCompleted() {
                    window.release();
                }
            };
        }

        void awaitAll() throws Exception {
            window.acquire(WINDOW);
            window.release(WINDOW);
            throwFailure();
        }

        private void throwFailure() {
            Throwable broken = failure.get();
            if (broken != null) {
                throw new IllegalStateException("a call failed: " + broken.getMessage(), broken);
            }
        }
    }
}
