package io.terminus.security.grpc;

import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.buffer.ByteBufAllocator;
import io.netty.handler.ssl.ApplicationProtocolNegotiator;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.terminus.security.TlsKeys;
import java.util.List;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSessionContext;
import javax.net.ssl.X509TrustManager;
import org.jspecify.annotations.Nullable;

/** gRPC's TLS with the keys that count at the moment a connection is made. */
public final class GrpcTls {

    private GrpcTls() {}

    /** Callers have to show a certificate. */
    public static SslContext server(TlsKeys keys) {
        return new Following(keys, null, false);
    }

    public static SslContext client(TlsKeys keys) {
        return new Following(keys, null, true);
    }

    /**
     * The beginning of a channel.
     *
     * @param keys null: without TLS
     */
    public static NettyChannelBuilder channel(String target, @Nullable TlsKeys keys) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target);
        return keys == null ? builder.usePlaintext() : builder.sslContext(client(keys));
    }

    /** As {@link #channel(String, TlsKeys)}, to one agent: under TLS no other is spoken to. */
    public static NettyChannelBuilder channel(String target, @Nullable TlsKeys keys, String agent) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target);
        return keys == null ? builder.usePlaintext() : builder.sslContext(new Following(keys, agent, true));
    }

    private static SslContext make(TlsKeys keys, @Nullable String agent, boolean client) {
        try {
            SslContextBuilder builder = client
                    ? SslContextBuilder.forClient().keyManager(keys.keyManager())
                    : SslContextBuilder.forServer(keys.keyManager()).clientAuth(ClientAuth.REQUIRE);
            X509TrustManager trust = agent == null ? keys.trustManager() : keys.trustManager(agent);
            return GrpcSslContexts.configure(builder.trustManager(trust), SslProvider.JDK)
                    .build();
        } catch (SSLException e) {
            throw new IllegalStateException("gRPC's TLS cannot be set up with this JDK", e);
        }
    }

    /** Another one after each change of the keys, so that no session of before is taken up again. */
    private static final class Following extends SslContext {
        private final boolean client;
        private volatile SslContext now;

        Following(TlsKeys keys, @Nullable String agent, boolean client) {
            this.client = client;
            this.now = make(keys, agent, client);
            keys.onChange(() -> now = make(keys, agent, client));
        }

        @Override
        public boolean isClient() {
            return client;
        }

        @Override
        public List<String> cipherSuites() {
            return now.cipherSuites();
        }

        @Override
        @SuppressWarnings("deprecation") // Netty's own base class asks for it
        public ApplicationProtocolNegotiator applicationProtocolNegotiator() {
            return now.applicationProtocolNegotiator();
        }

        @Override
        public SSLEngine newEngine(ByteBufAllocator allocator) {
            return now.newEngine(allocator);
        }

        @Override
        public SSLEngine newEngine(ByteBufAllocator allocator, String host, int port) {
            return now.newEngine(allocator, host, port);
        }

        @Override
        public SSLSessionContext sessionContext() {
            return now.sessionContext();
        }
    }
}
