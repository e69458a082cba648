package io.terminus.benchmarks.index;

import io.terminus.ranges.DisjointRangeIndex;
import io.terminus.ranges.RangeIndex;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;

/**
 * Exclusive locks on slots of 64 KiB, half of which are held: one at random is released, and a free one at random acquired.
 * The operations are thought up first, the same for all contenders.
 */
final class ExclusivePairs {

    static final long SLOT_BYTES = 64 << 10;

    /** Does both halves of every pair; throws if an acquire met another lock. Each has a loop of its own, so that none is compiled for two. */
    interface Contender {
        void acquire(Held lock);

        void run(Pairs pairs);
    }

    /** Pair i releases what begins at {@code released[i]} and acquires {@code acquired[i]}, as plain numbers as well. */
    record Pairs(long[] released, long[] starts, Held[] acquired) {
        int count() {
            return released.length;
        }
    }

    private final SplittableRandom random;
    private final Held[] slots;
    private final int[] held;
    private final int[] free;

    ExclusivePairs(int locks, long seed) {
        random = new SplittableRandom(seed);
        slots = new Held[2 * locks];
        int[] order = new int[slots.length];
        for (int slot = 0; slot < slots.length; slot++) {
            slots[slot] = new Held(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES, slot);
            int other = random.nextInt(slot + 1);
            order[slot] = order[other];
            order[other] = slot;
        }
        held = java.util.Arrays.copyOf(order, locks);
        free = java.util.Arrays.copyOfRange(order, locks, order.length);
    }

    /** Only before the first {@link #next}. */
    void fill(Contender contender) {
        for (int slot : held) {
            contender.acquire(slots[slot]);
        }
    }

    /** What is held, in no order. */
    List<Held> held() {
        List<Held> all = new ArrayList<>();
        for (int slot : held) {
            all.add(slots[slot]);
        }
        return all;
    }

    Pairs next(int count) {
        Pairs pairs = new Pairs(new long[count], new long[count], new Held[count]);
        for (int i = 0; i < count; i++) {
            int from = random.nextInt(held.length);
            int to = random.nextInt(free.length);
            int released = held[from];
            int acquired = free[to];
            held[from] = acquired;
            free[to] = released;
            pairs.released[i] = slots[released].start();
            pairs.starts[i] = slots[acquired].start();
            pairs.acquired[i] = slots[acquired];
        }
        return pairs;
    }

    static IllegalStateException wrong(Object what) {
        return new IllegalStateException("wrong answer: " + what);
    }

    static final class OfDisjointRangeIndex implements Contender {
        final DisjointRangeIndex<Held> index = new DisjointRangeIndex<>();

        @Override
        public void acquire(Held lock) {
            index.insertIfFree(lock.start(), lock.end(), lock);
        }

        @Override
        public void run(Pairs pairs) {
            for (int i = 0; i < pairs.count(); i++) {
                if (index.remove(pairs.released[i]) == null) {
                    throw wrong(pairs.released[i]);
                }
                long start = pairs.starts[i];
                if (index.insertIfFree(start, start + SLOT_BYTES, pairs.acquired[i]) != null) {
                    throw wrong(pairs.acquired[i]);
                }
            }
        }
    }

    static final class OfRangeIndex implements Contender {
        final RangeIndex<Held> index = new RangeIndex<>();

        @Override
        public void acquire(Held lock) {
            index.insert(lock.start(), lock.end(), 0, lock);
        }

        @Override
        public void run(Pairs pairs) {
            for (int i = 0; i < pairs.count(); i++) {
                if (index.remove(pairs.released[i], 0) == null) {
                    throw wrong(pairs.released[i]);
                }
                long start = pairs.starts[i];
                if (index.firstOverlapping(start, start + SLOT_BYTES) != null) {
                    throw wrong(pairs.acquired[i]);
                }
                index.insert(start, start + SLOT_BYTES, 0, pairs.acquired[i]);
            }
        }
    }

    static final class OfTreeMap implements Contender {
        final TreeMap<Long, Held> map = new TreeMap<>();

        @Override
        public void acquire(Held lock) {
            map.put(lock.start(), lock);
        }

        @Override
        public void run(Pairs pairs) {
            for (int i = 0; i < pairs.count(); i++) {
                if (map.remove(pairs.released[i]) == null) {
                    throw wrong(pairs.released[i]);
                }
                long start = pairs.starts[i];
                Map.Entry<Long, Held> below = map.lowerEntry(start + SLOT_BYTES);
                if (below != null && below.getValue().end() > start) {
                    throw wrong(pairs.acquired[i]);
                }
                map.put(start, pairs.acquired[i]);
            }
        }
    }

    static final class OfIntervalTree implements Contender {
        final IntervalTree<Held> tree = new IntervalTree<>();

        @Override
        public void acquire(Held lock) {
            tree.insert(lock.start(), lock.end(), 0, lock);
        }

        @Override
        public void run(Pairs pairs) {
            for (int i = 0; i < pairs.count(); i++) {
                if (tree.remove(pairs.released[i], 0) == null) {
                    throw wrong(pairs.released[i]);
                }
                long start = pairs.starts[i];
                if (tree.firstOverlapping(start, start + SLOT_BYTES) != null) {
                    throw wrong(pairs.acquired[i]);
                }
                tree.insert(start, start + SLOT_BYTES, 0, pairs.acquired[i]);
            }
        }
    }

    static final class OfStartSet implements Contender {
        final StartSet set = new StartSet();

        @Override
        public void acquire(Held lock) {
            set.add(lock.start());
        }

        @Override
        public void run(Pairs pairs) {
            for (int i = 0; i < pairs.count(); i++) {
                if (!set.remove(pairs.released[i]) || !set.add(pairs.starts[i])) {
                    throw wrong(pairs.acquired[i]);
                }
            }
        }
    }
}
