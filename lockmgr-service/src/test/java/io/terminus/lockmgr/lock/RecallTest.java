package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class RecallTest {

    private final Story story = new Story().open("alice", "bob", "carol", "dave");

    @Test
    void everyHolderInTheWayIsAskedForThePartThatIsNeeded() {
        long first = story.hold("alice", Mode.PR, 0, 100);
        long second = story.hold("bob", Mode.PR, 80, 200);
        story.hold("dave", Mode.PR, 300, 400);
        story.look();

        story.ask("carol", Mode.EX, 50, 150);

        long deadline = story.now + 5 * SECOND;
        assertThat(story.recalls())
                .containsExactly(
                        new Notice.Recall("alice", first, 50, 100, Mode.EX, deadline, 0, 0),
                        new Notice.Recall("bob", second, 80, 150, Mode.EX, deadline, 0, 0));
    }

    @Test
    void aHolderIsAskedOnceForOneNeedHoweverManyWait() {
        story.hold("alice", Mode.EX, 0, 100);
        story.ask("bob", Mode.PR, 10, 50);
        story.look();

        story.ask("carol", Mode.PR, 20, 30);

        assertThat(story.recalls()).isEmpty();
    }

    @Test
    void aWiderOrAnotherNeedIsSaidWithAllThatIsNeededAndTheOldDeadline() {
        story.hold("alice", Mode.EX, 0, 100);
        story.ask("bob", Mode.PR, 10, 50);
        long deadline = story.now + 5 * SECOND;
        story.pass(SECOND, "alice", "bob", "carol", "dave");
        story.look();

        story.ask("carol", Mode.PR, 40, 60);
        story.ask("dave", Mode.EX, 20, 30);

        assertThat(story.recalls())
                .extracting(
                        Notice.Recall::neededStart,
                        Notice.Recall::neededEnd,
                        Notice.Recall::wanted,
                        Notice.Recall::deadlineNanos)
                .containsExactly(
                        org.assertj.core.groups.Tuple.tuple(10L, 60L, Mode.PR, deadline),
                        org.assertj.core.groups.Tuple.tuple(10L, 60L, Mode.EX, deadline));
    }

    @Test
    void whoIsGrantedALockThatOthersWaitForIsAskedAtOnce() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long next = story.ask("bob", Mode.EX, 0, 10);
        story.ask("carol", Mode.EX, 0, 10);
        story.look();

        story.release("alice", lock);

        assertThat(story.said)
                .endsWith(
                        story.granted().getFirst(),
                        new Notice.Recall("bob", story.lockOf(next), 0, 10, Mode.EX, story.now + 5 * SECOND, 0, 0));
    }

    @Test
    void aHolderThatDoesNothingLosesTheLockAtTheDeadline() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.pass(5 * SECOND - 1, "alice", "bob");
        assertThat(story.losses()).isEmpty();
        story.pass(1, "alice", "bob");

        assertThat(story.losses())
                .containsExactly(
                        new Notice.Lost("alice", lock, "v", 0, 10, "not released by the deadline of its recall"));
        assertThat(story.changed)
                .filteredOn(c -> c instanceof Change.LockPut put && put.revoked())
                .hasSize(1);
    }

    @Test
    void progressProlongsTheRecallUpToItsCap() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        for (int i = 0; i < 29; i++) {
            story.pass(SECOND, "alice", "bob");
            story.progress("alice", lock);
        }
        assertThat(story.losses()).isEmpty();
        story.pass(SECOND, "alice", "bob");

        assertThat(story.losses()).extracting(Notice.Lost::lockId).containsExactly(lock);
    }

    @Test
    void progressProlongsByTheRecallDeadlineFromNow() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.pass(4 * SECOND, "alice", "bob");
        story.progress("alice", lock);
        story.pass(5 * SECOND - 1, "alice", "bob");
        assertThat(story.losses()).isEmpty();
        story.pass(1, "alice", "bob");

        assertThat(story.losses()).hasSize(1);
    }

    @Test
    void progressOnALockThatIsNotHeldOrWasLostIsRefused() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.progress("bob", lock);
        story.forceRelease(lock);
        story.progress("alice", lock);

        assertThat(story.refusals())
                .extracting(Notice.Refused::reason)
                .containsExactly(Reason.UNKNOWN_LOCK, Reason.NOT_HOLDER);
    }

    @Test
    void progressWithoutARecallIsDoneAndChangesNothing() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.progress("alice", lock);
        story.pass(60 * SECOND, "alice");

        assertThat(story.losses()).isEmpty();
    }

    @Test
    void nothingIsRevokedForSomebodyWhoHasGoneAway() {
        story.hold("alice", Mode.EX, 0, 10);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.cancel("bob", waiting);
        story.look();

        story.pass(60 * SECOND, "alice", "bob", "carol");
        assertThat(story.losses()).isEmpty();
        story.ask("carol", Mode.EX, 0, 10);

        assertThat(story.recalls()).extracting(Notice.Recall::deadlineNanos).containsExactly(story.now + 5 * SECOND);
    }

    @Test
    void aRevokedRangeIsGrantedWhenTheLossIsAcknowledged() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.pass(5 * SECOND, "alice", "bob");
        story.look();

        assertThat(story.table.locks(LockQuery.all("v", 10)).items().getFirst().revoked())
                .isTrue();
        assertThat(story.granted()).isEmpty();
        story.ackLost("alice", lock);

        assertThat(story.changed).contains(new Change.LockGone(lock));
        assertThat(story.grantedRequests()).containsExactly(waiting);
        assertThat(story.granted().getFirst().token()).isGreaterThan(lock);
    }

    @Test
    void aReleaseOfARevokedLockAcknowledgesTheLoss() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.forceRelease(lock);
        story.said.clear();

        story.release("alice", lock);
        story.renew("alice");
        story.ackLost("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(waiting);
        assertThat(story.only(Notice.RenewalAnswered.class)).hasSize(1);
        assertThat(story.refusals()).isEmpty();
    }

    @Test
    void acknowledgingALossThatNeverWasIsRefusedAndKeepsTheLock() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.ackLost("alice", lock);

        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_ARGUMENT);
        assertThat(story.table.heldBy("alice")).hasSize(1);
    }

    @Test
    void aForceReleaseTellsTheHolderAndAnswersTheOperator() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.apply(new Command.ForceRelease(77, "v", lock));

        assertThat(story.said)
                .containsExactly(
                        new Notice.Lost("alice", lock, "v", 0, 10, "released by force, by an operator"),
                        new Notice.Done("", 77));
        story.look();
        story.apply(new Command.ForceRelease(78, "v", lock));
        assertThat(story.said).containsExactly(new Notice.Done("", 78));
        story.look();
        story.apply(new Command.ForceRelease(79, "v", 4711));
        assertThat(story.refusal().reason()).isEqualTo(Reason.UNKNOWN_LOCK);
        assertThat(story.refusal().sessionId()).isEmpty();
    }

    @Test
    void aRepeatedRequestWhoseLockWasRevokedIsToldSo() {
        long request = story.ask("alice", Mode.EX, 0, 10);
        story.forceRelease(story.lockOf(request));
        story.look();

        story.askAgain(request, "v", "alice", Mode.EX, 0, 10, 0, false);

        assertThat(story.refusal().reason()).isEqualTo(Reason.CANCELLED);
        assertThat(story.refusal().message()).contains("revoked");
    }

    @Test
    void aSessionThatComesBackIsToldAgainWhatItHasNotAnswered() {
        long recalled = story.hold("alice", Mode.EX, 0, 10);
        long lost = story.hold("alice", Mode.EX, 20, 30);
        story.ask("bob", Mode.EX, 0, 5);
        story.forceRelease(lost);

        assertThat(story.table.unansweredEvents("alice"))
                .containsExactly(
                        new Notice.Recall("alice", recalled, 0, 5, Mode.EX, story.now + 5 * SECOND, 0, 0),
                        new Notice.Lost("alice", lost, "v", 20, 30, "revoked earlier"));
        assertThat(story.table.unansweredEvents("nobody")).isEmpty();
    }
}
