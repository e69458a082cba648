package io.terminus.benchmarks.data;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * {@code kill -9} of a writer while its replica stands still, so that there is journal the replica has not acknowledged; then both go on, and
 * what the writer's next process sends until the replica has everything is held against what was not acknowledged at the kill. The
 * replica may have had some of that in its socket, and then less is sent.
 */
final class SentAgain {

    private static final long SIZE_BYTES = 256L << 20;
    private static final int CLIENT_BYTES = 16 << 20;
    private static final int WAIT_SECONDS = 20;

    /** Longer than two looks at a status that does not change take, shorter than the silence that costs a replica its place. */
    private static final int STILL_MILLIS = 300;

    private static final List<String> SENT =
            List.of("terminus_peer_run_bytes_total", "terminus_peer_copy_sent_bytes_total");

    private SentAgain() {}

    static void measure(Report report, Workshop workshop, Terminus terminus, Front front, int rounds)
            throws IOException, InterruptedException {
        double[] ratios = new double[rounds];
        double[] missing = new double[rounds];
        for (int round = 0; round < rounds; round++) {
            once(report, workshop, terminus, front, round, ratios, missing);
        }
        report.figure("failover.not-acknowledged", Rounds.median(missing) / 1e6, "MB at the kill");
        report.figure("failover.sent-again", Rounds.median(ratios), "x unacknowledged bytes", Goal.atMost(1.05));
        report.figure("failover.sent-again.worst", Arrays.stream(ratios).max().orElseThrow(), "x");
    }

    private static void once(
            Report report,
            Workshop workshop,
            Terminus terminus,
            Front front,
            int round,
            double[] ratios,
            double[] missing)
            throws IOException, InterruptedException {
        String volume = "s" + ProcessHandle.current().pid() + "-" + round;
        Terminus.Agent writer = terminus.agent("resent-writer-" + round);
        Terminus.Agent replica = terminus.agent("resent-replica-" + round);
        Terminus.awaitServing(writer);
        Terminus.awaitServing(replica);
        Terminus.create(writer, volume, SIZE_BYTES, AckLevel.RECEIVED, Failover.MANUAL, 0, replica);
        Contender ours = new Contender("terminus", writer.uri(front, volume), List.of(writer.process()));
        Fio fio = new Fio(workshop);
        var unused = fio.run(ours, "--rw=write", "--bs=64k", "--iodepth=32", "--size=" + CLIENT_BYTES);
        Terminus.awaitApplied(writer, volume);

        replica.process().pause();
        CompletableFuture<Void> client = endsWithTheWriter(fio, ours);
        VolumeStatus last = standsStill(writer, volume);
        writer.process().kill();
        writer.channel().shutdownNow();
        replica.process().resume();
        ended(client);
        Terminus.Agent again = terminus.again(writer);
        Terminus.awaitServing(again);
        Terminus.awaitInSync(again, volume);
        Terminus.awaitApplied(again, volume);

        long notAcknowledged = end(last, writer) - end(last, replica);
        double sent = sentBytes(again, volume);
        missing[round] = notAcknowledged;
        ratios[round] = sent / notAcknowledged;
        report.progress(
                "resent %d: %,d bytes were not acknowledged, %,.0f sent again: %.3f x",
                round, notAcknowledged, sent, ratios[round]);
        Terminus.kill(again);
        Terminus.kill(replica);
    }

    /** Writes more than is let through while nobody acknowledges. */
    private static CompletableFuture<Void> endsWithTheWriter(Fio fio, Contender ours) {
        return CompletableFuture.runAsync(() -> {
            try {
                var unused = fio.run(ours, "--rw=write", "--bs=64k", "--iodepth=64", "--size=" + SIZE_BYTES);
            } catch (IOException e) {
                // As it has to.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    private static void ended(CompletableFuture<Void> client) throws IOException, InterruptedException {
        try {
            client.get(WAIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | java.util.concurrent.TimeoutException e) {
            throw new IOException("the client of the killed writer does not end", e);
        }
    }

    /** Clients wait for a replica that does not answer, so the journal's end stops moving: that is what was not acknowledged. */
    private static VolumeStatus standsStill(Terminus.Agent writer, String volume)
            throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS);
        VolumeStatus before = Terminus.volume(writer, volume);
        while (System.nanoTime() < deadline) {
            Thread.sleep(STILL_MILLIS);
            VolumeStatus now = Terminus.volume(writer, volume);
            if (end(now, writer) > now.getCommitted() && end(now, writer) == end(before, writer)) {
                return now;
            }
            before = now;
        }
        throw new IOException("the journal of " + volume + " does not come to a halt while its replica stands still");
    }

    private static long end(VolumeStatus status, Terminus.Agent agent) {
        return status.getReplicasList().stream()
                .filter(one -> one.getAgent().equals(agent.name()))
                .mapToLong(ReplicaStatus::getReceived)
                .findFirst()
                .orElseThrow();
    }

    /** By this process, of the journal and of copies; the record that begins its term is among them. */
    private static double sentBytes(Terminus.Agent agent, String volume) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(
                        URI.create("http://127.0.0.1:" + agent.httpPort() + "/actuator/prometheus"))
                .build();
        HttpResponse<String> said;
        try (HttpClient client = HttpClient.newHttpClient()) {
            said = client.send(request, HttpResponse.BodyHandlers.ofString());
        }
        if (said.statusCode() != 200) {
            throw new IOException(request.uri() + " was answered with " + said.statusCode());
        }
        double sum = 0;
        for (String name : SENT) {
            sum += counter(said.body(), name, volume);
        }
        return sum;
    }

    /** Over all peers. */
    static double counter(String metrics, String name, String volume) throws IOException {
        Matcher samples = Pattern.compile(
                        "^" + Pattern.quote(name) + "\\{[^}]*volume=\"" + Pattern.quote(volume) + "\"[^}]*} (\\S+)$",
                        Pattern.MULTILINE)
                .matcher(metrics);
        if (!samples.find()) {
            throw new IOException("there is no " + name + " of " + volume);
        }
        double sum = 0;
        do {
            sum += Double.parseDouble(samples.group(1));
        } while (samples.find());
        return sum;
    }
}
