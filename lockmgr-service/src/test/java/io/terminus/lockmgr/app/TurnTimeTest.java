package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.grpc.LockLoop;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.util.unit.DataSize;

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

        try (LockManager loop = open(clock)) {
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

    private LockManager open(LongSupplier clock) {
        LockManagerProperties properties = new LockManagerProperties(
                directory,
                0,
                "127.0.0.1",
                Duration.ofMillis(200),
                TestServer.TTL,
                TestServer.TTL,
                Duration.ofSeconds(5),
                Duration.ofSeconds(30),
                DataSize.ofMegabytes(64),
                1000,
                0,
                1000,
                TestServer.LIMITS);
        DecisionStore store =
                DecisionStore.open(new StoreSettings(directory, "boot-1", 1 << 20, 1000, TestServer.TTL.toNanos(), 0));
        WatchDesk watches = new WatchDesk(10);
        LockTable table = LockManagerApplication.table(properties, store, 0);
        return new LockManager(
                table,
                store,
                new SessionDesk(),
                watches,
                new AuditLog(directory),
                clock,
                new LockMetrics(new SimpleMeterRegistry(), store, watches::count),
                () -> {});
    }
}
