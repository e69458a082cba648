package io.terminus.lockmgr.ha;

import io.terminus.security.Identity;
import io.terminus.security.Role;
import io.terminus.security.TlsKeys;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Set;
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
            builder.setTrustManager(keys.trustManager(RaftTls::requireMember));
            builder.setMutualTls(true);
            builder.setSslProvider(SslProvider.JDK); // OpenSSL's does not ask our managers for each connection
            GrpcConfigKeys.TLS.setConf(parameters, builder.build());
        }
        return parameters;
    }

    /** A client or an agent has a certificate of the same authority, and would be heard as a member without this. */
    private static void requireMember(X509Certificate certificate) throws CertificateException {
        Identity who = Identity.of(certificate);
        if (!who.has(Role.LOCKMGR)) {
            throw new CertificateException(who.refusal("to be a member of the group", Set.of(Role.LOCKMGR)));
        }
    }
}
