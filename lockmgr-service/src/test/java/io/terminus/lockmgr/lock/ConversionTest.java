package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ConversionTest {

    private final Story story = new Story().open("alice", "bob", "carol", "dave");

    @Test
    void aWeakerModeIsThereAtOnceUnderTheSameTokenAndLetsOthersIn() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long reader = story.ask("bob", Mode.PR, 0, 10);
        story.look();

        long conversion = story.convert("alice", lock, Mode.PR);

        assertThat(story.grantedRequests()).containsExactly(conversion, reader);
        Notice.Granted converted = story.granted().getFirst();
        assertThat(converted.mode()).isEqualTo(Mode.PR);
        assertThat(converted.token()).isEqualTo(lock);
        assertThat(story.table.unansweredEvents("alice")).isEmpty();
    }

    @Test
    void aStrongerModeHasANewTokenAndTheSameLockId() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.hold("bob", Mode.EX, 10, 20);
        story.look();

        story.convert("alice", lock, Mode.EX);

        Notice.Granted converted = story.granted().getFirst();
        assertThat(converted.lockId()).isEqualTo(lock);
        assertThat(converted.token()).isGreaterThan(lock + 1);
        assertThat(story.changed)
                .singleElement()
                .isInstanceOfSatisfying(
                        Change.LockPut.class, put -> assertThat(put.mode()).isEqualTo(Mode.EX));
    }

    @Test
    void aModeThatIsNeitherWeakerNorStrongerHasANewTokenAndFreesThoseTheOldOneHeldUp() {
        long lock = story.hold("alice", Mode.CW, 0, 10);
        long reader = story.ask("bob", Mode.PR, 0, 10);
        story.look();

        long conversion = story.convert("alice", lock, Mode.PR);

        assertThat(story.grantedRequests()).containsExactly(conversion, reader);
        assertThat(story.granted().getFirst().token()).isGreaterThan(lock);
    }

    @Test
    void aConversionGoesBeforeAcquiresThatWaitedLonger() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        long other = story.hold("bob", Mode.PR, 0, 10);
        long writer = story.ask("carol", Mode.EX, 0, 10);
        long conversion = story.convert("alice", lock, Mode.EX);
        story.look();

        story.release("bob", other);
        assertThat(story.grantedRequests()).containsExactly(conversion);
        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(conversion, writer);
    }

    @Test
    void aConversionThatWaitsIsInTheWayOfNewRequests() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.hold("bob", Mode.PR, 0, 10);
        story.convert("alice", lock, Mode.EX);
        story.look();

        story.attempt("carol", Mode.PR, 0, 10);

        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
        assertThat(story.refusal().message()).contains("alice is waiting for EX [0, 10) (now PR as lock " + lock + ")");
    }

    @Test
    void holdersInTheWayOfAConversionAreAskedAndItsOwnLockIsNot() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        long other = story.hold("bob", Mode.PR, 5, 20);
        story.look();

        story.convert("alice", lock, Mode.EX);

        assertThat(story.recalls())
                .containsExactly(new Notice.Recall("bob", other, 5, 10, Mode.EX, story.now + 5 * SECOND, 0, 0));
    }

    @Test
    void aConversionThatIsNotGrantedInTimeLeavesTheLockAsItWas() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.hold("bob", Mode.PR, 0, 10);
        long conversion = story.convert("alice", lock, Mode.EX, SECOND);
        story.look();

        story.pass(SECOND, "alice", "bob");

        assertThat(story.refusal().requestId()).isEqualTo(conversion);
        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLINE);
        assertThat(story.table.heldBy("alice")).extracting(Notice.Granted::mode).containsExactly(Mode.PR);
        assertThat(story.table.heldBy("alice").getFirst().token()).isEqualTo(lock);
    }

    @Test
    void cancelEndsAConversionThatWaitsAndLeavesOneThatWasGranted() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        long other = story.hold("bob", Mode.PR, 0, 10);
        long first = story.convert("alice", lock, Mode.EX);
        story.cancel("alice", first);
        assertThat(story.refusal().reason()).isEqualTo(Reason.CANCELLED);
        story.release("bob", other);
        long second = story.convert("alice", lock, Mode.EX);
        story.look();

        story.cancel("alice", second);

        assertThat(story.table.heldBy("alice")).extracting(Notice.Granted::mode).containsExactly(Mode.EX);
    }

    @Test
    void aTriedConversionIsRefusedAtOnceAndRecallsNobody() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.hold("bob", Mode.PR, 0, 10);
        story.look();

        story.convert("alice", lock, Mode.EX, 0);

        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
        assertThat(story.recalls()).isEmpty();
    }

    @Test
    void twoConvertersThatWaitForEachOtherAreADeadlockAndItIsNamed() {
        long first = story.hold("alice", Mode.PR, 0, 10);
        long second = story.hold("bob", Mode.PR, 0, 10);
        story.convert("alice", first, Mode.EX);
        story.look();

        long closing = story.convert("bob", second, Mode.EX);

        assertThat(story.refusal().requestId()).isEqualTo(closing);
        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
        assertThat(story.refusal().message())
                .contains("bob waits for EX [0, 10) (now PR as lock " + second + ") of v, where alice holds PR [0, 10)")
                .contains("alice waits for EX [0, 10) (now PR as lock " + first + ") of v, where bob holds PR [0, 10)");
        assertThat(story.table.heldBy("bob")).hasSize(1);
    }

    @Test
    void aConversionThatPutsItselfBeforeAnOlderWaiterMayCloseARing() {
        long lock = story.hold("alice", Mode.CR, 0, 10);
        story.hold("carol", Mode.PR, 0, 10);
        story.hold("bob", Mode.EX, 50, 60);
        story.ask("bob", Mode.CW, 0, 10);
        story.ask("alice", Mode.EX, 50, 60);
        story.look();

        story.convert("alice", lock, Mode.PR);

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
    }

    @Test
    void aConversionThatIsGrantedAtOnceIsInTheWayOfAnOlderWaiterFromThenOn() {
        story.open("erin");
        long lock = story.hold("alice", Mode.CR, 0, 10);
        story.hold("bob", Mode.EX, 50, 60);
        story.hold("dave", Mode.EX, 20, 30);
        story.ask("bob", Mode.PW, 5, 25);
        story.hold("carol", Mode.EX, 80, 90);
        story.ask("erin", Mode.EX, 80, 90);
        story.ask("carol", Mode.EX, 50, 60); // Here it is asked, and kept, whom bob waits for.
        story.convert("alice", lock, Mode.PR);
        story.look();

        story.ask("alice", Mode.EX, 50, 60);

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
    }

    @Test
    void aRevokedLockDoesNotConvertAndOneThatGoesTakesItsConversionAlong() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.hold("bob", Mode.PR, 0, 20);
        long released = story.convert("alice", lock, Mode.EX);
        story.release("alice", lock);
        assertThat(story.refusal().requestId()).isEqualTo(released);
        assertThat(story.refusal().reason()).isEqualTo(Reason.UNKNOWN_LOCK);
        story.look();
        long taken = story.hold("carol", Mode.PR, 0, 10);
        long revoked = story.convert("carol", taken, Mode.EX);
        story.forceRelease(taken);
        assertThat(story.refusal().requestId()).isEqualTo(revoked);
        assertThat(story.refusal().reason()).isEqualTo(Reason.CANCELLED);
        story.look();

        story.convert("carol", taken, Mode.CR);

        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
    }

    @Test
    void aRetryOfAConversionIsAnsweredAndNotDoneAgainAlsoAfterARestart() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long conversion = story.convert("alice", lock, Mode.PR);
        story.shrink("alice", lock, 0, 5);
        story.restart(0);
        story.look();

        story.apply(new Command.Convert("alice", conversion, lock, Mode.PR, Story.LONG_WAIT));

        assertThat(story.granted().getFirst().mode()).isEqualTo(Mode.PR);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void aRetryOfAConversionIsNotDoneAfterANewerOne() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long first = story.convert("alice", lock, Mode.PR);
        story.convert("alice", lock, Mode.CR);
        story.restart(0);
        story.look();

        story.apply(new Command.Convert("alice", first, lock, Mode.PR, Story.LONG_WAIT));

        assertThat(story.refusal().reason()).isEqualTo(Reason.CANCELLED);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void aConversionThatWaitedWhileItsLockWasShrunkIsNotTakenForDoneAfterARestart() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.hold("bob", Mode.PR, 0, 10);
        long conversion = story.convert("alice", lock, Mode.EX);
        story.shrink("alice", lock, 0, 5);
        story.restart(0);
        story.look();

        story.apply(new Command.Convert("alice", conversion, lock, Mode.EX, Story.LONG_WAIT));

        assertThat(story.grantedRequests()).isEmpty();
        assertThat(story.refusal().reason()).isEqualTo(Reason.CANCELLED);
    }

    @Test
    void aConversionThatIsAskedForTwiceWaitsOnceAndASecondOneIsRefused() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        long other = story.hold("bob", Mode.PR, 0, 10);
        long conversion = story.convert("alice", lock, Mode.EX);
        story.apply(new Command.Convert("alice", conversion, lock, Mode.EX, Story.LONG_WAIT));
        assertThat(story.refusals()).isEmpty();

        story.convert("alice", lock, Mode.PW);
        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_ARGUMENT);
        story.look();
        story.release("bob", other);

        assertThat(story.grantedRequests()).containsExactly(conversion);
    }
}
