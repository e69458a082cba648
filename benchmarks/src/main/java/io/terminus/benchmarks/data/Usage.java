package io.terminus.benchmarks.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** What a process has used so far, from {@code /proc/PID}. */
final class Usage {

    /** Of /proc's clock: a constant of the kernel's interface. */
    private static final double TICKS_PER_SECOND = 100;

    private static final String ANONYMOUS = "RssAnon:";

    private Usage() {}

    /** CPU seconds, user and system, in steps of 10 ms. */
    static double cpuSeconds(Daemon process) {
        String stat = read(process.pid(), "stat");
        // The second field is the program's name in brackets, and may hold anything.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND;
    }

    /** CPU seconds of the threads there are, to the nanosecond: for a process that does next to nothing, and starts and ends no threads. */
    static double threadSeconds(Daemon process) {
        double seconds = 0;
        try (Stream<Path> threads = Files.list(Path.of("/proc", String.valueOf(process.pid()), "task"))) {
            for (Path thread : threads.toList()) {
                seconds += Long.parseLong(
                                Files.readString(thread.resolve("schedstat")).split(" ")[0])
                        / 1e9;
            }
        } catch (IOException e) {
            throw new UncheckedIOException("process " + process.pid() + " is gone, or one of its threads", e);
        }
        return seconds;
    }

    /** Resident memory that is no page of a file: heap, code, thread stacks, buffers. */
    static long anonymousBytes(Daemon process) {
        return read(process.pid(), "status")
                .lines()
                .filter(line -> line.startsWith(ANONYMOUS))
                .mapToLong(line -> Long.parseLong(line.substring(ANONYMOUS.length())
                                .replace("kB", "")
                                .trim())
                        << 10)
                .findFirst()
                .orElseThrow();
    }

    private static String read(long pid, String file) {
        try {
            return Files.readString(Path.of("/proc", String.valueOf(pid), file));
        } catch (IOException e) {
            throw new UncheckedIOException("process " + pid + " is gone", e);
        }
    }
}
