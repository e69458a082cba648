package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.terminus.agent.volume.Agents.Client;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
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
        agents.volume(agent).reads().read(offset, into);
        assertThat(into.hasRemaining()).isFalse();
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
