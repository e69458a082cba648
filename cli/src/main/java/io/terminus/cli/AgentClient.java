package io.terminus.cli;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.proto.agent.v1.AddReplicaRequest;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.AgentInfo;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.DeleteReplicaRequest;
import io.terminus.proto.agent.v1.DeleteVolumeRequest;
import io.terminus.proto.agent.v1.DemoteRequest;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.proto.agent.v1.GetVolumeRequest;
import io.terminus.proto.agent.v1.ListVolumesRequest;
import io.terminus.proto.agent.v1.PromoteProgress;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.RecreateReplicaRequest;
import io.terminus.proto.agent.v1.RemoveReplicaRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ResizeVolumeRequest;
import io.terminus.proto.agent.v1.SetCopyLimitRequest;
import io.terminus.proto.agent.v1.SetVolumeRequest;
import io.terminus.proto.agent.v1.VerifyProgress;
import io.terminus.proto.agent.v1.VerifyRequest;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.agent.v1.WatchVolumesRequest;
import io.terminus.security.TlsFiles;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** What the command line asks of an agent. Calls throw {@link CallFailure}. */
final class AgentClient implements AutoCloseable {

    /** Beyond the agent's own time limit, so that its answer, which says what it waited for, arrives first. */
    private static final Duration PROMOTE_GRACE = Duration.ofSeconds(10);

    private final Connection connection;
    private final AgentControlGrpc.AgentControlBlockingStub stub;

    AgentClient(SetMember agent, PortPlan ports, Duration deadline) {
        this.connection = new Connection(agent, ports, deadline);
        this.stub = AgentControlGrpc.newBlockingStub(connection.channel());
    }

    /** One that is no member of a set on this machine. */
    AgentClient(String endpoint, Duration deadline, @Nullable TlsFiles keys) {
        this.connection = new Connection("the agent", endpoint, deadline, keys);
        this.stub = AgentControlGrpc.newBlockingStub(connection.channel());
    }

    Connection connection() {
        return connection;
    }

    AgentInfo info() {
        return connection.call(() -> connection.timed(stub).getAgent(GetAgentRequest.getDefaultInstance()));
    }

    List<VolumeStatus> volumes() {
        return connection.call(() -> connection
                .timed(stub)
                .listVolumes(ListVolumesRequest.getDefaultInstance())
                .getVolumesList());
    }

    /** Tells of the volumes as they change, until the agent or this connection ends. Has no deadline. */
    void watchVolumes(Consumer<List<VolumeStatus>> to) {
        connection.call(() -> {
            stub.watchVolumes(WatchVolumesRequest.getDefaultInstance())
                    .forEachRemaining(state -> to.accept(state.getVolumesList()));
            return true;
        });
    }

    /** Empty when this agent holds no replica of it. */
    Optional<VolumeStatus> volume(String name) {
        try {
            return Optional.of(connection.call(() -> connection
                    .timed(stub)
                    .getVolume(GetVolumeRequest.newBuilder().setName(name).build())));
        } catch (CallFailure e) {
            if (e.code() == Status.Code.NOT_FOUND) {
                return Optional.empty();
            }
            throw e;
        }
    }

    VolumeStatus requireVolume(String name) {
        return connection.call(() -> connection
                .timed(stub)
                .getVolume(GetVolumeRequest.newBuilder().setName(name).build()));
    }

    VolumeStatus addReplica(String name, ReplicaAddress replica) {
        return connection.call(() -> connection
                .timed(stub)
                .addReplica(AddReplicaRequest.newBuilder()
                        .setName(name)
                        .setReplica(replica)
                        .build()));
    }

    VolumeStatus removeReplica(String name, String agent) {
        return connection.call(() -> connection
                .timed(stub)
                .removeReplica(RemoveReplicaRequest.newBuilder()
                        .setName(name)
                        .setAgent(agent)
                        .build()));
    }

    /** @param bytesPerSecond 0: no limit */
    VolumeStatus setCopyLimit(String name, long bytesPerSecond) {
        return connection.call(() -> connection
                .timed(stub)
                .setCopyLimit(SetCopyLimitRequest.newBuilder()
                        .setName(name)
                        .setBytesPerSecond(bytesPerSecond)
                        .build()));
    }

    VolumeStatus recreateReplica(String name) {
        return connection.call(() -> connection
                .timed(stub)
                .recreateReplica(
                        RecreateReplicaRequest.newBuilder().setName(name).build()));
    }

    void deleteReplica(String name) {
        connection.call(() -> connection
                .timed(stub)
                .deleteReplica(DeleteReplicaRequest.newBuilder().setName(name).build()));
    }

    VolumeStatus demote(String name) {
        return connection.call(() -> connection
                .timed(stub)
                .demote(DemoteRequest.newBuilder().setName(name).build()));
    }

    /** Returns the agents that were not reached. */
    List<String> deleteVolume(String name, boolean force) {
        return connection.call(() -> connection
                .timed(stub)
                .deleteVolume(DeleteVolumeRequest.newBuilder()
                        .setName(name)
                        .setForce(force)
                        .build())
                .getUnreachedList());
    }

    VolumeStatus resize(String name, ByteSize size) {
        return connection.call(() -> connection
                .timed(stub)
                .resizeVolume(ResizeVolumeRequest.newBuilder()
                        .setName(name)
                        .setSizeBytes(size.bytes())
                        .build()));
    }

    VolumeStatus set(SetVolumeRequest request) {
        return connection.call(() -> connection.timed(stub).setVolume(request));
    }

    /** Returns how it ended for each replica; {@code say} hears how far it is. Takes as long as it takes. */
    VerifyProgress verify(VerifyRequest request, Consumer<VerifyProgress> say) {
        return connection.call(() -> {
            Iterator<VerifyProgress> progress = stub.verify(request);
            VerifyProgress last = VerifyProgress.getDefaultInstance();
            while (progress.hasNext()) {
                last = progress.next();
                say.accept(last);
            }
            return last;
        });
    }

    VolumeStatus create(CreateVolumeRequest request) {
        return connection.call(() -> connection.timed(stub).createVolume(request));
    }

    /** Returns when the volume is served by this agent; {@code say} hears what is being waited for. */
    VolumeStatus promote(PromoteRequest request, Consumer<String> say) {
        return connection.call(() -> {
            Iterator<PromoteProgress> progress = stub.withDeadlineAfter(
                            request.getTimeoutMillis() + PROMOTE_GRACE.toMillis(), TimeUnit.MILLISECONDS)
                    .promote(request);
            while (progress.hasNext()) {
                PromoteProgress step = progress.next();
                if (!step.getMessage().isBlank()) {
                    say.accept(step.getMessage());
                }
                if (step.hasServed()) {
                    return step.getServed();
                }
            }
            throw new StatusRuntimeException(
                    Status.ABORTED.withDescription("the promotion ended without saying that the volume is served"));
        });
    }

    @Override
    public void close() {
        connection.close();
    }
}
