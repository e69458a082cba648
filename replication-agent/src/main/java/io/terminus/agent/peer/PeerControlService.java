package io.terminus.agent.peer;

import com.google.protobuf.UnsafeByteOperations;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.terminus.agent.volume.Election.Answer;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.ReplicaReads;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.BuryReplicaRequest;
import io.terminus.proto.agent.v1.BuryReplicaResponse;
import io.terminus.proto.agent.v1.CanHoldRequest;
import io.terminus.proto.agent.v1.CanHoldResponse;
import io.terminus.proto.agent.v1.CreateReplicaRequest;
import io.terminus.proto.agent.v1.CreateReplicaResponse;
import io.terminus.proto.agent.v1.PeerControlGrpc;
import io.terminus.proto.agent.v1.ReadBlocksRequest;
import io.terminus.proto.agent.v1.ReadBlocksResponse;
import io.terminus.proto.agent.v1.SealRequest;
import io.terminus.proto.agent.v1.SealResponse;
import io.terminus.security.grpc.Caller;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.UUID;

/** What other agents ask of this one's replicas, besides journal bytes. */
public final class PeerControlService extends PeerControlGrpc.PeerControlImplBase {

    private final Volumes volumes;

    public PeerControlService(Volumes volumes) {
        this.volumes = volumes;
    }

    @Override
    public void seal(SealRequest request, StreamObserver<SealResponse> answer) {
        SealResponse.Builder response = SealResponse.newBuilder().setAgent(volumes.agent());
        try {
            Volume volume = volumes.byUuid(UUID.fromString(request.getVolumeUuid()));
            if (volume == null) {
                answer.onError(Status.NOT_FOUND
                        .withDescription(
                                "agent " + volumes.agent() + " has no replica of volume " + request.getVolumeUuid())
                        .asRuntimeException());
                return;
            }
            PeerIdentity.require(Caller.current().identity(), volume.config(), request.getCandidate());
            Answer a = volume.seal(
                    request.getTerm(), request.getToken(), request.getConfigVersion(), request.getCandidate());
            response.setSealedTerm(request.getTerm())
                    .addAllLineage(Messages.lineage(a.lineage()))
                    .setReceived(a.received())
                    .setDurable(a.durable())
                    .setCommitted(a.committed())
                    .setApplied(a.applied())
                    .setMemoryLost(a.memoryLost())
                    .setDamaged(a.damaged())
                    .setOldest(a.oldest());
        } catch (RefusedException e) {
            response.setRefused(true).setDetail(String.valueOf(e.getMessage()));
        } catch (IllegalArgumentException e) {
            answer.onError(Status.INVALID_ARGUMENT
                    .withDescription("volume_uuid \"" + request.getVolumeUuid() + "\" is no UUID")
                    .asRuntimeException());
            return;
        }
        answer.onNext(response.build());
        answer.onCompleted();
    }

    @Override
    public void createReplica(CreateReplicaRequest request, StreamObserver<CreateReplicaResponse> answer) {
        try {
            VolumeConfig config = VolumeConfig.fromProto(request.getConfig());
            PeerIdentity.require(
                    Caller.current().identity(),
                    config,
                    Caller.current().identity().agent());
            Volume volume = volumes.create(config);
            answer.onNext(CreateReplicaResponse.newBuilder()
                    .setIncarnation(volume.incarnation())
                    .setImage(volume.imagePath().toString())
                    .build());
            answer.onCompleted();
        } catch (RefusedException e) {
            answer.onError(
                    Status.FAILED_PRECONDITION.withDescription(e.getMessage()).asRuntimeException());
        } catch (VolumeConfig.UnreadableConfigException | IllegalArgumentException e) {
            answer.onError(
                    Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asRuntimeException());
        } catch (IOException e) {
            answer.onError(Status.RESOURCE_EXHAUSTED
                    .withDescription("agent " + volumes.agent() + " cannot make a replica: " + e.getMessage())
                    .asRuntimeException());
        } catch (InterruptedException e) {
            answer.onError(
                    Status.CANCELLED.withDescription("the agent is stopping").asRuntimeException());
        }
    }

