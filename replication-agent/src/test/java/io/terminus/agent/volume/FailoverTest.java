package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
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

    @Test
    void aStandbyServesByItselfWhenTheLeaseOfAKilledWriterEndsAndNotBefore() throws Exception {
        agents.failover = Failover.AUTOMATIC;
        agents.start("a", "b", "c");
        agents.client("a").writeAndAwait(0, new byte[] {1});
        Agents.awaitTrue(() -> role("b") == Role.STANDBY);
        agents.lockManager.hearNoMoreOf("c"); // b alone is to wait
        agents.lockManager.hearNoMoreOf("a");
        agents.agent("a").vanish();
        assertThat(agents.lockManager.holder()).isEqualTo("a");
        assertThat(role("b")).isEqualTo(Role.STANDBY);

        agents.lockManager.forgetHolder();
        agents.awaitServing("b");

        Agents.Client client = agents.client("b");
        assertThat(client.read(0, 1)).containsExactly(1);
        client.writeAndAwait(4_096, new byte[] {2});
        assertThat(agents.members()).containsExactly("b", "c");
    }

    // ---- the ack level local

    @Test
    void atLocalNobodyTakesOverUnlessTheOperatorGivesUpWhatOnlyTheWriterHas() throws Exception {
        agents.ackLevel = AckLevel.LOCAL;
        agents.failover = Failover.AUTOMATIC;
        agents.start("a", "b");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[] {1});
        agents.awaitAllApplied("a", "b");
        agents.hold("b");

        client.writeAndAwait(0, new byte[] {2});
        client.flushAndAwait();
        assertThat(agents.journal("a").durable())
                .isEqualTo(agents.journal("a").end())
                .isGreaterThan(agents.journal("b").end());
        agents.agent("b").wire.cut();
        agents.letGo("b");
        agents.agent("a").vanish();
        assertThat(agents.lockManager.holder()).isNull();

        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> agents.promote("b"))
                .withMessageContaining("b is not in sync")
                .withMessageContaining("only with --accept-data-loss");
        assertThat(agents.volume("b").serving()).isFalse();
        assertThat(agents.lockManager.isWaitedForBy("b")).isFalse();
        agents.volume("b").promote(false, true, Agents.LONG, s -> {});

        assertThat(agents.client("b").read(0, 1)).containsExactly(1);
        VolumeConfig block = agents.volume("b").config();
        assertThat(block.fork().term()).isEqualTo(block.term());
        assertThat(agents.members()).containsExactly("b");
    }

    /** No version leaves such a block behind. */
    @Test
    void atLocalAMemberDoesNotTakeOverEither() throws Exception {
        agents.start("a", "b");
        agents.agent("a").vanish();
        VolumeConfig block = agents.volume("b").config();
        agents.lockManager.overwrite(block.with(new VolumeConfig.Acks(AckLevel.LOCAL, 0, 1)));

        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> agents.promote("b"))
                .withMessageContaining("the ack level is local: what a acknowledged may be only there");
        assertThat(agents.volume("b").serving()).isFalse();
    }

    // ---- a hand-over

    @Test
    void aWriterThatHandsOverRefusesNewRequestsAndDoesThoseThatAreOpen() throws Exception {
        agents.start("a", "b");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[] {1});
        agents.hold("b");
        List<Long> open = new ArrayList<>(List.of(client.write(0, new byte[] {2})));

        CompletableFuture<Void> promoted = CompletableFuture.runAsync(() -> {
            try {
                agents.promote("b");
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
        Agents.awaitTrue(() -> {
            long next = client.write(4_096, new byte[] {3});
            if (!client.failed.containsKey(next)) {
                open.add(next);
            }
            return client.failed.containsKey(next);
        });
        long refused = client.write(0, new byte[] {4});
        assertThat(client.failed).containsEntry(refused, ClientReplies.Failure.SHUTDOWN);
        assertThat(client.done).doesNotContainAnyElementsOf(open);
        agents.letGo("b");
        promoted.join();

        assertThat(client.done).containsAll(open);
        assertThat(client.disconnected).isNotNull();
        assertThat(Map.copyOf(client.failed).values()).containsOnly(ClientReplies.Failure.SHUTDOWN);
        assertThat(agents.client("b").read(0, 1)).containsExactly(2);
    }

    // ---- a lock manager that went back in time

    @Test
    void aValueBlockThatWentBackElectsNobodyAndStatusSaysSo() throws Exception {
        agents.failover = Failover.AUTOMATIC;
        agents.start("a", "b");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, new byte[] {1});
        Agents.awaitTrue(() -> role("b") == Role.STANDBY);
        VolumeAuthority.Block backup = agents.lockManager.block();
        agents.volume("a").set(null, null, 2, Agents.LONG);
        Agents.awaitTrue(() -> agents.volume("b").status().configVersion() > backup.version());
        VolumeAuthority.Block newest = agents.lockManager.block();

        agents.lockManager.restore(backup);
        agents.lockManager.expireHolder();

        String went =
                "the lock manager's value block went back from version " + newest.version() + " to " + backup.version();
        String stays = went + ": no election until an operator has looked";
        Agents.awaitTrue(() -> detail("a").equals(stays) && detail("b").equals(stays));
        assertThat(agents.volume("a").serving()).isFalse();
        assertThat(agents.volume("b").serving()).isFalse();
        assertThat(agents.lockManager.holder()).isNull();
        assertThat(agents.lockManager.block()).isEqualTo(backup);
        assertThatExceptionOfType(RefusedException.class)
                .isThrownBy(() -> agents.promote("b"))
                .withMessageContaining(went);
        agents.lockManager.restore(newest);
        Agents.awaitTrue(
                () -> agents.volume("a").serving() || agents.volume("b").serving());
    }

    private String detail(String agent) {
        return agents.volume(agent).status().detail();
    }

    private Role role(String agent) {
        return agents.volume(agent).status().role();
    }
}
