package io.terminus.agent.volume;

import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.volume.Agents.Client;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Replicas that were away longer than the journal reaches, or hold what the volume has given up, and come back. */
@Timeout(value = 180, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
@Execution(ExecutionMode.CONCURRENT)
class ResyncTest {

    private static final int VOLUME_BYTES = 16 << 20;
    private static final long BUDGET_BYTES = 4L << 20;

    @TempDir
    private Path temp;

    private Agents agents;
    private final long seed = Long.getLong("terminus.seed", 1);
    private final Random random = new Random(seed);
    private final byte[] expected = new byte[VOLUME_BYTES];

    @BeforeEach
    void none() {
        agents = new Agents(temp, VOLUME_BYTES, BUDGET_BYTES);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void aReplicaThatWasAwayLongerThanTheJournalReachesGetsWhatItMissed() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 8 << 20, 0, VOLUME_BYTES);
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES / 2); // three times the budget
        zero(client, 1 << 20, 300_000);
        assertThat(agents.journal("a").oldest()).isGreaterThan(4 << 20);

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void aMemberThatIsSlowerThanTheWritesStopsNobodyWhoDoesNotAskForIt() throws Exception {
        agents.start("a", "b", "c");
        agents.volume("a").set(null, 2, null, Agents.LONG);
        Client client = agents.client("a");
        agents.agent("c").wire.slowTo(100 << 10);

        write(client, 12 << 20, 0, VOLUME_BYTES); // three times the budget: 2 minutes over that wire

        assertThat(agents.members()).containsExactly("a", "b");
        agents.agent("c").wire.letGo();
        agents.awaitInSync("a", "b", "c");
        assertImagesEqual("a", "b", "c");
    }

    @Test
    void aMemberThatTheNextWriterHasNotHeardYetIsNotTakenForOneThatIsTooSlow() throws Exception {
        agents.close();
        agents = new Agents(temp.resolve("patient"), VOLUME_BYTES, BUDGET_BYTES, Duration.ofSeconds(60));
        agents.start("a", "b", "c");
        agents.volume("a").set(null, 2, null, Agents.LONG);
        agents.agent("c").wire.hold();

        agents.promote("b");
        agents.volume("b").set(null, null, 2, Agents.LONG); // a removal would come first

        assertThat(agents.members()).containsExactly("a", "b", "c");
    }

    @Test
    void aMemberThatEveryAcknowledgementNeedsIsWaitedForHoweverSlowItIs() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        long version = agents.lockManager.block().version();
        agents.agent("b").wire.slowTo(4 << 20);

        write(client, 12 << 20, 0, VOLUME_BYTES);

        assertThat(agents.lockManager.block().version())
                .as("it was never out of the set")
                .isEqualTo(version);
    }

    @Test
    void marksThatCannotBeKeptAreKeptAsSoonAsTheyCan() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        Path marks = agents.agent("a").directory().resolve("marks");
        Files.deleteIfExists(marks);
        Files.createFile(marks); // no directory can be made there, as on a full disk
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES / 2); // three times the budget
        agents.agent("b").startAgain();
        Agents.awaitTrue(() -> agents.volume("a").status().replicas().stream()
                .anyMatch(r -> r.detail().contains("when what it misses can be noted here")));

        Files.delete(marks);

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void aReplicaThatMissesARecordThatIsDamagedInTheWritersHistoryIsCopiedTo() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 1 << 20, 0, VOLUME_BYTES);
        agents.awaitAllApplied("a", "b");
        agents.agent("b").stop();
        long missed = agents.journal("a").end();
        writeAt(client, 5 << 20, 65_536);
        writeAt(client, 6 << 20, 65_536);
        Agents.awaitTrue(
                () -> agents.replica("a").applied() == agents.journal("a").end());
        int segment = (int) (missed / Agents.SEGMENT_BYTES);
        Path file = agents.agent("a").directory().resolve("journal/%016x.seg".formatted(segment));
        try (FileChannel journal = FileChannel.open(file, StandardOpenOption.WRITE)) {
            journal.write(ByteBuffer.wrap(new byte[] {1, 2, 3, 4}), missed % Agents.SEGMENT_BYTES + 5_000);
        }
        assertThat(agents.journal("a").firstDamaged(missed, agents.journal("a").end()))
                .isEqualTo(missed);

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void onlyWhatItMissedIsCopied() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 4 << 20, 0, VOLUME_BYTES);
        agents.agent("b").stop();
        for (int i = 0; i < 150; i++) {
            writeAt(client, 5 << 20, 65_536); // one hot place, more than the budget
        }
        long carried = agents.agent("b").wire.carried();

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        // What the journal still holds from its last checkpoint may be 1 MiB by itself.
        assertThat(agents.agent("b").wire.carried() - carried).isLessThan(2 << 20);
    }

    @Test
    void whereMarksAreLostReplicasAreComparedAndOnlyWhatDiffersIsCopied() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 4 << 20, 0, VOLUME_BYTES);
        agents.agent("b").stop();
        write(client, 12 << 20, 0, 1 << 20); // three times the budget
        agents.agent("a").kill(); // marks that were in use are not believed
        agents.agent("a").startAgain();
        agents.awaitServing("a");
        long carried = agents.agent("b").wire.carried();

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        assertThat(agents.agent("b").wire.carried() - carried).isLessThan(3 << 20);
    }

    @Test
    void blocksThatAreWrittenWhileTheyAreComparedArriveAsTheyWereLast() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 4 << 20, 0, VOLUME_BYTES);
        agents.agent("b").stop();
        write(client, 12 << 20, 0, 2 << 20);
        agents.agent("a").kill();
        agents.agent("a").startAgain();
        agents.awaitServing("a");
        Client again = agents.client("a");
        agents.volume("a").copyLimit(4 << 20);

        agents.agent("b").startAgain();
        awaitTrue(() -> copying("a", "b"));
        for (int i = 0; i < 200 && !agents.members().contains("b"); i++) {
            write(again, 64 << 10, 0, 1 << 20);
            write(again, 64 << 10, 0, VOLUME_BYTES);
        }

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void whatItsJournalStillHoldsIsNotCopied() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").stop();
        write(client, 1 << 20, 0, VOLUME_BYTES);

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        assertThat(agents.agent("b").wire.carried()).isLessThan(3 << 20);
    }

    @Test
    void writesAreAnsweredWithoutItWhateverItMisses() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").wire.cut();

        write(client, 40 << 20, 0, VOLUME_BYTES); // ten times the budget

        assertThat(client.failed).isEmpty();
        agents.agent("b").wire.join();
        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void aReplicaWhoseImageHoldsWhatWasGivenUpIsMadeAnew() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 2 << 20, 0, VOLUME_BYTES);
        agents.agent("b").cutOff();
        byte[] kept = expected.clone();
        write(client, 2 << 20, 0, VOLUME_BYTES);
        agents.awaitAllApplied("a");
        agents.agent("a").stop();
        agents.agent("b").bringBack();
        System.arraycopy(kept, 0, expected, 0, VOLUME_BYTES); // what a wrote alone is given up

        agents.volume("b").promote(false, true, Agents.LONG, what -> {});
        write(agents.client("b"), 1 << 20, 0, VOLUME_BYTES);
        agents.agent("a").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        agents.promote("a");
        assertThat(agents.client("a").read(0, VOLUME_BYTES)).isEqualTo(expected);
    }

    @Test
    void aReplicaThatFailedIsThrownAwayAndCopiedAnew() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 2 << 20, 0, VOLUME_BYTES / 2);
        assertThatThrownBy(() -> agents.agent("b").volumes().recreate("v")).hasMessageContaining("counts on");
        agents.replica("b").fail("fdatasync of the image failed");
        agents.agent("b").stop();
        agents.agent("b").startAgain();
        write(client, 1 << 20, 0, VOLUME_BYTES / 2);
        agents.awaitInSync("a");

        agents.agent("b").volumes().recreate("v");

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        assertThat(dataBytes("b")).isLessThanOrEqualTo(dataBytes("a"));
    }

    @Test
    void aReplicaAddedToARunningVolumeIsCopiedTo() throws Exception {
        agents.start("a");
        Client client = agents.client("a");
        write(client, 12 << 20, 0, VOLUME_BYTES / 2);
        Agents.Agent b = agents.add("b");
        b.volumes().create(agents.volume("a").config());

        agents.volume("a").addReplica(b.address(), Agents.LONG);
        write(client, 1 << 20, 0, VOLUME_BYTES / 2);

        agents.awaitInSync("a", "b");
        write(client, 1 << 20, 0, VOLUME_BYTES / 2);
        assertImagesEqual("a", "b");
        assertThat(dataBytes("b")).as("holes stay holes").isLessThanOrEqualTo(VOLUME_BYTES / 2);
        agents.promote("b");
        assertThat(agents.client("b").read(0, VOLUME_BYTES)).isEqualTo(expected);
    }

    @Test
    void aReplicaThatIsTakenAwayIsFedNoMoreAndComesBackWhole() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 2 << 20, 0, VOLUME_BYTES);
        assertThatThrownBy(() -> agents.volume("a").removeReplica("a", Agents.LONG))
                .hasMessageContaining("promote another");
        assertThatThrownBy(() -> agents.agent("b").volumes().delete("v")).hasMessageContaining("one of the volume's");

        assertThat(agents.volume("a").removeReplica("b", Agents.LONG)).isTrue();
        assertThat(agents.volume("a").removeReplica("b", Agents.LONG)).isFalse();
        write(client, 12 << 20, 0, VOLUME_BYTES);

        assertThat(agents.members()).containsExactly("a");
        assertThat(agents.journal("a").oldest()).as("nothing is kept for it").isGreaterThan(4 << 20);
        assertThatThrownBy(() -> agents.volume("b").promote(true, true, Agents.LONG, what -> {}))
                .hasMessageContaining("no replica of v any more");
        agents.volume("a").addReplica(agents.agent("b").address(), Agents.LONG);
        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void aReplicaIsTakenAwayWhileItIsCopiedTo() throws Exception {
        agents.start("a", "b", "c");
        Client client = agents.client("a");
        write(client, 2 << 20, 0, VOLUME_BYTES);
        agents.agent("c").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(1 << 20);
        agents.agent("c").startAgain();
        awaitTrue(() -> copying("a", "c"));

        agents.volume("a").removeReplica("c", Agents.LONG);
        write(client, 8 << 20, 0, VOLUME_BYTES);

        assertThat(agents.volume("a").status().replicas())
                .extracting(Volume.ReplicaStatus::agent)
                .containsExactly("a", "b");
        assertThat(agents.agent("a").directory().resolve("marks")).isEmptyDirectory();
        agents.volume("a").addReplica(agents.agent("c").address(), Agents.LONG);
        agents.volume("a").copyLimit(0);
        agents.awaitInSync("a", "b", "c");
        assertImagesEqual("a", "b", "c");
    }

    @Test
    void aReplicaThatWasDeletedIsMadeAnewUnderAnotherName() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 2 << 20, 0, VOLUME_BYTES);
        String before = agents.volume("b").incarnation();
        agents.volume("a").removeReplica("b", Agents.LONG);
        agents.agent("b").volumes().delete("v");
        assertThat(agents.agent("b").directory()).doesNotExist();

        agents.agent("b").volumes().create(agents.volume("a").config());
        agents.volume("a").addReplica(agents.agent("b").address(), Agents.LONG);
        write(client, 1 << 20, 0, VOLUME_BYTES);

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        assertThat(agents.volume("b").incarnation()).isNotEqualTo(before);
    }

    @Test
    void statusTellsHowFarACopyIsUntilItHasEnded() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(1 << 20);
        agents.agent("b").startAgain();

        awaitTrue(() -> {
            CopyProgress p = copy("b");
            return p != null && p.phase() == CopyProgress.Phase.COPYING && p.copiedBytes() > 0;
        });

        CopyProgress under = Objects.requireNonNull(copy("b"));
        assertThat(under.leftBytes()).isPositive();
        assertThat(under.totalBytes()).isLessThanOrEqualTo(VOLUME_BYTES);
        assertThat(agents.volume("b").status().replicas().getFirst().detail()).contains("incomplete");
        agents.volume("a").copyLimit(0);
        agents.awaitInSync("a", "b");
        assertThat(copy("b")).isNull();
        assertThat(agents.volume("b").status().replicas().getFirst().detail()).isEmpty();
    }

    @Test
    void blocksThatAreOverwrittenWhileTheyAreCopiedArriveAsTheyWereLast() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(4 << 20);

        agents.agent("b").startAgain();
        awaitTrue(() -> copying("a", "b"));
        for (int i = 0; i < 200 && !agents.members().contains("b"); i++) {
            write(client, 64 << 10, 0, 1 << 20);
            write(client, 64 << 10, 0, VOLUME_BYTES);
        }
        agents.awaitInSync("a", "b");

        write(client, 1 << 20, 0, VOLUME_BYTES);
        assertImagesEqual("a", "b");
    }

    @Test
    void aReplicaThatIsAMixtureNeitherVotesNorServes() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(1 << 20);
        agents.agent("b").startAgain();
        awaitTrue(() -> copying("a", "b"));
        agents.agent("a").stop();

        assertThatThrownBy(() -> agents.volume("b").promote(true, true, Agents.LONG, what -> {}))
                .hasMessageContaining("mixture");

        assertThat(agents.members()).containsExactly("a");
        agents.agent("a").startAgain();
        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void aReplicaVouchesForNothingUntilItsCopyHasEnded() throws Exception {
        // given
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(1 << 20);
        agents.agent("b").startAgain();
        awaitTrue(() -> copying("a", "b"));

        // when
        Election.Answer half = answer("b");
        agents.volume("a").copyLimit(0);
        agents.awaitInSync("a", "b");
        Election.Answer whole = answer("b");

        // then
        assertThat(half.damaged()).isTrue();
        assertThat(whole.damaged()).isFalse();
    }

    @ParameterizedTest(name = "{0} is killed, with {1} bytes a second")
    @CsvSource({"b,40960", "b,3000000", "b,20000000", "a,40960", "a,3000000", "a,20000000"})
    void aCopyGoesOnAfterAKillOfEitherSide(String killed, long rate) throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES);
        agents.volume("a").copyLimit(rate);
        agents.agent("b").startAgain();
        awaitTrue(() -> copying("a", "b"));
        write(client, 1 << 20, 0, VOLUME_BYTES);
        client.flushAndAwait();

        agents.agent(killed).kill();
        agents.agent(killed).startAgain();
        agents.awaitServing("a");
        agents.volume("a").copyLimit(0);
        write(agents.client("a"), 1 << 20, 0, VOLUME_BYTES);

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    @Test
    void afterAFailoverTheNextWriterGoesOnFromItsOwnMarks() throws Exception {
        agents.start("a", "b", "c");
        Client client = agents.client("a");
        write(client, 1 << 20, 0, VOLUME_BYTES / 2);
        agents.agent("c").stop();
        write(client, 12 << 20, 0, VOLUME_BYTES / 2);
        agents.volume("a").copyLimit(1 << 20);
        agents.agent("c").startAgain();
        awaitTrue(() -> copying("a", "c"));
        long since = agents.replica("c").superblock().rebuild().since();

        agents.volume("b").copyLimit(1 << 20);
        agents.promote("b");
        awaitTrue(() -> copying("b", "c"));
        long sinceThen = agents.replica("c").superblock().rebuild().since();
        agents.volume("b").copyLimit(0);
        write(agents.client("b"), 1 << 20, VOLUME_BYTES / 4, VOLUME_BYTES);

        agents.awaitInSync("a", "b", "c");
        assertImagesEqual("a", "b", "c");
        assertThat(since).as("the marks of a reached back").isPositive();
        assertThat(sinceThen).as("the marks of b reached back").isPositive();
    }

    @Test
    void whateverHappensTheImagesAreTheSameInTheEnd() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        for (int round = 0; round < 12; round++) {
            boolean stopped = false;
            switch (random.nextInt(4)) {
                case 0 -> agents.agent("b").wire.cut();
                case 1 -> agents.agent("b").wire.hold();
                case 2 -> {
                    agents.agent("b").kill();
                    stopped = true;
                }
                default -> {
                    agents.agent("b").stop();
                    stopped = true;
                }
            }
            agents.volume("a").copyLimit(random.nextBoolean() ? 0 : 1 << 20 + random.nextInt(6));
            write(client, random.nextInt(8 << 20), 0, VOLUME_BYTES);
            zero(client, random.nextInt(VOLUME_BYTES / 2), 1 + random.nextInt(VOLUME_BYTES / 2));
            agents.agent("b").wire.letGo();
            agents.agent("b").wire.join();
            if (stopped) {
                agents.agent("b").startAgain();
            }
            write(client, random.nextInt(2 << 20), 0, VOLUME_BYTES);
            if (random.nextInt(3) == 0) {
                agents.volume("a").copyLimit(0);
                agents.awaitInSync("a", "b");
                assertImagesEqual("a", "b");
            }
        }
        agents.volume("a").copyLimit(0);

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
    }

    // ---- givens

    /** What it would say to a candidate of the term that it answers to anyway. */
    private Election.Answer answer(String agent) throws RefusedException {
        Superblock.Fence now = agents.replica(agent).superblock().fence();
        return agents.volume(agent).seal(now.term(), now.token(), Long.MAX_VALUE, "a");
    }

    /** Copies have begun to land: the replica's image is a mixture. */
    private boolean copying(String writer, String replica) {
        return agents.replica(replica).rebuilding()
                && agents.volume(writer).status().replicas().stream()
                        .anyMatch(r -> r.agent().equals(replica) && r.copy() != null);
    }

    private @Nullable CopyProgress copy(String replica) {
        return agents.volume("a").status().replicas().stream()
                .filter(r -> r.agent().equals(replica))
                .findFirst()
                .orElseThrow()
                .copy();
    }

    private long dataBytes(String agent) throws IOException {
        long[] bytes = {0};
        agents.replica(agent).image().extents(0, VOLUME_BYTES, (offset, length, data) -> {
            bytes[0] += data ? length : 0;
            return true;
        });
        return bytes[0];
    }

    private void write(Client client, int bytes, int from, int to) {
        for (int written = 0; written < bytes; ) {
            int length = 1 + random.nextInt(Math.min(100_000, to - from - 1));
            writeAt(client, from + random.nextInt(to - from - length), length);
            written += length;
        }
    }

    private void writeAt(Client client, int offset, int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        System.arraycopy(bytes, 0, expected, offset, length);
        client.writeAndAwait(offset, bytes);
    }

    private void zero(Client client, int offset, int length) {
        Arrays.fill(expected, offset, offset + length, (byte) 0);
        client.zeroAndAwait(offset, length);
    }

    private void assertImagesEqual(String... names) throws IOException {
        agents.awaitAllApplied(names);
        for (String name : names) {
            int at = Arrays.mismatch(agents.agent(name).image(), expected);
            assertThat(at).as("%s differs at, seed %d", name, seed).isEqualTo(-1);
        }
    }
}
