package io.terminus.agent.volume;

import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeAuthority.Block;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import io.terminus.agent.volume.VolumeConfig.Member;
import io.terminus.agent.volume.VolumeMeasures.ElectionOutcome;
import io.terminus.lockmgr.fencing.FencingChecker;
import io.terminus.ranges.BlockRange;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One volume on this agent: its replica, and what the agent is for it at the moment.
 *
 * <pre>
 *   REPLICA --(last writer, or automatic failover)--> STANDBY --(granted)--> CANDIDATE --(TERM committed)--> WRITER
 *      ^------(lock lost, fenced, handed over, election not won in time)------------------------------------------'
 * </pre>
 *
 * <p>Two kinds of things happen: those that must be in order with journal bytes (seals, streams, terms) happen under
 * {@code fence}; those that talk to the lock manager happen on the volume's own thread, which never waits for a network.
 * An election waits for many things, and has a thread of its own.
 */
public final class Volume implements AutoCloseable, Writer.Owner {

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

    static final String DEMOTED = "demoted: served by nobody until an agent is promoted";

    private static final Logger LOG = LoggerFactory.getLogger(Volume.class);
    private static final long TICK_MILLIS = 100;
    private static final long RETRY_MILLIS = 1_000;
    private static final Duration CAN_HOLD_TIMEOUT = Duration.ofSeconds(5);

    private final Settings settings;
    private final Replica replica;
    private final VolumeAuthority authority;
    private final PeerNetwork network;
    private final Consumer<Volume> onDeleted;
    private final ScheduledExecutorService thread;
    private final CopyRate copyRate = new CopyRate();
    private final ReplicaReads reads;

    /** Orders everything that may append to the journal, or ends somebody's right to. */
    private final Object fence = new Object();

    /** The newest token answered to, by the volume's bytes: all of them, as long as a volume has one writer. Under the fence. */
    private final FencingChecker tokens = new FencingChecker();

    private @Nullable Inbound inbound;
    private volatile @Nullable Writer writer;
    private volatile State state = new State(Role.REPLICA, "starting");
    private volatile VolumeConfig config;
    private volatile long configVersion;
    private volatile @Nullable Grant grant;
    private volatile VolumeAuthority.@Nullable Waiting waiting;
    private volatile @Nullable ElectionRun election;

    /** When the last election began, and what a recording is told of it. The volume's thread. */
    private long electionAtNanos;

    private StageEvents.@Nullable Election electionRecorded;
    private volatile @Nullable Promotion promotion;
    private volatile boolean closing;
    private final Object marksLock = new Object();
    private volatile boolean marksLacking;

    /** What this agent is for the volume, and why: one value, so that nobody sees the one without the other. */
    private record State(Role role, String why) {}

