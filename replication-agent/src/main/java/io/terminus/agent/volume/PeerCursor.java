package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.VolumeConfig.Address;
import java.io.IOException;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * How far one peer is in the writer's journal: the meeting point of the writer, which appends, and the peer's stream,
 * which sends and hears acknowledgements. Positions are written by the stream's threads only.
 */
public final class PeerCursor {

    /** What the stream says first: enough for the peer to find where the two journals part. */
    public record Greeting(
            UUID volume,
            long term,
            long token,
            String writer,
            long sizeBytes,
            int segmentBytes,
            Lineage lineage,
            long oldest,
            long end,
            long configVersion,
            byte[] config) {}

    private final Writer writer;
    private final Address address;

    private volatile boolean streaming;
    /** It holds everything before {@link #received}, and is fed: no copy is planned or under way. */
    private volatile boolean joinable;

    private volatile long sentTo;
    private volatile long received = -1;
    private volatile long durable = -1;
    private volatile long applied = -1;
    private volatile String incarnation = "";
    private volatile long heardAtNanos;
    /** Since when every connection to the peer was refused; 0 if the last one was not. */
    private volatile long refusedSinceNanos;

    private volatile @Nullable String trouble = "not connected yet";
    private volatile boolean cannotFollow;
    /** It refused what comes next, and has taken nothing since: that it takes connections is no progress. */
    private volatile boolean withoutSpace;

    private volatile @Nullable RebuildPlan plan;
    private volatile boolean empty;
    private volatile @Nullable Copier copier;
    /** The comparison under way, or how the last one ended. */
    private volatile @Nullable Verification verification;

    /** The highest one sent on this stream. Whoever sends, and before the first: the stream. */
    private volatile long lastSequence;

    private volatile @Nullable PeerMarks marks;
    private volatile Runnable pump = () -> {};
    private volatile long copiesWritten;
    private volatile long copiesDurable;
    private volatile long horizonTold;
    private volatile long aheadBytes;
    private volatile long journalBytes;

    private final VolumeMeasures.Peer measures;
    private final SendStamps stamps = new SendStamps();
    private StageEvents.@Nullable Forward recorded;

    /** A batch that is watched until it is sent: where it ends; {@link Long#MAX_VALUE}: none is. */
    private volatile long watched = Long.MAX_VALUE;

    private volatile long watchedAtNanos;

    PeerCursor(Writer writer, Address address, long nowNanos) {
        this.writer = writer;
        this.address = address;
        this.measures = writer.measures().peer(address.agent());
        this.heardAtNanos = nowNanos;
    }

    public Address address() {
        return address;
    }

    public Greeting greeting() {
        return writer.greeting();
    }

    public Journal journal() {
        return writer.journal();
    }

    void pumpedBy(Runnable stream) {
        pump = stream;
    }

    /** The peer cannot just follow. Returns what it is to do, or null: it cannot be copied to now. */
    public @Nullable RebuildPlan needs(Reception.Needs needs) {
        plan = null;
        empty = needs.since() == 0;
        RebuildPlan made = writer.planFor(this, needs);
        plan = made;
        return made;
    }

    /**
     * The peer took the greeting and holds everything before {@code at}: what follows is sent from there.
     *
     * @param journalBytesThere what its journal may hold
     */
    public void accepted(
            String peerIncarnation, long at, long durableThere, long appliedThere, long journalBytesThere) {
        RebuildPlan planned = plan;
        joinable = false;
        plan = null;
        copiesWritten = 0;
        copiesDurable = 0;
        lastSequence = 0;
        horizonTold = appliedThere;
        aheadBytes = Math.max(journalBytesThere / 4, writer.config().segmentBytes());
        journalBytes = journalBytesThere;
        marks = writer.streamBegins(this, planned, at, durableThere);
        incarnation = peerIncarnation;
        stamps.startOver();
        watched = Long.MAX_VALUE;
        sentTo = at;
        durable = durableThere;
        applied = appliedThere;
        trouble = null;
        cannotFollow = false;
        // The positions first: a peer that lost its memory must not be looked at as streaming with what it had before.
        progressed(at, durableThere, appliedThere);
        streaming = true;
        PeerMarks m = marks;
        if (planned == null) {
            becomeWhole();
        } else if (m != null) {
            Copier c = writer.copierFor(this, m, !empty, () -> pump.run(), appliedThere);
            copier = c;
            c.start();
        }
    }

