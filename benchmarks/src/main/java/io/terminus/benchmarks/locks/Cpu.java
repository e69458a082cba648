package io.terminus.benchmarks.locks;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * CPU seconds of a process since its start, all threads, user and system: fields 14 and 15 of {@code /proc/PID/stat}, in ticks of
 * 10 ms. So what is measured should take a second at least.
 */
record Cpu(double seconds) {

    private static final double TICKS_PER_SECOND = 100;

    static Cpu own() {
        return of(ProcessHandle.current().pid());
    }

    static Cpu of(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc", String.valueOf(pid), "stat"));
            // The second field is the program's name in brackets, and may hold anything.
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return new Cpu((Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND);
        } catch (IOException e) {
            throw new UncheckedIOException("no CPU time of process " + pid, e);
        }
    }

    double since(Cpu earlier) {
        return seconds - earlier.seconds;
    }
}
