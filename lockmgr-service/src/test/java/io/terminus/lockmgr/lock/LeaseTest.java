package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static io.terminus.lockmgr.lock.Story.WHOLE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

class LeaseTest {

    private static final long TTL = 6 * SECOND;
    private static final long LEASE = TTL + LockTable.marginNanos(TTL);

    private final Story story = new Story().open("alice", "bob");

    @Test
    void theMarginIsTwicePercentOfTheTtlAndAHundredMilliseconds() {
        assertThat(LockTable.marginNanos(6 * SECOND)).isEqualTo(220_000_000L);
        assertThat(LockTable.marginNanos(60 * SECOND)).isEqualTo(1_300_000_000L);
    }

    @Test
    void aSilentSessionEndsAfterTtlAndMarginAndNotBefore() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        long waiting = story.ask("bob", Mode.EX, 0, 10, 60 * SECOND, true);
        story.look();

        story.pass(LEASE - 1, "bob");
        assertThat(story.said).noneMatch(n -> n instanceof Notice.SessionEnded);
        story.pass(1, "bob");

        assertThat(story.only(Notice.SessionEnded.class))
                .extracting(Notice.SessionEnded::sessionId)
                .containsExactly("alice");
        assertThat(story.grantedRequests()).containsExactly(waiting);
        assertThat(story.changed)
                .startsWith(new Change.LockGone(lock), new Change.SessionClosed("alice"))
                .hasSize(3);
    }

    @Test
    void theLeaseRunsFromTheLastRenewalThatWasAnswered() {
        story.pass(5 * SECOND);
        story.renew("alice");
        long renewedAt = story.now;

        assertThat(story.said).contains(new Notice.RenewalAnswered("alice", 1));
        assertThat(story.table.session("alice").orElseThrow().leaseEndNanos()).isEqualTo(renewedAt + LEASE);
        story.pass(LEASE - 1);
        assertThat(story.table.sessions())
                .extracting(LockTable.SessionView::sessionId)
                .containsExactly("alice");
    }

    @Test
    void aTableThatGoesOnForAnotherLetsLeasesRunOnAndGivesEachAtLeastSoLong() {
        long now = 100 * SECOND;
        LockTable next = new LockTable(Settings.defaults(), 2, now);
        next.restore(
                List.of(new Change.SessionOpened("alice", "alice", TTL), new Change.SessionOpened("bob", "bob", TTL)));

        next.restoreLease("alice", now - SECOND, now + SECOND);
        next.restoreLease("bob", now - TTL, now + SECOND);
        next.restoreLease("unknown", now, now);

        assertThat(next.session("alice").orElseThrow().leaseEndNanos()).isEqualTo(now - SECOND + LEASE);
        assertThat(next.session("bob").orElseThrow().leaseEndNanos()).isEqualTo(now + SECOND);
    }

    @Test
    void aRenewalOfAnUnknownSessionIsToldThatItIsOver() {
        story.renew("nobody");

        assertThat(story.said).hasSize(1).first().isInstanceOf(Notice.SessionEnded.class);
    }

    @Test
    void noRenewalIsAnsweredWhileALossIsNotAcknowledged() {
        long first = story.hold("alice", Mode.EX, 0, 10);
        long second = story.hold("alice", Mode.EX, 20, 30);
        story.forceRelease(first);
        story.forceRelease(second);
        story.said.clear();

        story.renew("alice");
        assertThat(story.said).isEmpty();
        story.ackLost("alice", first);
        story.said.clear();
        story.renew("alice");
        assertThat(story.said).isEmpty();
        story.ackLost("alice", second);
        story.said.clear();
        story.renew("alice");

        assertThat(story.said).containsExactly(new Notice.RenewalAnswered("alice", 1));
    }

    @Test
    void aSessionThatNeverAcknowledgesALossEndsThoughItRenews() {
        long lost = story.hold("alice", Mode.EX, 0, 10);
        story.hold("alice", Mode.EX, 50, 60);
        story.pass(3 * SECOND, "alice", "bob");
        story.forceRelease(lost);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.pass(LEASE - SECOND / 10, "alice", "bob");
        assertThat(story.granted()).isEmpty();
        story.pass(SECOND / 10, "alice", "bob");

        assertThat(story.grantedRequests()).containsExactly(waiting);
        assertThat(story.table.sessions())
                .extracting(LockTable.SessionView::sessionId)
                .containsExactly("bob");
    }

    @Test
    void aSleepOfTheProcessMovesEveryDeadline() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        long waiting = story.ask("bob", Mode.EX, 0, WHOLE, 4 * SECOND, false);
        story.pass(1 * SECOND);
        story.look();

        story.now += 3600 * SECOND;
        story.apply(new Command.Tick());
        assertThat(story.said).isEmpty();
        story.pass(3 * SECOND - 1);
        assertThat(story.said).isEmpty();
        story.pass(1);
        assertThat(story.refusal().requestId()).isEqualTo(waiting);
        story.pass(LEASE - 4 * SECOND);

        assertThat(story.only(Notice.SessionEnded.class)).hasSize(2);
        assertThat(story.changed).contains(new Change.LockGone(lock));
    }

    @Test
    void aSleepThatARenewalEndsCountsAsWell() {
        story.hold("alice", Mode.EX, 0, 10);
        story.look();

        story.now += 3600 * SECOND;
        story.renew("bob");
        story.apply(new Command.Tick());

        assertThat(story.table.sessions()).hasSize(2);
    }

    @Test
    void timeThatRunsBackwardsStandsStill() {
        story.hold("alice", Mode.EX, 0, 10);
        long leaseEnd = story.table.session("alice").orElseThrow().leaseEndNanos();

        story.now -= 5 * SECOND;
        story.renew("alice");

        assertThat(story.table.session("alice").orElseThrow().leaseEndNanos()).isEqualTo(leaseEnd);
    }

    @Test
    void theTtlAskedForIsBroughtWithinTheLimits() {
        story.apply(new Command.OpenSession("short", "o", 1));
        story.apply(new Command.OpenSession("long", "o", 3600 * SECOND));
        story.apply(new Command.OpenSession("default", "o", 0));

        assertThat(story.table.session("short").orElseThrow().ttlNanos()).isEqualTo(SECOND);
        assertThat(story.table.session("long").orElseThrow().ttlNanos()).isEqualTo(60 * SECOND);
        assertThat(story.table.session("default").orElseThrow().ttlNanos()).isEqualTo(6 * SECOND);
        assertThat(story.changed).contains(new Change.SessionOpened("short", "o", SECOND));
    }

    @Test
    void openingASessionAgainChangesNothing() {
        story.look();

        story.open("alice");
        assertThat(story.changed).isEmpty();
        assertThat(story.said).isEmpty();
        story.apply(new Command.OpenSession("alice", "mallory", 0));

        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_ARGUMENT);
    }

    @Test
    void aClosedSessionGivesUpEverythingAtOnce() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.ask("alice", Mode.EX, 40, 50);
        long waiting = story.ask("bob", Mode.EX, 0, 10);
        story.look();

        story.apply(new Command.CloseSession("alice", "bye"));
        assertThat(story.said).first().isEqualTo(new Notice.SessionEnded("alice", "bye"));
        assertThat(story.grantedRequests()).containsExactly(waiting);
        assertThat(story.changed).contains(new Change.LockGone(lock), new Change.SessionClosed("alice"));
        story.look();
        story.apply(new Command.CloseSession("alice", "bye"));

        assertThat(story.said).isEmpty();
        assertThat(story.changed).isEmpty();
    }

    @Test
    void commandsOfAnUnknownSessionAreRefused() {
        story.look();

        story.attempt("nobody", Mode.EX, 0, 10);
        story.release("nobody", 1);
        story.cancel("nobody", 1);
        story.promote("nobody", 1);
        story.put("nobody", 1, 0, "");
        story.ackLost("nobody", 1);
        story.progress("nobody", 1);

        assertThat(story.refusals()).hasSize(7).allMatch(r -> r.reason() == Reason.UNKNOWN_SESSION);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void aRestartKeepsLocksAndTokensAndGivesEachSessionAFullLease() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.hold("bob", Mode.PR, 20, 30);
        story.pass(5 * SECOND);
        List<ClaimView.LockView> before =
                story.table.locks(LockQuery.all("v", 10)).items();
        story.look();

        story.restart(0);

        assertThat(story.table.locks(LockQuery.all("v", 10)).items()).isEqualTo(before);
        assertThat(story.table.heldBy("alice"))
                .extracting(Notice.Granted::lockId)
                .containsExactly(lock);
        assertThat(story.table.session("alice").orElseThrow().leaseEndNanos()).isEqualTo(story.now + LEASE);
        long next = story.hold("bob", Mode.EX, 40, 50);
        assertThat(next).isEqualTo((2L << 40) + 1);
    }

    @Test
    void aRequestThatWasGrantedBeforeTheRestartIsAnsweredAfterIt() {
        long request = story.ask("alice", Mode.EX, 0, 10);
        long lock = story.lockOf(request);
        story.restart(0);
        story.look();

        story.askAgain(request, "v", "alice", Mode.EX, 0, 10, 0, false);

        assertThat(story.lockOf(request)).isEqualTo(lock);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void aLossThatWasNotAcknowledgedOutlivesTheRestart() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.forceRelease(lock);
        story.restart(0);
        story.look();

        story.renew("alice");
        assertThat(story.said).isEmpty();
        assertThat(story.table.unansweredEvents("alice")).hasSize(1).first().isInstanceOf(Notice.Lost.class);
        assertThat(story.table.heldBy("alice")).isEmpty();
        story.attempt("bob", Mode.EX, 0, 10);
        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
        story.ackLost("alice", lock);

        long request = story.attempt("bob", Mode.EX, 0, 10);
        assertThat(story.grantedRequests()).containsExactly(request);
    }

    @Test
    void aTableIsLoadedFromItsOwnSnapshot() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.put("alice", lock, 0, "value");
        List<Change> snapshot = new java.util.ArrayList<>();
        story.table.forEachDurable(snapshot::add);

        LockTable copy = new LockTable(Settings.defaults(), 2, story.now);
        copy.restore(snapshot);

        List<Change> again = new java.util.ArrayList<>();
        copy.forEachDurable(again::add);
        assertThat(again).isEqualTo(snapshot);
    }

    @Test
    void nothingIsGrantedBeforeTheRecoveryIsOver() {
        story.restart(10 * SECOND);
        story.look();

        story.attempt("alice", Mode.EX, 0, 10);
        assertThat(story.refusal().reason()).isEqualTo(Reason.RECOVERING);
        long first = story.ask("alice", Mode.EX, 0, 10);
        long second = story.ask("bob", Mode.EX, 0, 10);
        long apart = story.ask("bob", Mode.EX, 20, 30);
        story.pass(10 * SECOND - 1, "alice", "bob");
        assertThat(story.table.recovering()).isTrue();
        assertThat(story.granted()).isEmpty();
        story.pass(1, "alice", "bob");

        assertThat(story.table.recovering()).isFalse();
        assertThat(story.grantedRequests()).containsExactly(first, apart);
        assertThat(story.recalls()).extracting(Notice.Recall::lockId).containsExactly(story.lockOf(first));
        story.release("alice", story.lockOf(first));
        assertThat(story.grantedRequests()).containsExactly(first, apart, second);
    }

    @Test
    void stateThatBreaksARuleIsNotServed() {
        Change alice = new Change.SessionOpened("alice", "alice", TTL);
        Change bob = new Change.SessionOpened("bob", "bob", TTL);
        Change volume = new Change.VolumePut("v", "u", 0);
        long token = (1L << 40) + 1;
        Change first = new Change.LockPut(token, "alice", 1, 1, "v", 0, 10, 0, 10, Mode.EX, token, false);
        Change second = new Change.LockPut(token + 1, "bob", 1, 1, "v", 5, 15, 5, 15, Mode.PR, token + 1, false);

        assertThatThrownBy(() -> tableOfEpoch(2).restore(List.of(alice, bob, volume, first, second)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("conflict");
        assertThatThrownBy(() -> tableOfEpoch(1).restore(List.of(alice, volume, first)))
                .hasMessageContaining("not older than epoch 1");
        assertThatThrownBy(() -> tableOfEpoch(2).restore(List.of(volume, first)))
                .hasMessageContaining("alice");
        assertThatThrownBy(() -> story.table.restore(List.of())).hasMessageContaining("after the first command");
        assertThatThrownBy(() -> tableOfEpoch(0)).hasMessageContaining("epoch 0");
    }

    private LockTable tableOfEpoch(long epoch) {
        return new LockTable(Settings.defaults(), epoch, story.now);
    }
}
