package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.image.Image;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.CopyItem.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IncomingCopiesTest {

    private static final int BLOCK = ExtentMap.BLOCK_BYTES;
    private static final int VOLUME_BYTES = 64 * BLOCK + 512;

    /** A replica whose apply and wholeness are what the test says. */
    private final class Around implements IncomingCopies.Base {
        private long applied = 128;
        private boolean whole = true;
        private int doubted;

        /** Syncs that have begun, and those that may end. */
        private final AtomicInteger syncs = new AtomicInteger();

        private final Semaphore mayEnd = new Semaphore(1_000_000);
        private final AtomicReference<@Nullable Throwable> failed = new AtomicReference<>();
        private final List<String> compared = new ArrayList<>();

        @Override
        public long applied() {
            return applied;
        }

        @Override
        public boolean isWhole() {
            return whole;
        }

        @Override
        public void syncImage() throws IOException {
            syncs.incrementAndGet();
            mayEnd.acquireUninterruptibly();
            image.sync();
        }

        @Override
        public void copied() throws IOException {
            superblock.update(s -> s.with(Superblock.Rebuild.NONE));
        }

        @Override
        public void progressed() {}

        @Override
        public void failed(IOException e) {
            failed.set(e);
        }

        @Override
        public void ourOwnBug(Throwable e) {
            failed.set(e);
        }

        @Override
        public void compared(long sequence, long blocks) {
            compared.add(sequence + ":" + blocks);
        }

        @Override
        public void doubted() {
            doubted++;
        }
    }

    @TempDir
    private Path dir;

    private final Around replica = new Around();
    private SuperblockFile superblock;
    private Image image;
    private IncomingCopies copies;
    private final ReentrantLock applyLock = new ReentrantLock();

    @BeforeEach
    void aReplica() throws IOException {
        Superblock first = new Superblock(
                new Superblock.Seen(new byte[0], 0),
                new Superblock.Fence(0, 0),
                new Superblock.Checkpoint(0, 0, Lineage.EMPTY, 0),
                ReplicaFiles.first("boot"),
                Superblock.Rebuild.NONE);
        first.write(dir);
        superblock = new SuperblockFile(dir, first);
        image = Image.open(dir.resolve("image"), VOLUME_BYTES);
        copies = new IncomingCopies("v", image, superblock, applyLock, replica);
    }

    @AfterEach
    void close() throws IOException, InterruptedException {
        replica.mayEnd.release(1_000);
        copies.awaitSync();
        image.close();
    }

    @Test
    void aBlockIsWrittenWhenItsPositionIsAppliedAndNothingBehindThatIsAppliedBefore() throws IOException {
        aCopyBegins();
        assertThat(copies.take(data(1, 256, 0, BLOCK, 1))).isNull();
        assertThat(copies.take(item(2, Kind.HORIZON, 512, 0, 0, null))).isNull();

        assertThat(copies.limit(1_024)).isEqualTo(256);
        assertThat(copies.writeDue()).isFalse();
        replica.applied = 256;
        assertThat(copies.isOneDue()).isTrue();
        assertThat(copies.writeDue()).isTrue();

        assertThat(Arrays.copyOf(bytes(), BLOCK)).containsOnly(1);
        assertThat(copies.written()).isEqualTo(1);
        assertThat(copies.limit(1_024)).isEqualTo(512);
    }

    @Test
    void whereACopyIsUnderWayOnlyWholeBlocksThatItBroughtAreHeld() throws IOException {
        assertThat(copies.has(0, VOLUME_BYTES))
                .as("an image that is no mixture")
                .isTrue();
        aCopyBegins();
        assertThat(copies.has(0, 1)).isFalse();

        copies.take(data(1, 128, 512, 2 * BLOCK, 1));
        copies.take(item(2, Kind.ZEROES, 128, 4L * BLOCK, BLOCK, null));
        copies.take(data(3, 128, 64L * BLOCK, 512, 3));
        copies.writeDue();

        assertThat(copies.has(512, BLOCK)).as("begins within a block").isFalse();
        assertThat(copies.has(BLOCK, BLOCK)).isTrue();
        assertThat(copies.has(BLOCK + 100, 10)).isTrue();
        assertThat(copies.has(BLOCK, BLOCK + 1)).isFalse();
        assertThat(copies.has(4L * BLOCK, BLOCK)).isTrue();
        assertThat(copies.has(64L * BLOCK, 512))
                .as("the volume's last block is shorter")
                .isTrue();
    }

    @Test
    void digestsOfACopyFindTheBlocksThatAreRightAlready() throws IOException {
        image.write(ByteBuffer.wrap(filled(BLOCK, 7)), 0);
        aCopyBegins();
        byte[] there = new byte[2 * BLOCK];
        Arrays.fill(there, (byte) 7);

        copies.take(item(1, Kind.DIGESTS, 128, 0, 2 * BLOCK, BlockDigests.of(ByteBuffer.wrap(there))));
        copies.writeDue();

        assertThat(replica.compared).containsExactly("1:2");
        assertThat(copies.has(0, BLOCK)).isTrue();
        assertThat(copies.has(BLOCK, BLOCK)).isFalse();
        assertThat(replica.doubted).as("a mixture is not doubted").isZero();
    }

    @Test
    void theEndOfACopyLetsApplyGoOnAndIsDurable() throws IOException {
        aCopyBegins();
        copies.take(data(1, 128, 0, BLOCK, 1));
        copies.take(item(2, Kind.END, 128, 0, 0, null));

        copies.writeDue();

        assertThat(copies.durable()).isEqualTo(2);
        assertThat(copies.limit(1_024)).isEqualTo(1_024);
        assertThat(superblock.get().rebuild().underWay()).isFalse();
    }

    @Test
    void whatIsWrittenIsSyncedWhenNothingComesAnyMore() throws Exception {
        aCopyBegins();
        assertThat(copies.syncInNanos(System.nanoTime())).isEqualTo(Long.MAX_VALUE);
        copies.take(data(1, 128, 0, BLOCK, 1));
        copies.writeDue();

        long inNanos = copies.syncInNanos(System.nanoTime());
        copies.beginSync();
        copies.awaitSync();

        assertThat(inNanos).isBetween(0L, IncomingCopies.SYNC_NANOS);
        assertThat(replica.syncs).hasValue(1);
        assertThat(copies.durable()).isEqualTo(1);
        assertThat(copies.syncInNanos(System.nanoTime())).isEqualTo(Long.MAX_VALUE);
    }

    @Test
    void aSyncCountsForWhatWasWrittenBeforeItBeganThoughMoreIsWrittenMeanwhile() throws Exception {
        aCopyBegins();
        syncsAreHeldUp();
        copies.take(data(1, 128, 0, BLOCK, 1));
        copies.writeDue();
        copies.beginSync();
        copies.take(data(2, 128, BLOCK, BLOCK, 2));
        assertThat(copies.writeDue()).as("while a sync is under way").isTrue();
        copies.beginSync();
        assertThat(copies.syncInNanos(System.nanoTime())).as("one at a time").isEqualTo(Long.MAX_VALUE);
        assertThat(copies.durable()).isZero();

        oneSyncEnds();

        assertThat(copies.written()).isEqualTo(2);
        assertThat(copies.durable()).isEqualTo(1);
        assertThat(copies.syncInNanos(System.nanoTime()))
                .as("the second is left")
                .isLessThan(Long.MAX_VALUE);
        copies.beginSync();
        oneSyncEnds();
        assertThat(copies.durable()).isEqualTo(2);
    }

    @Test
    void aSyncOfTheStreamBeforeSaysNothingOfTheItemsOfThisOne() throws Exception {
        aCopyBegins();
        syncsAreHeldUp();
        for (int sequence = 1; sequence <= 3; sequence++) {
            copies.take(data(sequence, 128, 0, BLOCK, sequence));
        }
        copies.writeDue();
        copies.beginSync();
        aCopyBegins();
        copies.take(data(1, 128, BLOCK, BLOCK, 1));
        copies.writeDue();

        oneSyncEnds();

        assertThat(copies.written()).isEqualTo(1);
        assertThat(copies.durable()).isZero();
    }

    @Test
    void noMoreIsWrittenBeyondASyncThanIsStatedThenTheRestWaits() throws Exception {
        aCopyBegins();
        syncsAreHeldUp();
        long sequence = 0;
        boolean written;
        do {
            copies.take(data(++sequence, 128, 0, CopyItem.MAX_DATA_BYTES, 1));
            written = copies.writeDue();
        } while (written);

        assertThat((sequence - 1) * CopyItem.MAX_DATA_BYTES).isEqualTo(IncomingCopies.MOST_UNSYNCED_BYTES);
        assertThat(copies.isOneDue()).isFalse();
        assertThat(replica.syncs).as("begun by what was written").hasValue(1);
        oneSyncEnds();
        assertThat(copies.durable()).isPositive();
        assertThat(copies.isOneDue()).isTrue();
        assertThat(copies.writeDue()).isTrue();
    }

    @Test
    void aSyncThatFailsIsToldAndCountsForNothing() throws Exception {
        aCopyBegins();
        copies.take(data(1, 128, 0, BLOCK, 1));
        copies.writeDue();
        image.close();

        copies.beginSync();
        copies.awaitSync();

        assertThat(replica.failed.get()).isInstanceOf(IOException.class);
        assertThat(copies.durable()).isZero();
    }

    @Test
    void aWholeImageStandsStillForAComparisonOnceItIsTheVolume() throws IOException {
        replica.whole = false;
        assertThat(copies.take(item(1, Kind.HOLD, 0, 0, 0, null))).isNull();
        assertThat(copies.writeDue()).isFalse();
        assertThat(copies.limit(1_024)).isEqualTo(1_024);

        replica.whole = true;
        replica.applied = 512;
        copies.writeDue();

        assertThat(copies.written()).isEqualTo(1);
        assertThat(copies.limit(1_024)).isEqualTo(512);
    }

    @Test
    void whatAComparisonFindsIsDoubtedAtOnceAndWhatItLeavesAtItsEnd() throws IOException {
        held();
        copies.take(item(2, Kind.DIGESTS, 128, 0, BLOCK, BlockDigests.of(ByteBuffer.wrap(filled(BLOCK, 7)))));
        copies.writeDue();
        assertThat(superblock.get().doubt()).isEqualTo(new Superblock.Doubt(1, 128));

        copies.take(data(3, 128, 0, BLOCK, 7));
        copies.take(item(4, Kind.RELEASE, 128, 1, 0, null));
        copies.writeDue();

        assertThat(superblock.get().doubt()).isEqualTo(Superblock.Doubt.NONE);
        assertThat(replica.doubted).isEqualTo(2);
        assertThat(replica.syncs).as("what was mended").hasValue(1);
        assertThat(copies.limit(1_024)).isEqualTo(1_024);
    }

    @Test
    void aComparisonEndsBehindASyncOfItsOwnWhereOneIsUnderWayThatMissesWhatWasMendedSince() throws Exception {
        held();
        copies.take(data(2, 128, 0, BLOCK, 7));
        copies.writeDue();
        syncsAreHeldUp();
        copies.beginSync();
        replica.mayEnd.release(2);
        copies.take(data(3, 128, BLOCK, BLOCK, 7));
        copies.take(item(4, Kind.RELEASE, 128, 1, 0, null));

        copies.writeDue();

        copies.awaitSync();
        assertThat(replica.syncs).hasValue(2);
        assertThat(copies.durable()).isEqualTo(4);
        assertThat(copies.syncInNanos(System.nanoTime())).as("all is synced").isEqualTo(Long.MAX_VALUE);
    }

    @Test
    void whatEndsWithItsStreamHoldsNothingBackAnyMoreButACopyGoesOn() throws IOException {
        held();
        copies.take(item(2, Kind.HORIZON, 256, 0, 0, null));
        assertThat(copies.holdsAnything()).isTrue();

        copies.streamEnds();

        assertThat(copies.holdsAnything()).isFalse();
        assertThat(copies.limit(1_024)).isEqualTo(1_024);
        aCopyBegins();
        copies.streamEnds();
        assertThat(copies.limit(1_024)).isEqualTo(128);
        copies.allow(512);
        assertThat(copies.limit(1_024)).isEqualTo(512);
    }

    @Test
    void whatIsOutOfItsTurnOrTooMuchIsRefused() throws IOException {
        assertThat(copies.take(data(1, 128, 0, BLOCK, 1))).isEqualTo("DATA, but this replica is whole");
        assertThat(copies.take(item(1, Kind.RELEASE, 128, 0, 0, null))).contains("RELEASE");
        aCopyBegins();
        assertThat(copies.take(item(1, Kind.HOLD, 0, 0, 0, null))).isEqualTo("HOLD, but this replica is a mixture");
        assertThat(copies.take(item(1, Kind.HORIZON, 512, 0, 0, null))).isNull();

        assertThat(copies.take(data(2, 256, 0, BLOCK, 1))).isEqualTo("a copy of position 256 behind one of 512");
        long taken = 0;
        String wrong = null;
        while (wrong == null) {
            wrong = copies.take(data(2, 512, 0, CopyItem.MAX_DATA_BYTES, 1));
            taken += CopyItem.MAX_DATA_BYTES;
        }
        assertThat(wrong).contains("bytes of copies at once");
        assertThat(taken).isBetween(2 * CopyItem.WINDOW_BYTES, 2 * CopyItem.WINDOW_BYTES + (1 << 20));
    }

    private void aCopyBegins() throws IOException {
        superblock.update(s -> s.with(new Superblock.Rebuild("copy", -1, false)));
        copies.begin(replica.applied);
    }

    private void syncsAreHeldUp() {
        replica.mayEnd.drainPermits();
    }

    private void oneSyncEnds() throws InterruptedException {
        replica.mayEnd.release();
        copies.awaitSync();
    }

    private void held() throws IOException {
        copies.take(item(1, Kind.HOLD, 0, 0, 0, null));
        copies.writeDue();
    }

    private static CopyItem data(long sequence, long position, long offset, int length, int value) {
        return item(sequence, Kind.DATA, position, offset, length, ByteBuffer.wrap(filled(length, value)));
    }

    private static CopyItem item(
            long sequence, Kind kind, long position, long offset, long length, @Nullable ByteBuffer bytes) {
        return new CopyItem(sequence, kind, position, offset, length, bytes);
    }

    private byte[] bytes() throws IOException {
        return Files.readAllBytes(dir.resolve("image"));
    }

    private static byte[] filled(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }
}
