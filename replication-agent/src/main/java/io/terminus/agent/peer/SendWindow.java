package io.terminus.agent.peer;

/**
 * How many bytes may be on the way to a peer, sent and not acknowledged: as many as the link carries in a quarter of the time
 * after which a silent peer counts as gone. So whatever is put behind them, a STATUS, a sync that somebody waits for, a new
 * value block, comes through in that time, and a slow link is no reason to lose a member.
 *
 * <p>One sample at a time: from the send of some bytes until they are acknowledged. What was acknowledged meanwhile, by that
 * time, is the rate. It is an upper bound of the link's only where the window was full, so only then the window grows, at most
 * to twice what it was; where a sample took longer than it should, the window shrinks at once.
 *
 * <pre>
 *   took &gt; target            window = min(window, rate x target)       the link, or the peer, is slower
 *   else if it was full      window = min(2 x window, rate x target)   there may be more
 *   always                   {@value #LEAST_BYTES} &lt;= window &lt;= {@value #MOST_BYTES}
 * </pre>
 *
 * <p>Bytes are counted from wherever the caller likes, as long as sent and acknowledged are counted alike. Sends come from one
 * thread at a time, acknowledgements from another.
 */
final class SendWindow {

    /** A fifth of a second at 2.5 Mbit/s. Links slower than 1 Mbit/s are not what this is for. */
    static final long LEAST_BYTES = 64 << 10;

    static final long MOST_BYTES = 16 << 20;
    private static final long FIRST_BYTES = 1 << 20;

    private final long targetNanos;
    private volatile long bytes = FIRST_BYTES;

    // Guarded by this. The sample: no more than was acknowledged then is known, and it ends when sampleTo is.
    private boolean sampling;
    private long sampleFrom;
    private long sampleTo;
    private long sampledAtNanos;
    private long acknowledged;

    /** Somebody would have sent more since the sample began. */
    private volatile boolean full;

    SendWindow(long peerTimeoutNanos) {
        this.targetNanos = Math.max(1, peerTimeoutNanos / 4);
    }

    long bytes() {
        return bytes;
    }

    /** More could be sent, but for the window. */
    void full() {
        full = true;
    }

    /** A new connection: nothing is on the way. The window stays, for the link most likely is the same. */
    synchronized void startOver(long counted) {
        sampling = false;
        acknowledged = counted;
    }

    synchronized void sent(long total, long nowNanos) {
        if (!sampling) {
            sampling = true;
            full = false;
            sampleFrom = acknowledged;
            sampleTo = total;
            sampledAtNanos = nowNanos;
        }
    }

    synchronized void acknowledged(long total, long nowNanos) {
        acknowledged = total;
        if (sampling && total >= sampleTo) {
            sampling = false;
            bytes = next(bytes, total - sampleFrom, nowNanos - sampledAtNanos, full, targetNanos);
        }
    }

    /** The decision alone: {@code delivered} bytes were acknowledged in {@code tookNanos}. */
    static long next(long window, long delivered, long tookNanos, boolean full, long targetNanos) {
        double carried = (double) delivered / Math.max(1, tookNanos) * targetNanos;
        double wanted = window;
        if (tookNanos > targetNanos) {
            wanted = Math.min(window, carried);
        } else if (full) {
            wanted = Math.max(window, Math.min(2.0 * window, carried));
        }
        return (long) Math.clamp(wanted, LEAST_BYTES, MOST_BYTES);
    }
}
