package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.grpc.LockLoop;
import java.nio.file.Path;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The owner's thread may be stopped at any point of a turn, while those that queue steps go on. */
@Timeout(60)
class TurnTimeTest {

    private static final int STEPS = 50;
    private static final long STOPPED_NANOS = 900_000_000;

    @TempDir
    Path directory;

    /** The thread stops right behind each look at the clock, and a step comes at the end of that time. */
    @Test
    void noStepRunsAtATimeBeforeItCame() {
        AtomicReference<LockManager> manager = new AtomicReference<>();
        ConcurrentLinkedQueue<Long> earlyNanos = new ConcurrentLinkedQueue<>();
        CountDownLatch ran = new CountDownLatch(STEPS);
        LongSupplier clock = new LongSupplier() {
            private long trueNanos;

            @Override
            public long getAsLong() {
                long read = trueNanos;
                LockManager loop = manager.get();
                if (loop != null && ran.getCount() > 0) {
                    trueNanos += STOPPED_NANOS;
                    loop.submit(stepOf(trueNanos, earlyNanos, ran));
                }
                return read;
            }
        };

        try (LockManager loop = TestServer.loop(directory, clock, () -> {})) {
            manager.set(loop);
            loop.start();
            awaitAll(ran);
        }

        assertThat(earlyNanos).isEmpty();
    }

    private static LockLoop.Step stepOf(long cameNanos, ConcurrentLinkedQueue<Long> earlyNanos, CountDownLatch ran) {
        return turn -> {
            if (turn.nowNanos() < cameNanos) {
                earlyNanos.add(cameNanos - turn.nowNanos());
            }
            ran.countDown();
        };
    }

    private static void awaitAll(CountDownLatch ran) {
        try {
            ran.await();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
