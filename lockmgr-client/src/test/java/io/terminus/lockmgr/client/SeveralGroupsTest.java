package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.ServerMessage;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Where volumes are spread over several groups of lock managers: which is asked, and what is not asked at all. */
class SeveralGroupsTest extends PlayedByHand {

    private static final String HERE = volumeOf(0);
    private static final String ELSEWHERE = volumeOf(1);

    @Test
    void whatWasAskedBeforeTheFirstWelcomeIsGivenOnToTheGroupThatItIsFor() {
        long mine = core.acquire(standby(HERE), nowNanos);
        long theirs = core.acquire(standby(ELSEWHERE), nowNanos);
        long promoted = core.promote(theirs, Duration.ofSeconds(1), nowNanos);
        long read = core.value(ELSEWHERE);
        open();

        welcomeOfTwoGroups();

        assertThat(sentIds()).containsExactly(mine);
        assertThat(outcomes)
                .containsOnlyKeys(theirs, promoted, read)
                .allSatisfy((id, outcome) -> assertThat(outcome).isEqualTo(new Outcome.Elsewhere(1)));
        assertThat(core.groups()).isEqualTo(2);
    }

    @Test
    void whatIsAskedOfTheWrongGroupLaterIsGivenOnAtOnce() {
        open();
        welcomeOfTwoGroups();

        long theirs = core.acquire(standby(ELSEWHERE), nowNanos);
        long mine = core.value(HERE);
        step();

        assertThat(outcomes).containsEntry(theirs, new Outcome.Elsewhere(1));
        assertThat(operations(Operation.KindCase.GET_VALUE))
                .extracting(Operation::getRequestId)
                .containsExactly(mine);
    }

    @Test
    void volumesOfTwoGroupsAreNotLockedTogether() {
        long before = core.acquireAll(List.of(exclusive(HERE), exclusive(ELSEWHERE)), nowNanos);
        open();
        welcomeOfTwoGroups();

        long behind = core.acquireAll(List.of(exclusive(ELSEWHERE), exclusive(HERE)), nowNanos);
        step();

        assertThat(List.of(refusal(before), refusal(behind))).containsOnly(RefusalReason.INVALID_ARGUMENT);
        assertThat(outcomes.get(behind))
                .isEqualTo(new Outcome.Refused(
                        RefusalReason.INVALID_ARGUMENT,
                        "volumes " + ELSEWHERE + " and " + HERE
                                + " belong to the groups 1 and 0 of lock managers: together can be locked what is of one"
                                + " group"));
        assertThat(sentIds()).isEmpty();
    }

    @Test
    void aLockManagerThatSaysNothingOfGroupsHasAllVolumes() {
        attach("s1");

        core.value(HERE);
        core.value(ELSEWHERE);
        step();

        assertThat(operations(Operation.KindCase.GET_VALUE)).hasSize(2);
        assertThat(core.groups()).isEqualTo(1);
    }

    /** The check value of CRC-32C is that of RFC 3720's polynomial: 0xe3069283 of "123456789". */
    @Test
    void aVolumeBelongsToTheGroupThatTheSumOfItsNameSays() {
        assertThat(Groups.ofVolume("123456789", 16)).isEqualTo(0x3);
        assertThat(Groups.ofVolume("123456789", 10)).isEqualTo((int) (0xe3069283L % 10));
        assertThat(Groups.ofVolume("123456789", 1)).isZero();
    }

    @Test
    void namesInARowAreSpreadEvenly() {
        for (int groups : List.of(2, 3, 4, 16)) {
            int[] volumes = new int[groups];
            for (int i = 0; i < 1000; i++) {
                volumes[Groups.ofVolume("pvc-" + i, groups)]++;
            }

            for (int here : volumes) {
                assertThat(here).as("of %d groups", groups).isBetween(700 / groups, 1300 / groups);
            }
        }
    }

    @Test
    void theIdOfASessionSaysItsGroup() {
        assertThat(IntStream.range(0, Groups.MOST).map(group -> Groups.ofSession(Groups.sessionPrefix(group) + "0f3a")))
                .containsExactly(IntStream.range(0, Groups.MOST).boxed().toArray(Integer[]::new));
        assertThat(Groups.sessionPrefix(0)).isEmpty();
    }

    private void welcomeOfTwoGroups() {
        receive(ServerMessage.newBuilder()
                .setWelcome(welcomeOf("s1").welcome().setGroups(2).build()));
    }

    private static AcquireRequest standby(String volume) {
        return AcquireRequest.standby(volume, LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE);
    }

    private static AcquireRequest exclusive(String volume) {
        return AcquireRequest.of(volume, LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, Duration.ofSeconds(1));
    }

    private static String volumeOf(int group) {
        return IntStream.range(0, 100)
                .mapToObj(i -> "v" + i)
                .filter(name -> Groups.ofVolume(name, 2) == group)
                .findFirst()
                .orElseThrow();
    }
}
