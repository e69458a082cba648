package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static io.terminus.lockmgr.lock.Story.WHOLE;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class StandbyTest {

    private final Story story = new Story().open("alice", "bob", "carol", "dave");

    @Test
    void standbysNeverRecallTheHolder() {
        story.hold("alice", Mode.EX, 0, WHOLE);
        story.standBy("bob", Mode.EX, 0, WHOLE);
        story.standBy("carol", Mode.EX, 0, WHOLE);

        story.pass(300 * SECOND, "alice", "bob", "carol");

        assertThat(story.recalls()).isEmpty();
        assertThat(story.losses()).isEmpty();
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items()).hasSize(2);
    }

    @Test
    void standbysAreGrantedOldestFirstWhenTheHolderIsGone() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        long first = story.standBy("bob", Mode.EX, 0, WHOLE);
        story.standBy("carol", Mode.EX, 0, WHOLE);
        story.look();

        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(first);
    }

    @Test
    void aStandbyIsGrantedWhenTheHoldersLeaseEnds() {
        story.hold("alice", Mode.EX, 0, WHOLE);
        long standby = story.standBy("bob", Mode.EX, 0, WHOLE);
        story.look();

        story.pass(7 * SECOND, "bob");

        assertThat(story.grantedRequests()).containsExactly(standby);
    }

    @Test
    void anOrdinaryRequestPassesOlderStandbys() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.standBy("bob", Mode.EX, 0, WHOLE);
        long ordinary = story.ask("carol", Mode.EX, 0, WHOLE);
        story.look();

        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(ordinary);
    }

    @Test
    void aStandbyIsInNobodysWayAndHoldsUpNoTry() {
        story.hold("alice", Mode.PR, 0, 10);
        story.standBy("bob", Mode.EX, 0, 10);

        long reader = story.attempt("carol", Mode.PR, 0, 10);

        assertThat(story.grantedRequests()).contains(reader);
    }

    @Test
    void aStandbyWaitsWhileAnyConflictingOrdinaryRequestWaits() {
        long reading = story.hold("alice", Mode.PR, 0, 10);
        long standby = story.standBy("bob", Mode.EX, 5, 20);
        story.hold("dave", Mode.PR, 20, 30);
        long ordinary = story.ask("carol", Mode.EX, 8, 25);
        story.look();

        story.release("alice", reading);
        assertThat(story.granted()).isEmpty();
        story.cancel("carol", ordinary);

        assertThat(story.grantedRequests()).containsExactly(standby);
    }

    @Test
    void aYoungerStandbyWaitsBehindAnOlderOneItConflictsWith() {
        story.hold("alice", Mode.PR, 0, 10);
        story.standBy("bob", Mode.EX, 0, 20);

        long younger = story.standBy("carol", Mode.EX, 15, 30);
        long apart = story.standBy("dave", Mode.EX, 40, 50);

        assertThat(story.grantedRequests()).contains(apart).doesNotContain(younger);
    }

    @Test
    void promotionLandsOnTheOneThatIsNamed() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.standBy("bob", Mode.EX, 0, WHOLE);
        long named = story.standBy("carol", Mode.EX, 0, WHOLE);
        story.standBy("dave", Mode.EX, 0, WHOLE);
        story.look();

        long promotion = story.promote("carol", named);
        assertThat(story.said).contains(new Notice.Done("carol", promotion));
        assertThat(story.recalls()).extracting(Notice.Recall::lockId).containsExactly(lock);
        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(named);
    }

    @Test
    void aPromotedRequestStandsBehindOrdinaryOnesThatCameBeforeThePromotion() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        long standby = story.standBy("bob", Mode.EX, 0, WHOLE);
        long ordinary = story.ask("carol", Mode.EX, 0, WHOLE);
        story.promote("bob", standby);
        story.look();

        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(ordinary);
    }

    @Test
    void aPromotedRequestIsGrantedAtOnceIfOnlyAnOlderStandbyWasInItsWay() {
        story.hold("alice", Mode.PR, 0, 10);
        story.standBy("bob", Mode.EX, 0, 20);
        long standby = story.standBy("carol", Mode.EX, 15, 30);
        story.look();

        story.promote("carol", standby);

        assertThat(story.grantedRequests()).containsExactly(standby);
    }

    @Test
    void promotingTwiceKeepsThePlaceOfTheFirstTime() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        long standby = story.standBy("bob", Mode.EX, 0, WHOLE);
        story.promote("bob", standby);
        story.ask("carol", Mode.EX, 0, WHOLE);
        story.promote("bob", standby);
        story.look();

        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(standby);
    }

    @Test
    void promotionOfAnUnknownRequestIsRefused() {
        story.look();

        story.promote("bob", 4711);

        assertThat(story.refusal().reason()).isEqualTo(Reason.UNKNOWN_REQUEST);
        assertThat(story.refusal().message()).contains("4711");
    }

    @Test
    void aPromotedRequestHasTheDeadlineOfItsPromotion() {
        story.hold("alice", Mode.EX, 0, WHOLE);
        long standby = story.standBy("bob", Mode.EX, 0, WHOLE);
        story.look();

        story.apply(new Command.Promote("bob", 900, standby, 2 * SECOND));
        story.pass(2 * SECOND, "alice", "bob");

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLINE);
        assertThat(story.refusal().requestId()).isEqualTo(standby);
    }
}
