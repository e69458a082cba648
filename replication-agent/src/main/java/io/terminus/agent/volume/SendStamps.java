package io.terminus.agent.volume;

import java.util.concurrent.atomic.AtomicLongArray;

/**
 * When the runs that a peer has not acknowledged yet were sent; of the newest of them none, if they are more than
 * {@value #MOST}. One thread at a time sends, one hears acknowledgements: each owns one end of the ring.
 */
final class SendStamps {

    static final int MOST = 512;

    /** Pairs of where a run ends and when it was sent. */
    private final AtomicLongArray ring = new AtomicLongArray(2 * MOST);

    private volatile long sent;
    private volatile long heard;

    void sent(long to, long nowNanos) {
        long next = sent;
        if (next - heard < MOST) {
            int at = (int) (next % MOST) * 2;
            ring.setPlain(at, to);
            ring.setPlain(at + 1, nowNanos);
            sent = next + 1;
        }
    }

    /**
     * The peer has everything before {@code received}, and said {@code before} last. A run of which it said so sooner than
     * its sender came to note it here is not timed. Returns when the oldest run that is was sent, 0 if none is.
     */
    long received(long before, long received, long nowNanos, Durations took) {
        long oldest = 0;
        long next = heard;
        long end = sent;
        while (next < end) {
            int at = (int) (next % MOST) * 2;
            long to = ring.getPlain(at);
            if (to > received) {
                break;
            }
            next++;
            if (to > before) {
                long sentNanos = ring.getPlain(at + 1);
                took.record(nowNanos - sentNanos);
                if (oldest == 0) {
                    oldest = sentNanos;
                }
            }
        }
        heard = next;
        return oldest;
    }

    /** A new connection: what was sent on the old one is not acknowledged any more. Called by who hears, before sends. */
    void startOver() {
        heard = sent;
    }
}
