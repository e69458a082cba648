package io.terminus.lockmgr.client;

import java.util.concurrent.CompletableFuture;

/**
 * A lock that was granted. Any thread may call anything here.
 *
 * <p>{@link #believed()} is the guard, to be asked last: after a read's data was taken, after a write's copies were acknowledged, just
 * before the reply. The operation then counts as done at the check, even if the process is stopped right behind it. No belief means no
 * reply.
 */
public final class Grant implements AutoCloseable {

    /** Who carries out what a holder wants done with its grant. */
    public interface Owner {
        CompletableFuture<Void> release(Grant grant);

        void progress(Grant grant, long progress);
    }

    private final long lockId;
    private final String volume;
    private final String volumeUuid;
    private final LockRange range;
    private final LockMode mode;
    private final long token;
    private final Belief belief;
    private final Owner owner;

    /** Lost or released; never unset. */
    private volatile boolean gone;

    Grant(
            long lockId,
            String volume,
            String volumeUuid,
            LockRange range,
            LockMode mode,
            long token,
            Belief belief,
            Owner owner) {
        this.lockId = lockId;
        this.volume = volume;
        this.volumeUuid = volumeUuid;
        this.range = range;
        this.mode = mode;
        this.token = token;
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

    public long lockId() {
        return lockId;
    }

    public String volume() {
        return volume;
    }

    public String volumeUuid() {
        return volumeUuid;
    }

    /** What was granted. */
    public LockRange range() {
        return range;
    }

    public LockMode mode() {
        return mode;
    }

    /** The fencing token: rises with every grant of the volume, is never used twice. */
    public long token() {
        return token;
    }

    /**
     * Gives the lock back. From this call on it is not believed. The future completes when the lock manager no longer counts this
     * session as its holder; it fails only with a {@link LockRefusedException}. Releasing twice, or after a loss, is done at once.
     */
    public CompletableFuture<Void> release() {
        return owner.release(this);
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

    void markGone() {
        gone = true;
    }

    @Override
    public String toString() {
        return "Grant[" + lockId + " " + volume + range + " " + mode + " token " + token + "]";
    }
}
