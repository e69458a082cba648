package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What an operator does to a volume that is in use, and goes by: declared volumes, names of metrics in alert rules and dashboard. */
@ExtendWith(TellsTime.class)
class OperationsIT {

    @RegisterExtension
    static final SharedSet SET = new SharedSet("64MiB", Map.of());

    private static final int PATIENCE_MILLIS = 60_000;

    /** Metrics of ours and of the JVM, with what a histogram adds to a name. */
    private static final Pattern METRIC = Pattern.compile("\\b(?:terminus|jvm|process)_[a-z0-9_]+[a-z0-9]");

    /** Only a set with keys has the former (SecureSetIT), only a group of lock managers the latter (ClusterNodeTest). */
    private static final Set<String> OF_OTHER_SETS = Set.of(
            "terminus_tls_expires_in_seconds",
            "terminus_tls_lifetime_seconds",
            "terminus_group_leads",
            "terminus_group_lag");

    @Test
    @NeedsClients("qemu-io")
    void blocksThatRottedAtAReplicaAreFoundAndMended() throws IOException {
        LiveSet set = SET.get();
        qemuIo(set, "write -P 0xab 0 8M", "flush");
        set.compareImages();
        try (RandomAccessFile image =
                new RandomAccessFile(set.image(set.replica()).toFile(), "rw")) {
            image.seek(5 * 4096 + 17);
            image.write(7);
        }

        try (Program verify = set.command("verify", "demo", "--json")) {
            assertThat(verify.exitCode()).isEqualTo(1);
            JsonNode found = last(verify.output());
            assertThat(found.path("phase").asString()).isEqualTo("complete");
            assertThat(found.path("differingBlocks").asLong()).isEqualTo(1);
            assertThat(found.path("differing").path(0).path("offset").asLong()).isEqualTo(5 * 4096);
        }
        try (Program status = set.command("status")) {
            assertThat(status.succeed()).contains("1 blocks of 4 KiB differ");
        }
        assertThat(set.terminus("verify", "demo", "--repair")).contains("1 block differs, 1 mended");
        assertThat(set.terminus("verify", "demo", "--peer", set.replica())).contains("nothing differs");
        set.compareImages();
    }

    @Test
    @NeedsClients({"qemu-io", "qemu-img"})
    void aVolumeGrowsUnderItsClientsWhoSeeItWhenTheyConnectAnew() {
        LiveSet set = SET.get();
        long before = set.volume().path("sizeBytes").asLong();
        long more = before + (16 << 20);

        set.terminus("volume", "resize", "demo", Long.toString(more));

        JsonNode info = JsonMapper.shared()
                .readTree(Program.run(set.folder(), "qemu-img", "info", "-f", "raw", "--output=json", set.uri()));
        assertThat(info.path("virtual-size").asLong()).isEqualTo(more);
        qemuIo(set, "write -P 0x11 " + (more - 4096) + " 4096", "flush");
        try (Program less = set.command("volume", "resize", "demo", Long.toString(before))) {
            assertThat(less.exitCode()).isEqualTo(1);
            assertThat(less.output()).contains("only grows");
        }
        set.compareImages();
    }

    @Test
    void theRuleForAcknowledgementsChangesWhileTheVolumeIsInUse() {
        LiveSet set = SET.get();

        assertThat(set.terminus("volume", "set", "demo", "--ack-level", "durable", "--min-copies", "2"))
                .contains("level durable");
        assertThat(set.volume().path("ackLevel").asString()).isEqualTo("durable");
        try (Program wrong = set.command("volume", "set", "demo", "--copies", "3")) {
            assertThat(wrong.exitCode()).isEqualTo(1);
            assertThat(wrong.output()).contains("copies 3", "0 to 2");
        }
        set.terminus("volume", "set", "demo", "--ack-level", "received", "--copies", "0", "--min-copies", "1");

        assertThat(set.volume().path("ackLevel").asString()).isEqualTo("received");
    }

    @Test
    void copiesAreLimitedOverRestAsWell() throws IOException, InterruptedException {
        LiveSet set = SET.get();

        HttpResponse<String> limited = change(set, "{\"copyLimit\": 20971520}");
        String shown = set.terminus("peer", "throttle", "demo");
        HttpResponse<String> tooLow = change(set, "{\"copyLimit\": 1}");
        HttpResponse<String> free = change(set, "{\"copyLimit\": 0}");

        assertThat(limited.statusCode()).isEqualTo(200);
        assertThat(shown).contains("Agent " + set.writer() + " copies demo at no more than 20 MiB/s.");
        assertThat(tooLow.statusCode()).isEqualTo(400);
        assertThat(tooLow.body()).contains("copy limit of 1", "40960");
        assertThat(free.statusCode()).isEqualTo(200);
    }

