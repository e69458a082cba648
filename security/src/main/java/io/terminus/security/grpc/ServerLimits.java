package io.terminus.security.grpc;

import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What callers of a gRPC port may take before anybody knows them.
 *
 * @param connections at a time; more are closed as soon as they are made
 * @param handshakeSeconds a connection that has not said who it is by then is closed
 * @param idleSeconds one without any call is closed then; clients make another when they need it
 * @param calls at a time of one connection
 * @param headerBytes of one call
 */
public record ServerLimits(int connections, int handshakeSeconds, int idleSeconds, int calls, int headerBytes) {

    public static final ServerLimits DEFAULTS = new ServerLimits(4096, 10, 600, 1000, 16 << 10);

    /** The builder needs event loops of its own for it. */
    public NettyServerBuilder on(NettyServerBuilder builder) {
        AtomicInteger open = new AtomicInteger();
        return builder.channelFactory(() -> new Capped(open, connections))
                .handshakeTimeout(handshakeSeconds, TimeUnit.SECONDS)
                .maxConnectionIdle(idleSeconds, TimeUnit.SECONDS)
                .maxConcurrentCallsPerConnection(calls)
                .maxInboundMetadataSize(headerBytes);
    }

    private static final class Capped extends NioServerSocketChannel {
        private final AtomicInteger open;
        private final int most;

        Capped(AtomicInteger open, int most) {
            this.open = open;
            this.most = most;
        }

        @Override
        protected int doReadMessages(List<Object> accepted) throws Exception {
            int before = accepted.size();
            int result = super.doReadMessages(accepted);
            if (accepted.size() > before) {
                SocketChannel channel = (SocketChannel) accepted.getLast();
                if (open.incrementAndGet() > most) {
                    open.decrementAndGet();
                    accepted.removeLast();
                    channel.unsafe().closeForcibly();
                    return 0;
                }
                channel.closeFuture().addListener(ended -> open.decrementAndGet());
            }
            return result;
        }
    }
}
