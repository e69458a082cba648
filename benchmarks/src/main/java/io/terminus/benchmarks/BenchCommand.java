package io.terminus.benchmarks;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * What all benchmarks share: the options, and showing the report. A benchmark extends this, carries a picocli {@code @Command}
 * with its name, and is named among the subcommands of {@link Bench}.
 */
public abstract class BenchCommand implements Callable<Integer> {

    /** Exit code when {@code --strict} is given and a goal is missed. */
    static final int EXIT_MISSED = 3;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it before the call
    private CommandSpec spec;

    @Option(names = "--quick", description = "A rough look, in a minute or two: smaller sizes, fewer rounds.")
    private boolean quick;

    @Option(names = "--json", description = "Print [{name, value, unit, goal, met}] and nothing else.")
    private boolean json;

    @Option(
            names = "--plot",
            paramLabel = "FILE",
            description = "Where the plot goes, as PNG (default: target/bench-NAME.png).")
    private @Nullable Path plot;

    @Option(names = "--profile", description = "Record where the time and the memory go, and list the top frames.")
    private boolean profile;

    @Option(names = "--strict", description = "Exit code " + EXIT_MISSED + " when a goal is missed.")
    private boolean strict;

    /** Measures, and tells the report what it found. */
    protected abstract void measure(Report report) throws Exception;

    protected final boolean quick() {
        return quick;
    }

    protected final boolean profile() {
        return profile;
    }

    /** The root of the source tree: as the launcher says, else the working directory. */
    protected static Path home() {
        return Path.of(System.getProperty("terminus.home", "")).toAbsolutePath();
    }

    @Override
    public final Integer call() throws Exception {
        // What a library prints on the way must not get between the lines of the JSON.
        PrintStream out = System.out;
        System.setOut(System.err);
        Report report = new Report("terminus bench " + spec.name() + (quick ? " --quick" : ""), System.err);
        try {
            measure(report);
        } finally {
            System.setOut(out);
        }
        Path file = plot != null ? plot : home().resolve("target").resolve("bench-" + spec.name() + ".png");
        String drawn = draw(report, file);
        if (json) {
            out.println(report.json());
        } else {
            out.print(report.table());
            out.println();
            out.println(drawn);
        }
        out.flush();
        return strict && !report.allMet() ? EXIT_MISSED : 0;
    }

    /** A machine without fonts can measure all the same. */
    private static String draw(Report report, Path file) {
        try {
            report.plot(file);
            return "plot: " + file;
        } catch (RuntimeException | LinkageError e) {
            report.progress("no plot: %s", e);
            return "no plot: " + e;
        }
    }
}
