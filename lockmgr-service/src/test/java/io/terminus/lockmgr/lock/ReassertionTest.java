package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ReassertionTest {

    private final Story story = new Story().open("alice", "bob");

    @Test
    void aLockThatIsAssertedAnewIsTheOneItWasAndNoGrantConflictsWithIt() {
        story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(2 * SECOND);
        story.open("alice", "bob").look();

        story.reassert(held);
        assertThat(story.granted())
                .singleElement()
                .matches(again -> again.lockId() == held.lockId() && again.token() == held.token());
        story.ask("bob", Mode.EX, 0, 10);
        story.look();
        story.pass(3 * SECOND, "alice", "bob");

        assertThat(story.granted()).isEmpty();
        assertThat(story.table.heldBy("alice")).hasSize(1);
    }

    @Test
    void nothingIsAssertedAnewWhenTheTimeForItIsOver() {
        story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(2 * SECOND);
        story.open("alice").pass(2 * SECOND, "alice");
        story.look();

        story.reassert(held);

        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
    }

    @Test
    void assertingTwiceIsAnsweredTwice() {
        story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(2 * SECOND);
        story.open("alice");
        story.reassert(held);
        story.pass(2 * SECOND, "alice");
        story.look();

        story.reassert(held);

        assertThat(story.granted()).hasSize(1);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void ofTwoThatConflictTheOneWithTheHigherTokenStaysWhoeverComesFirst() {
        long first = story.hold("alice", Mode.EX, 0, 10);
        story.release("alice", first);
        story.hold("bob", Mode.EX, 5, 15);
        Notice.Granted older = story.granted().getFirst();
        Notice.Granted newer = story.granted().getLast();
        story.loseMemory(10 * SECOND);
        story.open("alice", "bob");
        story.reassert(older);
        story.look();

        story.reassert(newer);
        assertThat(story.losses())
                .singleElement()
                .matches(lost -> lost.sessionId().equals("alice") && lost.lockId() == first);
        story.look();
        story.reassert(older);

        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
        assertThat(story.table.heldBy("alice")).isEmpty();
        assertThat(story.table.heldBy("bob")).hasSize(1);
    }

    @Test
    void aTokenOfThisEpochOrAnotherUuidIsRefused() {
        story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(10 * SECOND);
        story.open("alice");
        story.askOn("v", "alice", Mode.EX, 50, 60, Story.LONG_WAIT, false);
        story.look();

        story.apply(
                new Command.Reassert("alice", 900, "v", "another", 0, 10, 0, 10, Mode.EX, held.lockId(), held.token()));
        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
        assertThat(story.refusal().message()).isEqualTo("volume v is uuid-of-v, not 'another'");
        story.look();
        story.apply(
                new Command.Reassert("alice", 901, "v", "uuid-of-v", 0, 10, 0, 10, Mode.EX, held.lockId(), 2L << 40));

        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_ARGUMENT);
    }

    @Test
    void anAssertedLockOutlivesTheNextRestart() {
        story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(10 * SECOND);
        story.open("alice");
        story.reassert(held);

        story.restart(0);

        assertThat(story.table.heldBy("alice")).hasSize(1);
    }

    @Test
    void whoWaitedBeforeItWasAssertedHasItsHolderAskedForIt() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(10 * SECOND);
        story.open("alice", "bob");
        story.ask("bob", Mode.EX, 5, 15);
        story.look();

        story.reassert(held);

        assertThat(story.recalls())
                .containsExactly(new Notice.Recall("alice", lock, 5, 10, Mode.EX, story.now + 5 * SECOND, 0, 0));
    }

    @Test
    void aRingThatAnAssertedLockClosesIsBrokenAtItsOwnNewestRequest() {
        story.hold("alice", Mode.EX, 0, 10);
        story.hold("bob", Mode.EX, 20, 30);
        Notice.Granted alices = story.granted().getFirst();
        Notice.Granted bobs = story.granted().getLast();
        story.loseMemory(10 * SECOND);
        story.open("alice", "bob");
        story.reassert(bobs);
        long request = story.ask("alice", Mode.EX, 20, 30);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.reassert(alices);

        assertThat(story.refusal().requestId()).isEqualTo(request);
        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
    }

    @Test
    void aCancelReleasesWhatItsAcquireWasGrantedAlsoAfterARestart() {
        long acquire = story.ask("alice", Mode.EX, 0, 10);
        story.restart(0);
        story.look();

        story.cancel("alice", acquire);

        assertThat(story.table.heldBy("alice")).isEmpty();
    }

    /** The lock manager has forgotten the acquire; who asserts a lock knows its id, and releases it by that. */
    @Test
    void anAssertedLockIsThatOfTheRequestWhichAssertedIt() {
        long acquire = story.ask("alice", Mode.EX, 0, 10);
        Notice.Granted held = story.granted().getFirst();
        story.loseMemory(2 * SECOND);
        story.open("alice");
        long assertion = story.reassert(held);
        story.look();

        story.cancel("alice", acquire);
        assertThat(story.table.heldBy("alice")).hasSize(1);
        story.cancel("alice", assertion);

        assertThat(story.table.heldBy("alice")).isEmpty();
    }
}
