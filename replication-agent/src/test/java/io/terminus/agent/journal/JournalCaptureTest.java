package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalCaptureTest {

    @TempDir
    Path directory;

    @Test
    void aRecordShowsWhatWasCaptured() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            long began = journal.openTerm(7, "a", 40, 0);
            long written = journal.write(8192, Given.payload(1, 1000), Journal.FUA, 41, 0);
            journal.sync();
            long zeroed = journal.zeroes(1L << 40, Integer.MAX_VALUE, Journal.MAY_PUNCH, 42, written);

            List<String> seen = new ArrayList<>();
            long last = journal.forEach(0, zeroed, view -> {
                assertThat(view.payloadIntact()).isTrue();
                assertThat(view.timeNanos()).isEqualTo(Given.TIME_NANOS);
                return seen.add("%s [%d,%d) term %d token %d flags %d on [%d,+%d) payload %d committed %d synced %d"
                        .formatted(
                                view.kind(),
                                view.position(),
                                view.endPosition(),
                                view.term(),
                                view.token(),
                                view.flags(),
                                view.offset(),
                                view.length(),
                                view.payloadLength(),
                                view.committed(),
                                view.synced()));
            });

            assertThat(seen)
                    .containsExactly(
                            "TERM [0,256) term 7 token 40 flags 0 on [0,+0) payload 27 committed 0 synced 0",
                            "WRITE [256,1408) term 7 token 41 flags 1 on [8192,+1000) payload 1000 committed 0 synced 0",
                            "WRITE_ZEROES [1408,1536) term 7 token 42 flags 2 on [1099511627776,+2147483647)"
                                    + " payload 0 committed 1408 synced 1408");
            assertThat(began).isEqualTo(256);
            assertThat(last).isEqualTo(journal.end()).isEqualTo(1536);
            assertThat(journal.payload(256)).isEqualTo(Given.payload(1, 1000));
            assertThat(journal.lineage()).isEqualTo(new Lineage(List.of(new TermStart(7, "a", 0))));
        }
    }

    @Test
    void aTermIsOpenedBeforeAnythingIsCaptured() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            assertThatExceptionOfType(TermClosedException.class)
                    .isThrownBy(() -> journal.write(0, Given.payload(0, 512), 0, 1, 0));
            journal.openTerm(3, "a", 1, 0);
            journal.write(0, Given.payload(0, 512), 0, 1, 0);
            journal.closeTerm();
            assertThatExceptionOfType(TermClosedException.class).isThrownBy(() -> journal.zeroes(0, 512, 0, 1, 0));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.openTerm(3, "a", 1, 0));

            journal.openTerm(4, "b", 2, 0);

            assertThat(journal.lineage().starts())
                    .containsExactly(new TermStart(3, "a", 0), new TermStart(4, "b", 896));
        }
    }

    @Test
    void aTermOpenedBeforeARestartIsNotOpenAfterIt() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(3, "a", 1, 0);
        }

        try (Journal journal = Given.reopened(directory)) {
            assertThat(journal.lineage().lastTerm()).isEqualTo(3);
            assertThatExceptionOfType(TermClosedException.class).isThrownBy(() -> journal.zeroes(0, 512, 0, 1, 0));
        }
    }

    @Test
    void aClosedJournalRefusesCaptures() throws IOException {
        Journal journal = Given.journal(directory);
        journal.openTerm(1, "a", 1, 0);
        journal.close();

        assertThatExceptionOfType(JournalClosedException.class)
                .isThrownBy(() -> journal.write(0, Given.payload(0, 512), 0, 1, 0));
    }

    @Test
    void whatNoRecordCanHoldIsRefused() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            int max = journal.maxPayloadBytes();

            assertThat(max).isEqualTo(Given.SEGMENT / 4);
            assertThatIllegalArgumentException().isThrownBy(() -> journal.write(0, Given.payload(0, max + 1), 0, 1, 0));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.write(0, ByteBuffer.allocate(0), 0, 1, 0));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.write(-1, Given.payload(0, 1), 0, 1, 0));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.write(0, Given.payload(0, 1), 4, 1, 0));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.zeroes(0, 1L << 31, 0, 1, 0));
            assertThatIllegalArgumentException().isThrownBy(() -> journal.zeroes(Long.MAX_VALUE, 1, 0, 1, 0));
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> journal.zeroes(0, 1, 0, 1, 1 << 20))
                    .withMessageContaining("never behind itself");
        }
    }

    @Test
    void aRecordAtEveryDistanceFromTheSegmentEndFitsOrGoesBehindAPad() throws IOException {
        int[] lengths = {1, 128, 129, 1000, 4096, 65_536};
        for (int length : lengths) {
            int record = RecordFormat.recordBytes(length);
            for (int rest = 128; rest <= record + 256; rest += 128) {
                if (length > 4096 && rest < record - 512 && rest % 8192 != 0) {
                    continue;
                }
                Path own = directory.resolve(length + "-" + rest);
                long start = (long) Given.SEGMENT - rest;
                List<Long> before;
                try (Journal journal = atPosition(own, start)) {
                    long end = journal.write(0, Given.payload(rest, length), 0, 1, 0);

                    long position = rest >= record ? start : Given.SEGMENT;
                    assertThat(end).isEqualTo(position + record);
                    assertThat(journal.payload(position)).isEqualTo(Given.payload(rest, length));
                    if (position != start) {
                        journal.forEach(start, position, view -> {
                            assertThat(view.kind()).isEqualTo(RecordKind.PAD);
                            assertThat(view.endPosition()).isEqualTo(Given.SEGMENT);
                            return true;
                        });
                    }
                    before = Given.boundaries(journal);
                }
                try (Journal again = Journal.open(own, Given.SPEC, start - 256, start - 256, Lineage.EMPTY, 0)) {
                    assertThat(again.recovery().verdict()).isEqualTo(new Recovery.Clean());
                    assertThat(Given.boundaries(again)).isEqualTo(before);
                }
            }
        }
    }

    /** A journal whose TERM record ends at {@code position}. */
    private static Journal atPosition(Path directory, long position) throws IOException {
        Journal journal = Given.journal(directory, Given.SPEC, position - 256);
        assertThat(journal.openTerm(1, "a", 1, 0)).isEqualTo(position);
        return journal;
    }

    @Test
    void aTermThatDoesNotFitBeginsWithItsPad() throws IOException {
        try (Journal journal = atPosition(directory, Given.SEGMENT - 128)) {
            journal.closeTerm();

            journal.openTerm(2, "b", 1, 0);

            assertThat(journal.lineage().last()).isEqualTo(new TermStart(2, "b", Given.SEGMENT - 128));
            List<String> seen = new ArrayList<>();
            journal.forEach(journal.oldest(), journal.end(), view -> seen.add(view.kind() + " of " + view.term()));
            assertThat(seen).containsExactly("TERM of 1", "PAD of 2", "TERM of 2");
        }
        try (Journal again =
                Journal.open(directory, Given.SPEC, Given.SEGMENT - 384, Given.SEGMENT - 384, Lineage.EMPTY, 0)) {
            assertThat(again.lineage().last()).isEqualTo(new TermStart(2, "b", Given.SEGMENT - 128));
        }
    }

    @Test
    void everyRecordOfManyThreadsIsThereOnceInOrder() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        int threads = 8;
        int each = 400;
        JournalSpec spec = new JournalSpec(Given.VOLUME, Given.SEGMENT, 64, "a");
        try (Journal journal = Given.journal(directory, spec, 0);
                ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            journal.openTerm(1, "a", 1, 0);
            CountDownLatch go = new CountDownLatch(1);
            List<Future<Map<Long, Integer>>> writers = new ArrayList<>();
            for (int thread = 0; thread < threads; thread++) {
                Random random = new Random(seed + thread);
                int number = thread;
                writers.add(pool.submit(() -> {
                    Map<Long, Integer> ends = new HashMap<>();
                    go.await();
                    long before = 0;
                    for (int i = 0; i < each; i++) {
                        int length = 1 + random.nextInt(random.nextInt(20) == 0 ? 60_000 : 5000);
                        long offset = ((long) number << 32) + i;
                        long end = journal.write(offset, Given.payload(offset, length), 0, number, 0);
                        assertThat(journal.end()).isGreaterThanOrEqualTo(end);
                        assertThat(end).isGreaterThan(before);
                        before = end;
                        ends.put(end, length);
                    }
                    return ends;
                }));
            }

            go.countDown();

            Map<Long, Integer> expected = new HashMap<>();
            for (Future<Map<Long, Integer>> writer : writers) {
                expected.putAll(writer.get());
            }
            int[] next = new int[threads];
            journal.forEach(0, journal.end(), view -> {
                if (view.kind() == RecordKind.WRITE) {
                    int thread = (int) view.token();
                    assertThat(view.offset()).as("seed %d", seed).isEqualTo(((long) thread << 32) + next[thread]++);
                    assertThat(expected.remove(view.endPosition())).isEqualTo(view.payloadLength());
                    assertThat(view.payload()).isEqualTo(Given.payload(view.offset(), view.payloadLength()));
                    assertThat(view.payloadIntact()).isTrue();
                }
                return true;
            });
            assertThat(expected).as("seed %d", seed).isEmpty();
            assertThat(next).containsOnly(each);
        }
    }

    @Test
    void recordsOfABatchLieNextToEachOtherAndAreEachARecord() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            long began = journal.openTerm(7, "a", 40, 0);
            RecordBatch batch = new RecordBatch();
            batch.write(4096, Given.payload(1, 1000), Journal.FUA);
            batch.zeroes(1L << 40, 4096, Journal.MAY_PUNCH);
            batch.write(8192, Given.payload(2, 1), 0);

            journal.capture(batch, 7, 41, began);

            assertThat(batch.captured()).isEqualTo(3);
            assertThat(batch.end(0)).isEqualTo(began + 128 + 1024);
            assertThat(batch.end(1)).isEqualTo(batch.end(0) + 128);
            assertThat(batch.end(2)).isEqualTo(batch.end(1) + 256).isEqualTo(journal.end());
            List<String> seen = new ArrayList<>();
            journal.forEach(began, journal.end(), view -> {
                assertThat(view.payloadIntact()).isTrue();
                assertThat(view.token()).isEqualTo(41);
                return seen.add(view.kind() + " at " + view.position() + " flags " + view.flags() + " on "
                        + view.offset() + "+" + view.length());
            });
            assertThat(seen)
                    .containsExactly(
                            "WRITE at 256 flags 1 on 4096+1000",
                            "WRITE_ZEROES at 1408 flags 2 on 1099511627776+4096",
                            "WRITE at 1536 flags 0 on 8192+1");
        }
        try (Journal again = Given.reopened(directory)) {
            assertThat(again.recovery().verdict()).isInstanceOf(Recovery.Clean.class);
            assertThat(again.end()).isEqualTo(1792);
        }
    }

    @Test
    void largePayloadsOfABatchAreWrittenFromWhereTheyAreAndTheirRecordsAreLikeAllOthers() throws IOException {
        int apart = RecordBatch.APART_BYTES;
        int[] lengths = {apart - 1, apart, apart + 1, 512, 512, apart + 127, apart + 128, 100, 200_001};
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            for (int lap = 0;
                    lap < 12;
                    lap++) { // the files of the first laps hold other bytes where these have padding
                RecordBatch batch = new RecordBatch();
                for (int i = 0; i < lengths.length; i++) {
                    ByteBuffer direct = Given.payload(lap * 10 + i, lengths[i]);
                    boolean onHeap = lap % 3 == 2;
                    batch.write(
                            i,
                            onHeap ? ByteBuffer.allocate(lengths[i]).put(direct).flip() : direct,
                            0);
                }
                long from = journal.end();
                journal.capture(batch, 1, 1, 0);

                List<Integer> seen = new ArrayList<>();
                int of = lap;
                journal.forEach(from, journal.end(), view -> {
                    if (view.kind() == RecordKind.WRITE) {
                        int i = (int) view.offset();
                        seen.add(view.payloadLength());
                        assertThat(view.payloadIntact()).isTrue();
                        assertThat(view.payload()).isEqualTo(Given.payload(of * 10 + i, lengths[i]));
                        long padding = view.endPosition() - view.position() - 128 - view.payloadLength();
                        byte[] behind = Given.read(directory, view.endPosition() - padding, (int) padding);
                        assertThat(behind).isEqualTo(new byte[(int) padding]);
                    }
                    return true;
                });
                assertThat(seen).containsExactly(Arrays.stream(lengths).boxed().toArray(Integer[]::new));
                journal.sync();
                journal.release(journal.end());
            }
        }
    }

    @Test
    void aBatchGoesOnInTheNextSegmentAndIsCapturedAgainAfterItWasCleared() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            RecordBatch batch = new RecordBatch();
            List<Long> ends = new ArrayList<>();
            int length = journal.maxPayloadBytes() / 3;
            for (int lap = 0; lap < 3; lap++) {
                for (int i = 0; i < 7; i++) {
                    batch.write(lap * 10L + i, Given.payload(lap * 10 + i, length), 0);
                }
                journal.capture(batch, 1, 1, 0);
                for (int i = 0; i < 7; i++) {
                    ends.add(batch.end(i));
                }
                journal.sync();
                batch.clear();
            }

            List<Long> offsets = new ArrayList<>();
            List<Long> recordEnds = new ArrayList<>();
            journal.forEach(0, journal.end(), view -> {
                if (view.kind() == RecordKind.WRITE) {
                    assertThat(view.payload()).isEqualTo(Given.payload((int) view.offset(), length));
                    assertThat(view.payloadIntact()).isTrue();
                    offsets.add(view.offset());
                    recordEnds.add(view.endPosition());
                }
                return true;
            });
            assertThat(offsets)
                    .containsExactly(
                            0L, 1L, 2L, 3L, 4L, 5L, 6L, 10L, 11L, 12L, 13L, 14L, 15L, 16L, 20L, 21L, 22L, 23L, 24L, 25L,
                            26L);
            assertThat(recordEnds).isEqualTo(ends);
            assertThat(journal.end()).isGreaterThan(Given.SEGMENT);
        }
    }

    @Test
    void whatOfABatchFoundNoSpaceWasNotCaptured() throws IOException {
        long waitNanos = TimeUnit.MILLISECONDS.toNanos(500);
        try (Journal journal =
                Journal.create(directory, Given.SPEC, 0, Given.HASTY, () -> Given.TIME_NANOS, waitNanos)) {
            journal.openTerm(1, "a", 1, 0);
            RecordBatch batch = new RecordBatch();
            ByteBuffer payload = Given.payload(1, journal.maxPayloadBytes());
            for (int i = 0; i < 20; i++) {
                batch.write(i, payload, 0);
            }

            assertThatExceptionOfType(JournalNoSpaceException.class).isThrownBy(() -> journal.capture(batch, 1, 1, 0));

            assertThat(batch.captured()).isEqualTo(12);
            assertThat(batch.end(batch.captured() - 1)).isEqualTo(journal.end());
            assertThatIllegalArgumentException().isThrownBy(() -> batch.end(batch.captured()));
        }
    }

    @Test
    void aBatchOfAnEarlierTermIsNotCapturedInALaterOne() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            RecordBatch late = new RecordBatch();
            late.write(0, Given.payload(1, 512), 0);
            journal.closeTerm();
            long began = journal.openTerm(2, "a", 2, 0);

            assertThatExceptionOfType(TermClosedException.class).isThrownBy(() -> journal.capture(late, 1, 1, 0));

            assertThat(late.captured()).isZero();
            assertThat(journal.end()).isEqualTo(began);
        }
    }

    @Test
    void aPlaceThatCannotBeFilledBecomesAPad() throws IOException {
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            Arena arena = Arena.ofShared();
            ByteBuffer gone = arena.allocate(1000).asByteBuffer();
            arena.close();

            assertThatThrownBy(() -> journal.write(0, gone, 0, 1, 0)).isInstanceOf(IllegalStateException.class);
            journal.write(0, Given.payload(5, 10), 0, 1, 0);

            List<String> seen = new ArrayList<>();
            journal.forEach(0, journal.end(), view -> seen.add(view.kind() + " at " + view.position()));
            assertThat(seen).containsExactly("TERM at 0", "PAD at 256", "WRITE at 1408");
        }
        try (Journal again = Given.reopened(directory)) {
            assertThat(again.end()).isEqualTo(1664);
        }
    }

    @Test
    void captureWaitsForAReleaseWhenTheBudgetIsUsedUp() throws Exception {
        try (Journal journal = Given.journal(directory);
                ExecutorService pool = Executors.newSingleThreadExecutor()) {
            journal.openTerm(1, "a", 1, 0);
            long filled = fill(journal, 4L * Given.SEGMENT);
            assertThat(journal.room()).isLessThan(128 + journal.maxPayloadBytes());
            Thread[] writer = new Thread[1];
            Callable<Long> capture = () -> {
                writer[0] = Thread.currentThread();
                return journal.write(0, Given.payload(9, journal.maxPayloadBytes()), 0, 1, 0);
            };
            Future<Long> waiting = pool.submit(capture);
            Awaitility.await().until(() -> writer[0] != null && writer[0].getState() == Thread.State.TIMED_WAITING);
            assertThat(journal.end()).isEqualTo(filled);

            journal.sync();
            journal.release(Given.SEGMENT);

            assertThat(waiting.get(60, TimeUnit.SECONDS)).isGreaterThan(4L * Given.SEGMENT);
            assertThat(Given.segmentFile(directory, 0)).doesNotExist();
            assertThat(Given.segmentFile(directory, 4)).exists();
        }
    }

    @Test
    void aCaptureThatWaitedWhileItsTermWasClosedIsRefused() throws Exception {
        try (Journal journal = Given.journal(directory);
                ExecutorService pool = Executors.newSingleThreadExecutor()) {
            journal.openTerm(1, "a", 1, 0);
            long filled = fill(journal, 4L * Given.SEGMENT);
            Thread[] writer = new Thread[1];
            Future<Long> waiting = pool.submit(() -> {
                writer[0] = Thread.currentThread();
                return journal.write(0, Given.payload(9, journal.maxPayloadBytes()), 0, 1, 0);
            });
            Awaitility.await().until(() -> writer[0] != null && writer[0].getState() == Thread.State.TIMED_WAITING);

            journal.closeTerm();
            journal.sync();
            journal.release(Given.SEGMENT);

            assertThat(catchThrowable(waiting::get)).hasRootCauseInstanceOf(TermClosedException.class);
            assertThat(journal.end()).isEqualTo(filled);
        }
    }

    @Test
    void captureIsRefusedWhenNothingIsReleasedForAsLongAsItWaits() throws IOException {
        try (Journal journal = Journal.create(directory, Given.SPEC, 0, new Disk(), () -> 0, 1_000_000_000)) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, 4L * Given.SEGMENT);

            assertThatExceptionOfType(JournalNoSpaceException.class)
                    .isThrownBy(() -> journal.write(0, Given.payload(9, journal.maxPayloadBytes()), 0, 1, 0))
                    .withMessageContaining("all 4 segments are in use");

            journal.sync();
            journal.release(2L * Given.SEGMENT);
            journal.write(0, Given.payload(9, journal.maxPayloadBytes()), 0, 1, 0);
        }
    }

    @Test
    void aFullDiskIsASmallerBudget() throws IOException {
        int[] left = {2};
        Disk full = new Disk() {
            @Override
            void prewrite(Path file, int bytes) throws IOException {
                if (left[0]-- <= 0) {
                    throw new IOException("No space left on device");
                }
                super.prewrite(file, bytes);
            }
        };
        try (Journal journal = Journal.create(directory, Given.SPEC, 0, full, () -> 0, 1_000_000_000)) {
            journal.openTerm(1, "a", 1, 0);
            fill(journal, 2L * Given.SEGMENT);
            assertThatExceptionOfType(JournalNoSpaceException.class)
                    .isThrownBy(() -> journal.write(0, Given.payload(9, journal.maxPayloadBytes()), 0, 1, 0))
                    .withMessageContaining("no space on the disk");

            journal.sync();
            journal.release(Given.SEGMENT);

            journal.write(0, Given.payload(9, journal.maxPayloadBytes()), 0, 1, 0);
            assertThat(directory.resolve("prepare.tmp")).doesNotExist();
        }
    }

    @Test
    void aDiskErrorWhilePreparingIsFinal() throws IOException {
        Disk broken = new Disk() {
            @Override
            void prewrite(Path file, int bytes) throws IOException {
                if (!directory.resolve(Segment.fileName(0)).toFile().exists()) {
                    super.prewrite(file, bytes);
                    return;
                }
                throw new IOException("Input/output error");
            }
        };
        try (Journal journal = Journal.create(directory, Given.SPEC, 0, broken, () -> 0, Given.WAIT_NANOS)) {
            journal.openTerm(1, "a", 1, 0);

            assertThatExceptionOfType(JournalFailedException.class).isThrownBy(() -> fill(journal, 2L * Given.SEGMENT));
            assertThatExceptionOfType(JournalFailedException.class).isThrownBy(journal::sync);
        }
    }

    /** Writes the largest records until the next would start behind {@code end}. */
    private static long fill(Journal journal, long end) throws IOException {
        int max = journal.maxPayloadBytes();
        while (journal.segmentEnd(journal.end()) - journal.end() >= 128 + max || journal.end() + 128 + max <= end) {
            journal.write(0, Given.payload(journal.end(), max), 0, 1, 0);
        }
        return journal.end();
    }
}
