package io.terminus.cli.acceptance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/**
 * What this machine lets a test do. A test that it does not is skipped, and a line says which and why; with
 * {@code TERMINUS_REAL_CLIENTS=required} it fails.
 */
final class Machine {

    private static final List<String> PLACES = List.of("/usr/sbin", "/sbin", "/usr/bin", "/bin");

    private Machine() {}

    static boolean has(String program) {
        return PLACES.stream().anyMatch(place -> Files.isExecutable(Path.of(place, program)));
    }

    static void needsRoot(String what) throws IOException {
        boolean root = Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
        needs(root, what, "it needs root");
    }

    static void needs(boolean given, String what, String why) {
        if (!given && "required".equals(System.getenv("TERMINUS_REAL_CLIENTS"))) {
            throw new AssertionError(what + ": " + why + ", and TERMINUS_REAL_CLIENTS=required forbids skipping");
        }
        if (!given) {
            System.out.println("Skipped " + what + ": " + why);
        }
        Assumptions.assumeTrue(given, why);
    }

    /** Runs it to its end. */
    static boolean succeeds(Path folder, String... command) {
        try (Program program = Program.start(folder, List.of(command))) {
            boolean succeeded = program.exitCode() == 0;
            if (succeeded) {
                program.forget();
            }
            return succeeded;
        }
    }
}
