package io.terminus.agent.app;

import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.agent.app.AgentProperties.NbdTls;
import io.terminus.agent.nbd.Admission;
import io.terminus.agent.nbd.Security;
import io.terminus.security.Identity;
import io.terminus.security.KeysRefusedException;
import io.terminus.security.Role;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import io.terminus.security.TlsMetrics;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/** TLS of the NBD port: with keys of its own, or with those of all ports. */
final class NbdKeys {

    private static final List<String> PROTOCOLS = List.of("TLSv1.3", "TLSv1.2");
    private static final Set<Role> USERS = EnumSet.of(Role.CLIENT, Role.AGENT);

    private NbdKeys() {}

    /**
     * Keys and an authority for NBD alone: a certificate that the authority has signed lets its owner in, with a role or without.
     *
     * @param meters show how long they hold
     * @throws StartRefusedException naming the setting that is wrong
     */
    static Security load(NbdTls tls, MeterRegistry meters) {
        try {
            TlsKeys keys = TlsKeys.load("agent.nbd-tls", new TlsFiles(tls.cert(), tls.key(), tls.ca()));
            TlsMetrics.show(meters, keys);
            return new Security(Optional.of(keys::context), tls.protocols(), tls.required(), admission(false));
        } catch (KeysRefusedException e) {
            throw new StartRefusedException(String.valueOf(e.getMessage()), e);
        }
    }

    /** The keys of all ports: clients need a role. Agents have one, because they relay. */
    static Security of(TlsKeys keys) {
        return new Security(Optional.of(keys::context), PROTOCOLS, true, admission(true));
    }

    private static Admission admission(boolean byRole) {
        return new Admission() {
            @Override
            public @Nullable String refusal(SSLSession client, String export) {
                Identity who = Identity.of(client);
                if (byRole && !who.hasAny(USERS)) {
                    return who.refusal("volume " + export, USERS);
                }
                if (!who.volumes().isEmpty() && !who.volumes().contains(export)) {
                    return "volume " + export + " is not among those of the certificate, " + who.volumes() + "; " + who;
                }
                return null;
            }
        };
    }
}
