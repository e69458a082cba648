package io.terminus.agent.admin;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.CopyProgress;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.VerifyProgress;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.AddReplicaRequest;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.AgentInfo;
import io.terminus.proto.agent.v1.CopyStatus;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.DeleteReplicaRequest;
import io.terminus.proto.agent.v1.DeleteReplicaResponse;
import io.terminus.proto.agent.v1.DeleteVolumeRequest;
import io.terminus.proto.agent.v1.DeleteVolumeResponse;
import io.terminus.proto.agent.v1.DemoteRequest;
import io.terminus.proto.agent.v1.DifferingRange;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.proto.agent.v1.GetVolumeRequest;
import io.terminus.proto.agent.v1.ListVolumesRequest;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import io.terminus.proto.agent.v1.PromoteProgress;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.RecreateReplicaRequest;
import io.terminus.proto.agent.v1.RemoveReplicaRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.ResizeVolumeRequest;
import io.terminus.proto.agent.v1.SetCopyLimitRequest;
import io.terminus.proto.agent.v1.SetVolumeRequest;
import io.terminus.proto.agent.v1.VerifyRequest;
import io.terminus.proto.agent.v1.VerifyStatus;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.agent.v1.WatchVolumesRequest;
import java.io.IOException;
import java.time.Duration;
import java.util.List;

/** The control service of an agent, for the command line and for people with a generic client. */
public final class AgentControlService extends AgentControlGrpc.AgentControlImplBase {

    private static final Duration DEFAULT_PROMOTE_TIMEOUT = Duration.ofSeconds(60);
    private static final Duration CHANGE_TIMEOUT = Duration.ofSeconds(20);
    private static final Duration MAX_PROMOTE_TIMEOUT = Duration.ofHours(1);
    private static final Duration VERIFY_PROGRESS = Duration.ofMillis(250);

    private final Volumes volumes;
    private final Endpoints endpoints;
    private final VolumeCreation creation;
    private final VolumeDeletion deletion;

    public AgentControlService(Volumes volumes, GrpcPeerNetwork network, Endpoints endpoints) {
        this.volumes = volumes;
        this.endpoints = endpoints;
        this.creation = new VolumeCreation(
                volumes, network, new Address(volumes.agent(), endpoints.peer(), endpoints.control()));
        this.deletion = new VolumeDeletion(volumes, network);
    }

    @Override
    public void getAgent(GetAgentRequest request, StreamObserver<AgentInfo> answer) {
        String version = AgentControlService.class.getPackage().getImplementationVersion();
        answer.onNext(AgentInfo.newBuilder()
                .setAgent(volumes.agent())
                .setVersion(version == null ? "development" : version)
                .setNbdEndpoint(endpoints.nbd())
                .setPeerEndpoint(endpoints.peer())
                .setLockManager(endpoints.lockManager())
                .setLockManagerReachable(endpoints.lockManagerReachable().getAsBoolean())
                .build());
        answer.onCompleted();
    }

