package io.terminus.agent.app;

import io.prometheus.metrics.model.registry.MultiCollector;
import io.prometheus.metrics.model.snapshots.ClassicHistogramBuckets;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.CounterSnapshot.CounterDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot.HistogramDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import io.terminus.agent.volume.CopyProgress;
import io.terminus.agent.volume.Durations;
import io.terminus.agent.volume.Role;
import io.terminus.agent.volume.VerifyProgress;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeMeasures;
import io.terminus.agent.volume.VolumeMeasures.Copied;
import io.terminus.agent.volume.VolumeMeasures.ElectionOutcome;
import io.terminus.agent.volume.Volumes;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.ToIntFunction;

/**
 * What Prometheus is shown of the volumes here. Made when it is asked for, out of what the data path counts and what the
 * volumes' status says: so a volume, or a peer, that goes takes its metrics along, and between two scrapes nothing is done.
 * docs/operations.md says what each means.
 */
final class AgentMetrics implements MultiCollector {

    private static final double NANOS = 1e-9;
    private static final double[] BOUNDS_SECONDS = bounds();

    private final Volumes volumes;
    private final ToIntFunction<String> clients;
    private final ToIntFunction<String> requestsInFlight;

    /**
     * @param clients of a volume
     * @param requestsInFlight of a volume's clients
     */
    AgentMetrics(Volumes volumes, ToIntFunction<String> clients, ToIntFunction<String> requestsInFlight) {
        this.volumes = volumes;
        this.clients = clients;
        this.requestsInFlight = requestsInFlight;
    }

    private static double[] bounds() {
        long[] nanos = Durations.boundsNanos();
        double[] bounds = new double[nanos.length + 1];
        for (int i = 0; i < nanos.length; i++) {
            bounds[i] = nanos[i] / 1e9; // divided, not multiplied: 1e-5 is to be written as that
        }
        bounds[nanos.length] = Double.POSITIVE_INFINITY;
        return bounds;
    }

    @Override
    public MetricSnapshots collect() {
        Families families = new Families();
        for (Volume volume : volumes.all()) {
            one(volume, families);
        }
        return families.snapshots();
    }

    private void one(Volume volume, Families families) {
        Volume.Status status = volume.status();
        VolumeMeasures measures = volume.measures();
        String name = volume.name();
        Labels labels = Labels.of("volume", name);
        state(status, labels, families);
        journal(volume, measures, labels, families);
        latencies(measures, labels, families);
        bytes(measures, labels, families);
        for (Volume.ReplicaStatus replica : status.replicas()) {
            families.gauge(
                    "terminus_replica_differing_blocks",
                    "Blocks of 4 KiB that the last comparison found to differ from the writer's, and left so",
                    labels.merge(Labels.of("replica", replica.agent())),
                    replica.differingBlocks());
            if (!replica.agent().equals(volumes.agent())) {
                peer(volume, replica, labels.merge(Labels.of("peer", replica.agent())), families);
            }
        }
        families.gauge("terminus_nbd_clients", "Clients that use the volume here", labels, clients.applyAsInt(name));
        families.gauge(
                "terminus_nbd_requests_in_flight",
                "Requests that are not answered yet",
                labels,
                requestsInFlight.applyAsInt(name));
        for (Map.Entry<String, LongAdder> error : measures.clientErrors().entrySet()) {
            families.counter(
                    "terminus_nbd_errors",
                    "Errors that clients were answered with",
                    labels.merge(Labels.of("errno", error.getKey())),
                    error.getValue().sum());
        }
    }

    private static void state(Volume.Status status, Labels labels, Families families) {
        VolumeConfig config = status.config();
        for (Role role : Role.values()) {
            families.gauge(
                    "terminus_volume_role",
                    "1 for what this agent is for the volume, 0 for what it is not",
                    labels.merge(Labels.of("role", role.name().toLowerCase(Locale.ROOT))),
                    role == status.role() ? 1 : 0);
        }
        families.gauge(
                "terminus_volume_failed",
                "1: the replica here has stopped for good",
                labels,
                status.role() == Role.FAILED ? 1 : 0);
        families.gauge("terminus_volume_term", "The newest term known here", labels, config.term());
        families.gauge(
                "terminus_volume_in_sync_members",
                "Replicas in the in-sync set, the writer among them",
                labels,
                config.inSync().size());
        families.gauge(
                "terminus_volume_replicas",
                "Replicas the volume has, and the in-sync set should",
                labels,
                config.replicas().size());
        families.gauge(
                "terminus_volume_copies_needed", "Copies that an acknowledgement needs", labels, config.copiesNeeded());
        families.gauge("terminus_volume_min_copies", "With fewer members writes stop", labels, config.minCopies());
    }

