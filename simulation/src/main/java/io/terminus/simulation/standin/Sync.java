package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.Task;
import io.terminus.simulation.kernel.WaitQueue;
import io.terminus.simulation.kernel.World;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/** Stands in for what tasks wait for one another with: monitors, parking, futures. */
public final class Sync {

    private Sync() {}

    static void throwIfInterrupted() throws InterruptedException {
        if (Threads.interrupted()) {
            throw new InterruptedException();
        }
    }

    // ---- monitors

    private static final class Monitor {
        Task owner;
        int depth;
        final WaitQueue entry = new WaitQueue();
        final WaitQueue waiters = new WaitQueue();
    }

    private static final class Monitors {
        final Map<Object, Monitor> held = new IdentityHashMap<>();
    }

    private static Map<Object, Monitor> monitors() {
        return World.current().attic(Monitors.class, Monitors::new).held;
    }

    /** A checker looks without waiting: nobody else runs meanwhile. */
    public static void enter(Object o) {
        Task self = World.self();
        if (self == null) {
            return;
        }
        if (o == null) {
            throw new NullPointerException();
        }
        World.point();
        enter(o, self, 1);
    }

    private static void enter(Object o, Task self, int depth) {
        while (true) {
            // Looked up again after each wait: one that nobody held or waited at is forgotten.
            Monitor m = monitors().computeIfAbsent(o, k -> new Monitor());
            if (m.owner == null || m.owner == self) {
                m.owner = self;
                m.depth += depth;
                return;
            }
            m.entry.await();
        }
    }

    public static void exit(Object o) {
        Task self = World.self();
        if (self == null) {
            return;
        }
        Monitor m = monitors().get(o);
        if (m == null || m.owner != self) {
            throw new IllegalMonitorStateException();
        }
        if (--m.depth == 0) {
            m.owner = null;
            if (m.entry.isEmpty() && m.waiters.isEmpty()) {
                monitors().remove(o);
            } else {
                m.entry.wakeAll();
            }
        }
    }

    public static void wait(Object o) throws InterruptedException {
        wait(o, 0);
    }

    public static void wait(Object o, long millis) throws InterruptedException {
        throwIfInterrupted();
        Task self = World.self();
        Monitor m = monitors().get(o);
        if (m == null || m.owner != self) {
            throw new IllegalMonitorStateException();
        }
        int depth = m.depth;
        m.depth = 0;
        m.owner = null;
        m.entry.wakeAll();
        if (millis == 0) {
            m.waiters.await();
        } else {
            m.waiters.await(millis * 1_000_000);
        }
        enter(o, self, depth);
        throwIfInterrupted();
    }

    public static void notifyAll(Object o) {
        Monitor m = monitors().get(o);
        if (m != null) {
            m.waiters.wakeAll();
        }
    }

    public static void notify(Object o) {
        Monitor m = monitors().get(o);
        if (m != null) {
            m.waiters.wakeOne();
        }
    }

    // ---- LockSupport

    public static void park(Object blocker) {
        Task self = World.self();
        if (self.permit || self.interrupted) {
            self.permit = false;
            World.point();
            return;
        }
        World.block();
        self.permit = false;
    }

    public static void park() {
        park(null);
    }

    public static void parkNanos(Object blocker, long nanos) {
        Task self = World.self();
        if (nanos <= 0) {
            return;
        }
        if (self.permit || self.interrupted) {
            self.permit = false;
            World.point();
            return;
        }
        World.block(nanos);
        self.permit = false;
    }

    public static void parkNanos(long nanos) {
        parkNanos(null, nanos);
    }

    public static void unpark(Thread thread) {
        Task task = thread == null ? null : Threads.task(thread);
        if (task != null) {
            task.permit = true;
            World.wake(task);
            World.point();
        }
    }

    // ---- futures

    private static boolean await(CompletableFuture<?> future, long nanos) throws InterruptedException {
        throwIfInterrupted();
        if (future.isDone()) {
            World.point();
            return true;
        }
        Task self = World.self();
        long until = nanos == Long.MAX_VALUE ? Long.MAX_VALUE : World.here().nanoTime() + nanos;
        future.whenComplete((v, e) -> World.wake(self));
        while (!future.isDone()) {
            if (nanos == Long.MAX_VALUE) {
                World.block();
            } else {
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    return false;
                }
                World.block(left);
            }
            throwIfInterrupted();
        }
        return true;
    }

    public static <T> T get(CompletableFuture<T> future) throws InterruptedException, ExecutionException {
        await(future, Long.MAX_VALUE);
        return future.get();
    }

    public static <T> T get(CompletableFuture<T> future, long time, TimeUnit unit)
            throws InterruptedException, ExecutionException, TimeoutException {
        if (!await(future, unit.toNanos(time))) {
            throw new TimeoutException();
        }
        return future.get();
    }

    public static <T> T join(CompletableFuture<T> future) {
        try {
            await(future, Long.MAX_VALUE);
        } catch (InterruptedException e) {
            throw new CompletionException(e);
        }
        return future.join();
    }

    @SuppressWarnings("unchecked")
    public static Object get(Future<?> future) throws InterruptedException, ExecutionException {
        return get((CompletableFuture<Object>) future);
    }

    @SuppressWarnings("unchecked")
    public static Object get(Future<?> future, long time, TimeUnit unit)
            throws InterruptedException, ExecutionException, TimeoutException {
        return get((CompletableFuture<Object>) future, time, unit);
    }

    public static <T> CompletableFuture<T> supplyAsync(Supplier<T> what) {
        CompletableFuture<T> future = new CompletableFuture<>();
        new SimThread(
                        () -> {
                            try {
                                future.complete(what.get());
                            } catch (Throwable e) {
                                future.completeExceptionally(new CompletionException(e));
                            }
                        },
                        "async")
                .start();
        return future;
    }
}
