package io.terminus.agent.volume;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.trace.TracedWrites;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import io.terminus.agent.volume.VolumeAuthority.Put;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One term of one writer: takes clients' requests into the journal, feeds the peers, answers what is committed, keeps the
 * in-sync set true. Begins with the TERM record and ends with {@link #stop}; it is never opened again.
 *
 * <p>Threads: clients' readers capture and forward; the peers' streams report progress and thereby answer clients; the
 * volume's own thread looks after the members ({@link #steward}). {@code membership} is the one shared decision, behind
 * one short lock.
 */
final class Writer {

    /** Captured and not yet applied, at most: bounds the overlay, and what a restart has to replay. */
    static final long UNAPPLIED_LIMIT_BYTES = 256L << 20;

    /** How often a hand-over says that it is still draining. */
    private static final long DRAIN_PROGRESS_NANOS = 1_000_000_000;

    /** At most one request in this time is watched for how long it takes. */
    private static final long PROBE_NANOS = 1_000_000;

    /** So long a peer's machine refuses connections before its process counts as gone, and not as about to start. */
    private static final long GONE_NANOS = 300_000_000;

    /** A request that is not committed for so long counts as waiting. */
    private static final long WAITS_NANOS = 1_000_000_000;

    private static final Logger LOG = LoggerFactory.getLogger(Writer.class);

    /** What the volume has to know about its writer. */
    interface Owner {
        /** The term is over. Called once, from any thread. */
        void writerStopped(Writer writer, String why);

        /** A newer value block is in force. */
        void configChanged(VolumeConfig config, long version);
    }

    private final Replica replica;
    private final Grant grant;
    private final String self;
    private final PeerNetwork network;
    private final TestHooks hooks;
    private final Owner owner;
    private final long peerTimeoutNanos;
    private final long term;
    private final long floor;
    private final CopyRate copyRate;
    private final long reads;
    private final TracedWrites traced;
    private final List<PeerCursor> cursors = new CopyOnWriteArrayList<>();
    private final List<PeerNetwork.Stream> streams = new CopyOnWriteArrayList<>();
    private final List<VolumeClient> clients = new CopyOnWriteArrayList<>();
    private final AtomicBoolean stopped = new AtomicBoolean();
    private final Hindrances hindrances = new Hindrances(UNAPPLIED_LIMIT_BYTES);

    @GuardedBy("this")
    private final Membership membership;

    private volatile long configVersion;
    private volatile VolumeConfig config;
    private volatile boolean open;
    private volatile boolean draining;
    private volatile boolean enoughMembers;
    private volatile boolean allDurable;
    private volatile boolean alone;
    private volatile boolean putInFlight;
    private volatile long durablyCommitted;
    private volatile long syncDemand;
    private volatile long retainFrom;
    private volatile long probePosition;
    private volatile long probeAtNanos;
    private volatile long probedNanos = System.nanoTime();

    /** Appends the TERM record. The recovered tail before it counts as acknowledged from now on. */
    Writer(
            Replica replica,
            VolumeConfig config,
            long configVersion,
            Grant grant,
            String self,
            PeerNetwork network,
            Duration peerTimeout,
            CopyRate copyRate,
            TestHooks hooks,
            Owner owner)
            throws IOException {
        this.replica = replica;
        this.config = config;
        this.configVersion = configVersion;
        this.grant = grant;
        this.self = self;
        this.network = network;
        this.copyRate = copyRate;
        this.hooks = hooks;
        this.owner = owner;
        this.peerTimeoutNanos = peerTimeout.toNanos();
        this.term = config.term();
        Journal journal = replica.journal();
        this.traced = new TracedWrites(config.name(), term, grant.token());
        this.floor = journal.openTerm(term, self, grant.token(), replica.committed());
        this.membership = new Membership(
                config,
                new VolumeConfig.Member(self, replica.superblock().life().incarnation()),
                replica.committed(),
                floor,
                journal.lineage());
        this.allDurable = membership.needsDurable();
        this.retainFrom = journal.oldest(); // until it is known what the others have
        this.reads = replica.serveReads(); // before anybody knows this writer and commits: what is committed meanwhile
        // would not be
        // shown
    }

    void start() {
        replica.requestSync(floor);
        feedAll();
        advance();
    }

    /** A stream to every replica that the block names, and to no other. */
    private synchronized void feedAll() {
        if (stopped.get()) {
            return;
        }
        for (int i = cursors.size() - 1; i >= 0; i--) {
            PeerCursor c = cursors.get(i);
            if (!config.replicas().contains(c.address())) {
                streams.get(i).pump(); // it hears of the block that is without it, if it hears anything now
                streams.get(i).close();
                c.end();
                streams.remove(i);
                cursors.remove(i);
            }
        }
        for (VolumeConfig.Address a : config.replicas()) {
            if (!a.agent().equals(self)
                    && cursors.stream().noneMatch(c -> c.address().equals(a))) {
                PeerCursor cursor = new PeerCursor(this, a, System.nanoTime());
                cursors.add(cursor); // first: what a stream hears is taken from these only
                PeerNetwork.Stream stream = network.stream(cursor);
                cursor.pumpedBy(stream::pump);
                streams.add(stream);
            }
        }
    }

    // ---- clients

    VolumeClient attach(ClientReplies replies) {
        VolumeClient client = new VolumeClient(this, replies);
        clients.add(client);
        return client;
    }

    void detach(VolumeClient client) {
        clients.remove(client);
    }

    /** May a request be taken? Asked before it is captured; waits while too much is not applied yet. */
    boolean admits() {
        if (overfull()) {
            forward(0, 0, false); // what this caller was handed before must not wait for what it is handed now
        }
        while (overfull() && !stopped.get() && !draining) {
            replica.requestSync(replica.journal().end());
            LockSupport.parkNanos(this, 200_000);
        }
        hindrances.admitted();
        return open && !draining && !stopped.get() && grant.believed();
    }

    /** Too much is captured and not applied yet. */
    boolean overfull() {
        return hindrances.overfull(unappliedBytes());
    }

    private long unappliedBytes() {
        long applied = replica.applied(); // first: it is never behind the end
        return replica.journal().end() - applied;
    }

    Hindrances hindrances() {
        return hindrances;
    }

    boolean believes() {
        return grant.believed() && !stopped.get();
    }

    /** The volume's own floor of members is kept: what is committed may be answered. */
    boolean mayAnswer() {
        return open && enoughMembers;
    }

    boolean allDurable() {
        return allDurable;
    }

    void secure(long offset, long length) throws IOException {
        replica.space().await(offset, length, () -> !stopped.get() && !draining);
    }

    void read(long offset, ByteBuffer into) throws IOException {
        replica.read(offset, into);
    }

    void allocation(long offset, long length, AllocationVisitor visitor) throws IOException {
        replica.allocation(offset, length, visitor);
    }

    void replication(long offset, long length, ReplicationVisitor visitor) throws IOException {
        new ReplicationMap(replica.journal(), levels()).show(offset, length, visitor);
    }

    void willNeed(long offset, long length) throws IOException {
        replica.image().willNeed(offset, length);
    }

    /** What every member and every replica has. Of one that is not connected, what it had on its disk. */
    private ReplicationMap.Levels levels() {
        long received = replica.journal().end();
        long durable = replica.journal().durable();
        long applied = replica.applied();
        long everywhere = received;
        for (PeerCursor c : cursors) {
            long receivedThere = c.streaming() ? c.received() : c.durable();
            everywhere = Math.min(everywhere, c.streaming() ? receivedThere : -1);
            if (config.member(c.address().agent()).isPresent()) {
                received = Math.min(received, receivedThere);
                durable = Math.min(durable, c.durable());
                applied = Math.min(applied, c.applied());
            }
        }
        return new ReplicationMap.Levels(received, durable, applied, everywhere);
    }

    /**
     * What one read of a client's socket brought is in the journal: off it goes. Returns when that began.
     *
     * @param cameNanos when the first of it came; 0: nothing did
     * @param syncUpTo is to be durable; 0: nothing is
     * @param waits the caller has nothing to do until that is so
     */
    long forward(long cameNanos, long syncUpTo, boolean waits) {
        long now = System.nanoTime();
        probe(cameNanos, now);
        if (syncUpTo > syncDemand) {
            syncDemand = syncUpTo; // before the peers are sent to: they are told, and sync at the same time
        }
        if (syncUpTo > 0 && !waits) {
            replica.requestSync(syncUpTo);
        }
        replica.published();
        long end = replica.journal().end();
        for (PeerCursor c : cursors) {
            c.published(end, now);
        }
        if (alone) {
            advance(now); // first: the client waits for nobody who is sent to
        }
        for (PeerNetwork.Stream s : streams) {
            s.forward();
        }
        if (syncUpTo > 0 && waits) {
            replica.syncHere(syncUpTo);
        }
        return now;
    }

    /** One request at a time is watched, from when it came until it is committed: copies give way to slow ones. */
    private void probe(long cameNanos, long now) {
        if (cameNanos != 0 && probeAtNanos == 0 && now - probedNanos > PROBE_NANOS) {
            probedNanos = now;
            probePosition = replica.journal().end();
            probeAtNanos = cameNanos;
        }
    }

    private void demandSync(long position) {
        if (position > syncDemand) {
            syncDemand = position;
        }
        replica.requestSync(position);
    }

    /** Journal or image failed under a write: final, for this replica. */
    void captureFailed(IOException e) {
        replica.fail("a write failed: " + e.getMessage());
    }

    TestHooks hooks() {
        return hooks;
    }

    TracedWrites traced() {
        return traced;
    }

    // ---- progress

    void peerProgressed(PeerCursor cursor) {
        if (!cursors.contains(cursor)) {
            return; // taken away; the next one there may be another replica
        }
        synchronized (this) {
            membership.holds(cursor.address().agent(), cursor.received(), cursor.durable());
        }
        advance(cursor.heardAtNanos());
    }

    void advance() {
        advance(System.nanoTime());
    }

    /** Looks what is committed by now, and answers it. Any thread. */
    private void advance(long now) {
        boolean moved;
        synchronized (this) {
            if (stopped.get()) {
                return; // the journal may be another term's by now, and its end says nothing about this one's records
            }
            Journal journal = replica.journal();
            membership.holds(self, journal.end(), journal.durable());
            moved = membership.committed() > replica.committed() || membership.durablyCommitted() > durablyCommitted;
            replica.commit(membership.committed());
            durablyCommitted = membership.durablyCommitted();
            boolean enough = membership.enoughMembers();
            moved |= enough != enoughMembers;
            allDurable = membership.needsDurable();
            enoughMembers = enough;
            alone = membership.config().copiesNeeded() == 1
                    || membership.inFlight().isPresent();
            if (!open && membership.open()) {
                open = true;
            }
        }
        if (moved) {
            for (VolumeClient c : clients) {
                c.complete(now);
            }
        }
        long began = probeAtNanos;
        if (began != 0 && probePosition <= replica.committed()) {
            probeAtNanos = 0;
            copyRate.requestTook(now - began, now);
        }
    }

    // ---- the set and the peers, from the volume's thread

    /** To be called every 100 ms or so. */
    void steward() {
        if (stopped.get()) {
            return;
        }
        if (!grant.believed()) {
            stop("the lease of the volume's lock is not known to be alive");
            return;
        }
        advance();
        hindrances.look(unappliedBytes(), System.nanoTime());
        Optional<VolumeConfig> change = Optional.empty();
        if (!putInFlight) {
            synchronized (this) {
                change = membership.propose(peersNow());
                allDurable = membership.needsDurable();
                if (change.isEmpty()) {
                    change = membership.inFlight(); // asked before, and its outcome is still unknown
                }
            }
        }
        change.ifPresent(this::put);
        sparePeers();
        keepSegments();
        streams.forEach(PeerNetwork.Stream::pump);
    }

    /** Peers keep what lies behind this replica's checkpoint: none is to run full because its journal is smaller than this one. */
    private void sparePeers() {
        long behind = replica.journal().end() - replica.checkpoint();
        for (PeerCursor c : cursors) {
            if (c.streaming() && c.journalBytes() > 0 && behind > c.journalBytes() / 4) {
                replica.wantCheckpoint();
                return;
            }
        }
    }

    private Map<String, Membership.Peer> peersNow() {
        long now = System.nanoTime();
        Map<String, Membership.Peer> peers = new HashMap<>();
        for (PeerCursor c : cursors) {
            boolean silent = now - c.heardAtNanos() > peerTimeoutNanos;
            boolean gone = silent || c.needsCopy() || c.nobodyThereFor(GONE_NANOS) || leftBehind(c);
            peers.put(c.address().agent(), new Membership.Peer(c.joinable() && !silent, gone, c.incarnation()));
        }
        return peers;
    }

    /**
     * A member that no acknowledgement needs, and that is too slow for what is written: what it lacks fills the journal, and then writes
     * would wait for it after all. Without it in the set it is fed, and if need be copied to, as any peer that was away.
     */
    private boolean leftBehind(PeerCursor c) {
        VolumeConfig set = config;
        boolean heard = c.streaming() && c.durable() >= 0; // before, nothing is known of what it lacks
        return heard
                && set.member(c.address().agent()).isPresent()
                && set.inSync().size() > Math.max(set.copiesNeeded(), set.minCopies())
                && c.durable() < mustGo();
    }

    private void put(VolumeConfig change) {
        LOG.info("volume {}: value block to change, in-sync set {}", config.name(), agents(change));
        putInFlight = true;
        grant.put(configVersion, change).whenComplete((outcome, failure) -> {
            try {
                Put known = failure == null ? outcome : new Put.Unknown(String.valueOf(failure.getMessage()));
                switch (known) {
                    case Put.Stored stored -> stored(change, stored.version());
                    case Put.Mismatch mismatch -> {
                        VolumeConfig current = mismatch.current().config();
                        if (current != null && Arrays.equals(current.encode(), change.encode())) {
                            stored(change, mismatch.current().version());
                        } else {
                            stop("somebody else changed the volume's value block: it is at version "
                                    + mismatch.current().version());
                        }
                    }
                    case Put.Refused refused -> stop("the lock manager refuses the value block: " + refused.why());
                    case Put.Unknown unknown ->
                        LOG.info(
                                "volume {}: outcome of a change of the in-sync set is unknown, asking again: {}",
                                config.name(),
                                unknown.why());
                }
            } finally {
                putInFlight = false;
            }
        });
    }

    private static List<String> agents(VolumeConfig set) {
        return set.inSync().stream().map(VolumeConfig.Member::agent).toList();
    }

    private void stored(VolumeConfig change, long version) {
        synchronized (this) {
            membership.changed();
            config = change;
            configVersion = version;
        }
        LOG.info("volume {}: in-sync set is {} (version {})", config.name(), agents(change), version);
        owner.configChanged(change, version);
        feedAll();
        advance();
    }

    /** Keeps what members need; what the others need, while the journal's budget lasts. */
    private void keepSegments() {
        Journal journal = replica.journal();
        long need = replica.checkpoint();
        long wish = need;
        for (PeerCursor c : cursors) {
            if (config.member(c.address().agent()).isPresent()) {
                // Until it is removed: what replaces the journal for it, here and elsewhere, begins only then.
                need = Math.min(need, c.durable());
                wish = Math.min(wish, c.durable());
            } else if (!c.needsCopy() || c.copying()) {
                wish = Math.min(wish, Math.max(c.wantsFrom(), 0));
            }
        }
        // A disk too full for another segment, or for the image, is a smaller budget: writes go before an absent
        // peer's way back.
        boolean wanted = replica.space().wanted();
        long keep = wanted || journal.outOfSpace() ? need : Math.max(wish, mustGo());
        retainFrom = Math.max(journal.oldest(), Math.min(need, keep));
        replica.retain(retainFrom);
        replica.releaseSegments();
        if (wanted) {
            replica.giveBackSpace();
        }
    }

    /** Beyond the budget records go, by whole segments, if no member needs them: one segment is being written, one is made ready. */
    private long mustGo() {
        long room = replica.budgetBytes() - 2L * config.segmentBytes();
        return Math.max(0, replica.journal().end() - room) / config.segmentBytes() * config.segmentBytes();
    }

    /**
     * Is it this journal's fault that a peer does not take what comes at {@code position}? Then the peer is copied to: the image here has
     * what is damaged in the history. Damage that the image does not have yet is the end of this replica.
     */
    boolean isDamagedAt(long position) {
        Journal journal = replica.journal();
        try {
            long from = Math.max(position, journal.oldest());
            long damaged = journal.firstDamaged(from, Math.min(journal.end(), from + 2L * config.segmentBytes()));
            if (damaged < 0) {
                return false;
            }
            if (damaged >= replica.applied()) {
                replica.fail("the journal is damaged at position " + damaged
                        + ", and the image has only what lies before " + replica.applied());
            } else {
                LOG.error(
                        "volume {}: the journal is damaged at position {}, which is history: who needs it is copied to",
                        config.name(),
                        damaged);
                replica.wantCheckpoint(); // the history that is kept has to begin behind it
            }
            return true;
        } catch (JournalException | IllegalArgumentException e) {
            return false; // released or cut meanwhile: it is tried again
        }
    }

    PeerCursor.Greeting greeting() {
        VolumeConfig now = config;
        Journal journal = replica.journal();
        return new PeerCursor.Greeting(
                now.uuid(),
                term,
                grant.token(),
                self,
                now.sizeBytes(),
                now.segmentBytes(),
                journal.lineage(),
                journal.oldest(),
                journal.end(),
                configVersion,
                now.encode());
    }

    /** The volume gets one more replica; when the block names it, it is fed, and copied to, until it is in sync. */
    void addReplica(VolumeConfig.Address replica) {
        synchronized (this) {
            membership.add(replica);
        }
    }

    /** The volume gets one replica less; when the block does not name it any more, it is not fed. */
    void removeReplica(String agent) {
        synchronized (this) {
            membership.remove(agent);
        }
    }

    /** The volume is to be out of use; what becomes of that is in {@link #config}. */
    void becomes(Standing standing) {
        synchronized (this) {
            membership.becomes(standing);
        }
    }

    /** Acknowledgements are to ask for that; null: it was thought better of, as far as that is possible. */
    void asks(VolumeConfig.@Nullable Acks acks) {
        synchronized (this) {
            membership.asks(acks);
        }
    }

    /** The volume is to have that size; when the block says so, every replica hears it before what is written there. */
    void grow(long sizeBytes) {
        synchronized (this) {
            membership.grow(sizeBytes);
        }
    }

    int clients() {
        return clients.size();
    }

    /** What acknowledgements have been waiting for, or why there are none, in words; null: they come. */
    @Nullable
    String whyWritesWait(long nowNanos) {
        if (!serving()) {
            return null;
        }
        VolumeConfig now = config;
        if (!enoughMembers) {
            return "writes wait: " + agents(now) + " are in sync, and minCopies asks for " + now.minCopies();
        }
        String here = hindrances.why(unappliedBytes(), nowNanos);
        if (here != null) {
            return here;
        }
        long began = probeAtNanos;
        if (began == 0 || nowNanos - began < WAITS_NANOS || replica.committed() >= probePosition) {
            return null;
        }
        List<String> awaited = cursors.stream()
                .filter(c -> now.member(c.address().agent()).isPresent() && c.received() < probePosition)
                .map(c -> c.address().agent())
                .toList();
        return "writes wait for " + (awaited.isEmpty() ? "their copies to be durable" : String.join(", ", awaited))
                + ", since " + (nowNanos - began) / 1_000_000_000 + " s";
    }

    // ---- replicas that cannot just follow

    /** What a replica that cannot follow is to do, or null: why not now is said at the cursor. */
    @Nullable
    RebuildPlan planFor(PeerCursor cursor, Reception.Needs needs) {
        String agent = cursor.address().agent();
        boolean named;
        synchronized (this) {
            named = membership.names(agent); // also by a change under way, which may turn out to be in force
        }
        if (named) {
            cursor.cannotFollow(needs.why() + "; it is copied to when the in-sync set is without it");
            return null;
        }
        PeerMarks marks = replica.marks().of(agent);
        if (!serving()) {
            cursor.lost(needs.why() + "; it is copied to when the volume is served");
            return null;
        }
        if (marks == null) {
            cursor.lost(needs.why() + "; it is copied to when what it misses can be noted here, which takes space");
            return null;
        }
        boolean goesOn = needs.follows() && needs.common() >= replica.journal().oldest();
        if (!goesOn && replica.checkpointIsOld()) {
            replica.wantCheckpoint(); // else the replica would get all that follows the old one by the journal
            cursor.lost(needs.why() + "; it is copied to from a checkpoint that is being taken");
            return null;
        }
        boolean resumes = !needs.copy().isEmpty() && marks.reaches(needs.common(), needs.copy());
        boolean marked = resumes || marks.reaches(needs.since(), "");
        if (!marked) {
            marks.markAll();
        }
        Journal journal = replica.journal();
        long at = goesOn ? needs.common() : replica.checkpoint();
        if (!goesOn || !needs.copy().isEmpty()) {
            // Its journal may begin behind another writer's checkpoint, which lay behind the end of the marks here.
            marks.cover(journal, at);
        }
        LOG.info(
                "volume {}: {} is copied to: {}; {} of {} bytes, from position {} on",
                config.name(),
                agent,
                needs.why(),
                marks.markedBytes(),
                config.sizeBytes(),
                at);
        String copy = resumes ? needs.copy() : UUID.randomUUID().toString();
        return new RebuildPlan(copy, !marked, goesOn, at, journal.lineage());
    }

    /** A stream begins; returns the marks of a replica that is not in sync, or null. */
    @Nullable
    PeerMarks streamBegins(PeerCursor cursor, @Nullable RebuildPlan plan, long at, long durableThere) {
        String agent = cursor.address().agent();
        PeerMarks marks = replica.marks().of(agent);
        if (marks == null) {
            return null;
        }
        // It may fall back to what it has durable; what it has and this journal has not, it need not be told again.
        long kept = Math.min(at, Math.max(durableThere, replica.journal().oldest()));
        if (plan == null) {
            replica.marks().complete(agent, kept);
        } else if (!plan.copy().equals(marks.copyUnderWay())) {
            marks.begin(plan.copy(), kept);
        }
        marks.following(true);
        return marks;
    }

    Copier copierFor(PeerCursor cursor, PeerMarks marks, boolean compares, Runnable pump, long appliedThere) {
        return new Copier(this, replica, cursor.address().agent(), marks, compares, copyRate, pump, appliedThere);
    }

    Verification verificationOf(PeerCursor cursor, boolean repairs) {
        return new Verification(this, replica, cursor, repairs, copyRate);
    }

    // ---- the end

    /** A newer writer has sealed one of the peers: this one is over, whatever its lease says. */
    void fenced(String why) {
        stop("fenced: " + why);
    }

    /** Nothing is captured, sent or answered after this. Any thread, idempotent. */
    void stop(String why) {
        if (!stopped.compareAndSet(false, true)) {
            return;
        }
        LOG.info("volume {}: term {} ends here: {}", config.name(), term, why);
        synchronized (this) {
            open = false; // and whoever was counting what is committed has ended
        }
        clients.forEach(c -> c.drop(why));
        synchronized (this) { // or one more replica would be fed from now on
            streams.forEach(PeerNetwork.Stream::close);
            cursors.forEach(PeerCursor::end);
        }
        replica.stopReads(reads);
        owner.writerStopped(this, why);
    }

    /**
     * Takes no more requests, and waits until all that was captured is committed, durable in q copies, and applied at the
     * peers that follow. Gives up at the deadline: what is open then is unknown to its clients.
     */
    void drain(Duration deadline) {
        draining = true;
        long until = System.nanoTime() + deadline.toNanos();
        while (clients.stream().anyMatch(VolumeClient::capturing) && System.nanoTime() < until) {
            LockSupport.parkNanos(1_000_000);
        }
        demandSync(replica.journal().end());
        long progressToldNanos = System.nanoTime();
        while (!drained() && !stopped.get() && System.nanoTime() < until) {
            streams.forEach(PeerNetwork.Stream::pump);
            advance();
            if (System.nanoTime() - progressToldNanos > DRAIN_PROGRESS_NANOS) {
                progressToldNanos = System.nanoTime();
                grant.progress(replica.applied());
            }
            LockSupport.parkNanos(2_000_000);
        }
    }

    private boolean drained() {
        long end = replica.journal().end();
        return durablyCommitted >= end
                && replica.applied() >= end
                && clients.stream().allMatch(VolumeClient::idle)
                && cursors.stream().allMatch(c -> !c.streaming() || c.copying() || c.applied() >= end);
    }

    // ---- what it is at

    VolumeMeasures measures() {
        return replica.measures();
    }

    Journal journal() {
        return replica.journal();
    }

    long term() {
        return term;
    }

    /** Where this term's TERM record ends. */
    long termEnd() {
        return floor;
    }

    long token() {
        return grant.token();
    }

    boolean serving() {
        return open && !stopped.get();
    }

    boolean isStopped() {
        return stopped.get();
    }

    long committed() {
        return replica.committed();
    }

    long durablyCommitted() {
        return durablyCommitted;
    }

    long syncDemand() {
        return syncDemand;
    }

    long floor() {
        return retainFrom;
    }

    long configVersion() {
        return configVersion;
    }

    VolumeConfig config() {
        return config;
    }

    List<PeerCursor> cursors() {
        return cursors;
    }

    /** What a writer that does not serve yet is waiting for. */
    synchronized String waitingFor() {
        return "the TERM record of term " + term + " to be committed: " + membership;
    }
}
