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
import java.util.function.UnaryOperator;
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
import org.apache.ratis.server.storage.RaftStorage;
import org.apache.ratis.thirdparty.com.google.protobuf.UnsafeByteOperations;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * This process as a member of one group, which Apache Ratis keeps together: the log, elections, snapshots and changes of the membership are
 * Ratis's. What it shares with the other groups of the process is its {@link RaftHost}'s.
 *
 * <p>Who has won an election puts an <em>opening</em> into the log. When that is applied here, everything before it is, and the {@link
 * Listener} gets the state: from then on it may {@link #decide}. Decisions of an older opening are void, whatever Ratis thinks of who leads.
 *
 * <p>Any thread may call.
 */
public final class GroupMember {

    private static final Logger LOG = LoggerFactory.getLogger(GroupMember.class);

    private static final Duration CHANGE_PATIENCE = Duration.ofSeconds(30);

    /** Changes of the membership by several at a time: each is made again on what the one before left. */
    private static final int CHANGE_TRIES = 5;

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

    private final RaftHost.Settings settings;
    private final Listener listener;
    private final RaftHost host;
    private final RaftGroupId groupId;
    private final ClientId clientId = ClientId.randomId();
    private final AtomicLong calls = new AtomicLong(1);
    private volatile GroupStateMachine machine;
    /** As the settings have it: the members at the first start. */
    private final RaftGroup begun;
    /** This member is one of them. Else it votes for nobody, and waits to be added. */
    private final boolean belongs;
    /** It has taken part before. */
    private final boolean known;

    private final Claim claim = new Claim();

    /** All members were found to read it. */
    private volatile int readByAll = 1;

    GroupMember(RaftHost host, RaftHost.Begun group) throws IOException {
        this.host = host;
        this.settings = host.settings();
        this.listener = group.listener();
        this.machine = new GroupStateMachine(new Events(), settings.newestFormat());
        this.groupId = groupId(group.name());
        this.known = hasLog(settings.directory(), group.name());
        TornTail.takeOut(settings.directory().resolve(groupId.getUuid().toString()));
        this.begun = RaftGroup.valueOf(
                groupId, group.members().stream().map(Member::asPeer).toList());
        this.belongs = group.members().contains(settings.self());
    }

    RaftGroupId id() {
        return groupId;
    }

    /** For Ratis, which uses none twice. */
    GroupStateMachine newMachine() {
        GroupStateMachine next = new GroupStateMachine(new Events(), settings.newestFormat());
        machine = next;
        return next;
    }

    /** As the server is to have it from its beginning; null: without one, it takes those whose directories it finds. */
    @Nullable
    RaftGroup fromTheBeginning() {
        return belongs ? begun : null;
    }

    RaftStorage.StartupOption startup() {
        return known ? RaftStorage.StartupOption.RECOVER : RaftStorage.StartupOption.FORMAT;
    }

    /** Has a member of this group begun in the directory? */
    public static boolean hasLog(Path directory, String name) {
        return Files.isDirectory(directory.resolve(groupId(name).getUuid().toString()));
    }

    /** Has it stopped by itself, as after a failure of its disk? Nobody is told otherwise. */
    public boolean hasStopped() {
        RaftServer server = host.server();
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

    /**
     * To be called when the server has started: takes part, if it does not do so already.
     *
     * @throws IOException also if its log cannot be read
     */
    void join() throws IOException, TimeoutException, InterruptedException {
        RaftServer server = host.server();
        boolean there = false;
        for (RaftGroupId one : server.getGroupIds()) {
            there |= one.equals(groupId);
        }
        // What it found by the directory alone knows no members until the log has named some.
        if (there
                && belongs
                && server.getDivision(groupId).getRaftConf().getAllPeers().isEmpty()) {
            await(server.groupManagementAsync(GroupManagementRequest.newRemove(
                    clientId, server.getId(), calls.getAndIncrement(), groupId, false, false)));
            there = false;
        }
        if (!there) {
            await(server.groupManagementAsync(
                    GroupManagementRequest.newAdd(clientId, server.getId(), calls.getAndIncrement(), begun, !known)));
        }
        if (belongs || known) {
            // Ratis may start without a log, and takes part in nothing then.
            var unused = server.getDivision(groupId).getRaftLog().getNextIndex();
        }
    }

    /** Begins a leadership, if this member has won the election and has none. Harmless at any time. */
    public void claim() {
        String leadership = settings.self().id() + "#" + UUID.randomUUID();
        // Who has lost the election in between finds the opening refused.
        if (view().leads() && claim.ask(leadership)) {
            var unused = send(GroupEntry.opening(format(), leadership)).exceptionally(failure -> {
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
        return send(GroupEntry.decision(format(), epoch, number, timeNanos, digest, last, items))
                .thenApply(reply -> reply.getMessage().getContent().equals(GroupStateMachine.APPLIED.getContent()));
    }

    /** In which this member writes what it decides: the newest that it knows all members to read. */
    public int format() {
        return Math.max(readByAll, machine.state().format());
    }

    /** The newest that this member reads. */
    public int newestFormat() {
        return settings.newestFormat();
    }

    /** Every member reads this one. There is no way back from it: members of before could not read the log any more. */
    public void readByAll(int format) {
        readByAll = Math.max(readByAll, Math.min(format, settings.newestFormat()));
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
                .setServerId(host.server().getId())
                .setGroupId(groupId)
                .setCallId(calls.getAndIncrement())
                .setMessage(Message.valueOf(UnsafeByteOperations.unsafeWrap(entry)))
                .setType(RaftClientRequest.writeRequestType())
                .build();
        try {
            return host.server().submitClientRequestAsync(request).thenCompose(GroupMember::successful);
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
            RaftServer.Division division = host.server().getDivision(groupId);
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
        RaftServer server = host.server();
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
        RaftServer server = host.server();
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
            if (!leader.equals(host.server().getId())) {
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