    private static void journal(Volume volume, VolumeMeasures measures, Labels labels, Families families) {
        Volume.JournalFill fill = volume.journalFill();
        families.gauge("terminus_journal_used_bytes", "Journal held", labels, fill.usedBytes());
        families.gauge("terminus_journal_budget_bytes", "Journal that may be held", labels, fill.budgetBytes());
        families.gauge("terminus_journal_retained_bytes", "Journal held for peers alone", labels, fill.retainedBytes());
        families.gauge("terminus_journal_unsynced_bytes", "Published, not on the disk", labels, fill.unsyncedBytes());
        families.gauge("terminus_journal_unapplied_bytes", "Not in the image yet", labels, fill.unappliedBytes());
        families.durations("terminus_journal_sync_seconds", "fdatasync of the journal", labels, measures.sync());
        families.durations("terminus_image_sync_seconds", "fdatasync of the image", labels, measures.imageSync());
        families.counter(
                "terminus_volume_sync_failures",
                "fdatasyncs of journal or image that failed: final",
                labels,
                measures.syncFailures());
        families.counter(
                "terminus_volume_fence_refusals",
                "What older terms or tokens asked for and did not get",
                labels,
                measures.fenceRefusals());
    }

    private static void latencies(VolumeMeasures measures, Labels labels, Families families) {
        String request = "terminus_volume_request_seconds";
        String requestHelp = "Requests as the client sees them, from their coming to their answer";
        families.durations(request, requestHelp, labels.merge(Labels.of("request", "write")), measures.write());
        families.durations(
                request, requestHelp, labels.merge(Labels.of("request", "durable-write")), measures.durableWrite());
        families.durations(request, requestHelp, labels.merge(Labels.of("request", "read")), measures.read());
        families.durations(
                "terminus_volume_capture_seconds",
                "What one read of a client's socket brought, into the journal",
                labels,
                measures.capture());
        families.durations(
                "terminus_volume_apply_seconds", "One step of writing records to the image", labels, measures.apply());
        for (ElectionOutcome outcome : ElectionOutcome.values()) {
            families.durations(
                    "terminus_volume_election_seconds",
                    "Elections of this agent, from the grant on",
                    labels.merge(Labels.of("outcome", outcome.name().toLowerCase(Locale.ROOT))),
                    measures.elections(outcome));
        }
    }

    private static void bytes(VolumeMeasures measures, Labels labels, Families families) {
        families.counter(
                "terminus_volume_payload_bytes",
                "Payload of requests",
                labels.merge(Labels.of("request", "write")),
                measures.writtenBytes());
        families.counter(
                "terminus_volume_payload_bytes",
                "Payload of requests",
                labels.merge(Labels.of("request", "read")),
                measures.readBytes());
        families.counter(
                "terminus_volume_landed_bytes",
                "Journal that a writer elsewhere has sent here",
                labels,
                measures.landedBytes());
        long copied = 0;
        for (Copied place : Copied.values()) {
            copied += measures.copiedBytes(place);
            families.counter(
                    "terminus_volume_copied_bytes",
                    "Bytes of writes that the CPU has copied",
                    labels.merge(Labels.of("place", place.name().toLowerCase(Locale.ROOT))),
                    measures.copiedBytes(place));
        }
        long moved = measures.writtenBytes() + measures.landedBytes();
        families.gauge(
                "terminus_volume_copies_per_byte",
                "How often the CPU has copied each byte that was written or landed here",
                labels,
                moved == 0 ? 0 : (double) copied / moved);
    }

