package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.nbd.Limits;
import io.terminus.agent.nbd.NbdServer;
import io.terminus.agent.nbd.NbdTestClient;
import io.terminus.agent.nbd.NbdTestClient.Extent;
import io.terminus.agent.nbd.NbdTestClient.Listed;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.volume.Agents;
import io.terminus.agent.volume.VolumeAuthority;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What an NBD client is told of a volume with three replicas, by the agents that have them. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ReplicatedContextTest {

    private static final int VOLUME_BYTES = 4 << 20;
    private static final int BLOCK = 4_096;
    private static final int WRITE = 1;
    private static final int NOWHERE_YET = 0;
    private static final int IN_ALL_MEMBERS = 7;
    private static final int IN_ALL_REPLICAS = 15;

    @TempDir
    private Path temp;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private Agents agents;

    @BeforeEach
    void threeReplicas() throws Exception {
        // Nobody is taken for gone because it is silent: what is held is waited for.
        agents = opened(new Agents(temp, VOLUME_BYTES, 64L << 20, Duration.ofHours(1)));
        agents.start("a", "b", "c");
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : opened.reversed()) {
            each.close();
        }
    }

    @Test
    void theContextSaysWhichReplicasHaveTheNewestWriteOfEachExtent() throws Exception {
        InetSocketAddress nbd = serve("a");
        NbdTestClient writing = opened(NbdTestClient.open(nbd, "v"));
        NbdTestClient asking = opened(NbdTestClient.connect(nbd));
        asking.structuredReplies();
        assertThat(asking.selectContexts("v", "x-terminus:replicated").values())
                .containsExactly("x-terminus:replicated");
        asking.go("v");

        writing.write(0, filled(1));
        awaitStatus(asking, new Extent(VOLUME_BYTES, IN_ALL_REPLICAS));

        agents.hold("b");
        long held = writing.submit(WRITE, 0, BLOCK, BLOCK, filled(2));
        awaitStatus(
                asking,
                new Extent(BLOCK, IN_ALL_REPLICAS),
                new Extent(BLOCK, NOWHERE_YET),
                new Extent(VOLUME_BYTES - 2 * BLOCK, IN_ALL_REPLICAS));
        agents.letGo("b");
        writing.await(held).ok();
        awaitStatus(asking, new Extent(VOLUME_BYTES, IN_ALL_REPLICAS));

        agents.vanish("c");
        writing.write(0, filled(3));
        awaitStatus(asking, new Extent(VOLUME_BYTES, IN_ALL_MEMBERS));
    }

    @Test
    void aVolumeIsListedWhereItIsWrittenAndItsReplicasWhereTheyAre() throws Exception {
        assertThat(opened(NbdTestClient.connect(serve("a"))).list())
                .containsExactly(new Listed("v", "replicated volume, term 1, 3 replicas"));
        assertThat(opened(NbdTestClient.connect(serve("b"))).list())
                .containsExactly(new Listed("v@replica", "replica, to be read only; written by a"));
    }

    @Test
    void aReadThatNoLeaseVouchesForEndsTheConnectionWithoutAnAnswer() throws Exception {
        NbdTestClient client = opened(NbdTestClient.open(serve("a"), "v"));
        client.write(0, filled(1));

        agents.doubtHolder();

        assertThatThrownBy(() -> client.read(0, BLOCK)).isInstanceOf(IOException.class);
    }

    private InetSocketAddress serve(String agent) throws IOException {
        GrpcPeerNetwork network = opened(new GrpcPeerNetwork(agent));
        Writers writers =
                new Writers(agents.volumes(agent), ReplicatedContextTest::notAsked, network, NbdKeys.load(null, null));
        NbdServer server = opened(NbdServer.start(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                new VolumeExports(agents.volumes(agent), writers),
                Limits.defaults()));
        return (InetSocketAddress) server.address();
    }

    private static VolumeAuthority notAsked(String volume) {
        throw new IllegalStateException("nobody asks for " + volume + " where there is a replica of it");
    }

    private static void awaitStatus(NbdTestClient client, Extent... expected) {
        Agents.awaitTrue(() -> client.status(0, 0, VOLUME_BYTES).values().stream()
                .allMatch(extents -> extents.equals(Arrays.asList(expected))));
    }

    private static byte[] filled(int value) {
        byte[] bytes = new byte[BLOCK];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    private <T extends AutoCloseable> T opened(T one) {
        opened.add(one);
        return one;
    }
}
