package io.terminus.benchmarks.locks;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Kills the lock manager that holds a million grants with {@code kill -9}, starts it again on the same data, and asks for a lock until it
 * grants one. Counted from the start of the new process.
 */
final class Restart {

    private static final String VOLUME = "kept";

    /** What the client library packs into one message at most. */
    private static final int OPERATIONS_PER_MESSAGE = 256;

    private static final int MESSAGES_UNDER_WAY = 8;
    private static final int GIVE_UP_SECONDS = 180;

    private Restart() {}

    static void measure(Report report, Subprocess server, int grants) throws Exception {
        double fillSeconds = fill(server, grants);
        report.progress("%,d grants taken in %.1f s", grants, fillSeconds);
        report.figure("restart-" + grants + ".fill", grants / fillSeconds, "grants/s");
        server.kill();
        long start = System.nanoTime();
        server.startAgain();
        double seconds = firstGrant(server, start);
        long held;
        try (Sessions sessions = new Sessions(server)) {
            held = sessions.held(VOLUME);
        }
        report.figure("restart-" + grants + ".first-grant", seconds, "s", Goal.atMost(5));
        report.figure("restart-" + grants + ".grants-kept", held, "locks", Goal.atLeast(grants));
    }

    private static double fill(Subprocess server, int grants) throws Exception {
        ManagedChannel channel = server.channel();
        Semaphore window = new Semaphore(OPERATIONS_PER_MESSAGE * MESSAGES_UNDER_WAY);
        AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
        long start = System.nanoTime();
        try (RawSession session = new RawSession(
                channel,
                "bench-keeper",
                answer -> {
                    if (answer.hasRefused()) {
                        failure.compareAndSet(null, new IllegalStateException(answer.toString()));
                    }
                    window.release();
                },
                broken -> {
                    failure.compareAndSet(null, broken);
                    window.release(grants);
                })) {
            for (int next = 0; next < grants && failure.get() == null; ) {
                int end = Math.min(grants, next + OPERATIONS_PER_MESSAGE);
                window.acquire(end - next);
                ClientMessage.Builder message = ClientMessage.newBuilder();
                while (next < end) {
                    // Every second slot, as on a volume that is not locked from end to end.
                    message.addOperations(RawSession.acquire(next + 1L, VOLUME, 2L * next));
                    next++;
                }
                session.send(message.build());
            }
            window.acquire(OPERATIONS_PER_MESSAGE * MESSAGES_UNDER_WAY);
            Throwable broken = failure.get();
            if (broken != null) {
                throw new IllegalStateException("the grants could not be taken: " + broken, broken);
            }
            return (System.nanoTime() - start) / 1e9;
        } finally {
            channel.shutdown();
        }
    }

    private static double firstGrant(Subprocess server, long startNanos) throws Exception {
        ManagedChannel channel = server.channel();
        try {
            LockServiceGrpc.LockServiceBlockingStub stub = LockServiceGrpc.newBlockingStub(channel);
            while (true) {
                try {
                    String session = stub.openSession(OpenSessionRequest.newBuilder()
                                    .setOwner("bench-first")
                                    .setTtlMillis(10_000)
                                    .build())
                            .getSessionId();
                    Answer answer = stub.acquireLock(AcquireLockRequest.newBuilder()
                            .setSessionId(session)
                            .setAcquire(RawSession.exclusive("first", 0))
                            .build());
                    if (answer.hasGranted()) {
                        return (System.nanoTime() - startNanos) / 1e9;
                    }
                } catch (StatusRuntimeException e) {
                    if (!server.alive()) {
                        throw new IllegalStateException("the lock manager died: " + server.lastWords(), e);
                    }
                    if (System.nanoTime() - startNanos > TimeUnit.SECONDS.toNanos(GIVE_UP_SECONDS)) {
                        throw e;
                    }
                    channel.resetConnectBackoff();
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
        } finally {
            channel.shutdownNow();
        }
    }
}
