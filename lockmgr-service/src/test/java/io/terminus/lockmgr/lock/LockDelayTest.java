package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class LockDelayTest {

    private final Story story = new Story().open("alice", "bob");

    @Test
    void aLockOfASessionThatExpiredStaysClosedForTheLockDelay() {
        story.lockDelay(10 * SECOND);
        story.hold("alice", Mode.EX, 0, 10);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.pass(7 * SECOND, "bob");
        assertThat(story.only(Notice.SessionEnded.class)).hasSize(1);
        ClaimView.LockView closed =
                story.table.locks(LockQuery.all("v", 10)).items().getFirst();
        assertThat(closed.delayed()).isTrue();
        assertThat(closed.sessionId()).isEmpty();
        story.pass(9 * SECOND, "bob");
        assertThat(story.granted()).isEmpty();
        story.pass(SECOND, "bob");

        assertThat(story.grantedRequests()).containsExactly(waiting);
    }

    @Test
    void aRevokedLockThatIsNeverAcknowledgedIsDelayedAsWell() {
        story.lockDelay(10 * SECOND);
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.forceRelease(lock);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.pass(7 * SECOND, "alice", "bob");

        assertThat(story.granted()).isEmpty();
        assertThat(story.table.locks(LockQuery.all("v", 10)).items())
                .singleElement()
                .matches(view -> view.delayed() && !view.revoked());
    }

    @Test
    void releaseAcknowledgedLossAndCloseHaveNoDelay() {
        story.lockDelay(10 * SECOND);
        long released = story.hold("alice", Mode.EX, 0, 10);
        long lost = story.hold("alice", Mode.EX, 10, 20);
        story.hold("alice", Mode.EX, 20, 30);
        story.forceRelease(lost);
        story.look();

        story.release("alice", released);
        story.ackLost("alice", lost);
        story.apply(new Command.CloseSession("alice", "closed"));

        assertThat(story.table.volumes().getFirst().held()).isZero();
        assertThat(story.table.volumes().getFirst().lockDelayNanos()).isEqualTo(10 * SECOND);
    }

    @Test
    void aRestartBeginsTheDelayAnew() {
        story.lockDelay(10 * SECOND);
        story.hold("alice", Mode.EX, 0, 10);
        story.pass(7 * SECOND, "bob");
        story.pass(5 * SECOND, "bob");
        story.restart(0);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.pass(10 * SECOND - 1, "bob");
        assertThat(story.granted()).isEmpty();
        story.pass(1, "bob");

        assertThat(story.grantedRequests()).containsExactly(waiting);
    }

    @Test
    void anOperatorMayOpenWhatIsClosed() {
        story.lockDelay(10 * SECOND);
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.pass(7 * SECOND, "bob");
        story.look();

        story.forceRelease(lock);

        assertThat(story.grantedRequests()).containsExactly(waiting);
        assertThat(story.losses()).isEmpty();
    }

    @Test
    void waitingForAClosedRangeIsNoDeadlockAndRecallsNobody() {
        story.lockDelay(10 * SECOND);
        story.hold("alice", Mode.EX, 0, 10);
        story.pass(7 * SECOND, "bob");
        story.look();

        story.ask("bob", Mode.EX, 0, 10);

        assertThat(story.look()).isEmpty();
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items()).hasSize(1);
    }

    @Test
    void theDelayIsBetweenZeroAndAMinute() {
        story.look();

        story.lockDelay(-1);
        story.lockDelay(60 * SECOND + 1);
        story.lockDelay(60 * SECOND);

        assertThat(story.refusals()).hasSize(2).allMatch(r -> r.reason() == Reason.INVALID_ARGUMENT);
        assertThat(story.only(Notice.Done.class))
                .singleElement()
                .matches(done -> done.sessionId().isEmpty());
        assertThat(story.changed).containsExactly(new Change.VolumePut("v", "uuid-of-v", 60 * SECOND));
    }
}
