package io.terminus.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Which process was started, in a way that a later process with the same pid does not match.
 *
 * <p>A pid alone says little: the kernel hands it out again. So the start time is kept beside it, and every process of a
 * set carries a mark in its command line (see {@link #mark}).
 *
 * @param startedMillis since the epoch, as the operating system tells it
 */
record ProcessIdentity(long pid, long startedMillis) {

    /** The start time is derived from the kernel's boot time, which moves by a second when the clock is adjusted. */
    private static final long START_TOLERANCE_MILLIS = 2_000;

    /** Index of the number of threads in /proc/PID/stat, counted from the state (proc(5): field 20, the state being 3). */
    private static final int STAT_THREADS = 17;

    /** The JVM flag that marks a process as member of a set. First on the command line, so that no limit cuts it off. */
    static String mark(String setId, SetMember member) {
        return "-Dterminus.process=" + setId + "/" + member.title();
    }

    static ProcessIdentity of(ProcessHandle process) {
        return new ProcessIdentity(
                process.pid(),
                process.info().startInstant().map(start -> start.toEpochMilli()).orElse(0L));
    }

    /** The process, if it is still the one that was started and has not ended. */
    Optional<ProcessHandle> find(String mark) {
        return ProcessHandle.of(pid).filter(this::startedThen).filter(process -> isMarked(process, mark));
    }

    /** Any living process with this mark: one whose starter was killed before it could write the pid down. */
    static Optional<ProcessHandle> search(String mark) {
        return ProcessHandle.allProcesses()
                .filter(process -> isMarked(process, mark))
                .findFirst();
    }

    /** Alive, and not merely waiting for a parent that never asks for its exit code. */
    static boolean isAlive(ProcessHandle process) {
        return process.isAlive() && !isZombie(process.pid());
    }

    private boolean startedThen(ProcessHandle process) {
        return process.info()
                .startInstant()
                .map(start -> Math.abs(start.toEpochMilli() - startedMillis) <= START_TOLERANCE_MILLIS)
                .orElse(false);
    }

    private static boolean isMarked(ProcessHandle process, String mark) {
        return process.info().commandLine().orElse("").contains(mark + " ") && isAlive(process);
    }

    /**
     * All of it has ended. A process whose first thread has ended shows the same state while its other threads still hold
     * ports and file locks, so they are counted too.
     */
    private static boolean isZombie(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
            // pid (name) state ...: the name may hold spaces and parentheses, so look behind the last one.
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
            boolean ended = fields[0].equals("Z") || fields[0].equals("X");
            return ended && Integer.parseInt(fields[STAT_THREADS]) <= 1;
        } catch (IOException noProcFileSystem) {
            return false;
        }
    }
}
