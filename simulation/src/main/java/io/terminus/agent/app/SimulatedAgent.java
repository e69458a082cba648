package io.terminus.agent.app;

import io.terminus.agent.admin.AgentControlService;
import io.terminus.agent.admin.Endpoints;
import io.terminus.agent.lock.LockManagerLink;
import io.terminus.agent.peer.Compression;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.LinkSettings;
import io.terminus.agent.peer.PeerControlService;
import io.terminus.agent.peer.PeerServer;
import io.terminus.agent.volume.TestHooks;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volumes;
import io.terminus.simulation.standin.Grpc;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * The agent's process without Spring and without NBD: what {@link AgentApplication} and {@link AgentServers} make, in the
 * same order. Clients come in where the NBD server hands their requests on.
 */
public final class SimulatedAgent {

    public static final int PEER_PORT = 10809;
    public static final int GRPC_PORT = 10810;

    private final Volumes volumes;

    private SimulatedAgent(Volumes volumes) {
        this.volumes = volumes;
    }

    public static SimulatedAgent start(
            String name,
            Path dir,
            String bootId,
            String lockManager,
            Duration leaseTtl,
            Duration peerTimeout,
            Duration electionTimeout,
            long journalBudgetBytes)
            throws IOException {
        DataDirectory directory = DataDirectory.open(dir, name);
        LockManagerLink locks = new LockManagerLink(
                lockManager, name, leaseTtl, directory.path().resolve("session"), null);
        LinkSettings links = new LinkSettings(Compression.NONE, peerTimeout, TestHooks.NONE);
        GrpcPeerNetwork network = new GrpcPeerNetwork(name, links);
        Volume.Settings settings = new Volume.Settings(
                name, bootId, journalBudgetBytes, peerTimeout, electionTimeout, Duration.ofSeconds(5), TestHooks.NONE);
        Volumes volumes = new Volumes(directory.path(), settings, locks::volume, network);
        AgentControlService control = new AgentControlService(
                volumes,
                network,
                new Endpoints(
                        name + ":10808",
                        false,
                        name + ":" + PEER_PORT,
                        name + ":" + GRPC_PORT,
                        lockManager,
                        locks::reachable));
        PeerServer.start(new InetSocketAddress(name, PEER_PORT), volumes, links);
        Grpc.serve(GRPC_PORT, List.of(control, new PeerControlService(volumes)));
        SimulatedAgent agent = new SimulatedAgent(volumes);
        volumes.openAll();
        return agent;
    }

    public Volumes volumes() {
        return volumes;
    }
}
