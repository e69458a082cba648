package io.terminus.benchmarks.index;

import io.terminus.benchmarks.BenchCommand;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.ranges.DisjointRangeIndex;
import io.terminus.ranges.RangeIndex;
import java.lang.management.ManagementFactory;
import java.lang.ref.Reference;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code terminus bench index}: the overlap index beside a sorted map, the textbook's tree, and a mere set of starts. */
@Command(
        name = "index",
        description = "The overlap index beside other ways to find overlaps, in one process, in turns.")
public final class IndexBench extends BenchCommand {

    enum Part {
        EXCLUSIVE,
        READERS,
        WAITERS,
        MEMORY,
        GROWTH,
        PROFILE
    }

    private static final int MILLION = 1_000_000;
    private static final int SMALL = 1_000;

    @Option(
            names = "--only",
            split = ",",
            paramLabel = "PART",
            description = "Only these of ${COMPLETION-CANDIDATES}, in any case.")
    private Set<Part> only = EnumSet.allOf(Part.class);

    @Override
    protected void measure(Report report) throws Exception {
        for (Part part : Part.values()) {
            if (only.contains(part)) {
                measure(part, report);
            }
        }
    }

    private void measure(Part part, Report report) throws Exception {
        switch (part) {
            case EXCLUSIVE -> exclusive(report);
            case READERS -> readers(report);
            case WAITERS -> waiters(report);
            case MEMORY -> memory(report);
            case GROWTH -> growth(report);
            case PROFILE -> new ConflictProfile(quick() ? 3 : 10).measure(report);
        }
    }

    private int rounds() {
        return quick() ? 5 : 15;
    }

    /** A release and an acquire of an exclusive lock, at random. */
    private void exclusive(Report report) {
        Map<Integer, Rounds> bySize = new LinkedHashMap<>();
        for (int locks : List.of(SMALL, MILLION)) {
            report.progress("%,d exclusive locks", locks);
            bySize.put(locks, exclusive(locks));
        }
        Rounds million = bySize.getOrDefault(MILLION, new Rounds());
        Rounds small = bySize.getOrDefault(SMALL, new Rounds());
        for (String name : List.of("disjoint-index", "range-index", "treemap", "interval-tree", "start-set")) {
            report.figure("index.exclusive.1k." + name, small.nanos(name), "ns/pair");
            report.figure("index.exclusive.1m." + name, million.nanos(name), "ns/pair");
        }
        report.figure(
                "index.exclusive.1m.treemap-ratio", million.ratio("treemap", "disjoint-index"), "x", Goal.atLeast(5));
        report.figure(
                "index.exclusive.1m.interval-tree-ratio",
                million.ratio("interval-tree", "disjoint-index"),
                "x",
                Goal.atLeast(3.5));
        report.figure(
                "index.exclusive.1m.start-set-ratio",
                million.ratio("disjoint-index", "start-set"),
                "x",
                Goal.atMost(3.5));
        double ours = million.nanos("disjoint-index") / small.nanos("disjoint-index");
        double sets = million.nanos("start-set") / small.nanos("start-set");
        report.figure("index.exclusive.1m-to-1k.disjoint-index", ours, "x");
        report.figure("index.exclusive.1m-to-1k.start-set", sets, "x");
        report.figure("index.exclusive.1m-to-1k.ratio", ours / sets, "x", Goal.atMost(1.3));
        report.note(
                "Times are CPU time of the measuring thread. Stretch goals of the exclusive pairs: 7x the tree map, at most 2.5x the set of starts. The set cannot answer"
                        + " overlaps; it stands for the memory accesses nobody gets around. range-index asks and inserts in two"
                        + " descents, and takes ranges that overlap.");
        for (String name : List.of("treemap", "interval-tree", "range-index", "disjoint-index", "start-set")) {
            report.line(
                    "a release and an acquire by locks held",
                    "locks",
                    "ns",
                    name,
                    new double[] {SMALL, MILLION},
                    new double[] {small.nanos(name), million.nanos(name)});
        }
        report.logarithmic("a release and an acquire by locks held");
    }

