package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.terminus.agent.app.AgentProperties.NbdTls;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.nbd.Export;
import io.terminus.agent.nbd.Exports;
import io.terminus.agent.nbd.Limits;
import io.terminus.agent.nbd.MemoryExports;
import io.terminus.agent.nbd.NbdServer;
import io.terminus.agent.nbd.NbdTestClient;
import io.terminus.agent.nbd.Security;
import io.terminus.agent.nbd.TestLimits;
import io.terminus.agent.peer.Compression;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.LinkSettings;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.TestHooks;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.AgentControlGrpc.AgentControlImplBase;
import io.terminus.proto.agent.v1.AgentInfo;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.security.CertificateAuthority;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Agent a finds the writer b of a volume, as the value block and b itself say, and relays a client to it. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class WritersTest {

    private static final InetSocketAddress ANY_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    private static final int SIZE = 1 << 20;
    private static final Duration SOON = Duration.ofMillis(100);

    @TempDir
    private Path temp;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private CertificateAuthority authority;

    @BeforeEach
    void authority() throws IOException {
        authority = CertificateAuthority.create(temp.resolve("ca"), "ours", later());
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : opened.reversed()) {
            each.close();
        }
    }

    // ---- addresses that are none

    @Test
    void anAddressInTheValueBlockThatIsNoneIsToldToTheClient() throws Exception {
        Writers writers = writers("nonsense", null, NbdKeys.load(null, null));

        assertTold(() -> writers.locate("v"), "agent b does not say: the address \"nonsense\" is not host:port");
        assertTold(() -> NbdTestClient.open(impatient(writers), "v"), "the address \"nonsense\" is not host:port");
    }

    @Test
    void anAgentThatDoesNotSayWhereItsNbdIsIsNamed() throws Exception {
        for (String wrong : List.of("", "nowhere", "b:70000")) {
            Writers writers = writers(control(wrong, null), null, NbdKeys.load(null, null));

            assertTold(
                    () -> writers.locate("v"),
                    "agent b does not say where it serves NBD: the address \"" + wrong + "\"");
        }
    }

    // ---- the relay under TLS

    @Test
    void relayUsesTheKeysOfNbdWhereOnlyNbdHasKeys() throws Exception {
        NbdKeys writerKeys = opened(NbdKeys.load(nbdTls("b-nbd", "localhost", "127.0.0.1")));
        NbdKeys relayKeys = opened(NbdKeys.load(nbdTls("a-nbd", "localhost", "127.0.0.1")));
        Writers writers = writers(control(nbd(writerKeys, "v"), null), null, relayKeys);

        NbdTestClient client = opened(NbdTestClient.open(front(writers), "v"));

        client.write(100, new byte[] {1, 2, 3});
        assertThat(client.read(99, 5)).containsExactly(0, 1, 2, 3, 0);
    }

    @Test
    void relayUsesTheKeysOfNbdAlsoWhereAllPortsHaveOthers() throws Exception {
        CertificateAuthority clients = CertificateAuthority.create(temp.resolve("clients"), "clients", later());
        NbdKeys writerKeys = opened(NbdKeys.load(nbdTls(clients, "b", "localhost", "127.0.0.1")));
        TlsKeys all = agent("a");
        NbdKeys relayKeys = opened(NbdKeys.load(nbdTls(clients, "a", "localhost", "127.0.0.1"), all));
        Writers writers = writers(control(nbd(writerKeys, "v"), agent("b")), all, relayKeys);

        NbdTestClient client = opened(NbdTestClient.open(front(writers), "v"));

        client.write(0, new byte[] {9});
        assertThat(client.read(0, 1)).containsExactly(9);
    }

    @Test
    void relayUnderTheKeysOfAllPortsReachesTheAgentThatIsMeantAndNoOther() throws Exception {
        TlsKeys a = agent("a");
        Writers right = writers(control(nbd(NbdKeys.of(agent("b")), "v"), agent("b")), a, NbdKeys.of(a));
        Writers wrong = writers(control(nbd(NbdKeys.of(agent("c")), "v"), agent("b")), a, NbdKeys.of(a));

        NbdTestClient client = opened(NbdTestClient.open(front(right), "v"));
        client.write(0, new byte[] {9});

        assertThat(client.read(0, 1)).containsExactly(9);
        assertTold(
                () -> NbdTestClient.open(impatient(wrong), "v"), "not agent b answers there: CN=c has agent (agent c)");
    }

    @Test
    void whereNbdIsIsNotAskedOfAnotherAgent() throws Exception {
        TlsKeys a = agent("a");
        Writers wrong = writers(control("localhost:1", agent("c")), a, NbdKeys.of(a));

        assertTold(() -> wrong.locate("v"), "not agent b answers there: CN=c has agent (agent c)");
    }

    // ---- whom the port lets in

    @Test
    void certificateOfOneVolumeOpensNoOther() throws Exception {
        InetSocketAddress served = address(nbd(NbdKeys.of(agent("b")), "mine", "other"));
        TlsKeys client = keys("db", List.of("terminus:role/client", "terminus:volume/mine"));
        TlsKeys reader = keys("eve", List.of("terminus:role/reader"));

        NbdTestClient mine = opened(
                NbdTestClient.open(front(as(client, served), Limits.defaults().relay()), "mine"));
        mine.write(0, new byte[] {5});

        assertThat(mine.read(0, 1)).containsExactly(5);
        assertTold(
                () -> NbdTestClient.open(front(as(client, served), SOON), "other"),
                "volume other is not among those of the certificate, [mine]");
        assertTold(
                () -> NbdTestClient.open(front(as(reader, served), SOON), "mine"),
                "volume mine needs the role client or agent; CN=eve has reader");
    }

    /** Also where a busy machine is first told that somebody does not answer in time. */
    private static void assertTold(ThrowingCallable asked, String words) {
        await().atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThatThrownBy(asked).hasMessageContaining(words));
    }

    /** A server whose clients come to the other one with these keys. */
    private static Exports as(TlsKeys keys, InetSocketAddress at) {
        return elsewhere(() ->
                new Exports.Upstream(at, Optional.of(() -> keys.clientEngine(at.getHostString(), at.getPort()))));
    }

    private static Exports elsewhere(Exports.Locator locator) {
        return new Exports() {
            @Override
            public List<Export> list() {
                return List.of();
            }

            @Override
            public Lookup find(String name) {
                return new Lookup.Elsewhere(name, locator);
            }
        };
    }

    private SocketAddress front(Writers writers) throws IOException {
        return front(elsewhere(() -> writers.locate("v")), Limits.defaults().relay());
    }

    /** The client hears at once why it is not led on. */
    private SocketAddress impatient(Writers writers) throws IOException {
        return front(elsewhere(() -> writers.locate("v")), SOON);
    }

    /** As a unix socket's: without TLS towards the client. */
    private SocketAddress front(Exports exports, Duration relay) throws IOException {
        return opened(NbdServer.start(ANY_PORT, Security.plain(), exports, TestLimits.relaying(relay)))
                .address();
    }

    private String nbd(NbdKeys keys, String... volumes) throws IOException {
        NbdServer server = opened(
                NbdServer.start(ANY_PORT, keys.security(), MemoryExports.named(SIZE, volumes), Limits.defaults()));
        return "localhost:" + ((InetSocketAddress) server.address()).getPort();
    }

    private static InetSocketAddress address(String endpoint) {
        return new InetSocketAddress("localhost", Integer.parseInt(endpoint.substring(endpoint.indexOf(':') + 1)));
    }

    /** An agent's gRPC that says nothing but where its NBD is. */
    private String control(String nbdEndpoint, @Nullable TlsKeys keys) throws IOException {
        NettyServerBuilder builder = NettyServerBuilder.forAddress(ANY_PORT);
        if (keys != null) {
            builder.sslContext(GrpcTls.server(keys));
        }
        Server server = builder.addService(new AgentControlImplBase() {
                    @Override
                    public void getAgent(GetAgentRequest request, StreamObserver<AgentInfo> answer) {
                        answer.onNext(AgentInfo.newBuilder()
                                .setNbdEndpoint(nbdEndpoint)
                                .build());
                        answer.onCompleted();
                    }
                })
                .build()
                .start();
        opened.add(() -> server.shutdownNow().awaitTermination());
        return "localhost:" + server.getPort();
    }

    private Writers writers(String control, @Nullable TlsKeys links, NbdKeys keys) throws IOException {
        LinkSettings settings = new LinkSettings(Compression.NONE, Duration.ofSeconds(2), TestHooks.NONE, links);
        GrpcPeerNetwork network = opened(new GrpcPeerNetwork("a", settings));
        Volume.Settings none = new Volume.Settings(
                "a",
                "boot",
                1 << 20,
                Duration.ofSeconds(2),
                Duration.ofSeconds(2),
                Duration.ofSeconds(2),
                TestHooks.NONE);
        VolumeAuthority block = new VolumeAuthority() {
            @Override
            public CompletableFuture<Block> read() {
                return CompletableFuture.completedFuture(new Block(1, writtenBy(control)));
            }

            @Override
            public Waiting lock(boolean standby, Duration wait, HolderEvents events) {
                throw new IllegalStateException("who only relays asks for no lock");
            }

            @Override
            public CompletableFuture<String> revokeHolder() {
                return new CompletableFuture<>();
            }
        };
        Volumes volumes = opened(new Volumes(temp.resolve("a"), none, name -> block, network));
        return new Writers(volumes, name -> block, network, keys);
    }

    private static VolumeConfig writtenBy(String control) {
        return new VolumeConfig(
                new UUID(1, 2),
                "v",
                SIZE,
                1 << 20,
                1,
                "b",
                List.of(new Member("b", "boot")),
                List.of(),
                AckLevel.RECEIVED,
                0,
                1,
                Lineage.EMPTY,
                Failover.MANUAL,
                List.of(new Address("b", "b:1", control)),
                VolumeConfig.Fork.NONE);
    }

    private NbdTls nbdTls(String name, String... hosts) throws IOException {
        return nbdTls(authority, name, hosts);
    }

    /** Certificates that say nothing but a host. */
    private static NbdTls nbdTls(CertificateAuthority authority, String name, String... hosts) throws IOException {
        TlsFiles files = authority.issue(name, List.of(), List.of(hosts), later());
        return new NbdTls(files.cert(), files.key(), files.ca(), List.of("TLSv1.3", "TLSv1.2"), true);
    }

    private TlsKeys agent(String name) throws Exception {
        return keys(name, List.of("terminus:agent/" + name));
    }

    private TlsKeys keys(String name, List<String> uris) throws Exception {
        return opened(TlsKeys.load(name, authority.issue(name, uris, List.of("localhost", "127.0.0.1"), later())));
    }

    private static Instant later() {
        return Instant.now().plusSeconds(3600);
    }

    private <T extends AutoCloseable> T opened(T one) {
        opened.add(one);
        return one;
    }
}
