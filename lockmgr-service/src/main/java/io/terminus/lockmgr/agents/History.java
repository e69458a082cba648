package io.terminus.lockmgr.agents;

import io.terminus.lockmgr.agents.ReplicationViews.Said;
import io.terminus.proto.agent.v1.ClientRequests;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The plots of one volume: a point for each look at its writer, the last {@value #POINTS}. Agents count since their replica was
 * opened, so a point is the difference to the look before; after a change of the writer, or its restart, one point has no
 * rates. Knows no time of its own; one thread at a time.
 */
final class History {

    static final int POINTS = 900;

    private final ArrayDeque<Sample> points = new ArrayDeque<>();
    private @Nullable VolumeStatus before;
    private long beforeNanos;

    /** @param said by the writer, which is no news if it was said before; null: nobody says that it is */
    void add(@Nullable Said said, long nowMillis) {
        VolumeStatus writer = said == null ? null : said.status();
        long nowNanos = said == null ? 0 : said.atNanos();
        if (said != null && before != null && nowNanos == beforeNanos) {
            return;
        }
        if (points.size() == POINTS) {
            points.removeFirst();
        }
        points.addLast(point(writer, nowNanos, nowMillis));
        before = writer;
        beforeNanos = nowNanos;
    }

    List<Sample> points() {
        return List.copyOf(points);
    }

    private Sample point(@Nullable VolumeStatus writer, long nowNanos, long nowMillis) {
        if (writer == null) {
            return new Sample(nowMillis, null, null, null, null, null, null);
        }
        long lag = writer.getReplicasList().stream()
                .mapToLong(ReplicaStatus::getLagBytes)
                .max()
                .orElse(0);
        ClientRequests now = writer.getRequests();
        ClientRequests then = before == null ? null : before.getRequests();
        double seconds = (nowNanos - beforeNanos) / 1e9;
        if (then == null || seconds <= 0 || !follows(then, now)) {
            return new Sample(nowMillis, null, null, null, null, null, lag);
        }
        List<Long> writes = sum(
                difference(now.getWritesList(), then.getWritesList()),
                difference(now.getDurableWritesList(), then.getDurableWritesList()));
        long reads = total(difference(now.getReadsList(), then.getReadsList()));
        return new Sample(
                nowMillis,
                quantile(writes, now.getBoundsNanosList(), 0.5),
                quantile(writes, now.getBoundsNanosList(), 0.99),
                total(writes) / seconds,
                reads / seconds,
                (now.getWrittenBytes() - then.getWrittenBytes()) / seconds,
                lag);
    }

    /** Did the same counters go on? */
    private static boolean follows(ClientRequests then, ClientRequests now) {
        return then.getBoundsNanosList().equals(now.getBoundsNanosList())
                && notLess(then.getWritesList(), now.getWritesList())
                && notLess(then.getDurableWritesList(), now.getDurableWritesList())
                && notLess(then.getReadsList(), now.getReadsList())
                && now.getWrittenBytes() >= then.getWrittenBytes();
    }

    private static boolean notLess(List<Long> then, List<Long> now) {
        if (then.size() != now.size()) {
            return false;
        }
        for (int i = 0; i < now.size(); i++) {
            if (now.get(i) < then.get(i)) {
                return false;
            }
        }
        return true;
    }

    private static List<Long> difference(List<Long> now, List<Long> then) {
        List<Long> difference = new ArrayList<>();
        for (int i = 0; i < now.size(); i++) {
            difference.add(now.get(i) - then.get(i));
        }
        return difference;
    }

    private static List<Long> sum(List<Long> a, List<Long> b) {
        List<Long> sum = new ArrayList<>();
        for (int i = 0; i < Math.min(a.size(), b.size()); i++) {
            sum.add(a.get(i) + b.get(i));
        }
        return sum;
    }

    private static long total(List<Long> counts) {
        return counts.stream().mapToLong(Long::longValue).sum();
    }

    /** Between two bounds in equal steps; the last bound for what is beyond it. Null: nothing happened. */
    static @Nullable Double quantile(List<Long> counts, List<Long> boundsNanos, double part) {
        long total = total(counts);
        if (total == 0 || boundsNanos.isEmpty()) {
            return null;
        }
        double wanted = Math.max(1, total * part);
        long passed = 0;
        for (int i = 0; i < boundsNanos.size(); i++) {
            long here = counts.get(i);
            if (here > 0 && passed + here >= wanted) {
                double low = i == 0 ? 0 : boundsNanos.get(i - 1);
                double high = boundsNanos.get(i);
                return (low + (high - low) * (wanted - passed) / here) / 1000;
            }
            passed += here;
        }
        return boundsNanos.getLast() / 1000.0;
    }
}
