package io.terminus.lockmgr.app;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.PutValue;
import io.terminus.security.AuditLog;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.context.ConfigurableApplicationContext;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What the console asks of the whole program, with an agent that is a fake. */
class ConsoleRestTest {

    private static final HttpClient HTTP = HttpClient.newHttpClient();

    @TempDir
    static Path directory;

    private static ConfigurableApplicationContext program;
    private static ManagedChannel channel;

    @BeforeAll
    static void start() {
        program = LockManagerApplication.run(
                "--lockmgr.data-dir=" + directory, "--lockmgr.grpc-port=0", "--server.port=0");
        channel = NettyChannelBuilder.forAddress(
                        "127.0.0.1", program.getBean(GrpcServer.class).port())
                .usePlaintext()
                .build();
    }

    @AfterAll
    static void stop() {
        channel.shutdownNow();
        program.close();
    }

    @Test
    void volumesAreShownWithWhatTheirAgentsSay() throws Exception {
        try (FakeAgent agent = new FakeAgent("shown")) {
            replicate(agent, "shown");

            JsonNode overview = get("/overview?name=how");
            JsonNode volume = get("/volumes/shown/overview");

            assertThat(overview.path("mayChange").asBoolean()).isTrue();
            assertThat(overview.path("sessions").asInt()).isPositive();
            assertThat(overview.path("volumes").size()).isEqualTo(1);
            assertThat(overview.path("volumes").path(0)).isEqualTo(volume);
            assertThat(volume.path("held").asInt()).isEqualTo(1);
            assertThat(volume.path("replication").path("health").asString()).isEqualTo("WELL");
            assertThat(volume.path("replication").path("nbdUri").asString()).isEqualTo("nbd://fake/shown");
        }
    }

    @Test
    void pagesOfVolumesFollowOneAnotherAndLockedOnesHaveNoReplicas() throws Exception {
        TestStream stream = open("pages");
        stream.acquired("page-1", 0, 10, Mode.MODE_EX);
        stream.acquired("page-2", 0, 10, Mode.MODE_EX);

        JsonNode first = get("/overview?name=page-&limit=1");
        JsonNode second =
                get("/overview?name=page-&limit=1&after=" + first.path("next").asString());

        assertThat(first.path("volumes").path(0).path("name").asString()).isEqualTo("page-1");
        assertThat(first.path("volumes").path(0).path("replication").isNull()).isTrue();
        assertThat(second.path("volumes").path(0).path("name").asString()).isEqualTo("page-2");
        assertThat(second.path("next").isNull()).isTrue();
    }

    @Test
    void aBlockedWaiterIsInTheMapAndInTheGraph() throws Exception {
        TestStream holder = open("graph/holder");
        TestStream waiter = open("graph/waiter");
        Granted held = holder.acquired("graph", 0, 8192, Mode.MODE_EX);
        waiter.acquire("graph", 4096, 8192, Mode.MODE_PR, 30_000);
        holder.event();

        JsonNode map = get("/volumes/graph/range-map?end=16384&cells=100");
        JsonNode graph = get("/volumes/graph/wait-graph");

        assertThat(map.path("cellBytes").asLong()).isEqualTo(4096);
        assertThat(map.path("held").toString()).isEqualTo("[1,1,0,0]");
        assertThat(map.path("recalled").toString()).isEqualTo("[1,1,0,0]");
        assertThat(map.path("waiting").toString()).isEqualTo("[0,1,0,0]");
        assertThat(graph.path("parties").size()).isEqualTo(2);
        assertThat(graph.path("edges").size()).isEqualTo(1);
        assertThat(graph.path("edges").path(0).path("inTheWayStart").asLong())
                .isEqualTo(held.getRange().getStart());
    }

