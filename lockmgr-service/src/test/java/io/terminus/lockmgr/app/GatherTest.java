package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.lock.Change;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Where a commit takes long, turns are left to the thread, which waits for company. It does not run before it is started. */
@Timeout(60)
class GatherTest {

    private static final long SLOW_NANOS = TimeUnit.MILLISECONDS.toNanos(8);

    @TempDir
    Path directory;

    @Test
    void whoAsksAloneHasATurnAtOnce() throws Exception {
        try (LockManager loop = loop(SLOW_NANOS)) {
            ask(loop).get(0, TimeUnit.SECONDS);

            assertThat(ask(loop)).isCompletedWithValue(Thread.currentThread().getName());
            loop.start();
        }
    }

    @Test
    void whoAsksBehindATurnOfSeveralWaitsForTheNextOneOfTheThread() throws Exception {
        try (LockManager loop = loop(SLOW_NANOS)) {
            turnOfTwo(loop);

            CompletableFuture<String> one = ask(loop);
            CompletableFuture<String> other = ask(loop);

            assertThat(one).isNotDone();
            assertThat(other).isNotDone();
            loop.start();
            assertThat(one.get(30, TimeUnit.SECONDS)).isEqualTo("lock-table");
            assertThat(other.get(30, TimeUnit.SECONDS)).isEqualTo("lock-table");
        }
    }

    @Test
    void whereACommitTakesNoTimeNobodyWaits() throws Exception {
        try (LockManager loop = loop(0)) {
            turnOfTwo(loop);

            assertThat(ask(loop)).isCompletedWithValue(Thread.currentThread().getName());
            loop.start();
        }
    }

    private LockManager loop(long commitNanos) {
        return TestServer.loop(directory, () -> 0, () -> {}, journal -> new Slow(journal, commitNanos));
    }

    private static void turnOfTwo(LockManager loop) {
        loop.enqueue(turn -> turn.afterwards(() -> {}));
        loop.enqueue(turn -> turn.afterwards(() -> {}));
        loop.turn();
    }

    /** Completes with the thread that says so. */
    private static CompletableFuture<String> ask(LockManager loop) {
        CompletableFuture<String> said = new CompletableFuture<>();
        loop.submit(turn ->
                turn.afterwards(() -> said.complete(Thread.currentThread().getName())));
        return said;
    }

    /** Says of its commits that they take long. */
    private record Slow(Journal journal, @Override long commitNanos) implements Journal {

        @Override
        public void append(List<Change> changes) {
            journal.append(changes);
        }

        @Override
        public boolean gathersRenewals() {
            return journal.gathersRenewals();
        }

        @Override
        public void renewed(String sessionId, long nowNanos) {
            journal.renewed(sessionId, nowNanos);
        }

        @Override
        public boolean mayWait(boolean heard, long nowNanos) {
            return journal.mayWait(heard, nowNanos);
        }

        @Override
        public void commit(boolean heard, long nowNanos) {
            journal.commit(heard, nowNanos);
        }

        @Override
        public void recoveryOver() {
            journal.recoveryOver();
        }

        @Override
        public long syncs() {
            return journal.syncs();
        }

        @Override
        public long appends() {
            return journal.appends();
        }

        @Override
        public void close() {
            journal.close();
        }
    }
}
