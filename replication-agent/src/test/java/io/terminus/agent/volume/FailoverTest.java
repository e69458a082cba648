package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A peer that is silent may be slow, and is waited for; where nobody listens there is nobody to wait for. A replica that has failed
 * neither writes nor waits to write.
 */
class FailoverTest {

    /** No story here may need it to pass. */
    private static final Duration PEER_TIMEOUT = Duration.ofHours(1);

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void none() {
        agents = new Agents(temp, 4 << 20, 64L << 20, PEER_TIMEOUT);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void theNextWriterServesWithoutWaitingForAWriterWhoseProcessIsGone() throws Exception {
        agents.start("a", "b", "c");
        agents.client("a").writeAndAwait(0, new byte[4_096]);
        agents.agent("a").vanish();

        agents.promote("b");
        agents.client("b").writeAndAwait(4_096, new byte[4_096]);

        assertThat(agents.members()).containsExactly("b", "c");
    }

    @Test
    void writesGoOnWithoutAPeerWhoseProcessIsGone() throws Exception {
        agents.start("a", "b");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[4_096]);

        agents.agent("b").vanish();
        client.writeAndAwait(4_096, new byte[4_096]);

        assertThat(agents.members()).containsExactly("a");
    }

    @Test
    void aPeerThatIsOnlySilentStaysAMember() throws Exception {
        agents.start("a", "b");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[4_096]);

        agents.agent("b").cutOff(); // connections are taken, and closed
        long unanswered = client.write(4_096, new byte[4_096]);
        agents.agent("b").bringBack();
        client.awaitDone(unanswered);

        assertThat(agents.members()).containsExactly("a", "b");
    }

    @Test
    void aStandbyWhoseReplicaFailsStandsByNoMoreAndStaysFailed() throws Exception {
        agents.failover = Failover.AUTOMATIC;
        agents.start("a", "b");
        Agents.awaitTrue(() -> role("b") == Role.STANDBY);

        agents.replica("b").fail("Input/output error");
        Agents.awaitTrue(() -> !agents.lockManager.isWaitedForBy("b"));
        agents.lockManager.expireHolder();
        agents.awaitServing("a");
        agents.client("a").writeAndAwait(0, new byte[4_096]);

        assertThat(role("b")).isEqualTo(Role.FAILED);
        assertThat(agents.volume("b").status().detail()).isEqualTo("Input/output error");
        assertThat(agents.members()).containsExactly("a");
    }

    @Test
    void aWriterWhoseReplicaFailsGivesUpTheLockAndIsNoMemberOfTheNextOnesSet() throws Exception {
        agents.failover = Failover.AUTOMATIC;
        agents.start("a", "b");
        agents.client("a").writeAndAwait(0, new byte[4_096]);
        Agents.awaitTrue(() -> role("b") == Role.STANDBY);

        agents.replica("a").fail("Input/output error");
        agents.awaitServing("b");
        agents.client("b").writeAndAwait(4_096, new byte[4_096]);

        assertThat(agents.lockManager.holder()).isEqualTo("b");
        assertThat(agents.members()).containsExactly("b");
        assertThat(role("a")).isEqualTo(Role.FAILED);
    }

    @Test
    void writesThatWaitForMinCopiesAreSaidToWait() throws Exception {
        agents.start("a", "b");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[4_096]);
        agents.awaitInSync("a", "b");
        agents.volume("a").set(null, null, 2, Agents.LONG);
        assertThat(agents.volume("a").status().writesWait()).isFalse();

        agents.agent("b").cutOff();
        long waiting = client.write(4_096, new byte[4_096]);

        Agents.awaitTrue(() -> agents.volume("a").status().writesWait());
        assertThat(agents.volume("a").status().detail()).startsWith("writes wait for b");
        agents.agent("b").bringBack();
        client.awaitDone(waiting);
        Agents.awaitTrue(() -> !agents.volume("a").status().writesWait());
    }

    @Test
    void aReplicaThatHasFailedIsNotPromoted() throws Exception {
        agents.start("a", "b");

        agents.replica("b").fail("Input/output error");

        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> agents.promote("b"))
                .withMessageContaining("has failed: Input/output error");
        assertThat(agents.volume("a").serving()).isTrue();
    }

    private Role role(String agent) {
        return agents.volume(agent).status().role();
    }
}
