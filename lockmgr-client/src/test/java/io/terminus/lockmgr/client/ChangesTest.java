package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.client.SessionCore.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.GrantedAll;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Operation.KindCase;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.ServerMessage;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Convert, shrink, split, expansion and several at once: what may be believed at each moment, and what a retry does. */
class ChangesTest extends PlayedByHand {

    private static final Duration WAIT = Duration.ofSeconds(30);
    private static final LockRange RANGE = LockRange.of(0, 1000);

    // Convert.

    @Test
    void aWeakerModeIsAllThatIsBelievedFromTheCallOn() {
        Grant grant = held(LockMode.EX);

        long convert = core.convert(grant, LockMode.PR, Duration.ZERO, nowNanos);
        LockMode asked = grant.mode();
        step();
        answer(convert, lock(1, 0, 1000, Mode.MODE_PR, 7));

        assertThat(asked).isEqualTo(LockMode.PR);
        assertThat(grant.state()).isEqualTo(new Grant.State(RANGE, LockMode.PR, 7));
        assertThat(outcomes.get(convert)).isEqualTo(new Outcome.Done());
    }

    @Test
    void aStrongerModeIsBelievedWithItsNewTokenWhenItIsGranted() {
        Grant grant = held(LockMode.PR);

        long convert = core.convert(grant, LockMode.EX, WAIT, nowNanos);
        step();
        Grant.State waiting = grant.state();
        answer(convert, lock(1, 0, 1000, Mode.MODE_EX, 9));

        assertThat(waiting).isEqualTo(new Grant.State(RANGE, LockMode.PR, 7));
        assertThat(grant.state()).isEqualTo(new Grant.State(RANGE, LockMode.EX, 9));
    }

    @Test
    void betweenModesThatDoNotCoverEachOtherOnlyWhatBothCoverIsBelieved() {
        Grant grant = held(LockMode.CW);

        core.convert(grant, LockMode.PR, WAIT, nowNanos);

        assertThat(grant.mode()).isEqualTo(LockMode.CR);
    }

    @Test
    void aRefusedConversionLeavesTheLockAsItWas() {
        Grant grant = held(LockMode.CW);
        long convert = core.convert(grant, LockMode.PR, WAIT, nowNanos);
        step();

        refuse(convert, Reason.DEADLOCK);

        assertThat(refusal(convert)).isEqualTo(RefusalReason.DEADLOCK);
        assertThat(grant.state()).isEqualTo(new Grant.State(RANGE, LockMode.CW, 7));
    }

    @Test
    void aConversionOfUnknownOutcomeLeavesWhatIsCertain() {
        Grant grant = held(LockMode.EX);
        long convert = core.convert(grant, LockMode.PR, WAIT, nowNanos);
        step();

        refuse(convert, Reason.UNKNOWN_OUTCOME);

        assertThat(grant.mode()).isEqualTo(LockMode.PR);
    }

    @Test
    void aConversionThatWasGivenUpButGrantedIsWhatIsHeld() {
        Grant grant = held(LockMode.PR);
        long convert = core.convert(grant, LockMode.EX, WAIT, nowNanos);
        step();

        core.cancel(convert);
        step();
        answer(convert, lock(1, 0, 1000, Mode.MODE_EX, 9));

        assertThat(refusal(convert)).isEqualTo(RefusalReason.CANCELLED);
        assertThat(operations(KindCase.CANCEL).getFirst().getCancel().getAcquireRequestId())
                .isEqualTo(convert);
        assertThat(grant.state()).isEqualTo(new Grant.State(RANGE, LockMode.EX, 9));
        assertThat(operations(KindCase.RELEASE)).isEmpty();
    }

    @Test
    void aConversionThatWasNeverSentAndGivenUpChangesNothing() {
        Grant grant = held(LockMode.EX);
        core.streamClosed(false, "cut", nowNanos);
        long convert = core.convert(grant, LockMode.PR, WAIT, nowNanos);

        core.cancel(convert);

        assertThat(grant.mode()).isEqualTo(LockMode.EX);
    }

