package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIOException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.image.FullDisk;
import io.terminus.agent.image.Image;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A kill of the process is a copy of its files, taken while nothing moves: mapped bytes are in the files by then. */
class ReplicaTest {

    private static final int SEGMENT = 1 << 20;
    private static final int SEGMENTS = 4;
    private static final int VOLUME_BYTES = 1 << 20;
    private static final VolumeConfig CONFIG = new VolumeConfig(
            new UUID(1, 2),
            "v",
            VOLUME_BYTES,
            SEGMENT,
            0,
            "a",
            List.of(new Member("a", "boot")),
            List.of(),
            AckLevel.RECEIVED,
            0,
            1,
            Lineage.EMPTY,
            Failover.MANUAL,
            List.of(new Address("a", "h:1", "h:2")),
            VolumeConfig.Fork.NONE);
    private static final Replica.Observer NOBODY = new Replica.Observer() {
        @Override
        public void synced() {}

        @Override
        public void applied() {}

        @Override
        public void failed(String why) {}
    };

    @TempDir
    private Path temp;

    private final List<Replica> open = new ArrayList<>();

    @AfterEach
    void closeAll() {
        open.forEach(Replica::close);
    }

    @Test
    void onlyWhatIsKnownToBeCommittedIsReplayed() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        long first = write(before, 0, 1, 0);
        write(before, 4_096, 2, first);
        long end = write(before, 8_192, 3, first);

        Replica after = opened(killed(before, "r", "after"), "boot");
        after.start(NOBODY);

