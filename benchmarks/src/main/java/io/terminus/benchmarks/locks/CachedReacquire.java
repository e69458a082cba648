package io.terminus.benchmarks.locks;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.lockmgr.client.LockCache;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockRange;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;

/**
 * Taking and closing a use of a grant that is cached, by one thread: of the only one, and of one of a thousand at random. The tokens show that no
 * call was made: a new grant would have a new one.
 *
 * <p>In CPU time of the thread, which never waits here: on a busy machine the clock on the wall would count the neighbours.
 */
final class CachedReacquire {

    private static final String VOLUME = "cached";
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    private static final int MANY = 1000;
    private static final Duration WAIT = Duration.ofSeconds(10);

    private CachedReacquire() {}

    static void measure(Report report, Subprocess server, boolean quick) throws Exception {
        try (LockClient client = LockClient.connect(
                LockClient.Config.of(server.target(), "bench-cache").withTtl(Duration.ofSeconds(60)))) {
            client.ready().get(30, TimeUnit.SECONDS);
            try (LockCache cache = new LockCache(client, 2 * MANY, Duration.ofMinutes(10))) {
                LockRange[] ranges = new LockRange[MANY];
                long[] tokens = new long[MANY];
                for (int i = 0; i < MANY; i++) {
                    ranges[i] = new LockRange(i * Sessions.SLOT_BYTES, (i + 1) * Sessions.SLOT_BYTES);
                    tokens[i] = takeAndClose(cache, ranges[i]);
                }
                int times = quick ? 200_000 : 1_000_000;
                report.figure("cached.one", nanos(cache, ranges, 1, times), "ns", Goal.atMost(200));
                report.figure("cached.one-of-" + MANY, nanos(cache, ranges, MANY, times), "ns", Goal.atMost(200));
                for (int i = 0; i < MANY; i++) {
                    if (takeAndClose(cache, ranges[i]) != tokens[i]) {
                        throw new IllegalStateException(ranges[i] + " was granted anew, so calls were measured");
                    }
                }
            }
        }
    }

    /** The median round, of one take and close. */
    private static double nanos(LockCache cache, LockRange[] ranges, int of, int times) throws InterruptedException {
        double[] rounds = new double[9];
        SplittableRandom random = new SplittableRandom(1);
        for (int round = -2; round < rounds.length; round++) {
            long sum = 0;
            long start = THREADS.getCurrentThreadCpuTime();
            for (int i = 0; i < times; i++) {
                sum += takeAndClose(cache, ranges[random.nextInt(of)]);
            }
            double nanos = (double) (THREADS.getCurrentThreadCpuTime() - start) / times;
            if (sum == 0) {
                throw new IllegalStateException("no token is 0");
            }
            if (round >= 0) {
                rounds[round] = nanos;
            }
        }
        Arrays.sort(rounds);
        return rounds[rounds.length / 2];
    }

    private static long takeAndClose(LockCache cache, LockRange range) throws InterruptedException {
        try (LockCache.Use use = cache.exclusive(VOLUME, range, WAIT)) {
            return use.token();
        }
    }
}
