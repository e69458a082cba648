package io.terminus.agent;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Assumptions;

/**
 * Programs that other people wrote, as judges of ours. A test that needs one that is not installed is skipped and says
 * which package brings it; with {@code TERMINUS_REAL_CLIENTS=required} (environment or system property) it fails.
 */
public final class RealClients {

    private static final String SWITCH = "TERMINUS_REAL_CLIENTS";

    /** Debian's package of each tool. */
    private static final Map<String, String> PACKAGES = Map.of(
            "nbdinfo", "libnbd-bin",
            "nbdcopy", "libnbd-bin",
            "qemu-io", "qemu-utils",
            "qemu-img", "qemu-utils",
            "fio", "fio",
            "nbdfuse", "nbdfuse",
            "openssl", "openssl",
            "strace", "strace");

    /** What a program said and how it ended. */
    public record Outcome(List<String> command, int exitCode, String output) {
        /** Fails with all it said unless it ended with 0. */
        public Outcome succeeded() {
            assertThat(exitCode).as("%s%n%s", String.join(" ", command), output).isZero();
            return this;
        }
    }

    /** Skips the test, or fails it where real clients are required, unless the tool is installed. */
    public static void require(String tool) {
        boolean installed = Stream.of(System.getenv("PATH").split(File.pathSeparator))
                .anyMatch(dir -> Files.isExecutable(Path.of(dir, tool)));
        if (installed) {
            return;
        }
        lacking(tool + " is not installed: apt-get install " + PACKAGES.getOrDefault(tool, tool));
    }

    /** The test cannot go on here, and why: it is skipped, or fails where real clients are required. */
    public static void lacking(String why) {
        if ("required".equals(System.getProperty(SWITCH, System.getenv(SWITCH)))) {
            Assertions.fail(why);
        }
        Assumptions.abort(why);
    }

    /** Runs a program to its end, at most two minutes, in an empty directory of its own. */
    public static Outcome run(String... command) throws IOException, InterruptedException {
        require(command[0]);
        Path dir = Files.createTempDirectory("real-client");
        Path output = dir.resolve("output");
        Process process = new ProcessBuilder(command)
                .directory(dir.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .redirectInput(new File("/dev/null"))
                .start();
        try {
            if (!process.waitFor(2, TimeUnit.MINUTES)) {
                Assertions.fail(
                        String.join(" ", command) + " did not end in two minutes:\n" + Files.readString(output));
            }
            return new Outcome(List.of(command), process.exitValue(), Files.readString(output));
        } finally {
            process.destroyForcibly().waitFor();
            try (Stream<Path> files = Files.walk(dir)) {
                files.sorted((a, b) -> b.compareTo(a))
                        .forEach(file -> file.toFile().delete());
            }
        }
    }

    private RealClients() {}
}
