package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.grpc.LockLoop;
import java.nio.file.Path;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class LockManagerTest {
    @TempDir
    Path directory;

    @Test
    void aStepThatRanIsNotRefusedWhenALaterOneFailsTheLoop() throws Exception {
        TestServer server = new TestServer(directory, 1000);
        CountDownLatch busy = new CountDownLatch(1);
        AtomicInteger ran = new AtomicInteger();
        AtomicInteger refusedAfterItRan = new AtomicInteger();
        server.manager.enqueue(turn -> {
            try {
                busy.await();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        server.manager.enqueue(new LockLoop.Step() {
            @Override
            public void run(LockLoop.Turn turn) {
                ran.incrementAndGet();
            }

            @Override
            public void refused() {
                refusedAfterItRan.addAndGet(ran.get());
            }
        });
        server.manager.enqueue(turn -> {
            throw new IllegalStateException("a rule is broken");
        });
        busy.countDown();
        server.failed.await();

        assertThat(ran).hasValue(1);
        assertThat(refusedAfterItRan).hasValue(0);
    }

    @Test
    void itEndsThoughWhoIsAnsweredAsksAgain() throws Exception {
        LockManager loop = TestServer.loop(directory, () -> 0, () -> {});
        CountDownLatch ran = new CountDownLatch(1);
        CountDownLatch refused = new CountDownLatch(1);
        loop.enqueue(new LockLoop.Step() {
            @Override
            public void run(LockLoop.Turn turn) {
                ran.countDown();
                turn.afterwards(() -> loop.enqueue(this));
            }

            @Override
            public void refused() {
                refused.countDown();
            }
        });

        loop.start();
        ran.await();
        loop.close();

        assertThat(refused.getCount()).isZero();
    }

    @Test
    void itFailsOnItsOwnThreadThoughTheTurnRanOnAnother() throws Exception {
        BlockingQueue<Thread> failed = new LinkedBlockingQueue<>();
        LockManager loop = TestServer.loop(directory, () -> 0, () -> failed.add(Thread.currentThread()));

        loop.submit(turn -> {
            throw new IllegalStateException("a rule is broken");
        });
        boolean failedHere = !failed.isEmpty();
        loop.start();

        assertThat(failedHere).isFalse();
        assertThat(failed.take().getName()).isEqualTo("lock-table");
    }

    @Test
    void heavyStepsAndMuchWorkAreLeftToTheThread() throws Exception {
        BlockingQueue<String> ran = new LinkedBlockingQueue<>();
        try (LockManager loop = TestServer.loop(directory, () -> 0, () -> {})) {
            loop.enqueue(step(ran, "much", LockManager.OPERATIONS_IN_TURN, false));
            loop.enqueue(step(ran, "more", 1, false));
            loop.turn();
            int inFirstTurn = ran.size();
            loop.turn();
            loop.enqueue(step(ran, "heavy", 1, true));
            loop.turn();
            int inAllTurns = ran.size();

            loop.start();

            assertThat(inFirstTurn).isEqualTo(1);
            assertThat(inAllTurns).isLessThanOrEqualTo(2);
            String here = " on " + Thread.currentThread().getName();
            assertThat(ran.take()).isEqualTo("much" + here);
            assertThat(ran.take()).startsWith("more on ");
            assertThat(ran.take()).isEqualTo("heavy on lock-table");
        }
    }

    private static LockLoop.Step step(BlockingQueue<String> ran, String name, int operations, boolean heavy) {
        return new LockLoop.Step() {
            @Override
            public void run(LockLoop.Turn turn) {
                ran.add(name + " on " + Thread.currentThread().getName());
            }

            @Override
            public int operations() {
                return operations;
            }

            @Override
            public boolean heavy() {
                return heavy;
            }
        };
    }
}
