package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * An acquire that waits for its grant. Give it up with {@link #cancel}, {@link #orTimeout} or by completing it in any other way: the wait
 * is then cancelled, and a grant that was already on its way is released by the library.
 *
 * <p>It fails with a {@link LockRefusedException} that names the reason.
 */
public final class PendingAcquire extends Asked<Grant> {

    private final AcquireRequest request;
    private final Grant.@Nullable Keeper keeper;

    PendingAcquire(LockClient client, AcquireRequest request, Grant.@Nullable Keeper keeper) {
        super(client);
        this.request = request;
        this.keeper = keeper;
    }

    /**
     * Makes a standby an ordinary request: from now on it recalls who is in its way and waits at most {@code wait} more, at most 24 h.
     * The future fails with UNKNOWN_REQUEST if nothing waits any more.
     */
    public CompletableFuture<Void> promote(Duration wait) {
        return client.promote(this, AcquireRequest.requireWait(wait));
    }

    @Override
    long ask(SessionCore core, long nowNanos) {
        return core.acquire(request, nowNanos);
    }

    @Override
    @Nullable
    Grant result(Outcome outcome) {
        if (outcome instanceof Outcome.Acquired acquired) {
            acquired.grant().keeper = keeper;
            return acquired.grant();
        }
        return null;
    }

    @Override
    void gaveUp() {
        client.giveUp(this);
    }

    @Override
    void discard(Grant grant) {
        grant.close();
    }
}
