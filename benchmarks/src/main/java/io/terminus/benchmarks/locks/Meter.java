package io.terminus.benchmarks.locks;

import io.terminus.benchmarks.Machine;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * Drives loops that each have one operation under way, and measures a window of it: first everything runs unmeasured, then measured,
 * then each loop ends with its operation.
 *
 * <p>The loops are closed: the next operation begins when the one before was answered. A server that stalls is asked less meanwhile, so the
 * percentiles are those of the operations that were made ("coordinated omission"); they say what 64 patient callers see,
 * not what callers see who come at a rate of their own. {@link OpenLoop} measures that.
 */
final class Meter {

    /** One caller. Its verbs are called by one thread at a time, each after the one before. */
    static final class Loop {
        private final Meter meter;
        final int number;
        private final Histogram nanos = new Histogram(TimeUnit.MINUTES.toNanos(2), 3);
        private long startedNanos;
        private long operations;

        private Loop(Meter meter, int number) {
            this.meter = meter;
            this.number = number;
        }

        void begin() {
            startedNanos = System.nanoTime();
        }

        /** The operation was answered. */
        void end() {
            if (meter.phase == Phase.MEASURED) {
                nanos.recordValue(System.nanoTime() - startedNanos);
                operations++;
            }
        }

        /** An operation whose answer nobody awaits: it has no latency. */
        void count() {
            if (meter.phase == Phase.MEASURED) {
                operations++;
            }
        }

        /** True: go on. False: this loop is over. */
        boolean goOn() {
            if (meter.phase != Phase.OVER) {
                return true;
            }
            meter.running.countDown();
            return false;
        }

        /** Ends the measurement with this failure. */
        void fail(Throwable why) {
            meter.failure.compareAndSet(null, why);
            meter.phase = Phase.OVER;
            meter.running.countDown();
        }
    }

    /** What measures itself by loops. */
    interface Contender {
        /** Begins the first operation of this loop; the contender goes on by itself while {@link Loop#goOn} says so. */
        void start(Loop loop) throws Exception;
    }

    /**
     * Latencies in nanoseconds, of single operations. CPU seconds are of the measured window; {@code otherCpu} is what neither of the two
     * used, so what the rest of the machine took from them.
     */
    record Window(
            long operations, double seconds, Histogram nanos, double clientCpu, double serverCpu, double otherCpu) {

        double otherCores() {
            return otherCpu / seconds;
        }

        double perSecond() {
            return operations / seconds;
        }

        double clientCpuPerMillion() {
            return clientCpu / operations * 1e6;
        }

        double serverCpuPerMillion() {
            return serverCpu / operations * 1e6;
        }
    }

    private enum Phase {
        UNMEASURED,
        MEASURED,
        OVER
    }

    private static final int END_SECONDS = 60;

    private final CountDownLatch running;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private volatile Phase phase = Phase.UNMEASURED;

    private Meter(int loops) {
        this.running = new CountDownLatch(loops);
    }

    static Window measure(
            Contender contender, int loops, Subprocess server, double unmeasuredSeconds, double measuredSeconds)
            throws Exception {
        Meter meter = new Meter(loops);
        Loop[] all = new Loop[loops];
        for (int i = 0; i < loops; i++) {
            all[i] = new Loop(meter, i);
        }
        for (Loop loop : all) {
            contender.start(loop);
        }
        meter.sleep(unmeasuredSeconds);
        double machine = Machine.busySeconds();
        Cpu client = Cpu.own();
        Cpu serving = server.cpu();
        long start = System.nanoTime();
        meter.phase = Phase.MEASURED;
        meter.sleep(measuredSeconds);
        meter.phase = Phase.OVER;
        double seconds = (System.nanoTime() - start) / 1e9;
        double clientCpu = Cpu.own().since(client);
        double serverCpu = server.cpu().since(serving);
        double otherCpu = Math.max(0, Machine.busySeconds() - machine - clientCpu - serverCpu);
        boolean ended = meter.running.await(END_SECONDS, TimeUnit.SECONDS);
        Throwable failure = meter.failure.get();
        if (failure != null) {
            throw new IllegalStateException("an operation failed: " + failure, failure);
        }
        if (!ended) {
            throw new IllegalStateException("an operation was not answered for " + END_SECONDS + " s");
        }
        Histogram nanos = new Histogram(TimeUnit.MINUTES.toNanos(2), 3);
        long operations = 0;
        for (Loop loop : all) {
            nanos.add(loop.nanos);
            operations += loop.operations;
        }
        return new Window(operations, seconds, nanos, clientCpu, serverCpu, otherCpu);
    }

    /** Wakes early if a loop has failed. */
    private void sleep(double seconds) throws InterruptedException {
        long until = System.nanoTime() + (long) (seconds * 1e9);
        for (long left = until - System.nanoTime();
                left > 0 && failure.get() == null;
                left = until - System.nanoTime()) {
            TimeUnit.NANOSECONDS.sleep(Math.min(left, TimeUnit.MILLISECONDS.toNanos(200)));
        }
    }
}