    @Test
    void plotsBeginWithTheFirstLook() throws Exception {
        try (FakeAgent agent = new FakeAgent("plotted")) {
            replicate(agent, "plotted");

            get("/volumes/plotted/history");

            await().until(() -> !get("/volumes/plotted/history").isEmpty());
            assertThat(get("/volumes/plotted/history").path(0).path("lagBytes").asLong())
                    .isZero();
        }
    }

    @Test
    void agentsAreToldWhatOperatorsWantAndTheLogKnows() throws Exception {
        try (FakeAgent agent = new FakeAgent("told")) {
            replicate(agent, "told");

            HttpResponse<String> refused = send("POST", "/volumes/told/promote?agent=a");
            HttpResponse<String> unknown = send("POST", "/volumes/told/promote?agent=z");
            HttpResponse<String> forced = send("POST", "/volumes/told/promote?agent=a&force=true");
            HttpResponse<String> verify = send("POST", "/volumes/told/verify?repair=true");
            HttpResponse<String> again = send("POST", "/volumes/told/verify");
            HttpResponse<String> stopped = send("DELETE", "/volumes/told/verify");
            HttpResponse<String> demoted = send("POST", "/volumes/told/demote");

            assertThat(refused.statusCode()).isEqualTo(409);
            assertThat(refused.body()).contains("agent a: not in sync");
            assertThat(unknown.statusCode()).isEqualTo(404);
            assertThat(forced.body()).contains("served by a");
            assertThat(verify.statusCode()).isEqualTo(202);
            assertThat(again.statusCode()).isEqualTo(409);
            assertThat(again.body()).contains("is under way: stop it first");
            assertThat(stopped.body()).contains("the comparison was stopped");
            assertThat(demoted.statusCode()).isEqualTo(200);
            await().until(() -> agent.asked.contains("stop verifying"));
            assertThat(agent.asked)
                    .contains("promote told", "promote told by force", "verify told and repair", "demote told");
            List<String> log = Files.readAllLines(directory.resolve(AuditLog.NAME));
            assertThat(log)
                    .anyMatch(line -> line.contains("\"promote\"") && line.contains("agent a: not in sync"))
                    .anyMatch(line -> line.contains("told at a by force") && line.contains("\"done\""))
                    .anyMatch(line -> line.contains("\"demote\""));
        }
    }

    @Test
    void anAgentThatIsNotThereIsSaidToBeSo() throws Exception {
        FakeAgent agent = new FakeAgent("away");
        replicate(agent, "away");
        agent.close();

        await().until(() -> get("/volumes/away/overview")
                .path("replication")
                .path("health")
                .asString()
                .equals("UNKNOWN"));
        HttpResponse<String> promote = send("POST", "/volumes/away/promote?agent=a");

        assertThat(promote.statusCode()).isEqualTo(503);
        assertThat(get("/volumes/away/overview").path("replication").path("why").asString())
                .startsWith("none of its agents answers: not reached at 127.0.0.1:");
    }

    @Test
    void pagesOfOtherSitesMayNotChangeAnything() throws Exception {
        assertThat(sendFrom("Sec-Fetch-Site", "cross-site")).isEqualTo(403);
        assertThat(sendFrom("Sec-Fetch-Site", "same-site")).isEqualTo(403);
        assertThat(sendFrom("Origin", "http://elsewhere.example")).isEqualTo(403);
        assertThat(request("DELETE", base() + "/%61pi/v1/sessions/none", "Sec-Fetch-Site", "cross-site")
                        .statusCode())
                .isEqualTo(403);

        assertThat(sendFrom("Sec-Fetch-Site", "same-origin")).isEqualTo(404);
        assertThat(sendFrom("Origin", base())).isEqualTo(404);
        assertThat(send("DELETE", "/sessions/none").statusCode()).isEqualTo(404);
    }

