package io.terminus.agent.volume;

import io.terminus.agent.image.NoSpaceException;
import java.io.IOException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;

/**
 * Space for writes that are to be acknowledged. Where the disk has none left, what the journal keeps gives way before a client hears
 * of it: files of history that nobody needs, and, at a writer that asks whether space is {@link #wanted}, history for those who are
 * away.
 *
 * <p>Waiting is bounded: once space was wanted for {@link #PATIENCE_NANOS} without a pause, nobody waits any more. Any thread.
 */
final class ImageSpace {

    /** A sync of an image and a few rounds of the volume's thread. */
    static final long PATIENCE_NANOS = 5_000_000_000L;

    /** So long after somebody found none space counts as wanted. */
    static final long WANTED_NANOS = 3_000_000_000L;

    private static final long AGAIN_NANOS = 20_000_000;

    interface Secures {
        void secure(long offset, long length) throws IOException;
    }

    interface GivesWay {
        /** Gives back what can be given back now. Returns whether there may be more before long. */
        boolean giveBack();
    }

    private final Secures image;
    private final GivesWay journal;
    private final LongSupplier clock;

    /** When none was found last, and since when that happens; {@code everWanted} is written last. */
    private volatile long wantedAtNanos;

    private volatile long wantedSinceNanos;
    private volatile boolean everWanted;

    ImageSpace(Secures image, GivesWay journal, LongSupplier clock) {
        this.image = image;
        this.journal = journal;
        this.clock = clock;
    }

    /** For who must not wait: tries once more with what can be given back at once. */
    void secure(long offset, long length) throws IOException {
        try {
            image.secure(offset, length);
        } catch (NoSpaceException e) {
            isWanted();
            journal.giveBack();
            image.secure(offset, length);
        }
    }

    /** Tries again as long as there may be something to give back, the caller goes on, and patience lasts. */
    void await(long offset, long length, BooleanSupplier goesOn) throws IOException {
        while (true) {
            try {
                image.secure(offset, length);
                return;
            } catch (NoSpaceException e) {
                boolean patient = isWanted();
                if (!journal.giveBack() || !patient || !goesOn.getAsBoolean()) {
                    image.secure(offset, length); // with what was given back just now
                    return;
                }
                LockSupport.parkNanos(this, AGAIN_NANOS);
            }
        }
    }

    /** Did somebody find none, just now? */
    boolean wanted() {
        return everWanted && clock.getAsLong() - wantedAtNanos < WANTED_NANOS;
    }

    /** Returns whether that may still be waited for. */
    private synchronized boolean isWanted() {
        long now = clock.getAsLong();
        if (!wanted()) {
            wantedSinceNanos = now;
        }
        wantedAtNanos = now;
        everWanted = true;
        return now - wantedSinceNanos < PATIENCE_NANOS;
    }
}
