package io.terminus.benchmarks.data;

import io.terminus.benchmarks.Machine;
import io.terminus.benchmarks.Report;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.ToDoubleBiFunction;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * Lets the contenders do the same in turns, round after round, each alone. Of every figure the median over the rounds counts, and a ratio is
 * the median of the rounds' ratios: so that other load on the machine, which comes and goes, hits those alike that are compared.
 */
final class Rounds {

    /**
     * One contender's turn. CPU seconds are those of its processes, in their order, until what was written has reached the disk.
     *
     * @param otherCores what neither the contender nor its client used
     */
    record Window(Fio.Result result, List<Double> cpuSeconds, double otherCores) {

        double serverCpuSeconds() {
            return cpuSeconds.stream().mapToDouble(Double::doubleValue).sum();
        }
    }

    /** What has to be over before the next one's turn: writes that are acknowledged and not yet done. */
    interface Settling {
        void settle(Contender contender) throws IOException, InterruptedException;
    }

    static final ToDoubleBiFunction<Workload, Window> RATE = (workload, window) -> workload.rate(window.result());
    static final ToDoubleBiFunction<Workload, Window> P50 =
            (workload, window) -> window.result().p50Nanos();
    static final ToDoubleBiFunction<Workload, Window> P99 =
            (workload, window) -> window.result().p99Nanos();

    private record Key(String workload, String contender) {}

    private final Report report;
    private final Map<String, Contender> contenders;
    private final Settling settling;
    private final Map<Key, List<Window>> windows = new HashMap<>();

    Rounds(Report report, Map<String, Contender> contenders, Settling settling) {
        this.report = report;
        this.contenders = contenders;
        this.settling = settling;
    }

    /** All workloads once. Nothing is kept of rounds below 0. */
    void round(int round, List<Workload> workloads, double seconds) throws IOException, InterruptedException {
        for (Workload workload : workloads) {
            List<String> turns = new ArrayList<>(workload.contenders());
            Collections.rotate(turns, round);
            for (String name : turns) {
                Window window = window(workload, contender(name), seconds);
                report.progress(
                        "round %d, %s, %s: %,.0f %s, p50 %s us, p99 %s us",
                        round,
                        workload.name(),
                        name,
                        workload.rate(window.result()),
                        workload.rateUnit(),
                        micros(window.result().p50Nanos()),
                        micros(window.result().p99Nanos()));
                if (round >= 0) {
                    windows.computeIfAbsent(new Key(workload.name(), name), missing -> new ArrayList<>())
                            .add(window);
                }
            }
        }
    }

    Window window(Workload workload, Contender contender, double seconds) throws IOException, InterruptedException {
        List<Double> before = cpu(contender);
        double busy = Machine.busySeconds();
        long start = System.nanoTime();
        Fio.Result result = workload.work().run(contender, seconds);
        settling.settle(contender);
        List<Double> after = cpu(contender);
        List<Double> spent = IntStream.range(0, before.size())
                .mapToObj(i -> after.get(i) - before.get(i))
                .toList();
        double all = Machine.busySeconds() - busy;
        double own = spent.stream().mapToDouble(Double::doubleValue).sum() + result.clientCpuSeconds();
        return new Window(result, spent, Math.max(0, all - own) / ((System.nanoTime() - start) / 1e9));
    }

    double median(Workload workload, String contender, ToDoubleFunction<Window> what) {
        return median(of(workload, contender).stream().mapToDouble(what).toArray());
    }

    /** Of one to the other, round by round. */
    double ratio(Workload workload, String one, String other, ToDoubleBiFunction<Workload, Window> what) {
        List<Window> ones = of(workload, one);
        List<Window> others = of(workload, other);
        return median(IntStream.range(0, Math.min(ones.size(), others.size()))
                .mapToDouble(
                        i -> what.applyAsDouble(workload, ones.get(i)) / what.applyAsDouble(workload, others.get(i)))
                .toArray());
    }

    /** The rates as figures, and everything else as a listing. */
    void tell(List<Workload> workloads) {
        List<String> lines = new ArrayList<>();
        lines.add(String.format(
                Locale.ROOT,
                "%-22s %-17s %10s %9s %9s %9s %9s  %s",
                "",
                "",
                "IOPS",
                "MB/s",
                "p50 us",
                "p99 us",
                "client",
                "CPU-s per GiB, or per million of small operations: all servers, and each"));
        for (Workload workload : workloads) {
            for (String name : workload.contenders()) {
                report.figure(
                        workload.name() + "." + name,
                        median(workload, name, window -> workload.rate(window.result())),
                        workload.rateUnit());
                report.figure(
                        workload.name() + "." + name + ".server-cpu",
                        median(
                                workload,
                                name,
                                window -> workload.cpuPerUnit(window.result(), window.serverCpuSeconds())),
                        workload.cpuUnit());
                lines.add(line(workload, name));
                double[] rates = of(workload, name).stream()
                        .mapToDouble(window -> workload.rate(window.result()))
                        .toArray();
                report.line(
                        workload.name() + ", round by round",
                        "round",
                        workload.rateUnit(),
                        name,
                        IntStream.range(0, rates.length).asDoubleStream().toArray(),
                        rates);
            }
        }
        report.figure(
                "machine.others",
                median(windows.values().stream()
                        .flatMap(List::stream)
                        .mapToDouble(Window::otherCores)
                        .toArray()),
                "cores, others and the kernel");
        report.listing("Medians over the rounds", lines);
    }

    private String line(Workload workload, String name) {
        Contender contender = contender(name);
        List<String> each = new ArrayList<>();
        for (int i = 0; i < contender.processes().size(); i++) {
            int process = i;
            each.add(String.format(
                    Locale.ROOT,
                    "%s %.2f",
                    contender.processes().get(i).name(),
                    median(
                            workload,
                            name,
                            window -> workload.cpuPerUnit(
                                    window.result(), window.cpuSeconds().get(process)))));
        }
        return String.format(
                Locale.ROOT,
                "%-22s %-17s %,10.0f %,9.1f %9s %9s %9.2f  %.2f: %s",
                workload.name(),
                name,
                median(workload, name, window -> window.result().perSecond()),
                median(workload, name, window -> window.result().megabytesPerSecond()),
                micros(median(workload, name, window -> window.result().p50Nanos())),
                micros(median(workload, name, window -> window.result().p99Nanos())),
                median(
                        workload,
                        name,
                        window -> workload.cpuPerUnit(
                                window.result(), window.result().clientCpuSeconds())),
                median(workload, name, window -> workload.cpuPerUnit(window.result(), window.serverCpuSeconds())),
                String.join(", ", each));
    }

    /** Not every client tells. */
    private static String micros(double nanos) {
        return Double.isNaN(nanos) ? "-" : String.format(Locale.ROOT, "%,.0f", nanos / 1e3);
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        if (sorted.length == 0) {
            return Double.NaN;
        }
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private Contender contender(String name) {
        return Objects.requireNonNull(contenders.get(name), name);
    }

    private List<Window> of(Workload workload, String contender) {
        return windows.getOrDefault(new Key(workload.name(), contender), List.of());
    }

    private static List<Double> cpu(Contender contender) throws IOException {
        List<Double> seconds = new ArrayList<>();
        for (Daemon process : contender.processes()) {
            process.requireAlive();
            seconds.add(Usage.cpuSeconds(process));
        }
        return seconds;
    }
}
