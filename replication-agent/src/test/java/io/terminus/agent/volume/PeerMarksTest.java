package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PeerMarksTest {

    private static final int BLOCK = ExtentMap.BLOCK_BYTES;
    private static final int EXTENT = ExtentMap.EXTENT_BYTES;
    private static final int EXTENTS = 5;
    private static final long SIZE = EXTENTS * (long) EXTENT - 3 * BLOCK;

    @TempDir
    private Path dir;

    @Test
    void whatIsMarkedIsExactlyWhatABooleanPerBlockSays() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        boolean[] model = new boolean[EXTENTS * ExtentMap.BLOCKS];
        long[] newest = new long[EXTENTS];
        PeerMarks marks = open(0);

        for (int i = 0, position = 0; i < 3_000; i++) {
            switch (random.nextInt(12)) {
                case 0 -> { // an extent was copied, perhaps read before its newest mark, perhaps marked meanwhile
                    PeerMarks.Marked seen = marks.next(random.nextInt(EXTENTS));
                    if (seen != null) {
                        int extent = (int) seen.extent();
                        if (random.nextBoolean()) {
                            position += 128;
                            int block = random.nextInt(ExtentMap.BLOCKS - 3);
                            marks.mark(extent * (long) EXTENT + block * (long) BLOCK, 1, position);
                            model[extent * ExtentMap.BLOCKS + block] = true;
                            newest[extent] = position;
                        }
                        long read = Math.max(0, position + 256 - random.nextInt(2_000));
                        marks.copied(seen, read);
                        for (int block = 0; newest[extent] < read && block < ExtentMap.BLOCKS; block++) {
                            model[extent * ExtentMap.BLOCKS + block] &= !seen.block(block);
                        }
                    }
                }
                case 1 -> {
                    marks.close();
                    marks = open(0);
                }
                default -> {
                    position += 128;
                    long offset = random.nextLong(SIZE - 1);
                    long length = 1 + random.nextLong(Math.min(SIZE - offset, random.nextInt(20) == 0 ? SIZE : 40_000));
                    marks.mark(offset, length, position);
                    for (long block = offset / BLOCK; block * BLOCK < offset + length; block++) {
                        model[(int) block] = true;
                        newest[(int) (block / ExtentMap.BLOCKS)] = position;
                    }
                }
            }
            assertThat(marked(marks)).as("seed %d, step %d", seed, i).isEqualTo(model);
        }
        marks.close();
    }

    @Test
    void whatWasNotClosedInGoodOrderCountsAsMarkedAltogether() throws IOException {
        PeerMarks marks = open(0);
        marks.mark(0, 1, 128);
        Path killed = CrashCopy.of(dir, dir.resolveSibling("killed"));
        marks.close();

        PeerMarks after = PeerMarks.open(killed.resolve("m.state"), SIZE, 0);

        assertThat(after.markedBytes()).isEqualTo(SIZE);
        assertThat(after.reaches(-1, "")).isTrue();
        after.close();
        CrashCopy.delete(killed);
    }

    @Test
    void aWholeCopyGoesOnAfterAKill() throws IOException {
        PeerMarks marks = open(0);
        marks.markAll();
        marks.begin("c", 128);
        copyAll(marks, EXTENTS);
        assertThat(marks.isEmpty()).isTrue();
        marks.close();
        marks = open(0);
        assertThat(marks.isEmpty()).isTrue();

        marks.markAll();
        marks.begin("d", 128);
        copyAll(marks, 2);
        marks.close();

        PeerMarks after = open(0);
        assertThat(after.wholeFrom()).isEqualTo(2L * EXTENT);
        assertThat(after.next(0)).extracting(PeerMarks.Marked::extent).isEqualTo(2L);
        assertThat(after.reaches(256, "d")).isTrue();
        assertThat(after.reaches(255, "d")).isFalse();
        assertThat(after.reaches(256, "e")).isFalse();
        after.close();
    }

    @Test
    void aRecordBehindACopyThatIsUnderWayIsNotLostWithIt() throws IOException {
        PeerMarks marks = open(0);
        marks.markAll();
        marks.begin("c", 0);

        marks.mark(EXTENT + 5, 10, 512); // the copy of this extent was read at 256, and is on its way
        copyAll(marks, EXTENTS);

        PeerMarks.Marked left = Objects.requireNonNull(marks.next(0));
        assertThat(left.extent()).isEqualTo(1);
        assertThat(left.next(0, ExtentMap.BLOCKS)).isZero();
        assertThat(left.next(1, ExtentMap.BLOCKS)).isEqualTo(ExtentMap.BLOCKS);
        marks.close();
    }

    @Test
    void olderStatesThanTheReplicaReportedDurableAreNotAccepted() throws IOException {
        PeerMarks marks = open(1_280);
        assertThat(marks.reaches(1_280, "")).isTrue();
        assertThat(marks.reaches(1_152, "")).isFalse();

        marks.complete(2_560);
        marks.held(3_840);

        assertThat(marks.upTo()).isEqualTo(3_840);
        assertThat(marks.reaches(3_840, "")).isTrue();
        assertThat(marks.reaches(2_560, "")).isFalse();
        marks.close();
    }

    @Test
    void marksThatTheJournalHasOutrunAreNotBelieved() throws IOException {
        PeerMarks marks = open(1_280);
        marks.close();

        PeerMarks after = open(2_560);

        assertThat(after.markedBytes()).isEqualTo(SIZE);
        after.close();
    }

    @Test
    void aMapThatIsGoneIsNotTakenForAnEmptyOne() throws IOException {
        PeerMarks marks = open(0);
        marks.mark(0, 1, 128);
        marks.close();
        Files.delete(dir.resolve("m.state.map"));

        PeerMarks after = open(0);

        assertThat(after.markedBytes()).isEqualTo(SIZE);
        after.close();
    }

    private PeerMarks open(long oldest) throws IOException {
        return PeerMarks.open(dir.resolve("m.state"), SIZE, oldest);
    }

    private static void copyAll(PeerMarks marks, int extents) {
        for (int extent = 0; extent < extents; extent++) {
            marks.copied(PeerMarks.Marked.all(extent), 256);
        }
    }

    private static boolean[] marked(PeerMarks marks) {
        boolean[] all = new boolean[EXTENTS * ExtentMap.BLOCKS];
        long bytes = 0;
        for (PeerMarks.Marked m = marks.next(0); m != null; m = marks.next(m.extent() + 1)) {
            for (int block = 0; block < ExtentMap.BLOCKS; block++) {
                if (m.block(block)) {
                    all[(int) m.extent() * ExtentMap.BLOCKS + block] = true;
                    bytes += BLOCK;
                }
            }
        }
        assertThat(marks.markedBytes()).isEqualTo(bytes);
        assertThat(marks.isEmpty()).isEqualTo(bytes == 0);
        return all;
    }
}
