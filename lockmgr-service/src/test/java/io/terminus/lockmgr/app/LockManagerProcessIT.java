package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.terminus.lockmgr.TestPorts;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Welcome;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The packaged program as a process of its own: killed, restarted, misconfigured. */
class LockManagerProcessIT {

    private static final Path JAR = Path.of("target", "lockmgr-service.jar");
    private static final Pattern GRPC_PORT = Pattern.compile("gRPC on 127\\.0\\.0\\.1:(\\d+)");
    private static final long PATIENCE_SECONDS = 120;

    @TempDir
    Path directory;

    private final List<Started> started = new ArrayList<>();
    private final List<ManagedChannel> channels = new ArrayList<>();
    private final HttpClient http = HttpClient.newHttpClient();

    private record Started(Process process, Path out, Path err, int httpPort) {}

    @AfterEach
    void stop() throws InterruptedException {
        channels.forEach(ManagedChannel::shutdownNow);
        for (Started one : started) {
            one.process().destroyForcibly().waitFor();
        }
    }

    @Test
    void killedProcessComesBackWithItsGrants() throws Exception {
        Started first = start();
        TestStream stream = TestStream.open(stub(first), "holder", 30_000);
        String session = stream.welcome().getSessionId();
        Granted held = stream.acquired("vol", 0, 4096, Mode.MODE_EX);

        first.process().destroyForcibly().waitFor();
        Started second = start();
        TestStream again = TestStream.reattach(stub(second), session);
        Welcome welcome = again.welcome();
        again.useIdsAbove(1);
        again.acquire("vol", 0, 1, Mode.MODE_PR, 0);

        assertThat(welcome.getHeldList()).containsExactly(held);
        assertThat(welcome.getEpoch()).isEqualTo(2);
        assertThat(again.answer().getRefused().getMessage()).contains("holder holds EX [0, 4096)");
    }

    @Test
    void operatorUsesHttp() throws Exception {
        Started server = start();
        TestStream stream = TestStream.open(stub(server), "holder", 30_000);
        String session = stream.welcome().getSessionId();
        Granted first = stream.acquired("vol", 0, 10, Mode.MODE_EX);
        Granted second = stream.acquired("vol", 10, 20, Mode.MODE_PR);

        String page = get(server, "/api/v1/volumes/vol/locks?limit=1", 200);
        Matcher next = Pattern.compile("\"next\":\"([^\"]+)\"").matcher(page);
        assertThat(page).contains("\"id\":\"" + first.getLockId() + "\"");
        assertThat(next.find()).isTrue();
        assertThat(get(server, "/api/v1/volumes/vol/locks?after=" + next.group(1), 200))
                .contains("\"id\":\"" + second.getLockId() + "\"", "\"next\":null")
                .doesNotContain("\"" + first.getLockId() + "\"");
        assertThat(get(server, "/api/v1/volumes/vol/locks?mode=pr", 200))
                .contains("\"mode\":\"PR\"")
                .doesNotContain("\"mode\":\"EX\"");
        assertThat(get(server, "/api/v1/volumes", 200)).contains("\"name\":\"vol\"", "\"held\":2");
        assertThat(get(server, "/api/v1/volumes/vol/waiters", 200)).contains("\"items\":[]");
        assertThat(get(server, "/api/v1/sessions", 200)).contains(session, "\"attached\":true");
        assertThat(get(server, "/api/v1/volumes/none/locks", 404)).contains("\"reason\"", "'none' is not known");
        assertThat(get(server, "/api/v1/volumes/vol/locks?mode=XX", 400)).contains("INVALID_MODE", "'XX'");
        assertThat(get(server, "/api/v1/volumes/vol/locks?limit=0", 400)).contains("1 <= limit <= 1000");

        String lock = "/api/v1/volumes/vol/locks/" + first.getLockId() + "/force-release";
        assertThat(send(server, "POST", lock).statusCode()).isEqualTo(202);
        assertThat(stream.event().getLost().getLockId()).isEqualTo(first.getLockId());
        assertThat(send(server, "POST", "/api/v1/volumes/vol/locks/7/force-release")
                        .statusCode())
                .isEqualTo(404);
        assertThat(send(server, "DELETE", "/api/v1/sessions/" + session).statusCode())
                .isEqualTo(204);
        assertThat(stream.end().getDescription()).contains("closed by an operator");
        assertThat(send(server, "DELETE", "/api/v1/sessions/" + session)
                        .headers()
                        .firstValue("content-type"))
                .hasValue("application/problem+json");
        assertThat(get(server, "/api/v1/openapi.yaml", 200)).contains("/api/v1/sessions/{sessionId}");
        assertThat(get(server, "/actuator/health", 200)).contains("UP");
        assertThat(get(server, "/actuator/health/readiness", 200)).contains("tableHealth", "millisSinceTick");
        assertThat(get(server, "/actuator/health/liveness", 200)).contains("UP");
        assertThat(get(server, "/actuator/prometheus", 200))
                .contains("terminus_lock_grants_total 2.0", "terminus_store_syncs_total");
    }

