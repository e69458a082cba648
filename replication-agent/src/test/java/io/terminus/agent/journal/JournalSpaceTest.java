package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalSpaceTest {

    @TempDir
    Path directory;

    private Path own() {
        return directory.resolve("journal");
    }

    @Test
    void syncMakesWhatWasPublishedDurable() throws IOException {
        List<FileChannel> forced = new ArrayList<>();
        Disk counting = new Disk() {
            @Override
            void force(FileChannel segment) throws IOException {
                forced.add(segment);
                super.force(segment);
            }
        };
        try (Journal journal = Journal.create(own(), Given.SPEC, 0, counting, () -> 0, Given.WAIT_NANOS)) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, Given.SEGMENT + 1);
            assertThat(journal.durable()).isZero();

            assertThat(journal.sync()).isEqualTo(journal.end()).isEqualTo(journal.durable());
            assertThat(forced).hasSize(2);
            journal.sync();
            assertThat(forced).hasSize(2);
        }
    }

    @Test
    void aFailedSyncIsFinal() throws IOException {
        int[] failures = {1};
        Disk failsOnce = new Disk() {
            @Override
            void force(FileChannel segment) throws IOException {
                if (failures[0]-- > 0) {
                    throw new IOException("Input/output error");
                }
                super.force(segment);
            }
        };
        try (Journal journal = Journal.create(own(), Given.SPEC, 0, failsOnce, () -> 0, Given.WAIT_NANOS)) {
            journal.openTerm(1, "a", 1, 0);
            assertThatExceptionOfType(JournalFailedException.class)
                    .isThrownBy(journal::sync)
                    .withMessageContaining("fdatasync");

            assertThatExceptionOfType(JournalFailedException.class).isThrownBy(journal::sync);
            assertThatExceptionOfType(JournalFailedException.class)
                    .isThrownBy(() -> journal.write(0, Given.payload(0, 10), 0, 1, 0));
            assertThatExceptionOfType(JournalFailedException.class)
                    .isThrownBy(() -> journal.cut(0, directory.resolve("rescue")));
            assertThat(journal.durable()).isZero();
        }
    }

    @Test
    void anInterruptDoesNotFailASync() throws IOException {
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            Thread.currentThread().interrupt();

            long durable = journal.sync();

            assertThat(Thread.interrupted()).isTrue();
            assertThat(durable).isEqualTo(journal.end());
        }
    }

    @Test
    void anInterruptedSendLeavesTheJournalUsable() throws IOException {
        try (Journal journal = Given.journal(own());
                FileChannel out = FileChannel.open(
                        directory.resolve("out"),
                        java.nio.file.StandardOpenOption.CREATE,
                        java.nio.file.StandardOpenOption.WRITE)) {
            journal.openTerm(1, "a", 1, 0);
            Thread.currentThread().interrupt();
            try {
                journal.send(0, journal.end(), out);
            } catch (IOException interrupted) {
                assertThat(interrupted).isInstanceOf(java.nio.channels.ClosedByInterruptException.class);
            }
            assertThat(Thread.interrupted()).isTrue();

            try (FileChannel again =
                    FileChannel.open(directory.resolve("out"), java.nio.file.StandardOpenOption.WRITE)) {
                assertThat(journal.send(0, journal.end(), again)).isEqualTo(journal.end());
            }
            assertThat(journal.sync()).isEqualTo(journal.end());
        }
    }

    @Test
    void releasedSegmentsAreRecycledAndNothingValidStaysInThem() throws IOException {
        long checkpoint;
        Lineage lineage;
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            for (int lap = 0; lap < 12; lap++) {
                fill(journal, journal.segmentEnd(journal.end()));
                journal.sync();
                journal.release(journal.end());
            }
            checkpoint = journal.end();
            lineage = journal.lineage();
            assertThat(journal.oldest()).isEqualTo(checkpoint);
            assertThatIllegalArgumentException().isThrownBy(() -> journal.forEach(0, 256, view -> true));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.payload(0));
        }
        assertThat(SegmentStore.list(own(), Given.SEGMENT)).hasSizeLessThanOrEqualTo(4);

        try (Journal journal = Journal.open(own(), Given.SPEC, checkpoint, checkpoint, lineage, 0)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Recovery.Clean());
            assertThat(journal.end()).isEqualTo(checkpoint);
            // Spare files of before are used up before new ones are made.
            journal.openTerm(2, "a", 1, 0);
            fill(journal, checkpoint + 2L * Given.SEGMENT);
            assertThat(SegmentStore.list(own(), Given.SEGMENT)).hasSizeLessThanOrEqualTo(4);
        }
    }

    @Test
    void whatIsNotReleasedIsStillReadableAfterARestart() throws IOException {
        long oldest;
        long checkpoint;
        Lineage lineage;
        List<Long> boundaries;
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, 3L * Given.SEGMENT);
            journal.sync();
            oldest = Given.boundaries(journal).get(5);
            checkpoint = Given.boundaries(journal).get(9);
            journal.release(oldest);
            lineage = journal.lineage();
            boundaries = Given.boundaries(journal);
        }

        try (Journal journal = Journal.open(own(), Given.SPEC, oldest, checkpoint, lineage, 0)) {
            assertThat(journal.oldest()).isEqualTo(oldest);
            assertThat(Given.boundaries(journal)).isEqualTo(boundaries);
        }
    }

    @Test
    void nothingIsReleasedThatIsNotDurable() throws IOException {
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            assertThatIllegalArgumentException().isThrownBy(() -> journal.release(256));
        }
    }

    @Test
    void oneSegmentIsPreparedAhead() throws IOException {
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);

            Awaitility.await().until(() -> journal.readyEnd() == 2L * Given.SEGMENT);

            assertThat(journal.room()).isEqualTo(4L * Given.SEGMENT - 256);
        }
    }

    @Test
    void cutSavesTheTailAndLeavesNothingOfIt() throws IOException {
        long position;
        byte[] tail;
        Path rescue = directory.resolve("rescue");
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            position = journal.write(0, Given.payload(1, 1000), 0, 1, 0);
            journal.write(0, Given.payload(2, 1000), 0, 1, 0);
            journal.closeTerm();
            journal.openTerm(2, "b", 1, 0);
            long end = journal.write(0, Given.payload(3, 1000), 0, 1, 0);
            journal.closeTerm();
            tail = Given.read(own(), position, (int) (end - position));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.cut(position - 128, rescue));

            assertThat(journal.cut(position, rescue)).isEqualTo(tail.length);

            assertThat(journal.end()).isEqualTo(position);
            assertThat(journal.lineage().lastTerm()).isEqualTo(1);
            assertThat(Files.readAllBytes(rescue)).isEqualTo(tail);
            assertThat(Given.read(own(), position, tail.length)).containsOnly(0);
            assertThat(journal.cut(position, rescue)).isZero();
            journal.openTerm(3, "a", 1, 0);
        }
        try (Journal journal = Given.reopened(own())) {
            assertThat(journal.lineage().starts())
                    .containsExactly(new TermStart(1, "a", 0), new TermStart(3, "a", position));
            assertThat(journal.recovery().verdict()).isEqualTo(new Recovery.Clean());
        }
    }

    @Test
    void cutAfterATornTailSavesTheRecordsBeyondToo() throws IOException {
        long torn;
        long end;
        Path rescue = directory.resolve("rescue");
        try (Journal journal = Given.journal(own())) {
            torn = journal.openTerm(1, "a", 1, 0);
            journal.write(0, Given.payload(1, 1000), 0, 1, 0);
            end = journal.write(0, Given.payload(2, 1000), 0, 1, 0);
        }
        Given.overwrite(own(), torn + 500, new byte[] {9, 9, 9});
        try (Journal journal = Given.reopened(own())) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Recovery.TornTail(torn));

            journal.cut(journal.end(), rescue);

            assertThat(Files.size(rescue)).isEqualTo(end - torn);
        }
        try (Journal journal = Given.reopened(own())) {
            assertThat(journal.recovery())
                    .isEqualTo(new Recovery(torn, journal.lineage(), 0, 0, 0, torn, new Recovery.Clean()));
        }
    }

    @Test
    void aCutDoesNotReadWhatIsDamagedBeforeTheCheckpoint() throws IOException {
        long damaged;
        long checkpoint;
        long behind;
        Lineage lineage;
        try (Journal journal = Given.journal(own())) {
            damaged = journal.openTerm(1, "a", 1, 0);
            checkpoint = journal.write(0, Given.payload(1, 1000), 0, 1, 0);
            behind = journal.write(0, Given.payload(2, 1000), 0, 1, 0);
            journal.write(0, Given.payload(3, 1000), 0, 1, 0);
            lineage = journal.lineage();
        }
        Given.overwrite(own(), damaged, new byte[] {9, 9, 9, 9, 9, 9, 9, 9});

        try (Journal journal = Journal.open(own(), Given.SPEC, 0, checkpoint, lineage, checkpoint)) {
            long saved = journal.cut(behind, directory.resolve("rescue"));

            assertThat(saved).isPositive();
            assertThat(journal.end()).isEqualTo(behind);
            assertThatIllegalArgumentException().isThrownBy(() -> journal.cut(behind - 128, directory.resolve("none")));
            journal.cut(damaged, directory.resolve("history"));
            assertThat(journal.end()).isEqualTo(damaged);
        }
    }

    @Test
    void theFirstDamagedRecordIsFoundByHeaderAndByPayload() throws IOException {
        try (Journal journal = Given.journal(own())) {
            long first = journal.openTerm(1, "a", 1, 0);
            long second = journal.write(0, Given.payload(1, 1000), 0, 1, 0);
            long end = journal.write(0, Given.payload(2, 1000), 0, 1, 0);
            assertThat(journal.firstDamaged(0, end)).isEqualTo(-1);

            Given.overwrite(own(), second + 700, new byte[] {9, 9, 9});
            assertThat(journal.firstDamaged(0, end)).isEqualTo(second);
            assertThat(journal.firstDamaged(0, second)).isEqualTo(-1);

            Given.overwrite(own(), first, new byte[] {9, 9, 9, 9});
            assertThat(journal.firstDamaged(0, end)).isEqualTo(first);
        }
    }

    @Test
    void whatIsReleasedIsGivenBackButForAsMuchAsAJournalGoesRoundWith() throws IOException {
        List<Path> emptied = new ArrayList<>();
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, 3L * Given.SEGMENT + 1);
            Awaitility.await().until(() -> journal.readyEnd() == 4L * Given.SEGMENT);
            journal.sync();
            assertThat(journal.giveBack((file, bytes) -> emptied.add(file))).isTrue();
            assertThat(emptied).isEmpty();
            ByteBuffer mapped = journal.bytes(0, 128);
            byte first = mapped.get(0);

            journal.release(3L * Given.SEGMENT);
            // The segment behind the end is made ready beside this, perhaps of the file that was released: then another
            // one goes.
            Awaitility.await()
                    .until(() -> !journal.giveBack((file, bytes) -> {
                        assertThat(bytes).isEqualTo(Given.SEGMENT);
                        assertThat(file).exists().hasParent(own());
                        emptied.add(file);
                    }));

            assertThat(emptied).hasSize(1);
            assertThat(own().toFile().list()).hasSize(3).doesNotContain(Segment.fileName(0));
            assertThat(mapped.get(0)).isEqualTo(first); // the file is gone, what was mapped is not
            fill(journal, 6L * Given.SEGMENT);
        }
    }

    @Test
    void noSegmentIsUsedBeforeItIsKnownHowFarTheFilesGo() throws IOException {
        List<Long> heard = new ArrayList<>();
        boolean[] full = {true};
        try (Journal journal = Given.journal(own())) {
            journal.beforeUse(position -> {
                heard.add(position);
                if (full[0]) {
                    throw new JournalNoSpaceException("the disk is full", new IOException("full"));
                }
            });
            journal.openTerm(1, "a", 1, 0);
            Awaitility.await().until(journal::outOfSpace);
            assertThat(journal.readyEnd()).isEqualTo(Given.SEGMENT);
            assertThatExceptionOfType(JournalNoSpaceException.class)
                    .isThrownBy(() -> fill(journal, Given.SEGMENT + 1L))
                    .withMessageContaining("the disk is full");

            full[0] = false;
            fill(journal, Given.SEGMENT + 1L);

            assertThat(heard).contains(2L * Given.SEGMENT);
            assertThat(journal.readyEnd()).isGreaterThanOrEqualTo(2L * Given.SEGMENT);
        }
    }

    @Test
    void cutReachesOverSegments() throws IOException {
        Path rescue = directory.resolve("rescue");
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, 3L * Given.SEGMENT);
            journal.closeTerm();
            long position = Given.boundaries(journal).get(2);
            journal.sync();

            long saved = journal.cut(position, rescue);

            assertThat(journal.durable()).isEqualTo(position);

            assertThat(saved).isEqualTo(Files.size(rescue)).isGreaterThan(2L * Given.SEGMENT);
            journal.openTerm(2, "a", 1, 0);
            fill(journal, 3L * Given.SEGMENT);
        }
        try (Journal journal = Given.reopened(own())) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Recovery.Clean());
            assertThat(journal.end()).isGreaterThan(2L * Given.SEGMENT);
        }
    }

    @Test
    void cutBetweenAPadAndItsTermRecordIsRefused() throws IOException {
        long start = Given.SEGMENT - 384L;
        try (Journal journal = Given.journal(own(), Given.SPEC, start)) {
            journal.openTerm(1, "a", 1, 0);
            journal.closeTerm();
            journal.openTerm(2, "b", 1, 0);
            journal.closeTerm();

            assertThatIllegalArgumentException()
                    .isThrownBy(() -> journal.cut(Given.SEGMENT, directory.resolve("rescue")))
                    .withMessageContaining("between the PAD");
        }
    }

    @Test
    void resetStartsOverInTheMiddleAndForgetsEverything() throws IOException {
        Lineage others = new Lineage(List.of(new TermStart(1, "a", 0), new TermStart(6, "b", 5L * Given.SEGMENT)));
        long first = 7L * Given.SEGMENT + 1024;
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, 3L * Given.SEGMENT);
            journal.closeTerm();

            Set<String> emptied = new HashSet<>();

            journal.reset(first, others, (file, bytes) -> {
                assertThat(file).hasSize(bytes);
                emptied.add(file.getFileName().toString());
                throw new IOException("a file system that cannot do that");
            });

            assertThat(emptied)
                    .as("before they are deleted, for they may be mapped")
                    .contains(Segment.fileName(0), Segment.fileName(1), Segment.fileName(2));

            assertThat(journal.end())
                    .isEqualTo(first)
                    .isEqualTo(journal.oldest())
                    .isEqualTo(journal.durable());
            assertThat(SegmentStore.list(own(), Given.SEGMENT)).isEmpty();
            byte[] next = Given.write("b", 6, first, 1000);
            ByteBuffer landing = journal.landing(first, next.length);
            landing.put(next);
            assertThat(journal.publish(next.length)).isEqualTo(first + next.length);
        }
        try (Journal journal = Journal.open(own(), Given.SPEC, first, first, others, 0)) {
            assertThat(journal.end()).isEqualTo(first + 1152);
            assertThat(journal.recovery().verdict()).isEqualTo(new Recovery.Clean());
        }
    }

    @Test
    void aPayloadOutlivesItsJournal() throws IOException {
        ByteBuffer payload;
        try (Journal journal = Given.journal(own())) {
            journal.openTerm(1, "a", 1, 0);
            journal.write(0, Given.payload(1, 1000), 0, 1, 0);
            payload = journal.payload(256);
        }

        assertThat(payload).isEqualTo(Given.payload(1, 1000));
    }

    @Test
    void aJournalIsCreatedOnce() throws IOException {
        Given.journal(own()).close();

        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> Given.journal(own()).close())
                .withMessageContaining("holds segments already");
        assertThat(Arrays.asList(own().toFile().list())).containsExactly(Segment.fileName(0));
    }

    /** Writes until the end is at {@code end} or behind it, or a write would pass it into another segment. */
    private static void fill(Journal journal, long end) throws IOException {
        int max = journal.maxPayloadBytes();
        while (journal.end() + 128 + max <= end || journal.segmentEnd(journal.end()) - journal.end() >= 128 + max) {
            journal.write(0, Given.payload(journal.end(), max), 0, 1, 0);
        }
        if (journal.end() < end) {
            journal.write(0, Given.payload(journal.end(), max), 0, 1, 0);
        }
    }
}
