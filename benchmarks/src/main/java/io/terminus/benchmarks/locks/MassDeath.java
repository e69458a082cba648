package io.terminus.benchmarks.locks;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/**
 * A hundred thousand sessions, ten locks each, whose leases all end at one moment: each is opened with just the ttl that is left until then. How long
 * after that moment is the last lock released, and what does a bystander on another volume feel of it?
 *
 * <p>The lock manager ends a lease at ttl + margin (2 % of the ttl + 100 ms, docs/lock-rules.md) after its last renewal; the moment is that.
 */
final class MassDeath {

    private static final String VOLUME = "doomed";
    private static final int LOCKS_EACH = 10;
    private static final int BYSTANDERS_PER_SECOND = 1000;
    private static final int POLL_MILLIS = 20;
    private static final int PILOTS = 500;
    private static final int PILOT_SECONDS = 4;
    private static final int END_SECONDS = 120;

    private MassDeath() {}

    static void measure(Report report, Subprocess server, int wanted) throws Exception {
        try (Sessions sessions = new Sessions(server)) {
            long lifeNanos = pilot(report, sessions, wanted);
            long end = System.nanoTime() + lifeNanos;
            ConcurrentLinkedQueue<String> ids = new ConcurrentLinkedQueue<>();
            Sessions.Opened opened = sessions.open(wanted, ids, session -> ttlMillis(end - System.nanoTime()));
            if (opened.limit() != null) {
                report.note("sessions: " + opened.count() + " of " + wanted + " were allowed: " + opened.limit());
            }
            String name = "dying-" + opened.count();
            long locks = sessions.holdSlots(ids, VOLUME, LOCKS_EACH);
            double left = (end - System.nanoTime()) / 1e9;
            long held = sessions.held(VOLUME);
            report.progress("%,d sessions hold %,d locks, and have %.1f s left", opened.count(), held, left);
            if (held != locks || left < 4) {
                throw new IllegalStateException("only " + held + " of " + locks + " locks are held " + left
                        + " s before their end: this machine is too slow for so many sessions");
            }
            measureEnd(report, name, server, sessions, end);
        }
    }

    /**
     * How long a life they need, judged by the quickest of a few pilots, because the first ones only make the JVMs compile. What is left of it
     * in the end passes idly.
     */
    private static long pilot(Report report, Sessions sessions, int wanted) throws Exception {
        int few = Math.min(PILOTS, wanted);
        double secondsEach = Double.MAX_VALUE;
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PILOT_SECONDS);
        while (System.nanoTime() < until) {
            ConcurrentLinkedQueue<String> ids = new ConcurrentLinkedQueue<>();
            long start = System.nanoTime();
            sessions.open(few, ids, session -> TimeUnit.SECONDS.toMillis(Sessions.MAX_TTL_SECONDS));
            sessions.holdSlots(ids, "pilot", LOCKS_EACH);
            secondsEach = Math.min(secondsEach, (System.nanoTime() - start) / 1e9 / few);
            sessions.closeAll(ids);
        }
        double seconds = Math.min(10 + 2 * secondsEach * wanted, 0.95 * Sessions.MAX_TTL_SECONDS);
        report.progress("sessions: %.0f us each to open and fill; they get %.0f s", secondsEach * 1e6, seconds);
        return (long) (seconds * 1e9);
    }

    private static long ttlMillis(long leftNanos) {
        // ttl + margin = what is left
        return Math.max(1000, (long) ((leftNanos / 1e6 - 100) / 1.02));
    }

    private static void measureEnd(Report report, String name, Subprocess server, Sessions sessions, long end)
            throws Exception {
        sleepUntil(end - TimeUnit.SECONDS.toNanos(6));
        try (OpenLoop bystanders = new OpenLoop(server, BYSTANDERS_PER_SECOND, END_SECONDS + 10)) {
            List<double[]> remaining = new ArrayList<>();
            long released = 0;
            Cpu before = server.cpu();
            while (released == 0) {
                long held = sessions.held(VOLUME);
                long now = System.nanoTime();
                remaining.add(new double[] {(now - end) / 1e9, held});
                if (held == 0) {
                    released = now;
                } else if (now - end > TimeUnit.SECONDS.toNanos(END_SECONDS)) {
                    throw new IllegalStateException(
                            held + " locks are still held " + END_SECONDS + " s after the end of their leases");
                } else {
                    TimeUnit.MILLISECONDS.sleep(POLL_MILLIS);
                }
            }
            double serverCpu = server.cpu().since(before);
            sleepUntil(released + TimeUnit.MILLISECONDS.toNanos(500));
            long ms = TimeUnit.MILLISECONDS.toNanos(1);
            Histogram quiet = bystanders.between(end - 5000 * ms, end - 300 * ms);
            Histogram dying = bystanders.between(end - 100 * ms, released + 100 * ms);
            report.figure(name + ".released-after-lease-end", Math.max(0, (released - end) / 1e9), "s", Goal.atMost(1));
            report.figure(name + ".server-cpu", serverCpu, "CPU-s");
            report.figure(name + ".bystander.quiet.p99", quiet.getValueAtPercentile(99) / 1e3, "us");
            report.figure(name + ".bystander.dying.p99", dying.getValueAtPercentile(99) / 1e3, "us");
            report.figure(name + ".bystander.dying.max", dying.getMaxValue() / 1e3, "us");
            report.figure(
                    name + ".bystander.p99-ratio",
                    (double) dying.getValueAtPercentile(99) / quiet.getValueAtPercentile(99),
                    "x",
                    Goal.atMost(2));
            report.note(name + ": bystanders come at " + BYSTANDERS_PER_SECOND
                    + " a second whether answered or not (open loop, latency from the time they were due).");
            report.line(
                    "Sessions dying at once",
                    "seconds after the end of the leases",
                    "locks held",
                    "held",
                    remaining.stream().mapToDouble(point -> point[0]).toArray(),
                    remaining.stream().mapToDouble(point -> point[1]).toArray());
        }
    }

    private static void sleepUntil(long nanos) throws InterruptedException {
        long left = nanos - System.nanoTime();
        if (left > 0) {
            TimeUnit.NANOSECONDS.sleep(left);
        }
    }
}
