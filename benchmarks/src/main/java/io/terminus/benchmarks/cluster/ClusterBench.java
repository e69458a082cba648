package io.terminus.benchmarks.cluster;

import io.terminus.benchmarks.BenchCommand;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.proto.lock.Groups;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * {@code terminus bench cluster}: three lock managers that are one beside three etcd, all on this machine and its disk, each with a sync
 * before every answer, asked from this process. Contenders run in turns, round after round; the median over the rounds counts.
 */
@Command(name = "cluster", description = "Lock managers that are one, beside etcd.")
public final class ClusterBench extends BenchCommand {

    private static final int NODES = 3;
    private static final int IN_FLIGHT = 64;
    private static final int MANY_IN_FLIGHT = 4096;
    private static final int END_SECONDS = 60;
    private static final int WARM_ROUNDS = 3;

    /** Part of the report, by the name that asks for it alone. */
    enum Part {
        PAIRS,
        NODES,
        GROUPS,
        FAILOVER
    }

    @Option(
            names = "--only",
            paramLabel = "PART",
            split = ",",
            description = "Of ${COMPLETION-CANDIDATES} only these (default: all).")
    private Set<Part> only = EnumSet.allOf(Part.class);

    @Option(names = "--rounds", paramLabel = "N", description = "Turns of each (default: 5; with --quick 2).")
    private int rounds;

    @Option(names = "--seconds", paramLabel = "S", description = "Of each turn (default: 5; with --quick 1.5).")
    private double seconds;

    @Option(names = "--kills", paramLabel = "N", description = "Leaders killed (default: 20; with --quick 3).")
    private int kills;

    @Option(
            names = "--held",
            paramLabel = "N",
            description = "Locks held meanwhile (default: 100000; with --quick 10000).")
    private int held;

    @Option(
            names = "--dir",
            paramLabel = "DIR",
            description = "Where the servers keep their data while they are measured (default: under target).")
    private Path directory = home().resolve("target");

