package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Who comes while a sync is under way waits for one more, all of them for the same. */
@Timeout(60)
class SharedSyncTest {

    private static final int WAITERS = 16;

    @TempDir
    private Path directory;

    /** Counts, and lets the first fdatasync end when it is told to. */
    private static final class CountingDisk extends Disk {
        private final AtomicInteger forced = new AtomicInteger();
        private final CountDownLatch mayEnd = new CountDownLatch(1);

        @Override
        void force(FileChannel file) throws IOException {
            if (forced.incrementAndGet() == 1) {
                try {
                    mayEnd.await();
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
            }
            super.force(file);
        }
    }

    @Test
    void whoeverWaitsWhileOneSyncIsUnderWaySharesTheNext() throws Exception {
        CountingDisk disk = new CountingDisk();
        try (Journal journal =
                Journal.create(directory, Given.SPEC, 0, disk, () -> Given.TIME_NANOS, Given.WAIT_NANOS)) {
            journal.openTerm(1, "a", 1, 0);
            FutureTask<Long> first = syncing(journal);
            await().until(() -> disk.forced.get() == 1);
            List<Thread> waiters = new ArrayList<>();
            List<FutureTask<Long>> syncs = new ArrayList<>();
            List<Long> ends = new ArrayList<>();
            for (int i = 0; i < WAITERS; i++) {
                ends.add(journal.write(i * 4_096L, Given.payload(i, 4_096), 0, 1, 0));
                FutureTask<Long> sync = new FutureTask<>(journal::sync);
                syncs.add(sync);
                waiters.add(Thread.ofPlatform().start(sync));
            }
            await().until(() -> waiters.stream().allMatch(t -> t.getState() == Thread.State.BLOCKED));

            disk.mayEnd.countDown();

            first.get();
            for (int i = 0; i < WAITERS; i++) {
                assertThat(syncs.get(i).get()).isGreaterThanOrEqualTo(ends.get(i));
            }
            assertThat(disk.forced).hasValue(2);
        }
    }

    private static FutureTask<Long> syncing(Journal journal) {
        FutureTask<Long> sync = new FutureTask<>(journal::sync);
        Thread.ofPlatform().start(sync);
        return sync;
    }
}
