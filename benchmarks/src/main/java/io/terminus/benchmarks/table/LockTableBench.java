package io.terminus.benchmarks.table;

import io.terminus.benchmarks.BenchCommand;
import io.terminus.benchmarks.Jmh;
import io.terminus.benchmarks.Report;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.RunnerException;
import picocli.CommandLine.Command;

/** {@code terminus bench table}: {@link LockTableBenchmark} at several sizes. */
@Command(name = "table", description = "The lock table alone: release and acquire, and handing a contended range on.")
public final class LockTableBench extends BenchCommand {

    @Override
    protected void measure(Report report) throws RunnerException {
        String sizes = quick() ? "1000,100000" : "1000,100000,1000000";
        for (RunResult result :
                Jmh.run(LockTableBenchmark.class, 1, quick() ? 3 : 5, quick() ? 0.5 : 2, "held", sizes)) {
            String name = "table." + Jmh.method(result).toLowerCase(java.util.Locale.ROOT) + ".held-"
                    + Jmh.parameter(result, "held");
            report.figure(name, Jmh.score(result), "us");
        }
    }
}
