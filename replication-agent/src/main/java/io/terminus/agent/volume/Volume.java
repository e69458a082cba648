package io.terminus.agent.volume;

import com.google.errorprone.annotations.CanIgnoreReturnValue;
import com.google.errorprone.annotations.concurrent.GuardedBy;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.volume.RefusedException.Why;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One volume on this agent: its replica, and what the agent is for it at the moment. What is asked of it goes to the part that can answer:
 *
 * <pre>
 *   {@link RoleState}    what this agent is for the volume, and why
 *   {@link KnownBlock}   the newest value block seen here
 *   {@link Following}    whom the replica answers to, and what it takes from whom; the fence
 *   {@link WriterSeat}   the writer of a term, while it is this agent
 *   {@link Candidacy}    whether this agent is to write: the lock, elections, the end of a term; the volume's thread
 *   {@link Promoting}, {@link Alterations}, {@link Retirement}   what operators ask
 *   {@link StatusView}   what those are told who look
 * </pre>
 *
 * <p>Two kinds of things happen: those that must be in order with journal bytes (seals, streams, terms) happen under the fence; those that
 * talk to the lock manager happen on the volume's own thread, which never waits for a network. Any thread may call this.
 */
public final class Volume implements AutoCloseable {

    /** What an agent gives all its volumes. */
    public record Settings(
            String agent,
            String bootId,
            long journalBudgetBytes,
            Duration peerTimeout,
            Duration electionTimeout,
            Duration drainTimeout,
            TestHooks hooks) {

        /** The budget in segments; a journal needs three to go round: written, made ready, being applied. */
        int segments(VolumeConfig config) {
            return (int) Math.max(3, journalBudgetBytes / config.segmentBytes());
        }
    }

    /** The volume is not served by this agent now. */
    public static final class NotServedException extends Exception {
        NotServedException(String message) {
            super(message);
        }
    }

    /**
     * One replica, as this agent sees it. Positions are -1 where they are not known.
     *
     * @param copy how far the copy to it is, if one is under way
     * @param differingBlocks what the last comparison found and left; only the replica itself remembers it for long
     * @param verify how far its comparison is, or how the last one of this term ended
     */
    public record ReplicaStatus(
            String agent,
            @Nullable Path image,
            boolean inSync,
            boolean connected,
            long received,
            long durable,
            long applied,
            String detail,
            @Nullable CopyProgress copy,
            long differingBlocks,
            @Nullable VerifyProgress verify) {}

    public record Status(
            VolumeConfig config,
            long configVersion,
            Role role,
            String detail,
            long committed,
            long token,
            boolean writesWait,
            List<ReplicaStatus> replicas) {}

    /**
     * How full this replica's journal is, in bytes.
     *
     * @param usedBytes held, of {@code budgetBytes}
     * @param retainedBytes of those, what only peers may still need
     * @param unsyncedBytes published, and not on the disk
     * @param unappliedBytes not in the image yet
     */
    public record JournalFill(
            long usedBytes, long budgetBytes, long retainedBytes, long unsyncedBytes, long unappliedBytes) {}

    private final Surroundings around;
    private final Replica replica;
    private final RoleState roles;
    private final KnownBlock known;
    private final WriterSeat seat;
    private final Following following;
    private final Candidacy candidacy;
    private final Promoting promoting;
    private final Alterations alterations;
    private final Retirement retirement;
    private final StatusView view;
    private final ReplicaReads reads;

    private final Object closing = new Object();

    @GuardedBy("closing")
    private boolean closed;

    /** @param onDeleted hears that the value block calls this volume deleted; on a thread of the volume, which it is not to keep */
    static Volume open(
            Path dir,
            VolumeConfig config,
            Settings settings,
            VolumeAuthority authority,
            PeerNetwork network,
            Consumer<Volume> onDeleted)
            throws IOException {
        Replica replica = Replica.open(dir, config, settings.segments(config), settings.agent(), settings.bootId());
        return new Volume(config, replica, settings, authority, network, onDeleted);
    }

    private Volume(
            VolumeConfig config,
            Replica replica,
            Settings settings,
            VolumeAuthority authority,
            PeerNetwork network,
            Consumer<Volume> onDeleted) {
        this.replica = replica;
        this.around = new Surroundings(settings, authority, network, replica);
        this.roles = new RoleState(settings.agent());
        this.known = new KnownBlock(settings.agent(), config, replica, roles);
        this.seat = new WriterSeat(around, known);
        this.following = new Following(around, known, roles, seat);
        this.candidacy = new Candidacy(around, known, roles, following, seat, () -> onDeleted.accept(this));
        this.promoting = new Promoting(around, known, roles, following, seat, candidacy);
        this.alterations = new Alterations(around, known, roles, seat);
        this.retirement = new Retirement(around, known, roles, seat, candidacy);
        this.view = new StatusView(around, known, roles, seat, candidacy);
        this.reads = new ReplicaReads(this, replica, network);
    }

