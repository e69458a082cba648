package io.terminus.lockmgr.app;

import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallExecutorSupplier;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.grpc.util.MutableHandlerRegistry;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.EventExecutor;
import io.terminus.lockmgr.grpc.ServiceLimits;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.security.Exposure;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import io.terminus.security.grpc.ServerLimits;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.SmartLifecycle;

/**
 * The gRPC port: both services, health and reflection. Opens when everything behind it is ready.
 *
 * <p>Session streams are heard on the event loop that reads them. All other calls may wait, for room in the queue of the
 * table, and are made on gRPC's own threads.
 */
final class GrpcServer implements SmartLifecycle {

    private static final Logger LOG = LoggerFactory.getLogger(GrpcServer.class);

    /** Clients may ask this often whether the connection is alive; gRPC's own limit of 5 minutes would drop them. */
    private static final long KEEP_ALIVE_SECONDS = 1;

    private static final long STOP_SECONDS = 5;

    private final LockManagerProperties properties;
    private final LockNode node;
    private final @Nullable TlsKeys keys;
    private final Exposure exposure;
    private final HealthStatusManager health = new HealthStatusManager();
    private @Nullable EventLoopGroup eventLoops;
    private @Nullable Server server;

    /** @param keys null: callers are not authenticated */
    GrpcServer(LockManagerProperties properties, LockNode node, @Nullable TlsKeys keys, Exposure exposure) {
        this.properties = properties;
        this.node = node;
        this.keys = keys;
        this.exposure = exposure;
    }

    @Override
    public void start() {
        InetSocketAddress address = new InetSocketAddress(properties.bindAddress(), properties.grpcPort());
        if (address.isUnresolved()) {
            throw new StartRefusedException(
                    "lockmgr.bind-address of '" + properties.bindAddress() + "' is not an address of any host");
        }
        String refusal = exposure.refusal(
                "gRPC on port " + properties.grpcPort(),
                properties.bindAddress(),
                keys != null,
                "set lockmgr.tls.cert, .key and .ca, or");
        if (refusal != null) {
            throw new StartRefusedException(refusal);
        }
        health.setStatus(LockServiceGrpc.SERVICE_NAME, SERVING);
        health.setStatus(LockAdminGrpc.SERVICE_NAME, SERVING);
        ServiceLimits limits = properties.service();
        MutableHandlerRegistry services = new MutableHandlerRegistry();
        EventLoopGroup loops = new MultiThreadIoEventLoopGroup(
                Runtime.getRuntime().availableProcessors(),
                new DefaultThreadFactory("grpc-loop", true),
                NioIoHandler.newFactory());
        node.serve(services, () -> current(loops));
        try {
            NettyServerBuilder builder = ServerLimits.DEFAULTS.on(NettyServerBuilder.forAddress(address));
            TlsKeys tls = keys;
            if (tls != null) {
                builder.sslContext(GrpcTls.server(tls));
            }
            Server started = builder.intercept(LockRoles.access(node.audit()))
                    .bossEventLoopGroup(loops)
                    .workerEventLoopGroup(loops)
                    .callExecutor(new OnEventLoop())
                    .permitKeepAliveTime(KEEP_ALIVE_SECONDS, TimeUnit.SECONDS)
                    .permitKeepAliveWithoutCalls(true)
                    .maxInboundMessageSize(limits.transportBytes())
                    .addService(health.getHealthService())
                    .addService(ProtoReflectionServiceV1.newInstance())
                    .fallbackHandlerRegistry(services)
                    .build()
                    .start();
            server = started;
            eventLoops = loops;
            LOG.info("gRPC on {}:{}", properties.bindAddress(), started.getPort());
        } catch (IOException e) {
            loops.shutdownGracefully(0, STOP_SECONDS, TimeUnit.SECONDS);
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw new StartRefusedException(
                    "gRPC cannot listen on " + properties.bindAddress() + " port " + properties.grpcPort() + ": "
                            + cause.getMessage() + " (set lockmgr.grpc-port or lockmgr.bind-address)",
                    e);
        }
    }

    /** Clients are told first, by the node's close; what they ask after that is refused as unavailable. */
    @Override
    public void stop() {
        Server stopping = server;
        server = null;
        if (stopping == null) {
            return;
        }
        health.enterTerminalState();
        node.close();
        stopping.shutdown();
        try {
            if (!stopping.awaitTermination(STOP_SECONDS, TimeUnit.SECONDS)) {
                stopping.shutdownNow();
            }
        } catch (InterruptedException e) {
            stopping.shutdownNow();
            Thread.currentThread().interrupt();
        }
        EventLoopGroup loops = eventLoops;
        if (loops != null) {
            loops.shutdownGracefully(0, STOP_SECONDS, TimeUnit.SECONDS);
        }
    }

    /** As many to look at as there are cores. */
    private static @Nullable Executor current(EventLoopGroup loops) {
        for (EventExecutor loop : loops) {
            if (loop.inEventLoop()) {
                return loop;
            }
        }
        return null;
    }

    private static final class OnEventLoop implements ServerCallExecutorSupplier {

        @Override
        public <T, R> @Nullable Executor getExecutor(ServerCall<T, R> call, Metadata headers) {
            boolean session = call.getMethodDescriptor()
                    .getFullMethodName()
                    .equals(LockServiceGrpc.getSessionMethod().getFullMethodName());
            return session ? Runnable::run : null;
        }
    }

    @Override
    public boolean isRunning() {
        return server != null;
    }

    int port() {
        Server running = server;
        if (running == null) {
            throw new IllegalStateException("the gRPC server is not running");
        }
        return running.getPort();
    }

    private static final io.grpc.health.v1.HealthCheckResponse.ServingStatus SERVING =
            io.grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING;
}