    private static void peer(Volume volume, Volume.ReplicaStatus replica, Labels labels, Families families) {
        VolumeMeasures.Peer measures = volume.measures().peer(replica.agent());
        families.gauge("terminus_peer_connected", "1: its stream runs", labels, replica.connected() ? 1 : 0);
        families.gauge("terminus_peer_in_sync", "1: in the in-sync set", labels, replica.inSync() ? 1 : 0);
        families.gauge(
                "terminus_peer_lag_bytes",
                "Journal that it has not received; of one that has never been heard, all there is",
                labels,
                volume.lagBytes(replica.received()));
        families.gauge(
                "terminus_peer_lag_seconds",
                "Age of the oldest record that it has not received",
                labels,
                volume.lagNanos(replica.received()) * NANOS);
        families.gauge(
                "terminus_peer_durable_lag_bytes",
                "Journal that it does not have on its disk",
                labels,
                volume.lagBytes(replica.durable()));
        families.durations(
                "terminus_peer_forward_seconds",
                "From the end of a capture to the send; one at a time is watched",
                labels,
                measures.forward());
        families.durations(
                "terminus_peer_ack_seconds",
                "From the send of a run to the peer's word that it has received it",
                labels,
                measures.ack());
        families.counter(
                "terminus_peer_runs",
                "Runs sent",
                labels.merge(Labels.of("path", "gathered")),
                measures.gatheredRuns());
        families.counter(
                "terminus_peer_runs",
                "Runs sent",
                labels.merge(Labels.of("path", "region")),
                measures.runs() - measures.gatheredRuns() - measures.packedRuns());
        families.counter(
                "terminus_peer_runs", "Runs sent", labels.merge(Labels.of("path", "packed")), measures.packedRuns());
        String packed = "terminus_peer_packed_bytes";
        String packedHelp = "Of the runs that were compressed: journal, and what was sent of it";
        families.counter(packed, packedHelp, labels.merge(Labels.of("side", "journal")), measures.packedFromBytes());
        families.counter(packed, packedHelp, labels.merge(Labels.of("side", "wire")), measures.packedToBytes());
        families.counter("terminus_peer_run_bytes", "Journal sent", labels, measures.runBytes());
        families.counter("terminus_peer_copy_items", "Items of copies sent", labels, measures.copyItems());
        families.counter("terminus_peer_copy_sent_bytes", "Bytes of copies sent", labels, measures.copyBytes());
        VerifyProgress verify = replica.verify();
        if (verify != null) {
            families.gauge(
                    "terminus_peer_verify_done_bytes",
                    "Of the last comparison, or the one under way",
                    labels,
                    verify.comparedBytes());
            families.gauge(
                    "terminus_peer_verify_total_bytes",
                    "Of the last comparison, or the one under way",
                    labels,
                    verify.totalBytes());
        }
        CopyProgress copy = replica.copy();
        if (copy != null) {
            families.gauge(
                    "terminus_peer_copy_done_bytes", "Of the copy under way, what it has", labels, copy.copiedBytes());
            families.gauge("terminus_peer_copy_total_bytes", "Of the copy under way", labels, copy.totalBytes());
            families.gauge(
                    "terminus_peer_copy_rate_bytes_per_second",
                    "Of the copy under way, lately",
                    labels,
                    copy.bytesPerSecond());
        }
    }

    /** Data points by the name of their family; a family is there when the first of them is. */
    private static final class Families {
        private final Map<String, GaugeSnapshot.Builder> gauges = new TreeMap<>();
        private final Map<String, CounterSnapshot.Builder> counters = new TreeMap<>();
        private final Map<String, HistogramSnapshot.Builder> histograms = new TreeMap<>();

        void gauge(String name, String help, Labels labels, double value) {
            gauges.computeIfAbsent(name, n -> GaugeSnapshot.builder().name(n).help(help))
                    .dataPoint(GaugeDataPointSnapshot.builder()
                            .labels(labels)
                            .value(value)
                            .build());
        }

        /** @param name without the {@code _total} that it is shown with */
        void counter(String name, String help, Labels labels, long value) {
            counters.computeIfAbsent(
                            name, n -> CounterSnapshot.builder().name(n).help(help))
                    .dataPoint(CounterDataPointSnapshot.builder()
                            .labels(labels)
                            .value(value)
                            .build());
        }

        void durations(String name, String help, Labels labels, Durations durations) {
            histograms
                    .computeIfAbsent(
                            name, n -> HistogramSnapshot.builder().name(n).help(help))
                    .dataPoint(HistogramDataPointSnapshot.builder()
                            .classicHistogramBuckets(ClassicHistogramBuckets.of(BOUNDS_SECONDS, durations.counts()))
                            .sum(durations.sumNanos() * NANOS)
                            .labels(labels)
                            .build());
        }

        MetricSnapshots snapshots() {
            MetricSnapshots.Builder all = MetricSnapshots.builder();
            gauges.values().forEach(g -> all.metricSnapshot(g.build()));
            counters.values().forEach(c -> all.metricSnapshot(c.build()));
            histograms.values().forEach(h -> all.metricSnapshot(h.build()));
            return all.build();
        }
    }
}