    @Test
    void questionsOutOfBoundsAreRefusedByName() throws Exception {
        open("bounds").acquired("bounds", 0, 1, Mode.MODE_EX);

        assertThat(send("GET", "/volumes/none/overview").statusCode()).isEqualTo(404);
        assertThat(send("GET", "/volumes/none/wait-graph").statusCode()).isEqualTo(404);
        assertThat(send("GET", "/volumes/bounds/range-map?start=5&end=5").body())
                .contains("0 <= start < end");
        assertThat(send("GET", "/volumes/bounds/range-map?end=5&cells=2001").body())
                .contains("1 <= cells <= 2000");
        assertThat(send("GET", "/overview?limit=0").body()).contains("1 <= limit <= 200");
        assertThat(send("POST", "/volumes/bounds/demote").body()).contains("is not one of the agents'");
        assertThat(get("/volumes/bounds/history").isEmpty()).isTrue();
    }

    @Test
    void theConsoleIsServedUnderItsRules() throws Exception {
        HttpResponse<String> root = request("GET", base() + "/");
        HttpResponse<String> page = request("GET", base() + "/console/");

        assertThat(root.statusCode()).isEqualTo(302);
        assertThat(root.headers().firstValue("Location").orElse("")).endsWith("/console/");
        assertThat(page.statusCode()).isEqualTo(200);
        assertThat(page.body()).contains("<title>Terminus</title>");
        assertThat(page.headers().firstValue("Content-Security-Policy").orElse(""))
                .contains("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'");
        assertThat(page.headers().firstValue("Cache-Control")).contains("no-cache");
    }

    @Test
    void whereChangesAreSwitchedOffTheyAreRefusedAndNotOffered(@TempDir Path other) throws Exception {
        try (ConfigurableApplicationContext shows = LockManagerApplication.run(
                "--lockmgr.data-dir=" + other,
                "--lockmgr.grpc-port=0",
                "--server.port=0",
                "--lockmgr.rest.changes=false")) {
            String api = "http://localhost:" + shows.getEnvironment().getProperty("local.server.port") + "/api/v1";

            HttpResponse<String> overview = request("GET", api + "/overview");
            HttpResponse<String> closed = request("DELETE", api + "/sessions/none");

            assertThat(JsonMapper.shared()
                            .readTree(overview.body())
                            .path("mayChange")
                            .asBoolean())
                    .isFalse();
            assertThat(closed.statusCode()).isEqualTo(403);
            assertThat(closed.body()).contains("lockmgr.rest.changes is false");
        }
    }

    private static TestStream open(String owner) {
        return TestStream.open(LockServiceGrpc.newStub(channel), owner, 30_000);
    }

    private static void replicate(FakeAgent agent, String volume) {
        TestStream stream = open("agent/" + volume);
        Granted whole = stream.acquired(volume, 0, Long.MAX_VALUE, Mode.MODE_EX);
        stream.send(Operation.newBuilder()
                .setPutValue(PutValue.newBuilder()
                        .setVolume(volume)
                        .setLockId(whole.getLockId())
                        .setValue(agent.config().toByteString())));
        assertThat(stream.answer().hasRefused()).isFalse();
    }

    private static JsonNode get(String path) throws Exception {
        HttpResponse<String> response = send("GET", path);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return JsonMapper.shared().readTree(response.body());
    }

    private static HttpResponse<String> send(String method, String path) throws Exception {
        return request(method, base() + "/api/v1" + path);
    }

    private static int sendFrom(String header, String value) throws Exception {
        return request("DELETE", base() + "/api/v1/sessions/none", header, value)
                .statusCode();
    }

    private static HttpResponse<String> request(String method, String address, String... headers) throws Exception {
        HttpRequest.Builder request =
                HttpRequest.newBuilder(URI.create(address)).method(method, BodyPublishers.noBody());
        if (headers.length > 0) {
            request.headers(headers);
        }
        return HTTP.send(request.build(), BodyHandlers.ofString(UTF_8));
    }

    private static String base() {
        return "http://localhost:" + program.getEnvironment().getProperty("local.server.port");
    }
}
