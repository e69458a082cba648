package io.terminus.agent.admin;

import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.PeerControlService;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.Agents;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.Volume;
import io.terminus.proto.agent.v1.CreateReplicaRequest;
import io.terminus.proto.agent.v1.CreateReplicaResponse;
import io.terminus.proto.agent.v1.PeerControlGrpc;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code peer add} of an agent that the value block names already, and that came back with nothing, or with what it cannot read. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class AddedReplicaTest {

    @TempDir
    private Path temp;

    private Agents agents;
    private Server control;
    private GrpcPeerNetwork network;
    private VolumeCreation creation;

    @BeforeEach
    void twoReplicasWithOnes() throws Exception {
        agents = new Agents(temp, 4 << 20, 4L << 20);
        control = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
                .addService(new PeerControlGrpc.PeerControlImplBase() {
                    @Override
                    public void createReplica(CreateReplicaRequest r, StreamObserver<CreateReplicaResponse> answer) {
                        new PeerControlService(agents.volumes("b")).createReplica(r, answer); // of its newest start
                    }
                })
                .build()
                .start();
        agents.controls.put("b", "127.0.0.1:" + control.getPort());
        agents.start("a", "b");
        byte[] ones = new byte[4_096];
        Arrays.fill(ones, (byte) 1);
        agents.client("a").writeAndAwait(0, ones);
        agents.awaitAllApplied("a", "b");
        network = new GrpcPeerNetwork("a", agents.links);
        creation = new VolumeCreation(agents.volumes("a"), network, agents.address("a"));
    }

    @AfterEach
    void stopAll() throws Exception {
        network.close();
        agents.close();
        control.shutdownNow().awaitTermination();
    }

    @Test
    void whoLostItsDiskGetsAnEmptyReplicaThatIsCopiedTo() throws Exception {
        agents.restart("b", AddedReplicaTest::wipe);
        agents.awaitInSync("a");
        awaitTrue(() -> detailOfB().contains("agent b has no replica of volume v"));

        creation.addReplica(agents.volume("a"), agents.address("b"));

        agents.awaitInSync("a", "b");
        agents.awaitAllApplied("a", "b");
        assertThat(firstBlockOfB()).containsOnly(1);
    }

    @Test
    void whatCannotBeReadIsToldAndThrownAwayOnlyByWhoAsksForThat() throws Exception {
        agents.restart("b", replica -> Files.writeString(replica.resolve("superblock"), "not one"));
        agents.awaitInSync("a");
        awaitTrue(
                () -> detailOfB().contains("that it cannot open") && detailOfB().contains("is not a superblock"));

        assertThatThrownBy(() -> creation.addReplica(agents.volume("a"), agents.address("b")))
                .hasMessageContaining("does not replace unasked")
                .hasMessageContaining("resync v --agent b --anew");

        Path image = agents.replicaFiles("b").resolve("image.raw");
        assertThat(Arrays.copyOf(Files.readAllBytes(image), 4_096)).containsOnly(1);
        assertThat(agents.volumes("b").absent("v")).hasMessageContaining("is not a superblock");
        agents.volumes("b").recreate("v");
        agents.awaitInSync("a", "b");
        agents.awaitAllApplied("a", "b");
        assertThat(firstBlockOfB()).containsOnly(1);
    }

    @Test
    void whatCannotBeReadAndIsTakenAwayByHandIsNotInTheWay() throws Exception {
        agents.restart("b", replica -> Files.writeString(replica.resolve("superblock"), "not one"));
        agents.awaitInSync("a");
        wipe(agents.replicaFiles("b"));

        creation.addReplica(agents.volume("a"), agents.address("b"));

        agents.awaitInSync("a", "b");
    }

    @Test
    void aVolumeThatExistsWithAnotherFailoverIsNotTheOneAskedFor() {
        assertThatThrownBy(() -> creation.create(new VolumeCreation.Request(
                        "v", 4 << 20, AckLevel.RECEIVED, 0, 1, Failover.AUTOMATIC, List.of(), 1 << 20)))
                .hasMessageContaining("failover MANUAL, not 4194304, RECEIVED and AUTOMATIC");
    }

    private String detailOfB() {
        return agents.volume("a").status().replicas().stream()
                .filter(r -> r.agent().equals("b"))
                .map(Volume.ReplicaStatus::detail)
                .findFirst()
                .orElse("");
    }

    private byte[] firstBlockOfB() throws Exception {
        return Arrays.copyOf(Files.readAllBytes(agents.volume("b").imagePath()), 4_096);
    }

    private static void wipe(Path replica) throws Exception {
        try (var files = Files.walk(replica)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