        assertThat(after.journal().end()).isEqualTo(end);
        assertThat(after.committed()).isEqualTo(first);
        awaitApplied(after, first);
        byte[] image = image(after);
        assertThat(Arrays.copyOfRange(image, 0, 4_096)).containsOnly(1);
        assertThat(Arrays.copyOfRange(image, 4_096, VOLUME_BYTES)).containsOnly(0);
    }

    @Test
    void nothingIsAppliedBeforeItIsCommitted() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        long first = write(replica, 0, 1, 0);
        long second = write(replica, 0, 2, 0);
        replica.requestSync(second);
        await().until(() -> replica.journal().durable() >= second);

        assertThat(replica.applied()).isZero();
        replica.commit(first);

        awaitApplied(replica, first);
        assertThat(image(replica)[0]).isEqualTo((byte) 1);
    }

    @Test
    void whoWaitsForASyncDoesItAndNeedsNoOtherThread() throws IOException {
        Replica replica = created("r"); // not started: nobody else syncs
        replica.journal().openTerm(1, "a", 10, 0);
        long end = write(replica, 0, 1, 0);

        replica.syncHere(end);

        assertThat(replica.journal().durable()).isEqualTo(end);
    }

    @Test
    void whatItsWaiterSyncedIsAppliedThoughNobodyWokeTheApplier() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        for (int i = 1; i <= 10; i++) {
            long end = write(replica, 0, i, replica.committed());
            if (i % 2 == 0) {
                replica.commit(end);
            }
            replica.published();
            replica.syncHere(end);
            replica.commit(end);

            awaitApplied(replica, end);
            assertThat(image(replica)[0]).isEqualTo((byte) i);
        }
    }

    @Test
    void manyWhoWaitAtOnceAreAllServed() throws Exception {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        List<Thread> waiters = new ArrayList<>();
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        for (int w = 0; w < 8; w++) {
            int number = w;
            waiters.add(Thread.ofPlatform()
                    .uncaughtExceptionHandler((t, e) -> failures.add(e))
                    .start(() -> {
                        for (int i = 0; i < 10; i++) {
                            try {
                                long end = write(replica, number * 4_096L, i, 0);
                                replica.published();
                                replica.syncHere(end);
                                await().until(() -> replica.journal().durable() >= end);
                            } catch (IOException e) {
                                throw new UncheckedIOException(e);
                            }
                        }
                    }));
        }
        for (Thread waiter : waiters) {
            waiter.join();
        }

        assertThat(failures).isEmpty();
        assertThat(replica.journal().durable()).isEqualTo(replica.journal().end());
    }

    @Test
    void readsShowWhatIsCommittedAndNotAppliedNeverMore() throws IOException {
        Replica replica = created("r"); // not started: nothing is applied
        replica.journal().openTerm(1, "a", 10, 0);
        long first = write(replica, 0, 1, 0);
        replica.commit(first);
        replica.serveReads();
        long second = write(replica, 2_048, 2, first);
        write(replica, 4_096, 3, first);

        assertThat(read(replica, 0, 8_192)).startsWith(filled(4_096, 1)).endsWith(filled(4_096, 0));
        replica.commit(second);

        byte[] now = read(replica, 0, 8_192);
        assertThat(Arrays.copyOfRange(now, 0, 2_048)).containsOnly(1);
        assertThat(Arrays.copyOfRange(now, 2_048, 6_144)).containsOnly(2);
        assertThat(Arrays.copyOfRange(now, 6_144, 8_192)).containsOnly(0);
        replica.start(NOBODY);
        replica.requestSync(second);
        awaitApplied(replica, second);
        assertThat(read(replica, 0, 8_192)).isEqualTo(now);
    }

    @Test
    void aCutSavesWhatGoes() throws IOException {
        Replica replica = created("r");
        replica.journal().openTerm(1, "a", 10, 0);
        long first = write(replica, 0, 1, 0);
        long end = write(replica, 4_096, 2, 0);
        replica.journal().closeTerm();
        byte[] gone = bytes(replica.journal(), first, end);

        Path rescued = replica.cut(first);

        assertThat(replica.journal().end()).isEqualTo(first);
        assertThat(rescued)
                .isEqualTo(temp.resolve("r/rescued/term-1-from-" + first + ".records"))
                .hasBinaryContent(gone);
        assertThat(replica.cut(first)).isNull();
    }

    @Test
    void aSecondCutAtTheSamePlaceReplacesNoFile() throws IOException {
        Replica replica = created("r");
        long term = replica.journal().openTerm(1, "a", 10, 0);
        write(replica, 0, 1, 0);
        replica.journal().closeTerm();
        Path one = replica.cut(term);
        replica.journal().openTerm(2, "a", 20, 0);
        write(replica, 0, 2, 0);
        replica.journal().closeTerm();

        Path two = replica.cut(term);

        assertThat(two).isNotEqualTo(one).exists();
        assertThat(one).exists();
    }

    @Test
    void afterARestartTheHistoryIsKeptUntilAWriterKnowsWhoNeedsIt() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 2 * 16; i++) {
            replica.commit(write(replica, i % 16 * 65_536L, filled(65_536, i), replica.committed()));
            replica.published();
        }
        awaitApplied(replica, replica.journal().end());
        replica.close();

        Replica after = opened(temp.resolve("r"), "boot");
        after.start(NOBODY);
        after.releaseSegments();

        assertThat(after.checkpoint()).isPositive();
        assertThat(after.journal().oldest()).isZero();
        after.close();
    }

    @Test
    void appliedSegmentsAreUsedAgainOnceNobodyElseNeedsThem() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        replica.retain(Long.MAX_VALUE);

        long end = 0;
        for (int i = 0; i < 3 * SEGMENTS * 16; i++) {
            end = write(replica, i % 16 * 65_536L, filled(65_536, i), replica.committed());
            replica.published();
            replica.commit(end);
        }

        assertThat(end).isGreaterThan(2L * SEGMENTS * SEGMENT);
        awaitApplied(replica, end);
        assertThat(replica.checkpoint()).isPositive();
        assertThat(replica.superblock().checkpoint().position()).isEqualTo(replica.checkpoint());
        assertThat(image(replica)[0]).isEqualTo((byte) (3 * SEGMENTS * 16 - 16));
    }

    @Test
    void aSegmentThatIsAppliedStaysUntilTheSuperblockNamesACheckpointBehindIt() throws IOException {
        // given
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.retain(Long.MAX_VALUE);
        replica.journal().openTerm(1, "a", 10, 0);
        while (replica.journal().end() < SEGMENT + 65_536) {
            write(replica, 0, filled(65_536, 1), 0);
        }
        long end = replica.journal().end();
        Path full = temp.resolve("r/superblock.next");
        await().ignoreExceptions() // while the superblock is being written, there is such a file
                .until(() -> Files.exists(Files.createSymbolicLink(full, Path.of("/dev/full"))));

        // when
        replica.published();
        replica.commit(end);
        awaitApplied(replica, end);
        replica.releaseSegments();
        long oldestWithoutOne = replica.journal().oldest();
        Files.delete(full);
        replica.wantCheckpoint();
        await().until(() -> replica.journal().oldest() == end);

        // then
        assertThat(oldestWithoutOne).isZero();
        assertThat(replica.superblock().checkpoint().position()).isEqualTo(end);
    }

    @Test
    void whatPeersNeedIsKept() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.retain(0);
        replica.journal().openTerm(1, "a", 10, 0);

        long end = 0;
        for (int i = 0; i < 40; i++) {
            end = write(replica, 0, filled(65_536, i), replica.committed());
            replica.published();
            replica.commit(end);
        }
        awaitApplied(replica, end);
        await().until(() -> replica.checkpoint() > SEGMENT);

        assertThat(replica.journal().oldest()).isZero();
        replica.retain(Long.MAX_VALUE);
        replica.releaseSegments();
        assertThat(replica.journal().oldest()).isEqualTo(replica.checkpoint());
    }

    @Test
    void aSegmentThatWasCutShortIsDamageOnlyWhereRecordsMayHaveStood() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        long first = write(before, 0, 1, 0);
        long end = write(before, 4_096, 2, first);
        Path within = killed(before, "r", "within");
        Path atItsEnd = killed(before, "r", "at-its-end");
        Path behind = killed(before, "r", "behind");

        cutShort(within, 0, end - 1);
        cutShort(atItsEnd, 0, end);
        cutShort(behind, 0, end + 128);

        Replica cut = opened(within, "boot");
        assertThat(cut.journal().end()).isEqualTo(first);
        assertThat(cut.superblock().life().damaged()).isTrue();
        assertThat(opened(atItsEnd, "boot").superblock().life().damaged()).isTrue();
        Replica whole = opened(behind, "boot");
        assertThat(whole.journal().end()).isEqualTo(end);
        assertThat(whole.superblock().life().damaged()).isFalse();
        assertThat(Files.size(segment(behind, 0))).isEqualTo(SEGMENT);
    }

    @Test
    void aSegmentThatIsGoneIsDamageWhereverItStood() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 2 * 16; i++) {
            write(before, 0, filled(65_536, i), 0);
        }
        long end = before.journal().end();
        await().until(() -> before.journal().readyEnd() == 4L * SEGMENT);
        await().until(() -> before.superblock().reach() == 4L * SEGMENT);
        Path whole = killed(before, "r", "whole");
        Path lastGone = killed(before, "r", "last");
        Path middleGone = killed(before, "r", "middle");
        Path allGone = killed(before, "r", "all");
        Path unusedGone = killed(before, "r", "unused");

        Files.delete(segment(lastGone, 2));
        Files.delete(segment(lastGone, 3));
        Files.delete(segment(middleGone, 1));
        for (int i = 0; i < 4; i++) {
            Files.delete(segment(allGone, i));
        }
        Files.delete(segment(unusedGone, 3));

        assertThat(end).isBetween(2L * SEGMENT, 3L * SEGMENT);
        assertThat(opened(whole, "boot").superblock().life().damaged()).isFalse();
        Replica last = opened(lastGone, "boot");
        assertThat(last.superblock().life().damaged()).isTrue();
        assertThat(last.journal().end()).isBetween(SEGMENT + 1L, 2L * SEGMENT);
        assertThat(opened(middleGone, "boot").superblock().life().damaged()).isTrue();
        Replica none = opened(allGone, "boot");
        assertThat(none.superblock().life().damaged()).isTrue();
        assertThat(none.journal().end()).isZero();
        Replica unused = opened(unusedGone, "boot");
        assertThat(unused.superblock().life().damaged()).isFalse();
        assertThat(unused.journal().end()).isEqualTo(end);
    }

    @Test
    void whatWasLostWithTheMemoryIsNoDamageThoughALaterRecordSaysThatItWasReceived() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        long first = write(before, 0, 1, 0);
        before.syncHere(first);
        long second = write(before, 4_096, 2, first);
        long third = write(before, 8_192, 3, second); // says that the second was committed
        Path killed = killed(before, "r", "killed");
        Path withoutPower = killed(before, "r", "without-power");
        Path rotten = killed(before, "r", "rotten");

        wipe(killed, first, second);
        wipe(withoutPower, first, second);
        wipe(rotten, first - 128, first);

        assertThat(third).isGreaterThan(second);
        Replica sameMemory = opened(killed, "boot");
        assertThat(sameMemory.superblock().life().damaged()).isTrue();
        Replica after = opened(withoutPower, "next boot");
        assertThat(after.superblock().life().damaged()).isFalse();
        assertThat(after.superblock().life().memoryLost()).isTrue();
        assertThat(after.journal().end()).isEqualTo(first);
        assertThat(opened(rotten, "next boot").superblock().life().damaged())
                .as("what had been synced here")
                .isTrue();
    }

    @Test
    void aReplicaThatStartedOverMissesNoSegmentOfItsJournalBefore() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 2 * 16; i++) {
            write(before, 0, filled(65_536, i), 0);
        }
        before.journal().closeTerm();
        before.startOver("copy", -1, 0, 128, Lineage.EMPTY);

        Replica after = opened(killed(before, "r", "after"), "boot");

        assertThat(after.superblock().life().damaged()).isFalse();
        assertThat(after.journal().end()).isEqualTo(128);
    }

    @Test
    void aStartAmidAJournalThatStartsOverReadsNothingOfTheOneBeforeThoughItsSegmentsAreThere() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 3 * 16; i++) {
            write(before, 0, filled(65_536, i), 0);
        }
        before.journal().closeTerm();
        before.syncNow();
        long at = SEGMENT;
        before.update(s -> s.with(new Superblock.Checkpoint(at, at, Lineage.EMPTY, at))
                .with(new Superblock.Rebuild("copy", -1, true)));
        Path copy = killed(before, "r", "after");
        Image.empty(segment(copy, 2), SEGMENT);
        Files.delete(segment(copy, 3));

        assertThat(segment(copy, 1)).as("where the new journal begins").exists();

        Replica after = opened(copy, "boot");
        Replica again = opened(killed(after, "after", "again"), "boot");

        for (Replica one : List.of(after, again)) {
            assertThat(one.journal().end()).isEqualTo(at);
            assertThat(one.journal().lineage()).isEqualTo(Lineage.EMPTY);
            assertThat(one.superblock().rebuild().journalGoes()).isFalse();
            assertThat(one.superblock().life().damaged()).isFalse();
        }
    }

    @Test
    void historyBeginsBehindASegmentThatWasCutShort() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 2 * 16 + 1; i++) {
            replica.commit(write(replica, i % 16 * 65_536L, filled(65_536, i), replica.committed()));
            replica.published();
        }
        long end = replica.journal().end();
        awaitApplied(replica, end);
        replica.close();

        cutShort(temp.resolve("r"), 0, 1_000);

        Replica after = opened(temp.resolve("r"), "boot");
        assertThat(after.journal().end()).isEqualTo(end);
        assertThat(after.journal().oldest()).isEqualTo(SEGMENT);
        assertThat(after.superblock().life().damaged()).isFalse();
    }

    @Test
    void aReplicaThatWasKilledWithItsJournalFullOfHistoryHasRoomForATerm() throws IOException {
        Replica before = created("r");
        before.start(NOBODY);
        before.retain(0);
        before.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < SEGMENTS * 15; i++) {
            before.commit(write(before, 0, filled(65_536, i), before.committed()));
            before.published();
        }
        long end = write(before, 0, filled(63_360, 1), before.committed()); // 128 bytes are left
        before.commit(end);
        before.published();
        awaitApplied(before, end);
        await().until(() -> before.checkpoint() > 2L * SEGMENT);
        assertThat(end).isEqualTo((long) SEGMENTS * SEGMENT - 128);

        Replica after = opened(killed(before, "r", "after"), "boot");
        after.start(NOBODY);
        after.makeRoom(end);
        after.journal().openTerm(2, "a", 11, after.committed());

        assertThat(after.journal().end()).isGreaterThan((long) SEGMENTS * SEGMENT);
    }

    @Test
    void aStartThatEndsBehindTheMendingOfTheJournalLeavesItKnownToBeDamaged() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 2 * 16; i++) {
            write(before, 0, filled(65_536, i), 0);
        }
        await().until(() -> before.superblock().reach() == 4L * SEGMENT);
        Path copy = killed(before, "r", "copy");
        Files.delete(segment(copy, 1));
        try (FileChannel first = FileChannel.open(segment(copy, 0), StandardOpenOption.WRITE)) {
            first.write(ByteBuffer.allocate(1), SEGMENT);
        }

        assertThatIOException().isThrownBy(() -> opened(copy, "boot")).withMessageContaining("bytes: a segment");
        cutShort(copy, 0, SEGMENT);
        Replica after = opened(copy, "boot");

        assertThat(segment(copy, 1)).exists();
        assertThat(after.superblock().life().damaged()).isTrue();
        assertThat(after.superblock().life().incarnation()).isNotEqualTo("boot");
    }

    @Test
    void aJournalThatStartedOverWithoutSpaceToSaySoMissesNoSegmentOnceACopyGoesOn() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        for (int i = 0; i < 2 * 16; i++) {
            write(before, 0, filled(65_536, i), 0);
        }
        await().until(() -> before.superblock().reach() == 4L * SEGMENT);
        before.journal().closeTerm();
        before.update(s -> s.with(new Superblock.Checkpoint(128, 128, Lineage.EMPTY, 128))
                .with(new Superblock.Rebuild("copy", -1, true)));
        before.journal().reset(128, Lineage.EMPTY, Image::empty);

        before.goOn("copy", -1, 128);

        assertThat(before.superblock().rebuild().journalGoes()).isFalse();
        Replica after = opened(killed(before, "r", "after"), "boot");
        assertThat(after.superblock().life().damaged()).isFalse();
        assertThat(after.journal().end()).isEqualTo(128);
    }

    // ---- an image that is at no position

    @Test
    void aStepThatFindsNoSpaceCountsAsWhatTheImageMayHoldUntilItIsDone() throws IOException {
        FullDisk disk = new FullDisk();
        Replica replica = stuck(disk);
        long end = replica.committed();

        assertThat(replica.applied()).isLessThan(end);
        assertThat(replica.imageReach()).isEqualTo(end);
        assertThat(replica.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isFalse();
        disk.full(false);
        awaitApplied(replica, end);

        assertThat(replica.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isTrue();
    }

    @Test
    void anImageThatStartsOverTakesCopiesThoughAStepFoundNoSpace() throws IOException {
        Replica replica = stuck(new FullDisk());
        replica.journal().closeTerm();

        replica.startOver(
                "copy", -1, replica.applied(), 4_096, replica.journal().lineage());
        replica.takeCopy(new CopyItem(1, CopyItem.Kind.DATA, 4_096, 8_192, 4_096, ByteBuffer.wrap(filled(4_096, 7))));

        await().until(() -> replica.copiesWritten() == 1);
        assertThat(image(replica)[8_192]).isEqualTo((byte) 7);
        assertThat(replica.imageReach()).isEqualTo(4_096);
    }

    @Test
    void anImageStandsStillForAComparisonOnlyOnceItIsTheVolumeAtSomePosition() throws IOException {
        FullDisk disk = new FullDisk();
        Replica replica = stuck(disk);
        long end = replica.committed();

        replica.takeCopy(new CopyItem(1, CopyItem.Kind.HOLD, 0, 0, 0, null));
        disk.full(false);

        await().until(() -> replica.copiesWritten() == 1);
        assertThat(replica.applied()).isEqualTo(end);
    }

    @Test
    void whoWaitsForAWholeImageHearsThatTheReplicaHasFailed() throws Exception {
        Replica replica = stuck(new FullDisk());
        FutureTask<Long> read = new FutureTask<>(() -> replica.readForCopy(0, ByteBuffer.allocate(4_096)));
        Thread reader = Thread.ofPlatform().start(read);
        await().until(() -> reader.getState() == Thread.State.WAITING);

        replica.fail("Input/output error");

        assertThatThrownBy(() -> read.get(30, TimeUnit.SECONDS)).hasMessageContaining("has failed");
    }

    @Test
    void theFirstReasonOfAFailureIsTheOneThatIsKept() throws IOException {
        Replica replica = created("r");

        replica.fail("fdatasync of the journal failed: EIO");
        replica.fail("the image cannot be read: the replica has failed");

        assertThat(replica.superblock().life().failed()).isEqualTo("fdatasync of the journal failed: EIO");
    }

    @Test
    void anImageThatMayBeAheadAfterAKillIsReadOnlyWhenEverythingItMayHoldIsApplied() throws Exception {
        Replica before = created("r");
        before.start(NOBODY);
        before.journal().openTerm(1, "a", 10, 0);
        long first = write(before, 0, 1, 0);
        before.commit(first);
        before.requestSync(first);
        awaitApplied(before, first);
        long second = write(before, 0, 2, 0);

        Replica after = opened(killed(before, "r", "after"), "boot");
        after.start(NOBODY);
        FutureTask<Long> copy = new FutureTask<>(() -> after.readForCopy(0, ByteBuffer.allocate(4_096)));
        Thread reader = Thread.ofPlatform().start(copy);
        await().until(() -> reader.getState() == Thread.State.WAITING);

        assertThat(after.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isFalse();
        after.commit(second);
        after.requestSync(second);

        assertThat(copy.get(30, TimeUnit.SECONDS)).isEqualTo(second);
        assertThat(after.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isTrue();
    }

    @Test
    void afterAStopInGoodOrderTheImageIsAheadOfNothing() throws IOException {
        Replica before = created("r");
        before.start(NOBODY);
        before.journal().openTerm(1, "a", 10, 0);
        long first = write(before, 0, 1, 0);
        before.commit(first);
        long end = write(before, 0, 2, 0);
        before.journal().closeTerm();
        before.close();

        Replica after = opened(temp.resolve("r"), "boot");

        assertThat(after.journal().end()).isEqualTo(end);
        assertThat(after.imageReach()).isEqualTo(first);
        ByteBuffer read = ByteBuffer.allocate(4_096);
        assertThat(after.readIfHeld(0, read, 0)).isTrue();
        assertThat(read.array()).containsOnly(1);
    }

    @Test
    void afterAStopInGoodOrderAnImageThatAKillLeftAheadIsStillAhead() throws IOException {
        Replica before = created("r");
        before.start(NOBODY);
        before.journal().openTerm(1, "a", 10, 0);
        long first = write(before, 0, 1, 0);
        long second = write(before, 4_096, 2, first); // the last one that says what is committed
        before.commit(second);
        before.requestSync(second);
        awaitApplied(before, second);
        Path copy = killed(before, "r", "copy");

        Replica killed = opened(copy, "boot");
        killed.start(NOBODY);
        awaitApplied(killed, first);
        killed.close();
        assertThat(Superblock.read(copy).life().clean()).isFalse();
        Replica closed = opened(copy, "boot");

        assertThat(closed.applied()).isEqualTo(first);
        assertThat(image(closed)[4_096]).isEqualTo((byte) 2);
        assertThat(closed.imageReach()).isEqualTo(second);
        assertThat(closed.readIfHeld(0, ByteBuffer.allocate(8_192), 0)).isFalse();
        closed.start(NOBODY);
        closed.commit(second);
        closed.requestSync(second);
        awaitApplied(closed, second);
        closed.close();
        assertThat(Superblock.read(copy).life().clean()).isTrue();
    }

    @Test
    void behindAJournalThatIsGoneTheImageMayHoldWhatAnyOfItsSegmentsHeld() throws IOException {
        Replica before = created("r");
        before.journal().openTerm(1, "a", 10, 0);
        write(before, 0, 1, 0);
        await().until(() -> before.superblock().reach() == 2L * SEGMENT);
        Path gone = killed(before, "r", "gone");
        Files.delete(segment(gone, 0));
        Files.delete(segment(gone, 1));

        Replica after = opened(gone, "boot");

        assertThat(after.journal().end()).isZero();
        assertThat(after.imageReach()).isEqualTo(2L * SEGMENT);
        assertThat(opened(killed(after, "gone", "later"), "boot").imageReach()).isEqualTo(2L * SEGMENT);
        assertThat(after.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isFalse();
        after.streamBegins(0);
        assertThat(after.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isTrue();
    }

    @Test
    void zerosOfAReplicaThatNoWriterHasFedAreNotTheVolume() throws IOException {
        Replica replica = created("r");

        assertThat(replica.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isFalse();
        replica.streamBegins(128);

        assertThat(replica.readIfHeld(0, ByteBuffer.allocate(4_096), 0)).isFalse();
        assertThat(replica.imageReach()).isZero();
    }

    @Test
    void aReadOfWhatIsCommittedSaysAtWhichPosition() throws IOException {
        Replica replica = created("r"); // not started: nothing is applied
        replica.journal().openTerm(1, "a", 10, 0);
        replica.serveReads();
        write(replica, 0, filled(65_536, 1), 0);
        long second = write(replica, 65_536, filled(65_536, 2), 0);
        replica.commit(second);
        write(replica, 0, 3, 0);
        ByteBuffer into = ByteBuffer.allocate(131_072);

        long position = replica.readCommitted(0, into);

        assertThat(position).isEqualTo(second);
        assertThat(Arrays.copyOfRange(into.array(), 0, 65_536)).containsOnly(1);
        assertThat(Arrays.copyOfRange(into.array(), 65_536, 131_072)).containsOnly(2);
    }

    @Test
    void aReadThatWaitedForApplyIsOfThePositionThatItFound() throws Exception {
        Replica replica = created("r"); // not started: the test applies
        replica.journal().openTerm(1, "a", 10, 0);
        long first = write(replica, 0, 1, 0);
        long second = write(replica, 0, 2, first);
        CommittedReads reads = new CommittedReads(replica.journal(), replica.image());
        AppliedImage applied =
                new AppliedImage(replica.image(), replica.journal(), reads, replica.measures(), new ImageReach(0), 0);
        reads.begin(0);
        AtomicLong committed = new AtomicLong(first);
        ByteBuffer into = ByteBuffer.allocate(4_096);
        FutureTask<Long> read = new FutureTask<>(() -> applied.readCommitted(0, into, committed::get));

        applied.lock().lock();
        Thread reader = Thread.ofPlatform().start(read);
        await().until(() -> applied.lock().hasQueuedThread(reader));
        committed.set(second);
        applied.step(second);
        applied.lock().unlock();

        assertThat(read.get(30, TimeUnit.SECONDS)).isEqualTo(second);
        assertThat(into.array()).containsOnly(2);
    }

    @Test
    void whoIsInterruptedWhileItClosesDoesSoInGoodOrderAndIsInterruptedAfterwards() throws IOException {
        Replica replica = created("r");
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        long end = write(replica, 0, 1, 0);
        replica.commit(end);
        Thread.currentThread().interrupt();

        replica.close();

        assertThat(Thread.interrupted()).isTrue();
        Superblock.Life life = Superblock.read(temp.resolve("r")).life();
        assertThat(life.clean()).isTrue();
        assertThat(life.failed()).isEmpty();
        assertThat(image(replica)[0]).isEqualTo((byte) 1);
    }

    /** Apply has found no space for the one record that is committed. */
    private Replica stuck(FullDisk disk) throws IOException {
        Replica.create(temp.resolve("r"), CONFIG, SEGMENTS, "a", "boot");
        Replica replica = Replica.open(temp.resolve("r"), CONFIG, SEGMENTS, "a", "boot", disk::open);
        open.add(replica);
        replica.start(NOBODY);
        replica.journal().openTerm(1, "a", 10, 0);
        replica.serveReads();
        disk.full(true);
        long end = write(replica, 0, 1, 0);
        replica.commit(end);
        replica.requestSync(end);
        await().until(() -> String.valueOf(replica.waitingFor()).contains("space for the image"));
        return replica;
    }

    private static void wipe(Path replica, long from, long to) throws IOException {
        try (FileChannel file = FileChannel.open(segment(replica, 0), StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.allocate((int) (to - from)), from);
        }
    }

    private static void cutShort(Path replica, long number, long lengthBytes) throws IOException {
        try (FileChannel file = FileChannel.open(segment(replica, number), StandardOpenOption.WRITE)) {
            file.truncate(lengthBytes);
        }
    }

    private static Path segment(Path replica, long number) {
        return replica.resolve("journal").resolve("%016x.seg".formatted(number));
    }

    @Test
    void aReplicaThatFailedStaysFailed() throws IOException {
        Replica replica = created("r");

        replica.fail("fdatasync of the journal failed: EIO");

        replica.close();
        Replica after = opened(temp.resolve("r"), "boot");
        after.start(NOBODY);
        assertThat(after.superblock().life().failed()).isEqualTo("fdatasync of the journal failed: EIO");
        after.close();
        assertThat(opened(temp.resolve("r"), "boot").superblock().life().failed())
                .isNotEmpty();
    }

    @Test
    void memoryIsLostWhenTheKernelIsAnotherOneAndTheReplicaWasNotClosed() throws IOException {
        Replica replica = created("r");
        replica.journal().openTerm(1, "a", 10, 0);

        Replica samePower = opened(killed(replica, "r", "same"), "boot");
        Replica otherPower = opened(killed(replica, "r", "other"), "boot 2");
        replica.close();
        Replica closed = opened(killed(replica, "r", "closed"), "boot 2");

        assertThat(samePower.superblock().life().memoryLost()).isFalse();
        assertThat(otherPower.superblock().life().memoryLost()).isTrue();
        assertThat(closed.superblock().life().memoryLost()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void theImageIsWhatTheCommittedRecordsMakeOfIt(long number) throws IOException {
        long seed = Long.getLong("terminus.seed", number);
        Random random = new Random(seed);
        record Op(long end, int offset, byte[] bytes) {}
        List<Op> ops = new ArrayList<>();
        Replica replica = created("life-0");
        replica.start(NOBODY);
        long token = 10;
        replica.journal().openTerm(1, "a", token, 0);
        boolean reads = false;

        for (int life = 0, step = 0; step < 400; step++) {
            Replica now = replica;
            switch (random.nextInt(life < 6 ? 40 : 36)) {
                case 36, 37, 38, 39 -> {
                    now.requestSync(now.journal().end());
                    long committed = now.committed();
                    awaitApplied(now, committed);
                    Path copy;
                    if (random.nextBoolean()) {
                        copy = killed(now, "life-" + life, "life-" + (life + 1));
                        now.close();
                    } else {
                        now.close();
                        copy = killed(now, "life-" + life, "life-" + (life + 1));
                    }
                    life++;
                    replica = opened(copy, "boot");
                    reads = false;
                    assertThat(replica.committed())
                            .as("seed %d, step %d", seed, step)
                            .isLessThanOrEqualTo(committed);
                    replica.start(NOBODY);
                    replica.commit(committed);
                    replica.journal().openTerm(life + 1, "a", token, committed);
                }
                case 30, 31, 32, 33, 34, 35 -> {
                    int offset = random.nextInt(VOLUME_BYTES / 512) * 512;
                    int length = Math.min(VOLUME_BYTES - offset, 512 << random.nextInt(8));
                    long end = now.journal()
                            .zeroes(
                                    offset,
                                    length,
                                    random.nextBoolean() ? Journal.MAY_PUNCH : 0,
                                    token,
                                    now.committed());
                    ops.add(new Op(end, offset, new byte[length]));
                    now.published();
                }
                case 28, 29 -> {
                    now.serveReads();
                    reads = true;
                }
                case 20, 21, 22, 23, 24, 25, 26, 27 -> {
                    long position = ops.isEmpty()
                            ? 0
                            : ops.get(Math.max(0, ops.size() - 1 - random.nextInt(4)))
                                    .end();
                    now.commit(position);
                    if (reads) {
                        byte[] expected = new byte[VOLUME_BYTES];
                        long committed = now.committed();
                        ops.stream()
                                .filter(o -> o.end() <= committed)
                                .forEach(o -> System.arraycopy(o.bytes(), 0, expected, o.offset(), o.bytes().length));
                        assertThat(Arrays.equals(read(now, 0, VOLUME_BYTES), expected))
                                .as("seed %d, step %d: read", seed, step)
                                .isTrue();
                    }
                }
                default -> {
                    int offset = random.nextInt(VOLUME_BYTES - 1);
                    byte[] bytes = new byte[1 + random.nextInt(Math.min(VOLUME_BYTES - offset, 20_000))];
                    random.nextBytes(bytes);
                    ops.add(new Op(write(now, offset, bytes, now.committed()), offset, bytes));
                    now.published();
                }
            }
        }

        long committed = replica.committed();
        replica.requestSync(replica.journal().end());
        awaitApplied(replica, committed);
        byte[] expected = new byte[VOLUME_BYTES];
        ops.stream()
                .filter(o -> o.end() <= committed)
                .forEach(o -> System.arraycopy(o.bytes(), 0, expected, o.offset(), o.bytes().length));
        assertThat(Arrays.equals(image(replica), expected)).as("seed %d", seed).isTrue();
    }

    // ---- givens

    private Replica created(String name) throws IOException {
        Replica.create(temp.resolve(name), CONFIG, SEGMENTS, "a", "boot");
        return opened(temp.resolve(name), "boot");
    }

    private Replica opened(Path dir, String bootId) throws IOException {
        Replica replica = Replica.open(dir, CONFIG, SEGMENTS, "a", bootId);
        open.add(replica);
        return replica;
    }

    private Path killed(Replica replica, String from, String to) throws IOException {
        assertThat(replica).isNotNull();
        return CrashCopy.of(temp.resolve(from), temp.resolve(to));
    }

    private static void awaitApplied(Replica replica, long position) {
        await().atMost(Duration.ofSeconds(30)).until(() -> replica.applied() >= position);
    }

    private static long write(Replica replica, long offset, int value, long committed) throws IOException {
        return write(replica, offset, filled(4_096, value), committed);
    }

    private static long write(Replica replica, long offset, byte[] bytes, long committed) throws IOException {
        return replica.journal().write(offset, ByteBuffer.wrap(bytes), 0, 10, committed);
    }

    private static byte[] read(Replica replica, long offset, int length) throws IOException {
        ByteBuffer into = ByteBuffer.allocate(length);
        replica.read(offset, into);
        return into.array();
    }

    private static byte[] image(Replica replica) throws IOException {
        return Files.readAllBytes(replica.imagePath());
    }

    private static byte[] bytes(Journal journal, long from, long to) {
        byte[] bytes = new byte[(int) (to - from)];
        journal.bytes(from, to).get(bytes);
        return bytes;
    }

    private static byte[] filled(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }
}