    @Test
    void anUnansweredConversionIsGivenUpOnePatienceAfterItsWait() {
        Grant grant = held(LockMode.PR);
        long convert = core.convert(grant, LockMode.EX, Duration.ofSeconds(1), nowNanos);
        step();
        core.streamClosed(false, "cut", nowNanos);

        nowNanos += seconds(11);
        step();

        assertThat(refusal(convert)).isEqualTo(RefusalReason.DEADLINE);
        assertThat(grant.mode()).isEqualTo(LockMode.PR);
    }

    @Test
    void aConversionThatWasDoneBeforeABreakIsNotTakenForALoss() {
        Grant grant = held(LockMode.PR);
        long convert = core.convert(grant, LockMode.EX, WAIT, nowNanos);
        step();
        sent.clear();

        cutAndReattach("s1", lock(1, 0, 1000, Mode.MODE_EX, 9));
        answer(convert, lock(1, 0, 1000, Mode.MODE_EX, 9));

        assertThat(sentIds()).containsExactly(convert);
        assertThat(notices).noneMatch(Notice.Lost.class::isInstance);
        assertThat(grant.state()).isEqualTo(new Grant.State(RANGE, LockMode.EX, 9));
    }

    /** A lock manager that restarts forgets who waits; a request older than the lock's last change it takes for a retry. */
    @Test
    void aConversionThatWasForgottenBehindALaterChangeIsNotTakenForDone() {
        Grant grant = held(LockMode.PR);
        long convert = core.convert(grant, LockMode.EX, WAIT, nowNanos);
        long shrink = core.shrink(grant, LockRange.of(0, 500));
        step();
        answer(shrink, lock(1, 0, 500, Mode.MODE_PR, 7));

        cutAndReattach("s1", lock(1, 0, 500, Mode.MODE_PR, 7));
        answer(convert, lock(1, 0, 500, Mode.MODE_PR, 7));

        assertThat(refusal(convert)).isEqualTo(RefusalReason.UNKNOWN_OUTCOME);
        assertThat(grant.state()).isEqualTo(new Grant.State(LockRange.of(0, 500), LockMode.PR, 7));
    }

    @Test
    void aReleaseEndsTheChangesOfItsLock() {
        Grant grant = held(LockMode.PR);
        long convert = core.convert(grant, LockMode.EX, WAIT, nowNanos);
        step();

        core.release(grant);
        step();
        refuse(convert, Reason.CANCELLED);

        assertThat(refusal(convert)).isEqualTo(RefusalReason.CANCELLED);
        assertThat(grant.believed()).isFalse();
        assertThat(core.pendingCount()).isEqualTo(1);
    }

    @Test
    void aLossEndsTheChangesOfItsLock() {
        Grant grant = held(LockMode.EX);
        long shrink = core.shrink(grant, LockRange.of(0, 10));
        step();

        receive(ServerMessage.newBuilder().addEvents(lostEvent(1)));

        assertThat(refusal(shrink)).isEqualTo(RefusalReason.REVOKED);
    }

    @Test
    void aChangeOfALockThatIsNotHeldIsRefused() {
        Grant grant = held(LockMode.EX);
        core.release(grant);

        long convert = core.convert(grant, LockMode.PR, WAIT, nowNanos);
        step();

        assertThat(refusal(convert)).isEqualTo(RefusalReason.UNKNOWN_LOCK);
    }

    // Shrink.