    private void becomeWhole() {
        joinable = true;
        Verification v = verification;
        if (v != null) {
            v.streamBegins();
        }
    }

    /** Begins to compare the replica; null: that is done already. */
    synchronized @Nullable Verification verify(boolean repairs) {
        Verification before = verification;
        if (before != null && !before.over()) {
            return null;
        }
        Verification v = writer.verificationOf(this, repairs);
        verification = v;
        if (joinable) {
            v.streamBegins(); // if the stream says so, too, that does no harm
        }
        if (!joinable) {
            v.streamEnds(); // it did so between
        }
        v.start();
        return v;
    }

    @Nullable
    Verification verification() {
        return verification;
    }

    long lastSequence() {
        return lastSequence;
    }

    void pump() {
        pump.run();
    }

    /** Cumulative: everything before these positions. */
    public void progressed(long receivedThere, long durableThere, long appliedThere) {
        progressed(receivedThere, durableThere, appliedThere, false);
    }

    /**
     * @param full there is more for the peer, and it has no room. As long as it does nothing to get any, it counts as silent:
     *     else it would hold the volume up for ever. So does one whose disk has no space
     */
    public void progressed(long receivedThere, long durableThere, long appliedThere, boolean full) {
        long before = received;
        boolean takesNothing = receivedThere == before;
        boolean hasEverything = receivedThere >= writer.journal().end();
        withoutSpace &= takesNothing && !hasEverything; // else it would be silent until the next write
        boolean stands = (full || withoutSpace) && takesNothing && durableThere == durable && appliedThere == applied;
        received = receivedThere;
        durable = durableThere;
        applied = appliedThere;
        if (!stands) {
            heard();
        }
        long sentNanos = stamps.received(before, receivedThere, heardAtNanos, measures.ack());
        writer.traced().acknowledged(address.agent(), receivedThere, heardAtNanos);
        StageEvents.Ack event = StageEvents.acksRecorded() ? new StageEvents.Ack() : null;
        if (event != null) {
            event.begin();
        }
        PeerMarks m = marks;
        if (m != null) {
            m.held(durableThere);
        }
        writer.peerProgressed(this);
        if (event != null) {
            event.end();
            if (event.shouldCommit()) {
                event.volume = writer.config().name();
                event.peer = address.agent();
                event.received = receivedThere;
                event.durable = durableThere;
                event.applied = appliedThere;
                event.waitedNanos = sentNanos == 0 ? 0 : heardAtNanos - sentNanos;
                event.commit();
            }
        }
    }

    /** Up to there records are published; they are to be sent. Cheap; any thread. */
    void published(long end, long nowNanos) {
        if (watched == Long.MAX_VALUE && streaming && end > sentTo) {
            watchedAtNanos = nowNanos;
            watched = end;
            if (end <= sentTo) {
                watched = Long.MAX_VALUE; // somebody else has just sent it, and may not have seen that it is watched
            }
        }
    }

    /** Of the copy under way, the items up to these are in the peer's image, and durable there. */
    public void copied(long written, long durableThere) {
        Copier c = copier;
        if (c != null && (written > copiesWritten || durableThere > copiesDurable)) {
            copiesWritten = written;
            copiesDurable = durableThere;
            c.acknowledged(written, durableThere);
            if (c.done() && !joinable) {
                becomeWhole();
            }
        }
        Verification v = verification;
        if (v != null && joinable) {
            v.acknowledged(written, durableThere, applied);
        }
    }

