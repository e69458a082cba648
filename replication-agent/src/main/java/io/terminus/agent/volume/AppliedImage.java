package io.terminus.agent.volume;

import io.terminus.agent.image.GatheredWrites;
import io.terminus.agent.image.Image;
import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.Journal;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;

/**
 * The image of a replica, and the position up to which records are in it: everything that needs to know both at one moment.
 *
 * <p>The lock is held while records go into the image and out of what {@link CommittedReads} shows, and by whoever reads the image as it is
 * at one position. Steps are applied by one thread at a time.
 */
final class AppliedImage {

    /** A step goes no further than this many journal bytes, so that progress is seen; its writes reach the image together. */
    private static final long STEP_BYTES = 8L << 20;

    private final Image image;
    private final Journal journal;
    private final CommittedReads reads;
    private final VolumeMeasures measures;
    private final ReentrantLock lock = new ReentrantLock();

    /** Signalled when the image may be whole, or never will be again. */
    private final Condition whole = lock.newCondition();

    /** A restart takes the image for applied up to the checkpoint only: what it is ahead of, it is given again. */
    private final ImageReach reach;

    private final GatheredWrites gathered;

    /** In the step that is under way. */
    private long payloadBytes;

    private volatile long applied;
    private volatile boolean closing;
    private volatile boolean failed;

    /** @param applied the image has everything before it, and beyond it what {@code reach} says */
    AppliedImage(
            Image image,
            Journal journal,
            CommittedReads reads,
            VolumeMeasures measures,
            ImageReach reach,
            long applied) {
        this.image = image;
        this.journal = journal;
        this.reads = reads;
        this.measures = measures;
        this.reach = reach;
        this.gathered = new GatheredWrites(image);
        this.applied = applied;
    }

    ReentrantLock lock() {
        return lock;
    }

    /** Everything before it is in the image. */
    long applied() {
        return applied;
    }

    /** The image may hold writes of records up to here. */
    long mayHoldTo() {
        return Math.max(reach.heldTo(), applied);
    }

    /** Whether it is the volume at {@link #applied}. With the lock; without it, as of lately. */
    boolean isWhole() {
        return reach.isWholeAt(applied);
    }

    // ---- what is learnt of the history; with the lock

    /** See {@link ImageReach#nothingIsBehind}. */
    void nothingIsBehind(long position) {
        reach.nothingIsBehind(position);
        whole.signalAll();
    }

    /** The image counts as of that position now, in the journal of another history. */
    void startsOver(long position) {
        applied = position;
        reach.startsOver(position);
        whole.signalAll();
    }

    /** Nothing more is applied: who waits for a whole image waits no longer. Without the lock, which may be held by whom a disk holds up. */
    void fail() {
        failed = true;
        wake();
    }

    /** The same, but nobody hears any more what is read. */
    void close() {
        closing = true;
        wake();
    }

    private void wake() {
        lock.lock();
        try {
            whole.signalAll();
        } finally {
            lock.unlock();
        }
    }

    // ---- applying

    /**
     * Applies records up to {@code to}, or as many as a step takes. With the lock.
     *
     * @return whether a hole was made
     * @throws NoSpaceException {@link #applied} says how far it came. Of what follows, any part may be in the image, which is not whole
     *     until that is applied
     */
    boolean step(long to) throws IOException {
        long began = System.nanoTime();
        long from = applied;
        long stepEnd = Math.min(to, from + STEP_BYTES);
        long[] seen = {from};
        long[] reached = {from};
        boolean[] punched = {false};
        try {
            journal.forEach(from, to, r -> {
                reach.mayHold(r.endPosition());
                switch (r.kind()) {
                    case WRITE -> {
                        if (!gathered.takes(r.payloadLength())) {
                            flushGathered();
                            reached[0] = seen[0];
                        }
                        gathered.add(r.offset(), r.payload());
                        payloadBytes += r.payloadLength();
                    }
                    case WRITE_ZEROES -> {
                        flushGathered();
                        reached[0] = seen[0];
                        boolean mayPunch = (r.flags() & Journal.MAY_PUNCH) != 0;
                        punched[0] |= mayPunch;
                        image.zero(r.offset(), r.length(), mayPunch);
                    }
                    case TERM, PAD -> {}
                }
                seen[0] = r.endPosition();
                return seen[0] < stepEnd;
            });
            flushGathered();
            reached[0] = seen[0];
        } finally {
            gathered.clear();
            reads.applied(reached[0]);
            applied = reached[0];
            whole.signalAll();
            measures.apply().record(System.nanoTime() - began);
            measures.applied(payloadBytes);
            payloadBytes = 0;
        }
        return punched[0];
    }

    private void flushGathered() throws IOException {
        try {
            gathered.flush();
        } catch (InternalError e) {
            throw new IOException("a page of the journal cannot be read", e);
        }
    }

    void sync() throws IOException {
        long began = System.nanoTime();
        try {
            image.sync();
        } catch (IOException e) {
            measures.syncFailed();
            throw e;
        }
        measures.imageSync().record(System.nanoTime() - began);
    }

    // ---- reading at one position; apply stands still meanwhile

    /**
     * Fills {@code into} with the committed state at exactly the position returned.
     *
     * @param committed asked with the lock: what was committed before may have been applied past since
     */
    long readCommitted(long offset, ByteBuffer into, LongSupplier committed) throws IOException {
        readAhead(offset, into);
        lock.lock();
        try {
            return reads.readAtOnce(offset, into, committed.getAsLong(), applied);
        } finally {
            lock.unlock();
        }
    }

    /**
     * Fills {@code into} with the state of what is applied, or does nothing that counts and returns false: the image lacks blocks of it, is
     * the volume at no single position, or is older than {@code atLeast}.
     */
    boolean readIfHeld(long offset, ByteBuffer into, long atLeast, IncomingCopies copies) throws IOException {
        readAhead(offset, into);
        lock.lock();
        try {
            if (applied < atLeast || !isWhole() || !copies.has(offset, into.remaining())) {
                return false;
            }
            image.read(offset, into);
            return true;
        } finally {
            lock.unlock();
        }
    }

    /** What is long is read once before, so that with the lock nothing waits for the disk. */
    private void readAhead(long offset, ByteBuffer into) throws IOException {
        if (into.remaining() > CopyItem.MAX_DATA_BYTES) {
            image.read(offset, into.slice());
        }
    }

    /** Fills {@code into} from the image as it is at exactly the position returned. Waits until it is whole. */
    long read(long offset, ByteBuffer into) throws IOException {
        lock.lock();
        try {
            awaitWhole();
            image.read(offset, into);
            return applied;
        } finally {
            lock.unlock();
        }
    }

    /** How far it is one hole from {@code offset} on, at the position in {@code at[0]}; 0 if there is data. Waits likewise. */
    long hole(long offset, long limit, long[] at) throws IOException {
        lock.lock();
        try {
            awaitWhole();
            long[] hole = {0};
            image.extents(offset, limit, (start, length, data) -> {
                hole[0] = data ? 0 : length;
                return false;
            });
            at[0] = applied;
            return hole[0];
        } finally {
            lock.unlock();
        }
    }

    /** The lock is given up meanwhile. */
    private void awaitWhole() throws IOException {
        while (!isWhole() && !closing) {
            if (failed) {
                throw new IOException("the replica has failed, and its image is at no single position");
            }
            whole.awaitUninterruptibly();
        }
    }
}
