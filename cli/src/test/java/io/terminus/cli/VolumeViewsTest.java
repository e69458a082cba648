package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.CopyStatus;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class VolumeViewsTest {

    private static final ReplicaStatus A = ReplicaStatus.newBuilder()
            .setAgent("a")
            .setImage("/d/a/demo.img")
            .setInSync(true)
            .setReceived(300)
            .build();
    private static final ReplicaStatus B_AS_THE_WRITER_KNOWS = ReplicaStatus.newBuilder()
            .setAgent("b")
            .setReceived(200)
            .setLagBytes(100)
            .build();
    private static final CopyStatus COPY = CopyStatus.newBuilder()
            .setPhase(CopyStatus.Phase.COPYING)
            .setTotalBytes(8192)
            .setLeftBytes(4096)
            .setRemainingSeconds(-1)
            .build();
    private static final ReplicaStatus B_AS_ITSELF_KNOWS = ReplicaStatus.newBuilder()
            .setAgent("b")
            .setImage("/d/b/demo.img")
            .setReceived(190)
            .build();

    private static VolumeStatus.Builder volume(Role role, long term) {
        return VolumeStatus.newBuilder()
                .setName("demo")
                .setSizeBytes(4096)
                .setAckLevel(AckLevel.DURABLE)
                .setWriter("a")
                .setRole(role)
                .setTerm(term);
    }

    @Test
    void theWritersViewWinsAndThePeerNamesItsImage() {
        VolumeStatus writer = volume(Role.WRITER, 3)
                .setNbdUri("nbd://x")
                .addReplicas(A)
                .addReplicas(B_AS_THE_WRITER_KNOWS)
                .build();
        VolumeStatus replica =
                volume(Role.REPLICA, 3).addReplicas(B_AS_ITSELF_KNOWS).build();

        List<StatusReport.Volume> merged =
                VolumeViews.merge(Map.of("a", List.of(writer), "b", List.of(replica)), Optional.empty());

        assertThat(merged).hasSize(1);
        StatusReport.Volume volume = merged.getFirst();
        assertThat(volume.nbd()).isEqualTo("nbd://x");
        assertThat(volume.ackLevel()).isEqualTo("durable");
        assertThat(volume.replicas()).extracting(StatusReport.Replica::received).containsExactly(300L, 200L);
        assertThat(volume.replicas())
                .extracting(StatusReport.Replica::image)
                .containsExactly("/d/a/demo.img", "/d/b/demo.img");
    }

    @Test
    void aReplicaThatWasTakenAwayIsNoneThoughItsFilesAreStillThere() {
        VolumeStatus writer = volume(Role.WRITER, 3).addReplicas(A).build();
        VolumeStatus files =
                volume(Role.REPLICA, 3).addReplicas(B_AS_ITSELF_KNOWS).build();

        StatusReport.Volume volume = VolumeViews.merge(
                        Map.of("a", List.of(writer), "b", List.of(files)), Optional.empty())
                .getFirst();

        assertThat(volume.replicas()).extracting(StatusReport.Replica::agent).containsExactly("a");
    }

    @Test
    void withoutTheWriterTheReplicaSpeaksForItself() {
        VolumeStatus replica =
                volume(Role.REPLICA, 3).addReplicas(B_AS_ITSELF_KNOWS).build();

        StatusReport.Volume volume = VolumeViews.merge(Map.of("b", List.of(replica)), Optional.empty())
                .getFirst();

        assertThat(volume.writer()).isEqualTo("a");
        assertThat(volume.nbd()).isNull();
        assertThat(volume.replicas()).extracting(StatusReport.Replica::received).containsExactly(190L);
    }

    @Test
    void theCopyIsWhatTheWriterSaysOfIt() {
        VolumeStatus writer = volume(Role.WRITER, 3)
                .addReplicas(A)
                .addReplicas(B_AS_THE_WRITER_KNOWS.toBuilder().setCopy(COPY))
                .build();
        VolumeStatus replica =
                volume(Role.REPLICA, 3).addReplicas(B_AS_ITSELF_KNOWS).build();

        List<StatusReport.Replica> replicas = VolumeViews.merge(
                        Map.of("a", List.of(writer), "b", List.of(replica)), Optional.empty())
                .getFirst()
                .replicas();

        assertThat(replicas)
                .extracting(StatusReport.Replica::copy)
                .containsExactly(null, new StatusReport.Copy("copying", 8192, 4096, 0, null));
    }

    @Test
    void ofTwoWhoCallThemselvesWriterTheNewerTermWins() {
        VolumeStatus old =
                volume(Role.WRITER, 3).setNbdUri("nbd://old").addReplicas(A).build();
        VolumeStatus present = volume(Role.WRITER, 4)
                .setWriter("b")
                .setNbdUri("nbd://new")
                .addReplicas(ReplicaStatus.newBuilder().setAgent("a"))
                .addReplicas(B_AS_ITSELF_KNOWS)
                .build();

        StatusReport.Volume volume = VolumeViews.merge(
                        Map.of("a", List.of(old), "b", List.of(present)), Optional.empty())
                .getFirst();

        assertThat(volume.writer()).isEqualTo("b");
        assertThat(volume.nbd()).isEqualTo("nbd://new");
        assertThat(volume.replicas()).extracting(StatusReport.Replica::agent).containsExactly("a", "b");
    }

    @Test
    void locksAreUnknownOnlyWhenTheLockManagerIsSilent() {
        Map<String, List<VolumeStatus>> views =
                Map.of("a", List.of(volume(Role.WRITER, 3).build()));
        VolumeInfo held =
                VolumeInfo.newBuilder().setName("demo").setHeld(2).setWaiting(1).build();

        StatusReport.Volume known =
                VolumeViews.merge(views, Optional.of(List.of(held))).getFirst();
        StatusReport.Volume none =
                VolumeViews.merge(views, Optional.of(List.of())).getFirst();
        StatusReport.Volume unknown = VolumeViews.merge(views, Optional.empty()).getFirst();

        assertThat(known.locksHeld()).isEqualTo(2);
        assertThat(known.locksWaiting()).isEqualTo(1);
        assertThat(none.locksHeld()).isZero();
        assertThat(unknown.locksHeld()).isNull();
    }
}
