package io.terminus.agent.volume;

import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What holds up clients' writes at the writer itself, for those who look: too much that is not in the image yet, as after a start that
 * has much to replay, or a full disk. Under load both come and go, and are no more than back-pressure; what is told lasts. Any thread.
 */
final class Hindrances {

    /** Nothing is let in for so long: then it counts as waiting. */
    static final long WAITS_NANOS = 1_000_000_000L;

    /** A refusal is told of for so long whatever else is taken, for other writes may need no space. */
    static final long REFUSED_NANOS = 3_000_000_000L;

    /** And for so long if nothing was taken since: who was refused may have given up. */
    static final long LAST_REFUSED_NANOS = 60_000_000_000L;

    private final long unappliedLimitBytes;

    /** 0: something was let in since. */
    private volatile long fullSinceNanos;

    private record Refused(String why, long atNanos) {}

    private volatile @Nullable Refused refused;

    Hindrances(long unappliedLimitBytes) {
        this.unappliedLimitBytes = unappliedLimitBytes;
    }

    /** Too much is captured and not applied yet. */
    boolean overfull(long unappliedBytes) {
        return unappliedBytes > unappliedLimitBytes;
    }

    /** A request was let in. */
    void admitted() {
        if (fullSinceNanos != 0) {
            fullSinceNanos = 0;
        }
    }

    /** A write was refused for want of space. */
    void refusedForSpace(String why, long nowNanos) {
        refused = new Refused(why, nowNanos);
    }

    /** Writes are in the journal. Asks for the time only if it matters: this is said of every write. */
    void captured(LongSupplier clock) {
        Refused last = refused;
        if (last != null && clock.getAsLong() - last.atNanos() > REFUSED_NANOS) {
            refused = null;
        }
    }

    /** To be called every 100 ms or so. */
    void look(long unappliedBytes, long nowNanos) {
        if (!overfull(unappliedBytes)) {
            fullSinceNanos = 0;
        } else if (fullSinceNanos == 0) {
            fullSinceNanos = nowNanos | 1;
        }
    }

    /** In words, or null: nothing does. */
    @Nullable
    String why(long unappliedBytes, long nowNanos) {
        Refused last = refused;
        if (last != null && nowNanos - last.atNanos() < LAST_REFUSED_NANOS) {
            return "writes are refused for want of space, the last one " + (nowNanos - last.atNanos()) / 1_000_000_000
                    + " s ago: " + last.why();
        }
        long since = fullSinceNanos;
        if (since != 0 && nowNanos - since >= WAITS_NANOS && overfull(unappliedBytes)) {
            return "writes wait until the image has more of the journal: " + (unappliedBytes >> 20)
                    + " MiB are to be applied, and " + (unappliedLimitBytes >> 20) + " is the most";
        }
        return null;
    }
}
