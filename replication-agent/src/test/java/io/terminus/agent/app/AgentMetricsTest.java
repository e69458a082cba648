package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.terminus.agent.volume.Agents;
import io.terminus.agent.volume.RefusedException;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What Prometheus is shown of a volume with two replicas, after a few requests. */
class AgentMetricsTest {

    private static final int WRITE_BYTES = 4_096;

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void twoAgents() throws Exception {
        agents = new Agents(temp, 4 << 20, 16L << 20);
        agents.start("a", "b");
    }

    @AfterEach
    void stop() throws IOException {
        agents.close();
    }

    @Test
    void requestsAreCountedByWhatTheyWaitedFor() throws Exception {
        threeWritesAReadAndAFlush();

        Map<String, Double> a = shown("a");

        assertThat(a)
                .containsEntry("terminus_volume_request_seconds{request=write,volume=v}", 3.0)
                .containsEntry("terminus_volume_request_seconds{request=durable-write,volume=v}", 1.0)
                .containsEntry("terminus_volume_request_seconds{request=read,volume=v}", 1.0)
                .containsEntry("terminus_volume_capture_seconds{volume=v}", 4.0)
                .containsEntry("terminus_volume_payload_bytes{request=write,volume=v}", 3.0 * WRITE_BYTES)
                .containsEntry("terminus_volume_payload_bytes{request=read,volume=v}", 1.0 * WRITE_BYTES)
                .containsEntry("terminus_nbd_clients{volume=v}", 7.0)
                .containsEntry("terminus_nbd_requests_in_flight{volume=v}", 8.0);
    }

    @Test
    void everyByteIsCountedWhereItIsCopied() throws Exception {
        threeWritesAReadAndAFlush();

        Map<String, Double> a = shown("a");
        Map<String, Double> b = shown("b");

        for (String place : new String[] {"receive", "stage", "journal", "apply"}) {
            assertThat(a)
                    .containsEntry("terminus_volume_copied_bytes{place=" + place + ",volume=v}", 3.0 * WRITE_BYTES);
        }
        double journal = Objects.requireNonNull(a.get("terminus_journal_used_bytes{volume=v}"));
        assertThat(a)
                .containsEntry("terminus_volume_copied_bytes{place=send,volume=v}", journal)
                .containsEntry("terminus_peer_run_bytes{peer=b,volume=v}", journal)
                .containsEntry("terminus_peer_runs{path=region,peer=b,volume=v}", 0.0);
        assertThat(a.get("terminus_volume_copies_per_byte{volume=v}"))
                .isEqualTo((4.0 * 3 * WRITE_BYTES + journal) / (3.0 * WRITE_BYTES));
        assertThat(b)
                .containsEntry("terminus_volume_landed_bytes{volume=v}", journal)
                .containsEntry("terminus_volume_copied_bytes{place=journal,volume=v}", journal)
                .containsEntry("terminus_volume_copied_bytes{place=apply,volume=v}", 3.0 * WRITE_BYTES);
    }

    @Test
    void whatTheVolumeIsAtIsShown() throws Exception {
        threeWritesAReadAndAFlush();

        Map<String, Double> a = shown("a");
        Map<String, Double> b = shown("b");

        assertThat(a)
                .containsEntry("terminus_volume_role{role=writer,volume=v}", 1.0)
                .containsEntry("terminus_volume_role{role=replica,volume=v}", 0.0)
                .containsEntry("terminus_volume_term{volume=v}", 1.0)
                .containsEntry("terminus_volume_in_sync_members{volume=v}", 2.0)
                .containsEntry("terminus_volume_replicas{volume=v}", 2.0)
                .containsEntry("terminus_volume_copies_needed{volume=v}", 2.0)
                .containsEntry("terminus_volume_failed{volume=v}", 0.0)
                .containsEntry("terminus_volume_sync_failures{volume=v}", 0.0)
                .containsEntry("terminus_volume_election_seconds{outcome=won,volume=v}", 1.0)
                .containsEntry("terminus_volume_election_seconds{outcome=lost,volume=v}", 0.0)
                .containsEntry("terminus_journal_budget_bytes{volume=v}", (double) (16 << 20))
                .containsEntry("terminus_journal_unapplied_bytes{volume=v}", 0.0)
                .containsEntry("terminus_peer_connected{peer=b,volume=v}", 1.0)
                .containsEntry("terminus_peer_in_sync{peer=b,volume=v}", 1.0)
                .containsEntry("terminus_peer_lag_bytes{peer=b,volume=v}", 0.0)
                .containsEntry("terminus_peer_lag_seconds{peer=b,volume=v}", 0.0);
        assertThat(a.get("terminus_journal_sync_seconds{volume=v}")).isPositive();
        assertThat(a.get("terminus_volume_apply_seconds{volume=v}")).isPositive();
        assertThat(a.get("terminus_peer_ack_seconds{peer=b,volume=v}"))
                .isPositive()
                .isLessThanOrEqualTo(a.get("terminus_peer_runs{path=gathered,peer=b,volume=v}"));
        assertThat(a.get("terminus_peer_forward_seconds{peer=b,volume=v}")).isPositive();
        assertThat(b)
                .containsEntry("terminus_volume_role{role=replica,volume=v}", 1.0)
                .doesNotContainKey("terminus_peer_connected{peer=a,volume=v}");
    }

