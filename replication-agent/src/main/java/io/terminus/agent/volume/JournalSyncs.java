package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalClosedException;
import java.io.IOException;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Makes what was published in a journal durable: at once when somebody waits for it, every {@link #PACE_NANOS} otherwise. A thread of its
 * own does that, unless who waits does it, see {@link #syncHere}. One fdatasync at a time, for all who wait.
 *
 * <p>Any thread.
 */
final class JournalSyncs {

    /** Called by whoever has synced; be quick. */
    interface Events {
        /** More of the journal is durable. */
        void synced();

        /** There may be more to apply than whoever applies has heard of. */
        void mayApply();

        /** The replica has failed, or closes: nothing is to be synced any more. */
        boolean isOver();

        void failed(IOException e);

        void ourOwnBug(Throwable e);
    }

    /** How long published bytes may stay unsynced when nobody waits for them. */
    private static final long PACE_NANOS = 50_000_000;

    /** A sync that takes longer is left to its own thread: a peer's reader, or a client's, is to be heard meanwhile. */
    private static final long QUICK_NANOS = 20_000_000;

    private final String volume;
    private final Journal journal;
    private final VolumeMeasures measures;
    private final Events events;
    private final Thread thread;
    private final ReentrantLock turn = new ReentrantLock();

    private volatile long demand;
    private volatile long lastNanos;
    private volatile boolean idle;
    private volatile boolean closing;

    JournalSyncs(String volume, Journal journal, VolumeMeasures measures, Events events) {
        this.volume = volume;
        this.journal = journal;
        this.measures = measures;
        this.events = events;
        this.thread = Thread.ofPlatform().name("sync-" + volume).daemon().unstarted(this::loop);
    }

    void start() {
        thread.start();
    }

    /** Bytes were published: they will be synced, by and by. Cheap. */
    void published() {
        if (idle) {
            LockSupport.unpark(thread);
        }
    }

    /** Somebody waits until this position is durable. */
    void request(long position) {
        if (position > demand) {
            demand = position;
        }
        if (journal.durable() < position) {
            LockSupport.unpark(thread);
        }
    }

    /**
     * As {@link #request}, from a thread that has nothing to do until then: it syncs itself, which saves waking the sync thread and
     * being woken, unless a sync is under way (then the next one is for all who wait) or the disk is slow (then others may want something of
     * this thread meanwhile).
     */
    void syncHere(long position) {
        if (journal.durable() >= position) {
            return;
        }
        if (closing || events.isOver() || lastNanos > QUICK_NANOS || !turn.tryLock()) {
            request(position);
            return;
        }
        boolean synced;
        try {
            synced = syncOnce();
        } finally {
            turn.unlock();
        }
        if (synced) {
            // Apply hears of it by and by: to be woken for each small write would cost it more than the write.
            events.synced();
        }
    }

    /** Ends the thread, and syncs nothing any more. */
    void close() throws InterruptedException {
        closing = true;
        LockSupport.unpark(thread);
        if (thread.isAlive()) {
            thread.join();
        }
    }

    private void loop() {
        long last = System.nanoTime() - PACE_NANOS;
        while (!closing) {
            if (journal.durable() >= journal.end()) {
                idle = true;
                events.mayApply(); // behind that: whoever publishes and syncs from now on wakes this thread
                if (journal.durable() >= journal.end() && !closing) {
                    LockSupport.park(this);
                }
                idle = false;
                continue;
            }
            long rest = last + PACE_NANOS - System.nanoTime();
            if (demand <= journal.durable() && rest > 0) {
                LockSupport.parkNanos(this, rest);
                continue;
            }
            turn.lock();
            try {
                if (demand <= journal.durable() && rest > 0) {
                    continue; // somebody who waited has done it
                }
                last = System.nanoTime();
                if (!syncOnce()) {
                    return;
                }
            } finally {
                turn.unlock();
            }
            events.synced();
            events.mayApply();
        }
    }

    /** Whoever has the turn. False: it is over. */
    private boolean syncOnce() {
        if (events.isOver()) {
            return false; // for whoever had the turn before
        }
        try {
            sync(System.nanoTime());
            return true;
        } catch (JournalClosedException e) {
            return false;
        } catch (IOException e) {
            measures.syncFailed();
            events.failed(e);
        } catch (RuntimeException | Error e) {
            events.ourOwnBug(e);
        }
        return false;
    }

    private void sync(long beganNanos) throws IOException {
        StageEvents.Sync event = new StageEvents.Sync();
        event.begin();
        long before = journal.durable();
        long after = journal.sync();
        lastNanos = System.nanoTime() - beganNanos;
        measures.sync().record(lastNanos);
        event.end();
        if (event.shouldCommit()) {
            event.volume = volume;
            event.bytes = after - before;
            event.commit();
        }
    }
}
