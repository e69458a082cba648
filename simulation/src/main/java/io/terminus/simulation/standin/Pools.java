package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.WaitQueue;
import io.terminus.simulation.kernel.World;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.concurrent.AbstractExecutorService;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Delayed;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Stand in for executors of one thread: what the product has. */
public final class Pools {

    private Pools() {}

    public static ExecutorService newSingleThreadExecutor(ThreadFactory threads) {
        return new Single(threads);
    }

    public static ScheduledExecutorService newSingleThreadScheduledExecutor(ThreadFactory threads) {
        return new Single(threads);
    }

    /** One thread, made by the first task, and what waits for it. */
    private static final class Work {
        private final ThreadFactory threads;
        private final ArrayDeque<Runnable> queue = new ArrayDeque<>();
        private final PriorityQueue<Timed> timed = new PriorityQueue<>();
        private final WaitQueue arrivals = new WaitQueue();
        private final WaitQueue ends = new WaitQueue();
        private Thread worker;
        private boolean shutdown;
        private boolean over;
        private long number;

        Work(ThreadFactory threads) {
            this.threads = threads;
        }

        void execute(Runnable what) {
            if (shutdown) {
                throw new RejectedExecutionException("shut down");
            }
            queue.add(what);
            begin();
        }

        Timed schedule(Runnable what, long delayNanos, long periodNanos) {
            if (shutdown) {
                throw new RejectedExecutionException("shut down");
            }
            Timed t = new Timed(this, what, World.here().nanoTime() + Math.max(0, delayNanos), periodNanos, ++number);
            timed.add(t);
            begin();
            return t;
        }

        private void begin() {
            if (worker == null) {
                worker = threads.newThread(this::work);
                worker.start();
            } else {
                arrivals.wakeAll();
                World.point();
            }
        }

        private void work() {
            while (true) {
                Runnable next = queue.poll();
                if (next == null) {
                    Timed due = timed.peek();
                    if (due == null) {
                        if (shutdown) {
                            break;
                        }
                        arrivals.await();
                        continue;
                    }
                    long left = due.atNanos - World.here().nanoTime();
                    if (left > 0) {
                        arrivals.await(left);
                        continue;
                    }
                    timed.remove();
                    next = due;
                }
                next.run();
            }
            over = true;
            ends.wakeAll();
        }

        void shutdown() {
            shutdown = true;
            timed.clear();
            if (worker == null) {
                over = true;
            }
            arrivals.wakeAll();
        }

        List<Runnable> shutdownNow() {
            List<Runnable> left = new ArrayList<>(queue);
            queue.clear();
            shutdown();
            if (worker instanceof SimThread sim) {
                sim.interrupt();
            }
            return left;
        }

