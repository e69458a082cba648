package io.terminus.benchmarks.locks;

import io.grpc.ManagedChannel;
import io.terminus.proto.lock.v1.Answer;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * Callers who come at a fixed rate, whether or not those before them were answered: one acquire each, of a slot nobody else wants, given
 * back when it is granted. A latency counts from the moment at which the caller was to come, so a stall of the server, of the network or of this
 * process shows in every one that fell into it: nothing is omitted.
 */
final class OpenLoop implements AutoCloseable {

    private static final String VOLUME = "bystander";

    /** A multiple of the slots in flight at any bearable latency. */
    private static final int SLOTS = 1 << 16;

    private final ManagedChannel channel;
    private final RawSession session;
    private final Thread thread = new Thread(this::run, "open-loop");
    private final long intervalNanos;
    private final long startNanos = System.nanoTime();

    /** By number of the caller: nanoseconds from its due time to its grant, 0 as long as it waits. Guarded by this. */
    private final long[] latencies;

    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private volatile boolean over;

    OpenLoop(Subprocess server, int perSecond, int maxSeconds) throws Exception {
        intervalNanos = TimeUnit.SECONDS.toNanos(1) / perSecond;
        latencies = new long[perSecond * maxSeconds];
        channel = server.channel();
        session = new RawSession(
                channel, "bench-bystander", this::answered, broken -> failure.compareAndSet(null, broken));
        thread.start();
    }

    private void run() {
        for (int caller = 0; caller < latencies.length && !over && failure.get() == null; caller++) {
            long due = startNanos + caller * intervalNanos;
            for (long early = due - System.nanoTime(); early > 0; early = due - System.nanoTime()) {
                LockSupport.parkNanos(early);
            }
            session.send(RawSession.acquire(requestId(caller, 0), VOLUME, caller % SLOTS));
        }
    }

    private void answered(Answer answer) {
        if (answer.hasGranted()) {
            int caller = (int) (answer.getRequestId() >> 1) - 1;
            synchronized (this) {
                latencies[caller] = Math.max(1, System.nanoTime() - (startNanos + caller * intervalNanos));
            }
            session.send(
                    RawSession.release(requestId(caller, 1), answer.getGranted().getLockId()));
        } else if (answer.hasRefused()) {
            failure.compareAndSet(null, new IllegalStateException(answer.toString()));
        }
    }

    private static long requestId(int caller, int release) {
        // From 2 on: ids begin with 1.
        return (caller + 1L) << 1 | release;
    }

    /** Latencies in nanoseconds of those who were due in [from, to); who was not answered yet counts as having waited until now. */
    synchronized Histogram between(long fromNanos, long toNanos) {
        Throwable broken = failure.get();
        if (broken != null) {
            throw new IllegalStateException("a bystander's call failed: " + broken, broken);
        }
        Histogram histogram = new Histogram(TimeUnit.MINUTES.toNanos(5), 3);
        long now = System.nanoTime();
        for (int caller = 0; caller < latencies.length; caller++) {
            long due = startNanos + caller * intervalNanos;
            if (due >= fromNanos && due < toNanos && due < now) {
                histogram.recordValue(latencies[caller] > 0 ? latencies[caller] : now - due);
            }
        }
        return histogram;
    }

    @Override
    public void close() {
        over = true;
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        session.close();
        channel.shutdown();
    }
}
