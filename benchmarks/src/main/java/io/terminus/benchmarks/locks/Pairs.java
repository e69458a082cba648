package io.terminus.benchmarks.locks;

import com.google.protobuf.MessageLite;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.terminus.benchmarks.locks.Meter.Contender;
import io.terminus.benchmarks.locks.Meter.Loop;
import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.ServerMessage;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The ways to take a lock and give it back, over and over: one exclusive 64 KiB slot of one volume, at random, that nobody else wants. An
 * operation is one acquire or one release; each caller awaits one before it begins the next. The echo sends and receives
 * messages of the same sizes in the same order.
 */
sealed interface Pairs extends Contender, AutoCloseable {

    String VOLUME = "bench";

    /** Slots of one loop; loops never meet. */
    int SLOTS = 16_384;

    static long slot(Loop loop, SplittableRandom random) {
        return (long) loop.number * SLOTS + random.nextInt(SLOTS);
    }

    @Override
    void close();

    /** One unary call for each operation, all on one connection. */
    final class Unary implements Pairs {
        private final ManagedChannel channel;
        private final LockServiceGrpc.LockServiceStub stub;
        private final String sessionId;

        Unary(Subprocess server) {
            channel = server.channel();
            stub = LockServiceGrpc.newStub(channel);
            sessionId = LockServiceGrpc.newBlockingStub(channel)
                    .openSession(OpenSessionRequest.newBuilder()
                            .setOwner("bench-unary")
                            .setTtlMillis(Sessions.MAX_TTL_SECONDS * 1000L)
                            .build())
                    .getSessionId();
        }

        @Override
        public void start(Loop loop) {
            acquire(loop, new SplittableRandom(loop.number));
        }

        private void acquire(Loop loop, SplittableRandom random) {
            AcquireLockRequest request = AcquireLockRequest.newBuilder()
                    .setSessionId(sessionId)
                    .setAcquire(RawSession.exclusive(VOLUME, slot(loop, random)))
                    .build();
            loop.begin();
            stub.acquireLock(request, new Reply(loop, answer -> release(loop, random, answer)));
        }

        private void release(Loop loop, SplittableRandom random, Answer granted) {
            ReleaseLockRequest request = ReleaseLockRequest.newBuilder()
                    .setSessionId(sessionId)
                    .setLockId(granted.getGranted().getLockId())
                    .build();
            loop.begin();
            stub.releaseLock(request, new Reply(loop, done -> {
                if (loop.goOn()) {
                    acquire(loop, random);
                }
            }));
        }

        @Override
        public void close() {
            channel.shutdownNow();
        }

        /** The one answer of a call. */
        private record Reply(Loop loop, Consumer<Answer> then) implements StreamObserver<Answer> {
            @Override
            public void onNext(Answer answer) {
                loop.end();
                if (answer.hasRefused()) {
                    loop.fail(new IllegalStateException(answer.toString()));
                } else {
                    then.accept(answer);
                }
            }

            @Override
            public void onError(Throwable failure) {
                loop.fail(failure);
            }

            @Override
            public void onCompleted() {
                // Heard with the answer.
            }
        }
    }

    /** A session stream; each message carries one operation. */
    final class SingleStream implements Pairs {

        private static final class Caller {
            final Loop loop;
            final SplittableRandom random;
            long lockId;
            long requests;

            Caller(Loop loop) {
                this.loop = loop;
                this.random = new SplittableRandom(loop.number);
            }
        }

        /** The loop's number is in the low bits of its request ids; ids must differ, and nothing asks for their order. */
        private static final int LOOP_BITS = 10;

        private final ManagedChannel channel;
        private final RawSession session;
        private final Map<Integer, Caller> callers = new ConcurrentHashMap<>();

        SingleStream(Subprocess server) throws Exception {
            channel = server.channel();
            session = new RawSession(
                    channel,
                    "bench-single",
                    this::answered,
                    broken -> callers.values().forEach(caller -> caller.loop.fail(broken)));
        }

        @Override
        public void start(Loop loop) {
            Caller caller = new Caller(loop);
            callers.put(loop.number, caller);
            acquire(caller);
        }

        private void acquire(Caller caller) {
            Operation operation = RawSession.acquire(nextId(caller), VOLUME, slot(caller.loop, caller.random));
            caller.loop.begin();
            session.send(operation);
        }

        private void answered(Answer answer) {
            Caller caller =
                    java.util.Objects.requireNonNull(callers.get((int) (answer.getRequestId() & (1 << LOOP_BITS) - 1)));
            caller.loop.end();
            if (answer.hasGranted()) {
                caller.lockId = answer.getGranted().getLockId();
                Operation operation = RawSession.release(nextId(caller), caller.lockId);
                caller.loop.begin();
                session.send(operation);
            } else if (answer.hasRefused()) {
                caller.loop.fail(new IllegalStateException(answer.toString()));
            } else if (caller.loop.goOn()) {
                acquire(caller);
            }
        }

        private static long nextId(Caller caller) {
            return ++caller.requests << LOOP_BITS | caller.loop.number;
        }

        @Override
        public void close() {
            session.close();
            channel.shutdown();
        }
    }

