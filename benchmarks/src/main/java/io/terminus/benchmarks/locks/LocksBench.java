package io.terminus.benchmarks.locks;

import io.terminus.benchmarks.BenchCommand;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.HdrHistogram.Histogram;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * {@code terminus bench locks}: the standalone lock manager as {@code terminus up} runs it, on this machine's disk, asked from this process. Whatever is
 * compared runs in turns, round after round, so that other load on the machine hits all alike; of rates the median over
 * the rounds counts, of latencies all.
 */
@Command(name = "locks", description = "The lock manager, as its clients find it.")
public final class LocksBench extends BenchCommand {

    enum Part {
        PAIRS,
        CURVE,
        CACHE,
        WAITERS,
        SESSIONS,
        RESTART
    }

    private static final int IN_FLIGHT = 64;

    /** Callers at once, each of whom awaits what it asks for. */
    private static final int[] CURVE = {1, 16, 64, 256, 1024};

    private static final double[] PERCENTILES = {50, 75, 90, 95, 99, 99.5, 99.9};

    @Option(
            names = "--only",
            split = ",",
            paramLabel = "PART",
            description = "Only these of ${COMPLETION-CANDIDATES}, in any case.")
    private Set<Part> only = EnumSet.allOf(Part.class);

    @Option(
            names = "--server-heap",
            paramLabel = "SIZE",
            defaultValue = "512m",
            description = "Heap of the lock manager (default: ${DEFAULT-VALUE}, as 'terminus up' gives it).")
    private String serverHeap = "512m";

    @Option(
            names = "--sessions",
            paramLabel = "N",
            description = "How many sessions die at once (default: 100000; with --quick 2000).")
    private int dyingSessions;

    @Option(
            names = "--dir",
            paramLabel = "DIR",
            description = "Where the lock manager keeps its data while it is measured (default: under target).")
    private Path directory = home().resolve("target");

    @Override
    protected void measure(Report report) throws Exception {
        report.note("The lock manager is a process of its own with a heap of " + serverHeap
                + ", standalone store; client and server share this machine's cores.");
        Files.createDirectories(directory);
        Path scratch = Files.createTempDirectory(directory.toAbsolutePath(), "bench-locks-");
        boolean failed = false;
        // One process for all parts, as in service: compiled by the first, and with what the one before left.
        Subprocess server = Subprocess.lockManager(home(), scratch, serverHeap);
        try {
            for (Part part : Part.values()) {
                if (only.contains(part)) {
                    try {
                        measure(part, report, server, scratch);
                    } catch (Exception e) {
                        // It must not take the other parts' figures with it.
                        failed = true;
                        report.progress("%s failed: %s; the lock manager's log is in %s", part, e, scratch);
                        report.note(part + " FAILED: " + e.getMessage());
                        server.close();
                        server =
                                Subprocess.lockManager(home(), Files.createTempDirectory(scratch, "next-"), serverHeap);
                    }
                }
            }
        } finally {
            server.close();
        }
        if (!failed) {
            delete(scratch);
        }
    }

    private void measure(Part part, Report report, Subprocess server, Path scratch) throws Exception {
        switch (part) {
            case PAIRS -> pairs(report, server, scratch);
            case CURVE -> curve(report, server);
            case CACHE -> CachedReacquire.measure(report, server, quick());
            case WAITERS -> Waiters.measure(report, server, quick());
            case SESSIONS ->
                MassDeath.measure(report, server, dyingSessions > 0 ? dyingSessions : quick() ? 2_000 : 100_000);
            case RESTART -> {
                Restart.measure(report, server, quick() ? 50_000 : 1_000_000);
                emptyStart(report, scratch);
            }
        }
    }

    /** What a start takes of this machine at this moment without anything to load. */
    private void emptyStart(Report report, Path scratch) throws Exception {
        long start = System.nanoTime();
        try (Subprocess empty =
                Subprocess.lockManager(home(), Files.createTempDirectory(scratch, "empty-"), serverHeap)) {
            report.figure("restart.empty-start", (System.nanoTime() - start) / 1e9, "s");
            report.progress("pid %d was started on an empty directory", empty.pid());
        }
    }

    /** One way to take locks, over all rounds. */
    private static final class Runs {
        final List<Meter.Window> windows = new ArrayList<>();

        double median(java.util.function.ToDoubleFunction<Meter.Window> what) {
            double[] sorted = windows.stream().mapToDouble(what).sorted().toArray();
            int middle = sorted.length / 2;
            return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        }

        Histogram nanos() {
            Histogram all = new Histogram(TimeUnit.MINUTES.toNanos(2), 3);
            windows.forEach(window -> all.add(window.nanos()));
            return all;
        }
    }

