package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;
import tools.jackson.databind.JsonNode;

/** What deployments go by, asked of services that run: declared volumes, and names of metrics in alert rules and dashboard. */
@ExtendWith(TellsTime.class)
class DeploymentIT {

    @RegisterExtension
    static final SharedSet SET = new SharedSet("64MiB", Map.of());

    private static final int PATIENCE_MILLIS = 60_000;

    /** Metrics of ours and of the JVM, with what a histogram adds to a name. */
    private static final Pattern METRIC = Pattern.compile("\\b(?:terminus|jvm|process)_[a-z0-9_]+[a-z0-9]");

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
        set.terminus("volume", "delete", "books");
    }

    @Test
    void everyMetricThatAnAlertOrAPanelGoesByIsExported() throws IOException {
        LiveSet set = SET.get();
        set.terminus("verify", "demo"); // what is compared is shown from then on
        readPastTheEnd(set); // and errors from the first one on
        Path chart = LiveSet.module().resolve("../helm/terminus/files").normalize();

        Set<String> exported = names(set.metrics(set.writer()) + set.metrics(set.replica()) + set.metrics("lockmgr"));

        for (String file : new String[] {"rules/terminus.yaml", "dashboards/terminus.json"}) {
            Set<String> used = names(Files.readString(chart.resolve(file)));
            assertThat(used).as("metrics in %s", file).hasSizeGreaterThan(10);
            assertThat(exported).as("what services export, for %s", file).containsAll(used);
        }
    }

    private static void readPastTheEnd(LiveSet set) throws IOException {
        URI uri = URI.create(set.uri());
        try (NbdConnection client =
                NbdConnection.open(new InetSocketAddress(uri.getHost(), uri.getPort()), "demo", PATIENCE_MILLIS)) {
            client.send(NbdConnection.READ, 0, 1, 64L << 20, 4096, new byte[0]);
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
}
