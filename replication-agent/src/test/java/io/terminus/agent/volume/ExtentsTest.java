package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalSpec;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.AllocationVisitor.Holds;
import io.terminus.agent.volume.ReplicationMap.Levels;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a volume says about its extents: what they hold, and who has them. */
class ExtentsTest {

    private static final int VOLUME_BYTES = 2 << 20;
    private static final int SEGMENT = 1 << 20;
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

    private final List<AutoCloseable> open = new ArrayList<>();

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }

    @Test
    void recordsNotAppliedCountAsTheyWillBe() throws IOException {
        Replica replica = served();
        long first = write(replica, 64 << 10, 4096);
        long second = replica.journal().zeroes((64 << 10) + 1024, 1024, Journal.MAY_PUNCH, 10, first);
        write(replica, 1 << 20, 4096); // not committed: nobody may see it
        replica.commit(second);

        List<String> holds = allocation(replica, 0, VOLUME_BYTES);

        assertThat(holds)
                .containsExactly(
                        "NOTHING 65536", "DATA 1024", "ZEROS 1024", "DATA 2048", "NOTHING " + (VOLUME_BYTES - 69_632));
    }

    @Test
    void spaceThatIsSecuredIsNoHole() throws IOException {
        Replica replica = served();
        replica.image().secure(128 << 10, 64 << 10);

        List<String> holds = allocation(replica, 0, VOLUME_BYTES);

        assertThat(holds).containsExactly("NOTHING 131072", "ZEROS 65536", "NOTHING " + (VOLUME_BYTES - 196_608));
    }

    /** The write was acknowledged on the strength of space that the zeros before it gave back when they were applied. */
    @Test
    void zerosThatAreAppliedLeaveTheSpaceOfWritesBehindThem() throws IOException {
        Replica replica = served();
        replica.image().secure(128 << 10, 64 << 10);
        long zeros = replica.journal().zeroes(0, 1 << 20, Journal.MAY_PUNCH, 10, 0);
        write(replica, 128 << 10, 4096); // not committed yet

        replica.start(NOBODY);
        replica.commit(zeros);
        replica.requestSync(zeros);

        await().atMost(Duration.ofSeconds(60)).until(() -> replica.applied() == zeros);
        await().atMost(Duration.ofSeconds(60))
                .until(() -> allocation(replica, 64 << 10, 192 << 10)
                        .equals(List.of("NOTHING 65536", "ZEROS 65536", "NOTHING 65536")));
    }

    /** Reads, questions and the applying thread at once: where the volume holds data, no answer calls it zeros. */
    @Test
    void dataIsNeverCalledAHole() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        Replica replica = served();
        replica.start(NOBODY);
        byte[] model = new byte[VOLUME_BYTES];
        long end = 0;

        for (int step = 0; step < 1500; step++) {
            int offset = random.nextInt(VOLUME_BYTES);
            int length = 1 + random.nextInt(Math.min(20_000, VOLUME_BYTES - offset));
            if (random.nextInt(3) == 0) {
                Arrays.fill(model, offset, offset + length, (byte) 0);
                end = replica.journal().zeroes(offset, length, random.nextBoolean() ? Journal.MAY_PUNCH : 0, 10, end);
            } else {
                Arrays.fill(model, offset, offset + length, (byte) 1);
                end = write(replica, offset, length);
            }
            replica.commit(end);
            if (random.nextInt(4) == 0) {
                replica.requestSync(end);
            }
            int from = random.nextInt(VOLUME_BYTES);
            int to = from + 1 + random.nextInt(VOLUME_BYTES - from);
            int[] at = {from};
            String where = "seed " + seed + ", step " + step;
            replica.allocation(from, to - from, (count, holds) -> {
                assertThat(count).as(where).isPositive();
                for (int i = at[0]; holds != Holds.DATA && i < at[0] + count; i++) {
                    if (model[i] != 0) {
                        throw new AssertionError(where + ": byte " + i + " is data, and not " + holds);
                    }
                }
                at[0] += (int) count;
                return true;
            });
            assertThat(at[0]).as(where).isEqualTo(to);
            long reached = end;
            if (reached - replica.applied() >= SEGMENT) { // the journal is small
                replica.requestSync(reached);
                await().atMost(Duration.ofSeconds(60)).until(() -> replica.applied() == reached);
            }
            replica.releaseSegments();
            replica.retain(replica.applied());
        }
    }

    @Test
    void extentsSayWhoHasTheirNewestWrite() throws IOException {
        Journal journal = journal();
        long first = write(journal, 0, 4096);
        long second = write(journal, 8192, 4096);
        long third = write(journal, 2048, 4096);

        assertThat(replication(journal, new Levels(third, third, third, third))).containsExactly("15 2097152");
        assertThat(replication(journal, new Levels(third, second, first, -1)))
                .containsExactly("7 2048", "1 4096", "7 2048", "3 4096", "7 2084864");
        assertThat(replication(journal, new Levels(second, 0, 0, second)))
                .containsExactly("9 2048", "0 4096", "15 2048", "9 4096", "15 2084864");
    }

    @Test
    void positionsOutOfReachSayNothing() throws IOException {
        Journal journal = journal();
        long end = write(journal, 0, 4096);

        assertThat(replication(journal, new Levels(-1, -1, -1, -1))).containsExactly("0 2097152");
        assertThat(replication(journal, new Levels(end, end, -1, -1))).containsExactly("3 2097152");
    }

    @Test
    void everyExtentIsAsABlockByBlockModelSays() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        for (int round = 0; round < 30; round++) {
            Journal journal = journal();
            long[] newest = new long[VOLUME_BYTES / 512];
            List<Long> ends = new ArrayList<>(List.of(journal.end()));
            for (int i = 0; i < 40; i++) {
                int block = random.nextInt(newest.length);
                int count = 1 + random.nextInt(Math.min(20, newest.length - block));
                long end = write(journal, block * 512L, count * 512);
                Arrays.fill(newest, block, block + count, end);
                ends.add(end);
            }
            Levels levels = new Levels(any(ends, random), any(ends, random), any(ends, random), any(ends, random));
            int from = random.nextInt(newest.length);
            int to = from + 1 + random.nextInt(newest.length - from);

            int[] at = {from};
            String where = "seed " + seed + ", round " + round;
            new ReplicationMap(journal, levels).show(from * 512L, (to - from) * 512L, (length, flags) -> {
                for (int block = at[0]; block < at[0] + length / 512; block++) {
                    long position = newest[block];
                    int expected = (position <= levels.received() ? 1 : 0)
                            | (position <= levels.durable() ? 2 : 0)
                            | (position <= levels.applied() ? 4 : 0)
                            | (position <= levels.everywhere() ? 8 : 0);
                    assertThat(flags).as("%s: block %d", where, block).isEqualTo(expected);
                }
                at[0] += (int) (length / 512);
                return true;
            });
            assertThat(at[0]).as(where).isEqualTo(to);
        }
    }

    // ---- givens

    private int journals;

    private Replica served() throws IOException {
        Path dir = temp.resolve("r");
        Replica.create(dir, CONFIG, 4, "a", "boot");
        Replica replica = Replica.open(dir, CONFIG, 4, "a", "boot");
        open.add(replica);
        replica.journal().openTerm(1, "a", 10, 0);
        replica.serveReads();
        return replica;
    }

    private Journal journal() throws IOException {
        JournalSpec spec = new JournalSpec(new UUID(1, 2), SEGMENT, 4, "a");
        Journal journal = Journal.create(temp.resolve("j" + journals++), spec, 0);
        open.add(journal);
        journal.openTerm(1, "a", 10, 0);
        return journal;
    }

    private static long write(Replica replica, long offset, int length) throws IOException {
        return write(replica.journal(), offset, length);
    }

    private static long write(Journal journal, long offset, int length) throws IOException {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 1);
        return journal.write(offset, ByteBuffer.wrap(bytes), 0, 10, 0);
    }

    private static long any(List<Long> positions, Random random) {
        return positions.get(random.nextInt(positions.size()));
    }

    private static List<String> allocation(Replica replica, long offset, long length) throws IOException {
        List<String> holds = new ArrayList<>();
        replica.allocation(offset, length, (count, what) -> {
            holds.add(what + " " + count);
            return true;
        });
        return holds;
    }

    private static List<String> replication(Journal journal, Levels levels) throws IOException {
        List<String> says = new ArrayList<>();
        new ReplicationMap(journal, levels).show(0, VOLUME_BYTES, (count, flags) -> {
            says.add(flags + " " + count);
            return true;
        });
        return says;
    }
}
