package io.terminus.lockmgr.agents;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.terminus.lockmgr.agents.ReplicationViews.Said;
import io.terminus.proto.agent.v1.ClientRequests;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.util.List;
import org.junit.jupiter.api.Test;

class HistoryTest {

    private static final long SECOND = 1_000_000_000L;

    private final History history = new History();

    @Test
    void aPointIsWhatHappenedSinceTheLookBefore() {
        history.add(said(SECOND, 0, 10, 0, 5), 1000);
        history.add(said(3 * SECOND, 100, 110, 4096, 7), 3000);

        Sample point = history.points().getLast();

        assertThat(point.atMillis()).isEqualTo(3000);
        assertThat(point.writesPerSecond()).isEqualTo(100);
        assertThat(point.writtenBytesPerSecond()).isEqualTo(2048);
        assertThat(point.writeP50Micros()).isCloseTo(10, within(0.001));
        assertThat(point.writeP99Micros()).isCloseTo(19.8, within(0.001));
        assertThat(point.lagBytes()).isEqualTo(7);
    }

    @Test
    void countersThatBeganAnewGiveNoRates() {
        history.add(said(SECOND, 50, 50, 4096, 0), 1000);
        history.add(said(2 * SECOND, 0, 0, 0, 3), 2000);

        Sample point = history.points().getLast();

        assertThat(point.writesPerSecond()).isNull();
        assertThat(point.writeP99Micros()).isNull();
        assertThat(point.lagBytes()).isEqualTo(3);
    }

    @Test
    void whatWasSaidBeforeIsNoNews() {
        history.add(said(SECOND, 0, 0, 0, 0), 1000);
        history.add(said(SECOND, 0, 0, 0, 0), 2000);

        assertThat(history.points()).hasSize(1);
    }

    @Test
    void timesWithoutAWriterAreAGap() {
        history.add(said(SECOND, 0, 0, 0, 0), 1000);
        history.add(null, 2000);
        history.add(null, 3000);

        assertThat(history.points()).hasSize(3);
        assertThat(history.points().getLast()).isEqualTo(new Sample(3000, null, null, null, null, null, null));
    }

    @Test
    void onlyTheLastPointsAreKept() {
        for (int i = 0; i < History.POINTS + 10; i++) {
            history.add(null, i);
        }

        assertThat(history.points()).hasSize(History.POINTS);
        assertThat(history.points().getFirst().atMillis()).isEqualTo(10);
    }

    @Test
    void quantilesLieBetweenTheBoundsOfTheirCount() {
        List<Long> bounds = List.of(10_000L, 20_000L);

        assertThat(History.quantile(List.of(0L, 0L, 0L), bounds, 0.5)).isNull();
        assertThat(History.quantile(List.of(0L, 10L, 0L), bounds, 0.5)).isEqualTo(15);
        assertThat(History.quantile(List.of(0L, 0L, 3L), bounds, 0.99)).isEqualTo(20);
    }

    /** Bounds of 10 and 20 us; as many writes below each. */
    private static Said said(long atNanos, long fast, long slow, long bytes, long lagBytes) {
        return new Said(
                VolumeStatus.newBuilder()
                        .setRole(Role.WRITER)
                        .addReplicas(ReplicaStatus.newBuilder().setLagBytes(lagBytes))
                        .setRequests(ClientRequests.newBuilder()
                                .addAllBoundsNanos(List.of(10_000L, 20_000L))
                                .addAllWrites(List.of(fast, 0L, 0L))
                                .addAllDurableWrites(List.of(0L, slow, 0L))
                                .addAllReads(List.of(0L, 0L, 0L))
                                .setWrittenBytes(bytes))
                        .build(),
                atNanos);
    }
}
