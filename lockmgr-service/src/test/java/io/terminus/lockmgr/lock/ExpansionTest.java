package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static io.terminus.lockmgr.lock.Story.WHOLE;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class ExpansionTest {

    private final Story story = new Story().open("alice", "bob", "carol", "dave");

    @Test
    void aGrantGrowsToTheNextConflictOnEachSide() {
        story.hold("bob", Mode.EX, 10, 20);
        story.hold("bob", Mode.EX, 80, 90);
        story.hold("carol", Mode.CR, 30, 40);
        story.look();

        story.askGrowing("alice", Mode.PW, 50, 60, 0, WHOLE);

        assertRange(20, 80);
        assertThat(story.granted().getFirst().requestedStart()).isEqualTo(50);
        assertThat(story.granted().getFirst().requestedEnd()).isEqualTo(60);
    }

    @Test
    void aGrantGrowsNoFurtherThanDesired() {
        story.askGrowing("alice", Mode.EX, 50, 60, 40, 100);

        assertRange(40, 100);
    }

    @Test
    void anOrdinaryWaiterStopsTheGrowthAndAStandbyDoesNot() {
        story.hold("bob", Mode.EX, 0, 10);
        story.ask("carol", Mode.EX, 5, 20);
        story.standBy("dave", Mode.EX, 5, 40);
        story.look();

        story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);

        assertRange(20, 100);
    }

    @Test
    void aGrantFromTheQueueGrowsAsWell() {
        long lock = story.hold("bob", Mode.EX, 0, 10);
        story.askGrowing("alice", Mode.EX, 0, 10, 0, 100);
        story.ask("carol", Mode.EX, 5, 20);
        story.look();

        story.release("bob", lock);

        assertRange(0, 10);
    }

    @Test
    void whereOnlyTheExpandedPartIsNeededTheHolderMayKeepTheRest() {
        long lock = story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);
        story.look();

        story.ask("bob", Mode.EX, 10, 20);
        story.ask("carol", Mode.EX, 90, 95);

        long deadline = story.now + 5 * SECOND;
        assertThat(story.recalls())
                .containsExactly(
                        new Notice.Recall("alice", lock, 10, 20, Mode.EX, deadline, 20, 100),
                        new Notice.Recall("alice", lock, 10, 95, Mode.EX, deadline, 20, 90));
    }

    @Test
    void aShrinkToWhatMayBeKeptEndsTheRecall() {
        long lock = story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);
        long low = story.ask("bob", Mode.EX, 10, 20);
        long high = story.ask("carol", Mode.EX, 90, 95);
        story.look();

        long shrink = story.shrink("alice", lock, 20, 90);
        story.pass(6 * SECOND, "alice", "bob", "carol", "dave");

        assertThat(story.grantedRequests()).containsExactly(shrink, low, high);
        assertThat(story.losses()).isEmpty();
    }

    @Test
    void onceAByteOfWhatWasRequestedIsNeededNothingMayBeKept() {
        long lock = story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);
        story.ask("bob", Mode.EX, 0, 100);
        story.look();

        story.ask("carol", Mode.EX, 10, 20);

        assertThat(story.recalls()).isEmpty();
        assertThat(story.table.unansweredEvents("alice"))
                .containsExactly(new Notice.Recall("alice", lock, 0, 100, Mode.EX, story.now + 5 * SECOND, 0, 0));
    }

    @Test
    void nothingIsExpandedNearALockThatHadToBeAskedBackForAWhile() {
        long lock = story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);
        story.ask("bob", Mode.EX, 10, 20);
        story.shrink("alice", lock, 50, 60);
        story.look();

        story.askGrowing("carol", Mode.EX, 70, 75, 65, 200);
        story.askGrowing("carol", Mode.EX, 300, 310, 290, 400);
        story.pass(2 * SECOND, "alice", "bob", "carol", "dave");
        story.askGrowing("dave", Mode.EX, 80, 85, 78, 200);

        assertThat(story.granted())
                .extracting(granted -> List.of(granted.start(), granted.end()))
                .containsExactly(List.of(70L, 75L), List.of(290L, 400L), List.of(78L, 200L));
    }

    @Test
    void everyFurtherRecallProlongsThatWhile() {
        story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);
        story.ask("bob", Mode.EX, 10, 20);
        story.pass(SECOND, "alice", "bob", "carol", "dave");
        story.ask("carol", Mode.EX, 90, 95);
        story.pass(SECOND * 3 / 2, "alice", "bob", "carol", "dave");
        story.look();

        story.askGrowing("dave", Mode.EX, 120, 125, 99, 200);

        assertRange(120, 125);
    }

    @Test
    void aRestartKeepsWhatWasRequested() {
        long lock = story.askGrowing("alice", Mode.EX, 50, 60, 0, 100);
        story.restart(0);
        story.look();

        story.ask("bob", Mode.EX, 10, 20);

        assertThat(story.recalls())
                .containsExactly(new Notice.Recall("alice", lock, 10, 20, Mode.EX, story.now + 5 * SECOND, 20, 100));
    }

    @Test
    void aDesiredRangeContainsTheRange() {
        story.look();

        story.apply(new Command.Acquire("alice", 99, "v", "u", 50, 60, Mode.EX, 0, false, 55, 100, List.of()));

        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_RANGE);
        assertThat(story.refusal().message()).isEqualTo("desired range [55, 100) does not contain the range [50, 60)");
    }

    private void assertRange(long start, long end) {
        assertThat(story.granted()).hasSize(1);
        assertThat(story.granted().getFirst().start()).isEqualTo(start);
        assertThat(story.granted().getFirst().end()).isEqualTo(end);
    }
}
