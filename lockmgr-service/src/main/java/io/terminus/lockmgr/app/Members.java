package io.terminus.lockmgr.app;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import org.jspecify.annotations.Nullable;

/** How a member reaches the ports for clients of the others. */
final class Members {

    private Members() {}

    /** @param keys null: without TLS */
    static ManagedChannel channel(String target, @Nullable TlsKeys keys) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target);
        return (keys == null ? builder.usePlaintext() : builder.sslContext(GrpcTls.client(keys))).build();
    }
}