        boolean awaitEnd(long nanos) {
            long until = World.here().nanoTime() + nanos;
            while (!over) {
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    return false;
                }
                ends.await(left);
            }
            return true;
        }
    }

    /** Something for later, once or again and again. An exception ends it, as ever. */
    private static final class Timed extends CompletableFuture<Object> implements ScheduledFuture<Object>, Runnable {
        private final Work work;
        private final Runnable what;
        private final long periodNanos;
        private final long number;
        private long atNanos;

        Timed(Work work, Runnable what, long atNanos, long periodNanos, long number) {
            this.work = work;
            this.what = what;
            this.atNanos = atNanos;
            this.periodNanos = periodNanos;
            this.number = number;
        }

        @Override
        public void run() {
            if (isCancelled()) {
                return;
            }
            try {
                what.run();
                if (periodNanos == 0) {
                    complete(null);
                } else if (!work.shutdown) {
                    atNanos = World.here().nanoTime() + periodNanos;
                    work.timed.add(this);
                }
            } catch (Throwable e) {
                completeExceptionally(e);
            }
        }

        @Override
        public boolean cancel(boolean mayInterrupt) {
            work.timed.remove(this);
            return super.cancel(mayInterrupt);
        }

        @Override
        public long getDelay(TimeUnit unit) {
            return unit.convert(atNanos - World.here().nanoTime(), TimeUnit.NANOSECONDS);
        }

        @Override
        public int compareTo(Delayed o) {
            Timed other = (Timed) o;
            int byTime = Long.compare(atNanos, other.atNanos);
            return byTime != 0 ? byTime : Long.compare(number, other.number);
        }
    }

    private static <T> CompletableFuture<T> submit(Work work, Callable<T> what) {
        CompletableFuture<T> future = new CompletableFuture<>();
        work.execute(() -> {
            try {
                future.complete(what.call());
            } catch (Throwable e) {
                future.completeExceptionally(e);
            }
        });
        return future;
    }

    private static final class Single extends AbstractExecutorService implements ScheduledExecutorService {
        private final Work work;

        Single(ThreadFactory threads) {
            this.work = new Work(threads);
        }

        @Override
        public void execute(Runnable what) {
            work.execute(what);
        }

        @Override
        public Future<?> submit(Runnable what) {
            return Pools.submit(work, () -> {
                what.run();
                return null;
            });
        }

        @Override
        public <T> Future<T> submit(Callable<T> what) {
            return Pools.submit(work, what);
        }

        @Override
        public ScheduledFuture<?> schedule(Runnable what, long delay, TimeUnit unit) {
            return work.schedule(what, unit.toNanos(delay), 0);
        }

        @Override
        public <V> ScheduledFuture<V> schedule(Callable<V> what, long delay, TimeUnit unit) {
            throw new UnsupportedOperationException("a scheduled Callable has no stand-in");
        }

        @Override
        public ScheduledFuture<?> scheduleAtFixedRate(Runnable what, long first, long period, TimeUnit unit) {
            return work.schedule(what, unit.toNanos(first), unit.toNanos(period));
        }

        @Override
        public ScheduledFuture<?> scheduleWithFixedDelay(Runnable what, long first, long period, TimeUnit unit) {
            return work.schedule(what, unit.toNanos(first), unit.toNanos(period));
        }

        @Override
        public void shutdown() {
            work.shutdown();
        }

        @Override
        public List<Runnable> shutdownNow() {
            return work.shutdownNow();
        }

        @Override
        public boolean isShutdown() {
            return work.shutdown;
        }

        @Override
        public boolean isTerminated() {
            return work.over;
        }

        @Override
        public boolean awaitTermination(long time, TimeUnit unit) {
            return work.awaitEnd(unit.toNanos(time));
        }

        @Override
        public void close() {
            work.shutdown();
            work.awaitEnd(Long.MAX_VALUE / 4);
        }
    }

    /** The product makes it with one thread. */
    public static class Pool extends ThreadPoolExecutor {
        private final Work work;

        public Pool(
                int core,
                int most,
                long keepAlive,
                TimeUnit unit,
                BlockingQueue<Runnable> queue,
                ThreadFactory threads) {
            super(core, most, keepAlive, unit, queue, threads);
            if (core != 1 || most != 1) {
                throw new UnsupportedOperationException("a pool of " + most + " threads has no stand-in");
            }
            this.work = new Work(threads);
        }

        @Override
        public void execute(Runnable what) {
            work.execute(what);
        }

        @Override
        public void shutdown() {
            work.shutdown();
        }

        @Override
        public List<Runnable> shutdownNow() {
            return work.shutdownNow();
        }

        @Override
        public void setKeepAliveTime(long time, TimeUnit unit) {
            // Its thread costs nothing here.
        }

        @Override
        public void allowCoreThreadTimeOut(boolean value) {
            // As above.
        }
    }

    public static class ScheduledPool extends ScheduledThreadPoolExecutor {
        private final Work work;

        public ScheduledPool(int core, ThreadFactory threads) {
            super(core, threads);
            this.work = new Work(threads);
        }

        @Override
        public void execute(Runnable what) {
            work.execute(what);
        }

        @Override
        public Future<?> submit(Runnable what) {
            return Pools.submit(work, () -> {
                what.run();
                return null;
            });
        }

        @Override
        public ScheduledFuture<?> schedule(Runnable what, long delay, TimeUnit unit) {
            return work.schedule(what, unit.toNanos(delay), 0);
        }

        @Override
        public void shutdown() {
            work.shutdown();
        }

        @Override
        public List<Runnable> shutdownNow() {
            return work.shutdownNow();
        }

        @Override
        public boolean isShutdown() {
            return work.shutdown;
        }
    }
}
