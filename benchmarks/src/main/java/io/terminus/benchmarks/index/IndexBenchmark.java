package io.terminus.benchmarks.index;

import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** The workloads of {@link IndexBench}, one contender at a time: for a profiler, or to look closer at one of them. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@SuppressWarnings("NullAway.Init") // JMH calls setUp before anything else
public class IndexBenchmark {

    private static final int BATCH = 10_000;

    /** A release and an acquire of exclusive locks. */
    @State(Scope.Thread)
    public static class Exclusive {
        @Param({"1000", "1000000"})
        public int held;

        @Param({"disjoint-index", "range-index", "treemap", "interval-tree", "start-set"})
        public String contender;

        private ExclusivePairs workload;
        private ExclusivePairs.Contender chosen;
        private ExclusivePairs.Pairs pairs;

        @Setup(Level.Trial)
        public void setUp() {
            workload = new ExclusivePairs(held, 1);
            chosen = switch (contender) {
                case "disjoint-index" -> new ExclusivePairs.OfDisjointRangeIndex();
                case "range-index" -> new ExclusivePairs.OfRangeIndex();
                case "treemap" -> new ExclusivePairs.OfTreeMap();
                case "interval-tree" -> new ExclusivePairs.OfIntervalTree();
                case "start-set" -> new ExclusivePairs.OfStartSet();
                default -> throw new IllegalArgumentException("no contender " + contender);
            };
            workload.fill(chosen);
        }

        @Setup(Level.Invocation)
        public void think() {
            pairs = workload.next(BATCH);
        }
    }

    /** Who is met by another range. */
    @State(Scope.Thread)
    public static class Overlapping {
        @Param({"readers", "waiters"})
        public String workload;

        @Param({"range-index", "interval-tree"})
        public String contender;

        private OverlapQueries entries;
        private OverlapQueries.Contender chosen;
        private long[] starts;
        private long lengthBytes;

        @Setup(Level.Trial)
        public void setUp() {
            boolean readers = workload.equals("readers");
            entries = readers ? OverlapQueries.readers(1_000_000, 1) : OverlapQueries.waiters(1_000_000, 1);
            lengthBytes = readers ? 64 << 10 : 16 << 20;
            chosen = contender.equals("range-index")
                    ? new OverlapQueries.OfRangeIndex()
                    : new OverlapQueries.OfIntervalTree();
            entries.fill(chosen);
        }

        @Setup(Level.Invocation)
        public void think() {
            starts = entries.queries(BATCH);
        }
    }

    @Benchmark
    @OperationsPerInvocation(BATCH)
    public void pair(Exclusive exclusive) {
        exclusive.chosen.run(exclusive.pairs);
    }

    @Benchmark
    @OperationsPerInvocation(BATCH)
    public long query(Overlapping overlapping) {
        return overlapping.chosen.run(overlapping.starts, overlapping.lengthBytes);
    }
}
