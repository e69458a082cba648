package io.terminus.benchmarks.locks;

import io.grpc.stub.StreamObserver;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.lock.v1.Answer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.HdrHistogram.Histogram;

/**
 * Many sessions wait for one range; each that gets it gives it back at once. Every release must wake exactly one, which is looked at by
 * letting the first {@value #WATCHED} holders keep the range for a moment; and the work in all must grow with their number and not with its square: server CPU per waiter is compared over several
 * numbers of waiters. A hand-off lasts from sending the release to hearing of the next one's grant.
 */
final class Waiters {

    private static final String VOLUME = "queue";
    private static final int WATCHED = 200;

    private record Run(
            int waiters, double queueCpu, double handOffCpu, double handOffSeconds, Histogram nanos, int mostHolders) {

        double cpuPerWaiter() {
            return (queueCpu + handOffCpu) / waiters;
        }
    }

    private Waiters() {}

    static void measure(Report report, Subprocess server, boolean quick) throws Exception {
        int[] sizes = quick ? new int[] {500, 1_000, 2_000} : new int[] {2_500, 5_000, 10_000};
        report.progress("waiters: warming up");
        for (int i = 0; i < (quick ? 1 : 3); i++) {
            run(server, sizes[sizes.length - 1]);
        }
        // The least of the rounds: whatever else goes on only adds to it.
        List<Run> runs = new ArrayList<>();
        for (int round = 0; round < (quick ? 1 : 3); round++) {
            for (int i = 0; i < sizes.length; i++) {
                Run run = run(server, sizes[i]);
                report.progress(
                        "%,d waiters: server CPU %.1f us to queue one, %.1f us to hand over; all in %.2f s",
                        run.waiters,
                        run.queueCpu / run.waiters * 1e6,
                        run.handOffCpu / run.waiters * 1e6,
                        run.handOffSeconds);
                if (round == 0) {
                    runs.add(run);
                } else if (run.cpuPerWaiter() < runs.get(i).cpuPerWaiter()) {
                    runs.set(i, run);
                }
            }
        }
        Run small = runs.getFirst();
        Run large = runs.getLast();
        String name = "waiters-" + large.waiters;
        if (large.waiters < sizes[sizes.length - 1]) {
            report.note(name + ": the lock manager allows no more sessions; wanted were " + sizes[sizes.length - 1]);
        }
        report.figure(name + ".holders-at-once", large.mostHolders, "sessions", Goal.atMost(1));
        report.figure(name + ".hand-off.p50", large.nanos.getValueAtPercentile(50) / 1e3, "us");
        report.figure(name + ".hand-off.p99", large.nanos.getValueAtPercentile(99) / 1e3, "us");
        report.figure(name + ".hand-offs", large.waiters / large.handOffSeconds, "1/s");
        double[] counts = new double[runs.size()];
        double[] queue = new double[runs.size()];
        double[] handOff = new double[runs.size()];
        for (int i = 0; i < counts.length; i++) {
            Run run = runs.get(i);
            counts[i] = run.waiters;
            queue[i] = run.queueCpu / run.waiters * 1e6;
            handOff[i] = run.handOffCpu / run.waiters * 1e6;
        }
        double times = (double) large.waiters / small.waiters;
        // Linear work has the ratio 1, quadratic work that of the sizes; ticks of 10 ms and a noisy machine take their
        // part.
        report.figure(name + ".queue.server-cpu", queue[queue.length - 1], "us/waiter");
        report.figure(name + ".hand-off.server-cpu", handOff[handOff.length - 1], "us/waiter");
        report.figure(
                name + ".work-per-waiter",
                large.cpuPerWaiter() / small.cpuPerWaiter(),
                "x of " + small.waiters + " (quadratic: " + Math.round(times) + ")",
                Goal.atMost(1.5));
        report.line("Waiters on one range", "waiters", "server CPU, us per waiter", "to queue", counts, queue);
        report.line("Waiters on one range", "waiters", "server CPU, us per waiter", "to hand over", counts, handOff);
    }