    /** These blocks of that item's range differ there. Told before {@link #copied} covers the item. */
    public void compared(long sequence, long blocks) throws IOException {
        Copier c = copier;
        if (c != null && !c.done()) {
            c.compared(sequence, blocks);
        }
        Verification v = verification;
        if (v != null && joinable) {
            v.compared(sequence, blocks);
        }
    }

    /**
     * The item of a copy that may go out now, or null: everything before its position has been sent. If that is not so,
     * the peer hears at times how far it may apply what it has, or its journal would fill behind a copy that cannot come.
     */
    public @Nullable CopyItem copyToSend() {
        Copier c = copier;
        Verification v = verification;
        CopyItem next = c != null && !c.done() ? c.peek() : v == null ? null : v.peek();
        if (next == null || next.position() <= sentTo) {
            return next;
        }
        return received > horizonTold ? new CopyItem(0, CopyItem.Kind.HORIZON, received, 0, 0, null) : null;
    }

    /**
     * Journal bytes may be sent up to here. While a copy is under way the peer applies nothing behind the newest position
     * it was told, and its journal must hold what comes behind that: full, it would read no further, and so never hear of
     * the next position. A quarter of it may lie behind its checkpoint; another one, or at least a segment, because no record
     * is longer, is for this.
     */
    public long sendLimit() {
        Copier c = copier;
        if (c != null && !c.done()) {
            return horizonTold + aheadBytes;
        }
        Verification v = verification;
        return v == null || !v.limits() ? Long.MAX_VALUE : Math.max(horizonTold, applied) + aheadBytes;
    }

    /** That item is with the socket. */
    public void copySent(CopyItem item) {
        horizonTold = Math.max(horizonTold, item.position());
        lastSequence = Math.max(lastSequence, item.sequence());
        if (item.kind() != CopyItem.Kind.HORIZON) {
            measures.copySent(item);
        }
        StageEvents.Copy event = new StageEvents.Copy();
        if (event.isEnabled()) {
            event.volume = writer.config().name();
            event.peer = address.agent();
            event.kind = item.kind().name();
            event.offset = item.offset();
            event.length = item.length();
            event.bytes = item.weight();
            event.commit();
        }
        Copier c = copier;
        if (c != null && !c.done()) {
            if (item.equals(c.peek())) {
                c.sent();
            }
            return;
        }
        Verification v = verification;
        if (v != null && item.equals(v.peek())) {
            v.sent();
        }
    }

    /** A connection was refused: the peer's machine says that nobody listens there. */
    public void nobodyThere() {
        if (refusedSinceNanos == 0) {
            refusedSinceNanos = System.nanoTime() | 1;
        }
    }

    /** A connection was taken. */
    public void somebodyThere() {
        refusedSinceNanos = 0;
    }

    boolean nobodyThereFor(long nanos) {
        long since = refusedSinceNanos;
        return since != 0 && System.nanoTime() - since > nanos;
    }

    public void heard() {
        heardAtNanos = System.nanoTime();
    }

    /** The peer has no space for what comes next. */
    public void withoutSpace(String why) {
        withoutSpace = true;
        lost(why);
    }

    public void lost(String why) {
        joinable = false;
        streaming = false;
        trouble = why;
        streamEnded();
    }

    private void streamEnded() {
        joinable = false;
        plan = null;
        Copier c = copier;
        copier = null;
        if (c != null) {
            c.stop();
        }
        Verification v = verification;
        if (v != null) {
            v.streamEnds();
        }
        PeerMarks m = marks;
        marks = null;
        if (m != null) {
            m.following(false);
        }
    }

    /** The term is over, and with it whatever it copies. */
    void end() {
        streamEnded();
        Verification v = verification;
        if (v != null) {
            v.stop("the term ended, or the replica was taken away");
        }
    }

    /** The peer cannot be fed from this journal: it needs more than a stream. */
    public void cannotFollow(String why) {
        joinable = false;
        streaming = false;
        cannotFollow = true;
        trouble = why;
        streamEnded();
    }

