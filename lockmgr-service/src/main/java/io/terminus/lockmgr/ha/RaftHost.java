package io.terminus.lockmgr.ha;

import io.terminus.security.TlsKeys;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.ratis.conf.RaftProperties;
import org.apache.ratis.grpc.GrpcConfigKeys;
import org.apache.ratis.protocol.RaftGroupId;
import org.apache.ratis.protocol.RaftPeerId;
import org.apache.ratis.server.RaftServer;
import org.apache.ratis.server.RaftServerConfigKeys;
import org.apache.ratis.statemachine.StateMachine;
import org.apache.ratis.util.SizeInBytes;
import org.apache.ratis.util.TimeDuration;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What all groups of a process share: Ratis's server with its port, its connections to the other members, and its directory, in which each
 * group has one of its own.
 *
 * <p>Any thread may call.
 */
public final class RaftHost implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(RaftHost.class);

    /** Ratis ends a server that stood still for longer; one that was suspended for a night catches up like any other. */
    private static final TimeDuration LONGEST_PAUSE = TimeDuration.valueOf(365, TimeUnit.DAYS);

    /**
     * @param directory the log and the snapshots, of this member alone
     * @param bindAddress where it listens for the other members, at the port of its raft address
     * @param electionTimeout a leader that is silent for so long is replaced; up to twice as long, lest all try at once
     * @param snapshotAfterEntries a snapshot, and an end of the log before it, after so many entries
     * @param keys of the connections between members; null: they are in clear, and nobody is authenticated
     * @param newestFormat of entries and snapshots that is read here, and that may be written once all members read it
     */
    public record Settings(
            Member self,
            Path directory,
            String bindAddress,
            Duration electionTimeout,
            long snapshotAfterEntries,
            int keepEntries,
            @Nullable TlsKeys keys,
            int newestFormat) {

        /** As this version reads and writes. */
        public static final int NEWEST_FORMAT = GroupEntry.NEWEST;
    }

    /**
     * A group as it is to be taken part in.
     *
     * @param members at the first start, the same for each; later ones are in the log. Without this member: it votes for nobody, and waits to
     *     be added
     */
    public record Begun(String name, List<Member> members, GroupMember.Listener listener) {}

    private final Settings settings;
    private final List<GroupMember> groups = new ArrayList<>();
    private volatile @Nullable RaftServer server;

    /** @param groups the first of them is there when the server begins; at least one */
    public static RaftHost open(Settings settings, List<Begun> groups) throws IOException {
        RaftHost host = new RaftHost(settings);
        requireFree(settings);
        Files.createDirectories(settings.directory);
        for (Begun group : groups) {
            host.groups.add(new GroupMember(host, group));
        }
        GroupMember first = host.groups.getFirst();
        host.server = RaftServer.newBuilder()
                .setServerId(RaftPeerId.valueOf(settings.self.id()))
                .setGroup(first.fromTheBeginning())
                .setOption(first.startup())
                .setProperties(properties(settings))
                .setParameters(RaftTls.parameters(settings.keys))
                .setStateMachineRegistry(host::machine)
                .build();
        return host;
    }

    private RaftHost(Settings settings) {
        this.settings = settings;
    }

    Settings settings() {
        return settings;
    }

    RaftServer server() {
        RaftServer built = server;
        if (built == null) {
            throw new IllegalStateException("a group was asked before its server was built");
        }
        return built;
    }

    private StateMachine machine(RaftGroupId id) {
        return groups.stream()
                .filter(group -> group.id().equals(id))
                .findFirst()
                .map(GroupMember::newMachine)
                .orElseThrow(() -> new IllegalStateException(
                        "directory " + settings.directory.resolve(id.getUuid().toString())
                                + " is of a group that the settings do not name"));
    }

    /** In the order in which they were given. */
    public List<GroupMember> groups() {
        return List.copyOf(groups);
    }

    /**
     * Ratis ends the process without a word of ours if it cannot listen.
     *
     * @throws IOException if the member's port cannot be listened on
     */
    public static void requireFree(Settings settings) throws IOException {
        try (ServerSocket socket = new ServerSocket()) {
            socket.setReuseAddress(true); // as Netty does: connections of the start before may linger
            socket.bind(new InetSocketAddress(settings.bindAddress, settings.self.raftPort()));
        } catch (IOException e) {
            throw new IOException(
                    "the group's port cannot listen on " + settings.bindAddress + " port " + settings.self.raftPort()
                            + ": " + e.getMessage(),
                    e);
        }
    }

    private static RaftProperties properties(Settings settings) {
        RaftProperties p = new RaftProperties();
        RaftServerConfigKeys.setStorageDir(p, List.of(settings.directory.toFile()));
        RaftServerConfigKeys.setCloseThreshold(p, LONGEST_PAUSE);
        long millis = settings.electionTimeout.toMillis();
        RaftServerConfigKeys.Rpc.setTimeoutMin(p, TimeDuration.valueOf(millis, TimeUnit.MILLISECONDS));
        RaftServerConfigKeys.Rpc.setTimeoutMax(p, TimeDuration.valueOf(2 * millis, TimeUnit.MILLISECONDS));
        RaftServerConfigKeys.Rpc.setFirstElectionTimeoutMin(p, TimeDuration.valueOf(millis, TimeUnit.MILLISECONDS));
        RaftServerConfigKeys.Rpc.setFirstElectionTimeoutMax(p, TimeDuration.valueOf(2 * millis, TimeUnit.MILLISECONDS));
        RaftServerConfigKeys.Snapshot.setAutoTriggerEnabled(p, true);
        RaftServerConfigKeys.Snapshot.setAutoTriggerThreshold(p, settings.snapshotAfterEntries);
        RaftServerConfigKeys.Snapshot.setCreationGap(p, 1);
        RaftServerConfigKeys.Snapshot.setRetentionFileNum(p, 2);
        // A member that is away gets a snapshot: its absence must not fill the disks of the others.
        RaftServerConfigKeys.Log.setPurgeUptoSnapshotIndex(p, true);
        RaftServerConfigKeys.Log.setPurgePreservationLogNum(p, settings.keepEntries);
        RaftServerConfigKeys.Log.setPurgeGap(p, Math.max(1, settings.keepEntries / 10));
        RaftServerConfigKeys.Log.setSegmentSizeMax(p, SizeInBytes.valueOf("16MB"));
        RaftServerConfigKeys.Log.setSegmentCacheNumMax(p, 2);
        RaftServerConfigKeys.Log.setPreallocatedSize(p, SizeInBytes.valueOf("1MB"));
        // Of each request Ratis remembers the answer for so long; ours are never sent again.
        RaftServerConfigKeys.RetryCache.setExpiryTime(p, TimeDuration.valueOf(5, TimeUnit.SECONDS));
        // Else it listens on all addresses of the host, whatever the members' list says.
        GrpcConfigKeys.Server.setHost(p, settings.bindAddress);
        GrpcConfigKeys.Server.setPort(p, settings.self.raftPort());
        return p;
    }

    /** @throws IOException also if a log cannot be read */
    public void start() throws IOException, TimeoutException, InterruptedException {
        try {
            server().start();
            for (GroupMember group : groups) {
                group.join();
            }
        } catch (CompletionException | IllegalStateException e) {
            throw new IOException(
                    "the group's log in " + settings.directory + " cannot be read: " + e.getMessage()
                            + ". If more than half of the members run and one leads, empty this member's data directory and start it"
                            + " again: it takes what the leader has. If others say this too, empty none of them",
                    e);
        }
    }

    @Override
    public void close() {
        try {
            server().close();
        } catch (IOException e) {
            LOG.warn("the member of the group could not be closed in order: {}", e.getMessage());
        }
    }
}
