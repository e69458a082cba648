package io.terminus.agent.volume;

import static io.terminus.agent.volume.Agents.VOLUME;
import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.Agents.Client;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Requests that meet an agent while it starts or stops: no replica's files are taken for those of nobody. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class VolumesTest {

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void twoReplicas() throws Exception {
        agents = new Agents(temp, 4 << 20, 4L << 20);
        agents.start("a", "b");
        new Client(agents.volume("a")).writeAndAwait(0, filled());
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void aReplicaThatIsNotOpenYetIsNotReplacedByAnEmptyOne() throws Exception {
        agents.agent("b").stop();

        try (Volumes starting = agents.agent("b").makeVolumes()) {
            assertThatThrownBy(() -> starting.create(config())).hasMessageContaining("not open yet");
            assertThatThrownBy(() -> starting.recreate("v")).hasMessageContaining("not open yet");
            assertThatThrownBy(() -> starting.delete("v")).hasMessageContaining("not open yet");
            starting.openAll();

            Volume opened = Objects.requireNonNull(starting.byName("v"));
            assertThat(starting.create(config())).isSameAs(opened);
            assertThat(opened.replica().journal().end()).isPositive();
        }
    }

    @Test
    void aReplicaThatADiskWithoutSpaceKeepsFromBeingOpenedIsNotReplacedEither() throws Exception {
        agents.agent("b").stop();
        Path directory = agents.agent("b").directory();
        Path full = Files.createSymbolicLink(directory.resolve("superblock.next"), Path.of("/dev/full"));
        agents.agent("b").startAgain();

        assertThatThrownBy(() -> agents.volumes("b").create(config())).hasMessageContaining("the disk is full");

        Files.delete(full);
        awaitTrue(() -> agents.volumes("b").byName("v") != null);
        agents.awaitInSync("a", "b");
        agents.promote("b");
        assertThat(agents.client("b").read(0, 4_096)).containsOnly(1);
    }

    @Test
    void whatIsLeftOfACreationThatDidNotGetToItsEndIsGoneAfterAStart() throws Exception {
        Path unfinished = agents.agent("b").directory().resolveSibling(".being-made-w");
        agents.agent("b").stop();
        Files.createDirectories(unfinished.resolve("journal"));
        agents.agent("b").startAgain();

        assertThat(unfinished).doesNotExist();
        Volume made = agents.volumes("b").create(volume("w"));

        assertThat(made.replica().journal().end()).isZero();
        assertThat(unfinished).doesNotExist();
    }

    @Test
    void filesWithoutASuperblockAreNotTakenForAnUnfinishedCreationButAnEmptyDirectoryMakesWay() throws Exception {
        Path somebodys = agents.agent("b").directory().resolveSibling("w");
        Path empty = agents.agent("b").directory().resolveSibling("x");
        Path late = agents.agent("b").directory().resolveSibling("y");
        agents.agent("b").stop();
        Files.createDirectories(somebodys);
        Files.writeString(somebodys.resolve("image.raw"), "somebody's data");
        Files.createDirectories(empty);
        agents.agent("b").startAgain();
        Files.createDirectories(late.resolve("journal"));
        Volumes volumes = agents.volumes("b");

        assertThatThrownBy(() -> volumes.create(volume("w")))
                .hasMessageContaining(somebodys + " that it cannot open")
                .hasMessageContaining("holds files, but no superblock");
        assertThatThrownBy(() -> volumes.create(volume("y"))).hasMessageContaining("put there while the agent ran");

        assertThat(volumes.whyNotOpened("w")).contains("somebody's data");
        assertThat(somebodys.resolve("image.raw")).hasContent("somebody's data");
        assertThat(late.resolve("journal")).exists();
        assertThat(volumes.create(volume("x")).replica().journal().end()).isZero();
    }

    @Test
    void noReplicaIsOpenedTwice() throws Exception {
        Volume before = agents.volume("b");

        agents.volumes("b").openAll();

        assertThat(agents.volume("b")).isSameAs(before);
        agents.awaitAllApplied("a", "b");
    }

    @Test
    void whoIsStoppingDeletesNothingOnTheRequestersWord() throws Exception {
        VolumeConfig next = volume("v").inThePlaceOf(config().with(Standing.DELETED));
        agents.agent("b").stop();

        assertThatThrownBy(() -> agents.volumes("b").create(next)).hasMessageContaining("is stopping");

        assertThat(agents.agent("b").directory().resolve("superblock")).exists();
        agents.agent("b").startAgain();
        assertThat(agents.volume("b").config().uuid()).isEqualTo(VOLUME);
    }

    @Test
    void onlyTheWriterSaysWhetherAReplicaMayBeAddedAndNotAtAnotherAddress() throws Exception {
        Address b = agents.agent("b").address();

        assertThatThrownBy(() -> agents.volume("b").requireMayAdd(new Address("c", "h:1", "h:2")))
                .hasMessageContaining("not served by agent b");
        assertThatThrownBy(() -> agents.volume("a").requireMayAdd(new Address("b", "h:1", "h:2")))
                .hasMessageContaining("agent b has a replica already, at " + b.peer());

        agents.volume("a").requireMayAdd(b);
        agents.volume("a").requireMayAdd(new Address("c", "h:1", "h:2"));
    }

    @Test
    void whoClosesAVolumeASecondTimeWaitsUntilItIsClosedAndEndsNoHandoverEarly() throws Exception {
        Client client = agents.client("a");
        agents.agent("b").wire.hold();
        long waits = client.write(0, filled());
        Thread first = Thread.ofPlatform().start(() -> agents.volume("a").close());
        awaitTrue(() -> first.getState() == Thread.State.TIMED_WAITING);
        Thread second = Thread.ofPlatform().start(() -> agents.volume("a").close());
        awaitTrue(() -> second.getState() == Thread.State.BLOCKED);

        agents.agent("b").wire.letGo();

        client.awaitDone(waits);
        first.join();
        second.join();
        assertThat(Superblock.read(agents.agent("a").directory()).life().clean())
                .isTrue();
    }

    private VolumeConfig config() {
        return Objects.requireNonNull(agents.lockManager.block().config());
    }

    private VolumeConfig volume(String name) {
        return new VolumeConfig(
                new UUID(3, 4),
                name,
                4 << 20,
                Agents.SEGMENT_BYTES,
                0,
                "b",
                List.of(new Member("b", "boot")),
                List.of(),
                AckLevel.RECEIVED,
                0,
                1,
                Lineage.EMPTY,
                Failover.MANUAL,
                List.of(agents.agent("b").address()),
                VolumeConfig.Fork.NONE);
    }

    private static byte[] filled() {
        byte[] bytes = new byte[4_096];
        Arrays.fill(bytes, (byte) 1);
        return bytes;
    }
}
