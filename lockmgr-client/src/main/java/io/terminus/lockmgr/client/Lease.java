package io.terminus.lockmgr.client;

import java.util.ArrayDeque;

/**
 * The session's lease: what the lock manager was told and answered, and what may be believed for it.
 *
 * <p>Belief ends at the send time of the newest answered renewal + ttl - margin. The Attach that opens a session is its
 * first renewal, the Welcome the answer; the Welcome of a stream that comes back to a session proves nothing, and the first renewal
 * leaves behind it at once. While locks are being re-asserted nothing that the lock manager answers proves anything about them, since it has lost its
 * memory: answers are then kept back ({@link #holdBack}) and count when the last of those locks is settled.
 */
final class Lease {

    /** Reached only while a loss is unheard, when renewals are not answered anyway. */
    private static final int MAX_UNANSWERED_RENEWALS = 16;

    private static final long NONE = Long.MIN_VALUE;

    private record SentRenewal(long sequence, long sentNanos) {}

    private final LeaseClock clock;
    private Belief belief;
    private long ttlNanos;
    private long marginNanos;

    // Renewals of this stream, oldest first.
    private final ArrayDeque<SentRenewal> unanswered = new ArrayDeque<>();
    private long lastSequence;
    private long nextRenewalNanos;

    private boolean heldBack;
    private long heldBackFromNanos = NONE;

    Lease(LeaseClock clock, long ttlNanos) {
        this.clock = clock;
        this.belief = new Belief(clock);
        this.ttlNanos = ttlNanos;
    }

    void newSession() {
        belief = new Belief(clock);
        heldBack = false;
        heldBackFromNanos = NONE;
    }

    void end() {
        belief.end();
        unanswered.clear();
    }

    Belief belief() {
        return belief;
    }

    long ttlNanos() {
        return ttlNanos;
    }

    boolean believed(long nowNanos) {
        return nowNanos < belief.untilNanos();
    }

    // Renewals.

    void attached(long attachSentNanos, long grantedTtlNanos, long grantedMarginNanos) {
        ttlNanos = grantedTtlNanos;
        marginNanos = grantedMarginNanos;
        unanswered.clear();
        lastSequence = 0;
        nextRenewalNanos = attachSentNanos + ttlNanos / 3;
    }

    void streamEnded() {
        unanswered.clear();
    }

    long nextRenewalNanos() {
        return nextRenewalNanos;
    }

    /** The sequence of the renewal that leaves now; 0: too many are unanswered for one more to mean anything. */
    long renew(long nowNanos) {
        nextRenewalNanos = nowNanos + ttlNanos / 3;
        if (unanswered.size() >= MAX_UNANSWERED_RENEWALS) {
            return 0;
        }
        unanswered.add(new SentRenewal(++lastSequence, nowNanos));
        return lastSequence;
    }

    /** Those on their way may never be answered: they prove nothing by that. The next one leaves at once. */
    void renewAnew(long nowNanos) {
        unanswered.clear();
        nextRenewalNanos = nowNanos;
    }

    void answered(long sequence) {
        SentRenewal newest = null;
        while (!unanswered.isEmpty() && unanswered.getFirst().sequence <= sequence) {
            newest = unanswered.removeFirst();
        }
        if (newest != null && newest.sequence == sequence) {
            proven(newest.sentNanos);
        }
    }

    /** When a stream on which nothing is answered counts as dead. */
    long silentFromNanos() {
        return unanswered.isEmpty() ? Pending.NEVER : unanswered.getFirst().sentNanos + ttlNanos / 3;
    }

    // Belief.

    /** The lock manager has answered what was sent then. */
    void proven(long sentNanos) {
        if (heldBack) {
            heldBackFromNanos = Math.max(heldBackFromNanos, sentNanos);
        } else {
            belief.extendTo(sentNanos + ttlNanos - marginNanos);
        }
    }

    boolean holdsBack() {
        return heldBack;
    }

    void holdBack() {
        heldBack = true;
    }

    void goOn() {
        heldBack = false;
        if (heldBackFromNanos != NONE) {
            proven(heldBackFromNanos);
            heldBackFromNanos = NONE;
        }
    }
}
