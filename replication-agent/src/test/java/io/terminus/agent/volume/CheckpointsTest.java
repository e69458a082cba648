package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class CheckpointsTest {

    private static final long BUDGET_BYTES = 1L << 20;
    private static final long SECOND_NANOS = 1_000_000_000L;

    /** A disk whose syncs take until they are let through, and may fail. */
    private final class Disk implements Checkpoints.Base {
        private final CountDownLatch mayEnd = new CountDownLatch(1);
        private final List<Long> noted = new CopyOnWriteArrayList<>();
        private volatile long applied;
        private volatile @Nullable IOException failure;
        private volatile @Nullable IOException heard;
        private volatile boolean syncing;
        private final AtomicInteger ended = new AtomicInteger();

        @Override
        public long applied() {
            return applied;
        }

        @Override
        public void syncImage() throws IOException {
            syncing = true;
            try {
                mayEnd.await();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            IOException why = failure;
            if (why != null) {
                throw why;
            }
        }

        @Override
        public void note(long position) {
            assertThat(applyLock.isHeldByCurrentThread()).isTrue();
            noted.add(position);
            checkpoints.noted(position);
        }

        @Override
        public void waitsForSpace(DiskFullException e) {
            heard = e;
        }

        @Override
        public void failed(IOException e) {
            heard = e;
        }

        @Override
        public void ourOwnBug(Throwable e) {
            throw new AssertionError(e);
        }

        @Override
        public void ended() {
            ended.incrementAndGet();
        }
    }

    private final ReentrantLock applyLock = new ReentrantLock();
    private final Disk disk = new Disk();
    private final Checkpoints checkpoints =
            new Checkpoints("v", new CheckpointPace(BUDGET_BYTES, () -> 1L << 40), applyLock, 1_024, disk);

    @Test
    void whatWasAppliedWhenItBeganIsNotedThoughApplyWentOn() throws Exception {
        disk.applied = 4_096;
        checkpoints.begin();
        disk.applied = 8_192;

        disk.mayEnd.countDown();
        checkpoints.await();

        assertThat(disk.noted).containsExactly(4_096L);
        assertThat(checkpoints.position()).isEqualTo(4_096);
        assertThat(disk.ended).hasValue(1);
    }

    @Test
    void ofAJournalThatStartedOverMeanwhileNothingIsNoted() throws Exception {
        disk.applied = 4_096;
        checkpoints.begin();
        await().until(() -> disk.syncing);

        applyLock.lock();
        checkpoints.startsOver(128);
        applyLock.unlock();
        disk.mayEnd.countDown();
        checkpoints.await();

        assertThat(disk.noted).isEmpty();
        assertThat(checkpoints.position()).isEqualTo(128);
    }

    @Test
    void oneIsDueWhenEnoughWasAppliedOrItIsWantedAndNoneIsUnderWay() throws Exception {
        assertThat(checkpoints.isDue()).isFalse();
        disk.applied = 1_024 + BUDGET_BYTES / CheckpointPace.PART_OF_BUDGET;
        assertThat(checkpoints.isDue()).isTrue();
        disk.applied = 2_048;
        assertThat(checkpoints.isDue()).isFalse();
        checkpoints.want();
        assertThat(checkpoints.isDue()).isTrue();

        checkpoints.begin();
        checkpoints.want();

        assertThat(checkpoints.isDue()).isFalse();
        disk.mayEnd.countDown();
        checkpoints.await();
        assertThat(checkpoints.isDue()).as("nothing was applied since").isFalse();
        disk.applied = 4_096;
        assertThat(checkpoints.isDue()).isTrue();
    }

    @Test
    void aVolumeThatNobodyWritesToRestsOnceAfterAWhile() {
        disk.applied = 4_096;

        assertThat(checkpoints.rests(0)).isFalse();
        assertThat(checkpoints.rests(9 * SECOND_NANOS)).isFalse();
        assertThat(checkpoints.rests(11 * SECOND_NANOS)).isTrue();
        assertThat(checkpoints.rests(12 * SECOND_NANOS)).isFalse();
        disk.applied = 8_192;
        assertThat(checkpoints.rests(30 * SECOND_NANOS)).isFalse();
    }

    @Test
    void aFailedSyncIsToldAndNothingIsNoted() throws Exception {
        disk.applied = 4_096;
        disk.failure = new IOException("Input/output error");
        disk.mayEnd.countDown();

        checkpoints.begin();
        checkpoints.await();

        assertThat(disk.heard).hasMessage("Input/output error");
        assertThat(disk.noted).isEmpty();
        assertThat(checkpoints.position()).isEqualTo(1_024);
    }

    @Test
    void aFullDiskIsToldAsSuchAndOneMayBeBegunAgain() throws Exception {
        disk.applied = 4_096;
        disk.failure = new DiskFullException(new IOException("No space left on device"));
        disk.mayEnd.countDown();

        checkpoints.begin();
        checkpoints.await();

        assertThat(disk.heard).isInstanceOf(DiskFullException.class);
        disk.failure = null;
        checkpoints.begin();
        checkpoints.await();
        assertThat(disk.noted).containsExactly(4_096L);
    }
}
