package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.WHOLE;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class DeadlockTest {

    private final Story story = new Story().open("alice", "bob", "carol");

    @Test
    void theRequestThatClosesARingIsRefusedAndTheRingIsNamed() {
        story.hold("alice", Mode.EX, 0, 10);
        story.hold("bob", Mode.EX, 20, 30);
        story.hold("carol", Mode.EX, 40, 50);
        story.ask("alice", Mode.PR, 20, 30);
        story.ask("bob", Mode.EX, 45, 50);
        story.look();

        long closing = story.ask("carol", Mode.EX, 0, 5);

        assertThat(story.refusal().requestId()).isEqualTo(closing);
        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
        assertThat(story.refusal().message())
                .startsWith("carol waits for EX [0, 5) of v, where alice holds EX [0, 10) as lock ")
                .contains("; alice waits for PR [20, 30) of v, where bob holds EX [20, 30) as lock ")
                .contains("; bob waits for EX [45, 50) of v, where carol holds EX [40, 50) as lock ");
        assertThat(story.recalls()).isEmpty();
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items()).hasSize(2);
    }

    @Test
    void aRingMayRunOverSeveralVolumes() {
        story.hold("alice", Mode.EX, 0, 10);
        story.askOn("w", "bob", Mode.EX, 0, 10, 0, false);
        story.askOn("w", "alice", Mode.EX, 0, 10, Story.LONG_WAIT, false);
        story.look();

        story.ask("bob", Mode.EX, 0, 10);

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
    }

    @Test
    void aRingMayRunOverAnOlderWaiter() {
        story.hold("carol", Mode.PR, 0, 10);
        story.hold("bob", Mode.EX, 50, 60);
        story.ask("alice", Mode.EX, 0, 10);
        story.ask("bob", Mode.PR, 0, 10);
        story.look();

        story.ask("alice", Mode.EX, 50, 60);

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
        assertThat(story.refusal().message()).contains("alice is waiting for EX [0, 10) since request ");
    }

    @Test
    void waitingForAnOwnLockIsADeadlockOfOne() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        story.look();

        story.ask("alice", Mode.EX, 5, 15);

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
        assertThat(story.refusal().message())
                .isEqualTo("alice waits for EX [5, 15) of v, where alice holds PR [0, 10) as lock " + lock);
    }

    @Test
    void aTryThatAnOwnLockIsInTheWayOfWouldBlock() {
        story.hold("alice", Mode.PR, 0, 10);
        story.look();

        story.attempt("alice", Mode.EX, 5, 15);

        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
    }

    @Test
    void ownLocksMayOverlapWhereTheirModesAllowIt() {
        story.hold("alice", Mode.PR, 0, 10);
        long second = story.hold("alice", Mode.PR, 5, 15);

        assertThat(story.table.heldBy("alice")).hasSize(2).last().matches(granted -> granted.lockId() == second);
    }

    @Test
    void standingByForEachOthersVolumesIsNoDeadlock() {
        story.hold("alice", Mode.EX, 0, WHOLE);
        story.askOn("w", "bob", Mode.EX, 0, WHOLE, 0, false);

        story.standBy("bob", Mode.EX, 0, WHOLE);
        story.askOn("w", "alice", Mode.EX, 0, WHOLE, LockTable.WAIT_FOR_EVER, true);

        assertThat(story.refusals()).isEmpty();
    }

    @Test
    void aPromotionThatWouldCloseARingIsRefusedAndTheStandbyStays() {
        story.hold("alice", Mode.EX, 0, 10);
        story.hold("bob", Mode.EX, 20, 30);
        long standby = story.standBy("alice", Mode.EX, 20, 30);
        story.ask("bob", Mode.EX, 0, 10);
        story.look();

        long promotion = story.promote("alice", standby);

        assertThat(story.refusal().requestId()).isEqualTo(promotion);
        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items())
                .filteredOn(w -> w.standby())
                .hasSize(1);
    }

    @Test
    void aRevokedLockIsPartOfNoRingBecauseItComesFreeByItself() {
        long lost = story.hold("alice", Mode.EX, 0, 10);
        story.hold("bob", Mode.EX, 20, 30);
        story.ask("alice", Mode.EX, 20, 30);
        story.forceRelease(lost);
        story.look();

        long waiting = story.ask("bob", Mode.EX, 0, 10);
        assertThat(story.refusals()).isEmpty();
        story.ackLost("alice", lost);

        assertThat(story.grantedRequests()).containsExactly(waiting);
    }

    @Test
    void whoWouldHaveACrowdSearchedIsRefusedAndHeldUpNobody() {
        story.open("holder", "readers", "writers", "newest");
        story.hold("holder", Mode.EX, 0, 100_000);
        int crowd = 1_500;
        for (int i = 0; i < crowd; i++) {
            story.ask("readers", Mode.PR, i, 50_000 + i);
        }
        for (int i = 0; i < crowd; i++) {
            story.ask("writers", Mode.EX, 10 * i, 10 * i + 5); // each behind up to a thousand and a half
        }

        for (int i = 0; i < 200; i++) {
            story.ask("newest", Mode.PR, 10 * i, 10 * i + 1);
        }

        assertThat(story.refusals()).hasSize(199).allSatisfy(r -> {
            assertThat(r.sessionId()).isEqualTo("newest");
            assertThat(r.reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
            assertThat(r.message())
                    .endsWith("may not wait: to find out whether it closes a deadlock, more than 1024 waiters or 262144"
                            + " locks would have to be looked at");
        });
        assertThat(story.table.volumes().getFirst().waiting()).isEqualTo(2 * crowd + 1);
    }
}
