package io.terminus.agent.volume;

import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.Journal;
import java.io.IOException;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * The thread that writes the image: from the journal what is committed and durable there, between that the copies of a position, and now and
 * then it begins a checkpoint. It decides what is next, {@link AppliedImage} and {@link IncomingCopies} do it.
 *
 * <p>A full disk is not final: it waits for space, and has some given back.
 */
final class Applier {

    /** The replica around it. */
    interface Base {
        long committed();

        /** Image space for everything that is not applied: a hole may have taken what was secured. With the apply lock. */
        void secureAgain() throws IOException;

        /** More of the image is written. */
        void applied();

        void giveBackSpace();

        /** The replica has failed, or is being closed: nothing more is done here. */
        boolean isOver();

        void imageFailed(IOException e);

        void ourOwnBug(Throwable e);
    }

    /** Less than this is not applied at once, if the last step was not so long ago. */
    private static final long GATHER_BYTES = 1L << 20;

    private static final long GATHER_NANOS = 10_000_000;

    private static final long NO_SPACE_RETRY_NANOS = 500_000_000;

    private final String volume;
    private final Journal journal;
    private final AppliedImage image;
    private final IncomingCopies copies;
    private final Checkpoints checkpoints;
    private final Base base;
    private final Thread thread;

    private volatile boolean idle;
    private volatile boolean closing;
    private volatile @Nullable String waitingFor;
    private long steppedAtNanos = System.nanoTime() - GATHER_NANOS;

    Applier(
            String volume,
            Journal journal,
            AppliedImage image,
            IncomingCopies copies,
            Checkpoints checkpoints,
            Base base) {
        this.volume = volume;
        this.journal = journal;
        this.image = image;
        this.copies = copies;
        this.checkpoints = checkpoints;
        this.base = base;
        this.thread = Thread.ofPlatform().name("apply-" + volume).daemon().unstarted(this::loop);
    }

    void start() {
        thread.start();
    }

    // ---- any thread

    /** What it waits for, in words, or null. */
    @Nullable
    String waitingFor() {
        return waitingFor;
    }

    void waitsForSpace(DiskFullException e) {
        waitingFor = "space for a checkpoint: " + e.getMessage();
    }

    /** There may be something to do. Not from its own thread, which would wake from its next rest, and not rest at all. */
    void wake() {
        if (!Thread.currentThread().equals(thread)) {
            LockSupport.unpark(thread);
        }
    }

    void wakeIfIdle() {
        if (idle) {
            LockSupport.unpark(thread);
        }
    }

    /** Cheap where there is nothing to apply. */
    void wakeIfApplicable() {
        if (idle && applicable() > image.applied()) {
            LockSupport.unpark(thread);
        }
    }

    /** Ends the thread, between two steps. */
    void close() throws InterruptedException {
        closing = true;
        LockSupport.unpark(thread);
        if (thread.isAlive()) {
            thread.join();
        }
    }

    /** Applies what may be applied, when the thread has ended. */
    void applyAll() throws IOException {
        while (applicable() > image.applied()) {
            applyTo(applicable());
        }
    }

    // ---- the thread

    private void loop() {
        while (!closing && !base.isOver()) {
            try {
                turn();
            } catch (NoSpaceException e) {
                waitingFor = "space for the image: " + e.getMessage();
                base.giveBackSpace();
                LockSupport.parkNanos(this, NO_SPACE_RETRY_NANOS);
            } catch (DiskFullException e) {
                waitsForSpace(e);
                LockSupport.parkNanos(this, NO_SPACE_RETRY_NANOS);
            } catch (IOException e) {
                base.imageFailed(e);
                return;
            } catch (RuntimeException | Error e) {
                base.ourOwnBug(e);
                return;
            }
        }
    }

    private void turn() throws IOException {
        // First, and so also where the step below finds no space: what is released here may be what it lacks.
        if (checkpoints.isDue()) {
            checkpoints.begin();
        }
        boolean copied = writeCopies();
        long target = applicable();
        if (target > image.applied()) {
            if (gathers(target)) {
                LockSupport.parkNanos(this, GATHER_NANOS);
            } else {
                applyTo(target);
                steppedAtNanos = System.nanoTime();
            }
        } else if (!copied) {
            syncCopiesOrWait();
        }
    }

    /**
     * Little has come since the last step: more is waited for, for a moment. A client that syncs each small write makes them applicable one
     * by one, and would pay for a turn of this thread with each.
     */
    private boolean gathers(long target) {
        return target - image.applied() < GATHER_BYTES
                && System.nanoTime() - steppedAtNanos < GATHER_NANOS
                && !copies.isAnyWaiting()
                && !checkpoints.isWanted()
                && !closing;
    }

    private void syncCopiesOrWait() throws IOException {
        long syncInNanos = copies.syncInNanos(System.nanoTime());
        if (syncInNanos < Long.MAX_VALUE) {
            waitingFor = null;
        }
        if (syncInNanos > 0) {
            waitForProgress(syncInNanos);
            return;
        }
        image.lock().lock();
        try {
            copies.beginSync();
        } finally {
            image.lock().unlock();
        }
    }

    private void waitForProgress(long atMostNanos) {
        idle = true;
        if (applicable() <= image.applied() && !copies.isOneDue() && !closing && !checkpoints.isDue()) {
            LockSupport.parkNanos(this, atMostNanos);
        }
        idle = false;
    }

    /** Writes the copies of the position that is applied. */
    private boolean writeCopies() throws IOException {
        boolean any;
        image.lock().lock(); // or a stream might begin anew between
        try {
            any = copies.writeDue();
        } finally {
            image.lock().unlock();
        }
        if (any) {
            base.applied();
        }
        return any;
    }

    private long applicable() {
        return copies.limit(Math.min(base.committed(), journal.durable()));
    }

    private void applyTo(long target) throws IOException {
        StageEvents.Apply event = new StageEvents.Apply();
        image.lock().lock();
        event.begin();
        long from = image.applied();
        try {
            boolean punched = image.step(Math.min(target, applicable())); // a cut may have come between
            waitingFor = null;
            if (punched) {
                base.secureAgain();
            }
        } finally {
            event.end();
            if (event.shouldCommit()) {
                event.volume = volume;
                event.bytes = image.applied() - from;
                event.commit();
            }
            image.lock().unlock();
        }
        base.applied();
    }
}
