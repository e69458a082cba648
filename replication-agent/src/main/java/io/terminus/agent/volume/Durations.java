package io.terminus.agent.volume;

import java.util.concurrent.atomic.AtomicLongArray;

/**
 * How often something took how long: counts between fixed bounds, 1-2-5 from 10 us to 10 s, and the sum. Any thread may
 * record, which costs two additions and no allocation; a reader may see a count without its time, or the reverse.
 */
public final class Durations {

    private static final long[] BOUNDS_NANOS = bounds();

    private final AtomicLongArray counts = new AtomicLongArray(BOUNDS_NANOS.length + 2);
    private final int sumAt = BOUNDS_NANOS.length + 1;

    private static long[] bounds() {
        long[] bounds = new long[19];
        long[] steps = {1, 2, 5};
        long decade = 10_000;
        for (int i = 0; i < bounds.length; i++) {
            bounds[i] = decade * steps[i % 3];
            if (i % 3 == 2) {
                decade *= 10;
            }
        }
        return bounds;
    }

    /** The upper bounds, each inclusive; what is longer than the last one is counted behind it. */
    public static long[] boundsNanos() {
        return BOUNDS_NANOS.clone();
    }

    void record(long nanos) {
        record(nanos, 1);
    }

    /** {@code times} things took that long each. */
    void record(long nanos, int times) {
        long took = Math.max(0, nanos);
        int low = 0;
        int high = BOUNDS_NANOS.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (BOUNDS_NANOS[middle] < took) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        counts.addAndGet(low, times);
        counts.addAndGet(sumAt, took * times);
    }

    /** Counts between the bounds, one more than there are bounds; not cumulative. */
    public long[] counts() {
        long[] now = new long[sumAt];
        for (int i = 0; i < now.length; i++) {
            now[i] = counts.get(i);
        }
        return now;
    }

    public long count() {
        long count = 0;
        for (long c : counts()) {
            count += c;
        }
        return count;
    }

    public long sumNanos() {
        return counts.get(sumAt);
    }
}
