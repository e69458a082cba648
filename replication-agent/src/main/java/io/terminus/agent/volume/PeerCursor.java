package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.VolumeConfig.Address;
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
    private volatile long sentTo;
    private volatile long received = -1;
    private volatile long durable = -1;
    private volatile long applied = -1;
    private volatile String incarnation = "";
    private volatile long heardAtNanos;
    private volatile @Nullable String trouble = "not connected yet";
    private volatile boolean cannotFollow;

    PeerCursor(Writer writer, Address address, long nowNanos) {
        this.writer = writer;
        this.address = address;
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

    /** The peer took the greeting and holds everything before {@code at}: what follows is sent from there. */
    public void accepted(String peerIncarnation, long at, long durableThere, long appliedThere) {
        incarnation = peerIncarnation;
        sentTo = at;
        durable = durableThere;
        applied = appliedThere;
        trouble = null;
        cannotFollow = false;
        // The positions first: a peer that lost its memory must not be looked at as streaming with what it had before.
        progressed(at, durableThere, appliedThere);
        streaming = true;
    }

    /** Cumulative: everything before these positions. */
    public void progressed(long receivedThere, long durableThere, long appliedThere) {
        received = receivedThere;
        durable = durableThere;
        applied = appliedThere;
        heard();
        writer.peerProgressed(this);
    }

    public void heard() {
        heardAtNanos = System.nanoTime();
    }

    public void lost(String why) {
        streaming = false;
        trouble = why;
    }

    /** The peer cannot be fed from this journal: it needs more than a stream. */
    public void cannotFollow(String why) {
        streaming = false;
        cannotFollow = true;
        trouble = why;
    }

    /** The peer has been sealed by a newer writer: this one is over. */
    public void fenced(String message) {
        writer.fenced(message);
    }

    public long sentTo() {
        return sentTo;
    }

    public void sent(long to) {
        sentTo = to;
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
