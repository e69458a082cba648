package io.terminus.agent.journal;

import java.nio.file.Path;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** Whether a journal can be used: not behind a failure of its disk, which is final, and not once it is closed. Any thread. */
final class Health {

    private final JournalSpec spec;
    private final Path directory;
    private final ReentrantLock lock;
    private final Condition[] waitedFor;
    private volatile @Nullable JournalFailedException failure;
    private volatile boolean closed;

    /** @param waitedFor of the lock: who waits for one of these hears of a failure */
    Health(JournalSpec spec, Path directory, ReentrantLock lock, Condition... waitedFor) {
        this.spec = spec;
        this.directory = directory;
        this.lock = lock;
        this.waitedFor = waitedFor;
    }

    boolean failed() {
        return failure != null;
    }

    boolean closed() {
        return closed;
    }

    void close() {
        closed = true;
    }

    /** The first failure is the one that is kept, and returned. */
    JournalFailedException fail(String what, Throwable cause) {
        lock.lock();
        try {
            JournalFailedException first = failure;
            if (first == null) {
                first = new JournalFailedException(
                        what + " at agent " + spec.self() + " in " + directory + ": " + cause.getMessage(), cause);
                failure = first;
                for (Condition condition : waitedFor) {
                    condition.signalAll();
                }
            }
            return first;
        } finally {
            lock.unlock();
        }
    }

    void checkUsable() throws JournalException {
        JournalFailedException failed = failure;
        if (failed != null) {
            throw new JournalFailedException(String.valueOf(failed.getMessage()), failed);
        }
        if (closed) {
            throw new JournalClosedException();
        }
    }
}
