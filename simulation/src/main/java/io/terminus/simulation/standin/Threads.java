package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.Task;
import io.terminus.simulation.kernel.World;
import java.util.concurrent.ThreadFactory;

/** Stands in for {@code Thread} and its builders. */
public final class Threads {

    private Threads() {}

    private static final Thread NOBODY = new Thread(() -> {}, "events");

    public static Thread currentThread() {
        Task self = World.self();
        if (self == null) {
            return NOBODY;
        }
        if (self.facade == null) {
            self.facade = new Driver(self);
        }
        return (Thread) self.facade;
    }

    /** For tasks that the world began. */
    private static final class Driver extends Thread {
        private final Task task;

        Driver(Task task) {
            super(null, null, task.name(), 0, false);
            this.task = task;
        }
    }

    static Task task(Thread thread) {
        return thread instanceof SimThread sim ? sim.task() : thread instanceof Driver d ? d.task : null;
    }

    public static boolean interrupted() {
        Task self = World.self();
        boolean was = self != null && self.interrupted;
        if (was) {
            self.interrupted = false;
        }
        return was;
    }

    public static void sleep(long millis) throws InterruptedException {
        Sync.throwIfInterrupted();
        World.sleep(millis * 1_000_000);
        Sync.throwIfInterrupted();
    }

    public static void sleep(java.util.concurrent.TimeUnit unit, long time) throws InterruptedException {
        Sync.throwIfInterrupted();
        World.sleep(unit.toNanos(time));
        Sync.throwIfInterrupted();
    }

    public static void sleep(java.time.Duration time) throws InterruptedException {
        sleep(java.util.concurrent.TimeUnit.NANOSECONDS, time.toNanos());
    }

    public static void onSpinWait() {
        World.yieldTurn();
    }

    public static void yield() {
        World.yieldTurn();
    }

    public static Thread startVirtualThread(Runnable body) {
        SimThread thread = new SimThread(body, "virtual");
        thread.start();
        return thread;
    }

    public static void start(Thread thread) {
        thread.start();
    }

    public static void interrupt(Thread thread) {
        Task task = task(thread);
        if (thread instanceof SimThread sim) {
            sim.interrupt();
        } else if (task != null) {
            task.interrupted = true;
            World.wake(task);
        }
    }

    public static boolean isInterrupted(Thread thread) {
        Task task = task(thread);
        return task != null && task.interrupted;
    }

    public static boolean isAlive(Thread thread) {
        return thread instanceof SimThread sim ? sim.alive() : task(thread) != null;
    }

    public static Thread.State getState(Thread thread) {
        if (thread instanceof SimThread sim) {
            return !sim.begun() ? Thread.State.NEW : sim.alive() ? Thread.State.RUNNABLE : Thread.State.TERMINATED;
        }
        return Thread.State.RUNNABLE;
    }

    public static void join(Thread thread) throws InterruptedException {
        Sync.throwIfInterrupted();
        if (thread instanceof SimThread sim) {
            sim.awaitEnd();
        }
    }

    public static void setDaemon(Thread thread, boolean daemon) {
        // Nobody asks which threads keep a process alive: it ends when it is killed.
    }

    public static Thread start(Thread.Builder.OfPlatform builder, Runnable body) {
        Thread thread = unstarted(builder, body);
        thread.start();
        return thread;
    }

    public static Thread unstarted(Thread.Builder.OfPlatform builder, Runnable body) {
        return new SimThread(body, builder.unstarted(body).getName());
    }

    public static ThreadFactory factory(Thread.Builder.OfPlatform builder) {
        String name = builder.unstarted(() -> {}).getName();
        return body -> new SimThread(body, name);
    }

    public static Thread start(Thread.Builder.OfVirtual builder, Runnable body) {
        SimThread thread = new SimThread(body, builder.unstarted(body).getName());
        thread.start();
        return thread;
    }

    public static Thread unstarted(Thread.Builder.OfVirtual builder, Runnable body) {
        return new SimThread(body, builder.unstarted(body).getName());
    }
}
