package io.terminus.agent.app;

import io.terminus.agent.peer.Compression;
import io.terminus.security.TlsFiles;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settable as {@code --agent.name=...} on the command line, {@code AGENT_NAME} in the environment, or in a file.
 *
 * @param name unique among the agents of one lock manager; value blocks and journals carry it, so it never changes
 * @param dataDir belongs to this process alone
 * @param bindAddress for every port; beyond loopback with {@code tls}, or with terminus.insecure
 * @param nbdSocket a unix domain socket that serves NBD beside the port, to the file's owner and group, without TLS
 * @param nbdTls TLS on the NBD port and on the relay to another agent's, in the place of {@code tls}
 * @param advertiseHost how other agents and clients reach this host
 * @param lockManager host:port of the lock manager's gRPC; of a group those of its members, with commas between them
 * @param leaseTtl lease of this agent's session: how long a dead agent's volumes stay locked, and how long, less a third, a lock
 *     manager may be away unnoticed
 * @param peerCompression how journal bytes travel to other agents that are set to it too: see {@link Compression}
 * @param peerTimeout a peer unheard for so long leaves the in-sync set
 * @param electionTimeout an election that is not won by then starts over
 * @param drainTimeout how long a hand-over, or a stop, waits for peers
 * @param journalBudgetMib journal bytes a volume may hold, in MiB: what peers that are away can catch up from
 * @param testHooksDir for tests only: see TestHooks
 * @param tls for every port: callers, clients and peers have to show certificates, and get as far as their roles; null: nothing but NBD is
 *     authenticated, and that if {@code nbdTls} says so
 */
@ConfigurationProperties("agent")
public record AgentProperties(
        String name,
        @DefaultValue(".terminus/agent") Path dataDir,
        @DefaultValue("127.0.0.1") String bindAddress,
        @DefaultValue("localhost") String advertiseHost,
        @DefaultValue("10813") int grpcPort,
        @DefaultValue("10815") int peerPort,
        @DefaultValue("10809") int nbdPort,
        @Nullable Path nbdSocket,
        @Nullable NbdTls nbdTls,
        @DefaultValue("localhost:10811") String lockManager,
        @DefaultValue("30s") Duration leaseTtl,
        @DefaultValue("none") String peerCompression,
        @DefaultValue("2s") Duration peerTimeout,
        @DefaultValue("20s") Duration electionTimeout,
        @DefaultValue("20s") Duration drainTimeout,
        @DefaultValue("4096") int journalBudgetMib,
        @Nullable Path testHooksDir,
        @Nullable TlsFiles tls) {

    /** A client without TLS gets no volume at the NBD port. */
    boolean nbdNeedsTls() {
        return nbdTls == null ? tls != null : nbdTls.required();
    }

    /**
     * PEM files, read anew when they change.
     *
     * @param cert this agent's certificate, and those between it and the one clients trust
     * @param key its private key, without a password
     * @param ca clients must show a certificate that one of these has signed
     * @param protocols versions of TLS, as Java names them
     * @param required clients without TLS are turned away
     */
    public record NbdTls(
            Path cert,
            Path key,
            Path ca,
            @DefaultValue({"TLSv1.3", "TLSv1.2"}) List<String> protocols,
            @DefaultValue("true") boolean required) {

        private static final List<String> KNOWN = List.of("TLSv1.3", "TLSv1.2");

        public NbdTls {
            require(
                    !protocols.isEmpty() && KNOWN.containsAll(protocols),
                    "agent.nbd-tls.protocols of " + protocols + " are not among " + KNOWN);
        }
    }

    /** What a session at the lock manager may ask for. */
    private static final Duration SHORTEST_LEASE = Duration.ofMillis(300);

    private static final Duration LONGEST_LEASE = Duration.ofMinutes(10);

    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,63}");

    public AgentProperties {
        require(
                NAME.matcher(name).matches(),
                "agent.name of \"" + name + "\" breaks the rule 1 to 64 characters of [A-Za-z0-9._-]");
        port("agent.grpc-port", grpcPort);
        port("agent.peer-port", peerPort);
        port("agent.nbd-port", nbdPort);
        require(journalBudgetMib >= 4, "agent.journal-budget-mib of " + journalBudgetMib + " is less than 4");
        require(
                leaseTtl.compareTo(SHORTEST_LEASE) >= 0 && leaseTtl.compareTo(LONGEST_LEASE) <= 0,
                "agent.lease-ttl of " + leaseTtl + " breaks the rule 300 ms to 10 min");
        Compression.of("agent.peer-compression", peerCompression);
        require(lockManager.indexOf(':') > 0, "agent.lock-manager of \"" + lockManager + "\" is not host:port");
    }

    Compression compression() {
        return Compression.of("agent.peer-compression", peerCompression);
    }

    private static void port(String key, int port) {
        require(port >= 0 && port <= 65535, key + " of " + port + " breaks the rule 0 to 65535");
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
