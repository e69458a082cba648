package io.terminus.agent.volume;

import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.BadRecordException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.journal.JournalNoSpaceException;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.trace.TracedLandings;
import io.terminus.agent.volume.RefusedException.Why;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The stream of one writer's term into this replica's journal. One thread feeds it, the link's reader. It ends when a
 * newer term seals the replica: everything it does happens under the volume's fence, so that after a seal was answered
 * not one byte of the old term can be published.
 */
public final class Inbound {

    /** Everything before these positions, and of a copy the items up to these; cumulative. */
    public record Progress(long received, long durable, long applied, long copiesWritten, long copiesDurable) {}

    private static final Logger LOG = LoggerFactory.getLogger(Inbound.class);

    /** As long as the journal itself waits. */
    private static final long MAX_WAIT_NANOS = 30_000_000_000L;

    private static final long LOOK_NANOS = 1_000_000;

    private final Object fence;
    private final Replica replica;
    private final long term;
    private final String writer;
    private final BooleanSupplier member;
    private final TracedLandings traced;
    private volatile @Nullable RefusedException ended; // written under the fence
    /** The journal's end as far as image space is secured for it: only that is acknowledged. */
    private volatile long secured;

    /** Up to there the journal makes its segments ready without being asked again. The reader's. */
    private long askedEnd;

    private volatile Runnable onProgress = () -> {};
    private volatile Compared onCompared = (sequence, blocks) -> {};

    /** @param member whether this replica is in sync: only then others may need what its journal has */
    Inbound(Object fence, Replica replica, long term, String writer, BooleanSupplier member) {
        this.member = member;
        this.fence = fence;
        this.replica = replica;
        this.term = term;
        this.writer = writer;
        this.traced = new TracedLandings(replica.volume(), writer);
        this.secured = replica.journal().end();
    }

    /** Called, from any thread, when more is durable or applied. */
    public void onProgress(Runnable listener) {
        onProgress = listener;
    }

    /**
     * Called, from the apply thread, with the sequence of an item whose digests were compared and the blocks that differ,
     * before {@link Progress#copiesWritten} says that this was done. Not if none does.
     */
    public void onCompared(Compared listener) {
        onCompared = listener;
    }

    /** Bit b of {@code blocks}: block b of the item's range. */
    @FunctionalInterface
    public interface Compared {
        void differing(long sequence, long blocks);
    }

    void compared(long sequence, long blocks) {
        onCompared.differing(sequence, blocks);
    }

    void progressMade() {
        onProgress.run();
    }

