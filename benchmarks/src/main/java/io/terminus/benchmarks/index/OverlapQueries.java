package io.terminus.benchmarks.index;

import io.terminus.ranges.RangeIndex;
import java.util.SplittableRandom;

/**
 * Ranges that may overlap, and who is met by another: the readers that a writer has to ask, the waiters that a release sets
 * free. Also what it costs to take one out and put another in.
 */
final class OverlapQueries {

    interface Contender {
        void insert(Held entry);

        /** How many entries the queries met in all. */
        long run(long[] starts, long lengthBytes);

        void churn(Held[] out, Held[] in);
    }

    private final SplittableRandom random;
    private final long spaceBytes;
    private final long leastBytes;
    private final long mostBytes;
    private final Held[] entries;
    private long ids;

    private OverlapQueries(int count, long spaceBytes, long leastBytes, long mostBytes, long seed) {
        this.random = new SplittableRandom(seed);
        this.spaceBytes = spaceBytes;
        this.leastBytes = leastBytes;
        this.mostBytes = mostBytes;
        this.entries = new Held[count];
        for (int i = 0; i < count; i++) {
            entries[i] = any();
        }
    }

    /** Readers of 4 KiB to 1 GiB, as many of each order of size; some twenty over any place. */
    static OverlapQueries readers(int count, long seed) {
        return new OverlapQueries(count, count * (4L << 20), 4 << 10, 1 << 30, seed);
    }

    /** Waiters of 4 to 64 KiB; some 256 under any 16 MiB. */
    static OverlapQueries waiters(int count, long seed) {
        return new OverlapQueries(count, count * (64L << 10), 4 << 10, 64 << 10, seed);
    }

    void fill(Contender contender) {
        for (Held entry : entries) {
            contender.insert(entry);
        }
    }

    long[] queries(int count) {
        return random.longs(count, 0, spaceBytes).toArray();
    }

    /** Replaces as many entries as {@code in} has room for; those that go are put into {@code out}. */
    void next(Held[] out, Held[] in) {
        for (int i = 0; i < in.length; i++) {
            int at = random.nextInt(entries.length);
            out[i] = entries[at];
            in[i] = any();
            entries[at] = in[i];
        }
    }

    private Held any() {
        long start = random.nextLong(spaceBytes) & -4096L;
        double length = leastBytes * Math.pow((double) mostBytes / leastBytes, random.nextDouble());
        return new Held(start, start + ((long) length & -4096L), ids++);
    }

    static final class OfRangeIndex implements Contender {
        final RangeIndex<Held> index = new RangeIndex<>();
        private long met;

        @Override
        public void insert(Held entry) {
            index.insert(entry.start(), entry.end(), entry.id(), entry);
        }

        @Override
        public long run(long[] starts, long lengthBytes) {
            met = 0;
            for (long start : starts) {
                index.forEachOverlapping(start, start + lengthBytes, (from, to, id, value) -> {
                    met++;
                    return true;
                });
            }
            return met;
        }

        @Override
        public void churn(Held[] out, Held[] in) {
            for (int i = 0; i < in.length; i++) {
                index.remove(out[i].start(), out[i].id());
                index.insert(in[i].start(), in[i].end(), in[i].id(), in[i]);
            }
        }
    }

    static final class OfIntervalTree implements Contender {
        final IntervalTree<Held> tree = new IntervalTree<>();
        private long met;

        @Override
        public void insert(Held entry) {
            tree.insert(entry.start(), entry.end(), entry.id(), entry);
        }

        @Override
        public long run(long[] starts, long lengthBytes) {
            met = 0;
            for (long start : starts) {
                tree.forEachOverlapping(start, start + lengthBytes, (from, to, id, value) -> {
                    met++;
                    return true;
                });
            }
            return met;
        }

        @Override
        public void churn(Held[] out, Held[] in) {
            for (int i = 0; i < in.length; i++) {
                tree.remove(out[i].start(), out[i].id());
                tree.insert(in[i].start(), in[i].end(), in[i].id(), in[i]);
            }
        }
    }
}
