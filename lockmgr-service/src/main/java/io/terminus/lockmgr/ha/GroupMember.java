package io.terminus.lockmgr.ha;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.store.ReplicatedState;
import io.terminus.security.TlsKeys;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
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
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.UnaryOperator;
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
import org.apache.ratis.protocol.RaftPeer;
import org.apache.ratis.protocol.RaftPeerId;
import org.apache.ratis.protocol.SetConfigurationRequest;
import org.apache.ratis.protocol.TransferLeadershipRequest;
import org.apache.ratis.protocol.exceptions.ReconfigurationInProgressException;
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

    /** Ratis ends a server that stood still for longer; one that was suspended for a night catches up like any other. */
    private static final TimeDuration LONGEST_PAUSE = TimeDuration.valueOf(365, TimeUnit.DAYS);

    /** Changes of the membership by several at a time: each is made again on what the one before left. */
    private static final int CHANGE_TRIES = 5;

    /**
     * @param directory the log and the snapshots, of this member alone
     * @param bindAddress where it listens for the other members, at the port of its raft address
     * @param electionTimeout a leader that is silent for so long is replaced; up to twice as long, lest all try at once
     * @param snapshotAfterEntries a snapshot, and an end of the log before it, after so many entries
     * @param keys of the connections between members; null: they are in clear, and nobody is authenticated
     */
    public record Settings(
            Member self,
            Path directory,
            String bindAddress,
            Duration electionTimeout,
            long snapshotAfterEntries,
            int keepEntries,
            @Nullable TlsKeys keys) {}

    /** What the log had added up to when a leadership began. */
    public record Inheritance(long epoch, long timeNanos, List<Change> changes, Map<String, Long> renewals) {}

    /** Called by Ratis's threads, which must not wait for the group. */
    public interface Listener {
        /** This member leads, from this moment. */
        void leads(Inheritance inheritance);

        /** The leadership of this epoch is over, and what it has not been answered may or may not be decided. */
        void follows(long epoch);

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

    private final Claim claim = new Claim();

    /**
     * @param group the members at the first start, the same for each; later ones are in the log. Without this member: it votes for nobody,
     *     and waits to be added
     */
    public GroupMember(Settings settings, String name, List<Member> group, Listener listener) throws IOException {
        this.settings = settings;
        this.listener = listener;
        requireFree(settings);
        this.groupId = groupId(name);
        this.machine = new GroupStateMachine(new Events());
        Files.createDirectories(settings.directory);
        boolean known = hasLog(settings.directory, name);
        TornTail.takeOut(settings.directory.resolve(groupId.getUuid().toString()));
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
                .setParameters(GroupPort.limited(RaftTls.parameters(settings.keys)))
                .setStateMachine(machine)
                .build();
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

    /** Has a member of this group begun in the directory? */
    public static boolean hasLog(Path directory, String name) {
        return Files.isDirectory(directory.resolve(groupId(name).getUuid().toString()));
    }

    /** Has it stopped by itself, as after a failure of its disk? Nobody is told otherwise. */
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

    /** @throws IOException also if its log cannot be read */
    public void start() throws IOException, TimeoutException, InterruptedException {
        try {
            server.start();
            if (joining == null) {
                // Ratis may start without a log, and takes part in nothing then.
                var unused = server.getDivision(groupId).getRaftLog().getNextIndex();
            }
        } catch (CompletionException | IllegalStateException e) {
            throw new IOException(
                    "the group's log in " + settings.directory + " cannot be read: " + e.getMessage()
                            + ". If more than half of the members run and one leads, empty this member's data directory and start it"
                            + " again: it takes what the leader has. If others say this too, empty none of them",
                    e);
        }
        if (joining != null) {
            await(server.groupManagementAsync(
                    GroupManagementRequest.newAdd(clientId, server.getId(), calls.getAndIncrement(), joining, true)));
        }
    }

    /** Begins a leadership, if this member has won the election and has none. Harmless at any time. */
    public void claim() {
        String leadership = settings.self.id() + "#" + UUID.randomUUID();
        // Who has lost the election in between finds the opening refused.
        if (view().leads() && claim.ask(leadership)) {
            var unused = send(GroupEntry.opening(leadership)).exceptionally(failure -> {
                LOG.info("the lead was lost before it began: {}", failure.getMessage());
                claim.failed(leadership);
                return null;
            });
        }
    }

    /** Does the leadership of this epoch go on, as far as is known here? */
    public boolean holds(long epoch) {
        return claim.epoch() == epoch;
    }

    /** This member has given up the leadership of this epoch by itself. */
    public void ended(long epoch) {
        claim.ended(epoch);
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
        } catch (IOException | RuntimeException e) {
            // Also of a server that is just closing: the caller has nothing that was decided.
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

    /**
     * Returns when the group has the new membership. Only at the leader.
     *
     * <p>Of several changes at a time none undoes another: each is put to the members that it was made for, and made again for those that
     * there are if these are others by then.
     *
     * @param change what the members are to be, of what they are
     */
    public void changeMembers(UnaryOperator<List<Member>> change)
            throws IOException, TimeoutException, InterruptedException {
        for (int tries = 1; ; tries++) {
            List<Member> before = view().members();
            SetConfigurationRequest request = new SetConfigurationRequest(
                    clientId,
                    server.getId(),
                    groupId,
                    calls.getAndIncrement(),
                    SetConfigurationRequest.Arguments.newBuilder()
                            .setMode(SetConfigurationRequest.Mode.COMPARE_AND_SET)
                            .setServersInCurrentConf(peers(before))
                            .setServersInNewConf(peers(change.apply(before)))
                            .build());
            try {
                await(server.setConfigurationAsync(request));
                return;
            } catch (IOException e) {
                if (tries == CHANGE_TRIES || view().members().equals(before)) {
                    throw e;
                }
            }
        }
    }

    private static List<RaftPeer> peers(List<Member> members) {
        return members.stream().map(Member::asPeer).toList();
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
            if (e.getCause() instanceof ReconfigurationInProgressException) {
                throw new IOException("another change of the members is under way; ask again when it is over", e);
            }
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
            long before = claim.epoch();
            boolean ours = claim.opened(leadership, epoch);
            tellThatItIsOver(before);
            if (!ours) {
                return;
            }
            Map<String, Long> renewals = new LinkedHashMap<>();
            state.forEachRenewal(renewals::put);
            listener.leads(new Inheritance(epoch, state.timeNanos(), state.changes(), renewals));
        }

        @Override
        public void leaderChanged(RaftPeerId leader) {
            if (!leader.equals(server.getId())) {
                notLeader();
            }
        }

        @Override
        public void notLeader() {
            long before = claim.epoch();
            claim.lost();
            tellThatItIsOver(before);
        }

        private void tellThatItIsOver(long epoch) {
            if (epoch != 0) {
                listener.follows(epoch);
            }
        }

        @Override
        public void failed(String why) {
            listener.failed(why);
        }
    }
}
