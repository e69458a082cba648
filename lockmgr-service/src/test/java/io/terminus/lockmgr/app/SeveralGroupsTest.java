package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.GrantSet;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.LockRefusedException;
import io.terminus.lockmgr.client.PutOutcome;
import io.terminus.lockmgr.client.RefusalReason;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Range;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Three lock managers that spread their volumes over several groups, in one process. */
@Timeout(120)
class SeveralGroupsTest {

    private static final Duration WAIT = Duration.ofSeconds(20);

    @TempDir
    Path directory;

    @Test
    void eachMemberLeadsItsShareAndOneClientLocksVolumesOfAllGroups() throws Exception {
        try (TestGroup group = TestGroup.spread(directory, 3, 3);
                LockClient client = group.client("holder");
                LockClient other = group.client("other")) {
            // Asked before anybody has said how many groups there are.
            List<String> volumes =
                    IntStream.range(0, 3).mapToObj(k -> volumeOf(k, 3)).toList();
            List<Grant> grants = client.acquireAll(List.of(exclusive(volumes.get(1))))
                    .get(20, TimeUnit.SECONDS)
                    .grants();
            Grant first = client.lock(exclusive(volumes.get(0)));
            Grant third = client.lock(exclusive(volumes.get(2)));
            PutOutcome put = client.putValue(third, 0, new byte[] {7}).get(20, TimeUnit.SECONDS);

            assertThat(List.of(first, grants.getFirst(), third)).allMatch(Grant::believed);
            assertThat(put).isInstanceOf(PutOutcome.Written.class);
            assertThat(other.value(volumes.get(2)).get(20, TimeUnit.SECONDS).bytes())
                    .containsExactly(7);
            assertThat(other.tryLock(volumes.get(1), LockRange.WHOLE_VOLUME, LockMode.SHARED))
                    .isEmpty();
            assertThat(client.sessionId().split(","))
                    .hasSize(3)
                    .satisfies(ids -> assertThat(List.of(ids).stream().map(Groups::ofSession))
                            .containsExactly(0, 1, 2));
            assertThat(client.status().heldLocks()).isEqualTo(3);
            assertThat(List.of(first.lockId(), grants.getFirst().lockId(), third.lockId()))
                    .doesNotHaveDuplicates();
        }
    }

    @Test
    void aGroupThatLosesItsLeaderGoesOnUnderAnotherAndTheOthersNoticeNothing() throws Exception {
        try (TestGroup group = TestGroup.spread(directory, 3, 2);
                LockClient client = group.client("holder")) {
            Grant zero = client.lock(exclusive(volumeOf(0, 2)));
            Grant one = client.lock(exclusive(volumeOf(1, 2)));
            long epochOfOne = group.cluster("a", 1).describe(describe()).getEpoch();

            group.stop(group.leader(0));
            await().atMost(WAIT)
                    .until(() -> client.status().state() == LockClient.State.ATTACHED
                            && !group.leader(0).equals(group.preferred(0)));

            assertThat(zero.believed()).isTrue();
            assertThat(one.believed()).isTrue();
            assertThat(group.cluster("b", 1).describe(describe()).getEpoch()).isEqualTo(epochOfOne);
            zero.release().get(20, TimeUnit.SECONDS);
            try (Grant again = client.lock(exclusive(volumeOf(0, 2)))) {
                assertThat(again.token()).isGreaterThan(zero.token());
            }

            // And when it comes up again it takes its share, nobody asking for it.
            group.start("a");
            await().atMost(WAIT).until(() -> group.leader(0).equals("a"));
            assertThat(one.believed()).isTrue();
        }
    }

    @Test
    void whatIsNotOfOneGroupIsRefusedByTheLibraryAndByTheGroup() throws Exception {
        try (TestGroup group = TestGroup.spread(directory, 3, 2);
                LockClient client = group.client("holder")) {
            String zero = volumeOf(0, 2);
            String one = volumeOf(1, 2);
            LockServiceGrpc.LockServiceBlockingStub old =
                    LockServiceGrpc.newBlockingStub(group.channel(group.leader(0)));
            String session = old.openSession(
                            OpenSessionRequest.newBuilder().setOwner("old").build())
                    .getSessionId();

            assertThatThrownBy(() -> client.lockAll(List.of(exclusive(zero), exclusive(one))))
                    .isInstanceOfSatisfying(
                            LockRefusedException.class,
                            e -> assertThat(e.reason()).isEqualTo(RefusalReason.INVALID_ARGUMENT))
                    .hasMessageContaining("volumes " + zero + " and " + one + " belong to the groups 0 and 1");
            try (GrantSet both = client.lockAll(List.of(
                    AcquireRequest.of(one, LockRange.of(0, 1), LockMode.SHARED, WAIT),
                    AcquireRequest.of(one, LockRange.of(5, 6), LockMode.EXCLUSIVE, WAIT)))) {
                assertThat(both.grants()).hasSize(2);
            }
            // A client that knows of no groups asks the first one.
            assertThat(old.acquireLock(acquire(session, zero)).getGranted().getVolume())
                    .isEqualTo(zero);
            assertRefused(() -> old.acquireLock(acquire(session, one)), one);
            assertRefused(
                    () -> old.getValueBlock(GetValue.newBuilder().setVolume(one).build()), one);
            assertThatThrownBy(() -> old.withInterceptors(Groups.to(2))
                            .getValueBlock(GetValue.newBuilder().setVolume(one).build()))
                    .hasMessageContaining("terminus-group of '2' breaks the rule 0 <= group < 2");
        }
    }

    @Test
    void howManyGroupsThereAreStaysAsItWas() {
        try (TestGroup group = TestGroup.spread(directory, 3, 2)) {
            group.stop("c");
            group.setGroups(3);

            assertThatThrownBy(() -> group.start("c"))
                    .isInstanceOf(StartRefusedException.class)
                    .hasMessageContaining("lockmgr.groups is 3")
                    .hasMessageContaining("was begun with 2");
        }
    }

    private static void assertRefused(org.assertj.core.api.ThrowableAssert.ThrowingCallable call, String volume) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT))
                .hasMessageContaining("volume '" + volume + "' belongs to group 1 of 2, and this was asked of group 0");
    }

    /** The first of a row of names that belongs to the group. */
    private static String volumeOf(int group, int groups) {
        return IntStream.range(0, 1000)
                .mapToObj(i -> "volume-" + i)
                .filter(name -> Groups.ofVolume(name, groups) == group)
                .findFirst()
                .orElseThrow();
    }

    private static AcquireRequest exclusive(String volume) {
        return AcquireRequest.of(volume, LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, WAIT);
    }

    private static AcquireLockRequest acquire(String session, String volume) {
        return AcquireLockRequest.newBuilder()
                .setSessionId(session)
                .setAcquire(Acquire.newBuilder()
                        .setVolume(volume)
                        .setRange(Range.newBuilder().setEnd(100))
                        .setMode(Mode.MODE_EX))
                .build();
    }

    private static io.terminus.proto.lock.v1.DescribeClusterRequest describe() {
        return io.terminus.proto.lock.v1.DescribeClusterRequest.getDefaultInstance();
    }
}