    /** What the writer's REST says to it. */
    private static HttpResponse<String> change(LiveSet set, String body) throws IOException, InterruptedException {
        String rest = set.status()
                .path("processes")
                .valueStream()
                .filter(process -> process.path("name").asString().equals(set.writer()))
                .findFirst()
                .orElseThrow()
                .path("endpoints")
                .path("rest")
                .asString();
        try (HttpClient client = HttpClient.newHttpClient()) {
            return client.send(
                    HttpRequest.newBuilder(URI.create("http://" + rest + "/api/v1/volumes/demo"))
                            .method("PATCH", BodyPublishers.ofString(body))
                            .header("Content-Type", "application/json")
                            .build(),
                    BodyHandlers.ofString());
        }
    }

    @Test
    @NeedsClients("qemu-io")
    void aDemotedVolumeWaitsForAPromotion() {
        LiveSet set = SET.get();
        String writer = set.writer();
        String other = set.replica();
        qemuIo(set, "write -P 0x22 0 1M");

        set.terminus("volume", "demote", "demo");

        assertThat(set.volume().path("nbd").isNull()).isTrue();
        assertThat(set.volume().path("detail").asString()).startsWith("demoted");
        set.terminus("volume", "promote", "demo", "--agent", other);
        assertThat(set.writer()).isEqualTo(other).isNotEqualTo(writer);
        qemuIo(set, "read -P 0x22 0 1M");
        set.awaitInSync();
    }

    @Test
    void aDeletedVolumeIsGoneAlsoWhereAnAgentWasAwayAndItsNameIsFree() {
        LiveSet set = SET.get();
        String writer = set.writer();
        String away = set.replica();
        List<Path> files =
                List.of(set.data("a").resolve("volumes/extra"), set.data("b").resolve("volumes/extra"));
        set.terminus("volume", "create", "extra", "--size", "8MiB", "--agent", writer);
        await().atMost(LiveSet.PATIENCE)
                .until(() -> !set.volume("extra").path("nbd").isNull());
        set.kill(away);

        try (Program delete = set.command("volume", "delete", "extra", "--json")) {
            assertThat(JsonMapper.shared()
                            .readTree(delete.succeed())
                            .path("unreached")
                            .path(0)
                            .asString())
                    .isEqualTo(away);
        }
        set.repair();

        await().atMost(LiveSet.PATIENCE).until(() -> files.stream().noneMatch(Files::exists));
        set.terminus("volume", "create", "extra", "--size", "16MiB", "--agent", writer);
        assertThat(set.volume("extra").path("sizeBytes").asLong()).isEqualTo(16 << 20);
        await().atMost(LiveSet.PATIENCE)
                .until(() -> !set.volume("extra").path("nbd").isNull());
        set.terminus("volume", "delete", "extra");
        assertThat(files).noneMatch(Files::exists);
    }

    @Test
    void declaredVolumesAreMadeThenChangedThenLeftAlone() throws IOException {
        LiveSet set = SET.get();
        Path file = set.folder().resolve("volumes.json");
        Files.writeString(file, """
                {"volumes": [{"name": "demo", "size": "64MiB", "replicas": ["a", "b"]},
                             {"name": "books", "size": "8MiB", "replicas": ["b"]}]}
                """);

        assertThat(set.terminus("volume", "apply", file.toString()))
                .contains("demo is as declared", "The volume books of 8 MiB exists; agent b writes first.");
        Files.writeString(file, """
                {"volumes": [{"name": "books", "size": "12MiB", "replicas": ["b", "a"], "ackLevel": "durable"}]}
                """);
        assertThat(set.terminus("volume", "apply", file.toString()))
                .contains("books has 12 MiB now", "is acknowledged as declared now", "has a replica at agent a now");
        assertThat(set.terminus("volume", "apply", file.toString()).strip())
                .isEqualTo("books is as declared; agent b serves it.");

        await().atMost(LiveSet.PATIENCE).until(() -> {
            JsonNode books = set.volume("books");
            return books.path("replicas")
                            .valueStream()
                            .filter(replica -> replica.path("inSync").asBoolean())
                            .count()
                    == 2;
        });
        assertThat(set.volume("books").path("sizeBytes").asLong()).isEqualTo(12 << 20);
        assertThat(set.volume("books").path("ackLevel").asString()).isEqualTo("durable");
        Files.writeString(file, """
                {"volumes": [{"name": "books", "size": "4MiB", "replicas": ["b", "c"]}]}
                """);
        try (Program unknown = set.command("volume", "apply", file.toString())) {
            assertThat(unknown.exitCode()).isEqualTo(1);
            assertThat(unknown.output()).contains("volume books names agent 'c'", "call themselves [a, b]");
        }
        Files.writeString(file, "{\"volumes\": [{\"name\": \"books\", \"size\": \"4MiB\", \"replicas\": [\"b\"]}]}");
        try (Program smaller = set.command("volume", "apply", file.toString())) {
            assertThat(smaller.exitCode()).isEqualTo(1);
            assertThat(smaller.output()).contains("more than the 4 MiB that are declared: a volume does not shrink");
        }
        Files.writeString(file, """
                {"volumes": [{"name": "books", "size": "16MiB", "replicas": ["b"], "failover": "automatic"}]}
                """);
        try (Program otherFailover = set.command("volume", "apply", file.toString())) {
            assertThat(otherFailover.exitCode()).isEqualTo(1);
            assertThat(otherFailover.output()).contains("has failover manual, and automatic is declared");
        }
        assertThat(set.volume("books").path("sizeBytes").asLong())
                .as("nothing is changed by what is refused")
                .isEqualTo(12 << 20);
        set.terminus("volume", "delete", "books");
    }

