package io.terminus.agent.app;

import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.terminus.agent.admin.AgentControlService;
import io.terminus.agent.lock.LockManagerLink;
import io.terminus.agent.nbd.Limits;
import io.terminus.agent.nbd.NbdServer;
import io.terminus.agent.nbd.Security;
import io.terminus.agent.net.CannotListenException;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.LinkSettings;
import io.terminus.agent.peer.PeerControlService;
import io.terminus.agent.peer.PeerServer;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.SmartLifecycle;

/**
 * Opens the agent's ports when everything behind them is ready, and closes them in the order in which the work behind
 * them ends: clients get their last answers while the volumes and their peers still work, then volumes hand over, while
 * peers are still connected.
 */
final class AgentServers implements SmartLifecycle {

    private static final Logger LOG = LoggerFactory.getLogger(AgentServers.class);
    private static final long STOP_SECONDS = 3;

    private final AgentProperties properties;
    private final DataDirectory directory;
    private final LockManagerLink locks;
    private final LinkSettings links;
    private final GrpcPeerNetwork network;
    private final Volumes volumes;
    private final AgentControlService control;
    private final PrometheusRegistry metrics;
    private final HealthStatusManager health = new HealthStatusManager();
    private @Nullable Server grpc;
    private @Nullable PeerServer peers;
    private @Nullable NbdServer nbd;

    AgentServers(
            AgentProperties properties,
            DataDirectory directory,
            LockManagerLink locks,
            LinkSettings links,
            GrpcPeerNetwork network,
            Volumes volumes,
            AgentControlService control,
            PrometheusRegistry metrics) {
        this.properties = properties;
        this.directory = directory;
        this.locks = locks;
        this.links = links;
        this.network = network;
        this.volumes = volumes;
        this.control = control;
        this.metrics = metrics;
    }

    @Override
    public void start() {
        try {
            peers = PeerServer.start(at(properties.peerPort()), volumes, links);
            nbd = startNbd();
            grpc = startGrpc();
            volumes.openAll();
        } catch (CannotListenException e) {
            stop();
            throw new StartRefusedException(
                    e.getMessage() + " (set agent.nbd-port, agent.nbd-socket, agent.peer-port)", e);
        } catch (IOException e) {
            stop();
            throw new StartRefusedException("cannot start: " + e, e);
        }
        metrics.register(new AgentMetrics(volumes, nbd::connections, nbd::requestsInFlight));
        health.setStatus(AgentControlGrpc.SERVICE_NAME, ServingStatus.SERVING);
        LOG.info(
                "agent {}: NBD {}{}{}, peers {}, gRPC {}, data in {}",
                properties.name(),
                properties.nbdPort(),
                properties.nbdTls() == null ? "" : properties.nbdTls().required() ? " (TLS only)" : " (TLS offered)",
                properties.nbdSocket() == null ? "" : " and " + properties.nbdSocket(),
                properties.peerPort(),
                properties.grpcPort(),
                directory.path().toAbsolutePath());
    }

    private NbdServer startNbd() throws IOException {
        AgentProperties.NbdTls tls = properties.nbdTls();
        Security security = tls == null ? Security.plain() : NbdKeys.load(tls);
        NbdServer server =
                NbdServer.start(at(properties.nbdPort()), security, new VolumeExports(volumes), Limits.defaults());
        Path socket = properties.nbdSocket();
        if (socket != null) {
            try {
                server.listen(UnixDomainSocketAddress.of(socket), Security.plain());
            } catch (IOException e) {
                server.close();
                throw e;
            }
        }
        return server;
    }

    private Server startGrpc() {
        try {
            return NettyServerBuilder.forAddress(at(properties.grpcPort()))
                    .permitKeepAliveTime(1, TimeUnit.SECONDS)
                    .permitKeepAliveWithoutCalls(true)
                    // Calls here wait for disks, peers and people.
                    .executor(Executors.newVirtualThreadPerTaskExecutor())
                    .addService(control)
                    .addService(new PeerControlService(volumes))
                    .addService(health.getHealthService())
                    .addService(ProtoReflectionServiceV1.newInstance())
                    .build()
                    .start();
        } catch (IOException e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw new StartRefusedException(
                    "gRPC cannot listen on port " + properties.grpcPort() + ": " + cause.getMessage()
                            + " (set agent.grpc-port)",
                    e);
        }
    }

    private InetSocketAddress at(int port) {
        InetSocketAddress address = new InetSocketAddress(properties.bindAddress(), port);
        if (address.isUnresolved()) {
            throw new StartRefusedException(
                    "agent.bind-address of \"" + properties.bindAddress() + "\" is not an address of any host");
        }
        return address;
    }

    @Override
    public void stop() {
        health.enterTerminalState();
        if (nbd != null) {
            nbd.close();
        }
        volumes.close();
        if (peers != null) {
            peers.close();
        }
        Server g = grpc;
        if (g != null) {
            g.shutdown();
            try {
                if (!g.awaitTermination(STOP_SECONDS, TimeUnit.SECONDS)) {
                    g.shutdownNow();
                }
            } catch (InterruptedException e) {
                g.shutdownNow();
                Thread.currentThread().interrupt();
            }
        }
        grpc = null;
        network.close();
        locks.close();
        try {
            directory.close();
        } catch (IOException e) {
            LOG.debug("{}", e.getMessage());
        }
    }

    @Override
    public boolean isRunning() {
        return grpc != null;
    }
}
