package io.terminus.agent.nbd;

import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import javax.net.ssl.SSLContext;

/**
 * Whether clients of an address are to be known, and their bytes hidden.
 *
 * @param tls what STARTTLS is answered with, asked for each connection; the client has to show a certificate this context trusts.
 *     Empty: no TLS
 * @param protocols the versions of TLS, as Java names them
 * @param required a client without TLS gets no further than STARTTLS
 * @param admission who may use which export, of those that came under TLS
 */
public record Security(
        Optional<Supplier<SSLContext>> tls, List<String> protocols, boolean required, Admission admission) {

    private static final List<String> USUAL = List.of("TLSv1.3", "TLSv1.2");

    public Security {
        protocols = List.copyOf(protocols);
        if (required && tls.isEmpty()) {
            throw new IllegalArgumentException("TLS is required, but there are no keys for it");
        }
    }

    /** For addresses that nobody else reaches: the loopback, a unix domain socket. */
    public static Security plain() {
        return new Security(Optional.empty(), USUAL, false, Admission.EVERYONE);
    }

    public static Security offered(SSLContext tls) {
        return new Security(Optional.of(() -> tls), USUAL, false, Admission.EVERYONE);
    }

    public static Security required(SSLContext tls) {
        return new Security(Optional.of(() -> tls), USUAL, true, Admission.EVERYONE);
    }
}
