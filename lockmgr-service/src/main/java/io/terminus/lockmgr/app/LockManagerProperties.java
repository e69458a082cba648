package io.terminus.lockmgr.app;

import io.terminus.lockmgr.grpc.ServiceLimits;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.proto.lock.Groups;
import io.terminus.security.TlsFiles;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;

/**
 * Settable as {@code --lockmgr.data-dir=...} on the command line, {@code LOCKMGR_DATADIR} in the environment, or in a file.
 *
 * @param dataDir belongs to this process alone
 * @param grpcPort 0 takes any free port
 * @param bindAddress for gRPC and for the other members of a group, and for HTTP unless server.address says otherwise
 * @param minTtl shortest lease given; who asks for less gets this
 * @param maxTtl longest lease given. After a loss of memory nothing is granted for the longest that was ever configured
 * @param defaultTtl lease of a client that asks for none in particular
 * @param recallDeadline how long a holder that reports no progress may take to give back what is recalled
 * @param recallCap how long it may take in all
 * @param compactAfter the log is begun anew when it has grown by so much
 * @param maxLocks what the files of grants are laid out for when the data directory is made; three times as many may be
 *     held and waited for
 * @param epochAtLeast to be set above the last known epoch after an older copy of the data directory was put back
 * @param outboundLimit answers and events that may wait for a client that does not read
 * @param limits what one client or volume may take
 * @param mode alone, or one of a group that is one lock manager together
 * @param groups of lock managers over which the volumes are spread, each with a leader and a log of its own; 1 to 16, the same at every
 *     member, and never to be changed
 * @param cluster of a group
 * @param tls for gRPC, HTTP and the other members of a group: callers have to show certificates; null: nobody is authenticated
 */