    /** Where the bytes at {@code position} go; at most {@code atMost}, at least one. Waits while the journal is full. */
    public ByteBuffer landing(long position, int atMost) throws RefusedException {
        awaitSegment(position);
        synchronized (fence) {
            requireLive();
            if (position != replica.journal().landed()
                    && position != replica.journal().end()) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        "a run at position " + position + " does not follow "
                                + replica.journal().landed());
            }
            try {
                return replica.journal().landing(position, atMost);
            } catch (JournalNoSpaceException e) {
                throw new RefusedException(Why.NO_SPACE, String.valueOf(e.getMessage()));
            } catch (JournalException e) {
                replica.fail("the journal cannot be written: " + e.getMessage());
                throw new RefusedException(Why.FAILED, String.valueOf(e.getMessage()));
            }
        }
    }

    /**
     * While the journal is full its reader waits here, and not with the fence, behind which a seal would wait. The journal has
     * been asked for the segment behind each one that something landed in; for others it is asked under the fence.
     */
    private void awaitSegment(long position) throws RefusedException {
        long until = System.nanoTime() + MAX_WAIT_NANOS;
        while (position < askedEnd
                && position >= replica.journal().readyEnd()
                && !replica.journal().outOfSpace()
                && ended == null) {
            if (System.nanoTime() > until) {
                throw new RefusedException(
                        Why.NO_SPACE,
                        "the journal here is full: for " + MAX_WAIT_NANOS / 1_000_000_000
                                + " s there was no segment for position " + position);
            }
            LockSupport.parkNanos(this, LOOK_NANOS);
        }
        askedEnd = replica.journal().segmentEnd(replica.journal().segmentEnd(position));
    }

    /** That many bytes of the landing were filled: whole records are checked, secured and published. */
    public void landed(int bytes) throws RefusedException {
        synchronized (fence) {
            requireLive();
            Journal journal = replica.journal();
            long before = journal.end();
            long beganNanos = traced.on() ? System.nanoTime() : 0;
            replica.measures().landed(bytes);
            try {
                long end = journal.publish(bytes);
                if (end > before) {
                    secure(replica, before, end);
                    secured = end;
                    replica.published();
                    trace(before, end, beganNanos);
                }
            } catch (BadRecordException e) {
                throw new RefusedException(Why.BAD_MESSAGE, e.getMessage());
            } catch (NoSpaceException e) {
                throw new RefusedException(Why.NO_SPACE, e.getMessage());
            } catch (IOException e) {
                replica.fail("the journal cannot be written: " + e.getMessage());
                throw new RefusedException(Why.FAILED, e.getMessage());
            }
        }
    }

    /** The records are published already: that they cannot be told of is no failure of the replica. */
    private void trace(long from, long to, long beganNanos) {
        if (!traced.on()) {
            return;
        }
        try {
            replica.journal().forEach(from, to, r -> {
                if (r.kind() == RecordKind.WRITE || r.kind() == RecordKind.WRITE_ZEROES) {
                    traced.landed(r.term(), r.token(), r.endPosition(), r.offset(), r.length(), beganNanos);
                }
                return true;
            });
        } catch (IOException e) {
            LOG.debug("volume {}: [{}, {}) is not traced: {}", replica.volume(), from, to, e.getMessage());
        }
    }

    /** So many of the bytes that landed had come together with others, and were copied there. */
    public void copied(int bytes) {
        replica.measures().staged(bytes);
    }

    /** What every message of the writer says besides bytes, and besides {@link #syncUpTo}. */
    public void told(long committed, long floor) throws RefusedException {
        synchronized (fence) {
            requireLive();
            replica.commit(Math.min(committed, replica.journal().end()));
            // The floor was true when this was sent. A replica that is being brought up at full speed would find its
            // journal
            // full of what an old floor kept, and could not read the next one for want of a segment.
            replica.retain(member.getAsBoolean() ? floor : Long.MAX_VALUE);
        }
    }

    /** An item of a copy, in its place among the runs; its bytes are this replica's from now on. */
    public void copy(CopyItem item) throws RefusedException {
        synchronized (fence) {
            requireLive();
            long end = replica.image().sizeBytes();
            if (item.offset() < 0 || item.length() < 0 || item.offset() > end - item.length()) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        "a copy of [" + item.offset() + ", +" + item.length() + ") of a volume of " + end + " bytes");
            }
            if (item.kind() == CopyItem.Kind.DIGESTS
                    && (item.length() > CopyItem.MAX_DATA_BYTES || item.offset() % ExtentMap.BLOCK_BYTES != 0)) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        "digests of [" + item.offset() + ", +" + item.length() + "): they begin at a block, and stand"
                                + " for at most " + CopyItem.MAX_DATA_BYTES + " bytes");
            }
            String wrong = replica.takeCopy(item);
            if (wrong != null) {
                throw new RefusedException(Why.BAD_MESSAGE, wrong);
            }
        }
    }

    /** What the writer knows to be committed: the records before a copy's position are. */
    public void committed(long position) throws RefusedException {
        synchronized (fence) {
            requireLive();
            replica.commit(Math.min(position, replica.journal().end()));
        }
    }

    /**
     * The writer waits until this is durable here. What has not come yet is synced when it has.
     *
     * @param here nothing else is likely to come until then: the caller syncs, rather than wake somebody, and
     *     {@link #onProgress} is told before this returns. Whether it did is returned
     */
    public boolean syncUpTo(long position, boolean here) {
        long wanted = Math.min(position, replica.journal().end());
        if (wanted <= replica.journal().durable()) {
            return false;
        }
        if (here) {
            replica.syncHere(wanted);
        } else {
            replica.requestSync(wanted);
        }
        return replica.journal().durable() >= wanted;
    }

    /**
     * The journal takes records up to here without giving any up. A writer that sends no more finds its news read always:
     * behind records that have to wait for room stands what makes it, a floor or a commit.
     */
    public long landsUpTo() {
        Journal journal = replica.journal();
        long segmentBytes = journal.segmentEnd(0);
        return journal.segmentEnd(journal.oldest()) - segmentBytes + replica.budgetBytes();
    }

    public Progress progress() {
        Journal journal = replica.journal();
        // First: who is told that apply stands still is told, too, where.
        long written = replica.copiesWritten();
        long copiesDurable = replica.copiesDurable();
        return new Progress(secured, Math.min(journal.durable(), secured), replica.applied(), written, copiesDurable);
    }

    public long term() {
        return term;
    }

    public String writer() {
        return writer;
    }

    /** Why nothing is taken any more, or null. Asked by threads that must not wait for whoever has the fence. */
    public @Nullable RefusedException endedBecause() {
        return ended;
    }

    /** Under the fence: nothing is taken any more. */
    void end(Why why, String message) {
        if (ended == null) {
            replica.journal().abandonLanding();
            ended = new RefusedException(why, "term " + term + " of " + writer + " ends here: " + message);
            replica.streamEnds();
        }
        onProgress.run();
    }

    /** Image space for what the journal holds in [from, to), so that what is acknowledged can be applied. */
    static void secure(Replica replica, long from, long to) throws IOException {
        replica.journal().forEach(from, to, r -> {
            boolean punches = r.kind() == RecordKind.WRITE_ZEROES && (r.flags() & Journal.MAY_PUNCH) != 0;
            if (!punches && r.length() > 0) {
                replica.space().secure(r.offset(), r.length());
            }
            return true;
        });
    }

    private void requireLive() throws RefusedException {
        RefusedException over = ended;
        if (over != null) {
            if (over.why() == Why.FENCED) {
                replica.measures().fenceRefused();
            }
            throw over;
        }
    }
}