    /** The peer refuses what comes next, again. Returns whether that is because it is damaged here, so that the peer cannot be fed. */
    public boolean refusedAgain(String why) {
        boolean damaged = writer.isDamagedAt(received);
        if (damaged) {
            cannotFollow(why);
        }
        return damaged;
    }

    /** The peer has been sealed by a newer writer: this one is over. */
    public void fenced(String message) {
        writer.fenced(message);
    }

    /** Called by the one thread that is about to send journal bytes: nobody else sends any meanwhile. */
    public void beforeSend() {
        writer.hooks().beforeSend();
        if (StageEvents.forwardsRecorded()) {
            StageEvents.Forward event = new StageEvents.Forward();
            event.begin();
            recorded = event;
        }
    }

    public long sentTo() {
        return sentTo;
    }

    /**
     * Called by that thread when the run up to there is with the socket.
     *
     * @param beganNanos when that began
     * @param gathered whether the bytes were copied, and not sent by file region
     */
    public void sent(long to, long beganNanos, boolean gathered) {
        measures.sent(to - sentTo, gathered);
        if (gathered) {
            writer.measures().gathered(to - sentTo);
        }
        sentUpTo(to, beganNanos);
    }

    /** The same of a run that was compressed to so many bytes. */
    public void sentPacked(long to, long beganNanos, int packedBytes) {
        measures.sentPacked(to - sentTo, packedBytes);
        writer.measures().gathered(to - sentTo);
        sentUpTo(to, beganNanos);
    }

    private void sentUpTo(long to, long beganNanos) {
        long from = sentTo;
        sentTo = to;
        stamps.sent(to, beganNanos);
        if (watched <= to) {
            measures.forward().record(beganNanos - watchedAtNanos);
            watched = Long.MAX_VALUE;
        }
        StageEvents.Forward event = recorded;
        recorded = null;
        if (event != null) {
            event.end();
            if (event.shouldCommit()) {
                event.volume = writer.config().name();
                event.peer = address.agent();
                event.from = from;
                event.bytes = to - from;
                event.commit();
            }
        }
    }

    /** What every message tells the peer besides bytes. */
    public long committed() {
        return writer.committed();
    }

    /** The peer is asked to sync up to here without delay. */
    public long syncDemand() {
        return writer.syncDemand();
    }

    /** What to tell a peer that was told of this version of the value block; null: nothing newer. */
    public @Nullable Greeting configNewerThan(long version) {
        return writer.configVersion() > version ? writer.greeting() : null;
    }

    /** Journal positions before this are needed by nobody. */
    public long floor() {
        return writer.floor();
    }

    public boolean streaming() {
        return streaming;
    }

    public boolean needsCopy() {
        return cannotFollow;
    }

    /** The peer was told what to do, and has not begun. */
    public boolean planned() {
        return plan != null;
    }

    /** A copy is under way. */
    boolean copying() {
        Copier c = copier;
        return plan != null || (c != null && !c.done());
    }

    /** One word, not several that could change one after the other: until a copy has ended the peer is no member. */
    boolean joinable() {
        return joinable;
    }

    @Nullable
    CopyProgress copyProgress() {
        Copier c = copier;
        if (c == null) {
            return plan == null ? null : new CopyProgress(CopyProgress.Phase.PREPARING, 0, 0, 0);
        }
        return c.done() ? null : c.progress();
    }

    /** What its journal may hold, as it said; 0: it did not. */
    long journalBytes() {
        return journalBytes;
    }

    /** Journal bytes before this are of no use to the peer. */
    long wantsFrom() {
        RebuildPlan planned = plan;
        return planned == null ? durable : planned.at();
    }

    public long received() {
        return received;
    }

    public long durable() {
        return durable;
    }

    public long applied() {
        return applied;
    }

    public @Nullable String trouble() {
        return trouble;
    }

    String incarnation() {
        return incarnation;
    }

    long heardAtNanos() {
        return heardAtNanos;
    }
}