    private static Run run(Subprocess server, int waiters) throws Exception {
        try (Sessions sessions = new Sessions(server)) {
            ConcurrentLinkedQueue<String> opened = new ConcurrentLinkedQueue<>();
            sessions.open(waiters + 1, opened, session -> TimeUnit.SECONDS.toMillis(Sessions.MAX_TTL_SECONDS));
            List<String> ids = List.copyOf(opened);
            try {
                return new Chain(sessions, ids).run(server);
            } finally {
                sessions.closeAll(ids);
            }
        }
    }

    /** Session 0 holds, the others wait in the order of their numbers; each grant is released as soon as it is heard. */
    private static final class Chain {
        private final Sessions sessions;
        private final List<String> ids;
        private final int waiters;
        private final Histogram nanos = new Histogram(TimeUnit.MINUTES.toNanos(10), 3);
        private final CompletableFuture<Boolean> over = new CompletableFuture<>();
        private final AtomicInteger holders = new AtomicInteger();
        private final AtomicInteger mostHolders = new AtomicInteger();

        // One holder at a time writes these, and tells the next one through the server.
        private volatile long releasedNanos;
        private final AtomicInteger grants = new AtomicInteger();

        Chain(Sessions sessions, List<String> ids) {
            this.sessions = sessions;
            this.ids = ids;
            this.waiters = ids.size() - 1;
        }

        Run run(Subprocess server) throws Exception {
            CompletableFuture<Long> first = new CompletableFuture<>();
            sessions.acquireAsync(
                    0,
                    ids.getFirst(),
                    VOLUME,
                    0,
                    new Hearing(
                            first::completeExceptionally,
                            answer -> first.complete(answer.getGranted().getLockId())));
            long lockId = first.get(60, TimeUnit.SECONDS);

            Cpu before = server.cpu();
            for (int i = 1; i <= waiters; i++) {
                int number = i;
                sessions.acquireAsync(
                        0,
                        ids.get(i),
                        VOLUME,
                        0,
                        new Hearing(over::completeExceptionally, answer -> granted(number, answer)));
                // Not more under way than the server has in its queue anyway.
                if (i % 500 == 0) {
                    awaitWaiting(i - 500);
                }
            }
            awaitWaiting(waiters);
            Cpu queued = server.cpu();

            long start = System.nanoTime();
            release(0, lockId, false);
            over.get(Sessions.MAX_TTL_SECONDS, TimeUnit.SECONDS);
            double seconds = (System.nanoTime() - start) / 1e9;
            return new Run(
                    waiters, queued.since(before), server.cpu().since(queued), seconds, nanos, mostHolders.get());
        }

        private void awaitWaiting(int atLeast) throws InterruptedException {
            while (sessions.waiting(VOLUME) < atLeast) {
                if (over.isCompletedExceptionally()) {
                    over.join();
                }
                TimeUnit.MILLISECONDS.sleep(5);
            }
        }

        private void granted(int number, Answer answer) {
            nanos.recordValue(System.nanoTime() - releasedNanos);
            int atOnce = holders.incrementAndGet();
            boolean last = grants.incrementAndGet() == waiters;
            if (grants.get() <= WATCHED) {
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
                atOnce = Math.max(atOnce, holders.get());
            }
            mostHolders.accumulateAndGet(atOnce, Math::max);
            holders.decrementAndGet();
            release(number, answer.getGranted().getLockId(), last);
        }

        private void release(int number, long lockId, boolean last) {
            releasedNanos = System.nanoTime();
            sessions.releaseAsync(0, ids.get(number), lockId, new Hearing(over::completeExceptionally, done -> {
                if (last) {
                    over.complete(true);
                }
            }));
        }
    }

    private record Hearing(Consumer<Throwable> failed, Consumer<Answer> then) implements StreamObserver<Answer> {
        @Override
        public void onNext(Answer answer) {
            if (answer.hasRefused()) {
                failed.accept(new IllegalStateException(answer.toString()));
            } else {
                then.accept(answer);
            }
        }

        @Override
        public void onError(Throwable failure) {
            failed.accept(failure);
        }

        @Override
        public void onCompleted() {
            // Heard with the answer.
        }
    }
}
