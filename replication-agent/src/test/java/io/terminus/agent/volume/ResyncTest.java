package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.volume.Agents.Client;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Replicas that were away longer than the journal reaches, or hold what the volume has given up, and come back. */
@Timeout(value = 180, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ResyncTest {

    private static final int VOLUME_BYTES = 16 << 20;
    private static final long BUDGET_BYTES = 4L << 20;

    @TempDir
    private Path temp;

    private Agents agents;
    private final long seed = Long.getLong("seed", System.nanoTime());
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
    void onlyWhatItMissedIsCopied() throws Exception {
        agents.start("a", "b");
        Client client = agents.client("a");
        write(client, 2 << 20, 0, VOLUME_BYTES);
        agents.agent("b").stop();
        for (int i = 0; i < 150; i++) {
            writeAt(client, 5 << 20, 65_536); // one hot place, more than the budget
        }
        long carried = agents.agent("b").wire.carried();

        agents.agent("b").startAgain();

        agents.awaitInSync("a", "b");
        assertImagesEqual("a", "b");
        assertThat(agents.agent("b").wire.carried() - carried).isLessThan(1 << 20);
    }

    // ---- givens

    private void write(Client client, int bytes, int from, int to) {
        for (int written = 0; written < bytes; ) {
            int length = 1 + random.nextInt(100_000);
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
