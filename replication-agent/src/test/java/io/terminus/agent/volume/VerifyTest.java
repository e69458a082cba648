package io.terminus.agent.volume;

import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.volume.Agents.Client;
import io.terminus.agent.volume.VerifyProgress.Phase;
import io.terminus.agent.volume.VerifyProgress.Range;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Replicas are compared with the writer's image while clients write: what differs is found, and nothing else. */
@Timeout(value = 180, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
@Execution(ExecutionMode.CONCURRENT)
class VerifyTest {

    private static final int VOLUME_BYTES = 16 << 20;
    private static final int SMALL_BYTES = 2 << 20;

    /** More, for whoever looks for what is rare: {@code -Dverify.runs=1000}. */
    private static final int RUNS = Integer.getInteger("verify.runs", 20);

    private static final int HALF = VOLUME_BYTES / 2;
    private static final int BLOCK = 4_096;
    private static final long BUDGET_BYTES = 4L << 20;

    @TempDir
    private Path temp;

    private Agents agents;
    private final long seed = Long.getLong("terminus.seed", 1);
    private final Random random = new Random(seed);

    @BeforeEach
    void none() {
        agents = new Agents(temp, VOLUME_BYTES, BUDGET_BYTES);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @ParameterizedTest(name = "while a client writes: {0}")
    @ValueSource(booleans = {false, true})
    void exactlyTheBlocksThatWereChangedBehindItsBackAreFoundAndMended(boolean busy) throws Exception {
        agents.start("a", "b");
        write(agents.client("a"), random, 6 << 20, 0, VOLUME_BYTES);
        agents.awaitAllApplied("a", "b");
        try (Writing writing = busy ? new Writing(0, HALF) : new Writing(0, 0)) {
            List<Range> changed = changeBlocks("b", 20, HALF, VOLUME_BYTES);

            VerifyProgress found = verify("b", false);

            assertThat(found.phase()).as(found.detail()).isEqualTo(Phase.COMPLETE);
            assertThat(found.differing()).as("seed %d", seed).isEqualTo(changed);
            assertThat(found.differingBlocks()).isEqualTo(blocks(changed));
            assertThat(agents.replica("b").differingBlocks()).isEqualTo(blocks(changed));
            assertThat(agents.members()).containsExactly("a", "b");

            VerifyProgress mended = verify("", true);

            assertThat(mended.differing()).isEqualTo(changed);
            assertThat(mended.mendedBlocks()).isEqualTo(blocks(changed));
            assertThat(verify("b", false).differingBlocks()).isZero();
            assertThat(agents.replica("b").differingBlocks()).isZero();
            writing.check();
        }
        assertImagesEqual();
    }

    @Test
    void nothingIsFoundWhileClientsWriteEverywhere() throws Exception {
        agents.close();
        agents = new Agents(temp.resolve("small"), SMALL_BYTES, BUDGET_BYTES);
        agents.start("a", "b");
        try (Writing here = new Writing(0, SMALL_BYTES);
                Writing hot = new Writing(0, 64 << 10)) {
            for (int run = 0; run < RUNS; run++) {
                VerifyProgress found = verify("b", run % 2 == 1);

                assertThat(found.phase()).as(found.detail()).isEqualTo(Phase.COMPLETE);
                assertThat(found.differing()).as("run %d, seed %d", run, seed).isEmpty();
            }
            here.check();
            hot.check();
        }
        assertImagesEqual();
    }

    @Test
    void nothingIsFoundRightAfterKillsOfEitherSide() throws Exception {
        agents.start("a", "b");
        for (int round = 0; round < 6; round++) {
            write(agents.client("a"), random, 3 << 20, 0, VOLUME_BYTES);
            String killed = round % 2 == 0 ? "b" : "a";
            agents.agent(killed).kill();
            agents.agent(killed).startAgain();
            agents.awaitServing("a");
            write(agents.client("a"), random, 256 << 10, 0, VOLUME_BYTES);

            VerifyProgress found = verify("b", false);

            assertThat(found.phase()).as(found.detail()).isEqualTo(Phase.COMPLETE);
            assertThat(found.differing()).as("round %d, seed %d", round, seed).isEmpty();
        }
    }

    @Test
    void aStreamThatBreaksIsWaitedForAndNothingIsCountedTwice() throws Exception {
        agents.start("a", "b");
        write(agents.client("a"), random, 4 << 20, 0, VOLUME_BYTES);
        agents.awaitAllApplied("a", "b");
        List<Range> changed = changeBlocks("b", 40, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(16 << 20);

        agents.volume("a").verify("b", true);
        for (int at = 2; at < 16; at += 4) {
            int reached = at << 20;
            awaitTrue(() -> progress("b").comparedBytes() >= reached);
            agents.agent("b").wire.cut();
            agents.agent("b").wire.join();
        }
        awaitTrue(() -> progress("b").over());

        assertThat(progress("b").phase()).as(progress("b").detail()).isEqualTo(Phase.COMPLETE);
        assertThat(progress("b").differingBlocks()).as("seed %d", seed).isEqualTo(blocks(changed));
        assertThat(verify("b", false).differing()).isEmpty();
        assertThat(agents.members()).containsExactly("a", "b");
        assertImagesEqual();
    }

    @Test
    void aReplicaThatDiffersEverywhereIsMendedThoughItsStreamBreaks() throws Exception {
        agents.start("a", "b");
        write(agents.client("a"), random, 1 << 20, 0, VOLUME_BYTES);
        agents.awaitAllApplied("a", "b");
        changeBlocks("b", VOLUME_BYTES / BLOCK, 0, VOLUME_BYTES);

        agents.volume("a").verify("b", true);
        for (int at = 4; at < 16; at += 4) {
            int reached = at << 20;
            awaitTrue(() -> progress("b").comparedBytes() >= reached);
            agents.agent("b").wire.cut();
            agents.agent("b").wire.join();
        }
        awaitTrue(() -> progress("b").over());

        assertThat(progress("b").phase()).as(progress("b").detail()).isEqualTo(Phase.COMPLETE);
        assertThat(verify("b", false).differing()).isEmpty();
        assertImagesEqual();
    }

    @Test
    void aReplicaThatDiffersRemembersThatUntilItWasMended() throws Exception {
        agents.start("a", "b");
        write(agents.client("a"), random, 1 << 20, 0, VOLUME_BYTES);
        agents.awaitAllApplied("a", "b");
        List<Range> changed = changeBlocks("b", 3, 0, VOLUME_BYTES);
        verify("b", false);

        agents.agent("b").stop();
        agents.agent("b").startAgain();

        assertThat(agents.volume("b").status().replicas().getFirst().differingBlocks())
                .isEqualTo(blocks(changed));
        assertThat(verify("b", true).mendedBlocks()).isEqualTo(blocks(changed));
        assertThat(agents.volume("b").status().replicas().getFirst().differingBlocks())
                .isZero();
    }

    @Test
    void aComparisonThatIsStoppedLetsTheReplicaGo() throws Exception {
        agents.start("a", "b");
        write(agents.client("a"), random, 1 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(1 << 20);
        agents.volume("a").verify("", false);
        awaitTrue(() -> progress("b").comparedBytes() > 0);
        assertThatThrownBy(() -> agents.volume("a").verify("b", true)).hasMessageContaining("being compared already");

        agents.volume("a").stopVerifying();

        awaitTrue(() -> progress("b").over());
        assertThat(progress("b").phase()).isEqualTo(Phase.GIVEN_UP);
        assertThat(progress("b").comparedBytes()).isLessThan(VOLUME_BYTES);
        write(agents.client("a"), random, 8 << 20, 0, VOLUME_BYTES); // more than any journal here holds
        assertImagesEqual();
        agents.volume("a").copyLimit(0);
        assertThat(verify("b", false).phase()).isEqualTo(Phase.COMPLETE);
    }

    @Test
    void aHandOverInTheMiddleOfAComparisonLosesNothing() throws Exception {
        agents.start("a", "b");
        write(agents.client("a"), random, 4 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(1 << 20);
        agents.volume("a").verify("b", false);
        awaitTrue(() -> progress("b").comparedBytes() > 0);

        agents.promote("b");

        write(agents.client("b"), random, 8 << 20, 0, VOLUME_BYTES);
        agents.awaitInSync("a", "b");
        assertImagesEqual();
    }

    @Test
    void onlyTheWriterComparesAndOnlyWithReplicasThatThereAre() throws Exception {
        agents.start("a", "b");

        assertThatThrownBy(() -> agents.volume("b").verify("a", false)).hasMessageContaining("not served by agent b");
        assertThatThrownBy(() -> agents.volume("a").verify("c", false)).hasMessageContaining("agent c has no replica");
        assertThatThrownBy(() -> agents.volume("a").verify("a", false)).hasMessageContaining("agent a has no replica");
    }

    // ---- givens

    /** A client of its own that writes within a part of the volume until it is closed; one that is empty: nothing. */
    private final class Writing implements AutoCloseable {
        private final AtomicBoolean ended = new AtomicBoolean();
        private final CompletableFuture<Long> writes;

        Writing(int from, int to) throws Exception {
            Client client = agents.client("a");
            Random own = new Random(random.nextLong());
            writes = CompletableFuture.supplyAsync(
                    () -> {
                        long done = 0;
                        while (!ended.get() && from < to) {
                            if (own.nextInt(10) == 0) {
                                int at = from + own.nextInt(to - from - 1);
                                client.zeroAndAwait(at, 1 + own.nextInt(to - at));
                            } else {
                                write(client, own, 1, from, to);
                            }
                            done++;
                        }
                        return done;
                    },
                    task -> Thread.ofPlatform().daemon().start(task));
        }

        void check() {
            assertThat(writes).isNotCompletedExceptionally();
        }

        @Override
        public void close() {
            ended.set(true);
            writes.join();
        }
    }

    private static void write(Client client, Random random, int bytes, int from, int to) {
        for (int written = 0; written < bytes; ) {
            byte[] some = new byte[1 + random.nextInt(Math.min(100_000, to - from - 1))];
            random.nextBytes(some);
            client.writeAndAwait(from + random.nextInt(to - from - some.length), some);
            written += some.length;
        }
    }

    private VerifyProgress verify(String agent, boolean repairs) throws Exception {
        agents.volume("a").verify(agent, repairs);
        awaitTrue(() -> progress("b").over());
        return progress("b");
    }

    private VerifyProgress progress(String agent) {
        @Nullable
        VerifyProgress there = agents.volume("a").status().replicas().stream()
                .filter(r -> r.agent().equals(agent))
                .findFirst()
                .orElseThrow()
                .verify();
        return Objects.requireNonNull(there);
    }

    /** Changes a byte in each of so many blocks of a replica's image; returns where, neighbours as one. */
    private List<Range> changeBlocks(String agent, int count, int from, int to) throws IOException {
        TreeSet<Integer> blocks = new TreeSet<>();
        while (blocks.size() < count) {
            blocks.add((from + random.nextInt(to - from)) / BLOCK);
        }
        List<Range> ranges = new ArrayList<>();
        try (FileChannel image =
                FileChannel.open(agents.volume(agent).imagePath(), StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            for (int block : blocks) {
                long at = (long) block * BLOCK + random.nextInt(BLOCK);
                ByteBuffer one = ByteBuffer.allocate(1);
                image.read(one, at);
                one.put(0, (byte) (one.get(0) + 1)).flip();
                image.write(one, at);
                long start = (long) block * BLOCK;
                if (!ranges.isEmpty()
                        && ranges.getLast().offset() + ranges.getLast().lengthBytes() == start) {
                    start = ranges.removeLast().offset();
                }
                ranges.add(new Range(start, (block + 1L) * BLOCK - start));
            }
        }
        return ranges;
    }

    private static long blocks(List<Range> ranges) {
        return ranges.stream().mapToLong(Range::lengthBytes).sum() / BLOCK;
    }

    private void assertImagesEqual() throws IOException {
        agents.awaitAllApplied("a", "b");
        assertThat(agents.agent("a").image())
                .as("seed %d", seed)
                .isEqualTo(agents.agent("b").image());
    }
}
