package io.terminus.agent.app;

import io.terminus.agent.app.AgentProperties.NbdTls;
import io.terminus.agent.nbd.Security;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import javax.net.ssl.SSLContext;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.pem.PemSslStoreBundle;
import org.springframework.boot.ssl.pem.PemSslStoreDetails;

/** Reads the PEM files that NBD's TLS needs: keys in PKCS#8, PKCS#1 or SEC1, RSA, EC or EdDSA. */
final class NbdKeys {

    private NbdKeys() {}

    /** @throws StartRefusedException naming the setting that is wrong */
    static Security load(NbdTls tls) {
        String cert = read("agent.nbd-tls.cert", tls.cert());
        String key = read("agent.nbd-tls.key", tls.key());
        String ca = read("agent.nbd-tls.ca", tls.ca());
        SSLContext context;
        try {
            context = SslBundle.of(new PemSslStoreBundle(
                            PemSslStoreDetails.forCertificate(cert).withPrivateKey(key),
                            PemSslStoreDetails.forCertificate(ca)))
                    .createSslContext();
        } catch (RuntimeException e) {
            throw new StartRefusedException(
                    "agent.nbd-tls: " + tls.cert() + ", " + tls.key() + " and " + tls.ca()
                            + " do not make a TLS server: " + e.getMessage(),
                    e);
        }
        return new Security(Optional.of(context), tls.protocols(), tls.required());
    }

    private static String read(String setting, Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new StartRefusedException(setting + " of \"" + file + "\" cannot be read: " + e, e);
        }
    }
}
