package io.terminus.lockmgr.client;

/** Never goes back, is never negative, and goes on while the machine is suspended. Any thread may read it. */
@FunctionalInterface
public interface LeaseClock {

    /** Nanoseconds since an instant that is the same for the life of the process. */
    long nanos();

    /** CLOCK_BOOTTIME where there is one; else {@link System#nanoTime()}, which stands still in a suspended machine. */
    static LeaseClock system() {
        return BootClock.SYSTEM;
    }
}