    private interface Opening {
        Pairs open() throws Exception;
    }

    private void pairs(Report report, Subprocess server, Path scratch) throws Exception {
        int rounds = quick() ? 1 : 5;
        double unmeasured = quick() ? 0.3 : 1;
        double measured = quick() ? 0.7 : 4;
        Map<String, Runs> busy = new LinkedHashMap<>();
        Map<String, Runs> quiet = new LinkedHashMap<>();
        try (Subprocess echo = Subprocess.echo(scratch, serverHeap)) {
            Pairs.Sizes sizes = Pairs.Sizes.of(server);
            report.note("Messages of the stream: acquire " + sizes.acquireBytes() + " bytes, granted "
                    + sizes.grantedBytes() + ", release " + sizes.releaseBytes() + ", done " + sizes.doneBytes()
                    + "; the echo has the same.");
            report.note(
                    "Latencies are of single operations, an acquire or a release, in closed loops: a caller begins the next when"
                            + " the one before was answered, so what a stall would have done to callers at a rate of their own is not in them.");
            Map<String, Opening> contenders = new LinkedHashMap<>();
            contenders.put("echo", () -> new Pairs.Echo(echo, sizes));
            contenders.put("unary", () -> new Pairs.Unary(server));
            contenders.put("stream", () -> new Pairs.SingleStream(server));
            contenders.put("library", () -> new Pairs.Library(server, true));
            Map<String, Opening> alone = new LinkedHashMap<>();
            alone.put("echo", () -> new Pairs.Echo(echo, sizes));
            alone.put("stream", () -> new Pairs.SingleStream(server));
            alone.put("library", () -> new Pairs.Library(server, true));
            alone.put("unary", () -> new Pairs.Unary(server));
            for (int round = -1; round < rounds; round++) {
                for (Map.Entry<String, Opening> contender : contenders.entrySet()) {
                    Subprocess asked = contender.getKey().equals("echo") ? echo : server;
                    window(round, busy, contender, IN_FLIGHT, asked, unmeasured, measured, report);
                }
                for (Map.Entry<String, Opening> contender : alone.entrySet()) {
                    Subprocess asked = contender.getKey().equals("echo") ? echo : server;
                    window(round, quiet, contender, 1, asked, unmeasured, measured, report);
                }
            }
        }
        busy.forEach((name, runs) -> {
            String figure = name + ".in-flight-" + IN_FLIGHT;
            double pairs = runs.median(Meter.Window::perSecond) / 2;
            if (name.equals("library")) {
                report.figure(figure + ".pairs", pairs, "pairs/s", Goal.atLeast(300_000));
            } else {
                report.figure(figure + ".pairs", pairs, "pairs/s");
            }
            latencies(report, figure, runs);
            report.figure(figure + ".client-cpu", 2 * runs.median(Meter.Window::clientCpuPerMillion), "CPU-s/M pairs");
            report.figure(figure + ".server-cpu", 2 * runs.median(Meter.Window::serverCpuPerMillion), "CPU-s/M pairs");
        });
        report.figure(
                "machine.others", runsOf(busy, "library").median(Meter.Window::otherCores), "cores taken by others");
        quiet.forEach((name, runs) -> latencies(report, name + ".alone", runs));
        double echo = runsOf(quiet, "echo").nanos().getValueAtPercentile(50);
        report.figure(
                "stream.alone.p50-to-echo",
                runsOf(quiet, "stream").nanos().getValueAtPercentile(50) / echo,
                "x of a bare gRPC stream",
                Goal.atMost(1.3));
        report.figure(
                "library.alone.p50-to-echo",
                runsOf(quiet, "library").nanos().getValueAtPercentile(50) / echo,
                "x of a bare gRPC stream");
        if (profile()) {
            profileLibrary(report, server);
        }
    }