    @Override
    protected void measure(Report report) throws Exception {
        Files.createDirectories(directory);
        Path scratch = Files.createTempDirectory(directory.toAbsolutePath(), "bench-cluster-");
        try (Group locks = Group.ofLockManagers(NODES, home(), scratch)) {
            if (only.contains(Part.PAIRS)) {
                report.note(
                        "Three processes of each kind and this client share this machine's cores and its disk; etcd is "
                                + etcdVersion() + " with its defaults, asked by jetcd over its lock service.");
                try (Group etcd = Group.ofEtcd(NODES, scratch)) {
                    pairs(report, locks, etcd);
                }
            }
            if (only.contains(Part.NODES)) {
                nodes(report, locks, scratch);
            }
            if (only.contains(Part.GROUPS)) {
                groups(report, locks, scratch);
            }
            if (only.contains(Part.FAILOVER)) {
                failover(report, locks);
            }
        }
        // Kept if something failed: what the servers said is in there.
        try (Stream<Path> files = Files.walk(scratch)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    private static String etcdVersion() throws IOException {
        Process etcd = new ProcessBuilder("etcd", "--version")
                .redirectErrorStream(true)
                .start();
        String said = new String(etcd.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        return said.lines().findFirst().orElse("etcd");
    }

    private interface Opening {
        LockPairs open() throws Exception;
    }

    private record Contender(String name, Group group, int inFlight, Opening opening) {}

    private void pairs(Report report, Group locks, Group etcd) throws Exception {
        List<Contender> contenders = List.of(
                new Contender("etcd", etcd, IN_FLIGHT, () -> new LockPairs.Etcd(etcd)),
                new Contender("unary", locks, IN_FLIGHT, () -> LockPairs.Unary.open(locks)),
                new Contender("library", locks, IN_FLIGHT, () -> new LockPairs.Library(locks)),
                new Contender("library-many", locks, MANY_IN_FLIGHT, () -> new LockPairs.Library(locks)));
        Measured measured = inTurns(report, contenders);
        measured.report(report);
        report.figure("unary.to-etcd", measured.ratio("unary", "etcd"), "x", Goal.atLeast(10));
        report.figure("library.to-etcd", measured.ratio("library", "etcd"), "x");
        report.figure("library-many.to-etcd", measured.ratio("library-many", "etcd"), "x", Goal.atLeast(50));
    }

    /**
     * The same four volumes on three lock managers with one, two and four groups. The same number of requests is for each volume, and of the
     * volumes as many are in each group.
     */
    private void groups(Report report, Group one, Path scratch) throws Exception {
        List<String> volumes = new ArrayList<>();
        for (int group = 0; group < 4; group++) {
            volumes.add(volumeOf(group, 4));
        }
        try (Group two =
                        Group.ofLockManagers(NODES, 2, home(), Files.createDirectories(scratch.resolve("two-groups")));
                Group four = Group.ofLockManagers(
                        NODES, 4, home(), Files.createDirectories(scratch.resolve("four-groups")))) {
            List<Contender> contenders = new ArrayList<>();
            Map<Integer, Group> byNumber = new TreeMap<>(Map.of(1, one, 2, two, 4, four));
            byNumber.forEach((number, group) -> {
                String of = number + (number == 1 ? "-group" : "-groups");
                contenders.add(new Contender("unary." + of, group, IN_FLIGHT, () -> unary(group, number, volumes)));
                contenders.add(
                        new Contender("library." + of, group, IN_FLIGHT, () -> new LockPairs.Library(group, volumes)));
                contenders.add(new Contender(
                        "library-many." + of, group, MANY_IN_FLIGHT, () -> new LockPairs.Library(group, volumes)));
            });
            Measured measured = inTurns(report, contenders);
            measured.report(report);
            for (String way : List.of("unary", "library", "library-many")) {
                report.figure(way + ".two-groups-to-one", measured.ratio(way + ".2-groups", way + ".1-group"), "x");
                report.figure(way + ".four-groups-to-one", measured.ratio(way + ".4-groups", way + ".1-group"), "x");
            }
        }
    }

    private static String volumeOf(int group, int groups) {
        int i = 0;
        while (Groups.ofVolume("bench-" + i, groups) != group) {
            i++;
        }
        return "bench-" + i;
    }

    private static LockPairs unary(Group group, int groups, List<String> volumes) throws Exception {
        List<LockPairs> ways = new ArrayList<>();
        for (String volume : volumes) {
            ways.add(LockPairs.Unary.open(group, Groups.ofVolume(volume, groups), volume));
        }
        return new LockPairs.InTurns(ways);
    }

    /** A group is asked while another of them rests, so each has the machine for itself but for heartbeats. */
    private void nodes(Report report, Group three, Path scratch) throws Exception {
        try (Group one = Group.ofLockManagers(1, home(), Files.createDirectories(scratch.resolve("one")));
                Group four = Group.ofLockManagers(4, home(), Files.createDirectories(scratch.resolve("four")))) {
            List<Contender> contenders = new ArrayList<>();
            for (Group group : List.of(one, three, four)) {
                contenders.add(
                        new Contender("nodes-" + group.size(), group, IN_FLIGHT, () -> LockPairs.Unary.open(group)));
            }
            Measured measured = inTurns(report, contenders);
            measured.report(report);
            report.figure("nodes.three-to-one", measured.ratio("nodes-3", "nodes-1"), "x");
            report.figure("nodes.four-to-three", measured.ratio("nodes-4", "nodes-3"), "x");
        }
    }

    /** Round by round, of each contender. */
    private record Measured(
            List<Contender> contenders, Map<String, List<Double>> rates, Map<String, List<Double>> cpus) {

        void report(Report report) {
            for (Contender contender : contenders) {
                String figure = contender.name + ".in-flight-" + contender.inFlight;
                report.figure(figure + ".pairs", median(rates.get(contender.name)), "pairs/s");
                report.figure(figure + ".server-cpu", median(cpus.get(contender.name)), "CPU-s/M pairs, all nodes");
            }
        }

        /** The median of the rounds' ratios. */
        double ratio(String of, String to) {
            List<Double> upper = rates.getOrDefault(of, List.of());
            List<Double> lower = rates.getOrDefault(to, List.of());
            List<Double> ratios = new ArrayList<>();
            for (int i = 0; i < upper.size(); i++) {
                ratios.add(upper.get(i) / lower.get(i));
            }
            return median(ratios);
        }
    }

    private Measured inTurns(Report report, List<Contender> contenders) throws Exception {
        int turns = rounds > 0 ? rounds : quick() ? 2 : 5;
        double length = seconds > 0 ? seconds : quick() ? 1.5 : 5;
        Measured measured = new Measured(contenders, new HashMap<>(), new HashMap<>());
        // The rounds before the first warm everything up.
        for (int round = -WARM_ROUNDS; round < turns; round++) {
            for (Contender contender : contenders) {
                try (LockPairs pairs = contender.opening.open()) {
                    Rate rate = rate(pairs, contender.inFlight, length, contender.group);
                    report.progress("round %d, %s: %,.0f pairs/s", round, contender.name, rate.pairsPerSecond);
                    if (round >= 0) {
                        measured.rates
                                .computeIfAbsent(contender.name, missing -> new ArrayList<>())
                                .add(rate.pairsPerSecond);
                        measured.cpus
                                .computeIfAbsent(contender.name, missing -> new ArrayList<>())
                                .add(rate.cpuMicrosPerPair);
                    }
                }
            }
        }
        return measured;
    }

    /** A microsecond a pair is a second a million pairs. */
    private record Rate(double pairsPerSecond, double cpuMicrosPerPair) {}

    /** Pairs a second, in loops that each begin the next pair when the one before is done; the first fifth is not measured. */
    private static Rate rate(LockPairs pairs, int inFlight, double seconds, Group servers) throws Exception {
        LongAdder done = new LongAdder();
        AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
        long endNanos = System.nanoTime() + (long) (seconds * 1.2e9);
        List<CompletableFuture<Void>> loops = new ArrayList<>();
        for (int i = 0; i < inFlight; i++) {
            CompletableFuture<Void> loop = new CompletableFuture<>();
            loops.add(loop);
            next(pairs, i, inFlight, 0, endNanos, done, failure, loop);
        }
        TimeUnit.NANOSECONDS.sleep((long) (seconds * 0.2e9));
        long beginNanos = System.nanoTime();
        double cpuBefore = servers.cpuSeconds();
        long before = done.sum();
        TimeUnit.NANOSECONDS.sleep(Math.max(1, endNanos - System.nanoTime()));
        long measured = done.sum() - before;
        double taken = (System.nanoTime() - beginNanos) / 1e9;
        double cpu = servers.cpuSeconds() - cpuBefore;
        CompletableFuture.allOf(loops.toArray(CompletableFuture[]::new)).get(END_SECONDS, TimeUnit.SECONDS);
        Throwable why = failure.get();
        if (why != null) {
            throw new IllegalStateException("a pair failed: " + why, why);
        }
        return new Rate(measured / taken, cpu / Math.max(1, measured) * 1e6);
    }

    private static void next(
            LockPairs pairs,
            long lock,
            int step,
            int round,
            long endNanos,
            LongAdder done,
            AtomicReference<@Nullable Throwable> failure,
            CompletableFuture<Void> loop) {
        if (System.nanoTime() - endNanos > 0 || failure.get() != null) {
            loop.complete(null);
            return;
        }
        var unused = pairs.pair(lock + (long) step * (round % 16)).whenComplete((answer, failed) -> {
            if (failed != null) {
                failure.compareAndSet(null, failed);
                loop.complete(null);
                return;
            }
            done.increment();
            next(pairs, lock, step, round + 1, endNanos, done, failure, loop);
        });
    }

    private void failover(Report report, Group locks) throws Exception {
        int number = kills > 0 ? kills : quick() ? 3 : 20;
        int many = held > 0 ? held : quick() ? 10_000 : 100_000;
        List<Double> millis = new ArrayList<>();
        try (LockClient holder = LockPairs.Library.connect(locks.addresses(), "bench-holder");
                LockClient other = LockPairs.Library.connect(locks.addresses(), "bench-other")) {
            List<CompletableFuture<Grant>> asked = new ArrayList<>();
            for (int i = 0; i < many; i++) {
                asked.add(holder.acquire(LockPairs.Library.exclusive("held", i)));
            }
            List<Grant> grants = new ArrayList<>();
            for (CompletableFuture<Grant> one : asked) {
                grants.add(one.get(END_SECONDS, TimeUnit.SECONDS));
            }
            report.progress("%,d locks are held", many);
            long newest = grants.getLast().token();
            for (int kill = 0; kill < number; kill++) {
                int leader = locks.leader();
                long killedNanos = System.nanoTime();
                locks.kill(leader);
                Grant first = other.acquire(LockPairs.Library.exclusive("held", (long) many + kill))
                        .get(END_SECONDS, TimeUnit.SECONDS);
                millis.add((System.nanoTime() - killedNanos) / 1e6);
                report.progress("kill %d: a new lock after %.0f ms", kill, millis.getLast());
                if (first.token() <= newest) {
                    throw new IllegalStateException("token " + first.token() + " comes behind " + newest);
                }
                newest = first.token();
                int again = (int) ((long) many * kill / number);
                if (isGranted(other, again)) {
                    throw new IllegalStateException("lock " + again + " was granted twice");
                }
                locks.startAgain(leader);
                while (!locks.hasCaughtUp(leader)) {
                    Thread.sleep(100);
                }
            }
            long lost = grants.stream().filter(grant -> !grant.believed()).count();
            double[] sorted =
                    millis.stream().mapToDouble(value -> value).sorted().toArray();
            report.figure("failover.first-grant.p50", sorted[sorted.length / 2], "ms");
            report.figure(
                    "failover.first-grant.p99",
                    sorted[(int) Math.ceil(sorted.length * 0.99) - 1],
                    "ms, over " + number + " kills",
                    Goal.atMost(1500));
            report.figure("failover.locks-lost", lost, "of " + many);
        }
    }

    /** Is what the other one holds given a second time? */
    private static boolean isGranted(LockClient client, long lock) throws InterruptedException {
        return client.tryLock("held", new LockRange(lock, lock + 1), LockMode.EXCLUSIVE)
                .isPresent();
    }

    private static double median(@Nullable List<Double> values) {
        double[] sorted = values == null
                ? new double[] {Double.NaN}
                : values.stream().mapToDouble(value -> value).sorted().toArray();
        return sorted.length % 2 == 1
                ? sorted[sorted.length / 2]
                : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
    }
}
