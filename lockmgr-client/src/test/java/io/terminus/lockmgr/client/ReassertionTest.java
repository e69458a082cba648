package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.client.SessionCore.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Operation.KindCase;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The lock manager lost its memory: what the holder says again, believes meanwhile, and loses. */
class ReassertionTest extends PlayedByHand {

    @Test
    void anAttachSaysThatItMayReassertOnlyWhileSomethingIsBelieved() {
        open();
        boolean first = sent.getLast().getAttach().getMayReassert();
        welcome("s1");
        granted(1, 7);
        core.streamClosed(false, "cut", nowNanos);
        open();
        boolean believing = sent.getLast().getAttach().getMayReassert();
        core.streamClosed(false, "cut", nowNanos);
        nowNanos += seconds(10);
        open();
        boolean lapsed = sent.getLast().getAttach().getMayReassert();

        assertThat(first).isFalse();
        assertThat(believing).isTrue();
        assertThat(lapsed).isFalse();
    }

    @Test
    void whatIsBelievedIsSaidAgainAsItWasGranted() {
        attach("s1");
        Grant grant = granted(1, 7);

        memoryLost();

        Operation said = operations(KindCase.REASSERT).getFirst();
        assertThat(said.getReassert().getLock()).isEqualTo(wire(1, 7));
        assertThat(grant.believed()).isTrue();
        assertThat(notices).noneMatch(Notice.Lost.class::isInstance);
    }

    @Test
    void noRenewalOfTheNewSessionCountsBeforeAllAreAnsweredAndThenTheNewestDoes() {
        attach("s1");
        Grant one = granted(1, 7);
        Grant other = granted(2, 8);
        long until = core.believedUntilNanos();
        nowNanos += seconds(3);

        memoryLost();
        long afterWelcome = core.believedUntilNanos();
        renewalAnswered(1);
        nowNanos += seconds(4);
        step();
        long renewedAt = nowNanos;
        renewalAnswered(2);
        accept(one);
        long afterOne = core.believedUntilNanos();
        accept(other);

        assertThat(afterWelcome).isEqualTo(until);
        assertThat(afterOne).isEqualTo(until);
        assertThat(core.believedUntilNanos()).isEqualTo(renewedAt + millis(9700));
        assertThat(one.believed()).isTrue();
        assertThat(other.believed()).isTrue();
    }

    @Test
    void aRenewalInTheSameMessageAsTheLastAnswerCounts() {
        attach("s1");
        Grant grant = granted(1, 7);
        memoryLost();
        renewalAnswered(1);
        nowNanos += seconds(4);
        step();
        long renewedAt = nowNanos;

        receive(accepted(grant).setRenewal(RenewalAnswer.newBuilder().setSequence(2)));

        assertThat(core.believedUntilNanos()).isEqualTo(renewedAt + millis(9700));
    }

    @Test
    void whatIsRefusedIsLostBeforeBeliefIsExtended() {
        attach("s1");
        Grant kept = granted(1, 7);
        Grant refused = granted(2, 8);
        memoryLost();

        accept(kept);
        refuse(refused);
        boolean believed = refused.believed();
        List<Operation> before = operations(KindCase.RELEASE);
        core.lossHeard(refused, nowNanos);
        step();

        assertThat(believed).isFalse();
        assertThat(kept.believed()).isTrue();
        assertThat(lost()).containsExactly(refused);
        assertThat(before).isEmpty();
        assertThat(operations(KindCase.RELEASE)).hasSize(1);
        assertThat(core.believedUntilNanos()).isEqualTo(nowNanos + millis(9700));
    }

    @Test
    void whatIsNotAnsweredWhenBeliefEndsIsLostAndTheRestIsSafe() {
        attach("s1");
        Grant answered = granted(1, 7);
        Grant late = granted(2, 8);
        nowNanos += seconds(9);
        memoryLost();
        accept(answered);
        renewalAnswered(1);

        nowNanos += millis(700);
        step();
        boolean believed = late.believed();
        accept(late);
        core.lossHeard(late, nowNanos);
        step();

        assertThat(believed).isFalse();
        assertThat(late.believed()).isFalse();
        assertThat(answered.believed()).isTrue();
        assertThat(lost()).containsExactly(late);
        assertThat(notices).doesNotContain(new Notice.Jeopardy());
        // It was taken back by the lock manager after all, and is nobody's.
        assertThat(operations(KindCase.RELEASE).getFirst().getRelease().getLockId())
                .isEqualTo(2);
        assertThat(core.heldCount()).isEqualTo(1);
    }

