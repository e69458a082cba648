package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.image.Space;
import io.terminus.agent.image.WithoutHoles;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.RecordKind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Writes of nothing but zeros: a header in every journal, a hole in every image. */
class ZeroWritesTest {

    private static final int VOLUME_BYTES = 4 << 20;

    /** A segment of 1 MiB takes records of a quarter of that. */
    private static final int RECORD_BYTES = Agents.SEGMENT_BYTES / 4;

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void start() throws Exception {
        agents = new Agents(temp, VOLUME_BYTES, 16L << 20);
        agents.start("a", "b");
    }

    @AfterEach
    void close() throws IOException {
        agents.close();
    }

    @Test
    void aWriteOfZerosIsAHeaderInEveryJournalAndAHoleInEveryImage() throws Exception {
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, data(1 << 20));
        long before = agents.journal("a").end();

        client.writeAndAwait(128 << 10, new byte[RECORD_BYTES]);

        assertThat(agents.journal("a").end() - before).isEqualTo(128);
        assertThat(client.read(128 << 10, RECORD_BYTES)).containsOnly(0);
        agents.awaitAllApplied("a", "b");
        for (String agent : List.of("a", "b")) {
            assertThat(records(agent, before)).containsExactly("WRITE_ZEROES 131072+262144 flags " + Journal.MAY_PUNCH);
            assertThat(holes(agent)).contains("131072+262144");
        }
        assertThat(client.read(128 << 10, RECORD_BYTES)).containsOnly(0);
        assertThat(agents.agent("b").image()).isEqualTo(agents.agent("a").image());
    }

    @Test
    void zerosThatMayPunchGiveSpaceBackInEveryImageAndOthersKeepItInEvery() throws Exception {
        Agents.Client client = agents.client("a");
        byte[] expected = data(1 << 20);
        client.writeAndAwait(0, expected);

        client.zeroAndAwait(128 << 10, 256 << 10, true);
        client.zeroAndAwait(512 << 10, 256 << 10, false);
        client.zeroAndAwait(2 << 20, 256 << 10, false);

        Arrays.fill(expected, 128 << 10, 384 << 10, (byte) 0);
        Arrays.fill(expected, 512 << 10, 768 << 10, (byte) 0);
        agents.awaitAllApplied("a", "b");
        assertThat(client.read(0, 1 << 20)).isEqualTo(expected);
        for (String agent : List.of("a", "b")) {
            assertThat(space(agent, 128 << 10, 256 << 10)).as(agent).containsExactly(Space.HOLE);
            assertThat(space(agent, 512 << 10, 256 << 10)).as(agent).doesNotContain(Space.HOLE);
            assertThat(space(agent, 2 << 20, 256 << 10)).as(agent).doesNotContain(Space.HOLE);
        }
        assertThat(agents.agent("b").image()).isEqualTo(agents.agent("a").image());
    }

    @Test
    void aReplicaWhoseFileSystemHasNoHolesReadsTheSameZeros() throws Exception {
        Path dir = temp.resolve("without-holes");
        VolumeConfig config = agents.volume("a").config();
        Replica.create(dir, config, 4, "a", "boot");
        try (Replica replica = Replica.open(dir, config, 4, "a", "boot", WithoutHoles::open)) {
            replica.start(new Replica.Observer() {
                @Override
                public void synced() {}

                @Override
                public void applied() {}

                @Override
                public void failed(String why) {}
            });
            Journal journal = replica.journal();
            journal.openTerm(2, "a", 10, 0);
            journal.write(0, ByteBuffer.wrap(data(RECORD_BYTES)), 0, 10, 0);
            long end = journal.zeroes(4_000, 100_000, Journal.MAY_PUNCH, 10, 0);
            replica.requestSync(end);
            replica.commit(end);
            Agents.awaitTrue(() -> replica.applied() == end);

            byte[] expected = data(RECORD_BYTES);
            Arrays.fill(expected, 4_000, 104_000, (byte) 0);
            ByteBuffer read = ByteBuffer.allocate(RECORD_BYTES);
            replica.image().read(0, read);
            assertThat(read.array()).isEqualTo(expected);
            assertThat(space(replica, 0, RECORD_BYTES)).doesNotContain(Space.HOLE);
        }
    }

    @Test
    void aHoleThatIsWrittenWithZerosStaysAHole() throws Exception {
        Agents.Client client = agents.client("a");

        client.writeAndAwait(64 << 10, new byte[2 << 20]);
        agents.awaitAllApplied("a", "b");

        assertThat(holes("a")).containsExactly("0+" + VOLUME_BYTES);
        assertThat(holes("b")).containsExactly("0+" + VOLUME_BYTES);
    }

    /** Off every boundary, and with data to its left and right in the same blocks. */
    @Test
    void zerosAtAnyOffsetAndOfAnyLengthLeaveTheirNeighboursAlone() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        Agents.Client client = agents.client("a");
        byte[] expected = data(VOLUME_BYTES);
        client.writeAndAwait(0, expected);
        for (int i = 0; i < 200; i++) {
            int offset = random.nextInt(VOLUME_BYTES);
            int length = 1 + random.nextInt(Math.min(i % 2 == 0 ? 20 : 700_000, VOLUME_BYTES - offset));
            byte[] bytes = random.nextInt(3) == 0 ? data(length) : new byte[length];
            System.arraycopy(bytes, 0, expected, offset, length);

            client.writeAndAwait(offset, bytes);

            int from = Math.max(0, offset - 100);
            int to = Math.min(VOLUME_BYTES, offset + length + 100);
            assertThat(client.read(from, to - from))
                    .as("seed %d write %d of %d at %d", seed, i, length, offset)
                    .isEqualTo(Arrays.copyOfRange(expected, from, to));
        }
        agents.awaitAllApplied("a", "b");
        assertThat(Arrays.equals(agents.agent("a").image(), expected))
                .as("seed %d", seed)
                .isTrue();
        assertThat(Arrays.equals(agents.agent("b").image(), expected))
                .as("seed %d", seed)
                .isTrue();
    }

    @Test
    void onlyTheRecordsOfALongWriteThatAreZerosAreSentWithoutPayload() throws Exception {
        Agents.Client client = agents.client("a");
        byte[] bytes = new byte[4 * RECORD_BYTES];
        bytes[2 * RECORD_BYTES - 1] = 1; // the last byte of the second record
        bytes[3 * RECORD_BYTES] = 1; // the first byte of the fourth
        long before = agents.journal("a").end();

        client.writeAndAwait(1, bytes);

        assertThat(records("a", before).stream().filter(record -> !record.startsWith("PAD")))
                .containsExactly(
                        "WRITE_ZEROES 1+262144 flags 2",
                        "WRITE 262145+262144 flags 0",
                        "WRITE_ZEROES 524289+262144 flags 2",
                        "WRITE 786433+262144 flags 0");
        assertThat(client.read(1, bytes.length)).isEqualTo(bytes);
    }

    @Test
    void forcedUnitAccessHoldsForZerosToo() throws Exception {
        Replies replies = new Replies();
        VolumeClient client = agents.volume("a").attach(replies);
        long before = agents.journal("a").end();

        client.write(7, 4096, ByteBuffer.allocate(4096), true);
        client.endOfBatch();
        Agents.awaitTrue(() -> replies.done.contains(7L));

        assertThat(records("a", before))
                .containsExactly("WRITE_ZEROES 4096+4096 flags " + (Journal.FUA | Journal.MAY_PUNCH));
        assertThat(agents.journal("a").durable()).isEqualTo(agents.journal("a").end());
        assertThat(agents.journal("b").durable()).isEqualTo(agents.journal("b").end());
    }

    @Test
    void zerosAreFoundWhereverTheOneByteThatIsNoneStands() {
        for (int length = 0; length < 200; length++) {
            for (boolean direct : new boolean[] {true, false}) {
                ByteBuffer around = direct ? ByteBuffer.allocateDirect(length + 10) : ByteBuffer.allocate(length + 10);
                around.put(4, (byte) 1).put(length + 5, (byte) 1);
                ByteBuffer bytes = around.limit(length + 5).position(5);
                assertThat(Zeros.only(bytes)).as("%d zeros", length).isTrue();
                for (int at = 5; at < length + 5; at++) {
                    around.put(at, (byte) 0x80);
                    assertThat(Zeros.only(bytes))
                            .as("%d bytes, one at %d", length, at)
                            .isFalse();
                    around.put(at, (byte) 0);
                }
                assertThat(bytes.position()).isEqualTo(5);
            }
        }
    }

    private List<String> records(String agent, long from) throws IOException {
        List<String> records = new ArrayList<>();
        Journal journal = agents.journal(agent);
        journal.forEach(from, journal.end(), r -> {
            records.add(
                    r.kind() == RecordKind.PAD
                            ? "PAD"
                            : r.kind() + " " + r.offset() + "+" + r.length() + " flags " + r.flags());
            return true;
        });
        return records;
    }

    private List<String> holes(String agent) throws IOException {
        List<String> holes = new ArrayList<>();
        agents.replica(agent).image().extents(0, VOLUME_BYTES, (offset, length, data) -> {
            if (!data) {
                holes.add(offset + "+" + length);
            }
            return true;
        });
        return holes;
    }

    private Set<Space> space(String agent, long offset, long length) throws IOException {
        return space(agents.replica(agent), offset, length);
    }

    private static Set<Space> space(Replica replica, long offset, long length) throws IOException {
        Set<Space> seen = EnumSet.noneOf(Space.class);
        replica.image().space(offset, length, (at, bytes, what) -> {
            seen.add(what);
            return true;
        });
        return seen;
    }

    /** Without a zero in it. */
    private static byte[] data(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) (1 + i % 251);
        }
        return bytes;
    }

    private static final class Replies implements ClientReplies {
        private final List<Long> done = java.util.Collections.synchronizedList(new ArrayList<>());

        @Override
        public void done(long cookie) {
            done.add(cookie);
        }

        @Override
        public void failed(long cookie, Failure why) {}

        @Override
        public void flush() {}

        @Override
        public void disconnect(String why) {}
    }
}