    /**
     * What more callers bring. One that awaits acquire and release has at most one pair in two round trips, so n of them at most
     * n / (2 x round trip), whatever the lock manager does; that bound is given beside, with the round trip of one caller alone.
     */
    private void curve(Report report, Subprocess server) throws Exception {
        int rounds = quick() ? 1 : 3;
        double unmeasured = quick() ? 0.1 : 0.5;
        double measured = quick() ? 0.3 : 3;
        Map<String, Opening> contenders = new LinkedHashMap<>();
        contenders.put("library", () -> new Pairs.Library(server, true));
        contenders.put("library-unawaited", () -> new Pairs.Library(server, false));
        Map<Integer, Map<String, Runs>> all = new LinkedHashMap<>();
        for (int round = quick() ? 0 : -1; round < rounds; round++) {
            for (int callers : CURVE) {
                for (Map.Entry<String, Opening> contender : contenders.entrySet()) {
                    Map<String, Runs> runs = all.computeIfAbsent(callers, missing -> new LinkedHashMap<>());
                    window(round, runs, contender, callers, server, unmeasured, measured, report);
                }
            }
        }
        double roundTripSeconds =
                runsOf(all.getOrDefault(1, Map.of()), "library").nanos().getValueAtPercentile(50) / 1e9;
        for (String name : contenders.keySet()) {
            double[] xs = new double[CURVE.length];
            double[] ys = new double[CURVE.length];
            for (int i = 0; i < CURVE.length; i++) {
                Runs runs = runsOf(all.getOrDefault(CURVE[i], Map.of()), name);
                String figure = "curve." + name + ".callers-" + CURVE[i];
                xs[i] = Math.log(CURVE[i]) / Math.log(2);
                ys[i] = runs.median(Meter.Window::perSecond) / 2;
                report.figure(figure + ".pairs", ys[i], "pairs/s");
                report.figure(figure + ".p50", runs.nanos().getValueAtPercentile(50) / 1e3, "us");
                report.figure(figure + ".p99", runs.nanos().getValueAtPercentile(99) / 1e3, "us");
                report.figure(
                        figure + ".cpu",
                        2 * runs.median(window -> window.clientCpuPerMillion() + window.serverCpuPerMillion()),
                        "CPU-s/M pairs, client and server");
                if (name.equals("library")) {
                    report.figure(
                            figure + ".bound", CURVE[i] / (2 * roundTripSeconds), "pairs/s that so many can reach");
                }
            }
            report.line("Pairs by callers at once", "callers (powers of two)", "pairs/s", name, xs, ys);
        }
    }

    private static Runs runsOf(Map<String, Runs> all, String name) {
        return java.util.Objects.requireNonNull(all.get(name));
    }

    private static void window(
            int round,
            Map<String, Runs> all,
            Map.Entry<String, Opening> contender,
            int loops,
            Subprocess server,
            double unmeasured,
            double measured,
            Report report)
            throws Exception {
        try (Pairs pairs = contender.getValue().open()) {
            Meter.Window window = Meter.measure(pairs, loops, server, unmeasured, measured);
            report.progress(
                    "round %d, %d in flight, %s: %,.0f pairs/s, p50 %.0f us, p99 %.0f us",
                    round,
                    loops,
                    contender.getKey(),
                    window.perSecond() / 2,
                    window.nanos().getValueAtPercentile(50) / 1e3,
                    window.nanos().getValueAtPercentile(99) / 1e3);
            // The round before the first warms both processes up.
            if (round >= 0) {
                all.computeIfAbsent(contender.getKey(), missing -> new Runs())
                        .windows
                        .add(window);
            }
        }
    }

    private static void latencies(Report report, String figure, Runs runs) {
        Histogram nanos = runs.nanos();
        report.figure(figure + ".p50", nanos.getValueAtPercentile(50) / 1e3, "us");
        report.figure(figure + ".p99", nanos.getValueAtPercentile(99) / 1e3, "us");
        report.figure(figure + ".p99.9", nanos.getValueAtPercentile(99.9) / 1e3, "us");
        double[] xs = new double[PERCENTILES.length];
        double[] ys = new double[PERCENTILES.length];
        for (int i = 0; i < ys.length; i++) {
            xs[i] = -Math.log10(1 - PERCENTILES[i] / 100);
            ys[i] = nanos.getValueAtPercentile(PERCENTILES[i]) / 1e3;
        }
        report.line("Latency of one operation", "nines (1: p90, 2: p99, 3: p99.9)", "us", figure, xs, ys);
        report.logarithmic("Latency of one operation");
    }

    /** After the rounds, so that recording costs none of the figures anything. */
    private void profileLibrary(Report report, Subprocess server) throws Exception {
        Path target = home().resolve("target");
        try (Pairs pairs = new Pairs.Library(server, true)) {
            Profile client = Profile.start(ProcessHandle.current().pid(), target.resolve("bench-locks-client.jfr"));
            Profile serving = Profile.start(server.pid(), target.resolve("bench-locks-server.jfr"));
            Meter.Window window = Meter.measure(pairs, IN_FLIGHT, server, 1, quick() ? 3 : 15);
            Path clientFile = client.stop();
            Path serverFile = serving.stop();
            report.note(String.format(
                    java.util.Locale.ROOT,
                    "Profiles, of the library with %d in flight at %,.0f pairs/s while recorded: %s and %s",
                    IN_FLIGHT,
                    window.perSecond() / 2,
                    clientFile,
                    serverFile));
            report.listing("CLIENT", Profile.top(clientFile));
            report.listing("SERVER", Profile.top(serverFile));
        }
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