    @Test
    void whatIsNotBelievedWhenTheWelcomeComesIsLostAndNotSaidAgain() {
        attach("s1");
        Grant grant = granted(1, 7);
        core.streamClosed(false, "cut", nowNanos);
        open();
        nowNanos += millis(9700);

        receive(welcomeOf("s1", true));

        assertThat(lost()).containsExactly(grant);
        assertThat(operations(KindCase.REASSERT)).isEmpty();
        assertThat(core.sessionId()).isEqualTo("s1");
    }

    @Test
    void aBreakInTheMiddleSaysAgainOnlyWhatWasNotAnswered() {
        attach("s1");
        Grant answered = granted(1, 7);
        Grant open = granted(2, 8);
        long until = core.believedUntilNanos();
        memoryLost();
        accept(answered);
        sent.clear();

        nowNanos += seconds(1);
        cutAndReattach("s1", wire(1, 7));
        long afterSecondWelcome = core.believedUntilNanos();
        long secondAttach = nowNanos;
        renewalAnswered(1);
        accept(open);

        assertThat(operations(KindCase.REASSERT)).hasSize(1);
        assertThat(afterSecondWelcome).isEqualTo(until);
        assertThat(lost()).isEmpty();
        assertThat(core.believedUntilNanos()).isEqualTo(secondAttach + millis(9700));
    }

    @Test
    void aBreakBehindAnUnheardAnswerFindsTheLockListedAndAsksAgain() {
        attach("s1");
        Grant grant = granted(1, 7);
        memoryLost();
        sent.clear();

        cutAndReattach("s1", wire(1, 7));
        long again = operations(KindCase.REASSERT).getFirst().getRequestId();
        accept(grant);

        assertThat(again).isPositive();
        assertThat(grant.believed()).isTrue();
        assertThat(operations(KindCase.RELEASE)).isEmpty();
    }

    @Test
    void memoryThatIsLostTwiceIsToldTwice() {
        attach("s1");
        Grant one = granted(1, 7);
        Grant other = granted(2, 8);
        long until = core.believedUntilNanos();
        memoryLost();
        accept(one);
        sent.clear();

        nowNanos += seconds(1);
        memoryLost();
        renewalAnswered(1);
        long afterSecond = core.believedUntilNanos();
        accept(one);
        accept(other);

        assertThat(operations(KindCase.REASSERT)).hasSize(2);
        assertThat(afterSecond).isEqualTo(until);
        assertThat(lost()).isEmpty();
        assertThat(core.believedUntilNanos()).isEqualTo(nowNanos + millis(9700));
    }

    @Test
    void aLockThatIsReleasedMeanwhileIsReleasedBehindItsReassertionAndHoldsNothingUp() {
        attach("s1");
        Grant released = granted(1, 7);
        Grant kept = granted(2, 8);
        memoryLost();

        core.release(released);
        accept(kept);
        accept(released);

        assertThat(operations(KindCase.RELEASE)).hasSize(1);
        assertThat(core.believedUntilNanos()).isEqualTo(nowNanos + millis(9700));
        assertThat(core.heldCount()).isEqualTo(1);
        assertThat(lost()).isEmpty();
    }

    @Test
    void aLockThatIsReportedLostMeanwhileIsLostOnce() {
        attach("s1");
        Grant grant = granted(1, 7);
        memoryLost();

        receive(ServerMessage.newBuilder().addEvents(lostEvent(1)));
        refuse(grant);

        assertThat(lost()).containsExactly(grant);
        assertThat(core.heldCount()).isZero();
    }

    @Test
    void aPutThatWasSentBeforeIsUnknownAndOneThatWasNotIsSentBehindTheReassertion() {
        attach("s1");
        Grant grant = granted(1, 7);
        long sentPut = core.putValue(grant, 3, new byte[] {1});
        step();
        core.streamClosed(false, "cut", nowNanos);
        long unsentPut = core.putValue(grant, 3, new byte[] {2});
        sent.clear();

        open();
        receive(welcomeOf("s1", true));

        assertThat(put(sentPut)).isInstanceOf(PutOutcome.Unknown.class);
        assertThat(outcomes).doesNotContainKey(unsentPut);
        assertThat(sent.getLast().getOperations(0).hasReassert()).isTrue();
        assertThat(sent.getLast().getOperations(1).getRequestId()).isEqualTo(unsentPut);
    }

