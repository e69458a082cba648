package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc.LockServiceBlockingStub;
import io.terminus.proto.lock.v1.LockServiceGrpc.LockServiceStub;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Range;
import io.terminus.security.CertificateAuthority;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Under TLS: whose certificate opens which session, comes back to it, and asks in its name. Knowing its id is not enough. */
@Timeout(120)
class SessionOwnersTest {

    private static final long TTL_MILLIS = 10_000;

    @TempDir
    private Path temp;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private final Map<String, ManagedChannel> channels = new HashMap<>();
    private CertificateAuthority authority;
    private TestServer server;

    @BeforeEach
    void start() throws Exception {
        authority = CertificateAuthority.create(temp.resolve("ca"), "ours", later());
        server = new TestServer(temp.resolve("lockmgr"), keys("lockmgr", "terminus:role/lockmgr"));
        opened.add(server);
        for (String agent : List.of("a", "b")) {
            connect(agent, "terminus:agent/" + agent);
        }
        connect("client", "terminus:role/client");
        connect("root", "terminus:role/admin");
    }

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable each : opened.reversed()) {
            each.close();
        }
    }

    @Test
    void sessionOfAnAgentIsComeBackToByItsCertificateAlone() {
        String session = open("a", "agent/a").welcome().getSessionId();

        assertDenied(TestStream.reattach(async("b"), session), "needs the certificate of agent a; CN=b has agent");
        assertDenied(TestStream.reattach(async("client"), session), "needs the certificate of agent a; CN=client");
        TestStream reassert = TestStream.raw(async("b"));
        reassert.send(ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder()
                        .setSessionId("5f7a3f0e-0000-4000-8000-000000000001")
                        .setOwner("agent/a")
                        .setTtlMillis(TTL_MILLIS)
                        .setMayReassert(true))
                .build());
        assertDenied(reassert, "needs the certificate of agent a; CN=b has agent");
        assertThat(TestStream.reattach(async("a"), session).welcome().getSessionId())
                .isEqualTo(session);
    }

    @Test
    void callsInTheNameOfASessionComeFromItsOwnersCertificate() {
        String session = open("a", "agent/a").welcome().getSessionId();

        for (String other : List.of("b", "client")) {
            assertDenied(() -> acquire(other, session), "needs the certificate of agent a; CN=" + other);
            assertDenied(() -> close(other, session), "needs the certificate of agent a; CN=" + other);
        }
        assertThat(acquire("a", session).hasGranted()).isTrue();
        assertThat(acquire("root", session).hasGranted()).isTrue();
    }

    @Test
    void ownersOfAgentsAreAgentsAndAllOthersAreClients() {
        assertDenied(() -> openUnary("b", "agent/a"), "a session of owner 'agent/a' needs the certificate of agent a");
        assertDenied(() -> openUnary("client", "agent/a"), "needs the certificate of agent a");
        assertDenied(() -> openUnary("a", "job/7"), "a session of owner 'job/7' needs the role client");
        assertDenied(open("b", "agent/a"), "needs the certificate of agent a");
        String job = openUnary("client", "job/7");

        assertDenied(() -> acquire("a", job), "a session of owner 'job/7' needs the role client; CN=a has agent");
        assertThat(acquire("client", job).hasGranted()).isTrue();
        close("client", job);
    }

    private TestStream open(String who, String owner) {
        return TestStream.open(async(who), owner, TTL_MILLIS);
    }

    private String openUnary(String who, String owner) {
        return blocking(who)
                .openSession(OpenSessionRequest.newBuilder()
                        .setOwner(owner)
                        .setTtlMillis(TTL_MILLIS)
                        .build())
                .getSessionId();
    }

    private Answer acquire(String who, String session) {
        return blocking(who)
                .acquireLock(AcquireLockRequest.newBuilder()
                        .setSessionId(session)
                        .setAcquire(Acquire.newBuilder()
                                .setVolume("v")
                                .setRange(Range.newBuilder().setStart(0).setEnd(10))
                                .setMode(Mode.MODE_CR))
                        .build());
    }

    private void close(String who, String session) {
        blocking(who)
                .closeSession(
                        CloseSessionRequest.newBuilder().setSessionId(session).build());
    }

    private static void assertDenied(TestStream stream, String words) {
        Status end = stream.end();
        assertThat(end.getCode()).isEqualTo(Status.Code.PERMISSION_DENIED);
        assertThat(end.getDescription()).contains(words);
    }

    private static void assertDenied(ThrowingCallable call, String words) {
        assertThatThrownBy(call)
                .satisfies(e -> assertThat(Status.fromThrowable(e).getCode()).isEqualTo(Status.Code.PERMISSION_DENIED))
                .hasMessageContaining(words);
    }

    private LockServiceStub async(String who) {
        return LockServiceGrpc.newStub(channel(who));
    }

    private LockServiceBlockingStub blocking(String who) {
        return LockServiceGrpc.newBlockingStub(channel(who)).withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    private ManagedChannel channel(String who) {
        return Objects.requireNonNull(channels.get(who));
    }

    private void connect(String who, String uri) throws Exception {
        ManagedChannel channel =
                GrpcTls.channel("localhost:" + server.port(), keys(who, uri)).build();
        channels.put(who, channel);
        opened.add(channel::shutdownNow);
    }

    private TlsKeys keys(String who, String uri) throws Exception {
        TlsKeys keys =
                TlsKeys.load(who, authority.issue(who, List.of(uri), List.of("localhost", "127.0.0.1"), later()));
        opened.add(keys);
        return keys;
    }

    private static Instant later() {
        return Instant.now().plusSeconds(3600);
    }
}
