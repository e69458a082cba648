package io.terminus.benchmarks;

import io.terminus.benchmarks.cluster.ClusterBench;
import io.terminus.benchmarks.data.DataBench;
import io.terminus.benchmarks.index.IndexBench;
import io.terminus.benchmarks.locks.LocksBench;
import io.terminus.benchmarks.table.LockTableBench;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/**
 * {@code terminus bench}: measures, and sets each figure beside its goal.
 *
 * <p>Exit codes: 0 measured, 1 something failed, 2 the command line is wrong, 3 a goal was missed and {@code --strict} given.
 */
@Command(
        name = "bench",
        description = "Measure Terminus on this machine, each figure beside its goal.",
        subcommands = {
            // One line for each benchmark.
            LocksBench.class,
            ClusterBench.class,
            DataBench.class,
            LockTableBench.class,
            IndexBench.class,
        })
public final class Bench implements Callable<Integer> {

    @Spec
    private @Nullable CommandSpec spec;

    public static void main(String[] arguments) {
        System.setProperty("java.awt.headless", "true");
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        CommandLine commandLine = new CommandLine(new Bench()).setCaseInsensitiveEnumValuesAllowed(true);
        commandLine
                .getCommandSpec()
                .addOption(OptionSpec.builder("-h", "--help")
                        .usageHelp(true)
                        .scopeType(ScopeType.INHERIT)
                        .description("Show this help.")
                        .build());
        return commandLine;
    }

    @Override
    public Integer call() {
        throw new CommandLine.ParameterException(
                java.util.Objects.requireNonNull(spec).commandLine(), "which benchmark?");
    }
}
