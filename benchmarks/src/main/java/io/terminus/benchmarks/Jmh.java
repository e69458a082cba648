package io.terminus.benchmarks;

import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Runs JMH benchmarks of this module in JVMs of their own and gives back their scores. */
public final class Jmh {

    private Jmh() {}

    /**
     * @param benchmarks the class whose methods run, in the modes and units they are annotated with
     * @param parameters "name", "value,value..." pairs that take the place of the annotated ones
     */
    public static Collection<RunResult> run(
            Class<?> benchmarks, int forks, int iterations, double iterationSeconds, String... parameters)
            throws RunnerException {
        TimeValue time = TimeValue.milliseconds((long) (iterationSeconds * 1000));
        ChainedOptionsBuilder options = new OptionsBuilder()
                .include("^" + benchmarks.getName().replace(".", "\\.") + "\\.")
                .forks(forks)
                .warmupIterations(Math.max(2, iterations / 2))
                .warmupTime(time)
                .measurementIterations(iterations)
                .measurementTime(time)
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .jvmArgsAppend("-Xmx3g", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED");
        for (int i = 0; i + 1 < parameters.length; i += 2) {
            options.param(parameters[i], parameters[i + 1].split(","));
        }
        return new Runner(options.build()).run();
    }

    /** The parameter's value in this result. */
    public static String parameter(RunResult result, String name) {
        return result.getParams().getParam(name);
    }

    /** The last part of the benchmark's name. */
    public static String method(RunResult result) {
        return List.of(result.getParams().getBenchmark().split("\\.")).getLast();
    }

    public static double score(RunResult result) {
        return result.getPrimaryResult().getScore();
    }
}
