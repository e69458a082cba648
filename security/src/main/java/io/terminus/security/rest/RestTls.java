package io.terminus.security.rest;

import io.terminus.security.Exposure;
import io.terminus.security.TlsKeys;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.ssl.DefaultSslBundleRegistry;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundleKey;
import org.springframework.boot.ssl.SslStoreBundle;
import org.springframework.boot.web.server.AbstractConfigurableWebServerFactory;
import org.springframework.boot.web.server.ConfigurableWebServerFactory;
import org.springframework.boot.web.server.Ssl;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.core.Ordered;

/**
 * HTTPS with the process's keys, as an SSL bundle that is replaced when they change. A certificate is asked for and not demanded, so
 * that a probe may ask whether the process is well; {@link RestAccess} lets those without one do nothing else.
 */
public final class RestTls implements WebServerFactoryCustomizer<ConfigurableWebServerFactory>, Ordered {

    private static final String BUNDLE = "terminus";

    private final @Nullable TlsKeys keys;
    private final Exposure exposure;
    private final String setting;
    private final Function<String, ? extends RuntimeException> refused;

    /**
     * @param keys null: HTTP
     * @param setting of the keys, such as {@code agent.tls}
     * @param refused ends a start that would open the port to everyone
     */
    public RestTls(
            @Nullable TlsKeys keys,
            Exposure exposure,
            String setting,
            Function<String, ? extends RuntimeException> refused) {
        this.keys = keys;
        this.exposure = exposure;
        this.setting = setting;
        this.refused = refused;
    }

    /** Last: behind whoever sets the address. */
    @Override
    public int getOrder() {
        return Ordered.LOWEST_PRECEDENCE;
    }

    @Override
    public void customize(ConfigurableWebServerFactory factory) {
        TlsKeys tls = keys;
        if (factory instanceof AbstractConfigurableWebServerFactory known) {
            String address =
                    known.getAddress() == null ? "0.0.0.0" : known.getAddress().getHostAddress();
            String refusal = exposure.refusal(
                    "HTTP on port " + known.getPort(),
                    address,
                    tls != null,
                    "set " + setting + ".cert, .key and .ca, or");
            if (refusal != null) {
                throw refused.apply(refusal);
            }
        }
        if (tls == null) {
            return;
        }
        DefaultSslBundleRegistry bundles = new DefaultSslBundleRegistry(BUNDLE, bundle(tls));
        tls.onChange(() -> bundles.updateBundle(BUNDLE, bundle(tls)));
        Ssl ssl = Ssl.forBundle(BUNDLE);
        ssl.setClientAuth(Ssl.ClientAuth.WANT);
        factory.setSsl(ssl);
        factory.setSslBundles(bundles);
    }

    private static SslBundle bundle(TlsKeys keys) {
        return SslBundle.of(
                SslStoreBundle.of(keys.keyStore(), TlsKeys.password(), keys.trustStore()),
                SslBundleKey.of(TlsKeys.password()));
    }
}