    @Test
    void secondProcessOnOneDirectoryIsRefusedInOneSentence() throws Exception {
        start();

        Started second = launch("0", TestPorts.free());

        assertRefused(second, "is in use by another process");
    }

    @Test
    void takenPortIsRefusedInOneSentence() throws Exception {
        try (ServerSocket taken = new ServerSocket(0)) {
            Started grpc = launch(Integer.toString(taken.getLocalPort()), TestPorts.free());
            assertRefused(grpc, "gRPC cannot listen on 127.0.0.1 port " + taken.getLocalPort());

            Started web = launch("0", taken.getLocalPort());
            assertRefused(web, "HTTP cannot listen on port " + taken.getLocalPort());
        }
    }

    @Test
    void settingThatIsWrongIsNamed() throws Exception {
        Started wrong = launch("seventy", TestPorts.free());

        assertRefused(wrong, "lockmgr.grpc-port");
    }

    private static void assertRefused(Started process, String sentence) throws Exception {
        assertThat(process.process().waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS))
                .isTrue();
        assertThat(process.process().exitValue()).isEqualTo(1);
        List<String> said = Files.readAllLines(process.err()).stream()
                .filter(line -> !line.startsWith("WARNING: "))
                .toList();
        assertThat(said).hasSize(1);
        assertThat(said.getFirst()).startsWith("lockmgr: ").contains(sentence);
        assertThat(Files.readString(process.out())).doesNotContain("Exception");
    }

    private Started start() throws Exception {
        Started process = launch("0", TestPorts.free());
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!healthy(process)) {
            assertThat(process.process().isAlive())
                    .as("%s", Files.readString(process.err()))
                    .isTrue();
            assertThat(System.nanoTime()).isLessThan(deadline);
            process.process().waitFor(100, TimeUnit.MILLISECONDS);
        }
        return process;
    }

    private Started launch(String grpcPort, int httpPort) throws IOException {
        Path out = directory.resolve("out-" + started.size());
        Path err = directory.resolve("err-" + started.size());
        Process process = new ProcessBuilder(
                        ProcessHandle.current().info().command().orElseThrow(),
                        "-XX:TieredStopAtLevel=1",
                        "-jar",
                        JAR.toString(),
                        "--lockmgr.data-dir=" + directory.resolve("data"),
                        "--lockmgr.max-locks=1000",
                        "--lockmgr.grpc-port=" + grpcPort,
                        "--server.port=" + httpPort)
                .redirectOutput(out.toFile())
                .redirectError(err.toFile())
                .start();
        Started one = new Started(process, out, err, httpPort);
        started.add(one);
        return one;
    }

    private boolean healthy(Started process) throws InterruptedException {
        try {
            return send(process, "GET", "/actuator/health").statusCode() == 200;
        } catch (IOException notYet) {
            return false;
        }
    }

    private LockServiceGrpc.LockServiceStub stub(Started process) throws IOException {
        Matcher port = GRPC_PORT.matcher(Files.readString(process.out()));
        assertThat(port.find()).isTrue();
        ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", Integer.parseInt(port.group(1)))
                .usePlaintext()
                .build();
        channels.add(channel);
        return LockServiceGrpc.newStub(channel);
    }

    private String get(Started process, String path, int status) throws Exception {
        HttpResponse<String> response = send(process, "GET", path);
        assertThat(response.statusCode()).as("%s: %s", path, response.body()).isEqualTo(status);
        return response.body();
    }

    private HttpResponse<String> send(Started process, String method, String path)
            throws IOException, InterruptedException {
        return http.send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + process.httpPort() + path))
                        .method(method, HttpRequest.BodyPublishers.noBody())
                        .build(),
                HttpResponse.BodyHandlers.ofString());
    }
}
