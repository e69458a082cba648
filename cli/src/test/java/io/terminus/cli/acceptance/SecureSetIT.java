package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.security.CertificateAuthority;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A set with TLS on every port, asked by people of every role, through a failover, with one address for clients. */
@ExtendWith(TellsTime.class)
@NeedsClients({"qemu-io", "curl", "openssl"})
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class SecureSetIT {

    /** For a body to come; less than in service, for it is waited for. */
    private static final String REQUEST_TIME = "5s";

    /** More than any port bears, and less than gRPC does by itself. */
    private static final Duration SILENCE = Duration.ofSeconds(60);

    private static final List<String> EVERYTHING =
            List.of("terminus:role/admin", "terminus:role/lockmgr", "terminus:agent/a");

    /** How a port answers whom it does not know. */
    private static final String PUT_OUT = "(refused|cut): .*";

    /** Those who wait for an answer: the common pool has too few threads where there are two cores. */
    private static final Executor OWN_THREAD = waiting -> Thread.ofVirtual().start(waiting);

    private static LiveSet set;

    /** All that the set listens on, which stays. */
    private static List<SecurePort> ports;

    @BeforeAll
    static void up() {
        set = LiveSet.make(Map.of(
                "AGENT_LEASETTL",
                "4s",
                "SERVER_TOMCAT_CONNECTIONTIMEOUT",
                REQUEST_TIME,
                "LOGGING_STRUCTURED_FORMAT_CONSOLE",
                "ecs"));
        set.createSecure("64MiB", "--lock-managers", "3");
        set.awaitInSync();
        ports = ports();
    }

    @AfterAll
    static void down() {
        set.close();
    }

    @Test
    @Order(1)
    void everyRoleGetsAsFarAsItMay() {
        assertThat(as("reader", "sessions", "list").succeed()).contains("agent/a");
        assertRefused(as("reader", "volume", "set", "demo", "--min-copies", "1"), "needs the role operator", "reader");
        assertRefused(as("client", "sessions", "list"), "needs the role reader", "client");
        assertRefused(as("operator", "volume", "delete", "demo", "--force"), "needs the role admin", "operator");
        as("operator", "volume", "set", "demo", "--min-copies", "1").succeed();
    }

    @Test
    @Order(2)
    void restSpeaksTlsAndKnowsRoles() {
        String rest = "https://" + endpoint("a", SecurePort.Use.REST);

        assertThat(curl("reader", rest + "/api/v1/volumes")).contains("\"demo\"");
        assertThat(curl("client", rest + "/api/v1/volumes")).contains("needs the role reader", "client");
        assertThat(curl("reader", "-X", "POST", rest + "/api/v1/volumes/demo/demote"))
                .contains("needs the role operator", "reader");
        for (String spelled : List.of("/api/v1/volumes/demo", "/api/v1/%76olumes/demo", "/api;x/v1/volumes/demo")) {
            assertThat(curl("operator", "-X", "DELETE", rest + spelled)).contains("needs the role admin");
        }
        assertThat(curl(null, rest + "/actuator/health/liveness")).contains("UP");
        assertThat(curl("reader", rest + "/actuator/prometheus"))
                .contains(
                        "terminus_tls_expires_in_seconds{", "terminus_tls_lifetime_seconds{", "setting=\"agent.tls\"");
        assertThat(curl(null, rest + "/api/v1/volumes")).contains("no certificate was shown");
    }

    /** What an image's HEALTHCHECK runs. */
    @Test
    @Order(2)
    void imagesSeeThatAServiceWithKeysIsReady() {
        for (SecurePort port : ports) {
            if (port.use() == SecurePort.Use.REST) {
                assertThat(healthy(port)).as("%s", port).isZero();
            } else if (port.use() == SecurePort.Use.GRPC) {
                assertThat(healthy(port)).as("%s", port).isNotZero();
            }
        }
    }

    private static int healthy(SecurePort port) {
        String script =
                LiveSet.module().resolve("../docker/healthy").normalize().toString();
        try (Program program =
                Program.start(set.folder(), List.of(script), Map.of("SERVER_PORT", Integer.toString(port.port())))) {
            return program.exitCode();
        }
    }

    @Test
    @Order(2)
    void restTakesNoBodyThatIsTooLongOrOfNoLengthOrSlow() {
        CompletableFuture.allOf(
                        CompletableFuture.runAsync(() -> assertBodiesAreBounded("lockmgr"), OWN_THREAD),
                        CompletableFuture.runAsync(() -> assertBodiesAreBounded("a"), OWN_THREAD))
                .join();
    }

    private static void assertBodiesAreBounded(String process) {
        String at = endpoint(process, SecurePort.Use.REST);
        String post = "POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        try (Socket trickling = rest(at, post + "Content-Length: 65536\r\n\r\n");
                Socket silent = rest(at, post + "Content-Length: 100\r\n\r\n{");
                Socket large = rest(at, post + "Content-Length: 65537\r\n\r\n{");
                Socket chunked = rest(at, post + "Transfer-Encoding: chunked\r\n\r\n1")) {
            assertThat(trickle(trickling)).contains("408"); // without the bound there is no end of it
            assertThat(answer(silent)).contains("408");
            assertThat(answer(large)).contains("413", "a body of 65537 bytes; at most 65536 are allowed");
            assertThat(answer(chunked)).contains("411", "Content-Length");
        } catch (Exception e) {
            throw new AssertionError(process, e);
        }
    }

    /** A connection of an operator's on which that was said. */
    private static Socket rest(String at, String said) throws Exception {
        int colon = at.indexOf(':');
        try (TlsKeys keys = TlsKeys.load("test", files("operator"))) {
            Socket socket = keys.context()
                    .getSocketFactory()
                    .createSocket(at.substring(0, colon), Integer.parseInt(at.substring(colon + 1)));
            socket.setSoTimeout(Math.toIntExact(LiveSet.PATIENCE.toMillis()));
            socket.getOutputStream().write(said.getBytes(StandardCharsets.US_ASCII));
            return socket;
        }
    }

    /** A byte now and then, never so late that the connection is silent, until there is an answer. */
    private static String trickle(Socket socket) throws Exception {
        CompletableFuture<String> answer = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return answer(socket);
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                },
                OWN_THREAD);
        await().atMost(LiveSet.PATIENCE).pollInterval(Duration.ofMillis(100)).until(() -> {
            if (!answer.isDone()) {
                try {
                    socket.getOutputStream().write(' ');
                } catch (IOException e) {
                    // Closed: then the answer is here, or on its way.
                }
            }
            return answer.isDone();
        });
        return answer.join();
    }

    /** Up to the end of the connection, or what came before it was cut. */
    private static String answer(Socket socket) throws IOException {
        StringBuilder text = new StringBuilder();
        try {
            for (int next; (next = socket.getInputStream().read()) >= 0; ) {
                text.append((char) next);
            }
        } catch (SocketException | SSLException e) {
            // What was sent and never read makes the other side cut.
        }
        return text.toString();
    }

    @Test
    @Order(2)
    void everyPortIsClosedToWhoeverConnectsAndSaysNothing() {
        onEach(ports, port -> port.beSilent(SILENCE));
    }

    private interface AtPort {
        void at(SecurePort port) throws IOException;
    }

    /** At all at once. */
    private static void onEach(List<SecurePort> ports, AtPort task) {
        CompletableFuture.allOf(ports.stream()
                        .map(port -> CompletableFuture.runAsync(
                                () -> {
                                    try {
                                        task.at(port);
                                    } catch (IOException e) {
                                        throw new UncheckedIOException(port + ": " + e.getMessage(), e);
                                    }
                                },
                                OWN_THREAD))
                        .toArray(CompletableFuture[]::new))
                .join();
    }

    /** Over REST who shows none gets no further than health. */
    @Test
    @Order(3)
    void everyPortRefusesCertificatesThatAreExpiredForeignOrMissing() throws Exception {
        Instant now = Instant.now();
        CertificateAuthority strangers =
                CertificateAuthority.create(set.folder().resolve("foreign"), "foreign", now.plusSeconds(3600));
        TlsFiles expired = CertificateAuthority.open(certs())
                .issue("expired", EVERYTHING, List.of(), now.minusSeconds(7200), now.minusSeconds(60));
        TlsFiles foreign = strangers.issue("admin", EVERYTHING, List.of(), now.plusSeconds(3600));
        Queue<String> others = new ConcurrentLinkedQueue<>();

        try (TlsKeys good = TlsKeys.load("good", files("lockmgr"));
                TlsKeys late = TlsKeys.load("expired", expired);
                TlsKeys strange = TlsKeys.load("foreign", foreign)) {
            onEach(ports, port -> {
                String missing = port.use() == SecurePort.Use.REST ? "HTTP/1.1 403" : PUT_OUT;
                assertThat(port.serialShownTo(good))
                        .as("%s, to a good one", port)
                        .isPositive();
                for (String version : List.of(SecurePort.TLS_1_2, SecurePort.TLS_1_3)) {
                    expect(PUT_OUT, port + ", expired", port.answerTo(late, version), others);
                    expect(PUT_OUT, port + ", foreign", port.answerTo(strange, version), others);
                    expect(missing, port + ", missing", port.answerTo(null, version), others);
                }
            });
        }

        assertThat(ports).hasSize(LiveSet.MOST_PORTS);
        assertThat(others).as("answers that are no refusals").isEmpty();
    }

    private static void expect(String pattern, String who, String answer, Queue<String> others) {
        if (!answer.matches(pattern)) {
            others.add(who + ": " + answer);
        }
    }

    @Test
    @Order(4)
    void everyPortShowsANewCertificateWithoutARestart() throws Exception {
        Map<String, Long> pids = pids();
        Instant later = Instant.now().plusSeconds(3600);
        CertificateAuthority authority = CertificateAuthority.open(certs());
        Map<String, BigInteger> fresh = new HashMap<>();

        for (String process : pids.keySet()) {
            String who = Set.of("a", "b").contains(process) ? "terminus:agent/" + process : "terminus:role/lockmgr";
            TlsFiles files = authority.issue(process, List.of(who), List.of("localhost", "127.0.0.1"), later);
            try (TlsKeys keys = TlsKeys.load("fresh", files)) {
                fresh.put(process, serial(keys));
            }
        }

        try (TlsKeys good = TlsKeys.load("good", files("lockmgr"))) {
            onEach(
                    ports,
                    port -> await(port.toString())
                            .atMost(LiveSet.PATIENCE)
                            .until(() -> port.serialShownTo(good).equals(fresh.get(port.process()))));
        }
        assertThat(as("reader", "sessions", "list").succeed()).contains("agent/a", "agent/b");
        assertThat(pids()).isEqualTo(pids);
    }

    private static BigInteger serial(TlsKeys keys) throws KeyStoreException {
        KeyStore store = keys.keyStore();
        return ((X509Certificate) store.getCertificate(store.aliases().nextElement())).getSerialNumber();
    }

    private static Map<String, Long> pids() {
        Map<String, Long> pids = new HashMap<>();
        for (var process : set.status().path("processes")) {
            pids.put(process.path("name").asString(), process.path("pid").asLong());
        }
        return pids;
    }

    private static List<SecurePort> ports() {
        List<SecurePort> ports = new ArrayList<>();
        for (var process : set.status().path("processes")) {
            for (SecurePort.Use use : SecurePort.Use.values()) {
                String at = process.path("endpoints")
                        .path(use.name().toLowerCase(Locale.ROOT))
                        .asString("");
                if (!at.isEmpty()) {
                    ports.add(port(process.path("name").asString(), use, at));
                }
            }
        }
        for (var member : JsonMapper.shared().readTree(set.terminus("lockmgr", "members", "list", "--json"))) {
            ports.add(port(
                    member.path("id").asString(),
                    SecurePort.Use.GROUP,
                    member.path("groupAddress").asString()));
        }
        return ports;
    }

    private static SecurePort port(String process, SecurePort.Use use, String at) {
        return new SecurePort(process, use, Integer.parseInt(at.substring(at.indexOf(':') + 1)));
    }

    @Test
    @Order(5)
    void oneAddressServesTheVolumeBeforeAndAfterAFailover() {
        int front = Integer.parseInt(endpoint(set.replica(), SecurePort.Use.NBD).split(":")[1]);
        String writer = set.writer();
        assertThat(set.uri()).isEqualTo("nbds://" + endpoint(writer, SecurePort.Use.NBD) + "/demo");
        qemuIo(front, "write -P 0x11 0 1M", "flush").succeed();

        set.kill(writer);
        set.terminus("volume", "promote", "demo", "--agent", writer.equals("a") ? "b" : "a");

        qemuIo(front, "read -P 0x11 0 1M", "write -P 0x22 1M 1M", "flush").succeed();
        set.repair();
        int other = Integer.parseInt(endpoint(writer, SecurePort.Use.NBD).split(":")[1]);
        qemuIo(other, "read -P 0x11 0 1M", "read -P 0x22 1M 1M").succeed();
    }

    @Test
    @Order(6)
    void whatWasChangedAndRefusedIsKeptAndNoSecretIs() throws IOException {
        StringBuilder audit = new StringBuilder();
        StringBuilder all = new StringBuilder();
        for (String process : List.of("lockmgr", "lockmgr-2", "lockmgr-3", "a", "b")) {
            String lines = Files.readString(set.data(process).resolve("audit.log"));
            audit.append(lines);
            all.append(lines).append(set.log(process));
        }

        assertThat(audit)
                .contains("CN=operator has operator, 127.0.0.1", "AgentControl/SetVolume", "\"done\"")
                .contains("CN=reader has reader", "PERMISSION_DENIED")
                .contains("403");
        try (var files = Files.list(certs())) {
            for (Path key : files.filter(f -> f.toString().endsWith(".key")).toList()) {
                for (String line : Files.readAllLines(key)) {
                    if (!line.startsWith("-----")) {
                        assertThat(all).doesNotContain(line);
                    }
                }
            }
        }
    }

    @Test
    @Order(6)
    void linesOfTheLogAreJsonAndSayWhichVolumeTheyAreAbout() {
        String log = set.log(set.writer());

        List<JsonNode> lines = log.lines()
                .filter(line -> line.startsWith("{"))
                .map(line -> JsonMapper.shared().readTree(line))
                .toList();

        assertThat(lines)
                .extracting(line -> line.path("terminus.volume").asString(""))
                .as(log)
                .contains("demo");
    }

    @Test
    @Order(7)
    void theLeadMovesBetweenLockManagersThatTrustEachOtherByTheirCertificates() {
        set.terminus("lockmgr", "lead", "--to", "lockmgr-2");
        set.terminus("lockmgr", "lead", "--to", "lockmgr-3");

        assertThat(as("reader", "lockmgr", "members", "list").succeed()).contains("lockmgr-2", "lockmgr-3");
        assertThat(as("reader", "sessions", "list").succeed()).contains("agent/a");
    }

    private static Program as(String role, String... arguments) {
        return with(files(role), arguments);
    }

    private static TlsFiles files(String role) {
        return new TlsFiles(certs().resolve(role + ".crt"), certs().resolve(role + ".key"), certs().resolve("ca.crt"));
    }

    private static Program with(TlsFiles keys, String... arguments) {
        List<String> command = new ArrayList<>(List.of(arguments));
        command.addAll(List.of("--tls-cert=" + keys.cert(), "--tls-key=" + keys.key(), "--tls-ca=" + keys.ca()));
        return set.command(command.toArray(String[]::new));
    }

    private static void assertRefused(Program command, String... words) {
        try (command) {
            assertThat(command.exitCode()).as(command.output()).isEqualTo(1);
            assertThat(command.output()).contains(words);
        }
    }

    private static String curl(@Nullable String role, String... arguments) {
        List<String> command = new ArrayList<>(
                List.of("curl", "-s", "--cacert", certs().resolve("ca.crt").toString()));
        if (role != null) {
            command.addAll(List.of(
                    "--cert",
                    certs().resolve(role + ".crt").toString(),
                    "--key",
                    certs().resolve(role + ".key").toString()));
        }
        command.addAll(List.of(arguments));
        return Program.run(set.folder(), command.toArray(String[]::new));
    }

    private static Program qemuIo(int port, String... commands) {
        List<String> command = new ArrayList<>(List.of(
                "qemu-io",
                "--object",
                "tls-creds-x509,id=t0,endpoint=client,dir=" + certs().resolve("nbd"),
                "--image-opts",
                "driver=nbd,host=localhost,port=" + port + ",export=demo,tls-creds=t0"));
        for (String each : commands) {
            command.addAll(List.of("-c", each));
        }
        return Program.start(set.folder(), command);
    }

    private static Path certs() {
        return set.data("certs");
    }

    private static String endpoint(String process, SecurePort.Use use) {
        return ports.stream()
                .filter(port -> port.process().equals(process) && port.use() == use)
                .map(port -> "localhost:" + port.port())
                .findFirst()
                .orElseThrow();
    }
}
