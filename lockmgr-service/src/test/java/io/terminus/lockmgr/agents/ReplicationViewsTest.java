package io.terminus.lockmgr.agents;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.agents.Replication.Health;
import io.terminus.lockmgr.agents.Replication.Replica;
import io.terminus.proto.agent.v1.CopyStatus;
import io.terminus.proto.agent.v1.Member;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.Standing;
import io.terminus.proto.agent.v1.VolumeConfig;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ReplicationViewsTest {

    private static final String UUID = "7d4c";

    private final VolumeConfig config = VolumeConfig.newBuilder()
            .setFormat(1)
            .setName("demo")
            .setUuid(UUID)
            .setSizeBytes(1 << 20)
            .setTerm(4)
            .setWriter("a")
            .setMinCopies(1)
            .addReplicas(address("a"))
            .addReplicas(address("b"))
            .addInSync(Member.newBuilder().setAgent("a"))
            .addInSync(Member.newBuilder().setAgent("b"))
            .build();

    private final Map<String, Answer> answers = new HashMap<>();

    @Test
    void valueBlocksOfOthersAreNoVolumes() {
        assertThat(ReplicationViews.config("demo", config.toByteArray())).contains(config);

        assertThat(ReplicationViews.config("demo", new byte[0])).isEmpty();
        assertThat(ReplicationViews.config("demo", "leader=7".getBytes(UTF_8))).isEmpty();
        assertThat(ReplicationViews.config("other", config.toByteArray())).isEmpty();
        assertThat(ReplicationViews.config(
                        "demo", config.toBuilder().setFormat(3).build().toByteArray()))
                .isEmpty();
        assertThat(ReplicationViews.config(
                        "demo",
                        config.toBuilder()
                                .setReplicas(0, ReplicaAddress.newBuilder().setControl("host:1/../x"))
                                .build()
                                .toByteArray()))
                .isEmpty();
    }

    @Test
    void aVolumeThatIsServedWithAllReplicasInSyncIsWell() {
        says("a", Role.WRITER, seen("a", true, 0), seen("b", true, 512));
        says("b", Role.REPLICA, seen("b", true, 0));

        Replication view = view();

        assertThat(view.health()).isEqualTo(Health.WELL);
        assertThat(view.why()).isEmpty();
        assertThat(view.nbdUri()).isEqualTo("nbd://a/demo");
        assertThat(view.replicas()).extracting(Replica::role).containsExactly("WRITER", "REPLICA");
        assertThat(view.replicas()).extracting(Replica::lagBytes).containsExactly(0L, 512L);
    }

    @Test
    void theWritersWordCountsAgainstThatOfTheValueBlock() {
        says("a", Role.WRITER, seen("a", true, 0), seen("b", false, 4096));
        silent("b");

        Replication view = view();

        assertThat(view.health()).isEqualTo(Health.DEGRADED);
        assertThat(view.why()).isEqualTo("b is not in sync and does not answer");
        assertThat(view.replicas().getLast().detail()).isEqualTo("not reached at b:1");
    }

    @Test
    void aReplicaThatIsCopiedToTellsHowFarItIs() {
        says(
                "a",
                Role.WRITER,
                seen("a", true, 0),
                seen("b", false, 0).toBuilder()
                        .setCopy(CopyStatus.newBuilder()
                                .setPhase(CopyStatus.Phase.COPYING)
                                .setTotalBytes(1000)
                                .setLeftBytes(400)
                                .setRemainingSeconds(9))
                        .build());
        says("b", Role.REPLICA);

        Replication view = view();

        assertThat(view.why()).isEqualTo("b is being copied to");
        assertThat(view.replicas().getLast().copy())
                .isEqualTo(new Replication.Progress("COPYING", 600, 1000, 0, 9, 0, ""));
    }

    @Test
    void ofTwoThatSayTheyWriteTheNewerTermCounts() {
        says("a", Role.WRITER, seen("a", true, 0), seen("b", false, 0));
        answers.put(
                "b:1",
                answer(status("b", Role.WRITER, 5, seen("a", true, 0), seen("b", true, 0))
                        .build()));

        Replication view = view();

        assertThat(view.nbdUri()).isEqualTo("nbd://b/demo");
        assertThat(view.health()).isEqualTo(Health.WELL);
    }

    @Test
    void servedByNobodyIsDownAndHeardOfByNobodyIsUnknown() {
        silent("a");
        says("b", Role.STANDBY, seen("b", true, 0));
        Replication down = view();
        silent("b");
        Replication unknown = view();

        assertThat(down.health()).isEqualTo(Health.DOWN);
        assertThat(down.why()).contains("a: not reached at a:1", "b: b is STANDBY");
        assertThat(unknown.health()).isEqualTo(Health.UNKNOWN);
        assertThat(unknown.replicas()).extracting(Replica::inSync).containsExactly(true, true);
    }

    @Test
    void aDemotedVolumeIsOutOfUseAndTooFewCopiesAreSaid() {
        says("a", Role.WRITER, seen("a", true, 0), seen("b", false, 0));
        says("b", Role.REPLICA);

        Replication demoted = ReplicationViews.view(
                config.toBuilder().setStanding(Standing.DEMOTED).build(), this::answer);
        Replication few =
                ReplicationViews.view(config.toBuilder().setMinCopies(2).build(), this::answer);

        assertThat(demoted.health()).isEqualTo(Health.OUT_OF_USE);
        assertThat(few.why()).startsWith("writes wait: 1 in sync, at least 2 are asked for");
    }

    private Replication view() {
        return ReplicationViews.view(config, this::answer);
    }

    private Answer answer(String control) {
        return answers.getOrDefault(control, Answer.NONE_YET);
    }

    private void says(String agent, Role role, ReplicaStatus... replicas) {
        answers.put(agent + ":1", answer(status(agent, role, 4, replicas).build()));
    }

    private void silent(String agent) {
        answers.put(agent + ":1", new Answer("not reached at " + agent + ":1", Map.of(), 1));
    }

    private static Answer answer(VolumeStatus status) {
        return new Answer(null, Map.of(UUID, status), 1);
    }

    private static VolumeStatus.Builder status(String agent, Role role, long term, ReplicaStatus... replicas) {
        VolumeStatus.Builder status = VolumeStatus.newBuilder()
                .setUuid(UUID)
                .setTerm(term)
                .setRole(role)
                .setDetail(agent + " is " + role)
                .setNbdUri(role == Role.WRITER ? "nbd://" + agent + "/demo" : "");
        for (ReplicaStatus replica : replicas) {
            status.addReplicas(replica);
        }
        return status;
    }

    private static ReplicaStatus seen(String agent, boolean inSync, long lagBytes) {
        return ReplicaStatus.newBuilder()
                .setAgent(agent)
                .setInSync(inSync)
                .setConnected(inSync)
                .setLagBytes(lagBytes)
                .build();
    }

    private static ReplicaAddress address(String agent) {
        return ReplicaAddress.newBuilder()
                .setAgent(agent)
                .setControl(agent + ":1")
                .build();
    }
}
