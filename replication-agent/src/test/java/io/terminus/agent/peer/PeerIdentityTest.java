package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.Standing;
import io.terminus.agent.volume.TestHooks;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.Accepted;
import io.terminus.proto.agent.v1.Fetch;
import io.terminus.security.CertificateAuthority;
import io.terminus.security.Role;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.Access;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Agent b under TLS, with a replica of a volume whose other replica is a's; c has a certificate of the same authority, and no replica. */
@Timeout(120)
class PeerIdentityTest {

    private static final UUID VOLUME = new UUID(1, 2);
    private static final int VOLUME_BYTES = 4 << 20;
    private static final int SEGMENT_BYTES = 1 << 20;
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    @TempDir
    private Path temp;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private final SaysWhatItIsTold lockManager = new SaysWhatItIsTold();
    private CertificateAuthority authority;
    private Volumes volumes;
    private InetSocketAddress link;
    private String control;

    /** The value block alone; whoever asks for the lock waits. */
    private static final class SaysWhatItIsTold implements VolumeAuthority {
        private volatile Block block = new Block(0, null);

        @Override
        public CompletableFuture<Block> read() {
            return CompletableFuture.completedFuture(block);
        }

        @Override
        public Waiting lock(boolean standby, Duration wait, HolderEvents events) {
            throw new IllegalStateException("nobody is to write here");
        }

        @Override
        public CompletableFuture<String> revokeHolder() {
            return new CompletableFuture<>();
        }
    }

