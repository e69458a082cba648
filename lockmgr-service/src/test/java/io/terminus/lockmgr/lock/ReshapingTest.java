package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ReshapingTest {

    private final Story story = new Story().open("alice", "bob", "carol");

    @Test
    void whatAShrinkGivesBackIsGrantedToThoseWhoWaitForIt() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        long low = story.ask("bob", Mode.EX, 0, 10);
        long high = story.ask("carol", Mode.EX, 80, 90);
        story.look();

        long shrink = story.shrink("alice", lock, 10, 80);

        assertThat(story.grantedRequests()).containsExactly(shrink, low, high);
        assertThat(story.granted().getFirst().token()).isEqualTo(lock);
        assertThat(story.table.unansweredEvents("alice")).isEmpty();
    }

    @Test
    void aShrinkThatDoesNotDoLeavesTheRecallWithItsDeadline() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        story.ask("bob", Mode.EX, 40, 50);
        long deadline = story.now + 5 * SECOND;
        story.pass(SECOND, "alice", "bob", "carol");
        story.look();

        story.shrink("alice", lock, 10, 60);

        assertThat(story.recalls()).isEmpty();
        assertThat(story.table.unansweredEvents("alice"))
                .containsExactly(new Notice.Recall("alice", lock, 40, 50, Mode.EX, deadline, 0, 0));
    }

    @Test
    void aLockCanOnlyBecomeSmaller() {
        long lock = story.hold("alice", Mode.EX, 10, 20);
        story.look();

        story.shrink("alice", lock, 5, 15);
        story.shrink("alice", lock, 15, 25);
        story.shrink("alice", lock, 15, 15);

        assertThat(story.refusals()).hasSize(3).allMatch(r -> r.reason() == Reason.INVALID_RANGE);
        assertThat(story.refusals().getFirst().message())
                .isEqualTo("range [5, 15) is not within lock " + lock + ", EX [10, 20)");
    }

    @Test
    void aRetryOfAShrinkIsAnsweredWithTheLockAsItIsNow() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        long first = story.shrink("alice", lock, 0, 50);
        story.shrink("alice", lock, 0, 20);
        story.look();

        story.apply(new Command.Shrink("alice", first, lock, 0, 50));

        assertThat(story.granted()).singleElement().matches(granted -> granted.end() == 20);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void aConversionThatWaitsShrinksWithItsLock() {
        long lock = story.hold("alice", Mode.PR, 0, 100);
        story.hold("bob", Mode.PR, 50, 60);
        long conversion = story.convert("alice", lock, Mode.EX);
        story.look();

        long shrink = story.shrink("alice", lock, 0, 50);

        assertThat(story.grantedRequests()).containsExactly(shrink, conversion);
    }

    @Test
    void aSplitMakesTwoLocksOfWhichTheLowOneKeepsIdAndToken() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        story.look();

        story.split("alice", lock, 30);

        Notice.GrantedAll halves = story.only(Notice.GrantedAll.class).getFirst();
        assertThat(halves.locks()).hasSize(2);
        assertThat(halves.locks().getFirst().lockId()).isEqualTo(lock);
        assertThat(halves.locks().getFirst().token()).isEqualTo(lock);
        assertThat(halves.locks().getFirst().end()).isEqualTo(30);
        assertThat(halves.locks().getLast().start()).isEqualTo(30);
        assertThat(halves.locks().getLast().end()).isEqualTo(100);
        assertThat(halves.locks().getLast().token()).isGreaterThan(lock);
        long upper = halves.locks().getLast().lockId();
        story.release("alice", lock);
        assertThat(story.table.heldBy("alice"))
                .extracting(Notice.Granted::lockId)
                .containsExactly(upper);
    }

    @Test
    void aWaiterForThePlaceOfASplitIsNotLost() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        long waiting = story.ask("bob", Mode.EX, 20, 40);
        story.split("alice", lock, 30);
        long upper =
                story.only(Notice.GrantedAll.class).getFirst().locks().getLast().lockId();
        story.look();

        story.release("alice", upper);
        assertThat(story.granted()).isEmpty();
        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(waiting);
    }

    @Test
    void bothHalvesOfARecalledLockAreRecalledAndHaveItsDeadline() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        story.ask("bob", Mode.EX, 20, 40);
        long deadline = story.now + 5 * SECOND;
        story.pass(SECOND, "alice", "bob", "carol");
        story.look();

        story.split("alice", lock, 30);

        long upper =
                story.only(Notice.GrantedAll.class).getFirst().locks().getLast().lockId();
        assertThat(story.table.unansweredEvents("alice"))
                .containsExactly(
                        new Notice.Recall("alice", lock, 20, 30, Mode.EX, deadline, 0, 0),
                        new Notice.Recall("alice", upper, 30, 40, Mode.EX, deadline, 0, 0));
        assertThat(story.recalls()).containsExactly(new Notice.Recall("alice", upper, 30, 40, Mode.EX, deadline, 0, 0));
    }

    @Test
    void aRetryOfASplitIsAnsweredWithTheHalvesThatAreThereAlsoAfterARestart() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        long split = story.split("alice", lock, 30);
        long upper =
                story.only(Notice.GrantedAll.class).getFirst().locks().getLast().lockId();
        story.restart(0);
        story.look();

        story.apply(new Command.Split("alice", split, lock, 30));
        story.release("alice", lock);
        story.apply(new Command.Split("alice", split, lock, 30));

        assertThat(story.only(Notice.GrantedAll.class))
                .extracting(
                        all -> all.locks().stream().map(Notice.Granted::lockId).toList())
                .containsExactly(java.util.List.of(lock, upper), java.util.List.of(upper));
    }

    @Test
    void aSplitMustLeaveTwoLocks() {
        long lock = story.hold("alice", Mode.EX, 10, 20);
        story.look();

        story.split("alice", lock, 10);
        story.split("alice", lock, 20);

        assertThat(story.refusals()).hasSize(2).allMatch(r -> r.reason() == Reason.INVALID_RANGE);
    }

    @Test
    void oneRequestIdIsNotTakenForTwoRequests() {
        long request = story.ask("alice", Mode.PR, 0, 10);
        long other = story.hold("alice", Mode.PR, 0, 10);
        long later = story.ask("alice", Mode.PR, 0, 10);
        story.look();

        story.apply(new Command.Convert("alice", later, other, Mode.CR, 0));
        story.apply(new Command.Convert("alice", request, other, Mode.CR, 0));

        assertThat(story.refusals())
                .extracting(Notice.Refused::reason)
                .containsExactly(Reason.INVALID_ARGUMENT, Reason.CANCELLED);
        assertThat(story.granted()).isEmpty();
    }

    @Test
    void aSplitUnderTheIdOfAnOlderAcquireIsNotShownThatLockAsAHalf() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        long acquire = story.ask("alice", Mode.EX, 200, 300);
        long behind = story.ask("alice", Mode.EX, 400, 500);
        story.shrink("alice", lock, 0, 90);
        story.look();

        story.apply(new Command.Split("alice", behind + 100, lock, 30));
        story.apply(new Command.Split("alice", acquire, lock, 20));

        assertThat(story.only(Notice.GrantedAll.class)).hasSize(1);
        assertThat(story.granted()).singleElement().matches(now -> now.lockId() == lock && now.end() == 30);
    }

    @Test
    void aSplitUnderAnIdThatAnAcquireUsesIsRefused() {
        long lock = story.hold("alice", Mode.EX, 0, 100);
        long acquire = story.ask("alice", Mode.EX, 200, 300);
        long elsewhere = story.askOn("w", "alice", Mode.EX, 200, 300, 0, false);
        story.look();

        story.apply(new Command.Split("alice", acquire, lock, 30));
        story.apply(new Command.Split("alice", elsewhere, lock, 30));

        assertThat(story.refusals())
                .extracting(Notice.Refused::reason)
                .containsExactly(Reason.INVALID_ARGUMENT, Reason.INVALID_ARGUMENT);
        assertThat(story.only(Notice.GrantedAll.class)).isEmpty();
    }
}