    /** An operator's word that this agent is to write. */
    record Promotion(boolean force, boolean acceptDataLoss) {}

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
        this.onDeleted = onDeleted;
        this.config = config;
        this.configVersion = replica.superblock().seen().version();
        this.replica = replica;
        tokens.fence(BlockRange.WHOLE, replica.superblock().fence().token());
        this.settings = settings;
        this.authority = authority;
        this.network = network;
        this.reads = new ReplicaReads(this, replica, network);
        this.thread = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().name("volume-" + config.name()).daemon().factory());
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
                Inbound in = inbound;
                if (in != null) {
                    in.compared(sequence, blocks);
                }
            }

            @Override
            public void doubted() {
                onThread(Volume.this::standNoMoreIfInDoubt);
            }

            @Override
            public void failed(String why) {
                replicaFailed(why);
            }
        });
        String failed = replica.superblock().life().failed();
        if (!failed.isEmpty()) {
            become(Role.FAILED, failed);
            return;
        }
        if (everInUse()) {
            keepMarks();
        }
        thread.execute(this::decide);
        thread.scheduleWithFixedDelay(this::tick, TICK_MILLIS, TICK_MILLIS, TimeUnit.MILLISECONDS);
    }

    // ---- clients

    public String name() {
        return config.name();
    }

    public VolumeConfig config() {
        return config;
    }

    public boolean serving() {
        Writer w = writer;
        return w != null && w.serving();
    }

    public VolumeClient attach(ClientReplies replies) throws NotServedException {
        Writer w = writer;
        if (w == null || !w.serving()) {
            throw new NotServedException("volume " + name() + " is not served by agent " + settings.agent()
                    + "; its writer is " + config.writer());
        }
        return w.attach(replies);
    }

    /** Reads of clients here while another agent writes. */
    public ReplicaReads reads() {
        return reads;
    }

    // ---- what peers ask

    /** Fills {@code into} with the committed state from {@code offset} on; returns a position that nothing of it lies behind. */
    public long readForReplica(long offset, ByteBuffer into) throws RefusedException, IOException {
        Writer w = requireWriter();
        long size = w.config().sizeBytes();
        if (offset < 0 || offset > size - into.remaining()) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "[" + offset + ", +" + into.remaining() + ") is not within the " + size + " bytes of " + name());
        }
        w.read(offset, into);
        long position = w.committed();
        if (!w.believes()) {
            throw new RefusedException(Why.NOT_READY, "the volume's lock is not known to be held any more");
        }
        return position;
    }

    /** A writer wants to feed this replica. */
    public Reception accept(PeerCursor.Greeting hello) throws RefusedException {
        synchronized (fence) {
            requireWorking();
            requireReadable(hello.config(), hello.configVersion());
            raiseFence(hello.term(), hello.token(), hello.writer());
            growAsSaid(hello);
            if (hello.segmentBytes() != config.segmentBytes() || hello.sizeBytes() != config.sizeBytes()) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "this replica of " + name() + " has " + config.sizeBytes() + " bytes in segments of "
                                + config.segmentBytes() + ", not " + hello.sizeBytes() + " in " + hello.segmentBytes());
            }
            Reception.Needs needs = needs(hello);
            if (needs != null) {
                say(needs.why());
                return needs;
            }
            return new Reception.Follows(follow(hello));
        }
    }

    /**
     * The writer brings this replica back: from here on its image is a mixture, until the copy has ended.
     *
     * @param told what this replica answered to {@code hello}; if that is true no longer, nothing is done
     */
    public Inbound rebuild(PeerCursor.Greeting hello, Reception.Needs told, RebuildPlan plan) throws RefusedException {
        synchronized (fence) {
            requireWorking();
            requireSealedBy(hello.term());
            if (!told.equals(needs(hello))) {
                throw new RefusedException(Why.NOT_READY, "this replica has changed since it was asked");
            }
            try {
                remember(hello.config(), hello.configVersion());
                if (config.member(settings.agent()).isPresent()) {
                    throw new RefusedException(
                            Why.NOT_READY,
                            settings.agent() + " is in sync by version " + configVersion
                                    + ": it cannot be copied to before it has left");
                }
                if (inbound != null) {
                    inbound.end(Why.NOT_READY, "a copy begins");
                    inbound = null;
                }
                if (!plan.goesOn() && !plan.whole() && replica.applied() < told.common()) {
                    throw new RefusedException(
                            Why.NOT_READY, "the journal here holds records that are not applied yet: ask again");
                }
                long since = plan.whole() ? -1 : told.since();
                LOG.info(
                        "volume {}: {} copies to this replica: {}; the image was whole at {}",
                        name(),
                        hello.writer(),
                        told.why(),
                        since);
                if (plan.goesOn()) {
                    if (!told.follows() || plan.at() != told.common()) {
                        throw new RefusedException(
                                Why.BAD_MESSAGE, "the journal here cannot go on at " + plan.at() + ": " + told);
                    }
                    cutTail(told.common());
                    Inbound.secure(replica, replica.applied(), replica.journal().end());
                    replica.goOn(plan.copy(), since);
                } else {
                    replica.startOver(plan.copy(), since, told.common(), plan.at(), plan.lineage());
                }
            } catch (IOException e) {
                throw cannotStore("journal or superblock", e);
            }
            say("copied to by " + hello.writer() + " in term " + hello.term() + ": " + told.why());
            Inbound in = new Inbound(fence, replica, hello.term(), hello.writer(), this::inSync);
            inbound = in;
            return in;
        }
    }

    /** The volume grew while this replica was away. */
    private void growAsSaid(PeerCursor.Greeting hello) throws RefusedException {
        if (hello.sizeBytes() > config.sizeBytes() && hello.configVersion() > configVersion) {
            try {
                remember(hello.config(), hello.configVersion());
            } catch (IOException e) {
                throw cannotStore("the superblock", e);
            }
        }
    }

    /** Under the fence: why this replica cannot just follow, or null if it can. */
    private Reception.@Nullable Needs needs(PeerCursor.Greeting hello) throws RefusedException {
        Journal journal = replica.journal();
        if (journal.lineage().lastTerm() == hello.term() && hello.end() < journal.end()) {
            // One process writes a term, and its journal only grows. While this agent was stopped the writer tried more
            // than once, and a later try was read first: to cut to this one would undo what was acknowledged.
            throw new RefusedException(
                    Why.NOT_READY,
                    "the journal here reaches " + journal.end() + " in term " + hello.term() + ", past the "
                            + hello.end() + " of this stream: it was opened before one that was served already");
        }
        Superblock.Rebuild rebuild = replica.superblock().rebuild();
        long common = journal.lineage().commonEnd(hello.lineage(), journal.end(), hello.end());
        long applied = replica.applied();
        if (common < applied) {
            return diverged(
                    common,
                    "the image holds writes up to position " + applied + " that the volume has lost after position "
                            + common);
        }
        VolumeConfig.Fork fork = fork(hello);
        if (leftBehindBy(fork)) {
            return diverged(
                    common,
                    "term " + fork.term() + " gave up everything after position " + fork.position()
                            + ", and the image here may hold writes up to " + replica.imageReach());
        }
        boolean reached = common >= hello.oldest();
        if (reached && !rebuild.underWay()) {
            return null;
        }
        if (!reached && applied < common) {
            // What lies between is the volume's, for the writer has released it: with it less has to be copied.
            replica.applyAllTo(common);
            String waitsFor = replica.waitingFor();
            throw new RefusedException(
                    Why.NOT_READY,
                    "the image here has everything before " + applied + " so far, of " + common
                            + (waitsFor == null ? "" : "; it waits for " + waitsFor));
        }
        return new Reception.Needs(
                reached
                        ? "a copy has not ended here"
                        : "the journal here ends at " + common + ", and " + hello.writer() + " has only what follows "
                                + hello.oldest(),
                common,
                rebuild.copy(),
                rebuild.underWay() ? rebuild.since() : common,
                reached);
    }

    private static Reception.Needs diverged(long common, String why) {
        return new Reception.Needs(why + ": it has to be rebuilt", common, "", -1, false);
    }

    private static VolumeConfig.Fork fork(PeerCursor.Greeting hello) throws RefusedException {
        try {
            return VolumeConfig.decode(hello.config()).fork();
        } catch (VolumeConfig.UnreadableConfigException e) {
            throw new RefusedException(Why.OTHER_CONFIG, e.getMessage());
        }
    }

    private Inbound follow(PeerCursor.Greeting hello) throws RefusedException {
        Journal journal = replica.journal();
        try {
            cutTail(journal.lineage().commonEnd(hello.lineage(), journal.end(), hello.end()));
            Inbound.secure(replica, replica.applied(), journal.end());
            remember(hello.config(), hello.configVersion());
        } catch (IOException e) {
            throw cannotStore("journal or superblock", e);
        }
        if (inbound != null) {
            inbound.end(Why.NOT_READY, "a new stream took its place");
        }
        replica.streamBegins();
        Inbound in = new Inbound(fence, replica, hello.term(), hello.writer(), this::inSync);
        inbound = in;
        say("fed by " + hello.writer() + " in term " + hello.term());
        return in;
    }

    private boolean inSync() {
        return config.member(settings.agent()).isPresent();
    }

    private void cutTail(long common) throws IOException {
        Path rescued = replica.cut(common);
        if (rescued != null) {
            LOG.warn(
                    "volume {}: records past the end of their term were never acknowledged and are now in {}",
                    name(),
                    rescued);
        }
    }

    /** The image may hold writes that were given up by a term this replica has not been fed from. */
    boolean leftBehindBy(VolumeConfig.Fork fork) {
        return fork.term() > replica.journal().lineage().lastTerm() && replica.imageReach() > fork.position();
    }

    /** The writer tells of a newer value block. */
    public void told(byte[] newer, long version) throws RefusedException {
        requireReadable(newer, version);
        try {
            synchronized (fence) {
                remember(newer, version);
            }
        } catch (IOException e) {
            throw cannotStore("the superblock", e);
        }
        thread.execute(() -> {
            if (config.standing() != Standing.IN_USE) {
                giveUpWaiting("out of use");
            }
            decide();
        });
    }

    /**
     * Raises the fence to {@code term}, durably, and then tells what this replica has. After the answer nothing of an
     * older term is taken here, and an older writer here has stopped.
     */
    public Election.Answer seal(long term, long token, long seenVersion, String candidate) throws RefusedException {
        synchronized (fence) {
            requireWorking();
            if (seenVersion < configVersion) {
                throw new RefusedException(
                        Why.OTHER_CONFIG,
                        "agent " + settings.agent() + " has seen version " + configVersion + " of the value block, "
                                + candidate + " acts on version " + seenVersion);
            }
            raiseFence(term, token, candidate);
            return answer();
        }
    }

    /** The journal, for a candidate that collects the tail under this term's seal. */
    public Journal supply(long term) throws RefusedException {
        synchronized (fence) {
            requireWorking();
            if (replica.superblock().fence().term() != term) {
                throw fenced("sealed by term " + replica.superblock().fence().term() + ", not by " + term);
            }
            return replica.journal();
        }
    }

    /** Has any value block ever named this replica? If not, it is what an unfinished creation left behind. */
    boolean everInUse() {
        return configVersion > 0;
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

    private Election.Answer answer() {
        Journal journal = replica.journal();
        return new Election.Answer(
                settings.agent(),
                journal.lineage(),
                journal.oldest(),
                journal.end(),
                journal.durable(),
                replica.committed(),
                replica.applied(),
                replica.superblock().life().memoryLost(),
                // A mixture vouches for nothing either, whatever its journal holds.
                replica.superblock().life().damaged() || replica.rebuilding());
    }

    private void requireWorking() throws RefusedException {
        if (role() == Role.FAILED) {
            throw new RefusedException(Why.FAILED, "the replica at " + settings.agent() + " has failed: " + why());
        }
        if (closing) {
            throw new RefusedException(Why.NOT_READY, "agent " + settings.agent() + " is stopping");
        }
    }

    /** Under the fence. Equal terms pass: a writer connects again, a candidate asks again. */
    private void raiseFence(long term, long token, String by) throws RefusedException {
        long sealed = replica.superblock().fence().term();
        if (term < sealed) {
            throw fenced("agent " + settings.agent() + " answers to term " + sealed + ", not to " + term);
        }
        // Terms and tokens rise together, unless the lock manager's data were set back to an older copy: then it gives
        // out
        // tokens a second time, and only those who keep the newest they have seen can tell.
        if (tokens.admit(BlockRange.WHOLE, token) instanceof FencingChecker.Refused newer) {
            throw fenced("agent " + settings.agent() + " has answered to token " + newer.fencedBy()
                    + " and not to the older "
                    + token + " of " + by + " in term " + term
                    + ": the lock manager gives out old tokens, its epoch has to be raised");
        }
        if (term == sealed) {
            return;
        }
        if (inbound != null) {
            inbound.end(Why.FENCED, "term " + term + " of " + by + " began");
            inbound = null;
        }
        Writer w = writer;
        if (w != null && w.term() < term) {
            w.stop("sealed by " + by + " for term " + term);
        }
        replica.journal().closeTerm(); // captures under way become part of the answer, later ones are refused
        try {
            replica.update(s -> s.with(new Superblock.Fence(term, token)));
            tokens.fence(BlockRange.WHOLE, token);
        } catch (IOException e) {
            throw cannotStore("the fence", e);
        }
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
        requireWorking();
        if (config.standing() == Standing.DELETED
                || config.address(settings.agent()).isEmpty()) {
            throw new RefusedException(Why.NOT_READY, "the replica of " + name() + " here is none any more");
        }
        if (replica.differingBlocks() > 0) {
            throw new RefusedException(Why.NOT_READY, doubtful());
        }
    }

    private RefusedException fenced(String message) {
        replica.measures().fenceRefused();
        return new RefusedException(Why.FENCED, message);
    }

    /** A full disk passes, and is told to whoever asked. Any other failure to write is final. */
    private RefusedException cannotStore(String what, IOException e) {
        String why = what + " cannot be written: " + e.getMessage();
        if (e instanceof CannotGrowException) {
            say(String.valueOf(e.getMessage()));
            return new RefusedException(Why.NO_SPACE, e.getMessage());
        }
        if (e instanceof NoSpaceException || e instanceof Replica.DiskFullException) {
            say(why);
            return new RefusedException(Why.NO_SPACE, why);
        }
        replica.fail(why);
        return new RefusedException(Why.FAILED, why);
    }

    /** What another version wrote, or nobody, says nothing against this replica: it waits for a writer it understands. */
    private void requireReadable(byte[] encoded, long version) throws RefusedException {
        try {
            if (version > configVersion) {
                VolumeConfig.decode(encoded);
            }
        } catch (VolumeConfig.UnreadableConfigException e) {
            throw new RefusedException(
                    Why.OTHER_CONFIG,
                    "agent " + settings.agent() + " cannot act on the value block: " + e.getMessage());
        }
    }

    /** Keeps the newest value block seen. A member under this incarnation has all its memory. */
    private void remember(byte[] encoded, long version) throws IOException {
        if (version <= configVersion) {
            return;
        }
        VolumeConfig newer;
        try {
            newer = VolumeConfig.decode(encoded);
        } catch (VolumeConfig.UnreadableConfigException e) {
            throw new IOException(e.getMessage(), e);
        }
        boolean vouched = newer.inSync().contains(new Member(settings.agent(), incarnation()));
        replica.update(s -> {
            Superblock next = s.with(new Superblock.Seen(encoded, version));
            return vouched ? next.vouched() : next;
        });
        // Before anybody acts on the new size, a client or a record: and tried again if it fails.
        try {
            replica.grow(newer.sizeBytes());
        } catch (IOException e) {
            throw new CannotGrowException(
                    "the image at " + settings.agent() + " cannot grow to " + newer.sizeBytes() + " bytes: "
                            + e.getMessage(),
                    e);
        }
        config = newer;
        configVersion = version;
        keepMarks();
    }

    /** Not final: this replica goes without until it can. */
    private static final class CannotGrowException extends IOException {
        CannotGrowException(String message, IOException cause) {
            super(message, cause);
        }
    }

    /** For every replica that is not in sync: whoever is, can bring it back one day. Without space it is tried again. */
    private void keepMarks() {
        synchronized (marksLock) { // who comes last goes by the newest block
            VolumeConfig now = config;
            Set<String> absent = now.replicas().stream()
                    .map(VolumeConfig.Address::agent)
                    .filter(a -> !a.equals(settings.agent()) && now.member(a).isEmpty())
                    .collect(Collectors.toSet());
            try {
                replica.marks().keepFor(absent);
                marksLacking = false;
            } catch (IOException e) {
                if (!marksLacking) {
                    LOG.warn(
                            "volume {}: no marks are kept for {} until they can be: {}",
                            name(),
                            absent,
                            e.getMessage());
                }
                marksLacking = true;
            }
        }
    }

    // ---- who is to write: on the volume's thread

    private void tick() {
        try {
            Writer w = writer;
            if (w != null) {
                w.steward();
            }
            if (marksLacking) {
                keepMarks();
            }
            replica.rest(System.nanoTime());
        } catch (RuntimeException e) {
            LOG.error("volume {}: our own bug; the writer stops", name(), e);
            Writer w = writer;
            if (w != null) {
                w.stop("internal error: " + e);
            }
        }
    }

    /** Looks at the value block and takes up what it asks of this agent. */
    private void decide() {
        if (closing || role() != Role.REPLICA || election != null || waiting != null) {
            return;
        }
        authority
                .read()
                .whenComplete((block, failure) -> onThread(() -> {
                    if (failure != null) {
                        say("waiting for the lock manager: " + failure.getMessage());
                        later(this::decide);
                    } else {
                        decide(block);
                    }
                }));
    }

    private void decide(Block block) {
        VolumeConfig current = block.config();
        if (closing || role() != Role.REPLICA || election != null || waiting != null) {
            return;
        }
        if (current == null) {
            say("the lock manager knows nothing of this volume (yet)");
            later(this::decide);
            return;
        }
        if (current.saysDeleted(config.uuid())) {
            say("deleted");
            onDeleted.accept(this);
            return;
        }
        if (!current.uuid().equals(config.uuid()) && !everInUse()) {
            say("being created: the lock manager's volume " + name() + " is still " + current.uuid());
            later(this::decide);
            return;
        }
        if (!current.uuid().equals(config.uuid())) {
            say("the lock manager's volume " + name() + " is another one: " + current.uuid() + ", here is "
                    + config.uuid());
            return;
        }
        if (block.version() < configVersion) {
            say("the lock manager's value block went back from version " + configVersion + " to " + block.version()
                    + ": no election until an operator has looked");
            later(this::decide);
            return;
        }
        try {
            synchronized (fence) {
                remember(current.encode(), block.version());
            }
        } catch (IOException e) {
            LOG.warn("volume {}: {}", name(), cannotStore("the superblock", e).getMessage());
            later(this::decide);
            return;
        }
        if (current.address(settings.agent()).isEmpty()) {
            say("no replica of this volume any more");
        } else if (current.standing() == Standing.DEMOTED) {
            say(DEMOTED);
        } else if (current.member(settings.agent()).isEmpty()) {
            say("not in sync: waits for " + current.writer());
        } else if (current.writer().equals(settings.agent())) {
            waitForLock(true, Duration.ZERO);
        } else if (current.failover() == Failover.AUTOMATIC && replica.differingBlocks() > 0) {
            say(doubtful());
        } else if (current.failover() == Failover.AUTOMATIC) {
            waitForLock(true, Duration.ZERO);
        } else {
            say("in sync, written by " + current.writer());
        }
    }

    private String doubtful() {
        return "in sync, but " + replica.differingBlocks() + " blocks of the image here were found to differ from the"
                + " writer's: takes over only when promoted";
    }

    /** Was it compared meanwhile, with the result that it should not take over by itself, or may again? */
    private void standNoMoreIfInDoubt() {
        if (replica.differingBlocks() == 0) {
            decide();
        } else if (!config.writer().equals(settings.agent())) {
            giveUpWaiting(doubtful());
        }
    }

    private void waitForLock(boolean standby, Duration wait) {
        if (!become(Role.STANDBY, "waiting for the volume's lock")) {
            return;
        }
        VolumeAuthority.Waiting w = authority.lock(standby, wait, new VolumeAuthority.HolderEvents() {
            @Override
            public void recalled() {
                onThread(Volume.this::handOver);
            }

            @Override
            public void lost(String why) {
                lockLost(why);
            }
        });
        waiting = w;
        w.granted()
                .whenComplete((granted, failure) -> onThread(() -> {
                    if (!w.equals(waiting)) {
                        if (granted != null) {
                            granted.release();
                        }
                        return;
                    }
                    waiting = null;
                    if (failure != null) {
                        promotion = null;
                        standDown("no lock: " + failure.getMessage());
                    } else {
                        elect(granted);
                    }
                }));
    }

    private void elect(Grant granted) {
        grant = granted;
        if (!become(Role.CANDIDATE, "granted the lock, reading the value block")) {
            standDown("granted the lock after all");
            return;
        }
        ElectionRun run = new ElectionRun(this, granted, promotion);
        election = run;
        electionAtNanos = System.nanoTime();
        StageEvents.Election event = new StageEvents.Election();
        event.begin();
        electionRecorded = event;
        Thread.ofVirtual().name("election-" + name()).start(() -> {
            String lostBecause = run.run();
            onThread(() -> electionOver(run, lostBecause));
        });
    }

    /** {@code why} is null if the volume is served. */
    private void electionOver(ElectionRun run, @Nullable String why) {
        if (!run.equals(election)) {
            return;
        }
        election = null;
        promotion = null;
        Writer w = writer;
        boolean won = why == null && w != null && !w.isStopped() && become(Role.WRITER, "serving in term " + w.term());
        electionMeasured(won, why, w);
        if (won && w != null) {
            LOG.info("volume {}: {} serves in term {}", name(), settings.agent(), w.term());
            return;
        }
        LOG.info("volume {}: election not won: {}", name(), why);
        if (w != null) {
            w.stop(why == null ? "the term ended" : why);
        }
        standDown(why == null ? "the term ended" : why);
    }

    private void electionMeasured(boolean won, @Nullable String why, @Nullable Writer w) {
        replica.measures()
                .elections(won ? ElectionOutcome.WON : ElectionOutcome.LOST)
                .record(System.nanoTime() - electionAtNanos);
        StageEvents.Election event = electionRecorded;
        electionRecorded = null;
        if (event != null) {
            event.end();
            if (event.shouldCommit()) {
                event.volume = name();
                event.term = w == null ? 0 : w.term();
                event.outcome = won ? "won" : why == null ? "the term ended" : why;
                event.commit();
            }
        }
    }

    /** Gives the lock up; unless the replica has failed, it is looked again later what this agent is to be. */
    private void standDown(String why) {
        Grant g = grant;
        grant = null;
        if (g != null) {
            g.release();
        }
        if (become(Role.REPLICA, why)) {
            later(this::decide);
        }
    }

    /** Whether there was a wait for the lock to end. A grant that comes all the same is given back. The volume's thread. */
    private boolean cancelWaiting() {
        VolumeAuthority.Waiting w = waiting;
        waiting = null;
        if (w != null) {
            w.cancel();
        }
        return w != null;
    }

    /** The one way from role to role. Any thread. Returns false, and changes nothing, once the replica has failed: that is for good. */
    private synchronized boolean become(Role role, String why) {
        if (state.role == Role.FAILED) {
            return false;
        }
        state = new State(role, why);
        return true;
    }

    private Role role() {
        return state.role;
    }

    private String why() {
        return state.why;
    }

    /** Somebody needs the lock. */
    private void handOver() {
        ElectionRun run = election;
        if (run != null) {
            run.abandon("the lock was recalled");
            return;
        }
        Writer w = writer;
        if (w == null || w.isStopped()) {
            standDown("the lock was recalled");
            return;
        }
        say("handing over: waiting until everything is committed");
        Thread.ofVirtual().name("hand-over-" + name()).start(() -> {
            w.drain(settings.drainTimeout());
            w.stop("handed over");
        });
    }

    /** From the lock client's thread: when this returns, nothing is served under the lost grant. */
    private void lockLost(String why) {
        ElectionRun run = election;
        if (run != null) {
            run.abandon("the lock was lost: " + why);
        }
        Writer w = writer;
        if (w != null) {
            w.stop("the volume's lock was lost: " + why);
        }
    }

    @Override
    public void writerStopped(Writer stopped, String why) {
        onThread(() -> {
            if (stopped.equals(writer)) {
                writer = null;
                if (election == null) {
                    standDown(why);
                }
            }
        });
    }

    @Override
    public void configChanged(VolumeConfig newer, long version) {
        try {
            synchronized (fence) {
                remember(newer.encode(), version);
            }
        } catch (IOException e) {
            LOG.warn("volume {}: {}", name(), cannotStore("the superblock", e).getMessage());
        }
    }

    /**
     * Cuts this replica's journal to what it shares with the best tail, and opens it for the rest of that tail, as long as
     * no newer term has been answered to.
     */
    Inbound collect(long term, String from, long common) throws IOException, RefusedException {
        synchronized (fence) {
            requireWorking();
            requireSealedBy(term);
            Path rescued = replica.cut(common);
            if (rescued != null) {
                LOG.warn("volume {}: records that lost the election are now in {}", name(), rescued);
            }
            Inbound tail = new Inbound(fence, replica, term, from, () -> true);
            inbound = tail;
            return tail;
        }
    }

    private void requireSealedBy(long term) throws RefusedException {
        long sealed = replica.superblock().fence().term();
        if (sealed != term) {
            throw fenced("sealed by term " + sealed + " before term " + term + " opened");
        }
    }

    /** Puts a term's writer in place, unless a newer term has been answered to meanwhile. */
    void open(VolumeConfig taken, long version, Grant granted) throws IOException, RefusedException {
        synchronized (fence) {
            requireWorking();
            requireSealedBy(taken.term());
            if (replica.rebuilding()) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "a copy to the image here began meanwhile: it is a mixture and cannot be served");
            }
            if (inbound != null) {
                inbound.end(Why.NOT_READY, "the tail is here");
                inbound = null;
            }
            Writer w = new Writer(
                    replica,
                    taken,
                    version,
                    granted,
                    settings.agent(),
                    network,
                    settings.peerTimeout(),
                    copyRate,
                    settings.hooks(),
                    this);
            writer = w;
            w.start();
        }
    }

    private void replicaFailed(String why) {
        become(Role.FAILED, why);
        stopWriter(why);
        // Not under the fence: the failing thread may hold it.
        onThread(() -> {
            cancelWaiting();
            promotion = null;
            ElectionRun run = election;
            if (run != null) {
                run.abandon(why);
            }
            synchronized (fence) {
                if (inbound != null) {
                    inbound.end(Why.FAILED, why);
                    inbound = null;
                }
            }
            stopWriter(why); // the fence was waited for: an election that was let through before has put its writer in
            // place
            standDown(why);
        });
    }

    private void stopWriter(String why) {
        Writer w = writer;
        if (w != null) {
            w.stop(why);
        }
    }

    private void progressed() {
        Writer w = writer;
        if (w != null) {
            w.advance();
        }
        Inbound in = inbound;
        if (in != null) {
            in.progressMade();
        }
    }

    // ---- what operators ask

    /**
     * Makes this agent the writer; returns when it serves.
     *
     * @param progress hears what is being waited for
     */
    public void promote(boolean force, boolean acceptDataLoss, Duration timeout, Consumer<String> progress)
            throws RefusedException, InterruptedException {
        synchronized (fence) {
            requireWorking();
        }
        if (serving()) {
            return;
        }
        requireMember(acceptDataLoss);
        begin(() -> beginPromotion(new Promotion(force, acceptDataLoss), timeout));
        long until = System.nanoTime() + timeout.toNanos();
        boolean revoked = false;
        String last = "";
        while (!serving()) {
            String now =
                    role() == Role.STANDBY && config.member(settings.agent()).isPresent()
                            ? "waiting for " + config.writer() + (force ? " to lose the lock" : " to hand over")
                            : why();
            if (!now.equals(last)) {
                progress.accept(now);
                last = now;
            }
            if (force && !revoked && role() == Role.STANDBY) {
                revoked = true;
                authority
                        .revokeHolder()
                        .whenComplete((what, failure) -> progress.accept(
                                failure == null ? what : "the lock manager does not revoke: " + failure.getMessage()));
            }
            if (promotion == null && role() == Role.REPLICA && !last.isEmpty() && election == null && waiting == null) {
                throw new RefusedException(Why.NOT_READY, "not promoted: " + why());
            }
            if (role() == Role.FAILED) {
                throw new RefusedException(Why.FAILED, why());
            }
            if (System.nanoTime() > until) {
                throw new RefusedException(Why.NOT_READY, "not promoted within " + timeout + ": " + why());
            }
            Thread.sleep(20);
        }
    }

    /** Asked before anybody is disturbed: an election that cannot be won would only stop the writer. */
    private void requireMember(boolean acceptDataLoss) throws RefusedException, InterruptedException {
        if (replica.rebuilding()) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "the image at " + settings.agent()
                            + " is a mixture: a copy to it was begun and has not ended. Only another replica can serve");
        }
        try {
            VolumeConfig now = authority.read().get(10, TimeUnit.SECONDS).config();
            if (now != null && now.address(settings.agent()).isEmpty()) {
                throw new RefusedException(
                        Why.NOT_READY, settings.agent() + " holds no replica of " + name() + " any more");
            }
            if (now != null && now.member(settings.agent()).isEmpty() && !acceptDataLoss) {
                throw new RefusedException(
                        Why.NOT_READY,
                        settings.agent() + " is not in sync with " + name() + ": the in-sync set is "
                                + now.inSync().stream().map(Member::agent).toList()
                                + ". What it misses is given up only with --accept-data-loss");
            }
        } catch (ExecutionException | TimeoutException e) {
            throw new RefusedException(Why.NOT_READY, "the lock manager does not answer: " + e.getMessage());
        }
    }

    /** Returns when it has begun: before, the volume looks as if the promotion were over. */
    private void begin(Runnable what) throws RefusedException, InterruptedException {
        try {
            thread.submit(what).get();
        } catch (RejectedExecutionException e) {
            throw new RefusedException(Why.NOT_READY, "agent " + settings.agent() + " is stopping");
        } catch (ExecutionException e) {
            throw new IllegalStateException("what was asked of " + name() + " cannot begin", e.getCause());
        }
    }

    private void beginPromotion(Promotion asked, Duration timeout) {
        if (role() == Role.WRITER || role() == Role.CANDIDATE || role() == Role.FAILED) {
            return;
        }
        cancelWaiting();
        promotion = asked;
        waitForLock(false, timeout);
    }

    /**
     * Gives the volume one more replica, whose agent has made an empty one already; returns when the value block names it.
     * It is then copied to, and joins the in-sync set by itself. Asked of the writer; doing it again is no error.
     */
    public void addReplica(VolumeConfig.Address replica, Duration timeout)
            throws RefusedException, InterruptedException {
        long until = System.nanoTime() + timeout.toNanos();
        while (true) {
            Writer w = requireWriter();
            VolumeConfig now = w.config();
            VolumeConfig.Address there = now.address(replica.agent()).orElse(null);
            if (replica.equals(there)) {
                return;
            }
            if (there != null) {
                throw new RefusedException(
                        Why.OTHER_SHAPE, "agent " + replica.agent() + " has a replica already, at " + there.peer());
            }
            w.addReplica(replica);
            if (System.nanoTime() > until) {
                throw new RefusedException(
                        Why.NOT_READY, "the value block does not name " + replica.agent() + " within " + timeout);
            }
            Thread.sleep(20);
        }
    }

    /**
     * Takes a replica from the volume; returns when the value block does not name it any more. It leaves the in-sync set
     * by the same rule as one that has failed: the others hold everything acknowledged. Its files stay where they are.
     * Asked of the writer; doing it again is no error.
     */
    public void removeReplica(String agent, Duration timeout) throws RefusedException, InterruptedException {
        long until = System.nanoTime() + timeout.toNanos();
        while (true) {
            Writer w = requireWriter();
            VolumeConfig now = w.config();
            if (now.address(agent).isEmpty()) {
                return;
            }
            if (agent.equals(settings.agent())) {
                throw new RefusedException(
                        Why.OTHER_SHAPE, agent + " writes volume " + name() + ": promote another agent first");
            }
            long membersLeft =
                    now.inSync().stream().filter(m -> !m.agent().equals(agent)).count();
            if (!now.canSpareOne() || membersLeft < now.minCopies()) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "without " + agent + " volume " + name() + " has "
                                + (now.replicas().size() - 1)
                                + " replicas, " + membersLeft + " of them in sync; copies " + now.copies()
                                + " and minCopies " + now.minCopies() + " need more");
            }
            w.removeReplica(agent);
            if (System.nanoTime() > until) {
                throw new RefusedException(Why.NOT_READY, "the value block still names " + agent + " after " + timeout);
            }
            Thread.sleep(20);
        }
    }

    /**
     * Ends service everywhere, in good order, until an agent is promoted; returns when the value block says so and the lock
     * is given up. Asked of the writer; doing it again is no error.
     */
    public void demote() throws RefusedException, InterruptedException {
        if (config.standing() == Standing.DEMOTED) {
            return;
        }
        retire(requireWriter(), Standing.DEMOTED);
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
        Writer w = writer;
        if (w != null && w.serving()) {
            int clients = w.clients();
            if (clients > 0 && !force) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "volume " + name() + " is used by " + clients
                                + " clients: it is deleted under them only with --force");
            }
            List<VolumeConfig.Address> replicas = w.config().replicas();
            retire(w, Standing.DELETED);
            return replicas;
        }
        return deleteUnserved(force, timeout);
    }

    /** What is not in the block when that is over is not done: the next election decides anew. */
    private void retire(Writer w, Standing standing) throws RefusedException, InterruptedException {
        say(standing == Standing.DEMOTED ? "demoting: waiting until everything is committed" : "being deleted");
        w.drain(settings.drainTimeout());
        w.becomes(standing);
        long until = System.nanoTime() + settings.drainTimeout().toNanos();
        while (w.config().standing() != standing && !w.isStopped() && System.nanoTime() < until) {
            Thread.sleep(5);
        }
        boolean done = w.config().standing() == standing;
        w.stop(standing == Standing.DEMOTED ? "demoted" : done ? "deleted" : "it was to be deleted");
        if (!done) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "it is not known whether volume " + name() + " is "
                            + (standing == Standing.DEMOTED ? "demoted" : "deleted")
                            + " by its value block: ask again");
        }
        while (grant != null && System.nanoTime() < until) {
            Thread.sleep(5);
        }
    }

    private List<VolumeConfig.Address> deleteUnserved(boolean force, Duration timeout)
            throws RefusedException, InterruptedException {
        begin(() -> giveUpWaiting("being deleted"));
        // A standby is in nobody's way, and granted at once if nobody writes.
        VolumeAuthority.Waiting wait = authority.lock(!force, timeout, new VolumeAuthority.HolderEvents() {
            @Override
            public void recalled() {}

            @Override
            public void lost(String why) {}
        });
        Grant granted;
        try {
            granted = wait.granted().get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException | TimeoutException e) {
            wait.cancel();
            onThread(this::decide);
            throw new RefusedException(
                    Why.NOT_READY,
                    "volume " + name() + " is not served by agent " + settings.agent() + ", and its lock is held by"
                            + " somebody else, as by its writer " + config.writer()
                            + ": ask there, or take it away with --force");
        }
        try {
            Block block = authority.read().get(timeout.toMillis(), TimeUnit.MILLISECONDS);
            VolumeConfig now = block.config();
            if (now == null || (!now.uuid().equals(config.uuid()) && !now.saysDeleted(config.uuid()))) {
                throw new RefusedException(
                        Why.OTHER_CONFIG,
                        "the value block of " + name() + " is not this volume's: here is " + config.uuid());
            }
            if (!now.saysDeleted(config.uuid())
                    && !(granted.put(block.version(), now.with(Standing.DELETED))
                                    .get(timeout.toMillis(), TimeUnit.MILLISECONDS)
                            instanceof VolumeAuthority.Put.Stored)) {
                throw new RefusedException(
                        Why.NOT_READY, "it is not known whether volume " + name() + " is deleted: ask again");
            }
            return now.replicas();
        } catch (ExecutionException | TimeoutException e) {
            throw new RefusedException(Why.NOT_READY, "the lock manager does not answer: " + e.getMessage());
        } finally {
            granted.release();
            onThread(this::decide);
        }
    }

    private void giveUpWaiting(String why) {
        if (role() == Role.STANDBY && promotion == null && cancelWaiting()) {
            become(Role.REPLICA, why);
        }
    }

    /**
     * Gives the volume more room; returns when the value block says so and the image here has grown. Clients see it when
     * they connect anew. Asked of the writer; doing it again is no error.
     */
    public void resize(long sizeBytes, Duration timeout) throws RefusedException, InterruptedException {
        Volumes.requireShape(name(), sizeBytes);
        long until = System.nanoTime() + timeout.toNanos();
        boolean tried = false;
        while (true) {
            Writer w = requireWriter();
            if (config.sizeBytes() == sizeBytes) {
                return;
            }
            if (config.sizeBytes() > sizeBytes) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "volume " + name() + " has " + config.sizeBytes() + " bytes, and " + sizeBytes
                                + " are less: a volume only grows, for nobody but its clients knows what they keep at"
                                + " its end");
            }
            if (!tried) {
                requireRoomAtMembers(w.config(), sizeBytes);
                tried = true;
            }
            w.grow(sizeBytes);
            if (System.nanoTime() > until) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "the value block, or the image at " + settings.agent() + ", does not have " + sizeBytes
                                + " bytes after " + timeout + ": " + why());
            }
            Thread.sleep(20);
        }
    }

    /**
     * Changes what an acknowledgement asks for, while clients go on; returns when the value block says so. Asked of the
     * writer; doing it again is no error.
     *
     * @param level null: as it is; so with the others
     */
    public void set(@Nullable AckLevel level, @Nullable Integer copies, @Nullable Integer minCopies, Duration timeout)
            throws RefusedException, InterruptedException {
        VolumeConfig.Acks now = requireWriter().config().acks();
        VolumeConfig.Acks next = new VolumeConfig.Acks(
                level == null ? now.level() : level,
                copies == null ? now.copies() : copies,
                minCopies == null ? now.minCopies() : minCopies);
        Volumes.requireAcks(next, config.replicas().size());
        long until = System.nanoTime() + timeout.toNanos();
        while (true) {
            Writer w = requireWriter();
            if (config.acks().equals(next) && w.config().acks().equals(next)) {
                w.asks(null);
                return;
            }
            w.asks(next);
            if (System.nanoTime() > until) {
                w.asks(null);
                throw new RefusedException(
                        Why.NOT_READY,
                        "what is acknowledged already does not satisfy " + next + " within " + timeout
                                + ", or the lock manager did not answer; now it is "
                                + w.config().acks());
            }
            Thread.sleep(20);
        }
    }

    /** Asked before the block says it: from then on every replica has to. One that cannot would leave the set, and stay behind. */
    private void requireRoomAtMembers(VolumeConfig now, long sizeBytes) throws RefusedException, InterruptedException {
        requireRoom(sizeBytes);
        Map<String, CompletableFuture<Void>> asked = new LinkedHashMap<>();
        for (VolumeConfig.Address a : now.replicas()) {
            if (!a.agent().equals(settings.agent()) && now.member(a.agent()).isPresent()) {
                asked.put(a.agent(), network.canHold(a, now.uuid(), sizeBytes, CAN_HOLD_TIMEOUT));
            }
        }
        for (Map.Entry<String, CompletableFuture<Void>> member : asked.entrySet()) {
            try {
                member.getValue().get();
            } catch (ExecutionException e) {
                Throwable why = e.getCause() == null ? e : e.getCause();
                throw new RefusedException(
                        Why.NOT_READY,
                        "volume " + name() + " stays as it is: member " + member.getKey()
                                + " does not say that it can hold " + sizeBytes + " bytes: " + why.getMessage());
            }
        }
    }

    /** Whether the replica here could be so large. */
    public void requireRoom(long sizeBytes) throws RefusedException {
        requireWorking();
        try {
            replica.image().requireRoomFor(sizeBytes);
        } catch (IOException e) {
            throw new RefusedException(
                    Why.NO_SPACE,
                    "no file of " + sizeBytes + " bytes can be made where agent " + settings.agent()
                            + " keeps its image: " + e.getMessage());
        }
    }

    private Writer requireWriter() throws RefusedException {
        Writer w = writer;
        if (w == null || !w.serving()) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "volume " + name() + " is not served by agent " + settings.agent() + "; its writer is "
                            + config.writer());
        }
        return w;
    }

    /**
     * Compares replicas with the image here, while clients go on; {@link #status} tells how far that is. Asked of the
     * writer.
     *
     * @param agent whose replica; empty: every replica that the volume has elsewhere
     * @param repairs what differs there is replaced by what is here
     */
    public void verify(String agent, boolean repairs) throws RefusedException {
        Writer w = requireWriter();
        List<PeerCursor> meant = w.cursors().stream()
                .filter(c -> agent.isEmpty() || c.address().agent().equals(agent))
                .toList();
        if (meant.isEmpty()) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    agent.isEmpty()
                            ? "volume " + name() + " has no other replica to compare with"
                            : "agent " + agent + " has no replica of " + name() + " that agent " + settings.agent()
                                    + ", which writes it, could compare its own with");
        }
        for (PeerCursor c : meant) {
            Verification v = c.verification();
            if (v != null && !v.over()) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "the replica of " + name() + " at " + c.address().agent() + " is being compared already: "
                                + v.progress().comparedBytes() + " bytes so far");
            }
        }
        meant.forEach(c -> c.verify(repairs));
    }

    /** Ends the comparisons under way; what they have found so far stays in {@link #status}. */
    public void stopVerifying() {
        Writer w = writer;
        if (w != null) {
            for (PeerCursor c : w.cursors()) {
                Verification v = c.verification();
                if (v != null) {
                    v.stop("stopped by an operator");
                }
            }
        }
    }

    /** Limits how fast replicas of this volume are copied by this agent, bytes per second; 0: no limit. Takes effect at once. */
    public void copyLimit(long bytesPerSecond) {
        copyRate.limit(bytesPerSecond);
    }

    public long copyLimit() {
        return copyRate.limitBytesPerSecond();
    }

    public VolumeMeasures measures() {
        return replica.measures();
    }

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

    public JournalFill journalFill() {
        Journal journal = replica.journal();
        long applied = replica.applied();
        long durable = journal.durable();
        long oldest = journal.oldest();
        long checkpoint = replica.checkpoint();
        long end = journal.end(); // last: it is never behind the others
        return new JournalFill(
                end - oldest,
                replica.budgetBytes(),
                Math.max(0, checkpoint - oldest),
                Math.max(0, end - durable),
                Math.max(0, end - applied));
    }

    /** How much of this journal a replica with everything before {@code position} has not. */
    public long lagBytes(long position) {
        Journal journal = replica.journal();
        return Math.max(0, journal.end() - Math.max(position, 0));
    }

    /**
     * How long ago the oldest record was captured that a replica with everything before {@code position} has not; 0 if it
     * has all. Of one that is further behind than this journal reaches, the age of the oldest record here.
     */
    public long lagNanos(long position) {
        Journal journal = replica.journal();
        long[] capturedNanos = {0};
        try {
            long end = journal.end();
            long from = Math.max(position, journal.oldest());
            if (from >= end) {
                return 0;
            }
            journal.forEach(from, end, r -> {
                capturedNanos[0] = r.timeNanos();
                return r.kind() == RecordKind.PAD; // it says nothing of when
            });
        } catch (JournalException | IllegalArgumentException e) {
            return 0; // released, cut or closed meanwhile: asked again before long
        }
        Instant now = Instant.now();
        return capturedNanos[0] == 0
                ? 0
                : Math.max(0, now.getEpochSecond() * 1_000_000_000L + now.getNano() - capturedNanos[0]);
    }

    public Status status() {
        VolumeConfig c = config;
        Writer w = writer;
        Grant g = grant;
        Journal journal = replica.journal();
        List<ReplicaStatus> replicas = new ArrayList<>();
        String waitsFor = replica.waitingFor();
        replicas.add(new ReplicaStatus(
                settings.agent(),
                replica.imagePath(),
                c.member(settings.agent()).isPresent(),
                true,
                journal.end(),
                journal.durable(),
                replica.applied(),
                waitsFor != null ? waitsFor : replica.rebuilding() ? "incomplete: its copy has not ended" : "",
                null,
                replica.differingBlocks(),
                null));
        if (w != null) {
            for (PeerCursor p : w.cursors()) {
                String agent = p.address().agent();
                String trouble = p.trouble();
                Verification v = p.verification();
                VerifyProgress verify = v == null ? null : v.progress();
                replicas.add(new ReplicaStatus(
                        agent,
                        null,
                        c.member(agent).isPresent(),
                        p.streaming(),
                        p.received(),
                        p.durable(),
                        p.applied(),
                        trouble == null ? "" : trouble,
                        p.copyProgress(),
                        verify == null ? 0 : verify.differingBlocks() - verify.mendedBlocks(),
                        verify));
            }
        }
        State now = state;
        String waits = w == null ? null : w.whyWritesWait(System.nanoTime());
        String words = w != null && !w.serving() && !w.isStopped() ? w.waitingFor() : waits != null ? waits : now.why();
        return new Status(
                c,
                configVersion,
                now.role(),
                words,
                replica.committed(),
                g == null ? 0 : g.token(),
                waits != null,
                replicas);
    }

    /** Hands over in good order: everything committed and, where peers follow, applied; then closes the replica. */
    @Override
    public void close() {
        Writer w = writer;
        if (w != null && w.serving()) {
            w.drain(settings.drainTimeout());
        }
        closing = true;
        ElectionRun run = election;
        if (run != null) {
            run.abandon("the agent is stopping");
        }
        VolumeAuthority.Waiting wait = waiting;
        if (wait != null) {
            wait.cancel();
        }
        if (w != null) {
            w.stop("the agent is stopping");
        }
        synchronized (fence) {
            if (inbound != null) {
                inbound.end(Why.NOT_READY, "the agent is stopping");
                inbound = null;
            }
        }
        Grant g = grant;
        if (g != null) {
            g.release();
        }
        thread.shutdown();
        replica.close();
    }

    // ---- for the election

    Settings settings() {
        return settings;
    }

    VolumeAuthority authority() {
        return authority;
    }

    PeerNetwork network() {
        return network;
    }

    Replica replica() {
        return replica;
    }

    long configVersion() {
        return configVersion;
    }

    boolean closing() {
        return closing;
    }

    /** The role is as it was, for another reason. */
    synchronized void say(String what) {
        become(state.role, what);
    }

    @Nullable
    Writer writer() {
        return writer;
    }

    void taken(VolumeConfig newer, long version) throws IOException {
        synchronized (fence) {
            remember(newer.encode(), version);
        }
    }

    private void later(Runnable what) {
        if (!closing) {
            try {
                thread.schedule(what, RETRY_MILLIS, TimeUnit.MILLISECONDS);
            } catch (RejectedExecutionException e) {
                LOG.debug("volume {} is closed", name());
            }
        }
    }

    private void onThread(Runnable what) {
        try {
            thread.execute(what);
        } catch (RejectedExecutionException e) {
            LOG.debug("volume {} is closed", name());
        }
    }
}