    void start() {
        replica.start(new Replica.Observer() {
            @Override
            public void synced() {
                progressed();
            }

            @Override
            public void applied() {
                progressed();
            }

            @Override
            public void compared(long sequence, long blocks) {
                following.compared(sequence, blocks);
            }

            @Override
            public void doubted() {
                candidacy.doubted();
            }

            @Override
            public void failed(String why) {
                candidacy.failed(why);
            }
        });
        String failed = replica.superblock().life().failed();
        if (!failed.isEmpty()) {
            roles.become(Role.FAILED, failed);
            return;
        }
        if (everInUse()) {
            known.keepMarks();
        }
        candidacy.start();
    }

    private void progressed() {
        seat.advance();
        following.progressed();
    }

    // ---- clients

    public String name() {
        return known.name();
    }

    public VolumeConfig config() {
        return known.config();
    }

    public boolean serving() {
        return seat.serving();
    }

    public VolumeClient attach(ClientReplies replies) throws NotServedException {
        return seat.attach(replies);
    }

    /** Reads of clients here while another agent writes. */
    public ReplicaReads reads() {
        return reads;
    }

    /** Why {@link #reads} would not read now, or null. */
    public @Nullable String refusesReads() {
        try {
            requireReadableHere();
            return null;
        } catch (RefusedException e) {
            return e.getMessage();
        }
    }