    @Override
    public void buryReplica(BuryReplicaRequest request, StreamObserver<BuryReplicaResponse> answer) {
        try {
            UUID uuid = UUID.fromString(request.getVolumeUuid());
            Volume volume = volumes.byUuid(uuid);
            if (volume != null) {
                PeerIdentity.require(
                        Caller.current().identity(),
                        volume.config(),
                        Caller.current().identity().agent());
            }
            volumes.bury(uuid);
            answer.onNext(BuryReplicaResponse.getDefaultInstance());
            answer.onCompleted();
        } catch (RefusedException e) {
            answer.onError(
                    Status.FAILED_PRECONDITION.withDescription(e.getMessage()).asRuntimeException());
        } catch (IllegalArgumentException e) {
            answer.onError(Status.INVALID_ARGUMENT
                    .withDescription("volume_uuid \"" + request.getVolumeUuid() + "\" is no UUID")
                    .asRuntimeException());
        } catch (IOException e) {
            answer.onError(Status.INTERNAL
                    .withDescription("agent " + volumes.agent() + " cannot delete its replica: " + e.getMessage())
                    .asRuntimeException());
        } catch (InterruptedException e) {
            answer.onError(
                    Status.CANCELLED.withDescription("the agent is stopping").asRuntimeException());
        }
    }

    @Override
    public void canHold(CanHoldRequest request, StreamObserver<CanHoldResponse> answer) {
        try {
            Volume volume = find(request.getVolumeUuid());
            requireReplica(volume);
            volume.requireRoom(request.getSizeBytes());
            answer.onNext(CanHoldResponse.getDefaultInstance());
            answer.onCompleted();
        } catch (RefusedException e) {
            answer.onError(refused(e));
        }
    }

    @Override
    public void readBlocks(ReadBlocksRequest request, StreamObserver<ReadBlocksResponse> answer) {
        try {
            Volume volume = find(request.getVolumeUuid());
            requireReplica(volume);
            int length = request.getLength();
            if (length < 1 || length > ReplicaReads.MOST_BYTES) {
                throw new RefusedException(
                        Why.BAD_MESSAGE, "length " + length + " is not within 1 and " + ReplicaReads.MOST_BYTES);
            }
            ByteBuffer data = ByteBuffer.allocate(length);
            long position = volume.readForReplica(request.getOffset(), data);
            answer.onNext(ReadBlocksResponse.newBuilder()
                    .setData(UnsafeByteOperations.unsafeWrap(data.flip()))
                    .setPosition(position)
                    .build());
            answer.onCompleted();
        } catch (RefusedException e) {
            answer.onError(refused(e));
        } catch (IOException e) {
            answer.onError(Status.INTERNAL
                    .withDescription("agent " + volumes.agent() + " cannot read its image: " + e.getMessage())
                    .asRuntimeException());
        }
    }

    /** Only who has a replica of the volume may ask. */
    private static void requireReplica(Volume volume) throws RefusedException {
        PeerIdentity.require(
                Caller.current().identity(),
                volume.config(),
                Caller.current().identity().agent());
    }

    private Volume find(String uuid) throws RefusedException {
        Volume volume;
        try {
            volume = volumes.byUuid(UUID.fromString(uuid));
        } catch (IllegalArgumentException e) {
            throw new RefusedException(Why.BAD_MESSAGE, "volume_uuid \"" + uuid + "\" is no UUID");
        }
        if (volume == null) {
            throw new RefusedException(
                    Why.UNKNOWN_VOLUME, "agent " + volumes.agent() + " has no replica of volume " + uuid);
        }
        return volume;
    }

    private static StatusRuntimeException refused(RefusedException e) {
        return Status.FAILED_PRECONDITION.withDescription(e.getMessage()).asRuntimeException();
    }
}
