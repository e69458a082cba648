package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class WaitingOrderTest {

    private final Story story = new Story().open("alice", "bob", "carol", "dave");

    @Test
    void readersShareARangeAndAWriterWaitsForAllOfThem() {
        long first = story.hold("alice", Mode.PR, 0, 100);
        long second = story.hold("bob", Mode.PR, 50, 150);
        long writer = story.ask("carol", Mode.EX, 60, 70);
        story.look();

        story.release("alice", first);
        assertThat(story.granted()).isEmpty();
        story.release("bob", second);

        assertThat(story.grantedRequests()).containsExactly(writer);
    }

    @Test
    void rangesThatOnlyTouchDoNotConflict() {
        story.hold("alice", Mode.EX, 0, 10);
        story.hold("bob", Mode.EX, 10, 20);

        assertThat(story.refusals()).isEmpty();
        assertThat(story.granted()).hasSize(2);
    }

    @Test
    void volumesHaveNothingToDoWithEachOther() {
        story.hold("alice", Mode.EX, 0, 10);

        long other = story.askOn("w", "bob", Mode.EX, 0, 10, 0, false);

        assertThat(story.grantedRequests()).contains(other);
    }

    @Test
    void readerWaitsBehindOlderWriter() {
        long reading = story.hold("alice", Mode.PR, 0, 100);
        long writer = story.ask("bob", Mode.EX, 0, 100);
        long reader = story.ask("carol", Mode.PR, 0, 100);
        story.look();

        story.release("alice", reading);
        assertThat(story.grantedRequests()).containsExactly(writer);
        story.release("bob", story.lockOf(writer));

        assertThat(story.grantedRequests()).containsExactly(writer, reader);
    }

    @Test
    void writerWaitsBehindOlderReader() {
        long writing = story.hold("alice", Mode.EX, 0, 100);
        long reader = story.ask("bob", Mode.PR, 0, 100);
        story.ask("carol", Mode.EX, 0, 100);
        story.look();

        story.release("alice", writing);

        assertThat(story.grantedRequests()).containsExactly(reader);
    }

    @Test
    void aWaiterIsNotHeldUpByAnOlderOneItDoesNotConflictWith() {
        story.hold("alice", Mode.EX, 0, 10);
        story.ask("bob", Mode.EX, 0, 20);

        long elsewhere = story.ask("carol", Mode.EX, 20, 30);
        long besideBoth = story.ask("dave", Mode.NL, 0, 30);

        assertThat(story.grantedRequests()).contains(elsewhere, besideBoth);
    }

    @Test
    void aWaiterThatGivesUpLetsThoseBehindItPass() {
        story.hold("alice", Mode.PR, 0, 100);
        long writer = story.ask("bob", Mode.EX, 0, 100);
        long reader = story.ask("carol", Mode.PR, 0, 100);
        story.look();

        story.cancel("bob", writer);

        assertThat(story.refusal().reason()).isEqualTo(Reason.CANCELLED);
        assertThat(story.refusal().requestId()).isEqualTo(writer);
        assertThat(story.grantedRequests()).containsExactly(reader);
    }

    @Test
    void everyoneAReleaseFreesIsGrantedInTheOrderOfAge() {
        long writing = story.hold("alice", Mode.EX, 0, 100);
        long first = story.ask("bob", Mode.EX, 50, 100);
        long second = story.ask("carol", Mode.PR, 0, 50);
        long third = story.ask("dave", Mode.CR, 10, 20);
        story.look();

        story.release("alice", writing);

        assertThat(story.grantedRequests()).containsExactly(first, second, third);
    }

    @Test
    void aTryIsRefusedAtOnceAndNamesWhatIsInTheWay() {
        story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.attempt("bob", Mode.PR, 5, 15);

        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
        assertThat(story.refusal().message()).contains("alice holds EX [0, 10)");
        assertThat(story.recalls()).isEmpty();
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items()).isEmpty();
    }

    @Test
    void aTryDoesNotOvertakeAWaiterEither() {
        story.hold("alice", Mode.PR, 0, 10);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.attempt("carol", Mode.PR, 0, 10);

        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
        assertThat(story.refusal().message()).contains("bob is waiting for EX [0, 10)");
    }

    @Test
    void aWaitEndsAtItsDeadline() {
        story.hold("alice", Mode.PR, 0, 10);
        long writer = story.ask("bob", Mode.EX, 0, 10, 2 * SECOND, false);
        story.look();

        story.pass(2 * SECOND - 1, "alice", "bob");
        assertThat(story.refusals()).isEmpty();
        story.pass(1, "alice", "bob");

        assertThat(story.refusal().requestId()).isEqualTo(writer);
        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLINE);
        assertThat(story.refusal().message()).contains("alice holds PR [0, 10)");
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items()).isEmpty();
    }

    @Test
    void waitsThatEndTogetherEachSayWhy() {
        story.hold("alice", Mode.PR, 0, 10);
        story.ask("bob", Mode.EX, 0, 10, SECOND, false);
        story.ask("carol", Mode.PR, 0, 10, SECOND, false);
        story.look();

        story.pass(SECOND, "alice", "bob", "carol");

        assertThat(story.refusals()).extracting(Notice.Refused::reason).containsOnly(Reason.DEADLINE);
        assertThat(story.refusals().get(0).message()).endsWith("alice holds PR [0, 10) as lock " + ((1L << 40) + 1));
        assertThat(story.refusals().get(1).message()).endsWith("left in this very step");
        assertThat(story.granted()).isEmpty();
    }

    @Test
    void aReleaseOfSomebodyElsesOrOfAnUnknownLockIsDoneAndDoesNothing() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.release("bob", lock);
        story.release("bob", 4711);

        assertThat(story.said).hasSize(2).allMatch(n -> n instanceof Notice.Done);
        assertThat(story.table.locks(LockQuery.all("v", 10)).items()).hasSize(1);
    }

    @Test
    void cancelOfAGrantedRequestReleasesIt() {
        long request = story.ask("alice", Mode.EX, 0, 10);
        story.look();

        long cancel = story.cancel("alice", request);

        assertThat(story.said).containsExactly(new Notice.Done("alice", cancel));
        assertThat(story.table.locks(LockQuery.all("v", 10)).items()).isEmpty();
    }

    @Test
    void cancelOfSomethingUnknownIsDone() {
        story.look();

        long cancel = story.cancel("alice", 4711);

        assertThat(story.said).containsExactly(new Notice.Done("alice", cancel));
    }

    @Test
    void aRepeatedRequestIsAnsweredWithTheSameGrant() {
        long request = story.ask("alice", Mode.EX, 0, 10);
        List<Notice> firstAnswer = story.look();

        story.askAgain(request, "v", "alice", Mode.EX, 0, 10, 0, false);

        assertThat(story.changed).isEmpty();
        assertThat(story.look()).hasSize(1).isEqualTo(firstAnswer);
        assertThat(story.table.locks(LockQuery.all("v", 10)).items()).hasSize(1);
    }

    @Test
    void aRepeatedRequestThatWaitsStaysWhereItIsAndIsAnsweredOnce() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long first = story.ask("bob", Mode.EX, 0, 10);
        long second = story.ask("carol", Mode.EX, 0, 10);
        story.look();

        story.askAgain(first, "v", "bob", Mode.EX, 0, 10, Story.LONG_WAIT, false);
        assertThat(story.said).isEmpty();
        story.release("alice", lock);

        assertThat(story.grantedRequests()).containsExactly(first);
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items())
                .extracting(ClaimView.WaiterView::requestId)
                .containsExactly(second);
    }

    @Test
    void waitersAreShownWithWhatIsInTheirWay() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.ask("bob", Mode.EX, 0, 10);
        story.ask("carol", Mode.PR, 5, 10);

        List<ClaimView.WaiterView> waiters =
                story.table.waiters(LockQuery.all("v", 10)).items();

        assertThat(waiters.get(0).blockedBy()).containsExactly(lock);
        assertThat(waiters.get(1).blockedBy()).containsExactly(waiters.get(0).id());
    }

    @Test
    void locksAreShownPageByPage() {
        long first = story.hold("alice", Mode.EX, 0, 10);
        long second = story.hold("alice", Mode.EX, 10, 20);
        long third = story.hold("bob", Mode.EX, 20, 30);

        LockQuery.Page<ClaimView.LockView> page = story.table.locks(LockQuery.all("v", 2));
        assertThat(page.items()).extracting(ClaimView.LockView::id).containsExactly(first, second);
        LockQuery rest = new LockQuery("v", 0, 0, null, "", page.next(), 2);
        assertThat(story.table.locks(rest).items())
                .extracting(ClaimView.LockView::id)
                .containsExactly(third);
        assertThat(story.table.locks(rest).next()).isEmpty();
        assertThat(story.table.locks(LockQuery.all("nowhere", 2)).items()).isEmpty();
        assertThat(story.table.volumes()).containsExactly(new LockTable.VolumeView("v", "uuid-of-v", 3, 0, 0, 0));
    }

    @Test
    void tokensRiseWithEveryGrantOfEveryVolumeAndCarryTheEpoch() {
        story.hold("alice", Mode.EX, 0, 10);
        story.askOn("w", "bob", Mode.EX, 0, 10, 0, false);
        story.hold("carol", Mode.EX, 20, 30);

        assertThat(story.granted())
                .extracting(Notice.Granted::token)
                .containsExactly((1L << 40) + 1, (1L << 40) + 2, (1L << 40) + 3);
        assertThat(story.granted()).allMatch(granted -> granted.lockId() == granted.token());
    }
}
