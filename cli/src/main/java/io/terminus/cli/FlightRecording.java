package io.terminus.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A flight recording of a running process, asked for with the {@code jcmd} of the JDK that runs it: of our own events, the
 * samples of its CPU time, and its garbage collections.
 */
final class FlightRecording {

    private static final long PATIENCE_SECONDS = 60;
    private static final String NAME = "terminus-profile";

    /** What is on in the recording; nothing else is. */
    private static final List<String> SETTINGS = List.of(
            "settings=none",
            "maxsize=250M",
            "+io.terminus.Capture#enabled=true",
            "+io.terminus.Forward#enabled=true",
            "+io.terminus.Ack#enabled=true",
            "+io.terminus.Sync#enabled=true",
            "+io.terminus.Apply#enabled=true",
            "+io.terminus.Copy#enabled=true",
            "+io.terminus.Election#enabled=true",
            "+terminus.lock.Acquire#enabled=true",
            "+terminus.lock.Wait#enabled=true",
            "+terminus.lock.Recall#enabled=true",
            "+jdk.GarbageCollection#enabled=true",
            "+jdk.CPUTimeSample#enabled=true",
            "+jdk.CPUTimeSample#throttle=5ms");

    /** @param nanos recorded */
    record Result(Path file, long nanos) {}

    private final Path jcmd;
    private final long pid;
    private final Path file;
    private final long startedNanos;
    private boolean running = true;

    private FlightRecording(Path jcmd, long pid, Path file) {
        this.jcmd = jcmd;
        this.pid = pid;
        this.file = file;
        this.startedNanos = System.nanoTime();
    }

    static FlightRecording start(Path jcmd, long pid, Path file) {
        if (!Files.isExecutable(jcmd)) {
            throw new Failure("there is no " + jcmd + ": a profile needs a JDK, not only a Java runtime");
        }
        List<String> command = new ArrayList<>(List.of("JFR.start", "name=" + NAME));
        command.addAll(SETTINGS);
        run(jcmd, pid, command);
        return new FlightRecording(jcmd, pid, file);
    }

    Result stop() {
        long nanos = System.nanoTime() - startedNanos;
        running = false;
        run(jcmd, pid, List.of("JFR.stop", "name=" + NAME, "filename=" + file));
        return new Result(file, nanos);
    }

    /** Ends it if it still runs, without a word: something else has failed already. */
    void discard() {
        if (running) {
            running = false;
            try {
                run(jcmd, pid, List.of("JFR.stop", "name=" + NAME));
            } catch (Failure alsoFailed) {
                // The process is gone, and its recording with it.
            }
        }
    }

    private static void run(Path jcmd, long pid, List<String> arguments) {
        List<String> command = new ArrayList<>(List.of(jcmd.toString(), Long.toString(pid)));
        command.addAll(arguments);
        try {
            Path said = Files.createTempFile("jcmd", ".log");
            try {
                Process process = new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(said.toFile())
                        .start();
                boolean ended = process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS);
                if (!ended || process.exitValue() != 0) {
                    process.destroyForcibly();
                    throw new Failure(jcmd + " " + pid + " " + arguments.getFirst() + " failed: "
                            + (ended ? Files.readString(said).strip() : "no answer in " + PATIENCE_SECONDS + " s"));
                }
            } finally {
                Files.deleteIfExists(said);
            }
        } catch (IOException e) {
            throw new Failure("cannot run " + jcmd + ": " + SetDirectory.reason(e), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }
}