    @Override
    public void createVolume(CreateVolumeRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> create(r));
    }

    VolumeStatus create(CreateVolumeRequest r) throws RefusedException, IOException, InterruptedException {
        List<Address> peers =
                r.getPeersList().stream().map(AgentControlService::address).toList();
        return status(creation.create(new VolumeCreation.Request(
                r.getName(),
                r.getSizeBytes(),
                switch (r.getAckLevel()) {
                    case LOCAL -> AckLevel.LOCAL;
                    case RECEIVED, ACK_LEVEL_UNSPECIFIED -> AckLevel.RECEIVED;
                    case DURABLE -> AckLevel.DURABLE;
                    case UNRECOGNIZED ->
                        throw new IllegalArgumentException("unknown ack level " + r.getAckLevelValue());
                },
                r.getCopies(),
                r.getMinCopies() == 0 ? 1 : r.getMinCopies(),
                switch (r.getFailover()) {
                    case MANUAL, FAILOVER_UNSPECIFIED -> Failover.MANUAL;
                    case AUTOMATIC -> Failover.AUTOMATIC;
                    case UNRECOGNIZED ->
                        throw new IllegalArgumentException("unknown failover mode " + r.getFailoverValue());
                },
                peers,
                r.getSegmentBytes())));
    }

    @Override
    public void listVolumes(ListVolumesRequest request, StreamObserver<ListVolumesResponse> answer) {
        call(answer, this::list);
    }

    @Override
    public void watchVolumes(WatchVolumesRequest request, StreamObserver<ListVolumesResponse> answer) {
        VolumesWatch.begin((ServerCallStreamObserver<ListVolumesResponse>) answer, this::list, volumes::closed);
    }

    private ListVolumesResponse list() {
        return ListVolumesResponse.newBuilder()
                .addAllVolumes(volumes.all().stream().map(this::status).toList())
                .build();
    }

    @Override
    public void getVolume(GetVolumeRequest request, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> status(find(request.getName())));
    }

    @Override
    public void promote(PromoteRequest request, StreamObserver<PromoteProgress> answer) {
        call(answer, () -> {
            Volume volume = find(request.getName());
            Duration timeout = request.getTimeoutMillis() == 0
                    ? DEFAULT_PROMOTE_TIMEOUT
                    : Duration.ofMillis(request.getTimeoutMillis());
            if (timeout.isNegative() || timeout.compareTo(MAX_PROMOTE_TIMEOUT) > 0) {
                throw new IllegalArgumentException("timeout_millis " + request.getTimeoutMillis()
                        + " is not within 0 and " + MAX_PROMOTE_TIMEOUT.toMillis());
            }
            volume.promote(request.getForce(), request.getAcceptDataLoss(), timeout, what -> {
                synchronized (answer) {
                    answer.onNext(PromoteProgress.newBuilder().setMessage(what).build());
                }
            });
            return PromoteProgress.newBuilder()
                    .setMessage("served by " + volumes.agent())
                    .setServed(status(volume))
                    .build();
        });
    }

    @Override
    public void addReplica(AddReplicaRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> addReplica(r.getName(), r.getReplica()));
    }

    VolumeStatus addReplica(String name, ReplicaAddress replica)
            throws RefusedException, IOException, InterruptedException {
        Volume volume = find(name);
        if (replica.getAgent().isEmpty()) {
            throw new IllegalArgumentException("replica.agent is empty: whose replica is to be added?");
        }
        creation.addReplica(volume, address(replica));
        return status(volume);
    }

    /** Others are told of these addresses, so what cannot be one goes no further. */
    private static Address address(ReplicaAddress a) {
        requireHostAndPort(a.getAgent(), "peer", a.getPeer());
        requireHostAndPort(a.getAgent(), "control", a.getControl());
        return new Address(a.getAgent(), a.getPeer(), a.getControl());
    }

    private static void requireHostAndPort(String agent, String which, String address) {
        if (!address.matches(".+:[0-9]{1,5}")) {
            throw new IllegalArgumentException(
                    "the " + which + " address of agent " + agent + " is \"" + address + "\", and has to be host:port");
        }
    }

    @Override
    public void removeReplica(RemoveReplicaRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> {
            Volume volume = find(r.getName());
            volume.removeReplica(r.getAgent(), CHANGE_TIMEOUT);
            return status(volume);
        });
    }

    @Override
    public void setCopyLimit(SetCopyLimitRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> {
            Volume volume = find(r.getName());
            volume.copyLimit(r.getBytesPerSecond());
            return status(volume);
        });
    }

    @Override
    public void recreateReplica(RecreateReplicaRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> status(volumes.recreate(r.getName())));
    }

    @Override
    public void deleteReplica(DeleteReplicaRequest r, StreamObserver<DeleteReplicaResponse> answer) {
        call(answer, () -> {
            volumes.delete(r.getName());
            return DeleteReplicaResponse.getDefaultInstance();
        });
    }

    @Override
    public void demote(DemoteRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> {
            Volume volume = find(r.getName());
            volume.demote();
            return status(volume);
        });
    }

    @Override
    public void deleteVolume(DeleteVolumeRequest r, StreamObserver<DeleteVolumeResponse> answer) {
        call(
                answer,
                () -> DeleteVolumeResponse.newBuilder()
                        .addAllUnreached(delete(find(r.getName()), r.getForce()))
                        .build());
    }

    @Override
    public void resizeVolume(ResizeVolumeRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> {
            Volume volume = find(r.getName());
            volume.resize(r.getSizeBytes(), CHANGE_TIMEOUT);
            return status(volume);
        });
    }

    @Override
    public void setVolume(SetVolumeRequest r, StreamObserver<VolumeStatus> answer) {
        call(answer, () -> {
            Volume volume = find(r.getName());
            volume.set(
                    switch (r.getAckLevel()) {
                        case ACK_LEVEL_UNSPECIFIED -> null;
                        case LOCAL -> AckLevel.LOCAL;
                        case RECEIVED -> AckLevel.RECEIVED;
                        case DURABLE -> AckLevel.DURABLE;
                        case UNRECOGNIZED ->
                            throw new IllegalArgumentException("unknown ack level " + r.getAckLevelValue());
                    },
                    r.hasCopies() ? r.getCopies() : null,
                    r.hasMinCopies() ? r.getMinCopies() : null,
                    CHANGE_TIMEOUT);
            return status(volume);
        });
    }

    @Override
    public void verify(VerifyRequest r, StreamObserver<io.terminus.proto.agent.v1.VerifyProgress> answer) {
        ServerCallStreamObserver<io.terminus.proto.agent.v1.VerifyProgress> call =
                (ServerCallStreamObserver<io.terminus.proto.agent.v1.VerifyProgress>) answer;
        call.setOnCancelHandler(() -> {});
        call(answer, () -> {
            Volume volume = find(r.getName());
            volume.verify(r.getAgent(), r.getRepair());
            while (true) {
                List<Volume.ReplicaStatus> compared = compared(volume, r.getAgent());
                io.terminus.proto.agent.v1.VerifyProgress now = progress(compared);
                if (compared.stream()
                        .allMatch(c -> c.verify() == null || c.verify().over())) {
                    return now;
                }
                if (call.isCancelled()) {
                    volume.stopVerifying();
                    return now;
                }
                if (call.isReady()) { // who does not read misses some of the way
                    synchronized (answer) {
                        answer.onNext(now);
                    }
                }
                Thread.sleep(VERIFY_PROGRESS);
            }
        });
    }

    private static List<Volume.ReplicaStatus> compared(Volume volume, String agent) throws RefusedException {
        List<Volume.ReplicaStatus> compared = volume.status().replicas().stream()
                .filter(c -> c.verify() != null && (agent.isEmpty() || c.agent().equals(agent)))
                .toList();
        if (compared.isEmpty()) {
            throw new RefusedException(
                    RefusedException.Why.NOT_READY,
                    "the comparison ended with the term of " + volume.name() + "'s writer: "
                            + volume.status().detail());
        }
        return compared;
    }

    private static io.terminus.proto.agent.v1.VerifyProgress progress(List<Volume.ReplicaStatus> compared) {
        var b = io.terminus.proto.agent.v1.VerifyProgress.newBuilder();
        for (Volume.ReplicaStatus c : compared) {
            VerifyProgress verify = c.verify();
            if (verify != null) {
                b.addReplicasBuilder().setAgent(c.agent()).setVerify(status(verify));
            }
        }
        return b.build();
    }

    private interface Action<T> {
        T run() throws RefusedException, IOException, InterruptedException;
    }

    private static <T> void call(StreamObserver<T> answer, Action<T> action) {
        Status failure;
        try {
            T result = action.run();
            synchronized (answer) {
                answer.onNext(result);
                answer.onCompleted();
            }
            return;
        } catch (RefusedException e) {
            failure = status(e.why()).withDescription(e.getMessage());
        } catch (IllegalArgumentException e) {
            failure = Status.INVALID_ARGUMENT.withDescription(e.getMessage());
        } catch (IOException e) {
            failure = Status.INTERNAL.withDescription(e.getMessage());
        } catch (InterruptedException e) {
            failure = Status.CANCELLED.withDescription("the agent is stopping");
        }
        synchronized (answer) {
            answer.onError(failure.asRuntimeException());
        }
    }

    /** The one place where reasons become gRPC codes. */
    static Status status(RefusedException.Why why) {
        return switch (why) {
            case UNKNOWN_VOLUME -> Status.NOT_FOUND;
            case OTHER_SHAPE, BAD_MESSAGE -> Status.INVALID_ARGUMENT;
            case FENCED, OTHER_CONFIG -> Status.ABORTED;
            case NEEDS_COPY, DIVERGED, FAILED, OTHER_VERSION -> Status.FAILED_PRECONDITION;
            case NO_SPACE -> Status.RESOURCE_EXHAUSTED;
            case NOT_READY -> Status.UNAVAILABLE;
        };
    }

    private Volume find(String name) throws RefusedException {
        Volume v = volumes.byName(name);
        if (v == null) {
            throw volumes.absent(name);
        }
        return v;
    }

    List<String> delete(Volume volume, boolean force) throws RefusedException, IOException, InterruptedException {
        return deletion.delete(volume, force);
    }

    VolumeStatus status(Volume volume) {
        Volume.Status s = volume.status();
        VolumeStatus.Builder b = VolumeStatus.newBuilder()
                .setName(s.config().name())
                .setUuid(s.config().uuid().toString())
                .setSizeBytes(s.config().sizeBytes())
                .setAckLevel(io.terminus.proto.agent.v1.AckLevel.valueOf(
                        s.config().ackLevel().name()))
                .setTerm(s.config().term())
                .setWriter(s.config().writer())
                .setRole(io.terminus.proto.agent.v1.Role.valueOf(s.role().name()))
                .setDetail(s.detail())
                .setCommitted(s.committed())
                .setConfigVersion(s.configVersion())
                .setLockToken(s.token())
                .setCopyLimit(volume.copyLimit())
                .setStanding(io.terminus.proto.agent.v1.Standing.valueOf(
                        s.config().standing().name()))
                .setCopies(s.config().copies())
                .setMinCopies(s.config().minCopies())
                .setFailover(io.terminus.proto.agent.v1.Failover.valueOf(
                        s.config().failover().name()))
                .setWritesWait(s.writesWait());
        if (volume.serving()) {
            b.setNbdUri(endpoints.nbdUri(s.config().name()));
        }
        if (s.role() == io.terminus.agent.volume.Role.WRITER) {
            b.setRequests(ClientRequestCounts.of(volume.measures()));
        }
        long end = s.replicas().getFirst().received();
        for (Volume.ReplicaStatus r : s.replicas()) {
            ReplicaStatus.Builder replica = b.addReplicasBuilder()
                    .setAgent(r.agent())
                    .setImage(r.image() == null ? "" : r.image().toString())
                    .setInSync(r.inSync())
                    .setConnected(r.connected())
                    .setReceived(r.received())
                    .setDurable(r.durable())
                    .setApplied(r.applied())
                    .setLagBytes(r.received() < 0 ? end : Math.max(0, end - r.received()))
                    .setDetail(r.detail());
            CopyProgress copy = r.copy();
            if (copy != null) {
                replica.setCopy(status(copy));
            }
            replica.setDifferingBlocks(r.differingBlocks());
            VerifyProgress verify = r.verify();
            if (verify != null) {
                replica.setVerify(status(verify));
            }
        }
        return b.build();
    }

    private static VerifyStatus status(VerifyProgress verify) {
        VerifyStatus.Builder b = VerifyStatus.newBuilder()
                .setPhase(
                        switch (verify.phase()) {
                            case WAITING -> VerifyStatus.Phase.WAITING;
                            case COMPARING -> VerifyStatus.Phase.COMPARING;
                            case ENDING -> VerifyStatus.Phase.ENDING;
                            case COMPLETE -> VerifyStatus.Phase.COMPLETE;
                            case GIVEN_UP -> VerifyStatus.Phase.GIVEN_UP;
                        })
                .setComparedBytes(verify.comparedBytes())
                .setTotalBytes(verify.totalBytes())
                .setBytesPerSecond(verify.bytesPerSecond())
                .setRemainingSeconds(verify.remainingSeconds())
                .setRepairs(verify.repairs())
                .setDifferingBlocks(verify.differingBlocks())
                .setMendedBlocks(verify.mendedBlocks())
                .setDetail(verify.detail());
        verify.differing()
                .forEach(d -> b.addDiffering(DifferingRange.newBuilder()
                        .setOffset(d.offset())
                        .setLength(d.lengthBytes())
                        .build()));
        return b.build();
    }

    private static CopyStatus status(CopyProgress copy) {
        return CopyStatus.newBuilder()
                .setPhase(
                        switch (copy.phase()) {
                            case PREPARING -> CopyStatus.Phase.PREPARING;
                            case COPYING -> CopyStatus.Phase.COPYING;
                            case ENDING -> CopyStatus.Phase.ENDING;
                        })
                .setTotalBytes(copy.totalBytes())
                .setLeftBytes(copy.leftBytes())
                .setBytesPerSecond(copy.bytesPerSecond())
                .setRemainingSeconds(copy.remainingSeconds())
                .build();
    }
}