    @Test
    void refusalsAndErrorsAreCounted() throws Exception {
        assertThatThrownBy(() -> agents.volume("b").seal(0, 1, Long.MAX_VALUE, "x"))
                .isInstanceOf(RefusedException.class);
        agents.volume("a").measures().clientError("ENOSPC");

        assertThat(shown("b")).containsEntry("terminus_volume_fence_refusals{volume=v}", 1.0);
        assertThat(shown("a"))
                .containsEntry("terminus_volume_fence_refusals{volume=v}", 0.0)
                .containsEntry("terminus_nbd_errors{errno=ENOSPC,volume=v}", 1.0);
    }

    @Test
    void theMetricsOfAPeerAndOfAVolumeGoWithThem() throws Exception {
        threeWritesAReadAndAFlush();

        agents.volume("a").removeReplica("b", Duration.ofSeconds(60));
        agents.volumes("b").delete("v");

        await().atMost(Duration.ofSeconds(60))
                .untilAsserted(
                        () -> assertThat(shown("a").keySet()).isNotEmpty().noneMatch(name -> name.contains("peer=b")));
        assertThat(shown("b")).isEmpty();
    }

    private void threeWritesAReadAndAFlush() throws Exception {
        Agents.Client client = agents.client("a");
        byte[] bytes = new byte[WRITE_BYTES];
        Arrays.fill(bytes, (byte) 1); // zeros would not be copied
        for (int i = 0; i < 3; i++) {
            client.writeAndAwait((long) i * WRITE_BYTES, bytes);
        }
        client.read(0, WRITE_BYTES);
        client.flushAndAwait();
        agents.awaitAllApplied("a", "b");
        // Heard of by the writer too, and counted.
        await().atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(shown("a"))
                        .containsEntry("terminus_volume_request_seconds{request=durable-write,volume=v}", 1.0)
                        .containsEntry("terminus_volume_copied_bytes{place=apply,volume=v}", 3.0 * WRITE_BYTES));
        await().atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(shown("b"))
                        .containsEntry("terminus_volume_copied_bytes{place=apply,volume=v}", 3.0 * WRITE_BYTES));
    }

    /** Values by name and labels; of histograms the count. */
    private Map<String, Double> shown(String agent) {
        Map<String, Double> shown = new TreeMap<>();
        for (MetricSnapshot family : new AgentMetrics(agents.volumes(agent), v -> 7, v -> 8).collect()) {
            String name = family.getMetadata().getName();
            switch (family) {
                case GaugeSnapshot gauge ->
                    gauge.getDataPoints().forEach(p -> shown.put(name + text(p.getLabels()), p.getValue()));
                case CounterSnapshot counter ->
                    counter.getDataPoints().forEach(p -> shown.put(name + text(p.getLabels()), p.getValue()));
                case HistogramSnapshot histogram ->
                    histogram
                            .getDataPoints()
                            .forEach(p -> shown.put(name + text(p.getLabels()), (double) p.getCount()));
                default -> throw new AssertionError("a family that is none of these: " + family);
            }
        }
        return shown;
    }

    private static String text(Labels labels) {
        return labels.stream()
                .map(l -> l.getName() + "=" + l.getValue())
                .sorted()
                .toList()
                .toString()
                .replace("[", "{")
                .replace("]", "}")
                .replace(", ", ",");
    }
}