    /** Whether a client may read what the replica here holds, or lacks and can fetch. */
    void requireReadableHere() throws RefusedException {
        roles.requireWorking();
        VolumeConfig config = known.config();
        if (config.standing() == Standing.DELETED
                || config.address(around.agent()).isEmpty()) {
            throw new RefusedException(Why.NOT_READY, "the replica of " + name() + " here is none any more");
        }
        if (replica.differingBlocks() > 0) {
            throw new RefusedException(Why.NOT_READY, candidacy.doubtful());
        }
        if (following.leftBehindBy(config.fork())) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "term " + config.fork().term() + " gave up what the image at " + around.agent()
                            + " may hold: until that is made anew it is not the volume");
        }
    }

    // ---- what peers ask

    /** Fills {@code into} with the committed state from {@code offset} on; returns a position that nothing of it lies behind. */
    public long readForReplica(long offset, ByteBuffer into) throws RefusedException, IOException {
        return seat.readForReplica(offset, into);
    }

    /** A writer wants to feed this replica. */
    public Reception accept(PeerCursor.Greeting hello) throws RefusedException {
        return following.accept(hello);
    }

    /**
     * The writer brings this replica back: from here on its image is a mixture, until the copy has ended.
     *
     * @param told what this replica answered to {@code hello}; if that is true no longer, nothing is done
     */
    public Inbound rebuild(PeerCursor.Greeting hello, Reception.Needs told, RebuildPlan plan) throws RefusedException {
        return following.rebuild(hello, told, plan);
    }

    /** The writer tells of a newer value block. */
    public void told(byte[] newer, long version) throws RefusedException {
        following.told(newer, version);
        candidacy.told();
    }

    /**
     * Raises the fence to {@code term}, durably, and then tells what this replica has. After the answer nothing of an
     * older term is taken here, and an older writer here has stopped.
     */
    public Election.Answer seal(long term, long token, long seenVersion, String candidate) throws RefusedException {
        return following.seal(term, token, seenVersion, candidate);
    }

    /** The journal, for a candidate that collects the tail under this term's seal. */
    public Journal supply(long term) throws RefusedException {
        return following.supply(term);
    }

    /** Whether the replica here could be so large. */
    public void requireRoom(long sizeBytes) throws RefusedException {
        alterations.requireRoom(sizeBytes);
    }

    /** Has any value block ever named this replica? If not, it is what an unfinished creation left behind. */
    boolean everInUse() {
        return known.everInUse();
    }

    /** Bytes that the journal here may hold, or on a tight disk should. */
    public long journalBytes() {
        return replica.roomyBytes();
    }

    public Path imagePath() {
        return replica.imagePath();
    }

    /** What the in-sync set is to know this replica by: another name after every loss. */
    public String incarnation() {
        return replica.superblock().life().incarnation();
    }

    // ---- what operators ask

    /**
     * Makes this agent the writer; returns when it serves.
     *
     * @param progress hears what is being waited for
     */
    public void promote(boolean force, boolean acceptDataLoss, Duration timeout, Consumer<String> progress)
            throws RefusedException, InterruptedException {
        promoting.promote(force, acceptDataLoss, timeout, progress);
    }

    /** Refuses what {@link #addReplica} would refuse now: to be asked before anything is made at that agent. */
    public void requireMayAdd(VolumeConfig.Address added) throws RefusedException {
        alterations.requireMayAdd(added);
    }

    /**
     * Gives the volume one more replica, whose agent has made an empty one already; returns when the value block names it.
     * It is then copied to, and joins the in-sync set by itself. Asked of the writer; doing it again is no error.
     */
    public void addReplica(VolumeConfig.Address added, Duration timeout) throws RefusedException, InterruptedException {
        alterations.addReplica(added, timeout);
    }

    /**
     * Takes a replica from the volume; returns when the value block does not name it any more. It leaves the in-sync set
     * by the same rule as one that has failed: the others hold everything acknowledged. Its files stay where they are.
     * Asked of the writer; doing it again is no error.
     *
     * @return false: it was none of the volume's
     */
    @CanIgnoreReturnValue
    public boolean removeReplica(String agent, Duration timeout) throws RefusedException, InterruptedException {
        return alterations.removeReplica(agent, timeout);
    }

    /**
     * Gives the volume more room; returns when the value block says so and the image here has grown. Clients see it when
     * they connect anew. Asked of the writer; doing it again is no error.
     */
    public void resize(long sizeBytes, Duration timeout) throws RefusedException, InterruptedException {
        alterations.resize(sizeBytes, timeout);
    }

    /**
     * Changes what an acknowledgement asks for, while clients go on; returns when the value block says so. Asked of the
     * writer; doing it again is no error.
     *
     * @param level null: as it is; so with the others
     */
    public void set(@Nullable AckLevel level, @Nullable Integer copies, @Nullable Integer minCopies, Duration timeout)
            throws RefusedException, InterruptedException {
        alterations.set(level, copies, minCopies, timeout);
    }

    /**
     * Compares replicas with the image here, while clients go on; {@link #status} tells how far that is. Asked of the
     * writer.
     *
     * @param agent whose replica; empty: every replica that the volume has elsewhere
     * @param repairs what differs there is replaced by what is here
     */
    public void verify(String agent, boolean repairs) throws RefusedException {
        alterations.verify(agent, repairs);
    }

    /** Ends the comparisons under way; what they have found so far stays in {@link #status}. */
    public void stopVerifying() {
        alterations.stopVerifying();
    }

    /** Limits how fast replicas of this volume are copied by this agent, bytes per second; 0: no limit. Takes effect at once. */
    public void copyLimit(long bytesPerSecond) {
        seat.copyRate().limit(bytesPerSecond);
    }

    public long copyLimit() {
        return seat.copyRate().limitBytesPerSecond();
    }

    /**
     * Ends service everywhere, in good order, until an agent is promoted; returns when the value block says so and the lock
     * is given up. Asked of the writer; doing it again is no error.
     */
    public void demote() throws RefusedException, InterruptedException {
        retirement.demote();
    }

    /**
     * Marks the volume as deleted in the value block, for good: from then on every agent deletes its replica when it learns
     * of that. Asked of the writer, or of any agent with a replica when nobody writes.
     *
     * @param force also while clients use it, or another agent may be serving it
     * @return where its replicas are
     */
    public List<VolumeConfig.Address> delete(boolean force, Duration timeout)
            throws RefusedException, InterruptedException {
        return retirement.delete(force, timeout);
    }

    // ---- what those are told who look

    public VolumeMeasures measures() {
        return replica.measures();
    }

    public JournalFill journalFill() {
        return view.journalFill();
    }

    /** How much of this journal a replica with everything before {@code position} has not. */
    public long lagBytes(long position) {
        return view.lagBytes(position);
    }

    /**
     * How long ago the oldest record was captured that a replica with everything before {@code position} has not; 0 if it
     * has all. Of one that is further behind than this journal reaches, the age of the oldest record here.
     */
    public long lagNanos(long position) {
        return view.lagNanos(position);
    }

    public Status status() {
        return view.status();
    }

    Replica replica() {
        return replica;
    }

    long configVersion() {
        return known.version();
    }

    @Nullable
    Writer writer() {
        return seat.now();
    }

    /**
     * Hands over in good order: everything committed and, where peers follow, applied; then closes the replica. Doing it again does nothing,
     * but returns no earlier: the files are nobody's only then.
     */
    @Override
    public void close() {
        synchronized (closing) {
            if (!closed) {
                closed = true;
                closeNow();
            }
        }
    }

    private void closeNow() {
        String why = "the agent is stopping";
        Writer w = seat.now();
        if (w != null && w.serving()) {
            w.drain(around.settings().drainTimeout());
        }
        roles.close();
        candidacy.abandon(why);
        if (w != null) {
            w.stop(why);
        }
        following.end(Why.NOT_READY, why);
        candidacy.close();
        replica.close();
    }
}