    private Rounds exclusive(int locks) {
        ExclusivePairs workload = new ExclusivePairs(locks, 1);
        Map<String, ExclusivePairs.Contender> contenders = new LinkedHashMap<>();
        contenders.put("disjoint-index", new ExclusivePairs.OfDisjointRangeIndex());
        contenders.put("treemap", new ExclusivePairs.OfTreeMap());
        contenders.put("interval-tree", new ExclusivePairs.OfIntervalTree());
        contenders.put("start-set", new ExclusivePairs.OfStartSet());
        contenders.put("range-index", new ExclusivePairs.OfRangeIndex());
        contenders.values().forEach(workload::fill);
        int count = quick() ? 100_000 : 300_000;
        Rounds rounds = new Rounds();
        // The first rounds are for the compiler, and for the trees to get as crooked as they are in use.
        int warmUps = quick() ? 3 : 6;
        for (int round = -warmUps; round < rounds(); round++) {
            ExclusivePairs.Pairs pairs = workload.next(count);
            for (Map.Entry<String, ExclusivePairs.Contender> contender : inTurns(contenders, round)) {
                long before = cpuNanos();
                contender.getValue().run(pairs);
                long nanos = cpuNanos() - before;
                if (round >= 0) {
                    rounds.add(contender.getKey(), (double) nanos / count);
                }
            }
        }
        return rounds;
    }

    /** The time of this thread alone: what others take of the machine is left out, except for what they do to its caches. */
    private static long cpuNanos() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    /** Every contender comes first in some rounds. */
    private static <C> List<Map.Entry<String, C>> inTurns(Map<String, C> contenders, int round) {
        List<Map.Entry<String, C>> all = new ArrayList<>(contenders.entrySet());
        java.util.Collections.rotate(all, round);
        return all;
    }

    private void readers(Report report) {
        report.progress("1,000,000 readers of 4 KiB to 1 GiB");
        overlaps(
                report,
                "index.readers",
                OverlapQueries.readers(MILLION, 2),
                64 << 10,
                quick() ? 10_000 : 30_000,
                Goal.atLeast(3));
    }

    private void waiters(Report report) {
        report.progress("1,000,000 waiters of 4 to 64 KiB");
        overlaps(
                report,
                "index.waiters",
                OverlapQueries.waiters(MILLION, 3),
                16 << 20,
                quick() ? 5_000 : 15_000,
                Goal.atLeast(5));
    }

    private void overlaps(
            Report report, String name, OverlapQueries workload, long lengthBytes, int queries, Goal goal) {
        Map<String, OverlapQueries.Contender> contenders = new LinkedHashMap<>();
        contenders.put("range-index", new OverlapQueries.OfRangeIndex());
        contenders.put("interval-tree", new OverlapQueries.OfIntervalTree());
        contenders.values().forEach(workload::fill);
        Rounds asked = new Rounds();
        Rounds changed = new Rounds();
        long met = 0;
        int count = quick() ? 50_000 : 100_000;
        Held[] out = new Held[count];
        Held[] in = new Held[count];
        for (int round = -3; round < rounds(); round++) {
            long[] starts = workload.queries(queries);
            workload.next(out, in);
            long[] counts = new long[2];
            for (Map.Entry<String, OverlapQueries.Contender> contender : inTurns(contenders, round)) {
                long before = cpuNanos();
                contender.getValue().churn(out, in);
                long between = cpuNanos();
                long found = contender.getValue().run(starts, lengthBytes);
                long after = cpuNanos();
                counts[contender.getKey().equals("range-index") ? 0 : 1] = found;
                if (round >= 0) {
                    changed.add(contender.getKey(), (double) (between - before) / count);
                    asked.add(contender.getKey(), (double) (after - between) / queries);
                }
            }
            if (counts[0] != counts[1]) {
                throw ExclusivePairs.wrong(counts[0] + " findings against " + counts[1]);
            }
            met = counts[0];
        }
        report.figure(name + ".findings", (double) met / queries, "");
        report.figure(name + ".query.range-index", asked.nanos("range-index") / 1000, "us");
        report.figure(name + ".query.interval-tree", asked.nanos("interval-tree") / 1000, "us");
        report.figure(name + ".query.ratio", asked.ratio("interval-tree", "range-index"), "x", goal);
        report.figure(name + ".change.range-index", changed.nanos("range-index"), "ns/pair");
        report.figure(name + ".change.interval-tree", changed.nanos("interval-tree"), "ns/pair");
        report.figure(name + ".change.ratio", changed.ratio("interval-tree", "range-index"), "x");
    }

