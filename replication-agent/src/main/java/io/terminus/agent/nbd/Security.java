package io.terminus.agent.nbd;

import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLContext;

/**
 * Whether clients of an address are to be known, and their bytes hidden.
 *
 * @param tls what STARTTLS is answered with; the client has to show a certificate this context trusts. Empty: no TLS
 * @param protocols the versions of TLS, as Java names them
 * @param required a client without TLS gets no further than STARTTLS
 */
public record Security(Optional<SSLContext> tls, List<String> protocols, boolean required) {

    private static final List<String> USUAL = List.of("TLSv1.3", "TLSv1.2");

    public Security {
        protocols = List.copyOf(protocols);
        if (required && tls.isEmpty()) {
            throw new IllegalArgumentException("TLS is required, but there are no keys for it");
        }
    }

    /** For addresses that nobody else reaches: the loopback, a unix domain socket. */
    public static Security plain() {
        return new Security(Optional.empty(), USUAL, false);
    }

    public static Security offered(SSLContext tls) {
        return new Security(Optional.of(tls), USUAL, false);
    }

    public static Security required(SSLContext tls) {
        return new Security(Optional.of(tls), USUAL, true);
    }
}
