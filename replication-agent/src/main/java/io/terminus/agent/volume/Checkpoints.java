package io.terminus.agent.volume;

import java.io.IOException;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * When a checkpoint is taken, and the thread that takes one: sample the applied prefix, sync the image, note the prefix; only then may the
 * segments before it be reused. The sync may take long, so apply goes on meanwhile, and the journal may even start over; then the
 * checkpoint is of another history, and is dropped.
 *
 * <p>The apply thread begins them, one at a time. Under the apply lock: {@link #startsOver}, {@link #noted}.
 */
final class Checkpoints {

    /** The replica around it. */
    interface Base {
        long applied();

        void syncImage() throws IOException;

        /** The image has everything before that position, durably. With the apply lock. */
        void note(long position) throws IOException;

        void waitsForSpace(DiskFullException e);

        void failed(IOException e);

        void ourOwnBug(Throwable e);

        /** The one that was begun is over. */
        void ended();
    }

    private static final long OLD_BYTES = 64L << 20;
    private static final long OLD_NANOS = 5_000_000_000L;

    /** A volume that nobody writes to for so long gets a checkpoint. */
    private static final long REST_NANOS = 10_000_000_000L;

    private static final long NO_SPACE_RETRY_NANOS = 500_000_000;

    private final String volume;
    private final CheckpointPace pace;
    private final ReentrantLock applyLock;
    private final Base base;

    private volatile long position;
    private volatile long takenAtNanos = System.nanoTime() - OLD_NANOS;
    private volatile boolean underWay;
    private volatile boolean wanted;
    private volatile @Nullable Thread thread;

    /** How often the journal has started over; under the apply lock. */
    private long histories;

    private long restingAt;
    private long restingSinceNanos;

    Checkpoints(String volume, CheckpointPace pace, ReentrantLock applyLock, long position, Base base) {
        this.volume = volume;
        this.pace = pace;
        this.applyLock = applyLock;
        this.position = position;
        this.base = base;
    }

    /** Everything before it is in the image, durably. */
    long position() {
        return position;
    }

    /** One is to be begun. */
    boolean isDue() {
        long behind = base.applied() - position;
        return !underWay && (pace.isDue(behind, System.nanoTime()) || (behind > 0 && wanted));
    }

    /** Much was applied since, and the last one was not taken just now. */
    boolean isOld() {
        return base.applied() - position > OLD_BYTES && System.nanoTime() - takenAtNanos > OLD_NANOS;
    }

    /** One is taken soon. */
    void want() {
        wanted = true;
    }

    boolean isWanted() {
        return wanted;
    }

    /** By one thread, now and then: whether one is to be wanted, because nothing is written any more. */
    boolean rests(long nowNanos) {
        long applied = base.applied();
        if (applied != restingAt) {
            restingAt = applied;
            restingSinceNanos = nowNanos;
        } else if (restingAt > position && nowNanos - restingSinceNanos > REST_NANOS && !underWay) {
            restingSinceNanos = nowNanos; // not at each call where the disk is full
            return true;
        }
        return false;
    }

    /** Apply's thread, which goes on meanwhile. */
    void begin() {
        wanted = false;
        long at;
        long history;
        applyLock.lock();
        try {
            at = base.applied();
            history = histories;
        } finally {
            applyLock.unlock();
        }
        underWay = true;
        thread = Thread.ofPlatform().name("checkpoint-" + volume).daemon().start(() -> take(at, history));
    }

    private void take(long at, long history) {
        try {
            base.syncImage();
            applyLock.lock(); // the journal may start over
            try {
                if (history == histories && at > position) {
                    base.note(at);
                }
            } finally {
                applyLock.unlock();
            }
        } catch (DiskFullException e) {
            base.waitsForSpace(e);
            LockSupport.parkNanos(this, NO_SPACE_RETRY_NANOS);
        } catch (IOException e) {
            base.failed(e);
        } catch (RuntimeException | Error e) {
            base.ourOwnBug(e);
        } finally {
            underWay = false;
            base.ended();
        }
    }

    /** The superblock names that one now. */
    void noted(long at) {
        position = at;
        takenAtNanos = System.nanoTime();
    }

    /** The journal is another one, which begins there; what is under way is dropped. */
    void startsOver(long at) {
        histories++;
        position = at;
    }

    /** Returns when none is under way; the caller begins no more. */
    void await() throws InterruptedException {
        Thread last = thread;
        if (last != null) {
            last.join();
        }
    }
}
