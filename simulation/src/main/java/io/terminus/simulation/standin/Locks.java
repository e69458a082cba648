package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.Task;
import io.terminus.simulation.kernel.WaitQueue;
import io.terminus.simulation.kernel.World;
import java.util.Date;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.concurrent.locks.StampedLock;

/** Stand in for the locks that a product makes with {@code new}. A checker finds all of them free. */
public final class Locks {

    private Locks() {}

    public static class Reentrant extends ReentrantLock {
        private Task owner;
        private int depth;
        private final WaitQueue entry = new WaitQueue();

        @Override
        public void lock() {
            Task self = World.self();
            if (self == null) {
                return;
            }
            World.point();
            enter(self, 1);
        }

        private void enter(Task self, int times) {
            while (owner != null && owner != self) {
                entry.await();
            }
            owner = self;
            depth += times;
        }

        @Override
        public void lockInterruptibly() throws InterruptedException {
            Sync.throwIfInterrupted();
            lock();
        }

        @Override
        public boolean tryLock() {
            Task self = World.self();
            if (self == null) {
                return true;
            }
            World.point();
            if (owner != null && owner != self) {
                return false;
            }
            enter(self, 1);
            return true;
        }

        @Override
        public boolean tryLock(long time, TimeUnit unit) {
            throw new UnsupportedOperationException("a timed tryLock has no stand-in");
        }

        @Override
        public void unlock() {
            Task self = World.self();
            if (self == null) {
                return;
            }
            if (owner != self) {
                throw new IllegalMonitorStateException();
            }
            if (--depth == 0) {
                owner = null;
                entry.wakeAll();
            }
        }

        @Override
        public boolean isHeldByCurrentThread() {
            return owner != null && owner == World.self();
        }

        @Override
        public boolean isLocked() {
            return owner != null;
        }

        @Override
        public Condition newCondition() {
            return new Condition() {
                private final WaitQueue waiters = new WaitQueue();

                private boolean await(long nanos) {
                    Task self = World.self();
                    if (owner != self) {
                        throw new IllegalMonitorStateException();
                    }
                    int held = depth;
                    depth = 0;
                    owner = null;
                    entry.wakeAll();
                    boolean woken = true;
                    if (nanos == Long.MAX_VALUE) {
                        waiters.await();
                    } else {
                        woken = waiters.await(nanos);
                    }
                    enter(self, held);
                    return woken;
                }

                @Override
                public void await() throws InterruptedException {
                    Sync.throwIfInterrupted();
                    await(Long.MAX_VALUE);
                    Sync.throwIfInterrupted();
                }

                @Override
                public void awaitUninterruptibly() {
                    await(Long.MAX_VALUE);
                }

                @Override
                public long awaitNanos(long nanos) throws InterruptedException {
                    Sync.throwIfInterrupted();
                    long until = World.here().nanoTime() + nanos;
                    if (nanos > 0) {
                        await(nanos);
                    }
                    Sync.throwIfInterrupted();
                    return until - World.here().nanoTime();
                }

                @Override
                public boolean await(long time, TimeUnit unit) throws InterruptedException {
                    return awaitNanos(unit.toNanos(time)) > 0;
                }

                @Override
                public boolean awaitUntil(Date deadline) {
                    throw new UnsupportedOperationException("awaitUntil has no stand-in");
                }

                @Override
                public void signal() {
                    waiters.wakeOne();
                }

                @Override
                public void signalAll() {
                    waiters.wakeAll();
                }
            };
        }
    }

    public static class ReadWrite extends ReentrantReadWriteLock {
        private Task writer;
        private int depth;
        private int readers;
        private final WaitQueue entry = new WaitQueue();
        private ReadLock read;
        private WriteLock write;

        @Override
        public ReadLock readLock() {
            if (read == null) {
                read = new ReadLock(this) {
                    @Override
                    public void lock() {
                        Task self = World.self();
                        if (self == null) {
                            return;
                        }
                        World.point();
                        while (writer != null && writer != self) {
                            entry.await();
                        }
                        readers++;
                    }

                    @Override
                    public void unlock() {
                        if (World.self() != null) {
                            readers--;
                            entry.wakeAll();
                        }
                    }
                };
            }
            return read;
        }

