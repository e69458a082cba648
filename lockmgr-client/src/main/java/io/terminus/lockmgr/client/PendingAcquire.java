package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/**
 * An acquire that waits for its grant. Give it up with {@link #cancel}, {@link #orTimeout} or by completing it in any other way: the wait
 * is then cancelled, and a grant that was already on its way is released by the library.
 *
 * <p>It fails with a {@link LockRefusedException} that names the reason.
 */
public final class PendingAcquire extends CompletableFuture<Grant> {

    private final LockClient client;
    /** Owner thread only; 0: not asked yet. */
    long requestId;

    PendingAcquire(LockClient client) {
        this.client = client;
    }

    /**
     * Makes a standby an ordinary request: from now on it recalls who is in its way and waits at most {@code wait} more, at most 24 h.
     * The future fails with UNKNOWN_REQUEST if nothing waits any more.
     */
    public CompletableFuture<Void> promote(Duration wait) {
        return client.promote(this, AcquireRequest.requireWait(wait));
    }

    /** A plain future: what is derived from this one has nothing to be promoted. */
    @Override
    public <U> CompletableFuture<U> newIncompleteFuture() {
        return new CompletableFuture<>();
    }
}
