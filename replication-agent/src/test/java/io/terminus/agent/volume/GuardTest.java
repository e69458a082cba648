package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The guard is asked last: what it does not vouch for any more is not answered, reads neither. */
class GuardTest {

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
    void aReadThatNoLeaseVouchesForIsNotAnsweredAndNorIsAWrite() throws Exception {
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[] {1});
        assertThat(client.read(0, 1)).containsExactly(1);

        agents.doubtHolder();

        assertThatThrownBy(() -> client.read(0, 1))
                .isInstanceOf(VolumeClient.LostGrantException.class)
                .hasMessage("the volume's lock is not known to be held any more");
        long late = client.write(0, new byte[] {2});
        Agents.awaitTrue(() -> client.disconnected != null);
        assertThat(client.done).doesNotContain(late);
    }
}