    /** The client library, which sends in one message what came up while the one before was on its way. */
    final class Library implements Pairs {
        private final LockClient client;
        private final boolean releaseAwaited;

        /** @param releaseAwaited false: the release is left to itself, as try-with-resources does, and counts when it was asked for */
        Library(Subprocess server, boolean releaseAwaited) throws Exception {
            this.releaseAwaited = releaseAwaited;
            client = LockClient.connect(
                    LockClient.Config.of(server.target(), "bench-library").withTtl(Duration.ofSeconds(60)));
            client.ready().get(30, TimeUnit.SECONDS);
        }

        @Override
        public void start(Loop loop) {
            acquire(loop, new SplittableRandom(loop.number));
        }

        private void acquire(Loop loop, SplittableRandom random) {
            long start = slot(loop, random) * Sessions.SLOT_BYTES;
            AcquireRequest request = AcquireRequest.of(
                    VOLUME,
                    new LockRange(start, start + Sessions.SLOT_BYTES),
                    LockMode.EXCLUSIVE,
                    Duration.ofMinutes(1));
            loop.begin();
            var unused = client.acquire(request).whenComplete((grant, refused) -> {
                loop.end();
                if (refused != null) {
                    loop.fail(refused);
                    return;
                }
                if (!releaseAwaited) {
                    grant.close();
                    loop.count();
                    if (loop.goOn()) {
                        acquire(loop, random);
                    }
                    return;
                }
                loop.begin();
                var unusedDone = grant.release().whenComplete((done, failed) -> {
                    loop.end();
                    if (failed != null) {
                        loop.fail(failed);
                    } else if (loop.goOn()) {
                        acquire(loop, random);
                    }
                });
            });
        }

        @Override
        public void close() {
            client.close();
        }
    }

    /** A bare gRPC stream that carries what {@link SingleStream} would, and no meaning. */
    final class Echo implements Pairs {

        private final ManagedChannel channel;
        private final Sizes sizes;
        /** In the order of the requests, which is that of the answers. Holds one for each loop at most. */
        private final ConcurrentLinkedQueue<Runnable> onAnswer = new ConcurrentLinkedQueue<>();

        private final StreamObserver<byte[]> out;

        Echo(Subprocess server, Sizes sizes) {
            this.channel = server.channel();
            this.sizes = sizes;
            this.out = ClientCalls.asyncBidiStreamingCall(
                    channel.newCall(EchoServer.METHOD, CallOptions.DEFAULT), new StreamObserver<>() {
                        @Override
                        public void onNext(byte[] answer) {
                            onAnswer.remove().run();
                        }

                        @Override
                        public void onError(Throwable failure) {
                            // The loop is not answered any more, and the meter says so.
                        }

                        @Override
                        public void onCompleted() {
                            // As asked for.
                        }
                    });
        }

        @Override
        public void start(Loop loop) {
            acquire(loop);
        }

        private void acquire(Loop loop) {
            send(loop, sizes.acquireBytes, sizes.grantedBytes, () -> {
                loop.end();
                send(loop, sizes.releaseBytes, sizes.doneBytes, () -> {
                    loop.end();
                    if (loop.goOn()) {
                        acquire(loop);
                    }
                });
            });
        }

        private void send(Loop loop, int requestBytes, int answerBytes, Runnable then) {
            byte[] request = new byte[requestBytes];
            ByteBuffer.wrap(request).putInt(0, answerBytes);
            loop.begin();
            synchronized (this) {
                onAnswer.add(then);
                out.onNext(request);
            }
        }

        @Override
        public void close() {
            out.onCompleted();
            channel.shutdown();
        }
    }

    /** Lengths of the four messages of one pair, in bytes, as protobuf writes them. */
    record Sizes(int acquireBytes, int grantedBytes, int releaseBytes, int doneBytes) {

        /** As the server answers. */
        static Sizes of(Subprocess server) throws Exception {
            ManagedChannel channel = server.channel();
            java.util.concurrent.SynchronousQueue<Answer> answers = new java.util.concurrent.SynchronousQueue<>();
            try (RawSession session = new RawSession(
                    channel,
                    "bench-sizes",
                    answer -> {
                        try {
                            answers.put(answer);
                        } catch (InterruptedException e) {
                            Thread.currentThread().interrupt();
                        }
                    },
                    broken -> {})) {
                // Ids and slots as long as they are in the middle of a run.
                Operation acquire = RawSession.acquire(1 << 20, VOLUME, SLOTS);
                session.send(acquire);
                Answer granted = answers.take();
                Operation release =
                        RawSession.release(1 << 20, granted.getGranted().getLockId());
                session.send(release);
                Answer done = answers.take();
                return new Sizes(
                        length(ClientMessage.newBuilder().addOperations(acquire).build()),
                        length(ServerMessage.newBuilder().addAnswers(granted).build()),
                        length(ClientMessage.newBuilder().addOperations(release).build()),
                        length(ServerMessage.newBuilder().addAnswers(done).build()));
            } finally {
                channel.shutdown();
            }
        }

        private static int length(MessageLite message) {
            return Math.max(message.getSerializedSize(), EchoServer.MIN_REQUEST_BYTES);
        }
    }
}