    @Test
    void everyMetricThatAnAlertOrAPanelGoesByIsExported() throws IOException {
        LiveSet set = SET.get();
        set.terminus("verify", "demo"); // what is compared is shown from then on
        JsonNode status = set.status();
        readPastTheEnd(status); // and errors from the first one on
        Path chart = LiveSet.module().resolve("../helm/terminus/files").normalize();

        Set<String> exported = names(LiveSet.metricsOfAll(status));
        exported.addAll(OF_OTHER_SETS);

        for (String file : new String[] {"rules/terminus.yaml", "dashboards/terminus.json"}) {
            Set<String> used = names(Files.readString(chart.resolve(file)));
            assertThat(used).as("metrics in %s", file).hasSizeGreaterThan(10);
            assertThat(exported).as("what services export, for %s", file).containsAll(used);
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void aProfileSaysWhatWritesTookInEachStageAtBothAgents() {
        LiveSet set = SET.get();
        try (AckedWrites writes = AckedWrites.start(set)) {
            JsonNode reports = JsonMapper.shared().readTree(set.terminus("profile", "--seconds", "2", "--json"));
            writes.stop();

            assertThat(stages(reports, set.writer()))
                    .contains("capture and copying", "forward to peers", "ack from peers", "apply", "fdatasync");
            assertThat(stages(reports, set.replica())).contains("apply", "fdatasync");
        }
    }

    /** Those that were timed. */
    private static List<String> stages(JsonNode reports, String process) {
        return reports.valueStream()
                .filter(report -> report.path("process").asString().equals(process))
                .flatMap(report -> report.path("rows").valueStream())
                .filter(row -> row.path("count").asLong() > 0)
                .map(row -> row.path("area").asString())
                .toList();
    }

    @Test
    void aWatchedStatusIsALineOfJsonForEachChange() {
        LiveSet set = SET.get();
        try (Program watch = set.command("status", "--watch", "--json")) {
            await().atMost(LiveSet.PATIENCE).until(() -> !watch.output().isBlank());

            set.terminus("volume", "create", "seen", "--size", "8MiB");

            await().atMost(LiveSet.PATIENCE).until(() -> whole(watch.output()).contains("\"seen\""));
            assertThat(whole(watch.output()).lines())
                    .allSatisfy(line -> assertThat(JsonMapper.shared()
                                    .readTree(line)
                                    .path("volumes")
                                    .isArray())
                            .isTrue());
        }
        set.terminus("volume", "delete", "seen", "--force");
    }

    /** Without a line that is being written. */
    private static String whole(String output) {
        return output.substring(0, output.lastIndexOf('\n') + 1);
    }

    private static void readPastTheEnd(JsonNode status) throws IOException {
        JsonNode demo = status.path("volumes")
                .valueStream()
                .filter(volume -> volume.path("name").asString().equals("demo"))
                .findFirst()
                .orElseThrow();
        URI uri = URI.create(demo.path("nbd").asString());
        try (NbdConnection client =
                NbdConnection.open(new InetSocketAddress(uri.getHost(), uri.getPort()), "demo", PATIENCE_MILLIS)) {
            client.send(NbdConnection.READ, 0, 1, demo.path("sizeBytes").asLong(), 4096, new byte[0]);
            assertThat(client.receive(PATIENCE_MILLIS).error()).isNotZero();
            client.disconnect();
        }
    }

    private static Set<String> names(String text) {
        return METRIC.matcher(text)
                .results()
                .map(result -> result.group())
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static void qemuIo(LiveSet set, String... commands) {
        String[] all = new String[4 + 2 * commands.length];
        all[0] = "qemu-io";
        all[1] = "-f";
        all[2] = "raw";
        for (int i = 0; i < commands.length; i++) {
            all[3 + 2 * i] = "-c";
            all[4 + 2 * i] = commands[i];
        }
        all[all.length - 1] = set.uri();
        assertThat(Program.run(set.folder(), all)).doesNotContain("verification failed");
    }

    private static JsonNode last(String lines) {
        List<String> all = lines.lines().toList();
        return JsonMapper.shared().readTree(all.getLast());
    }
}
