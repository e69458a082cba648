package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * A lock that was granted. Any thread may call anything here.
 *
 * <p>{@link #believed()} is the guard, to be asked last: after a read's data was taken, after a write's copies were acknowledged, just
 * before the reply. The operation then counts as done at the check, even if the process is stopped right behind it. No belief means no
 * reply.
 *
 * <p>What is held can change: {@link #convert}, {@link #shrink}, {@link #split}. Range, mode and token are one immutable {@link State}
 * that is replaced as a whole; who needs two of them together takes {@link #state()} once. From the call of a change until its end the
 * grant is only what is certain to remain: the smaller range, the mode that both modes cover. If the change is refused it is again what it
 * was. If that is not known (UNKNOWN_OUTCOME), it stays what is certain.
 */
public final class Grant implements AutoCloseable {

    /**
     * What a grant is at one moment.
     *
     * @param token the fencing token: rises with every grant of the volume, is never used twice
     */
    public record State(LockRange range, LockMode mode, long token) {}

    /** Who carries out what a holder wants done with its grant. */
    public interface Owner {
        CompletableFuture<Void> release(Grant grant);

        void progress(Grant grant, long progress);

        default CompletableFuture<Void> convert(Grant grant, LockMode mode, Duration wait) {
            throw new UnsupportedOperationException("convert");
        }

        default CompletableFuture<Void> shrink(Grant grant, LockRange range) {
            throw new UnsupportedOperationException("shrink");
        }

        default CompletableFuture<Grant> split(Grant grant, long at) {
            throw new UnsupportedOperationException("split");
        }
    }

    /** Who is told of a recall or a loss before, and in part instead of, the client's listener. */
    interface Keeper {
        void recalled(Grant grant, Recall recall);

        void lost(Grant grant, String why);
    }

    /** What may be believed at most while a change is open. Null: not concerned. Known by its identity. */
    static final class Limit {
        private final @Nullable LockRange range;
        private final @Nullable LockMode mode;

        private Limit(@Nullable LockRange range, @Nullable LockMode mode) {
            this.range = range;
            this.mode = mode;
        }
    }

    private final long lockId;
    private final String volume;
    private final String volumeUuid;
    private final LockRange requested;
    private final Belief belief;
    private final Owner owner;

    /** As the lock manager said it last. Guarded by this. */
    private State confirmed;
    /** Of the changes that are open; as many as the holder has asked for. Guarded by this; null: none. */
    private @Nullable List<Limit> limits;

    /** {@code confirmed} within {@code limits}. */
    private volatile State state;

    /** Lost or released; never unset. */
    private volatile boolean gone;

    /** Set, if at all, before anybody else sees this. */
    @Nullable
    Keeper keeper;

    Grant(
            long lockId,
            String volume,
            String volumeUuid,
            LockRange requested,
            State granted,
            Belief belief,
            Owner owner) {
        this.lockId = lockId;
        this.volume = volume;
        this.volumeUuid = volumeUuid;
        this.requested = requested;
        this.confirmed = granted;
        this.state = granted;
        this.belief = belief;
        this.owner = owner;
    }

    /**
     * True while this process may act as the holder. O(1), no lock, no allocation. False may become true again after a jeopardy; after
     * a loss or {@link #release()} it stays false.
     */
    public boolean believed() {
        return !gone && belief.holds();
    }

    /** {@link #believed()}, and [start, end) is part of what is held: the guard of grants that may shrink. */
    public boolean believed(long start, long end) {
        // The clock last, as in Belief.
        return !gone && state.range.contains(start, end) && belief.holds();
    }

    /** The time on the lease clock if {@link #believed()}, else {@link Long#MIN_VALUE}: one look at the clock for both. */
    long believedAtNanos() {
        return gone ? Long.MIN_VALUE : belief.holdsAtNanos();
    }

    public long lockId() {
        return lockId;
    }

    public String volume() {
        return volume;
    }

    public String volumeUuid() {
        return volumeUuid;
    }

    /** What was asked for; {@link #range()} may be larger if the request allowed it, and smaller after a shrink. */
    public LockRange requested() {
        return requested;
    }

    /** Range, mode and token of one moment. */
    public State state() {
        return state;
    }

    /** What is held. */
    public LockRange range() {
        return state.range;
    }

    public LockMode mode() {
        return state.mode;
    }

    /** The fencing token: rises with every grant of the volume, is never used twice. A stronger mode brings a new one. */
    public long token() {
        return state.token;
    }

    /**
     * Gives the lock back. From this call on it is not believed. The future completes when the lock manager no longer counts this
     * session as its holder; it fails only with a {@link LockRefusedException}. Releasing twice, or after a loss, is done at once.
     */
    public CompletableFuture<Void> release() {
        return owner.release(this);
    }

    /**
     * Another mode for the same range. A weaker one is there at once and keeps the token. Any other waits, at most {@code wait}, ahead
     * of all acquires, for the locks of others in its way, and brings a new token; to give it up, cancel the future. It fails with a
     * {@link LockRefusedException}; the lock is then held as it was. Two holders that both wait for EX would wait for each other: the
     * second is refused, DEADLOCK.
     *
     * @param wait at most 24 h; zero: try once
     */
    public CompletableFuture<Void> convert(LockMode mode, Duration wait) {
        return owner.convert(this, mode, AcquireRequest.requireWait(wait));
    }

    /**
     * Gives back what lies outside {@code range}, which must lie inside {@link #range()}; from this call on that is not believed in.
     * Mode and token stay.
     */
    public CompletableFuture<Void> shrink(LockRange range) {
        if (!range().contains(range)) {
            throw new IllegalArgumentException("range " + range + " does not lie inside " + this);
        }
        return owner.shrink(this, range);
    }

    /**
     * Makes two grants of one: this one keeps id, token and [start, at), from this call on; the future brings [at, end) with an id and a
     * token of its own. Until then nobody here holds [at, end), though nobody else can have it either.
     */
    public CompletableFuture<Grant> split(long at) {
        LockRange range = range();
        if (at <= range.startInclusive() || at >= range.endExclusive()) {
            throw new IllegalArgumentException("offset " + at + " does not lie inside " + this);
        }
        return owner.split(this, at);
    }

    /** Answers a recall: this much is drained. Prolongs the recall's deadline, up to its hard cap. Only the newest report is sent. */
    public void progress(long progress) {
        owner.progress(this, progress);
    }

    /** {@link #release()} without waiting for it. */
    @Override
    public void close() {
        var unused = release();
    }

    // For the library.

    void markGone() {
        gone = true;
    }

    boolean gone() {
        return gone;
    }

    /** As the lock manager said it last, without what is being changed. */
    synchronized State confirmed() {
        return confirmed;
    }

    /** @throws IllegalArgumentException if another change has left less than this range */
    synchronized Limit limitTo(LockRange range) {
        if (!range().contains(range)) {
            throw new IllegalArgumentException("range " + range + " does not lie inside " + this);
        }
        return limit(new Limit(range, null));
    }

    Limit limitTo(LockMode mode) {
        return limit(new Limit(null, mode));
    }

    private synchronized Limit limit(Limit limit) {
        if (limits == null) {
            limits = new ArrayList<>(1);
        }
        limits.add(limit);
        show();
        return limit;
    }

    /** The lock manager said what is held. {@code done}: the change that this answers; null: none. */
    synchronized void confirm(State now, @Nullable Limit done) {
        confirmed = now;
        lift(done);
    }

    /** The change was refused, or its answer was taken in. */
    synchronized void lift(@Nullable Limit limit) {
        if (limits != null && limit != null) {
            limits.removeIf(other -> other.equals(limit));
        }
        show();
    }

    private synchronized void show() {
        LockRange range = confirmed.range;
        LockMode mode = confirmed.mode;
        if (limits != null) {
            for (Limit limit : limits) {
                LockRange narrower = limit.range;
                if (narrower != null) {
                    range = new LockRange(
                            Math.max(range.startInclusive(), narrower.startInclusive()),
                            Math.min(range.endExclusive(), narrower.endExclusive()));
                }
                mode = limit.mode == null ? mode : mode.meet(limit.mode);
            }
        }
        state = new State(range, mode, confirmed.token);
    }

    @Override
    public String toString() {
        State now = state;
        return "Grant[" + lockId + " " + volume + now.range + " " + now.mode + " token " + now.token + "]";
    }
}
