package io.terminus.benchmarks.cluster;

import io.terminus.benchmarks.BenchCommand;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
        report.note("Three processes of each kind and this client share this machine's cores and its disk; etcd is "
                + etcdVersion() + " with its defaults, asked by jetcd over its lock service.");
        try (Group locks = Group.ofLockManagers(NODES, home(), scratch)) {
            try (Group etcd = Group.ofEtcd(NODES, scratch)) {
                pairs(report, locks, etcd);
            }
            failover(report, locks);
        }
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
        int rounds = quick() ? 2 : 5;
        double seconds = quick() ? 1.5 : 5;
        List<Contender> contenders = List.of(
                new Contender("etcd", etcd, IN_FLIGHT, () -> new LockPairs.Etcd(etcd)),
                new Contender("unary", locks, IN_FLIGHT, () -> new LockPairs.Unary(locks)),
                new Contender("library", locks, IN_FLIGHT, () -> new LockPairs.Library(locks)),
                new Contender("library-many", locks, MANY_IN_FLIGHT, () -> new LockPairs.Library(locks)));
        Map<String, List<Double>> rates = new LinkedHashMap<>();
        Map<String, List<Double>> cpus = new LinkedHashMap<>();
        // The round before the first warms everything up.
        for (int round = -1; round < rounds; round++) {
            for (Contender contender : contenders) {
                try (LockPairs pairs = contender.opening.open()) {
                    double before = contender.group.cpuSeconds();
                    double rate = rate(pairs, contender.inFlight, seconds);
                    double cpu = (contender.group.cpuSeconds() - before) / (rate * seconds) * 1e6;
                    report.progress("round %d, %s: %,.0f pairs/s", round, contender.name, rate);
                    if (round >= 0) {
                        rates.computeIfAbsent(contender.name, missing -> new ArrayList<>())
                                .add(rate);
                        cpus.computeIfAbsent(contender.name, missing -> new ArrayList<>())
                                .add(cpu);
                    }
                }
            }
        }
        for (Contender contender : contenders) {
            String figure = contender.name + ".in-flight-" + contender.inFlight;
            report.figure(figure + ".pairs", median(rates.get(contender.name)), "pairs/s");
            report.figure(figure + ".server-cpu", median(cpus.get(contender.name)), "CPU-s/M pairs, all nodes");
        }
        double base = median(rates.get("etcd"));
        report.figure("unary.to-etcd", median(rates.get("unary")) / base, "x", Goal.atLeast(10));
        report.figure("library.to-etcd", median(rates.get("library")) / base, "x");
        report.figure("library-many.to-etcd", median(rates.get("library-many")) / base, "x", Goal.atLeast(50));
    }

    /** Pairs a second, in loops that each begin the next pair when the one before is done; the first fifth is not measured. */
    private static double rate(LockPairs pairs, int inFlight, double seconds) throws Exception {
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
        long before = done.sum();
        TimeUnit.NANOSECONDS.sleep(Math.max(1, endNanos - System.nanoTime()));
        long measured = done.sum() - before;
        double taken = (System.nanoTime() - beginNanos) / 1e9;
        CompletableFuture.allOf(loops.toArray(CompletableFuture[]::new)).get(END_SECONDS, TimeUnit.SECONDS);
        Throwable why = failure.get();
        if (why != null) {
            throw new IllegalStateException("a pair failed: " + why, why);
        }
        return measured / taken;
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
            Set<Long> tokens = new HashSet<>();
            for (int kill = 0; kill < number; kill++) {
                int leader = locks.leader();
                long killedNanos = System.nanoTime();
                locks.kill(leader);
                Grant first =
                        other.acquire(LockPairs.Library.exclusive("new", kill)).get(END_SECONDS, TimeUnit.SECONDS);
                millis.add((System.nanoTime() - killedNanos) / 1e6);
                report.progress("kill %d: a new lock after %.0f ms", kill, millis.getLast());
                if (!tokens.add(first.token()) || granted(other, many / 2)) {
                    throw new IllegalStateException("a lock was granted twice");
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
    private static boolean granted(LockClient client, long lock) throws InterruptedException {
        try {
            client.tryLock("held", new LockRange(lock, lock + 1), LockMode.EXCLUSIVE)
                    .ifPresent(grant -> {
                        throw new IllegalStateException("lock " + lock + " was granted twice");
                    });
            return false;
        } catch (IllegalStateException twice) {
            return true;
        }
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
