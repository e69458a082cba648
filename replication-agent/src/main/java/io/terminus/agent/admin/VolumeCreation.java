package io.terminus.agent.admin;

import io.terminus.agent.journal.JournalSpec;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.peer.Addresses;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.Standing;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import io.terminus.agent.volume.Volumes;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Creates a volume, or one more replica of one: empty replicas first, the value block last. A creation that dies half-way has left replicas that no
 * value block names; the next attempt replaces them.
 */
final class VolumeCreation {

    private static final Duration STEP_TIMEOUT = Duration.ofSeconds(20);

    /** What the caller wants; {@code copies} 0: all. */
    record Request(
            String name,
            long sizeBytes,
            AckLevel ackLevel,
            int copies,
            int minCopies,
            Failover failover,
            List<Address> peers,
            int segmentBytes) {}

    private final Volumes volumes;
    private final GrpcPeerNetwork network;
    private final Address self;

    VolumeCreation(Volumes volumes, GrpcPeerNetwork network, Address self) {
        this.volumes = volumes;
        this.network = network;
        this.self = self;
    }

    Volume create(Request r) throws RefusedException, IOException, InterruptedException {
        check(r);
        VolumeAuthority authority = volumes.authority(r.name());
        VolumeConfig there = await(authority.read(), "reading the value block").config();
        if (there != null && there.standing() != Standing.DELETED) {
            return existing(r, there);
        }
        VolumeAuthority.Waiting waiting = authority.lock(false, STEP_TIMEOUT, new VolumeAuthority.HolderEvents() {
            @Override
            public void recalled() {}

            @Override
            public void lost(String why) {}
        });
        VolumeAuthority.Grant grant = await(waiting.granted(), "getting the volume's lock");
        try {
            return createUnder(grant, r);
        } finally {
            grant.release();
        }
    }

    private Volume createUnder(VolumeAuthority.Grant grant, Request r)
            throws RefusedException, IOException, InterruptedException {
        VolumeAuthority.Block before = await(volumes.authority(r.name()).read(), "reading the value block");
        VolumeConfig there = before.config();
        if (there != null && there.standing() != Standing.DELETED) {
            return existing(r, there);
        }
        List<Address> replicas = new ArrayList<>();
        replicas.add(self);
        replicas.addAll(r.peers());
        VolumeConfig config = new VolumeConfig(
                UUID.randomUUID(),
                r.name(),
                r.sizeBytes(),
                r.segmentBytes() == 0 ? JournalSpec.DEFAULT_SEGMENT_BYTES : r.segmentBytes(),
                0,
                self.agent(),
                List.of(new Member(self.agent(), "")), // until the replica is there and has an incarnation
                List.of(),
                r.ackLevel(),
                r.copies(),
                r.minCopies(),
                Lineage.EMPTY,
                r.failover(),
                replicas,
                VolumeConfig.Fork.NONE);
        if (there != null) {
            config = config.inThePlaceOf(there);
        }
        Volume made = volumes.create(config);
        VolumeConfig complete = config.withMember(new Member(self.agent(), made.incarnation()));
        for (Address peer : r.peers()) {
            String incarnation =
                    await(network.createReplica(peer, config, STEP_TIMEOUT), "making the replica at " + peer.agent());
            if (r.ackLevel() != AckLevel.LOCAL) {
                complete = complete.withMember(new Member(peer.agent(), incarnation));
            }
        }
        VolumeAuthority.Put put = await(grant.put(before.version(), complete), "writing the value block");
        return switch (put) {
            case VolumeAuthority.Put.Stored stored -> made;
            case VolumeAuthority.Put.Mismatch mismatch ->
                throw new RefusedException(Why.OTHER_CONFIG, "volume " + r.name() + " was created by somebody else");
            case VolumeAuthority.Put.Refused refused ->
                throw new RefusedException(Why.NOT_READY, "volume " + r.name() + " was not created: " + refused.why());
            case VolumeAuthority.Put.Unknown unknown ->
                throw new RefusedException(
                        Why.NOT_READY,
                        "it is not known whether volume " + r.name() + " was created, ask again: " + unknown.why());
        };
    }

    /** An empty replica at that agent first, then its name in the value block. */
    void addReplica(Volume volume, Address replica) throws RefusedException, InterruptedException {
        requireAddresses(replica);
        // Before anything is made: what an agent that does not write knows of the volume may be old.
        volume.requireMayAdd(replica);
        // One that is named already may have lost its disk. What the in-sync set counts on is there, or is gone from it
        // soon.
        if (volume.config().member(replica.agent()).isEmpty()) {
            await(
                    network.createReplica(replica, volume.config(), STEP_TIMEOUT),
                    "making the replica at " + replica.agent());
        }
        volume.addReplica(replica, STEP_TIMEOUT);
    }

    private Volume existing(Request r, VolumeConfig there) throws RefusedException {
        if (there.sizeBytes() != r.sizeBytes()
                || there.ackLevel() != r.ackLevel()
                || there.failover() != r.failover()) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "volume " + r.name() + " exists with " + there.sizeBytes() + " bytes, ack level "
                            + there.ackLevel() + " and failover " + there.failover() + ", not " + r.sizeBytes() + ", "
                            + r.ackLevel() + " and " + r.failover());
        }
        Volume here = volumes.byName(r.name());
        if (here == null) {
            throw new RefusedException(
                    Why.UNKNOWN_VOLUME,
                    "volume " + r.name() + " exists, but "
                            + volumes.absent(r.name()).getMessage());
        }
        return here;
    }

    private void check(Request r) throws RefusedException {
        Volumes.requireShape(r.name(), r.sizeBytes());
        int replicas = 1 + r.peers().size();
        if (r.peers().stream().anyMatch(p -> p.agent().equals(self.agent()))
                || r.peers().stream().map(Address::agent).distinct().count()
                        != r.peers().size()) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "peers " + r.peers() + ": each is another agent than " + self.agent() + ", and named once");
        }
        for (Address peer : r.peers()) {
            requireAddresses(peer);
        }
        Volumes.requireAcks(new VolumeConfig.Acks(r.ackLevel(), r.copies(), r.minCopies()), replicas);
        int segment = r.segmentBytes();
        if (segment != 0
                && (Integer.bitCount(segment) != 1
                        || segment < JournalSpec.MIN_SEGMENT_BYTES
                        || segment > JournalSpec.MAX_SEGMENT_BYTES)) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "segment size " + segment + ": a power of two from " + JournalSpec.MIN_SEGMENT_BYTES + " to "
                            + JournalSpec.MAX_SEGMENT_BYTES + " is allowed");
        }
    }

    /** They go into the value block, from which every agent takes them. */
    private static void requireAddresses(Address replica) throws RefusedException {
        try {
            Addresses.require(replica.peer());
            Addresses.require(replica.control());
        } catch (IOException e) {
            throw new RefusedException(Why.OTHER_SHAPE, "agent " + replica.agent() + ": " + e.getMessage());
        }
    }

    private static @Nullable String reason(ExecutionException e) {
        Throwable cause = e.getCause();
        return cause == null ? e.getMessage() : cause.getMessage();
    }

    private static <T> T await(CompletableFuture<T> future, String what) throws RefusedException, InterruptedException {
        try {
            return future.get(STEP_TIMEOUT.toSeconds() + 2, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw new RefusedException(Why.NOT_READY, what + ": " + reason(e));
        } catch (TimeoutException e) {
            future.cancel(false);
            throw new RefusedException(Why.NOT_READY, what + ": no answer within " + STEP_TIMEOUT.toSeconds() + " s");
        }
    }
}
