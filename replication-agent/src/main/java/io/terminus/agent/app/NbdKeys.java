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
import java.net.InetSocketAddress;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * The keys of NBD, of its port and of the relay to another agent's: keys of its own, those of all ports, or none. Agents of a set are
 * set up alike, so what this port asks of clients is what the writer's port asks of a relay.
 */
final class NbdKeys implements AutoCloseable {

    private static final List<String> PROTOCOLS = List.of("TLSv1.3", "TLSv1.2");
    private static final Set<Role> USERS = EnumSet.of(Role.CLIENT, Role.AGENT);

    private final Security security;
    private final @Nullable TlsKeys keys;
    private final boolean own;

    private NbdKeys(Security security, @Nullable TlsKeys keys, boolean own) {
        this.security = security;
        this.keys = keys;
        this.own = own;
    }

    /**
     * @param own of NBD alone, if there are any
     * @param all of all ports, if there are any
     */
    static NbdKeys load(@Nullable NbdTls own, @Nullable TlsKeys all) {
        return own != null ? load(own) : all != null ? of(all) : new NbdKeys(Security.plain(), null, false);
    }

    /**
     * Keys and an authority for NBD alone: a certificate that the authority has signed lets its owner in, with a role or without.
     *
     * @throws StartRefusedException naming the setting that is wrong
     */
    static NbdKeys load(NbdTls tls) {
        try {
            TlsKeys keys = TlsKeys.load("agent.nbd-tls", new TlsFiles(tls.cert(), tls.key(), tls.ca()));
            return new NbdKeys(
                    new Security(Optional.of(keys::context), tls.protocols(), tls.required(), admission(false)),
                    keys,
                    true);
        } catch (KeysRefusedException e) {
            throw new StartRefusedException(String.valueOf(e.getMessage()), e);
        }
    }

    /** The keys of all ports: clients need a role. Agents have one, because they relay. */
    static NbdKeys of(TlsKeys keys) {
        return new NbdKeys(new Security(Optional.of(keys::context), PROTOCOLS, true, admission(true)), keys, false);
    }

    /** How long they hold, if they are of NBD alone: those of all ports are shown once. */
    void show(MeterRegistry meters) {
        if (own) {
            TlsMetrics.show(meters, keys);
        }
    }

    /** Of the port here. */
    Security security() {
        return security;
    }

    /**
     * How the relay begins TLS with the agent that writes. Under the keys of all ports its certificate has to name that agent; an
     * authority of NBD's own need not know agents by name, so there the host's name is what counts, as for every client.
     */
    Optional<Supplier<SSLEngine>> towards(String agent, InetSocketAddress at) {
        TlsKeys mine = keys;
        if (mine == null) {
            return Optional.empty();
        }
        return Optional.of(() -> own
                ? mine.clientEngine(at.getHostString(), at.getPort())
                : mine.clientEngine(at.getHostString(), at.getPort(), agent));
    }

    @Override
    public void close() {
        if (own && keys != null) {
            keys.close();
        }
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