    @BeforeEach
    void start() throws Exception {
        authority = CertificateAuthority.create(temp.resolve("ca"), "ours", later());
        LinkSettings settings = links("b");
        Volume.Settings replica = new Volume.Settings(
                "b",
                "boot",
                4L * SEGMENT_BYTES,
                Duration.ofSeconds(2),
                Duration.ofSeconds(30),
                Duration.ofSeconds(1),
                TestHooks.NONE);
        lockManager.block = new VolumeAuthority.Block(1, config(VOLUME, "a", "b"));
        volumes = new Volumes(temp.resolve("b"), replica, name -> lockManager, opened(network("b")));
        volumes.create(config(VOLUME, "a", "b"));
        opened(volumes);
        PeerServer server = opened(PeerServer.start(new InetSocketAddress("127.0.0.1", 0), volumes, settings));
        link = (InetSocketAddress) server.address();
        Server grpc = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
                .sslContext(GrpcTls.server(keys("b")))
                .intercept(Access.builder()
                        .reads("terminus.agent.v1.PeerControl/*", Role.AGENT)
                        .build((who, action, what, outcome) -> {}))
                .addService(new PeerControlService(volumes))
                .build()
                .start();
        opened.add(() -> grpc.shutdownNow().awaitTermination());
        control = "127.0.0.1:" + grpc.getPort();
    }

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable each : opened.reversed()) {
            each.close();
        }
    }

    // ---- whom one speaks to

    @Test
    void anotherAgentOnAPeerLinkIsToldNothing() throws Exception {
        LinkSettings a = links("a");

        assertThatThrownBy(() -> a.connect(link, "c", PATIENCE, "link to c", 1 << 20))
                .isInstanceOf(IOException.class)
                .hasStackTraceContaining("not agent c answers there: CN=b has agent (agent b)");
        DuplexSocket meant = a.connect(link, "b", PATIENCE, "link to b", 1 << 20);
        assertThat(meant.tlsSession()).isNotNull();
        meant.close("seen");
    }

    @Test
    void anotherAgentIsNotAskedOverGrpc() throws Exception {
        GrpcPeerNetwork a = opened(network("a"));

        assertThatThrownBy(() -> a.seal(new Address("c", "unused:1", control), VOLUME, 7, 70, 1, PATIENCE)
                        .get())
                .hasMessageContaining("not agent c answers there: CN=b has agent (agent b)");
        assertThat(a.seal(new Address("b", "unused:1", control), VOLUME, 8, 80, 9, PATIENCE)
                        .get()
                        .agent())
                .isEqualTo("b");
    }

    @Test
    void anAddressThatIsNoneIsAnAnswerAndEndsNoThread() {
        GrpcPeerNetwork a = opened(network("a"));

        for (String wrong : List.of("", "nowhere", "host:", ":10813", "host:99999", "a host:1", "host:-1")) {
            assertThatThrownBy(() -> a.nbdEndpoint(new Address("b", "unused:1", wrong), PATIENCE)
                            .get())
                    .isInstanceOf(ExecutionException.class)
                    .hasMessageContaining("the address \"" + wrong + "\" is not host:port");
        }
    }

    // ---- who may ask

    @Test
    void anAgentWithAReplicaIsLetIn() throws Exception {
        try (HandMade a = link("a")) {
            a.send(hello("a"));

            assertThat(Accepted.parseFrom(a.await(Frame.ACCEPTED)).getAgent()).isEqualTo("b");
        }
    }

    @Test
    void anAgentThatSpeaksForAnotherIsRefused() throws Exception {
        try (HandMade c = link("c")) {
            c.send(hello("a"));

            assertThat(c.refusal()).contains("agent \"a\" needs a certificate of that agent; CN=c has agent (agent c)");
        }
        GrpcPeerNetwork masked = opened(new GrpcPeerNetwork("a", links("c")));
        assertThatThrownBy(() -> masked.seal(b(), VOLUME, 7, 70, 9, PATIENCE).get())
                .hasMessageContaining("agent \"a\" needs a certificate of that agent");
    }

    @Test
    void anAgentWithoutAReplicaOfTheVolumeGetsNothingOfIt() throws Exception {
        GrpcPeerNetwork c = opened(network("c"));
        String none = "agent c has no replica of volume v";

        try (HandMade stream = link("c")) {
            stream.send(hello("c"));
            assertThat(stream.refusal()).contains(none);
        }
        try (HandMade fetch = link("c")) {
            fetch.send(Frame.FETCH.of(Fetch.newBuilder()
                    .setVolumeUuid(VOLUME.toString())
                    .setTerm(1)
                    .build()
                    .toByteArray()));
            assertThat(fetch.refusal()).contains(none);
        }
        assertThatThrownBy(() -> c.seal(b(), VOLUME, 7, 70, 9, PATIENCE).get()).hasMessageContaining(none);
        assertThatThrownBy(() -> c.readBlocks(b(), VOLUME, 0, 4096, PATIENCE).get())
                .hasMessageContaining(none);
        assertThatThrownBy(() -> c.canHold(b(), VOLUME, 8 << 20, PATIENCE).get())
                .hasMessageContaining(none);
        assertThatThrownBy(() -> c.buryReplica(b(), VOLUME, PATIENCE).get()).hasMessageContaining(none);
    }

    /** The request names the deleted volumes of its name, and comes from whoever calls itself a replica of the next one. */
    @Test
    void whoAsksForAReplicaIsNotBelievedThatTheOneInItsPlaceIsDeleted() throws Exception {
        GrpcPeerNetwork c = opened(network("c"));
        VolumeConfig next = config(new UUID(3, 4), "c", "b")
                .inThePlaceOf(config(VOLUME, "a", "b").with(Standing.DELETED));

        assertThatThrownBy(() -> c.createReplica(b(), next, PATIENCE).get())
                .hasMessageContaining("does not say that volume " + VOLUME + " is deleted");
        assertThat(volumes.byUuid(VOLUME)).isNotNull();

        lockManager.block =
                new VolumeAuthority.Block(2, config(VOLUME, "a", "b").with(Standing.DELETED));
        assertThat(c.createReplica(b(), next, PATIENCE).get()).isNotEmpty();
        assertThat(volumes.byUuid(VOLUME)).isNull();
    }

    private Address b() {
        return new Address("b", "unused:1", control);
    }

    private HandMade link(String agent) throws Exception {
        return new HandMade(keys(agent).context().getSocketFactory().createSocket("127.0.0.1", link.getPort()));
    }

    private ByteBuffer hello(String writer) throws RefusedException {
        Greeting greeting = new Greeting(
                VOLUME,
                1,
                10,
                writer,
                VOLUME_BYTES,
                SEGMENT_BYTES,
                Lineage.EMPTY,
                0,
                0,
                1,
                config(VOLUME, "a", "b").encode());
        return Frame.HELLO.of(
                Messages.hello(greeting, Abilities.of(LinkSettings.DEFAULTS)).toByteArray());
    }

    private static VolumeConfig config(UUID uuid, String... agents) {
        return new VolumeConfig(
                uuid,
                "v",
                VOLUME_BYTES,
                SEGMENT_BYTES,
                0,
                agents[0],
                List.of(new Member(agents[0], "boot")),
                List.of(),
                AckLevel.RECEIVED,
                0,
                1,
                Lineage.EMPTY,
                Failover.MANUAL,
                List.of(agents).stream()
                        .map(agent -> new Address(agent, "unused:1", "unused:1"))
                        .toList(),
                VolumeConfig.Fork.NONE);
    }

    private GrpcPeerNetwork network(String agent) {
        return new GrpcPeerNetwork(agent, links(agent));
    }

    private LinkSettings links(String agent) {
        return new LinkSettings(Compression.NONE, Duration.ofSeconds(2), TestHooks.NONE, keys(agent));
    }

    private TlsKeys keys(String agent) {
        try {
            return opened(TlsKeys.load(
                    agent,
                    authority.issue(
                            agent, List.of("terminus:agent/" + agent), List.of("localhost", "127.0.0.1"), later())));
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    private static Instant later() {
        return Instant.now().plusSeconds(3600);
    }

    private <T extends AutoCloseable> T opened(T one) {
        opened.add(one);
        return one;
    }
}