    /** What a million locks take after each was replaced three times: as the index reckons, and as the heap shows. */
    private static void memory(Report report) {
        report.progress("memory");
        ExclusivePairs pairs = new ExclusivePairs(MILLION, 4);
        ExclusivePairs.OfDisjointRangeIndex disjoint = new ExclusivePairs.OfDisjointRangeIndex();
        pairs.fill(disjoint);
        for (int i = 0; i < 30; i++) {
            disjoint.run(pairs.next(MILLION / 10));
        }
        List<Held> held = pairs.held();
        long without = heapInUse();
        DisjointRangeIndex<Held> copy = new DisjointRangeIndex<>();
        for (Held lock : held) {
            copy.insertIfFree(lock.start(), lock.end(), lock);
        }
        double measured = (heapInUse() - without) / (double) MILLION;
        double reckoned = copy.heapBytes() / (double) MILLION;
        // Nothing of it may go while the heap is looked at.
        Reference.reachabilityFence(held);
        Reference.reachabilityFence(pairs);
        Reference.reachabilityFence(disjoint);
        report.figure(
                "index.memory.disjoint-index",
                disjoint.index.heapBytes() / (double) MILLION,
                "B/lock",
                Goal.atMost(48));
        report.note(String.format(
                Locale.ROOT,
                "Bytes are what the index counts up of its arrays; where it counts %.1f a lock the heap grew by %.1f.",
                reckoned,
                measured));

        OverlapQueries workload = OverlapQueries.readers(MILLION, 5);
        OverlapQueries.OfRangeIndex overlapping = new OverlapQueries.OfRangeIndex();
        workload.fill(overlapping);
        Held[] out = new Held[MILLION / 10];
        Held[] in = new Held[MILLION / 10];
        for (int i = 0; i < 30; i++) {
            workload.next(out, in);
            overlapping.churn(out, in);
        }
        report.figure(
                "index.memory.range-index",
                overlapping.index.heapBytes() / (double) MILLION,
                "B/lock",
                Goal.atMost(48));
    }

    private static long heapInUse() {
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    /**
     * The longest insert while an index grows. Every run does the same, and each insert counts at its fastest: what is in
     * the way of growth itself comes back in all runs, what the machine or the collector does in between does not.
     */
    private void growth(Report report) {
        int entries = quick() ? MILLION : 4 * MILLION;
        int runs = quick() ? 3 : 5;
        report.progress("growth to %,d entries, %d times", entries, runs);
        long[] starts = new SplittableRandom(6)
                .longs(entries, 0, 1L << 50)
                .map(start -> start & -4096L)
                .toArray();
        Held value = new Held(0, 1, 0);
        Map<String, Function<long[], int[]>> contenders = new LinkedHashMap<>();
        contenders.put("disjoint-index", all -> {
            DisjointRangeIndex<Held> index = new DisjointRangeIndex<>();
            return timed(all, i -> index.insertIfFree(all[i], all[i] + 1, value));
        });
        contenders.put("range-index", all -> {
            RangeIndex<Held> index = new RangeIndex<>();
            return timed(all, i -> index.insert(all[i], all[i] + 4096, i, value));
        });
        contenders.put("start-set", all -> {
            StartSet set = new StartSet();
            return timed(all, i -> set.add(all[i]));
        });
        Map<String, int[]> fastest =
                contenders.keySet().stream().collect(Collectors.toMap(name -> name, name -> new int[0]));
        Map<String, Integer> worst = new LinkedHashMap<>();
        for (int run = -1; run < runs; run++) {
            for (Map.Entry<String, Function<long[], int[]>> contender : contenders.entrySet()) {
                int[] nanos = contender.getValue().apply(starts);
                if (run >= 0) {
                    fastest.merge(contender.getKey(), nanos, IndexBench::least);
                    worst.merge(contender.getKey(), greatest(nanos), Math::max);
                }
            }
        }
        for (String name : contenders.keySet()) {
            double millis = greatest(fastest.getOrDefault(name, new int[0])) / 1e6;
            if (name.equals("start-set")) {
                report.figure("index.growth.longest." + name, millis, "ms");
            } else {
                report.figure("index.growth.longest." + name, millis, "ms", Goal.atMost(1));
            }
            report.figure("index.growth.longest-with-collector." + name, worst.getOrDefault(name, 0) / 1e6, "ms");
        }
    }

    @FunctionalInterface
    private interface Insert {
        void at(int i);
    }

    private static int[] timed(long[] starts, Insert insert) {
        int[] nanos = new int[starts.length];
        long before = System.nanoTime();
        for (int i = 0; i < starts.length; i++) {
            insert.at(i);
            long after = System.nanoTime();
            nanos[i] = (int) Math.min(Integer.MAX_VALUE, after - before);
            before = after;
        }
        return nanos;
    }

    private static int[] least(int[] first, int[] second) {
        if (first.length == 0) {
            return second;
        }
        for (int i = 0; i < first.length; i++) {
            first[i] = Math.min(first[i], second[i]);
        }
        return first;
    }

    private static int greatest(int[] values) {
        int greatest = 0;
        for (int value : values) {
            greatest = Math.max(greatest, value);
        }
        return greatest;
    }
}
