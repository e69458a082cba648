package io.terminus.lockmgr.client;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.slf4j.LoggerFactory;

/**
 * CLOCK_BOOTTIME through clock_gettime(2). The clock of {@link System#nanoTime()} stands still while a virtual machine is suspended,
 * and a holder that wakes up would go on believing in a lease that ended long ago.
 *
 * <p>A call is one vDSO read (no system call, no allocation): each thread keeps its struct timespec in a small heap array, and the
 * linker's critical mode lets C write into it.
 */
final class BootClock implements LeaseClock {

    static final LeaseClock SYSTEM = open();

    private static final int CLOCK_BOOTTIME = 7;
    private static final long NANOS_PER_SECOND = 1_000_000_000L;

    /** struct timespec of 64-bit Linux: seconds, then nanoseconds. */
    private static final class Timespec {
        final long[] words = new long[2];
        final MemorySegment segment = MemorySegment.ofArray(words);
    }

    /** Apart and static: the handle is found with the first call only, and the JIT compiler takes it for a constant. */
    private static final class Native {
        static final MethodHandle CLOCK_GETTIME = find();

        @SuppressWarnings("restricted") // The JVM is started with --enable-native-access.
        private static MethodHandle find() {
            Linker linker = Linker.nativeLinker();
            return linker.downcallHandle(
                    linker.defaultLookup().find("clock_gettime").orElseThrow(),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.ADDRESS),
                    Linker.Option.critical(true));
        }
    }

    private final ThreadLocal<Timespec> timespec = ThreadLocal.withInitial(Timespec::new);

    private BootClock() {}

    @Override
    public long nanos() {
        Timespec now = timespec.get();
        int failed;
        try {
            failed = (int) Native.CLOCK_GETTIME.invokeExact(CLOCK_BOOTTIME, now.segment);
        } catch (Throwable e) {
            throw new IllegalStateException("clock_gettime(CLOCK_BOOTTIME) could not be called", e);
        }
        if (failed != 0) {
            throw new IllegalStateException("clock_gettime(CLOCK_BOOTTIME) answered " + failed);
        }
        return now.words[0] * NANOS_PER_SECOND + now.words[1];
    }

    private static LeaseClock open() {
        boolean known = System.getProperty("os.name", "").equals("Linux")
                && System.getProperty("sun.arch.data.model", "").equals("64");
        if (known) {
            try {
                BootClock clock = new BootClock();
                clock.nanos();
                return clock;
            } catch (RuntimeException | LinkageError e) {
                LoggerFactory.getLogger(BootClock.class)
                        .warn("no CLOCK_BOOTTIME: leases are timed by a clock that stands still during suspend", e);
            }
        }
        long origin = System.nanoTime();
        return () -> System.nanoTime() - origin;
    }
}
