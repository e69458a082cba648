package io.terminus.agent.volume;

import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.volume.Agents.Client;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Volumes that grow, or are acknowledged otherwise, while clients write; and replicas that hear of it in time. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
@Execution(ExecutionMode.CONCURRENT)
class ResizeTest {

    private static final int BYTES = 4 << 20;
    private static final int BLOCK = 4_096;

    @TempDir
    private Path temp;

    private Agents agents;
    private final long seed = Long.getLong("terminus.seed", 1);
    private final Random random = new Random(seed);

    @BeforeEach
    void none() {
        agents = new Agents(temp, BYTES, 4L << 20);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void whatIsNewReadsAsZerosAndIsWrittenAtEveryReplica() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        client.writeAndAwait(BYTES - 100, bytes(100));

        agents.volume("a").resize(BYTES + BLOCK, Agents.LONG);

        assertThat(agents.volume("a").config().sizeBytes()).isEqualTo(BYTES + BLOCK);
        assertThat(client.read(BYTES, BLOCK)).containsOnly(0);
        client.writeAndAwait(BYTES - 50, bytes(100));
        client.writeAndAwait(BYTES + BLOCK - 10, bytes(10));
        assertImagesEqual(BYTES + BLOCK);
        assertThat(agents.members()).containsExactly("a", "b");
        agents.promote("b");
        agents.client("b").writeAndAwait(BYTES, bytes(10));
        assertImagesEqual(BYTES + BLOCK);
    }

    @Test
    void nothingGrowsWhereAMemberCannotOrDoesNotSay() throws Exception {
        agents.start("a", "b");
        agents.agent("b").mostBytes = BYTES;

        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> agents.volume("a").resize(BYTES + BLOCK, Agents.LONG))
                .withMessageContaining("member b does not say that it can hold " + (BYTES + BLOCK))
                .withMessageContaining("File too large");
        agents.agent("b").mostBytes = Long.MAX_VALUE;
        agents.agent("b").cutOff();
        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> agents.volume("a").resize(BYTES + BLOCK, Agents.LONG))
                .withMessageContaining("no route to b");

        assertThat(agents.volume("a").config().sizeBytes()).isEqualTo(BYTES);
        agents.agent("b").bringBack();
        agents.awaitInSync("a", "b");
        agents.volume("a").resize(BYTES + BLOCK, Agents.LONG);
        assertThat(agents.volume("a").config().sizeBytes()).isEqualTo(BYTES + BLOCK);
    }

    @Test
    void noRecordReachesAReplicaThatHasNotGrown() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        int size = BYTES;
        for (int step = 0; step < 60; step++) {
            size += BLOCK * (1 + random.nextInt(20));
            if (random.nextInt(6) == 0) {
                agents.agent("b").wire.cut();
                agents.agent("b").wire.join();
            }
            for (int i = random.nextInt(30); i > 0; i--) {
                client.write(random.nextInt(size - 200_000), bytes(1 + random.nextInt(50_000)));
            }
            agents.volume("a").resize(size, Agents.LONG);
            client.write(size - 50_000, bytes(50_000)); // at once, at the very end
        }
        client.writeAndAwait(0, bytes(1));

        awaitTrue(() -> agents.members().size() == 2);
        assertImagesEqual(size);
    }

    @Test
    void aReplicaThatWasAwayGrowsWhenItIsBack() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        client.writeAndAwait(0, bytes(BYTES / 2));
        agents.agent("b").stop();
        client.writeAndAwait(BYTES / 2, bytes(BYTES / 4));
        agents.volume("a").resize(2 * BYTES, Agents.LONG);
        for (int i = 0; i < 40; i++) { // further than the journal reaches back
            client.writeAndAwait(BYTES + random.nextInt(BYTES - (256 << 10)), bytes(256 << 10));
        }

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual(2 * BYTES);
    }

    @Test
    void whatHasGrownStaysSoAfterKills() throws Exception {
        agents.start("a", "b");
        for (String killed : new String[] {"b", "a"}) {
            int size = (int) agents.volume("a").config().sizeBytes() + 16 * BLOCK;
            agents.volume("a").resize(size, Agents.LONG);
            agents.client("a").writeAndAwait(size - BLOCK, bytes(BLOCK));

            agents.agent(killed).kill();
            agents.agent(killed).startAgain();

            agents.awaitServing("a");
            agents.awaitInSync("a", "b");
            agents.client("a").writeAndAwait(size - 10, bytes(10));
            assertImagesEqual(size);
        }
    }

    @Test
    void aVolumeOnlyGrowsAndOnlyToWhatCanBe() throws Exception {
        agents.start("a", "b");

        assertThatThrownBy(() -> agents.volume("a").resize(BYTES - BLOCK, Agents.LONG))
                .hasMessageContaining("has " + BYTES + " bytes")
                .hasMessageContaining("only grows");
        assertThatThrownBy(() -> agents.volume("a").resize(BYTES + 1, Agents.LONG))
                .hasMessageContaining("a multiple of 4096");
        assertThatThrownBy(() -> agents.volume("b").resize(2 * BYTES, Agents.LONG))
                .hasMessageContaining("not served by agent b");
        agents.volume("a").resize(BYTES, Agents.LONG);
        assertThat(agents.volume("a").config().sizeBytes()).isEqualTo(BYTES);
    }

    @Test
    void whatAnAcknowledgementAsksForChangesWhileClientsWrite() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        client.writeAndAwait(0, bytes(BLOCK));

        agents.volume("a").set(AckLevel.DURABLE, null, 2, Agents.LONG);

        assertThat(agents.volume("a").status().config().acks())
                .isEqualTo(new VolumeConfig.Acks(AckLevel.DURABLE, 0, 2));
        client.writeAndAwait(0, bytes(BLOCK));
        assertThat(agents.journal("b").durable()).isEqualTo(agents.journal("b").end());
        assertThatThrownBy(() -> agents.volume("a").set(AckLevel.LOCAL, null, null, Agents.LONG))
                .hasMessageContaining("minCopies 2 at ack level local");
        assertThatThrownBy(() -> agents.volume("a").set(null, 3, null, Agents.LONG))
                .hasMessageContaining("copies 3")
                .hasMessageContaining("0 to 2");
        agents.volume("a").set(AckLevel.LOCAL, null, 1, Agents.LONG);
        assertThat(agents.members()).containsExactly("a");
        client.writeAndAwait(0, bytes(BLOCK));
        agents.volume("a").set(AckLevel.RECEIVED, 0, null, Agents.LONG);
        client.writeAndAwait(0, bytes(BLOCK));
        agents.awaitInSync("a", "b");
        assertImagesEqual(BYTES);
    }

    private byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }

    private void assertImagesEqual(int size) throws IOException {
        agents.awaitAllApplied("a", "b");
        assertThat(agents.agent("a").image())
                .as("seed %d", seed)
                .hasSize(size)
                .isEqualTo(agents.agent("b").image());
    }
}
