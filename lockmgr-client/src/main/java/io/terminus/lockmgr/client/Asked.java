package io.terminus.lockmgr.client;

import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * One request through all its stations: what is handed to the owner, what waits there for the outcome, what is handed to the
 * callback thread, and the future that its caller holds. One object for all of them, because at some hundred thousand operations a second
 * each object less is a good part of the cost.
 *
 * <p>A caller that completes the future itself, by cancel, orTimeout or otherwise, has given up.
 */
abstract class Asked<T> extends CompletableFuture<T> {

    final LockClient client;
    private static final long NOT_ASKED = Long.MIN_VALUE;

    /** Whose owner has it, or will: another one if it was for another group than was thought. */
    @SuppressWarnings("NullAway.Init") // set by whoever hands it over, and needed behind that alone
    volatile ClientLoop loop;

    /** The owner's; 0: not asked yet. */
    long requestId;
    /** The owner's: its wait begins only once. */
    private long askedAtNanos = NOT_ASKED;
    /** Written by the owner, read by the callback thread behind a queue. */
    private @Nullable Outcome outcome;

    Asked(LockClient client) {
        this.client = client;
    }

    /** On the owner's thread: asks, and returns the request's id. */
    abstract long ask(SessionCore core, long nowNanos);

    /** Where it is to be asked. On an owner's thread. */
    ClientLoop home() {
        return loop;
    }

    /** On the owner's thread: when it was asked for the first time. */
    final long askedAt(long nowNanos) {
        if (askedAtNanos == NOT_ASKED) {
            askedAtNanos = nowNanos;
        }
        return askedAtNanos;
    }

    /** On the callback thread: what the outcome brings to the caller; null: nothing. */
    @Nullable
    T result(Outcome outcome) {
        return null;
    }

    /** Did it end well although it brings nothing? */
    boolean done(Outcome outcome) {
        return false;
    }

    /** The caller has given up. On its own thread. */
    void gaveUp() {}

    /** There is a result, but nobody wants it any more. */
    void discard(T result) {}

    /** Does it count towards the bound on what is in flight? */
    boolean counted() {
        return true;
    }

    final void ended(Outcome how) {
        outcome = how;
    }

    /** On the callback thread. */
    final void tell() {
        if (counted()) {
            client.oneLessInFlight();
        }
        Outcome how = outcome;
        T result = how == null ? null : result(how);
        if (result != null) {
            if (!super.complete(result)) {
                discard(result);
            }
        } else if (how != null && done(how)) {
            completeWithNothing();
        } else {
            super.completeExceptionally(LockRefusedException.of(how));
        }
    }

    @SuppressWarnings("NullAway") // T is Void then.
    private void completeWithNothing() {
        super.complete(null);
    }

    final void refuse(LockRefusedException why) {
        super.completeExceptionally(why);
    }

    @Override
    public boolean complete(T value) {
        return givenUp(super.complete(value));
    }

    @Override
    public boolean completeExceptionally(Throwable failure) {
        return givenUp(super.completeExceptionally(failure));
    }

    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        return givenUp(super.cancel(mayInterruptIfRunning));
    }

    private boolean givenUp(boolean now) {
        if (now) {
            gaveUp();
        }
        return now;
    }

    /** A plain future: what is derived from this one asks for nothing. */
    @Override
    public <U> CompletableFuture<U> newIncompleteFuture() {
        return new CompletableFuture<>();
    }
}
