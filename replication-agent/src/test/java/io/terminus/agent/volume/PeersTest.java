package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Each peer has a cursor of its own: one that takes nothing stops neither the others nor, with copies enough, the clients. */
class PeersTest {

    private static final int VOLUME_BYTES = 4 << 20;

    @TempDir
    private Path temp;

    @Test
    void withTwoOfThreeCopiesAPeerThatTakesNothingStopsNobodyAndGetsEveryByteLater() throws Exception {
        Random random = new Random(1);
        byte[] expected = new byte[VOLUME_BYTES];
        try (Agents agents = threeAgents()) {
            Agents.Client client = agents.client("a");
            client.writeAndAwait(0, new byte[] {1});
            agents.awaitAllApplied("a", "b", "c");
            long cBefore = agents.journal("c").end();
            agents.hold("c");

            for (int i = 0; i < 64; i++) { // 8 MiB: more than the sockets on the way to c hold, and than its window
                byte[] bytes = new byte[128 << 10];
                random.nextBytes(bytes);
                int offset = i * bytes.length % VOLUME_BYTES;
                System.arraycopy(bytes, 0, expected, offset, bytes.length);
                client.writeAndAwait(offset, bytes);
                assertThat(received(agents, "b"))
                        .as("what one copy besides the writer's is answered for")
                        .isEqualTo(agents.journal("a").end());
            }
            assertThat(received(agents, "c")).isEqualTo(cBefore);
            assertThat(agents.members()).containsExactly("a", "b", "c");

            agents.letGo("c");
            client.flushAndAwait();
            agents.awaitAllApplied("a", "b", "c");
            for (String agent : agents.members()) {
                assertThat(agents.agent(agent).image()).as(agent).isEqualTo(expected);
            }
        }
    }

    private Agents threeAgents() throws Exception {
        Agents agents = new Agents(temp, VOLUME_BYTES, 64L << 20, Duration.ofHours(1));
        agents.copies = 2;
        agents.start("a", "b", "c");
        return agents;
    }

    /** As the writer was told. */
    private static long received(Agents agents, String peer) {
        return agents.volume("a").status().replicas().stream()
                .filter(r -> r.agent().equals(peer))
                .findFirst()
                .orElseThrow()
                .received();
    }
}
