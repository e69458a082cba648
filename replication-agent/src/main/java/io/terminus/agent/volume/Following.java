package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import io.terminus.lockmgr.fencing.FencingChecker;
import io.terminus.ranges.BlockRange;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whom this replica answers to, and what it takes from whom: seals, streams, copies, and the tail that a candidate here collects. All of
 * that has to be in order with journal bytes, and happens under one lock, the fence. Any thread.
 */
final class Following {

    private static final Logger LOG = LoggerFactory.getLogger(Following.class);

    private final String agent;
    private final Replica replica;
    private final KnownBlock known;
    private final RoleState roles;
    private final WriterSeat seat;

    /** Orders everything that may append to the journal, or ends somebody's right to. */
    private final Object fence = new Object();

    /** The newest token answered to, by the volume's bytes: all of them, as long as a volume has one writer. Under the fence. */
    private final FencingChecker tokens = new FencingChecker();

    private volatile @Nullable Inbound inbound;

    Following(Surroundings around, KnownBlock known, RoleState roles, WriterSeat seat) {
        this.agent = around.agent();
        this.replica = around.replica();
        this.known = known;
        this.roles = roles;
        this.seat = seat;
        tokens.fence(BlockRange.WHOLE, replica.superblock().fence().token());
    }

    /** As {@link Volume#accept}. */
    Reception accept(PeerCursor.Greeting hello) throws RefusedException {
        synchronized (fence) {
            roles.requireWorking();
            known.requireReadable(hello.config(), hello.configVersion());
            raiseFence(hello.term(), hello.token(), hello.writer());
            growAsSaid(hello);
            if (hello.segmentBytes() != known.config().segmentBytes()
                    || hello.sizeBytes() != known.config().sizeBytes()) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "this replica of " + known.name() + " has "
                                + known.config().sizeBytes() + " bytes in segments of "
                                + known.config().segmentBytes() + ", not " + hello.sizeBytes() + " in "
                                + hello.segmentBytes());
            }
            Reception.Needs needs = needs(hello);
            if (needs != null) {
                roles.say(needs.why());
                return needs;
            }
            return new Reception.Follows(follow(hello));
        }
    }

    /** As {@link Volume#rebuild}. */
    Inbound rebuild(PeerCursor.Greeting hello, Reception.Needs told, RebuildPlan plan) throws RefusedException {
        synchronized (fence) {
            roles.requireWorking();
            requireSealedBy(hello.term());
            if (!told.equals(needs(hello))) {
                throw new RefusedException(Why.NOT_READY, "this replica has changed since it was asked");
            }
            try {
                known.remember(hello.config(), hello.configVersion());
                if (known.config().member(agent).isPresent()) {
                    throw new RefusedException(
                            Why.NOT_READY,
                            agent + " is in sync by version " + known.version()
                                    + ": it cannot be copied to before it has left");
                }
                endStream(Why.NOT_READY, "a copy begins");
                if (!plan.goesOn() && !plan.whole() && replica.applied() < told.common()) {
                    throw new RefusedException(
                            Why.NOT_READY, "the journal here holds records that are not applied yet: ask again");
                }
                long since = plan.whole() ? -1 : told.since();
                LOG.info(
                        "volume {}: {} copies to this replica: {}; the image was whole at {}",
                        known.name(),
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
                    replica.goOn(plan.copy(), since, hello.end());
                } else {
                    replica.startOver(plan.copy(), since, told.common(), plan.at(), plan.lineage());
                }
            } catch (IOException e) {
                throw known.cannotStore("journal or superblock", e);
            }
            roles.say("copied to by " + hello.writer() + " in term " + hello.term() + ": " + told.why());
            Inbound in = new Inbound(fence, replica, hello.term(), hello.writer(), known::inSync);
            inbound = in;
            return in;
        }
    }

    /** The volume grew while this replica was away. */
    private void growAsSaid(PeerCursor.Greeting hello) throws RefusedException {
        if (hello.sizeBytes() > known.config().sizeBytes() && hello.configVersion() > known.version()) {
            try {
                known.remember(hello.config(), hello.configVersion());
            } catch (IOException e) {
                throw known.cannotStore("the superblock", e);
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
            known.remember(hello.config(), hello.configVersion());
        } catch (IOException e) {
            throw known.cannotStore("journal or superblock", e);
        }
        endStream(Why.NOT_READY, "a new stream took its place");
        replica.streamBegins(hello.end());
        Inbound in = new Inbound(fence, replica, hello.term(), hello.writer(), known::inSync);
        inbound = in;
        roles.say("fed by " + hello.writer() + " in term " + hello.term());
        return in;
    }

    private void cutTail(long common) throws IOException {
        Path rescued = replica.cut(common);
        if (rescued != null) {
            LOG.warn(
                    "volume {}: records past the end of their term were never acknowledged and are now in {}",
                    known.name(),
                    rescued);
        }
    }

    /** The image may hold writes that were given up by a term this replica has not been fed from. */
    boolean leftBehindBy(VolumeConfig.Fork fork) {
        return fork.term() > replica.journal().lineage().lastTerm() && replica.imageReach() > fork.position();
    }

    /** As {@link Volume#told}. */
    void told(byte[] newer, long version) throws RefusedException {
        known.requireReadable(newer, version);
        try {
            synchronized (fence) {
                known.remember(newer, version);
            }
        } catch (IOException e) {
            throw known.cannotStore("the superblock", e);
        }
    }

    /** As {@link Volume#seal}. */
    Election.Answer seal(long term, long token, long seenVersion, String candidate) throws RefusedException {
        synchronized (fence) {
            roles.requireWorking();
            if (seenVersion < known.version()) {
                throw new RefusedException(
                        Why.OTHER_CONFIG,
                        "agent " + agent + " has seen version " + known.version() + " of the value block, " + candidate
                                + " acts on version " + seenVersion);
            }
            raiseFence(term, token, candidate);
            return answer();
        }
    }

    /** As {@link Volume#supply}. */
    Journal supply(long term) throws RefusedException {
        synchronized (fence) {
            roles.requireWorking();
            if (replica.superblock().fence().term() != term) {
                throw fenced("sealed by term " + replica.superblock().fence().term() + ", not by " + term);
            }
            return replica.journal();
        }
    }

    /**
     * Cuts this replica's journal to what it shares with the best tail, and opens it for the rest of that tail, as long as
     * no newer term has been answered to.
     */
    Inbound collect(long term, String from, long common) throws IOException, RefusedException {
        synchronized (fence) {
            roles.requireWorking();
            requireSealedBy(term);
            Path rescued = replica.cut(common);
            if (rescued != null) {
                LOG.warn("volume {}: records that lost the election are now in {}", known.name(), rescued);
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
    void open(VolumeConfig taken, long version, Grant granted, Writer.Owner owner)
            throws IOException, RefusedException {
        synchronized (fence) {
            roles.requireWorking();
            requireSealedBy(taken.term());
            if (replica.rebuilding()) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "a copy to the image here began meanwhile: it is a mixture and cannot be served");
            }
            endStream(Why.NOT_READY, "the tail is here");
            seat.open(taken, version, granted, owner);
        }
    }

    /** Keeps a value block that this agent has read, or written. */
    void remember(VolumeConfig newer, long version) throws IOException {
        synchronized (fence) {
            known.remember(newer.encode(), version);
        }
    }

    /** Ends what feeds this replica. */
    void end(Why why, String words) {
        synchronized (fence) {
            endStream(why, words);
        }
    }

    /** When this returns, nothing is under way that began before. */
    void requireWorking() throws RefusedException {
        synchronized (fence) {
            roles.requireWorking();
        }
    }

    /** Something is durable or applied here that was not. */
    void progressed() {
        Inbound in = inbound;
        if (in != null) {
            in.progressMade();
        }
    }

    void compared(long sequence, long blocks) {
        Inbound in = inbound;
        if (in != null) {
            in.compared(sequence, blocks);
        }
    }

    private void endStream(Why why, String words) {
        Inbound in = inbound;
        if (in != null) {
            in.end(why, words);
            inbound = null;
        }
    }

    private Election.Answer answer() {
        Journal journal = replica.journal();
        return new Election.Answer(
                agent,
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

    /** Under the fence. Equal terms pass: a writer connects again, a candidate asks again. */
    private void raiseFence(long term, long token, String by) throws RefusedException {
        long sealed = replica.superblock().fence().term();
        if (term < sealed) {
            throw fenced("agent " + agent + " answers to term " + sealed + ", not to " + term);
        }
        // Terms and tokens rise together, unless the lock manager's data were set back to an older copy: then it gives
        // out
        // tokens a second time, and only those who keep the newest they have seen can tell.
        if (tokens.admit(BlockRange.WHOLE, token) instanceof FencingChecker.Refused newer) {
            throw fenced("agent " + agent + " has answered to token " + newer.fencedBy()
                    + " and not to the older "
                    + token + " of " + by + " in term " + term
                    + ": the lock manager gives out old tokens, its epoch has to be raised");
        }
        if (term == sealed) {
            return;
        }
        endStream(Why.FENCED, "term " + term + " of " + by + " began");
        seat.stopOlderThan(term, "sealed by " + by + " for term " + term);
        replica.journal().closeTerm(); // captures under way become part of the answer, later ones are refused
        try {
            replica.update(s -> s.with(new Superblock.Fence(term, token)));
            tokens.fence(BlockRange.WHOLE, token);
        } catch (IOException e) {
            throw known.cannotStore("the fence", e);
        }
    }

    private RefusedException fenced(String message) {
        replica.measures().fenceRefused();
        return new RefusedException(Why.FENCED, message);
    }
}