    @Test
    void requestsThatWaitedGoOnWaitingInTheSameSession() {
        attach("s1");
        granted(1, 7);
        long standby = core.acquire(AcquireRequest.standby("w", LockRange.WHOLE_VOLUME, LockMode.EX), nowNanos);
        step();
        sent.clear();

        memoryLost();

        assertThat(outcomes).doesNotContainKey(standby);
        assertThat(sentIds()).endsWith(standby);
        assertThat(operations(KindCase.REASSERT)).hasSize(1);
    }

    @Test
    void aLockIsSaidAgainAsItIsBelievedWhileAChangeIsOpen() {
        attach("s1");
        Grant grant = granted(1, 7);
        long shrink = core.shrink(grant, LockRange.of(0, 100));
        core.convert(grant, LockMode.PR, Duration.ofSeconds(5), nowNanos);
        step();

        memoryLost();

        var said = operations(KindCase.REASSERT).getFirst().getReassert().getLock();
        assertThat(LockRange.of(said.getRange())).isEqualTo(LockRange.of(0, 100));
        assertThat(LockMode.of(said.getMode())).isEqualTo(LockMode.PR);
        assertThat(sentIds()).endsWith(shrink, shrink + 1);
    }

    @Test
    void aSplitOfUnknownOutcomeEndsAndItsLowerPartIsSaidAgain() {
        attach("s1");
        Grant grant = granted(1, 7);
        long split = core.split(grant, 100);
        step();
        sent.clear();

        memoryLost();

        assertThat(refusal(split)).isEqualTo(RefusalReason.UNKNOWN_OUTCOME);
        assertThat(LockRange.of(operations(KindCase.REASSERT)
                        .getFirst()
                        .getReassert()
                        .getLock()
                        .getRange()))
                .isEqualTo(LockRange.of(0, 100));
        assertThat(operations(KindCase.SPLIT)).isEmpty();
    }

    @Test
    void aSessionThatIsLostInTheMiddleLosesEverythingOnce() {
        attach("s1");
        Grant grant = granted(1, 7);
        memoryLost();

        core.streamClosed(true, "gone", nowNanos);
        step();
        attach("s2");
        Grant next = granted(2, 9);

        assertThat(lost()).containsExactly(grant);
        assertThat(next.believed()).isTrue();
        assertThat(core.believedUntilNanos()).isEqualTo(nowNanos + millis(9700));
    }

    @Test
    void closingInTheMiddleEndsEverything() {
        attach("s1");
        Grant grant = granted(1, 7);
        memoryLost();

        core.close();
        step();

        assertThat(grant.believed()).isFalse();
        assertThat(core.pendingCount()).isZero();
        assertThat(closedSession).isEqualTo("s1");
    }

    private void memoryLost() {
        core.streamClosed(false, "cut", nowNanos);
        open();
        receive(welcomeOf("s1", true));
    }

    private static ServerMessage.Builder welcomeOf(String sessionId, boolean reassert) {
        ServerMessage.Builder message = ServerMessage.newBuilder();
        message.getWelcomeBuilder()
                .setSessionId(sessionId)
                .setTtlMillis(10_000)
                .setMarginMillis(300)
                .setReassert(reassert);
        return message;
    }

    private void accept(Grant grant) {
        receive(accepted(grant));
    }

    private ServerMessage.Builder accepted(Grant grant) {
        return ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder()
                        .setRequestId(reassertionOf(grant))
                        .setGranted(wire(grant.lockId(), grant.token())));
    }

    private void refuse(Grant grant) {
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder()
                        .setRequestId(reassertionOf(grant))
                        .setRefused(Refused.newBuilder()
                                .setReason(Reason.UNKNOWN_LOCK)
                                .setMessage("a higher token is there"))));
    }

    private long reassertionOf(Grant grant) {
        return operations(KindCase.REASSERT).stream()
                .filter(it -> it.getReassert().getLock().getLockId() == grant.lockId())
                .reduce((first, second) -> second)
                .orElseThrow()
                .getRequestId();
    }

    private List<Grant> lost() {
        return notices.stream()
                .filter(Notice.Lost.class::isInstance)
                .map(notice -> ((Notice.Lost) notice).grant())
                .toList();
    }
}
