package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.PutOutcome;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.AddMemberRequest;
import io.terminus.proto.lock.v1.ClusterMember;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.MoveLeadRequest;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.RemoveMemberRequest;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Groups of lock managers in one process: what clients keep when the lead goes from one to another. */
@Timeout(120)
class ClusterNodeTest {

    private static final Duration WAIT = Duration.ofSeconds(20);
    private static final long NO_SNAPSHOTS = 1_000_000;

    @TempDir
    Path directory;

    @Test
    void sessionsAndLocksLiveOnWhenTheLeaderStopsAndTheNextTokenIsHigher() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS);
                LockClient holder = group.client("holder");
                LockClient other = group.client("other")) {
            Grant held = holder.lock(exclusive("v", 0, 100));
            PutOutcome put = holder.putValue(
                            holder.lock(AcquireRequest.of("w", LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, WAIT)),
                            0,
                            "configuration".getBytes(StandardCharsets.UTF_8))
                    .get(20, TimeUnit.SECONDS);
            String session = holder.sessionId();

            group.stop(group.leader());
            CompletableFuture<Grant> waits = other.acquire(exclusive("v", 50, 60));
            await().atMost(WAIT)
                    .until(() -> holder.status().state() == LockClient.State.ATTACHED
                            && holder.status().epoch()
                                    == group.view(group.leader()).getEpoch()
                            && held.believed());

            assertThat(put).isInstanceOf(PutOutcome.Written.class);
            assertThat(held.believed()).isTrue();
            assertThat(holder.sessionId()).isEqualTo(session);
            assertThat(waits).isNotDone();
            held.release().get(20, TimeUnit.SECONDS);
            assertThat(waits.get(20, TimeUnit.SECONDS).token()).isGreaterThan(held.token());
            assertThat(new String(other.value("w").get(20, TimeUnit.SECONDS).bytes(), StandardCharsets.UTF_8))
                    .isEqualTo("configuration");
        }
    }

    @Test
    void everyRequestIsAnsweredOnceWhileTheLeadGoesRound() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS);
                LockClient client = group.client("busy")) {
            List<CompletableFuture<Grant>> asked = new ArrayList<>();

            for (int move = 0; move < 3; move++) {
                for (int i = 0; i < 200; i++) {
                    int at = asked.size();
                    asked.add(client.acquire(exclusive("v", at, at + 1)));
                }
                moveLead(group);
            }
            for (CompletableFuture<Grant> one : asked) {
                one.get(20, TimeUnit.SECONDS);
            }

            // Each lock is held once: another of the same range would have conflicted with it.
            LockAdminGrpc.LockAdminBlockingStub admin = LockAdminGrpc.newBlockingStub(group.channel(group.leader()));
            assertThat(admin.listVolumes(ListVolumesRequest.getDefaultInstance())
                            .getVolumes(0)
                            .getHeld())
                    .isEqualTo(600);
            group.awaitAgreement();
        }
    }

    @Test
    void whoDoesNotLeadRefusesAndNamesTheOneThatDoes() {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS)) {
            String leader = group.leader();
            String follower = group.followers().getFirst();
            await().atMost(WAIT)
                    .until(() ->
                            group.node(follower).groups().getFirst().leader().isPresent());

            assertThatThrownBy(() -> LockAdminGrpc.newBlockingStub(group.channel(follower))
                            .listVolumes(ListVolumesRequest.getDefaultInstance()))
                    .isInstanceOfSatisfying(StatusRuntimeException.class, e -> {
                        Metadata trailers = e.getTrailers();
                        assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
                        assertThat(trailers).isNotNull();
                        assertThat(trailers.get(NotLeading.LEADER)).isEqualTo(group.clientAddress(leader));
                    });
            assertThatThrownBy(() -> group.node(follower).admin().ask((table, attached, now) -> 1))
                    .isInstanceOf(AdminRefusedException.class)
                    .hasMessageContaining("lock manager " + follower + " does not lead its group; " + leader
                            + " does, at " + group.clientAddress(leader));
            assertThat(group.gauge(leader, "terminus.group.leads")).isEqualTo(1);
            assertThat(group.gauge(follower, "terminus.group.leads")).isZero();
            assertThat(group.gauge(follower, "terminus.group.members")).isEqualTo(3);
        }
    }

    @Test
    void theLockOfOneWhoDiedComesFreeUnderTheNextLeader() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS);
                LockClient next = group.client("next")) {
            // Opened without a stream: nobody renews it.
            var service = LockServiceGrpc.newBlockingStub(group.channel(group.leader()));
            String dead = service.openSession(OpenSessionRequest.newBuilder()
                            .setOwner("dead")
                            .setTtlMillis(TestGroup.TTL.toMillis())
                            .build())
                    .getSessionId();
            var answer = service.acquireLock(AcquireLockRequest.newBuilder()
                    .setSessionId(dead)
                    .setAcquire(Acquire.newBuilder()
                            .setVolume("v")
                            .setRange(Range.newBuilder().setEnd(10))
                            .setMode(Mode.MODE_EX))
                    .build());

            group.stop(group.leader());

            assertThat(next.lock(exclusive("v", 0, 10)).token())
                    .isGreaterThan(answer.getGranted().getToken());
        }
    }

    @Test
    void aMemberThatWasAwayTakesASnapshotAndOneThatWasWipedIsTakenInAgain() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 3, 50);
                LockClient client = group.client("holder")) {
            List<Grant> held = new ArrayList<>();
            held.add(client.lock(exclusive("v", 0, 1)));
            List<String> followers = group.followers();

            group.stop(followers.getFirst());
            for (int i = 1; i < 200; i++) {
                held.add(client.lock(exclusive("v", i, i + 1)));
            }
            group.start(followers.getFirst());
            group.awaitAgreement();
            group.stop(followers.getLast());
            group.wipe(followers.getLast());
            group.start(followers.getLast());
            await().atMost(TestGroup.PATIENCE)
                    .until(() -> group.view(followers.getLast()).getFormed()
                            && group.view(followers.getLast()).getMembersCount() == 3);

            group.awaitAgreement();
            assertThat(Files.readString(group.dataOf(followers.getLast()).resolve("member")))
                    .contains("test " + followers.getLast());
            assertThat(held).allMatch(Grant::believed);
            // What they have taken over, they can lead with.
            move(group, followers.getLast());
            assertThat(client.lock(exclusive("v", 500, 501)).token())
                    .isGreaterThan(held.getLast().token());
        }
    }

    @Test
    void membersComeAndGoWhileLocksAreHeld() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS);
                LockClient client = group.client("holder")) {
            Grant held = client.lock(exclusive("v", 0, 1));
            String leader = group.leader();
            String leaves = group.followers().getFirst();
            Member d = Member.parse(group.plan("d"));

            group.start("d");
            group.cluster(leader)
                    .addMember(AddMemberRequest.newBuilder()
                            .setMember(ClusterMember.newBuilder()
                                    .setId("d")
                                    .setRaftAddress(d.raftAddress())
                                    .setClientAddress(d.clientAddress()))
                            .build());
            group.cluster(leader)
                    .removeMember(RemoveMemberRequest.newBuilder().setId(leaves).build());
            group.stop(leaves);

            assertThat(group.view(leader).getMembersList())
                    .extracting(ClusterMember::getId)
                    .contains("d", leader)
                    .doesNotContain(leaves)
                    .hasSize(3);
            move(group, "d");
            assertThat(held.believed()).isTrue();
            assertThat(client.lock(exclusive("v", 1, 2)).token()).isGreaterThan(held.token());
            assertThatThrownBy(() -> group.cluster("d")
                            .removeMember(
                                    RemoveMemberRequest.newBuilder().setId("d").build()))
                    .hasMessageContaining("member d leads: move the lead first");
        }
    }

    @Test
    void ofTwoChangesOfTheMembershipAtOnceNoneUndoesTheOther() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS)) {
            String leader = group.leader();
            String leaves = group.followers().getFirst();
            Member d = Member.parse(group.plan("d"));
            GroupMember members = Objects.requireNonNull(
                    group.node(leader).groups().getFirst().member());
            AtomicBoolean first = new AtomicBoolean(true);

            group.start("d");
            members.changeMembers(before -> {
                if (first.getAndSet(false)) {
                    // Another one comes in between, when this one has seen who they are.
                    var unused = group.cluster(leader)
                            .removeMember(RemoveMemberRequest.newBuilder()
                                    .setId(leaves)
                                    .build());
                }
                List<Member> more = new ArrayList<>(before);
                more.add(d);
                return more;
            });

            assertThat(group.view(leader).getMembersList())
                    .extracting(ClusterMember::getId)
                    .contains("d", leader)
                    .doesNotContain(leaves)
                    .hasSize(3);
        }
    }

    @Test
    void aWordAboutALeadershipOfBeforeEndsNoOther() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 1, NO_SNAPSHOTS);
                LockClient client = group.client("holder")) {
            Grant held = client.lock(exclusive("v", 0, 1));
            long epoch = group.view("a").getEpoch();

            group.node("a").groups().getFirst().over(epoch - 1);
            Grant beside = client.lock(exclusive("v", 1, 2));
            long epochAfterAnOldWord = client.status().epoch();
            group.node("a").groups().getFirst().over(epoch);
            await().atMost(WAIT).until(() -> client.status().epoch() > epoch);

            assertThat(beside.token()).isGreaterThan(held.token());
            assertThat(epochAfterAnOldWord).isEqualTo(epoch);
            assertThat(client.lock(exclusive("v", 2, 3)).token()).isGreaterThan(beside.token());
        }
    }

    @Test
    void aMemberWhoseServerHasStoppedByItselfEndsItsProcess() {
        try (TestGroup group = TestGroup.start(directory, 3, NO_SNAPSHOTS)) {
            String stops = group.followers().getFirst();

            Objects.requireNonNull(group.node(stops).host()).close();

            await().atMost(WAIT).until(() -> group.failures(stops) == 1);
        }
    }

    @Test
    void membersBehindOneNameFormAGroupAndOneThatComesBackUnderAnotherAddressIsFoundAgain() throws Exception {
        try (TestGroup group = TestGroup.named(directory, 3);
                LockClient client = group.client("holder")) {
            Grant held = client.lock(exclusive("v", 0, 1));
            String moves = group.followers().getFirst();

            group.stop(moves);
            group.move(moves, "127.0.0.21");
            group.start(moves);

            group.awaitAgreement();
            assertThat(held.believed()).isTrue();
            assertThat(group.view(moves).getMembersList())
                    .extracting(ClusterMember::getId)
                    .containsExactly("m-0", "m-1", "m-2");
        }
    }

    @Test
    void aPortOfTheGroupThatIsTakenIsRefusedInOneSentence() throws Exception {
        try (TestGroup group = TestGroup.start(directory, 1, NO_SNAPSHOTS)) {
            int port = group.raftPort("a");
            group.stop("a");
            try (ServerSocket taken = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {

                assertThatThrownBy(() -> group.start("a"))
                        .isInstanceOf(StartRefusedException.class)
                        .hasMessageContaining(
                                "the group's port cannot listen on 127.0.0.1 port " + taken.getLocalPort());
            }
            group.start("a");
            assertThat(group.leader()).isEqualTo("a");
        }
    }

    @Test
    void theGroupsPortIsOpenWhereTheSettingsSayAndNowhereElse() {
        try (TestGroup group = TestGroup.start(directory, 1, NO_SNAPSHOTS)) {
            int port = group.raftPort("a");

            assertThatCode(() -> new Socket("127.0.0.1", port).close()).doesNotThrowAnyException();
            assertThatThrownBy(() -> new Socket("127.0.0.2", port).close()).isInstanceOf(ConnectException.class);
        }
    }

    @Test
    void aDirectoryOfAnotherMemberIsRefused() throws Exception {
        Formation formation =
                new Formation(directory, "test", Member.parse("a=h:1/h:2"), List.of(Member.parse("a=h:1/h:2")));
        formation.look();
        formation.begun();

        Formation stranger =
                new Formation(directory, "test", Member.parse("b=h:1/h:2"), List.of(Member.parse("b=h:1/h:2")));

        assertThatThrownBy(stranger::recall)
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("belongs to 'test a', and this is 'test b'");
    }

    private static void moveLead(TestGroup group) {
        move(group, group.followers().getFirst());
    }

    private static void move(TestGroup group, String to) {
        String from = group.leader();
        var unused = group.cluster(from)
                .moveLead(MoveLeadRequest.newBuilder().setTo(to).build());
        await().atMost(TestGroup.PATIENCE).until(() -> group.leader().equals(to));
    }

    private static AcquireRequest exclusive(String volume, long start, long end) {
        return AcquireRequest.of(volume, LockRange.of(start, end), LockMode.EXCLUSIVE, WAIT);
    }
}