@ConfigurationProperties("lockmgr")
public record LockManagerProperties(
        @DefaultValue(".terminus/lockmgr") Path dataDir,
        @DefaultValue("10811") int grpcPort,
        @DefaultValue("127.0.0.1") String bindAddress,
        @DefaultValue("1s") Duration minTtl,
        @DefaultValue("60s") Duration maxTtl,
        @DefaultValue("6s") Duration defaultTtl,
        @DefaultValue("5s") Duration recallDeadline,
        @DefaultValue("30s") Duration recallCap,
        @DefaultValue("64MB") DataSize compactAfter,
        @DefaultValue("1000000") long maxLocks,
        @DefaultValue("0") long epochAtLeast,
        @DefaultValue("65536") int outboundLimit,
        @DefaultValue Limits limits,
        @DefaultValue("standalone") Mode mode,
        @DefaultValue("1") int groups,
        @DefaultValue Cluster cluster,
        @Nullable TlsFiles tls) {

    /**
     * {@code lockmgr.limits.*}. Who asks for more is refused with LIMIT_EXCEEDED and a sentence that names the bound.
     *
     * @param sessions open at a time
     * @param volumes that are in use, have a value block or a lock delay, or were in use a minute ago
     * @param locksPerSession held and waited for
     * @param waitersPerSession waited for alone
     * @param locksPerVolume held and waited for
     * @param waitersPerVolume waited for alone
     * @param nameLength of volumes and owners, in characters, 40 to 128; ids are names too
     * @param valueSize of a value block
     * @param rangesPerRequest of one acquire; at most 64
     * @param operationsPerMessage of one message of a session stream
     * @param messageSize of one message of a session stream, which a longer one ends
     * @param watchers of all volumes together
     * @param watchBacklog events that may wait for a watcher that does not read
     */
    public record Limits(
            @DefaultValue("100000") int sessions,
            @DefaultValue("100000") int volumes,
            @DefaultValue("2097152") int locksPerSession,
            @DefaultValue("65536") int waitersPerSession,
            @DefaultValue("4194304") int locksPerVolume,
            @DefaultValue("131072") int waitersPerVolume,
            @DefaultValue("128") int nameLength,
            @DefaultValue("4KB") DataSize valueSize,
            @DefaultValue("64") int rangesPerRequest,
            @DefaultValue("4096") int operationsPerMessage,
            @DefaultValue("4MB") DataSize messageSize,
            @DefaultValue("1000") int watchers,
            @DefaultValue("16384") int watchBacklog) {}

    public enum Mode {
        STANDALONE,
        CLUSTER
    }

    /**
     * {@code lockmgr.cluster.*}
     *
     * @param node which of the members this is; with a service the host's name, if it is not set
     * @param members ID=HOST:PORT/HOST:PORT of each, for the group and for clients; the same list at every member
     * @param service NAME:PORT/PORT, for the group and for clients, in place of members: they are the hosts NODE-0, NODE-1 and so on
     *     behind that name, as the pods of a StatefulSet behind their headless service
     * @param size so many members, with a service
     * @param name of the group: members of another one are strangers
     * @param electionTimeout a leader that is silent for so long is replaced; up to twice as long, lest all try at once
     * @param snapshotAfter so many entries of the log
     * @param keepEntries so many stay in the log behind a snapshot, so that a member that was away shortly needs none
     */
    public record Cluster(
            @DefaultValue("") String node,
            @DefaultValue List<String> members,
            @DefaultValue("") String service,
            @DefaultValue("3") int size,
            @DefaultValue("lockmgr") String name,
            @DefaultValue("500ms") Duration electionTimeout,
            @DefaultValue("100000") long snapshotAfter,
            @DefaultValue("10000") int keepEntries) {

        static final Cluster NONE =
                new Cluster("", List.of(), "", 3, "lockmgr", Duration.ofMillis(500), 100_000, 10_000);

        public Cluster {
            members = List.copyOf(members);
            require(
                    members.isEmpty() || service.isEmpty(),
                    "lockmgr.cluster.members and lockmgr.cluster.service are both set: the members are given by one of them");
            require(size >= 1 && size <= 9, "lockmgr.cluster.size of " + size + " breaks the rule 1 to 9");
            require(
                    electionTimeout.compareTo(Duration.ofMillis(100)) >= 0
                            && electionTimeout.compareTo(Duration.ofSeconds(30)) <= 0,
                    "lockmgr.cluster.election-timeout of " + electionTimeout + " breaks the rule 100 ms to 30 s");
            require(snapshotAfter > 0, "lockmgr.cluster.snapshot-after of " + snapshotAfter + " must be positive");
            require(keepEntries >= 0, "lockmgr.cluster.keep-entries of " + keepEntries + " is negative");
        }
    }

    public LockManagerProperties {
        require(grpcPort >= 0 && grpcPort <= 65535, "lockmgr.grpc-port of " + grpcPort + " breaks the rule 0 to 65535");
        require(maxLocks > 0, "lockmgr.max-locks of " + maxLocks + " must be positive");
        require(
                epochAtLeast >= 0 && epochAtLeast < 1 << 23,
                "lockmgr.epoch-at-least of " + epochAtLeast + " breaks the rule 0 to 8388607");
        require(outboundLimit > 0, "lockmgr.outbound-limit of " + outboundLimit + " must be positive");
        require(
                limits.nameLength() >= 40 && limits.nameLength() <= 128,
                "lockmgr.limits.name-length of " + limits.nameLength() + " breaks the rule 40 to 128");
        require(
                groups >= 1 && groups <= Groups.MOST,
                "lockmgr.groups of " + groups + " breaks the rule 1 to " + Groups.MOST);
        require(
                groups == 1 || mode == Mode.CLUSTER,
                "lockmgr.groups of " + groups + " needs lockmgr.mode=cluster: a single lock manager has 1");
        require(compactAfter.toBytes() > 0, "lockmgr.compact-after of " + compactAfter + " must be positive");
    }

    /** What the gRPC services refuse by themselves. */
    ServiceLimits service() {
        return new ServiceLimits(
                limits.rangesPerRequest(),
                limits.operationsPerMessage(),
                Math.toIntExact(limits.messageSize().toBytes()),
                outboundLimit,
                limits.watchers(),
                limits.watchBacklog());
    }

    /** What the table refuses by itself. */
    Settings table() {
        Settings defaults = Settings.defaults();
        return new Settings(
                minTtl.toNanos(),
                maxTtl.toNanos(),
                defaultTtl.toNanos(),
                recallDeadline.toNanos(),
                recallCap.toNanos(),
                defaults.maxWaitNanos(),
                Math.toIntExact(limits.valueSize().toBytes()),
                limits.locksPerSession(),
                limits.waitersPerSession(),
                limits.locksPerVolume(),
                limits.waitersPerVolume(),
                limits.sessions(),
                limits.volumes(),
                limits.nameLength(),
                defaults.contentionNanos(),
                limits.rangesPerRequest(),
                defaults.maxLocks());
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
