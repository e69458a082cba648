package io.terminus.agent.volume;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.proto.agent.v1.Absent;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * What the volume's value block at the lock manager says: the one authority on who writes and who is in sync. A value;
 * every change is a new one, and becomes true only by compare-and-set under a live whole-volume grant.
 *
 * @param term the newest term taken, 0 before the first election
 * @param writer the agent that took it; before the first election the agent that is to write first
 * @param inSync the in-sync set, writer included
 * @param absent replicas out of sync, with the position at which each left
 * @param copies copies an acknowledgement needs, writer included; 0 stands for all of the in-sync set
 * @param fork where data was given up last
 * @param minCopies writes wait while the in-sync set is smaller
 * @param buried earlier volumes of this name that were deleted, newest last, at most {@link #BURIED_KEPT}
 */
public record VolumeConfig(
        UUID uuid,
        String name,
        long sizeBytes,
        int segmentBytes,
        long term,
        String writer,
        List<Member> inSync,
        List<Left> absent,
        AckLevel ackLevel,
        int copies,
        int minCopies,
        Lineage lineage,
        Failover failover,
        List<Address> replicas,
        Fork fork,
        Standing standing,
        List<UUID> buried) {

    private static final int FORMAT = 1;

    /** Of blocks that older versions had better leave alone, because they would wait for the lock. */
    private static final int FORMAT_OUT_OF_USE = 2;

    static final int BURIED_KEPT = 8;

    /** The lock manager takes values up to 4 KiB; older terms than these fall off the lineage kept there. */
    private static final int LINEAGE_KEPT = 32;

    /** A member of the in-sync set under the incarnation with which it joined: after a loss it has another one. */
    public record Member(String agent, String incarnation) {}

    /** A replica that left the in-sync set at this position. */
    public record Left(String agent, long position) {}

    /**
     * The newest term that was opened by giving up data: what older terms wrote from {@code position} on is no part of the
     * volume, and a replica whose image may hold some of it has to be rebuilt.
     */
    public record Fork(long term, long position) {
        public static final Fork NONE = new Fork(0, 0);
    }

    /** What an acknowledgement asks for: those fields of the block, which change together. */
    public record Acks(AckLevel level, int copies, int minCopies) {}

    /** Where a replica's agent is reached: {@code host:port} of the peer protocol and of the control service. */
    public record Address(String agent, String peer, String control) {}

    /** The block is not one this version can act on. */
    public static final class UnreadableConfigException extends Exception {
        UnreadableConfigException(String message) {
            super(message);
        }
    }

    /** A volume in use whose name had no other before. */
    public VolumeConfig(
            UUID uuid,
            String name,
            long sizeBytes,
            int segmentBytes,
            long term,
            String writer,
            List<Member> inSync,
            List<Left> absent,
            AckLevel ackLevel,
            int copies,
            int minCopies,
            Lineage lineage,
            Failover failover,
            List<Address> replicas,
            Fork fork) {
        this(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent,
                ackLevel,
                copies,
                minCopies,
                lineage,
                failover,
                replicas,
                fork,
                Standing.IN_USE,
                List.of());
    }

    public VolumeConfig {
        buried = List.copyOf(buried);
        inSync = List.copyOf(inSync);
        absent = List.copyOf(absent);
        replicas = List.copyOf(replicas);
        if (inSync.isEmpty()) {
            throw new IllegalArgumentException("volume " + name + ": the in-sync set is empty");
        }
        if (copies < 0 || copies > replicas.size()) {
            throw new IllegalArgumentException(
                    "volume " + name + ": copies " + copies + " is not within 0.." + replicas.size());
        }
    }

    /** The copies q that an acknowledgement needs in this set. A set smaller than the copies asked for needs all of it. */
    public int copiesNeeded() {
        return copies == 0 ? inSync.size() : Math.min(copies, inSync.size());
    }

    public Optional<Member> member(String agent) {
        return inSync.stream().filter(m -> m.agent().equals(agent)).findFirst();
    }

    public Optional<Address> address(String agent) {
        return replicas.stream().filter(r -> r.agent().equals(agent)).findFirst();
    }

    /** The next term, taken by {@code candidate}; the in-sync set stays as it is. The volume is in use with that. */
    public VolumeConfig takenBy(String candidate) {
        return with(term + 1, candidate, inSync, absent, lineage).with(Standing.IN_USE);
    }

    public VolumeConfig with(Standing now) {
        return new VolumeConfig(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent,
                ackLevel,
                copies,
                minCopies,
                lineage,
                failover,
                replicas,
                fork,
                now,
                buried);
    }

    public Acks acks() {
        return new Acks(ackLevel, copies, minCopies);
    }

    public VolumeConfig with(Acks next) {
        return new VolumeConfig(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent,
                next.level(),
                next.copies(),
                next.minCopies(),
                lineage,
                failover,
                replicas,
                fork,
                standing,
                buried);
    }

    /** The volume's blocks are those and, behind them, zeros. */
    public VolumeConfig grownTo(long newSizeBytes) {
        if (newSizeBytes < sizeBytes) {
            throw new IllegalArgumentException(
                    "volume " + name + " has " + sizeBytes + " bytes and cannot become smaller, " + newSizeBytes);
        }
        return new VolumeConfig(
                uuid,
                name,
                newSizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent,
                ackLevel,
                copies,
                minCopies,
                lineage,
                failover,
                replicas,
                fork,
                standing,
                buried);
    }

    /** A new volume under the name of one that was deleted: who is a replica of that finds it buried. */
    public VolumeConfig inThePlaceOf(VolumeConfig deleted) {
        List<UUID> all = new ArrayList<>(deleted.buried);
        all.add(deleted.uuid);
        return new VolumeConfig(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent,
                ackLevel,
                copies,
                minCopies,
                lineage,
                failover,
                replicas,
                fork,
                standing,
                all.subList(Math.max(0, all.size() - BURIED_KEPT), all.size()));
    }

    /** Does this block say that the volume of that name and uuid was deleted? */
    public boolean saysDeleted(UUID volume) {
        return buried.contains(volume) || (uuid.equals(volume) && standing == Standing.DELETED);
    }

    public VolumeConfig withLineage(Lineage newer) {
        return with(term, writer, inSync, absent, newer);
    }

    public VolumeConfig without(String agent, long position) {
        List<Left> left = new ArrayList<>(absent);
        left.removeIf(l -> l.agent().equals(agent));
        left.add(new Left(agent, position));
        return with(
                term,
                writer,
                inSync.stream().filter(m -> !m.agent().equals(agent)).toList(),
                left,
                lineage);
    }

    /** Adds a member, or renews its incarnation. */
    public VolumeConfig withMember(Member member) {
        List<Member> members = new ArrayList<>(inSync);
        members.removeIf(m -> m.agent().equals(member.agent()));
        members.add(member);
        List<Left> left =
                absent.stream().filter(l -> !l.agent().equals(member.agent())).toList();
        return with(term, writer, members, left, lineage);
    }

    /** One more replica, which is not in sync yet. */
    public VolumeConfig withReplica(Address added) {
        List<Address> more = new ArrayList<>(replicas);
        more.add(added);
        return new VolumeConfig(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent,
                ackLevel,
                copies,
                minCopies,
                lineage,
                failover,
                more,
                fork,
                standing,
                buried);
    }

    /** One replica less; it is not in sync any more. */
    public VolumeConfig withoutReplica(String agent) {
        return new VolumeConfig(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                term,
                writer,
                inSync,
                absent.stream().filter(l -> !l.agent().equals(agent)).toList(),
                ackLevel,
                copies,
                minCopies,
                lineage,
                failover,
                replicas.stream().filter(r -> !r.agent().equals(agent)).toList(),
                fork,
                standing,
                buried);
    }

    /** Are there enough replicas for acknowledgements, by the volume's own rules, with one less? */
    public boolean canSpareOne() {
        return replicas.size() > Math.max(copies, minCopies);
    }

    /** Data is given up: this term starts at {@code position}, whatever others hold behind it. */
    public VolumeConfig forkedAt(long position) {
        return with(term, writer, inSync, absent, lineage, new Fork(term, position));
    }

    /** The forced way: only this member is left. */
    public VolumeConfig onlyMember(Member survivor, long position) {
        VolumeConfig next = withMember(survivor);
        for (Member m : next.inSync()) {
            if (!m.agent().equals(survivor.agent())) {
                next = next.without(m.agent(), position);
            }
        }
        return next;
    }

    private VolumeConfig with(
            long newTerm, String newWriter, List<Member> newInSync, List<Left> newAbsent, Lineage newLineage) {
        return with(newTerm, newWriter, newInSync, newAbsent, newLineage, fork);
    }

    private VolumeConfig with(
            long newTerm,
            String newWriter,
            List<Member> newInSync,
            List<Left> newAbsent,
            Lineage newLineage,
            Fork newFork) {
        return new VolumeConfig(
                uuid,
                name,
                sizeBytes,
                segmentBytes,
                newTerm,
                newWriter,
                newInSync,
                newAbsent,
                ackLevel,
                copies,
                minCopies,
                newLineage,
                failover,
                replicas,
                newFork,
                standing,
                buried);
    }

    public byte[] encode() {
        return toProto().toByteArray();
    }

    public io.terminus.proto.agent.v1.VolumeConfig toProto() {
        var b = io.terminus.proto.agent.v1.VolumeConfig.newBuilder()
                .setFormat(standing == Standing.IN_USE ? FORMAT : FORMAT_OUT_OF_USE)
                .setStanding(
                        switch (standing) {
                            case IN_USE -> io.terminus.proto.agent.v1.Standing.IN_USE;
                            case DEMOTED -> io.terminus.proto.agent.v1.Standing.DEMOTED;
                            case DELETED -> io.terminus.proto.agent.v1.Standing.DELETED;
                        })
                .setUuid(uuid.toString())
                .setName(name)
                .setSizeBytes(sizeBytes)
                .setSegmentBytes(segmentBytes)
                .setTerm(term)
                .setWriter(writer)
                .setAckLevel(
                        switch (ackLevel) {
                            case LOCAL -> io.terminus.proto.agent.v1.AckLevel.LOCAL;
                            case RECEIVED -> io.terminus.proto.agent.v1.AckLevel.RECEIVED;
                            case DURABLE -> io.terminus.proto.agent.v1.AckLevel.DURABLE;
                        })
                .setCopies(copies)
                .setForkTerm(fork.term())
                .setForkPosition(fork.position())
                .setMinCopies(minCopies)
                .setFailover(
                        switch (failover) {
                            case MANUAL -> io.terminus.proto.agent.v1.Failover.MANUAL;
                            case AUTOMATIC -> io.terminus.proto.agent.v1.Failover.AUTOMATIC;
                        });
        buried.forEach(volume -> b.addBuried(volume.toString()));
        inSync.forEach(m -> b.addInSyncBuilder().setAgent(m.agent()).setIncarnation(m.incarnation()));
        absent.forEach(l -> b.addAbsentBuilder().setAgent(l.agent()).setLeftAtPosition(l.position()));
        replicas.forEach(r ->
                b.addReplicasBuilder().setAgent(r.agent()).setPeer(r.peer()).setControl(r.control()));
        List<TermStart> terms = lineage.starts();
        terms.subList(Math.max(0, terms.size() - LINEAGE_KEPT), terms.size())
                .forEach(t -> b.addLineageBuilder()
                        .setTerm(t.term())
                        .setOrigin(t.origin())
                        .setFirstPosition(t.firstPosition()));
        return b.build();
    }

    public static VolumeConfig decode(byte[] value) throws UnreadableConfigException {
        try {
            return fromProto(io.terminus.proto.agent.v1.VolumeConfig.parseFrom(value));
        } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
            throw new UnreadableConfigException("the value block is not a volume configuration: " + e.getMessage());
        }
    }

    public static VolumeConfig fromProto(io.terminus.proto.agent.v1.VolumeConfig p) throws UnreadableConfigException {
        if (p.getFormat() != FORMAT && p.getFormat() != FORMAT_OUT_OF_USE) {
            throw new UnreadableConfigException("volume configuration of format " + p.getFormat()
                    + "; this version reads formats " + FORMAT + " and " + FORMAT_OUT_OF_USE + " only");
        }
        return new VolumeConfig(
                UUID.fromString(p.getUuid()),
                p.getName(),
                p.getSizeBytes(),
                p.getSegmentBytes(),
                p.getTerm(),
                p.getWriter(),
                p.getInSyncList().stream()
                        .map(m -> new Member(m.getAgent(), m.getIncarnation()))
                        .toList(),
                p.getAbsentList().stream().map(VolumeConfig::left).toList(),
                switch (p.getAckLevel()) {
                    case LOCAL -> AckLevel.LOCAL;
                    case RECEIVED -> AckLevel.RECEIVED;
                    case DURABLE -> AckLevel.DURABLE;
                    case ACK_LEVEL_UNSPECIFIED, UNRECOGNIZED ->
                        throw new UnreadableConfigException("unknown ack level " + p.getAckLevelValue());
                },
                p.getCopies(),
                p.getMinCopies(),
                new Lineage(p.getLineageList().stream()
                        .map(t -> new TermStart(t.getTerm(), t.getOrigin(), t.getFirstPosition()))
                        .toList()),
                switch (p.getFailover()) {
                    case MANUAL -> Failover.MANUAL;
                    case AUTOMATIC -> Failover.AUTOMATIC;
                    case FAILOVER_UNSPECIFIED, UNRECOGNIZED ->
                        throw new UnreadableConfigException("unknown failover mode " + p.getFailoverValue());
                },
                p.getReplicasList().stream()
                        .map(r -> new Address(r.getAgent(), r.getPeer(), r.getControl()))
                        .toList(),
                new Fork(p.getForkTerm(), p.getForkPosition()),
                switch (p.getStanding()) {
                    case STANDING_UNSPECIFIED, IN_USE -> Standing.IN_USE;
                    case DEMOTED -> Standing.DEMOTED;
                    case DELETED -> Standing.DELETED;
                    case UNRECOGNIZED ->
                        throw new UnreadableConfigException("unknown standing " + p.getStandingValue());
                },
                p.getBuriedList().stream().map(UUID::fromString).toList());
    }

    private static Left left(Absent a) {
        return new Left(a.getAgent(), a.getLeftAtPosition());
    }
}
