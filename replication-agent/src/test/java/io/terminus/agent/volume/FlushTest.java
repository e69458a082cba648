package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What NBD promises of a flush where several connections use an export: all that was answered before, whoever wrote it. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class FlushTest {

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void start() throws Exception {
        agents = new Agents(temp, 4 << 20, 64L << 20);
        agents.start("a", "b");
    }

    @AfterEach
    void stop() throws IOException {
        agents.close();
    }

    @Test
    void aFlushMakesDurableInEveryCopyWhatOtherConnectionsWereAnsweredBefore() throws Exception {
        Agents.Client writing = agents.client("a");
        Agents.Client flushing = agents.client("a");

        for (int round = 0; round < 20; round++) {
            long end = answeredAndNotDurableYet(writing, round);

            flushing.flushAndAwait();

            assertThat(agents.journal("a").durable()).as("round %d", round).isGreaterThanOrEqualTo(end);
            assertThat(agents.journal("b").durable()).as("round %d", round).isGreaterThanOrEqualTo(end);
        }
    }

    @Test
    void dataThatIsWrittenWithForcedUnitAccessIsDurableInEveryCopyWhenItIsAnswered() throws Exception {
        Agents.Client client = agents.client("a");

        for (int round = 0; round < 20; round++) {
            client.writeThroughAndAwait(round * 4_096L, data(round));

            long end = agents.journal("a").end();
            assertThat(agents.journal("a").durable()).as("round %d", round).isEqualTo(end);
            assertThat(agents.journal("b").durable()).as("round %d", round).isEqualTo(end);
        }
    }

    /** What nobody waits for is synced every 50 ms or so: most writes are answered long before. */
    private long answeredAndNotDurableYet(Agents.Client client, int round) throws Exception {
        while (true) {
            client.writeAndAwait(round * 4_096L, data(round));
            long end = agents.journal("a").end();
            if (agents.journal("a").durable() < end && agents.journal("b").durable() < end) {
                return end;
            }
        }
    }

    private static byte[] data(int round) {
        byte[] bytes = new byte[4_096];
        Arrays.fill(bytes, (byte) (round + 1));
        return bytes;
    }
}
