package io.terminus.lockmgr.app;

import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.DemoteRequest;
import io.terminus.proto.agent.v1.ListVolumesRequest;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import io.terminus.proto.agent.v1.Member;
import io.terminus.proto.agent.v1.PromoteProgress;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VerifyProgress;
import io.terminus.proto.agent.v1.VerifyRequest;
import io.terminus.proto.agent.v1.VolumeConfig;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Serves one volume whose only replica it has, and keeps what it was asked to do. Refuses to be promoted without force. */
final class FakeAgent extends AgentControlGrpc.AgentControlImplBase implements AutoCloseable {

    final List<String> asked = new CopyOnWriteArrayList<>();
    private final String volume;
    private final Server server;

    FakeAgent(String volume) throws IOException {
        this.volume = volume;
        this.server = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
                .addService(this)
                .build()
                .start();
    }

    /** What an agent would put into the value block. */
    VolumeConfig config() {
        return VolumeConfig.newBuilder()
                .setFormat(1)
                .setName(volume)
                .setUuid("uuid-of-" + volume)
                .setSizeBytes(1 << 20)
                .setWriter("a")
                .setMinCopies(1)
                .addInSync(Member.newBuilder().setAgent("a"))
                .addReplicas(ReplicaAddress.newBuilder().setAgent("a").setControl("127.0.0.1:" + server.getPort()))
                .build();
    }

    @Override
    public void listVolumes(ListVolumesRequest request, StreamObserver<ListVolumesResponse> answer) {
        answer.onNext(ListVolumesResponse.newBuilder().addVolumes(status()).build());
        answer.onCompleted();
    }

    private VolumeStatus status() {
        return VolumeStatus.newBuilder()
                .setName(volume)
                .setUuid("uuid-of-" + volume)
                .setWriter("a")
                .setRole(Role.WRITER)
                .setNbdUri("nbd://fake/" + volume)
                .addReplicas(ReplicaStatus.newBuilder().setAgent("a").setInSync(true))
                .build();
    }

    @Override
    public void promote(PromoteRequest request, StreamObserver<PromoteProgress> answer) {
        asked.add("promote " + request.getName() + (request.getForce() ? " by force" : ""));
        if (!request.getForce()) {
            answer.onError(
                    Status.FAILED_PRECONDITION.withDescription("not in sync").asRuntimeException());
            return;
        }
        answer.onNext(PromoteProgress.newBuilder().setMessage("sealing").build());
        answer.onNext(PromoteProgress.newBuilder().setMessage("served by a").build());
        answer.onCompleted();
    }

    @Override
    public void demote(DemoteRequest request, StreamObserver<VolumeStatus> answer) {
        asked.add("demote " + request.getName());
        answer.onNext(status());
        answer.onCompleted();
    }

    /** Goes on until it is cancelled. */
    @Override
    public void verify(VerifyRequest request, StreamObserver<VerifyProgress> answer) {
        asked.add("verify " + request.getName() + (request.getRepair() ? " and repair" : ""));
        ((ServerCallStreamObserver<VerifyProgress>) answer).setOnCancelHandler(() -> asked.add("stop verifying"));
        answer.onNext(VerifyProgress.getDefaultInstance());
    }

    @Override
    public void close() {
        server.shutdownNow();
    }
}
