package io.terminus.lockmgr.ha;

import java.util.concurrent.TimeUnit;
import org.apache.ratis.conf.Parameters;
import org.apache.ratis.grpc.GrpcConfigKeys;
import org.apache.ratis.thirdparty.io.grpc.netty.NettyServerBuilder;

/** What callers of the group's own port may take before anybody knows them. Ratis has its own copy of gRPC, whose bounds are wide. */
final class GroupPort {

    private static final int HANDSHAKE_SECONDS = 10;
    private static final int HEADER_BYTES = 16 << 10;

    /** Of one connection. A member has a few streams to each other one. */
    private static final int CALLS = 100;

    private GroupPort() {}

    static Parameters limited(Parameters parameters) {
        GrpcConfigKeys.Server.setServicesCustomizer(parameters, (builder, types) -> limited(builder));
        return parameters;
    }

    private static NettyServerBuilder limited(NettyServerBuilder builder) {
        return builder.handshakeTimeout(HANDSHAKE_SECONDS, TimeUnit.SECONDS)
                .maxInboundMetadataSize(HEADER_BYTES)
                .maxConcurrentCallsPerConnection(CALLS);
    }
}
