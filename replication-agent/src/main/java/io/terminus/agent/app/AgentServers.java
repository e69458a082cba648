package io.terminus.agent.app;

import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.micrometer.core.instrument.MeterRegistry;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.util.concurrent.DefaultThreadFactory;
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
import io.terminus.security.Audit;
import io.terminus.security.Exposure;
import io.terminus.security.TlsKeys;
import io.terminus.security.TlsMetrics;
import io.terminus.security.grpc.GrpcTls;
import io.terminus.security.grpc.ServerLimits;
import io.terminus.tracing.Tracing;
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

    /** No request is longer: the largest names the replicas of a volume. */
    private static final int MOST_MESSAGE_BYTES = 1 << 20;

    private final AgentProperties properties;
    private final DataDirectory directory;
    private final LockManagerLink locks;
    private final LinkSettings links;
    private final GrpcPeerNetwork network;
    private final Volumes volumes;
    private final AgentControlService control;
    private final PrometheusRegistry metrics;
    private final MeterRegistry meters;
    private final Exposure exposure;
    private final Audit audit;
    private final HealthStatusManager health = new HealthStatusManager();
    private @Nullable Server grpc;
    private @Nullable EventLoopGroup grpcLoops;
    private @Nullable PeerServer peers;
    private @Nullable NbdServer nbd;
    private @Nullable NbdKeys nbdKeys;
    private @Nullable Tracing tracing;

    AgentServers(
            AgentProperties properties,
            DataDirectory directory,
            LockManagerLink locks,
            LinkSettings links,
            GrpcPeerNetwork network,
            Volumes volumes,
            AgentControlService control,
            PrometheusRegistry metrics,
            MeterRegistry meters,
            Exposure exposure,
            Audit audit) {
        this.properties = properties;
        this.directory = directory;
        this.locks = locks;
        this.links = links;
        this.network = network;
        this.volumes = volumes;
        this.control = control;
        this.metrics = metrics;
        this.meters = meters;
        this.exposure = exposure;
        this.audit = audit;
    }

    @Override
    public void start() {
        TlsKeys keys = links.tls();
        AgentProperties.NbdTls nbdTls = properties.nbdTls();
        requireMayOpen("gRPC on port " + properties.grpcPort(), keys != null);
        requireMayOpen("the peer protocol on port " + properties.peerPort(), keys != null);
        requireMayOpen("NBD on port " + properties.nbdPort(), nbdTls == null ? keys != null : nbdTls.required());
        try {
            // Before any volume is opened: a term or a stream that began before is not traced.
            tracing = Tracing.begin("replication-agent", properties.name());
        } catch (IllegalArgumentException e) {
            throw new StartRefusedException(String.valueOf(e.getMessage()), e);
        }
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
        TlsMetrics.show(meters, keys);
        metrics.register(new AgentMetrics(volumes, nbd::connections, nbd::requestsInFlight));
        health.setStatus(AgentControlGrpc.SERVICE_NAME, ServingStatus.SERVING);
        LOG.info(
                "agent {}: NBD {}{}{}, peers {}, gRPC {}, data in {}",
                properties.name(),
                properties.nbdPort(),
                nbdTls == null
                        ? keys == null ? "" : " (TLS, as all ports)"
                        : nbdTls.required() ? " (TLS only)" : " (TLS offered)",
                properties.nbdSocket() == null ? "" : " and " + properties.nbdSocket(),
                properties.peerPort(),
                properties.grpcPort(),
                directory.path().toAbsolutePath());
    }

    private void requireMayOpen(String port, boolean authenticated) {
        String refusal =
                exposure.refusal(port, properties.bindAddress(), authenticated, "set agent.tls.cert, .key and .ca, or");
        if (refusal != null) {
            throw new StartRefusedException(refusal);
        }
    }

    private NbdServer startNbd() throws IOException {
        NbdKeys keys = NbdKeys.load(properties.nbdTls(), links.tls());
        keys.show(meters);
        nbdKeys = keys;
        Writers writers = new Writers(volumes, locks::volume, network, keys);
        NbdServer server = NbdServer.start(
                at(properties.nbdPort()), keys.security(), new VolumeExports(volumes, writers), Limits.defaults());
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
            EventLoopGroup loops = new MultiThreadIoEventLoopGroup(
                    Runtime.getRuntime().availableProcessors(),
                    new DefaultThreadFactory("grpc-loop", true),
                    NioIoHandler.newFactory());
            grpcLoops = loops;
            NettyServerBuilder builder =
                    ServerLimits.DEFAULTS.on(NettyServerBuilder.forAddress(at(properties.grpcPort())));
            TlsKeys keys = links.tls();
            if (keys != null) {
                builder.sslContext(GrpcTls.server(keys));
            }
            return builder.bossEventLoopGroup(loops)
                    .workerEventLoopGroup(loops)
                    .intercept(AgentRoles.access(audit))
                    .maxInboundMessageSize(MOST_MESSAGE_BYTES)
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
        if (nbdKeys != null) {
            nbdKeys.close();
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
        EventLoopGroup loops = grpcLoops;
        if (loops != null) {
            loops.shutdownGracefully(0, STOP_SECONDS, TimeUnit.SECONDS);
        }
        network.close();
        locks.close();
        if (tracing != null) {
            tracing.close();
        }
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
