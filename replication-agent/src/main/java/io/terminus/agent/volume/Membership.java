package io.terminus.agent.volume;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * Which positions of a term are committed, and who is in sync: PacificA's primary with the lock manager as configuration
 * manager. Pure; the caller serialises.
 *
 * <p>A position is <em>committed</em> when q members of the in-sync set, the writer among them, have it (received or
 * durable, by the volume's ack level). Positions are cumulative. Three rules make the set safe to change:
 *
 * <ul>
 *   <li>Nothing counts as committed in a term before its TERM record is ({@code floor}), or a record of an older term
 *       could be acknowledged here and then lose an election (Raft's figure 8).
 *   <li>From sending a change until its outcome is known, an ack needs q copies in the old <em>and</em> in the new set,
 *       for either may be the one that elects. A peer that joins is required first, and its change is sent when it holds
 *       everything acknowledged.
 *   <li>A removal is sent only when q members of what remains hold everything acknowledged; the recovered tail and the
 *       TERM record count as acknowledged from the start.
 *   <li>A change of the ack level or the copies is one like a joining: acks satisfy the old and the new rule from now on, and
 *       it is sent when everything acknowledged does. Whoever is elected by the new rule relies on that.
 *   <li>A flush acknowledges, too: what it promised, and the recovered tail, which may have been flushed, has to be
 *       durable in q members of what remains, and in the peer that joins. Received there is not enough, or the next
 *       writer could lose power and with it what was flushed.
 * </ul>
 */
final class Membership {

    /** A peer further behind than this is not asked to join: every acknowledgement would wait for it to catch up. */
    static final long JOIN_LAG_BYTES = 1 << 20;

    /** How the writer sees a peer when it thinks about the set. */
    record Peer(boolean streaming, boolean gone, String incarnation) {}

    private record Position(long received, long durable) {
        static final Position NONE = new Position(-1, -1);
    }

    private final String self;
    private final Member me;
    private final long floor;
    private final Lineage lineage;
    private final Map<String, Position> positions = new HashMap<>();
    private VolumeConfig config;

    /** The set asked for; acks need it too from the moment it stands here. */
    private @Nullable VolumeConfig wanted;

    private boolean sent;
    private @Nullable Address added;
    private @Nullable String leaving;
    private @Nullable Standing standing;
    private long growsTo;
    private VolumeConfig.@Nullable Acks acks;
    private long joinAt;
    private long joinDurableAt;
    private long committed;
    private long durablyCommitted;

    /**
     * @param committed the highest position known to be committed by earlier terms
     * @param floor the end of this term's TERM record
     * @param lineage the writer's own, this term last
     */
    Membership(VolumeConfig config, Member me, long committed, long floor, Lineage lineage) {
        this.config = config;
        this.self = me.agent();
        this.me = me;
        this.committed = committed;
        this.durablyCommitted = committed;
        this.floor = floor;
        this.lineage = lineage;
    }

    VolumeConfig config() {
        return config;
    }

    /** The change whose outcome is not known yet, as it was sent. */
    Optional<VolumeConfig> inFlight() {
        return sent ? Optional.ofNullable(wanted) : Optional.empty();
    }

    /** What a member proves to hold. A new connection may prove less than the one before. */
    void holds(String agent, long received, long durable) {
        positions.put(agent, new Position(received, durable));
        committed = Math.max(committed, reached(Membership::levelPosition));
        durablyCommitted = Math.max(durablyCommitted, reached(set -> Position::durable));
    }

    /** Everything before this is committed. Never falls. */
    long committed() {
        return committed;
    }

    /** Everything before this is durable in q copies: what FLUSH and FUA wait for. Never falls. */
    long durablyCommitted() {
        return durablyCommitted;
    }

    boolean open() {
        return committed >= floor;
    }

    /** Enough members for acknowledgements, by the volume's own floor. */
    boolean enoughMembers() {
        return config.inSync().size() >= config.minCopies()
                && (wanted == null || wanted.inSync().size() >= config.minCopies());
    }

    /** The volume is to have one more replica, which joins when it holds everything. */
    void add(Address replica) {
        added = replica;
        if (replica.agent().equals(leaving)) {
            leaving = null;
        }
    }

    /** The volume is to have one replica less: it leaves the set by the rule for removal, and then the block. */
    void remove(String agent) {
        leaving = agent;
        if (added != null && added.agent().equals(agent)) {
            added = null;
        }
    }

    /** The volume goes out of use; nobody has to hold anything for that. */
    void becomes(Standing next) {
        standing = next;
    }

    /** Acknowledgements are to ask for that; null: for what they ask now, unless the change is on its way. */
    void asks(VolumeConfig.@Nullable Acks next) {
        acks = next;
    }

    /** Does an acknowledgement need what is on a disk, by the rule in force or by one that may be? */
    boolean needsDurable() {
        VolumeConfig next = wanted;
        return config.ackLevel() == AckLevel.DURABLE || (next != null && next.ackLevel() == AckLevel.DURABLE);
    }

    /** The volume is to have that size. */
    void grow(long sizeBytes) {
        growsTo = Math.max(growsTo, sizeBytes);
    }

    /** Is that agent a member, or will it be one if the change under way is in force? */
    boolean names(String agent) {
        return config.member(agent).isPresent()
                || (wanted != null && wanted.member(agent).isPresent());
    }

    /** The next change to send, if one is due. Its set is required by acks from now until the outcome is told. */
    Optional<VolumeConfig> propose(Map<String, Peer> peers) {
        VolumeConfig before = wanted;
        if (before != null && !sent && changesAcks(before) && (acks == null || someoneIsGone(peers))) {
            wanted = null; // not sent: nobody else knows of it, and another change is more urgent
        }
        if (wanted == null) {
            wanted = nextSet(peers);
            joinAt = Math.max(committed, floor);
            joinDurableAt = Math.max(durablyCommitted, floor);
            sent = false;
        }
        if (wanted == null || sent) {
            return Optional.empty();
        }
        Optional<Member> joining = joining(wanted);
        if (joining.isPresent()) {
            String agent = joining.get().agent();
            Peer peer = peers.get(agent);
            if (peer == null
                    || !peer.streaming()
                    || !peer.incarnation().equals(joining.get().incarnation())) {
                wanted = null; // not sent: nobody else knows of it
                return Optional.empty();
            }
            if (levelPosition(config).applyAsLong(position(agent)) < joinAt
                    || position(agent).durable() < joinDurableAt) {
                return Optional.empty();
            }
        }
        if (changesAcks(wanted)
                && (quorum(wanted, levelPosition(wanted)) < joinAt
                        || quorum(wanted, Position::durable) < joinDurableAt)) {
            return Optional.empty();
        }
        sent = true;
        return Optional.of(wanted);
    }

    /** The change in flight is what the lock manager now holds. */
    void changed() {
        VolumeConfig outcome = wanted;
        if (outcome == null) {
            throw new IllegalStateException("no change of the in-sync set is in flight");
        }
        config = outcome;
        wanted = null;
        sent = false;
        recount();
    }

    /** The change in flight was certainly not stored, and cannot be any more. */
    void unchanged() {
        wanted = null;
        sent = false;
        recount();
    }

    private boolean changesAcks(VolumeConfig next) {
        return !next.acks().equals(config.acks());
    }

    private boolean someoneIsGone(Map<String, Peer> peers) {
        return config.inSync().stream()
                .filter(m -> !m.agent().equals(self))
                .map(m -> peers.get(m.agent()))
                .anyMatch(peer -> peer == null || peer.gone());
    }

    private @Nullable VolumeConfig nextSet(Map<String, Peer> peers) {
        for (Member m : config.inSync()) {
            Peer peer = peers.get(m.agent());
            if (!m.agent().equals(self)
                    && (peer == null || peer.gone() || m.agent().equals(leaving))) {
                VolumeConfig next = config.without(m.agent(), committed).withLineage(lineage);
                if (carries(next)) {
                    return next;
                }
            }
        }
        Standing next = standing;
        if (next != null && config.standing() != next) {
            return config.with(next).withLineage(lineage);
        }
        if (growsTo > config.sizeBytes()) {
            return config.grownTo(growsTo).withLineage(lineage);
        }
        VolumeConfig.Acks asked = acks;
        if (asked != null && !asked.equals(config.acks()) && !someoneIsGone(peers)) {
            // At local nobody else is a member.
            VolumeConfig set = asked.level() == AckLevel.LOCAL ? config.onlyMember(me, committed) : config;
            return set.with(asked).withLineage(lineage);
        }
        String less = leaving;
        if (less != null
                && config.address(less).isPresent()
                && config.member(less).isEmpty()
                && config.canSpareOne()) {
            return config.withoutReplica(less).withLineage(lineage);
        }
        Address more = added;
        if (more != null && config.address(more.agent()).isEmpty()) {
            return config.withReplica(more).withLineage(lineage);
        }
        if (config.ackLevel() != AckLevel.LOCAL) {
            for (Map.Entry<String, Peer> e : peers.entrySet()) {
                Member as = new Member(e.getKey(), e.getValue().incarnation());
                boolean inAlready = config.inSync().contains(as);
                if (!inAlready && !as.agent().equals(leaving) && e.getValue().streaming() && closeEnough(as.agent())) {
                    return config.withMember(as).withLineage(lineage);
                }
            }
        }
        VolumeConfig renewed = config.withLineage(lineage);
        if (open() && !config.inSync().contains(me) && durablyCommitted >= floor) {
            renewed = renewed.withMember(me); // it had lost its memory, and holds everything again by its election
        }
        return renewed.equals(config) ? null : renewed;
    }

    /** The member that {@code next} has and the present set has not, under that incarnation. */
    private Optional<Member> joining(VolumeConfig next) {
        return next.inSync().stream()
                .filter(m -> !m.agent().equals(self) && !config.inSync().contains(m))
                .findFirst();
    }

    private boolean closeEnough(String agent) {
        long behind = position(self).received() - position(agent).received();
        return behind <= JOIN_LAG_BYTES || position(agent).received() >= Math.max(committed, floor);
    }

    /** Do q members of that set hold everything acknowledged, the recovered tail and the TERM record included? */
    private boolean carries(VolumeConfig next) {
        return next.inSync().stream().anyMatch(m -> m.agent().equals(self))
                && quorum(next, levelPosition(next)) >= Math.max(committed, floor)
                && quorum(next, Position::durable) >= Math.max(durablyCommitted, floor);
    }

    private void recount() {
        Position own = position(self);
        holds(self, own.received(), own.durable());
    }

    private long reached(Function<VolumeConfig, ToLongFunction<Position>> what) {
        long all = quorum(config, what.apply(config));
        VolumeConfig next = wanted;
        if (next != null) {
            all = Math.min(all, quorum(next, what.apply(next)));
        }
        return all < floor ? -1 : all;
    }

    /** The position that q members have, the writer being one of them. Asked for every acknowledgement: makes no objects. */
    private long quorum(VolumeConfig set, ToLongFunction<Position> what) {
        int q = set.copiesNeeded();
        long own = what.applyAsLong(position(self));
        if (q == 1) {
            return own;
        }
        long best = -1;
        List<Member> members = set.inSync();
        for (int i = 0; i < members.size(); i++) {
            long candidate = positionBeside(members.get(i), what);
            if (candidate > best && holders(members, candidate, what) >= q - 1) {
                best = candidate;
            }
        }
        return Math.min(own, best);
    }

    /** Members besides the writer that hold everything before {@code position}. */
    private int holders(List<Member> members, long position, ToLongFunction<Position> what) {
        int holders = 0;
        for (int i = 0; i < members.size(); i++) {
            if (positionBeside(members.get(i), what) >= position) {
                holders++;
            }
        }
        return holders;
    }

    private long positionBeside(Member member, ToLongFunction<Position> what) {
        return member.agent().equals(self) ? -1 : what.applyAsLong(position(member.agent()));
    }

    private static ToLongFunction<Position> levelPosition(VolumeConfig set) {
        return set.ackLevel() == AckLevel.DURABLE ? Position::durable : Position::received;
    }

    private Position position(String agent) {
        return positions.getOrDefault(agent, Position.NONE);
    }

    @Override
    public String toString() {
        return "in sync "
                + Arrays.toString(config.inSync().stream().map(Member::agent).toArray()) + ", committed " + committed
                + ", durable " + durablyCommitted
                + (wanted == null
                        ? ""
                        : ", changing to "
                                + Arrays.toString(wanted.inSync().stream()
                                        .map(Member::agent)
                                        .toArray()));
    }
}