        @Override
        public WriteLock writeLock() {
            if (write == null) {
                write = new WriteLock(this) {
                    @Override
                    public void lock() {
                        Task self = World.self();
                        if (self == null) {
                            return;
                        }
                        World.point();
                        while (writer != self && (writer != null || readers > 0)) {
                            entry.await();
                        }
                        writer = self;
                        depth++;
                    }

                    @Override
                    public void unlock() {
                        if (World.self() != null && --depth == 0) {
                            writer = null;
                            entry.wakeAll();
                        }
                    }
                };
            }
            return write;
        }
    }

    /** A stamp is 1 for writing, 2 for reading. */
    public static class Stamped extends StampedLock {
        private static final long WRITING = 1;
        private static final long READING = 2;
        private boolean written;
        private int readers;
        private final WaitQueue entry = new WaitQueue();

        @Override
        public long writeLock() {
            World.point();
            while (written || readers > 0) {
                entry.await();
            }
            written = true;
            return WRITING;
        }

        @Override
        public long tryWriteLock() {
            if (written || readers > 0) {
                return 0;
            }
            written = true;
            return WRITING;
        }

        @Override
        public long tryWriteLock(long time, TimeUnit unit) throws InterruptedException {
            long until = World.here().nanoTime() + unit.toNanos(time);
            while (written || readers > 0) {
                Sync.throwIfInterrupted();
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    return 0;
                }
                entry.await(left);
            }
            written = true;
            return WRITING;
        }

        @Override
        public long tryReadLock() {
            if (written) {
                return 0;
            }
            readers++;
            return READING;
        }

        @Override
        public long tryReadLock(long time, TimeUnit unit) throws InterruptedException {
            long until = World.here().nanoTime() + unit.toNanos(time);
            while (written) {
                Sync.throwIfInterrupted();
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    return 0;
                }
                entry.await(left);
            }
            readers++;
            return READING;
        }

        @Override
        public long tryConvertToReadLock(long stamp) {
            if (stamp == WRITING) {
                written = false;
                readers++;
                entry.wakeAll();
            }
            return READING;
        }

        @Override
        public void unlock(long stamp) {
            if (stamp == WRITING) {
                written = false;
            } else {
                readers--;
            }
            entry.wakeAll();
        }

        @Override
        public void unlockWrite(long stamp) {
            unlock(stamp);
        }

        @Override
        public boolean isWriteLocked() {
            return written;
        }

        @Override
        public boolean isReadLocked() {
            return readers > 0;
        }
    }

    public static class Counting extends Semaphore {
        private int permits;
        private final WaitQueue waiters = new WaitQueue();

        public Counting(int permits) {
            super(permits);
            this.permits = permits;
        }

        @Override
        public boolean tryAcquire() {
            if (permits == 0) {
                return false;
            }
            permits--;
            return true;
        }

        @Override
        public boolean tryAcquire(long time, TimeUnit unit) throws InterruptedException {
            Sync.throwIfInterrupted();
            long until = World.here().nanoTime() + unit.toNanos(time);
            while (permits == 0) {
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    return false;
                }
                waiters.await(left);
            }
            permits--;
            return true;
        }

        @Override
        public void acquire() throws InterruptedException {
            Sync.throwIfInterrupted();
            while (permits == 0) {
                waiters.await();
            }
            permits--;
        }

        @Override
        public void release() {
            release(1);
        }

        @Override
        public void release(int more) {
            permits += more;
            waiters.wakeAll();
        }

        @Override
        public int availablePermits() {
            return permits;
        }
    }

    public static class Latch extends CountDownLatch {
        private long count;
        private final WaitQueue waiters = new WaitQueue();

        public Latch(int count) {
            super(count);
            this.count = count;
        }

        @Override
        public void countDown() {
            if (count > 0 && --count == 0) {
                waiters.wakeAll();
            }
        }

        @Override
        public long getCount() {
            return count;
        }

        @Override
        public void await() throws InterruptedException {
            Sync.throwIfInterrupted();
            while (count > 0) {
                waiters.await();
            }
        }

        @Override
        public boolean await(long time, TimeUnit unit) throws InterruptedException {
            Sync.throwIfInterrupted();
            long until = World.here().nanoTime() + unit.toNanos(time);
            while (count > 0) {
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    return false;
                }
                waiters.await(left);
            }
            return true;
        }
    }
}
