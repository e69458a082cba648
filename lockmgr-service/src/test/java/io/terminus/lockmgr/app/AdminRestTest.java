package io.terminus.lockmgr.app;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.security.AuditLog;
import java.io.IOException;
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

/** What operators ask and do over HTTP, in the whole program; and what it says of itself. */
class AdminRestTest {

    /** To make the served document anew: {@code -Dopenapi.write=true}. */
    private static final boolean WRITE = Boolean.getBoolean("openapi.write");

    private static final Path SERVED = Path.of("src/main/resources/static/api/v1/openapi.yaml");

    @TempDir
    static Path directory;

    private static ConfigurableApplicationContext program;
    private static ManagedChannel channel;
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    @BeforeAll
    static void start() {
        program = LockManagerApplication.run(
                "--lockmgr.data-dir=" + directory,
                "--lockmgr.grpc-port=0",
                "--server.port=0",
                "--springdoc.paths-to-match=/api/v1/**",
                "--springdoc.writer-with-order-by-keys=true",
                "--springdoc.default-produces-media-type=application/json");
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
    void locksAreFoundByRangeModeAndSession() throws Exception {
        TestStream a = open("rest/a");
        TestStream b = open("rest/b");
        String session = b.welcome().getSessionId();
        Granted low = a.acquired("found", 0, 100, Mode.MODE_EX);
        Granted high = a.acquired("found", 100, 200, Mode.MODE_PR);
        Granted shared = b.acquired("found", 150, 300, Mode.MODE_PR);

        assertThat(ids(get("/volumes/found/locks"))).containsExactly(id(low), id(high), id(shared));
        assertThat(ids(get("/volumes/found/locks?start=90&end=100"))).containsExactly(id(low));
        assertThat(ids(get("/volumes/found/locks?start=200"))).containsExactly(id(shared));
        assertThat(ids(get("/volumes/found/locks?mode=pr"))).containsExactly(id(high), id(shared));
        assertThat(ids(get("/volumes/found/locks?session=" + session))).containsExactly(id(shared));
    }

    @Test
    void pagesOfLocksAndSessionsFollowOneAnother() throws Exception {
        TestStream stream = open("paged/a");
        open("paged/b").welcome();
        stream.acquired("paged", 0, 10, Mode.MODE_EX);
        stream.acquired("paged", 10, 20, Mode.MODE_EX);
        stream.acquired("paged", 20, 30, Mode.MODE_EX);

        JsonNode first = get("/volumes/paged/locks?limit=2");
        JsonNode second =
                get("/volumes/paged/locks?limit=2&after=" + first.path("next").asString());
        JsonNode sessions = get("/sessions?owner=paged/&limit=1");
        JsonNode others = get(
                "/sessions?owner=paged/&limit=1&after=" + sessions.path("next").asString());

        assertThat(first.path("items").size()).isEqualTo(2);
        assertThat(second.path("items").size()).isEqualTo(1);
        assertThat(second.path("items").path(0).path("start").asLong()).isEqualTo(20);
        assertThat(second.path("next").isNull()).isTrue();
        assertThat(sessions.path("items").size()).isEqualTo(1);
        assertThat(others.path("items").size()).isEqualTo(1);
        assertThat(others.path("next").isNull()).isTrue();
    }

    @Test
    void waitersAndWhoIsInTheirWayAreShown() throws Exception {
        TestStream holder = open("way/holder");
        TestStream waiter = open("way/waiter");
        String session = waiter.welcome().getSessionId();
        Granted held = holder.acquired("way", 0, 100, Mode.MODE_EX);
        long request = waiter.acquire("way", 50, 60, Mode.MODE_PR, 30_000);
        holder.event();

        JsonNode waiters = get("/volumes/way/waiters");
        JsonNode blockers = get("/sessions/" + session + "/requests/" + request + "/blockers");
        JsonNode buckets = get("/volumes/way/contention?start=0&end=100&buckets=2");

        assertThat(waiters.path("items").path(0).path("requestId").asString()).isEqualTo(Long.toString(request));
        assertThat(waiters.path("items").path(0).path("blockedBy").path(0).asString())
                .isEqualTo(id(held));
        assertThat(blockers.path("locks").path(0).path("id").asString()).isEqualTo(id(held));
        assertThat(blockers.path("waiters").size()).isZero();
        assertThat(buckets.size()).isEqualTo(2);
        assertThat(buckets.path(0).path("held").asLong()).isEqualTo(1);
        assertThat(buckets.path(0).path("waiting").asLong()).isZero();
        assertThat(buckets.path(1).path("waiting").asLong()).isEqualTo(1);
    }

    @Test
    void volumeGetsItsLockDelay() throws Exception {
        HttpResponse<String> set = send("PUT", "/volumes/delayed", "{\"lockDelayMillis\": 5000}");
        HttpResponse<String> tooLong = send("PUT", "/volumes/delayed", "{\"lockDelayMillis\": 60001}");

        assertThat(set.statusCode()).isEqualTo(204);
        assertThat(tooLong.statusCode()).isEqualTo(400);
        assertThat(tooLong.body()).contains("INVALID_ARGUMENT");
        assertThat(get("/volumes"))
                .anyMatch(volume -> volume.path("name").asString().equals("delayed")
                        && volume.path("lockDelayMillis").asLong() == 5000);
    }

    @Test
    void whatOperatorsDoIsKeptBeforeTheyAreAnswered() throws Exception {
        TestStream stream = open("audited");
        String session = stream.welcome().getSessionId();
        Granted held = stream.acquired("audited", 0, 100, Mode.MODE_EX);

        send("POST", "/volumes/audited/locks/" + held.getLockId() + "/force-release", "");
        List<String> afterForce = Files.readAllLines(directory.resolve(AuditLog.NAME));
        send("POST", "/volumes/audited/locks/7/force-release", "");
        send("DELETE", "/sessions/" + session, "");
        send("DELETE", "/sessions/" + session, "");
        List<JsonNode> lines = Files.readAllLines(directory.resolve(AuditLog.NAME)).stream()
                .map(line -> JsonMapper.shared().readTree(line))
                .filter(line -> line.path("what").asString().contains("audited")
                        || line.path("what").asString().contains(session))
                .toList();

        assertThat(afterForce.getLast()).contains("audited lock " + held.getLockId());
        assertThat(lines)
                .extracting(line -> line.path("action").asString())
                .containsExactly("force-release", "force-release", "close-session", "close-session");
        assertThat(lines)
                .extracting(line -> line.path("outcome").asString())
                .satisfiesExactly(
                        outcome -> assertThat(outcome).isEqualTo("done"),
                        outcome -> assertThat(outcome).contains("has no lock 7"),
                        outcome -> assertThat(outcome).isEqualTo("done"),
                        outcome -> assertThat(outcome).isEqualTo("UNKNOWN_SESSION"));
        assertThat(lines.getFirst().path("who").asString()).startsWith("127.0.0.1:");
    }

    @Test
    void wrongQuestionsAreRefusedByName() throws Exception {
        open("wrong").acquired("wrong", 0, 1, Mode.MODE_EX);

        assertThat(send("GET", "/volumes/none/locks", "").statusCode()).isEqualTo(404);
        assertThat(send("GET", "/sessions/none", "").statusCode()).isEqualTo(404);
        assertThat(send("GET", "/sessions/none/requests/1/blockers", "").statusCode())
                .isEqualTo(404);
        assertThat(send("GET", "/volumes/wrong/locks?start=5&end=5", "").body()).contains("0 <= start < end");
        assertThat(send("GET", "/volumes/wrong/locks?mode=XX", "").body()).contains("INVALID_MODE");
        assertThat(send("GET", "/volumes/wrong/locks?after=xx", "").statusCode())
                .isEqualTo(400);
        assertThat(send("GET", "/volumes/wrong/locks?limit=1001", "").body()).contains("1 <= limit <= 1000");
        assertThat(send("GET", "/volumes/wrong/contention?buckets=0", "").body())
                .contains("1 <= buckets <= 1000");
    }

    @Test
    void documentThatIsServedIsThatOfTheControllers() throws Exception {
        HttpResponse<String> made = HTTP.send(
                HttpRequest.newBuilder(URI.create("http://localhost:" + port() + "/v3/api-docs.yaml"))
                        .build(),
                BodyHandlers.ofString(UTF_8));
        String document = made.body()
                .replaceFirst("title: OpenAPI definition", "title: Terminus lock manager")
                .replaceFirst("http://localhost:\\d+", "/")
                .replaceFirst("description: Generated server url", "description: this lock manager");
        if (WRITE) {
            Files.createDirectories(SERVED.getParent());
            Files.writeString(SERVED, document);
        }

        HttpResponse<String> served = send("GET", "/openapi.yaml", "");

        assertThat(made.statusCode()).isEqualTo(200);
        assertThat(document).contains("/api/v1/volumes/{volume}/contention:", "lockDelayMillis:");
        assertThat(Files.readString(SERVED))
                .as("make it anew with -Dopenapi.write=true")
                .isEqualTo(document);
        assertThat(WRITE || served.body().equals(document)).isTrue();
    }

    private static TestStream open(String owner) {
        return TestStream.open(LockServiceGrpc.newStub(channel), owner, 30_000);
    }

    private static JsonNode get(String path) throws IOException, InterruptedException {
        HttpResponse<String> response = send("GET", path, "");
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return JsonMapper.shared().readTree(response.body());
    }

    private static HttpResponse<String> send(String method, String path, String body)
            throws IOException, InterruptedException {
        return HTTP.send(
                HttpRequest.newBuilder(URI.create("http://localhost:" + port() + "/api/v1" + path))
                        .method(method, BodyPublishers.ofString(body))
                        .header("content-type", "application/json")
                        .build(),
                BodyHandlers.ofString(UTF_8));
    }

    private static String port() {
        return String.valueOf(program.getEnvironment().getProperty("local.server.port"));
    }

    private static List<String> ids(JsonNode page) {
        return page.path("items")
                .valueStream()
                .map(item -> item.path("id").asString())
                .toList();
    }

    private static String id(Granted granted) {
        return Long.toString(granted.getLockId());
    }
}
