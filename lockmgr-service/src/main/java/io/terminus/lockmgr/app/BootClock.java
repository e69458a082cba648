package io.terminus.lockmgr.app;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Nanoseconds of CLOCK_BOOTTIME: monotonic, and counting while the machine is suspended, as the leases of clients do.
 * {@link System#nanoTime} stops then. Where there is no such clock, nanoTime stands in. Any thread.
 */
final class BootClock implements LongSupplier {

    private static final int CLOCK_BOOTTIME = 7;
    private static final long NANOS_PER_SECOND = 1_000_000_000L;

    /** {@code int clock_gettime(clockid_t, struct timespec *)}; null where it cannot be used. */
    private static final @Nullable MethodHandle CLOCK_GETTIME = find();

    @Override
    public long getAsLong() {
        MethodHandle clock = CLOCK_GETTIME;
        long[] timespec = new long[2];
        return clock != null && read(clock, timespec)
                ? timespec[0] * NANOS_PER_SECOND + timespec[1]
                : System.nanoTime();
    }

    private static boolean read(MethodHandle clock, long[] timespec) {
        try {
            return (int) clock.invokeExact(CLOCK_BOOTTIME, MemorySegment.ofArray(timespec)) == 0;
        } catch (Throwable e) {
            throw new IllegalStateException("clock_gettime cannot be called", e);
        }
    }

    /** Decided once, with a first reading: a process must never change from one clock to the other. */
    @SuppressWarnings("restricted") // allowed to this jar by its manifest
    private static @Nullable MethodHandle find() {
        try {
            Linker linker = Linker.nativeLinker();
            MethodHandle clock = linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("clock_gettime"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.ADDRESS),
                    Linker.Option.critical(true));
            boolean linux64 =
                    System.getProperty("os.name", "").equals("Linux") && ValueLayout.ADDRESS.byteSize() == Long.BYTES;
            return linux64 && read(clock, new long[2]) ? clock : null;
        } catch (RuntimeException | UnsatisfiedLinkError e) {
            return null;
        }
    }
}