    @Test
    void whatIsGivenBackIsNotBelievedFromTheCallOn() {
        Grant grant = held(LockMode.EX);

        long shrink = core.shrink(grant, LockRange.of(100, 200));
        boolean inside = grant.believed(100, 200);
        boolean outside = grant.believed(200, 201);
        step();
        answer(shrink, lock(1, 100, 200, Mode.MODE_EX, 7));

        assertThat(inside).isTrue();
        assertThat(outside).isFalse();
        assertThat(outcomes.get(shrink)).isEqualTo(new Outcome.Done());
        assertThat(grant.state()).isEqualTo(new Grant.State(LockRange.of(100, 200), LockMode.EX, 7));
        assertThatThrownBy(() -> core.shrink(grant, LockRange.of(100, 201)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[100, 201)");
    }

    @Test
    void aShrinkAndAConversionTogetherLeaveWhatBothLeave() {
        Grant grant = held(LockMode.EX);
        long shrink = core.shrink(grant, LockRange.of(100, 200));
        long convert = core.convert(grant, LockMode.PR, Duration.ZERO, nowNanos);
        step();

        answer(shrink, lock(1, 100, 200, Mode.MODE_EX, 7));
        Grant.State between = grant.state();
        answer(convert, lock(1, 100, 200, Mode.MODE_PR, 7));

        assertThat(between).isEqualTo(new Grant.State(LockRange.of(100, 200), LockMode.PR, 7));
        assertThat(grant.state()).isEqualTo(between);
    }

    @Test
    void aShrinkThatIsSentAgainKeepsItsIdAndItsEffect() {
        Grant grant = held(LockMode.EX);
        long shrink = core.shrink(grant, LockRange.of(100, 200));
        step();
        sent.clear();

        cutAndReattach("s1", lock(1, 0, 1000, Mode.MODE_EX, 7));

        assertThat(sentIds()).containsExactly(shrink);
        assertThat(grant.range()).isEqualTo(LockRange.of(100, 200));
    }

    @Test
    void aShrinkOfUnknownOutcomeThatWasNotDoneIsDoneAfterABreak() {
        Grant grant = held(LockMode.EX);
        long shrink = core.shrink(grant, LockRange.of(100, 200));
        step();
        refuse(shrink, Reason.UNKNOWN_OUTCOME);
        sent.clear();

        cutAndReattach("s1", lock(1, 0, 1000, Mode.MODE_EX, 7));

        assertThat(operations(KindCase.SHRINK).getFirst().getShrink().getRange())
                .isEqualTo(LockRange.of(100, 200).toProto());
        assertThat(grant.range()).isEqualTo(LockRange.of(100, 200));
    }

    @Test
    void aLockThatIsListedSmallerThanItIsBelievedIsLost() {
        Grant grant = held(LockMode.EX);

        cutAndReattach("s1", lock(1, 0, 500, Mode.MODE_EX, 7));

        assertThat(grant.believed()).isFalse();
        assertThat(notices.stream().filter(Notice.Lost.class::isInstance)).hasSize(1);
    }

    // Split.

    @Test
    void aSplitBringsTheUpperPartAsAGrantOfItsOwn() {
        Grant low = held(LockMode.EX);

        long split = core.split(low, 400);
        LockRange meanwhile = low.range();
        step();
        answerAll(split, lock(1, 0, 400, Mode.MODE_EX, 7), lock(2, 400, 1000, Mode.MODE_EX, 8));
        Grant high = grant(split);
        core.release(low);

        assertThat(meanwhile).isEqualTo(LockRange.of(0, 400));
        assertThat(high.state()).isEqualTo(new Grant.State(LockRange.of(400, 1000), LockMode.EX, 8));
        assertThat(high.believed()).isTrue();
        assertThat(low.believed()).isFalse();
        assertThat(core.heldCount()).isEqualTo(1);
    }

    @Test
    void aRefusedSplitLeavesTheWhole() {
        Grant grant = held(LockMode.EX);
        long split = core.split(grant, 400);
        step();

        refuse(split, Reason.LIMIT_EXCEEDED);

        assertThat(grant.range()).isEqualTo(RANGE);
    }

    @Test
    void anUpperPartThatIsLostBeforeItArrivesIsNeverBelieved() {
        Grant low = held(LockMode.EX);
        long split = core.split(low, 400);
        step();

        receive(ServerMessage.newBuilder()
                .addEvents(lostEvent(2))
                .addAnswers(all(split, lock(1, 0, 400, Mode.MODE_EX, 7), lock(2, 400, 1000, Mode.MODE_EX, 8))));

        assertThat(refusal(split)).isEqualTo(RefusalReason.REVOKED);
        assertThat(low.range()).isEqualTo(LockRange.of(0, 400));
        assertThat(operations(KindCase.LOST_ACK)).hasSize(1);
    }

    @Test
    void theUpperPartOfALockThatWasReleasedMeanwhileIsReleasedToo() {
        Grant low = held(LockMode.EX);
        long split = core.split(low, 400);
        step();
        core.release(low);
        step();

        answerAll(split, lock(1, 0, 400, Mode.MODE_EX, 7), lock(2, 400, 1000, Mode.MODE_EX, 8));

        assertThat(operations(KindCase.RELEASE).stream()
                        .map(it -> it.getRelease().getLockId()))
                .containsExactly(1L, 2L);
        assertThat(core.heldCount()).isZero();
    }

    @Test
    void aSplitThatWasDoneBeforeABreakIsAnsweredAfterIt() {
        Grant low = held(LockMode.EX);
        long split = core.split(low, 400);
        step();

        cutAndReattach("s1", lock(1, 0, 400, Mode.MODE_EX, 7), lock(2, 400, 1000, Mode.MODE_EX, 8));
        List<Operation> released = operations(KindCase.RELEASE);
        answerAll(split, lock(1, 0, 400, Mode.MODE_EX, 7), lock(2, 400, 1000, Mode.MODE_EX, 8));

        assertThat(released).isEmpty();
        assertThat(grant(split).believed()).isTrue();
        assertThat(low.believed()).isTrue();
    }

    // Expansion.

    @Test
    void aGrantMayBeLargerThanWhatWasAskedFor() {
        attach("s1");
        long acquire = core.acquire(
                AcquireRequest.of("v", LockRange.of(100, 200), LockMode.EX, WAIT)
                        .withDesired(RANGE),
                nowNanos);
        step();
        Granted wide = lock(1, 50, 800, Mode.MODE_EX, 7).toBuilder()
                .setRequested(LockRange.of(100, 200).toProto())
                .build();

        answer(acquire, wide);

        assertThat(operations(KindCase.ACQUIRE).getFirst().getAcquire().getDesired())
                .isEqualTo(RANGE.toProto());
        assertThat(grant(acquire).range()).isEqualTo(LockRange.of(50, 800));
        assertThat(grant(acquire).requested()).isEqualTo(LockRange.of(100, 200));
    }

    @Test
    void aGrantThatIsOnlyInTheWayWithWhatWasAddedIsShrunkByTheShrinkingListener() {
        Grant grant = held(LockMode.EX);
        LockListener listener = LockListener.shrinking(LockListener.NONE);
        List<LockRange> shrunk = new java.util.ArrayList<>();
        Grant watched = new Grant(1, "v", "u", RANGE, grant.state(), new Belief(() -> 0), new Grant.Owner() {
            @Override
            public java.util.concurrent.CompletableFuture<Void> release(Grant released) {
                throw new AssertionError("released");
            }

            @Override
            public void progress(Grant reporting, long progress) {}

            @Override
            public java.util.concurrent.CompletableFuture<Void> shrink(Grant shrinking, LockRange range) {
                shrunk.add(range);
                return new java.util.concurrent.CompletableFuture<>();
            }
        });

        listener.recalled(
                watched, new Recall(LockRange.of(500, 600), LockMode.EX, LockRange.of(0, 500), Duration.ofSeconds(5)));

        assertThat(shrunk).containsExactly(LockRange.of(0, 500));
    }

    // Several at once.

    @Test
    void severalAreGrantedTogetherAndReleasedSingly() {
        attach("s1");
        long acquire = core.acquireAll(two(), nowNanos);
        step();

        answerAll(acquire, lock(1, 0, 10, Mode.MODE_PR, 7), lock(2, 20, 30, Mode.MODE_EX, 8));
        GrantSet grants = grants(acquire);
        core.release(grants.get(0));
        step();

        assertThat(operations(KindCase.ACQUIRE).getFirst().getAcquire().getAlsoCount())
                .isEqualTo(1);
        assertThat(grants.size()).isEqualTo(2);
        assertThat(grants.believed()).isFalse();
        assertThat(grants.get(1).believed()).isTrue();
        assertThat(core.heldCount()).isEqualTo(1);
    }

    @Test
    void severalOfWhichOneIsTakenBackOnItsWayAreGivenBack() {
        attach("s1");
        long acquire = core.acquireAll(two(), nowNanos);
        step();

        receive(ServerMessage.newBuilder()
                .addEvents(lostEvent(1))
                .addAnswers(all(acquire, lock(1, 0, 10, Mode.MODE_PR, 7), lock(2, 20, 30, Mode.MODE_EX, 8))));

        assertThat(refusal(acquire)).isEqualTo(RefusalReason.REVOKED);
        assertThat(operations(KindCase.RELEASE).getFirst().getRelease().getLockId())
                .isEqualTo(2);
        assertThat(core.heldCount()).isZero();
    }

    @Test
    void severalThatArriveAfterTheirWaiterGaveUpAreReleased() {
        attach("s1");
        long acquire = core.acquireAll(two(), nowNanos);
        step();

        core.cancel(acquire);
        step();
        answerAll(acquire, lock(1, 0, 10, Mode.MODE_PR, 7), lock(2, 20, 30, Mode.MODE_EX, 8));

        assertThat(operations(KindCase.RELEASE)).hasSize(2);
        assertThat(core.heldCount()).isZero();
    }

    @Test
    void severalThatAreListedAfterABreakAreNotReleasedWhileTheirRequestMayHaveBroughtThem() {
        attach("s1");
        long acquire = core.acquireAll(two(), nowNanos);
        step();
        Granted[] locks = {lock(1, 0, 10, Mode.MODE_PR, 7), lock(2, 20, 30, Mode.MODE_EX, 8)};

        cutAndReattach("s1", locks);
        answerAll(acquire, locks);

        assertThat(operations(KindCase.RELEASE)).isEmpty();
        assertThat(grants(acquire).believed()).isTrue();
    }

    @Test
    void partsMustWaitEquallyLongAndBeOrdinary() {
        AcquireRequest one = AcquireRequest.of("v", RANGE, LockMode.EX, WAIT);

        assertThatThrownBy(() -> core.acquireAll(List.of(), nowNanos)).hasMessageContaining("0 parts");
        assertThatThrownBy(() -> core.acquireAll(
                        List.of(one, AcquireRequest.of("v", RANGE, LockMode.EX, Duration.ZERO)), nowNanos))
                .hasMessageContaining("wait together");
        assertThatThrownBy(() -> core.acquireAll(List.of(AcquireRequest.standby("v", RANGE, LockMode.EX)), nowNanos))
                .hasMessageContaining("standby");
    }

    // Modes.

    @Test
    void modesStandTogetherAsTheMatrixSays() {
        String[] matrix = {"yyyyyy", "yyyyy-", "yyy---", "yy-y--", "yy----", "y-----"};

        for (LockMode one : LockMode.values()) {
            for (LockMode other : LockMode.values()) {
                assertThat(one.standsWith(other))
                        .as("%s with %s", one, other)
                        .isEqualTo(matrix[one.ordinal()].charAt(other.ordinal()) == 'y');
            }
        }
    }

    private Grant held(LockMode mode) {
        attach("s1");
        long acquire = core.acquire(AcquireRequest.of("v", RANGE, mode, WAIT), nowNanos);
        step();
        answer(acquire, lock(1, 0, 1000, mode.toProto(), 7));
        return grant(acquire);
    }

    private static List<AcquireRequest> two() {
        return List.of(
                AcquireRequest.of("v", LockRange.of(0, 10), LockMode.PR, WAIT),
                AcquireRequest.of("v", LockRange.of(20, 30), LockMode.EX, WAIT));
    }

    private static Granted lock(long lockId, long start, long end, Mode mode, long token) {
        Range range = Range.newBuilder().setStart(start).setEnd(end).build();
        return Granted.newBuilder()
                .setLockId(lockId)
                .setVolume("v")
                .setVolumeUuid("u")
                .setRange(range)
                .setMode(mode)
                .setToken(token)
                .build();
    }

    private void answer(long requestId, Granted lock) {
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(requestId).setGranted(lock)));
    }

    private void answerAll(long requestId, Granted... locks) {
        receive(ServerMessage.newBuilder().addAnswers(all(requestId, locks)));
    }

    private static Answer all(long requestId, Granted... locks) {
        return Answer.newBuilder()
                .setRequestId(requestId)
                .setGrantedAll(GrantedAll.newBuilder().addAllLocks(List.of(locks)))
                .build();
    }

    private void refuse(long requestId, Reason reason) {
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder()
                        .setRequestId(requestId)
                        .setRefused(Refused.newBuilder().setReason(reason))));
    }

    private GrantSet grants(long requestId) {
        if (outcomes.get(requestId) instanceof Outcome.AcquiredAll all) {
            return all.grants();
        }
        throw new AssertionError("request " + requestId + " ended with " + outcomes.get(requestId));
    }
}
