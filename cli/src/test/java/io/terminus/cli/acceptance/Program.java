package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A program that runs beside the test, its output in a file. Closing it kills it. */
final class Program implements AutoCloseable {

    private static final long PATIENCE_SECONDS = 300;

    private final String title;
    private final Path output;
    private final Process process;

    private Program(String title, Path output, Process process) {
        this.title = title;
        this.output = output;
        this.process = process;
    }

    static Program start(Path folder, List<String> command) {
        return start(folder, command, Map.of());
    }

    static Program start(Path folder, List<String> command, Map<String, String> environment) {
        try {
            Path output =
                    Files.createTempFile(folder, Path.of(command.getFirst()).getFileName() + "-", ".out");
            ProcessBuilder builder = new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectInput(Path.of("/dev/null").toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile());
            builder.environment().merge("PATH", ":/usr/sbin:/sbin", String::concat);
            builder.environment().putAll(environment);
            return new Program(String.join(" ", command), output, builder.start());
        } catch (IOException e) {
            throw new AssertionError("cannot run " + command, e);
        }
    }

    /** Runs it to its end, which must be a good one, and returns what it wrote. */
    static String run(Path folder, String... command) {
        try (Program program = start(folder, List.of(command))) {
            String said = program.succeed();
            program.forget();
            return said;
        }
    }

    boolean isRunning() {
        return process.isAlive();
    }

    String output() {
        try {
            return Files.readString(output);
        } catch (IOException e) {
            throw new AssertionError("cannot read " + output, e);
        }
    }

    String succeed() {
        int exitCode = exitCode();
        String said = output();
        assertThat(exitCode).as("exit code of %s, which said:%n%s", title, said).isZero();
        return said;
    }

    int exitCode() {
        try {
            assertThat(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS))
                    .as("%s ended within %d s; it said:%n%s", title, PATIENCE_SECONDS, output())
                    .isTrue();
            return process.exitValue();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted while waiting for " + title, e);
        }
    }

    /** What it wrote interests nobody. */
    void forget() {
        try {
            Files.deleteIfExists(output);
        } catch (IOException e) {
            throw new AssertionError("cannot delete " + output, e);
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
