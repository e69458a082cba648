package io.terminus.agent.volume;

import static io.terminus.agent.volume.Agents.VOLUME;
import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.Agents.Client;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Volumes that an operator takes out of use: demoted, to be promoted again, or deleted for good. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class OutOfUseTest {

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void none() {
        agents = new Agents(temp, 4 << 20, 4L << 20);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void aDemotedVolumeIsServedByNobodyUntilAnAgentIsPromoted() throws Exception {
        agents.failover = Failover.AUTOMATIC;
        agents.start("a", "b");
        Client client = agents.client("a");
        client.writeAndAwait(0, filled(1));

        agents.volume("a").demote();

        assertThat(client.disconnected).contains("demoted");
        assertThat(agents.volume("a").serving()).isFalse();
        for (String agent : List.of("a", "b")) {
            awaitTrue(() -> agents.volume(agent).status().detail().startsWith("demoted"));
        }
        assertThat(agents.lockManager.holder()).isNull();
        for (String agent : List.of("a", "b")) {
            agents.agent(agent).stop();
            agents.agent(agent).startAgain();
            awaitTrue(() -> agents.volume(agent).status().detail().startsWith("demoted"));
        }
        assertThatThrownBy(() -> agents.volume("b").resize(8 << 20, Agents.LONG))
                .hasMessageContaining("not served");
        agents.promote("b");
        assertThat(agents.client("b").read(0, 4_096)).containsOnly(1);
        assertThat(config().standing()).isEqualTo(Standing.IN_USE);
    }

    @Test
    void aDemotionWhoseAnswerIsLostIsAskedAgain() throws Exception {
        agents.start("a", "b");
        agents.lockManager.loseAnswers(3, true);

        agents.volume("a").demote();

        assertThat(agents.lockManager.answersLost()).isEqualTo(3);
        assertThat(config().standing()).isEqualTo(Standing.DEMOTED);
    }

    @Test
    void aVolumeIsDeletedUnderItsClientsOnlyByForce() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        client.writeAndAwait(0, filled(1));

        assertThatThrownBy(() -> agents.volume("a").delete(false, Agents.LONG))
                .hasMessageContaining("used by 1 clients")
                .hasMessageContaining("--force");
        client.writeAndAwait(4_096, filled(2));
        List<VolumeConfig.Address> replicas = agents.volume("a").delete(true, Agents.LONG);

        assertThat(client.disconnected).contains("deleted");
        assertThat(replicas).extracting(VolumeConfig.Address::agent).containsExactly("a", "b");
        agents.volumes("b").bury(VOLUME);
        awaitGone("a", "b");
        assertThat(agents.lockManager.holder()).isNull();
    }

    @Test
    void whoIsNotTheWriterDeletesOnlyWhatNobodyServes() throws Exception {
        agents.start("a", "b");

        assertThatThrownBy(() -> agents.volume("b").delete(false, Duration.ofMillis(300)))
                .hasMessageContaining("held by somebody else")
                .hasMessageContaining("writer a");
        assertThat(agents.volume("a").serving()).isTrue();
        agents.volume("a").demote();
        agents.volume("b").delete(false, Agents.LONG);

        awaitGone("b");
        agents.volumes("a").bury(VOLUME);
        awaitGone("a");
    }

    @Test
    void theJournalOfADeletedVolumeTakesNoSpaceThoughItIsMapped() throws Exception {
        agents.start("a", "b");
        agents.client("a").writeAndAwait(0, filled(1));
        Path segment = agents.agent("a").directory().resolve("journal/0000000000000000.seg");
        ByteBuffer mapped;
        try (FileChannel file = FileChannel.open(segment)) {
            mapped = file.map(FileChannel.MapMode.READ_ONLY, 0, Agents.SEGMENT_BYTES);
        }
        assertThat(mapped.mismatch(ByteBuffer.allocate(Agents.SEGMENT_BYTES))).isNotNegative();

        agents.volume("a").delete(true, Agents.LONG);

        awaitGone("a");
        awaitTrue(() -> mapped.mismatch(ByteBuffer.allocate(Agents.SEGMENT_BYTES)) < 0); // its blocks are given back
    }

    @Test
    void whatTheBlockDoesNotCallDeletedIsNotBuried() throws Exception {
        agents.start("a", "b");

        assertThatThrownBy(() -> agents.volumes("b").bury(VOLUME)).hasMessageContaining("does not say");

        agents.volumes("b").bury(UUID.randomUUID()); // of none here
        assertThat(agents.agent("b").directory()).exists();
    }

    @Test
    void aReplicaThatWasAwayDeletesItselfWhenItIsBackAlsoIfTheNameIsInUseAgain() throws Exception {
        agents.start("a", "b");
        agents.client("a").writeAndAwait(0, filled(1));
        agents.agent("b").stop();
        agents.volume("a").delete(true, Agents.LONG);
        awaitGone("a");
        VolumeConfig deleted = config();
        VolumeConfig next = new VolumeConfig(
                        new UUID(3, 4),
                        "v",
                        8 << 20,
                        Agents.SEGMENT_BYTES,
                        0,
                        "a",
                        List.of(new Member("a", "boot")),
                        List.of(),
                        AckLevel.RECEIVED,
                        0,
                        1,
                        Lineage.EMPTY,
                        Failover.MANUAL,
                        List.of(agents.agent("a").address()),
                        VolumeConfig.Fork.NONE)
                .inThePlaceOf(deleted);
        agents.volumes("a").create(next); // as a creation does it: the replica first
        awaitTrue(() -> agents.volume("a").status().detail().startsWith("being created"));
        agents.lockManager.overwrite(next);
        agents.awaitServing("a");

        agents.agent("b").startAgain();

        awaitGone("b");
        assertThat(agents.client("a").read(0, 4_096)).containsOnly(0);
        agents.volumes("b").create(next);
        agents.volume("a").addReplica(agents.agent("b").address(), Agents.LONG);
        agents.awaitInSync("a", "b");
    }

    @Test
    void aDeletionThatStoppedHalfWayIsFinishedAtTheNextStart() throws Exception {
        agents.start("a", "b");
        agents.agent("a").stop();
        agents.agent("b").stop();
        agents.lockManager.overwrite(config().with(Standing.DELETED)); // and then it died
        Path halfDeleted = agents.agent("b").directory().resolveSibling(".deleted-w-1");
        Files.createDirectories(halfDeleted.resolve("journal"));
        Files.writeString(halfDeleted.resolve("journal/x"), "x");

        agents.agent("a").startAgain();
        agents.agent("b").startAgain();

        awaitGone("a", "b");
        assertThat(halfDeleted).doesNotExist();
    }

    @Test
    void theNameRemembersItsLastEightDeletedVolumes() {
        VolumeConfig volume = VolumeConfigTest.config(AckLevel.RECEIVED, Failover.MANUAL, 1);
        UUID first = volume.uuid();
        for (int i = 1; i <= 10; i++) {
            VolumeConfig next = another(volume).inThePlaceOf(volume.with(Standing.DELETED));
            assertThat(next.buried()).hasSize(Math.min(i, VolumeConfig.BURIED_KEPT));
            volume = next;
        }
        assertThat(volume.saysDeleted(first)).isFalse();
        assertThat(volume.saysDeleted(volume.buried().getFirst())).isTrue();
        assertThat(volume.saysDeleted(volume.uuid())).isFalse();
        assertThat(volume.with(Standing.DELETED).saysDeleted(volume.uuid())).isTrue();
    }

    private static VolumeConfig another(VolumeConfig v) {
        return new VolumeConfig(
                UUID.randomUUID(),
                v.name(),
                v.sizeBytes(),
                v.segmentBytes(),
                0,
                v.writer(),
                v.inSync(),
                List.of(),
                v.ackLevel(),
                0,
                1,
                Lineage.EMPTY,
                v.failover(),
                v.replicas(),
                VolumeConfig.Fork.NONE);
    }

    private VolumeConfig config() {
        return Objects.requireNonNull(agents.lockManager.block().config());
    }

    private void awaitGone(String... names) {
        for (String name : names) {
            awaitTrue(() -> agents.volumes(name).byName("v") == null
                    && !Files.exists(agents.agent(name).directory()));
        }
    }

    private static byte[] filled(int with) {
        byte[] bytes = new byte[4_096];
        Arrays.fill(bytes, (byte) with);
        return bytes;
    }
}
