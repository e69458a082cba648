package io.terminus.lockmgr.app;

import java.nio.file.Path;
import java.time.Duration;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;

/**
 * Settable as {@code --lockmgr.data-dir=...} on the command line, {@code LOCKMGR_DATADIR} in the environment, or in a file.
 *
 * @param dataDir belongs to this process alone
 * @param grpcPort 0 takes any free port
 * @param bindAddress for gRPC, and for HTTP unless server.address says otherwise
 * @param minTtl shortest lease given; who asks for less gets this
 * @param maxTtl longest lease given. After a loss of memory nothing is granted for the longest that was ever configured
 * @param defaultTtl lease of a client that asks for none in particular
 * @param recallDeadline how long a holder that reports no progress may take to give back what is recalled
 * @param recallCap how long it may take in all
 * @param compactAfter the log is begun anew when it has grown by so much
 * @param maxLocks what the files of grants are laid out for when the data directory is made
 * @param epochAtLeast to be set above the last known epoch after an older copy of the data directory was put back
 * @param outboundLimit answers and events that may wait for a client that does not read
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
        @DefaultValue("65536") int outboundLimit) {

    public LockManagerProperties {
        require(grpcPort >= 0 && grpcPort <= 65535, "lockmgr.grpc-port of " + grpcPort + " breaks the rule 0 to 65535");
        require(maxLocks > 0, "lockmgr.max-locks of " + maxLocks + " must be positive");
        require(
                epochAtLeast >= 0 && epochAtLeast < 1 << 23,
                "lockmgr.epoch-at-least of " + epochAtLeast + " breaks the rule 0 to 8388607");
        require(outboundLimit > 0, "lockmgr.outbound-limit of " + outboundLimit + " must be positive");
        require(compactAfter.toBytes() > 0, "lockmgr.compact-after of " + compactAfter + " must be positive");
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
