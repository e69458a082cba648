package io.terminus.agent.volume;

/**
 * How far the image may be ahead of what counts as applied. After a kill it may hold any part of the records behind the checkpoint, after
 * a step of apply that failed half way any part of that step's; until those are applied anew it is the volume at no position.
 *
 * <pre>
 *      checkpoint        applied               mixed to            held to
 *   ------|-----------------|#####################|- - - - - - - - - -|------ positions
 *            in the image      any part may be       only if a fork gave it up
 * </pre>
 *
 * <p>Two bounds, because they answer two questions. <em>Held to</em> is for forks: what a term gave up may be in an image that ever was
 * written from it, whatever became of the journal. <em>Mixed to</em> is for who reads, and falls when it becomes known that no committed
 * record lies behind a position: only committed records are written to an image.
 *
 * <p>Changed under the apply lock. Read by any thread.
 */
final class ImageReach {

    private volatile long heldTo;
    private volatile long mixedTo;

    /** @param position the image holds nothing of records behind it */
    ImageReach(long position) {
        heldTo = position;
        mixedTo = position;
    }

    /** A part of the record that ends there may be written from now on. */
    void mayHold(long position) {
        if (position > heldTo) {
            heldTo = position;
        }
        if (position > mixedTo) {
            mixedTo = position;
        }
    }

    /** Nobody has said yet what the volume holds: until somebody does, the image is it at no position. */
    void nothingIsKnown() {
        mixedTo = Long.MAX_VALUE;
    }

    /** The volume's history, which the image is of, is known to have committed nothing behind {@code position}. */
    void nothingIsBehind(long position) {
        if (position < mixedTo) {
            mixedTo = position;
        }
    }

    /** The image counts as of {@code position} now, whatever it was. */
    void startsOver(long position) {
        heldTo = position;
        mixedTo = position;
    }

    /** The image may hold writes of records up to here. */
    long heldTo() {
        return heldTo;
    }

    /** Whether the image is the volume at exactly {@code applied}, if nothing is being applied just now. */
    boolean isWholeAt(long applied) {
        return applied >= mixedTo;
    }
}
