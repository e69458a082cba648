package io.terminus.lockmgr.ha;

import io.terminus.security.Identity;
import io.terminus.security.Role;
import io.terminus.security.TlsKeys;
import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Set;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;
import org.apache.ratis.conf.Parameters;
import org.apache.ratis.grpc.GrpcConfigKeys;
import org.apache.ratis.grpc.GrpcTlsConfig;
import org.apache.ratis.thirdparty.io.netty.handler.ssl.SslProvider;
import org.jspecify.annotations.Nullable;

/**
 * The connections between the members under TLS: both sides show a certificate of a lock manager, and the one that is called names its host.
 *
 * <p>Ratis makes its TLS context once. The managers in it follow the files, so that each new connection goes by those of its moment; a
 * connection that stands goes on. A session that is taken up again shows no certificate anew, so whoever connects with what was withdrawn is
 * kept out once its session is too old, which is a day for JDK's TLS.
 */
final class RaftTls {

    private RaftTls() {}

    /** @param keys null: without TLS */
    static Parameters parameters(@Nullable TlsKeys keys) {
        Parameters parameters = new Parameters();
        if (keys != null) {
            GrpcTlsConfig.Builder builder = GrpcTlsConfig.newBuilder();
            builder.setName("raft");
            builder.setKeyManager(keys.keyManager());
            builder.setTrustManager(new MembersOnly(keys.trustManager()));
            builder.setMutualTls(true);
            builder.setSslProvider(SslProvider.JDK); // OpenSSL's does not ask our managers for each connection
            GrpcConfigKeys.TLS.setConf(parameters, builder.build());
        }
        return parameters;
    }

    /** A client or an agent has a certificate of the same authority, and would be heard as a member without this. */
    private static final class MembersOnly extends X509ExtendedTrustManager {
        private final X509ExtendedTrustManager chains;

        MembersOnly(X509ExtendedTrustManager chains) {
            this.chains = chains;
        }

        private static void requireMember(X509Certificate[] chain) throws CertificateException {
            Identity who = Identity.of(chain[0]);
            if (!who.has(Role.LOCKMGR)) {
                throw new CertificateException(who.refusal("to be a member of the group", Set.of(Role.LOCKMGR)));
            }
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
                throws CertificateException {
            chains.checkClientTrusted(chain, authType, engine);
            requireMember(chain);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
                throws CertificateException {
            chains.checkServerTrusted(chain, authType, engine);
            requireMember(chain);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
                throws CertificateException {
            chains.checkClientTrusted(chain, authType, socket);
            requireMember(chain);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
                throws CertificateException {
            chains.checkServerTrusted(chain, authType, socket);
            requireMember(chain);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
            chains.checkClientTrusted(chain, authType);
            requireMember(chain);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
            chains.checkServerTrusted(chain, authType);
            requireMember(chain);
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return chains.getAcceptedIssuers();
        }
    }
}
