package io.terminus.benchmarks.data;

import io.grpc.stub.StreamObserver;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.lock.v1.LockEvent;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.WatchMessage;
import io.terminus.proto.lock.v1.WatchRequest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * {@code kill -9} of the writer under load, up to the first write that its standby acknowledges. The lease, which has to end first, is a setting:
 * its end is taken from the lock manager, whose watchers hear of it, so that what is left is the work of the agents. Every round has
 * agents and a volume of its own: a takeover in code that has never run.
 */
final class Takeover {

    private static final int TTL_SECONDS = 2;
    private static final long SIZE_BYTES = 256L << 20;
    private static final int BLOCK_BYTES = 4096;
    private static final int WRITES_BEFORE = 2_000;
    private static final int PATIENCE_SECONDS = 60;
    private static final int PROBE_MILLIS = 2;

    private Takeover() {}

    static void measure(Report report, Workshop workshop, Terminus terminus, int rounds)
            throws IOException, InterruptedException {
        List<Double> beyondLease = new ArrayList<>();
        List<Double> inAll = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            once(report, terminus, round, beyondLease, inAll);
        }
        report.figure("failover.in-all", median(inAll), "s, with a lease of " + TTL_SECONDS + " s and its margin");
        report.figure("failover.beyond-lease", median(beyondLease), "s", Goal.atMost(1));
        report.figure(
                "failover.beyond-lease.worst",
                beyondLease.stream().mapToDouble(Double::doubleValue).max().orElseThrow(),
                "s");
        report.note(String.format(
                Locale.ROOT,
                "Failover: %d times, agents started with --agent.lease-ttl=%ds; the lease ended when the lock manager's watchers heard so.",
                rounds,
                TTL_SECONDS));
    }

    private static void once(Report report, Terminus terminus, int round, List<Double> beyondLease, List<Double> inAll)
            throws IOException, InterruptedException {
        String volume = "f" + ProcessHandle.current().pid() + "-" + round;
        String ttl = "--agent.lease-ttl=" + TTL_SECONDS + "s";
        Terminus.Agent writer = terminus.agent("writer-" + round, ttl);
        Terminus.Agent standby = terminus.agent("standby-" + round, ttl);
        Terminus.awaitServing(writer);
        Terminus.awaitServing(standby);
        Terminus.create(writer, volume, SIZE_BYTES, AckLevel.RECEIVED, Failover.AUTOMATIC, 0, standby);
        byte[] block = new byte[BLOCK_BYTES];
        block[0] = 1;
        LeaseEnd leaseEnd = new LeaseEnd("agent/" + writer.name());
        LockServiceGrpc.newStub(terminus.lockManagerChannel())
                .watch(WatchRequest.newBuilder().setVolume(volume).build(), leaseEnd);
        try (NbdClient client = NbdClient.open(writer.nbdPort(), volume, PATIENCE_SECONDS * 1000)) {
            for (int i = 0; i < WRITES_BEFORE; i++) {
                client.write((long) i * BLOCK_BYTES, block);
            }
            report.progress(
                    "failover %d: kill -9 of the writer, pid %d",
                    round, writer.process().pid());
            long killed = System.nanoTime();
            writer.process().kill();
            long acknowledged = firstAcknowledged(standby, volume, block, killed);
            double beyond = (acknowledged - leaseEnd.await()) / 1e9;
            beyondLease.add(beyond);
            inAll.add((acknowledged - killed) / 1e9);
            report.progress("failover %d: %.3f s in all, %.3f s beyond the lease", round, inAll.getLast(), beyond);
        }
        Terminus.kill(writer);
        Terminus.kill(standby);
    }

    private static long firstAcknowledged(Terminus.Agent standby, String volume, byte[] block, long killed)
            throws IOException, InterruptedException {
        while (true) {
            try (NbdClient next = NbdClient.open(standby.nbdPort(), volume, PATIENCE_SECONDS * 1000)) {
                next.write(0, block);
                return System.nanoTime();
            } catch (IOException e) {
                standby.process().requireAlive();
                if (System.nanoTime() - killed > TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS)) {
                    throw new IOException("nobody took over for " + PATIENCE_SECONDS + " s", e);
                }
            }
            Thread.sleep(PROBE_MILLIS);
        }
    }

    private static double median(List<Double> values) {
        return Rounds.median(values.stream().mapToDouble(Double::doubleValue).toArray());
    }

    /** Hears when the lock of this owner is gone. */
    private static final class LeaseEnd implements StreamObserver<WatchMessage> {
        private final String owner;
        private final AtomicLong atNanos = new AtomicLong();
        private final CountDownLatch heard = new CountDownLatch(1);

        LeaseEnd(String owner) {
            this.owner = owner;
        }

        long await() throws IOException, InterruptedException {
            if (!heard.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException("the lock manager did not tell that the lease of " + owner + " ended");
            }
            return atNanos.get();
        }

        @Override
        public void onNext(WatchMessage message) {
            if (message.hasEvent()
                    && message.getEvent().getKind() == LockEvent.Kind.EXPIRED
                    && message.getEvent().getLock().getOwner().equals(owner)
                    && atNanos.compareAndSet(0, System.nanoTime())) {
                heard.countDown();
            }
        }

        @Override
        public void onError(Throwable failure) {
            // The wait for it ends by itself.
        }

        @Override
        public void onCompleted() {
            // As above.
        }
    }
}
