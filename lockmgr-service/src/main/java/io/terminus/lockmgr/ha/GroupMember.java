package io.terminus.lockmgr.ha;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.store.ReplicatedState;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.ratis.conf.RaftProperties;
import org.apache.ratis.grpc.GrpcConfigKeys;
import org.apache.ratis.proto.RaftProtos.CommitInfoProto;
import org.apache.ratis.protocol.ClientId;
import org.apache.ratis.protocol.GroupManagementRequest;
import org.apache.ratis.protocol.Message;
import org.apache.ratis.protocol.RaftClientReply;
import org.apache.ratis.protocol.RaftClientRequest;
import org.apache.ratis.protocol.RaftGroup;
import org.apache.ratis.protocol.RaftGroupId;
import org.apache.ratis.protocol.RaftPeerId;
import org.apache.ratis.protocol.SetConfigurationRequest;
import org.apache.ratis.protocol.TransferLeadershipRequest;
import org.apache.ratis.server.RaftServer;
import org.apache.ratis.server.RaftServerConfigKeys;
import org.apache.ratis.server.storage.RaftStorage;
import org.apache.ratis.thirdparty.com.google.protobuf.UnsafeByteOperations;
import org.apache.ratis.util.SizeInBytes;
import org.apache.ratis.util.TimeDuration;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * This process as a member of a group, which Apache Ratis keeps together: the log, elections, snapshots and changes of the membership are
 * Ratis's.
 *
 * <p>Who has won an election puts an <em>opening</em> into the log. When that is applied here, everything before it is, and the {@link
 * Listener} gets the state: from then on it may {@link #decide}. Decisions of an older opening are void, whatever Ratis thinks of who leads.
 *
 * <p>Any thread may call.
 */
public final class GroupMember implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(GroupMember.class);

    private static final Duration CHANGE_PATIENCE = Duration.ofSeconds(30);

    /**
     * @param directory the log and the snapshots, of this member alone
     * @param electionTimeout a leader that is silent for so long is replaced; up to twice as long, lest all try at once
     * @param snapshotAfterEntries a snapshot, and an end of the log before it, after so many entries
     */
    public record Settings(
            Member self, Path directory, Duration electionTimeout, long snapshotAfterEntries, int keepEntries) {}

    /** What the log had added up to when a leadership began. */
    public record Inheritance(long epoch, long timeNanos, List<Change> changes, Map<String, Long> renewals) {}

    /** Called by Ratis's threads, which must not wait for the group. */
    public interface Listener {
        /** This member leads, from this moment. */
        void leads(Inheritance inheritance);

        /** It does not lead any more, and what it has not been answered may or may not be decided. Also if it did not lead. */
        void follows();

        /** This member is wrong or cannot write, and takes part no more. */
        void failed(String why);
    }

    /** As this member sees it. */
    public record View(
            long epoch,
            long term,
            Optional<Member> leader,
            boolean leads,
            List<Member> members,
            Map<String, Long> commitIndexes,
            long appliedIndex,
            long digest) {}

    private final Settings settings;
    private final Listener listener;
    private final RaftServer server;
    private final RaftGroupId groupId;
    private final ClientId clientId = ClientId.randomId();
    private final AtomicLong calls = new AtomicLong(1);
    private final GroupStateMachine machine;
    /** The group of others that this member starts beside; null: it has one already. */
    private final @Nullable RaftGroup joining;

    /** The opening that was sent last and is not applied yet; empty: none. Each is another one. */
    private volatile String openingAsked = "";

    /**
     * @param group the members at the first start, the same for each; later ones are in the log. Without this member: it votes for nobody,
     *     and waits to be added
     */
    public GroupMember(Settings settings, String name, List<Member> group, Listener listener) throws IOException {
        this.settings = settings;
        this.listener = listener;
        this.groupId = groupId(name);
        this.machine = new GroupStateMachine(new Events());
        Files.createDirectories(settings.directory);
        boolean known = hasLog(settings.directory, name);
        RaftGroup begun =
                RaftGroup.valueOf(groupId, group.stream().map(Member::asPeer).toList());
        boolean belongs = group.contains(settings.self);
        this.joining = belongs || known ? null : begun;
        this.server = RaftServer.newBuilder()
                .setServerId(RaftPeerId.valueOf(settings.self.id()))
                // Without one, it takes those whose directories it finds.
                .setGroup(belongs ? begun : null)
                .setOption(known ? RaftStorage.StartupOption.RECOVER : RaftStorage.StartupOption.FORMAT)
                .setProperties(properties(settings))
                .setStateMachine(machine)
                .build();
    }

    /** Has a member of this group begun in the directory? */
    public static boolean hasLog(Path directory, String name) {
        return Files.isDirectory(directory.resolve(groupId(name).getUuid().toString()));
    }

    /** Has it stopped by itself, as after a pause of a minute or a failure of its disk? Nobody is told otherwise. */
    public boolean hasStopped() {
        if (server.getLifeCycleState().isClosingOrClosed()) {
            return true;
        }
        try {
            return !server.getDivision(groupId).getInfo().isAlive();
        } catch (IOException e) {
            return false; // not in the group yet
        }
    }

    static RaftGroupId groupId(String name) {
        return RaftGroupId.valueOf(UUID.nameUUIDFromBytes(("terminus " + name).getBytes(StandardCharsets.UTF_8)));
    }

    private static RaftProperties properties(Settings settings) {
        RaftProperties p = new RaftProperties();
        RaftServerConfigKeys.setStorageDir(p, List.of(settings.directory.toFile()));
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
        String raft = settings.self.raftAddress();
        GrpcConfigKeys.Server.setPort(p, Integer.parseInt(raft.substring(raft.lastIndexOf(':') + 1)));
        return p;
    }

    public void start() throws IOException, TimeoutException, InterruptedException {
        server.start();
        if (joining != null) {
            await(server.groupManagementAsync(
                    GroupManagementRequest.newAdd(clientId, server.getId(), calls.getAndIncrement(), joining, true)));
        }
    }

    /** Begins a leadership, if this member has won the election and none was asked for. Harmless at any time. */
    public void claim() {
        if (!openingAsked.isEmpty() || !view().leads()) {
            return;
        }
        String leadership = settings.self.id() + "#" + UUID.randomUUID();
        openingAsked = leadership;
        var unused = send(GroupEntry.opening(leadership)).exceptionally(failure -> {
            LOG.info("the lead was lost before it began: {}", failure.getMessage());
            if (openingAsked.equals(leadership)) {
                openingAsked = "";
            }
            return null;
        });
    }

    /**
     * Puts a decision behind all others of this leadership.
     *
     * @param number one more than that of the decision before, from 1
     * @param last false: a part, behind which more come
     * @return true when it is decided for ever; false if it is void because another leads since; fails if that is not known
     */
    public CompletableFuture<Boolean> decide(
            long epoch, long number, long timeNanos, long digest, boolean last, byte[] items) {
        return send(GroupEntry.decision(epoch, number, timeNanos, digest, last, items))
                .thenApply(reply -> reply.getMessage().getContent().equals(GroupStateMachine.APPLIED.getContent()));
    }

    /** Of everything that is decided. A leader with nothing under way finds its own decisions in it. */
    public long digest() {
        return machine.state().digest();
    }

    public int sessionCount() {
        return machine.state().sessionCount();
    }

    private CompletableFuture<RaftClientReply> send(ByteBuffer entry) {
        RaftClientRequest request = RaftClientRequest.newBuilder()
                .setClientId(clientId)
                .setServerId(server.getId())
                .setGroupId(groupId)
                .setCallId(calls.getAndIncrement())
                .setMessage(Message.valueOf(UnsafeByteOperations.unsafeWrap(entry)))
                .setType(RaftClientRequest.writeRequestType())
                .build();
        try {
            return server.submitClientRequestAsync(request).thenCompose(GroupMember::successful);
        } catch (IOException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private static CompletableFuture<RaftClientReply> successful(RaftClientReply reply) {
        return reply.isSuccess()
                ? CompletableFuture.completedFuture(reply)
                : CompletableFuture.failedFuture(
                        reply.getException() == null
                                ? new IOException("the group refused without a reason")
                                : reply.getException());
    }

    public View view() {
        try {
            RaftServer.Division division = server.getDivision(groupId);
            List<Member> members = new ArrayList<>();
            division.getRaftConf().getAllPeers().forEach(peer -> members.add(Member.of(peer)));
            members.sort((one, other) -> one.id().compareTo(other.id()));
            RaftPeerId leader = division.getInfo().getLeaderId();
            Map<String, Long> commits = new LinkedHashMap<>();
            for (CommitInfoProto info : division.getCommitInfos()) {
                commits.put(RaftPeerId.valueOf(info.getServer().getId()).toString(), info.getCommitIndex());
            }
            return new View(
                    machine.state().epoch(),
                    division.getInfo().getCurrentTerm(),
                    leader == null
                            ? Optional.empty()
                            : members.stream()
                                    .filter(member -> member.id().equals(leader.toString()))
                                    .findFirst(),
                    division.getInfo().isLeaderReady(),
                    members,
                    commits,
                    division.getInfo().getLastAppliedIndex(),
                    machine.state().digest());
        } catch (IOException e) {
            throw new IllegalStateException("the group is not there: " + e.getMessage(), e);
        }
    }

    /** Returns when the group has the new membership. Only at the leader. */
    public void setMembers(List<Member> members) throws IOException, TimeoutException, InterruptedException {
        SetConfigurationRequest request = new SetConfigurationRequest(
                clientId,
                server.getId(),
                groupId,
                calls.getAndIncrement(),
                members.stream().map(Member::asPeer).toList());
        await(server.setConfigurationAsync(request));
    }

    /** Returns when the other one leads. Only at the leader. */
    public void moveLead(String to) throws IOException, TimeoutException, InterruptedException {
        TransferLeadershipRequest request = new TransferLeadershipRequest(
                clientId,
                server.getId(),
                groupId,
                calls.getAndIncrement(),
                RaftPeerId.valueOf(to),
                CHANGE_PATIENCE.toMillis() / 3);
        await(server.transferLeadershipAsync(request));
    }

    private static void await(CompletableFuture<RaftClientReply> reply)
            throws IOException, TimeoutException, InterruptedException {
        try {
            var unused = reply.thenCompose(GroupMember::successful).get(CHANGE_PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw new IOException(String.valueOf(e.getCause()), e);
        }
    }

    @Override
    public void close() {
        try {
            server.close();
        } catch (IOException e) {
            LOG.warn("the member of the group could not be closed in order: {}", e.getMessage());
        }
    }

    private final class Events implements GroupStateMachine.Listener {

        @Override
        public void leaderReady() {
            claim();
        }

        @Override
        public void opened(String leadership, long epoch, ReplicatedState state) {
            if (!leadership.equals(openingAsked)) {
                listener.follows();
                return;
            }
            openingAsked = "";
            Map<String, Long> renewals = new LinkedHashMap<>();
            state.forEachRenewal(renewals::put);
            listener.leads(new Inheritance(epoch, state.timeNanos(), state.changes(), renewals));
        }

        @Override
        public void leaderChanged(RaftPeerId leader) {
            if (!leader.equals(server.getId())) {
                listener.follows();
            }
        }

        @Override
        public void notLeader() {
            listener.follows();
        }

        @Override
        public void failed(String why) {
            listener.failed(why);
        }
    }
}
