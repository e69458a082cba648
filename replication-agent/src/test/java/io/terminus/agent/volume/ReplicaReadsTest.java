package io.terminus.agent.volume;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.terminus.agent.volume.Agents.Client;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReplicaReadsTest {

    private static final int BYTES = 8 << 20;
    private static final int BLOCK = 4_096;

    @TempDir
    private Path temp;

    private Agents agents;
    private final Random random = new Random(Long.getLong("terminus.seed", 1));
    private final byte[] expected = new byte[BYTES];

    @BeforeEach
    void none() {
        agents = new Agents(temp, BYTES, 4L << 20);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void aReplicaThatIsCopiedToShowsTheVolumeByFetchingWhatItLacks() throws Exception {
        Client client = halfCopied();

        for (int i = 0; i < 40; i++) {
            int offset = random.nextInt(BYTES - 300_000);
            byte[] bytes = random(1 + random.nextInt(100_000));
            write(client, offset, bytes);
            assertShown(BYTES - BLOCK, BLOCK); // is fetched, and then no read shows less than that write
            assertShown(offset, 1 + random.nextInt(300_000));
        }

        assertThat(agents.replica("b").rebuilding()).isTrue();
        assertThat(agents.agent("b").blocksFetched).hasPositiveValue();
        assertThat(agents.members()).containsExactly("a");
    }

    @Test
    void whatTheCopyHasBroughtIsReadHere() throws Exception {
        halfCopied();
        Agents.awaitTrue(() -> agents.replica("b").copiesWritten() > 2);
        int before = agents.agent("b").blocksFetched.get();

        for (int offset = 0; offset < BYTES; offset += BLOCK) {
            assertShown(offset, BLOCK);
        }

        int there = BYTES / BLOCK - (agents.agent("b").blocksFetched.get() - before);
        assertThat(there).isPositive();
    }

    @Test
    void aWholeReplicaReadsItsOwnImageAlsoWithoutTheWriter() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        for (int offset = 0; offset < BYTES; offset += 1 << 20) {
            write(client, offset, random(1 << 20));
        }
        agents.awaitAllApplied("a", "b");
        agents.agent("a").cutOff();

        byte[] shown = read("b", 0, BYTES);

        assertThat(shown).isEqualTo(expected);
        assertThat(agents.agent("b").blocksFetched).hasValue(0);
    }

    @Test
    void blocksThatAreLackingWhileNobodySuppliesThemAreAnErrorAndNotZeros() throws Exception {
        halfCopied();

        agents.agent("a").cutOff();

        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> read("b", BYTES - BLOCK, BLOCK))
                .withMessageContaining("a does not supply them");
    }

    @Test
    void aReplicaThatHasFailedIsNotRead() throws Exception {
        agents.start("a", "b");

        agents.replica("b").fail("Input/output error");

        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> read("b", 0, BLOCK))
                .withMessageContaining("Input/output error");
        assertThat(agents.volume("b").refusesReads()).contains("Input/output error");
        assertThat(agents.volume("a").refusesReads()).isNull();
    }

    @Test
    void aReplicaWhoseImageHoldsWhatWasGivenUpIsNotRead() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        agents.agent("b").cutOff();
        write(client, 0, random(BLOCK));
        agents.awaitAllApplied("a");
        agents.agent("a").stop();
        agents.agent("b").bringBack();
        agents.volume("b").promote(false, true, Agents.LONG, what -> {});
        agents.agent("a").wire.hold();
        agents.agent("a").startAgain();
        agents.agent("a").wire.cut();

        Agents.awaitTrue(() -> agents.volume("a").config().fork().term() > 0);

        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> read("a", 0, BLOCK))
                .withMessageContaining("gave up what the image at a may hold");
    }

    @Test
    void aReplicaThatNoWriterHasFedYetAsksTheWriterAndShowsNoZeros() throws Exception {
        agents.start("a");
        write(agents.client("a"), 0, random(BLOCK));
        Agents.Agent b = agents.add("b");
        b.wire.cut();
        b.volumes().create(agents.volume("a").config());
        agents.volume("a").addReplica(b.address(), Agents.LONG);
        VolumeAuthority.Block block = agents.lockManager.block();
        agents.volume("b").told(requireNonNull(block.config()).encode(), block.version());

        byte[] shown = read("b", 0, BLOCK);
        agents.agent("a").cutOff();

        assertThat(shown).isEqualTo(Arrays.copyOf(expected, BLOCK));
        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> read("b", 0, BLOCK))
                .withMessageContaining("a does not supply them");
    }

    @Test
    void aReadShowsOnePositionWhileTheBlocksAreWritten() throws Exception {
        Client client = halfCopied();
        int half = ReplicaReads.MOST_BYTES / 2;
        int offset = BYTES - ReplicaReads.MOST_BYTES;
        client.writeAndAwait(offset, new byte[ReplicaReads.MOST_BYTES]);
        AtomicBoolean done = new AtomicBoolean();
        Thread writes = Thread.ofPlatform().start(() -> {
            for (int i = 1; !done.get(); i++) {
                for (int at : new int[] {offset, offset + half}) {
                    byte[] block = new byte[BLOCK];
                    Arrays.fill(block, (byte) i);
                    client.writeAndAwait(at, block);
                }
            }
        });

        try {
            for (int i = 0; i < 200; i++) {
                byte[] shown = read("b", offset, ReplicaReads.MOST_BYTES);
                assertThat((shown[0] - shown[half]) & 0xff)
                        .as("writes of the first half that the second lacks")
                        .isLessThan(2);
                assertThat(Arrays.copyOf(shown, BLOCK)).containsOnly(shown[0]);
            }
        } finally {
            done.set(true);
            writes.join();
        }
    }

    /** b has been away longer than a's journal reaches back, and is copied to slowly. */
    private Client halfCopied() throws Exception {
        agents.start("a", "b");
        agents.agent("b").stop();
        Client client = agents.client("a");
        for (int offset = 0; offset < BYTES; offset += 1 << 20) {
            write(client, offset, random(1 << 20));
        }
        assertThat(agents.journal("a").oldest()).isPositive();
        agents.volume("a").copyLimit(256 << 10);
        agents.agent("b").startAgain();
        Agents.awaitTrue(
                () -> agents.replica("b").rebuilding() && agents.replica("b").copiesWritten() > 0);
        return client;
    }

    private void assertShown(int offset, int length) throws Exception {
        assertThat(read("b", offset, length)).isEqualTo(Arrays.copyOfRange(expected, offset, offset + length));
    }

    private byte[] read(String agent, long offset, int length) throws Exception {
        ByteBuffer into = ByteBuffer.allocate(length);
        while (into.position() < length) {
            int at = into.position();
            int count = Math.min(length - at, ReplicaReads.MOST_BYTES);
            agents.volume(agent).reads().read(offset + at, into.limit(at + count));
            assertThat(into.hasRemaining()).isFalse();
        }
        return into.array();
    }

    private void write(Client client, int offset, byte[] bytes) {
        client.writeAndAwait(offset, bytes);
        System.arraycopy(bytes, 0, expected, offset, bytes.length);
    }

    private byte[] random(int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }
}
