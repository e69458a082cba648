package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.client.SessionCore.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.ValueBlock;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Belief, losses, giving up, reconnects, the end of a session, messages. */
class SessionCoreTest extends PlayedByHand {

    // Belief.

    @Test
    void beliefBeginsWithTheSendTimeOfTheAttachAndNotWithItsAnswer() {
        open();
        long attachedAt = nowNanos;

        nowNanos += seconds(2);
        welcome("s1");

        assertThat(core.believedUntilNanos()).isEqualTo(attachedAt + millis(9700));
    }

    @Test
    void onlyAnAnsweredRenewalExtendsBelief() {
        attach("s1");
        Grant grant = granted(1, 7);
        long until = core.believedUntilNanos();

        nowNanos += seconds(4);
        step();
        long renewedAt = nowNanos;
        long untilWithoutAnswer = core.believedUntilNanos();
        nowNanos += seconds(1);
        renewalAnswered(1);

        assertThat(untilWithoutAnswer).isEqualTo(until);
        assertThat(core.believedUntilNanos()).isEqualTo(renewedAt + millis(9700));
        assertThat(grant.believed()).isTrue();
    }

    @Test
    void anAnswerToARenewalThatWasNeverSentMeansNothing() {
        attach("s1");
        long until = core.believedUntilNanos();

        nowNanos += seconds(4);
        step();
        renewalAnswered(2);

        assertThat(core.believedUntilNanos()).isEqualTo(until);
    }

    @Test
    void otherTrafficDoesNotExtendBelief() {
        attach("s1");
        Grant grant = granted(1, 7);

        nowNanos += millis(9700);
        long read = core.value("v");
        step();
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(read).setValue(ValueBlock.newBuilder())));

        assertThat(outcomes.get(read)).isInstanceOf(Outcome.ValueRead.class);
        assertThat(grant.believed()).isFalse();
    }

    @Test
    void jeopardyIsToldAtTheEndOfBeliefAndSafeWithTheNextAnswer() {
        attach("s1");
        Grant grant = granted(1, 7);

        nowNanos += millis(3500);
        step();
        core.streamClosed(false, "cut", nowNanos);
        step();
        nowNanos += seconds(7);
        step();
        List<Notice> before = List.copyOf(notices);
        boolean believedBefore = grant.believed();
        open();
        receive(welcomeOf("s1").addHeld(wire(1, 7)));
        renewalAnswered(1);

        assertThat(before).contains(new Notice.Jeopardy());
        assertThat(believedBefore).isFalse();
        assertThat(notices).contains(new Notice.Safe());
        assertThat(grant.believed()).isTrue();
    }

    @Test
    void aStreamThatComesBackExtendsNothingAndRenewsAtOnce() {
        attach("s1");
        Grant grant = granted(1, 7);
        long until = core.believedUntilNanos();
        nowNanos += seconds(6);

        core.streamClosed(false, "cut", nowNanos);
        open();
        nowNanos += seconds(1);
        receive(welcomeOf("s1").addHeld(wire(1, 7)));
        long afterWelcome = core.believedUntilNanos();
        long renewedAt = nowNanos;
        boolean renews = sent.getLast().hasRenew();
        nowNanos += seconds(1);
        renewalAnswered(sent.getLast().getRenew().getSequence());

        assertThat(afterWelcome).isEqualTo(until);
        assertThat(renews).isTrue();
        assertThat(core.believedUntilNanos()).isEqualTo(renewedAt + millis(9700));
        assertThat(grant.believed()).isTrue();
    }

    @Test
    void aSilentStreamIsCutWhileTheLeaseStillAllowsAnotherOne() {
        attach("s1");
        long until = core.believedUntilNanos();

        for (int i = 0; i < 100 && disconnects == 0; i++) {
            nowNanos = Math.max(nowNanos, core.wakeAtNanos());
            step();
        }

        assertThat(disconnects).isEqualTo(1);
        assertThat(until - nowNanos).isGreaterThan(seconds(3));
    }

    @Test
    void aProcessThatSleptReadsItsMailBeforeItJudgesTheStream() {
        attach("s1");
        nowNanos = core.wakeAtNanos();
        step();

        nowNanos += seconds(5);
        step();
        renewalAnswered(1);

        assertThat(disconnects).isZero();
    }

    // Losses.

    @Test
    void aLossInTheSameMessageIsProcessedBeforeTheRenewalAnswer() {
        attach("s1");
        Grant lost = granted(1, 7);
        Grant kept = granted(2, 8);
        nowNanos += seconds(4);
        step();

        nowNanos += seconds(6);
        receive(ServerMessage.newBuilder()
                .addEvents(lostEvent(1))
                .setRenewal(RenewalAnswer.newBuilder().setSequence(1)));

        assertThat(lost.believed()).isFalse();
        assertThat(kept.believed()).isTrue();
    }

    @Test
    void lostAckLeavesOnlyAfterTheListenerReturned() {
        attach("s1");
        Grant grant = granted(1, 7);

        receive(ServerMessage.newBuilder().addEvents(lostEvent(1)));
        boolean believed = grant.believed();
        List<Operation> before = operations(Operation.KindCase.LOST_ACK);
        core.lossHeard(grant, nowNanos);
        step();

        assertThat(believed).isFalse();
        assertThat(notices).contains(new Notice.Lost(grant, "revoked"));
        assertThat(before).isEmpty();
        assertThat(operations(Operation.KindCase.LOST_ACK)).hasSize(1);
    }

    @Test
    void aRenewalFollowsTheLostAckAtOnce() {
        attach("s1");
        Grant grant = granted(1, 7);
        receive(ServerMessage.newBuilder().addEvents(lostEvent(1)));
        sent.clear();

        core.lossHeard(grant, nowNanos);
        step();

        assertThat(sent).hasSize(1);
        assertThat(sent.getFirst().getOperations(0).hasLostAck()).isTrue();
        assertThat(sent.getFirst().hasRenew()).isTrue();
    }

    @Test
    void aStuckListenerDoesNotMakeTheStreamLookDead() {
        attach("s1");
        granted(1, 7);
        receive(ServerMessage.newBuilder().addEvents(lostEvent(1)));

        for (int i = 0; i < 100; i++) {
            nowNanos += seconds(1);
            step();
        }

        assertThat(disconnects).isZero();
        assertThat(notices).contains(new Notice.Jeopardy());
    }

    @Test
    void aLossThatArrivesBeforeItsGrantIsNeverBelieved() {
        attach("s1");
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();

        receive(ServerMessage.newBuilder()
                .addEvents(lostEvent(7))
                .addAnswers(Answer.newBuilder().setRequestId(acquire).setGranted(wire(7, 9))));

        assertThat(refusal(acquire)).isEqualTo(RefusalReason.REVOKED);
        assertThat(operations(Operation.KindCase.LOST_ACK)).hasSize(1);
        assertThat(core.heldCount()).isZero();
    }

    @Test
    void aRecallThatArrivesBeforeItsGrantIsToldAfterIt() {
        attach("s1");
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();

        receive(ServerMessage.newBuilder()
                .addEvents(recallEvent(7))
                .addAnswers(Answer.newBuilder().setRequestId(acquire).setGranted(wire(7, 9))));

        Grant grant = grant(acquire);
        assertThat(notices)
                .contains(new Notice.Recalled(
                        grant,
                        new io.terminus.lockmgr.client.Recall(
                                new LockRange(0, 100), LockMode.EX, null, Duration.ofSeconds(5))));
        assertThat(operations(Operation.KindCase.RECALL_PROGRESS)).hasSize(1);
    }

    @Test
    void recallIsHeardAtOnceAndProgressIsReportedOneAtATime() {
        attach("s1");
        Grant grant = granted(1, 7);

        receive(ServerMessage.newBuilder().addEvents(recallEvent(1)));
        for (int i = 1; i <= 100; i++) {
            grant.progress(i);
            step();
        }
        List<Operation> whileUnanswered = operations(Operation.KindCase.RECALL_PROGRESS);
        answerDone(whileUnanswered.getFirst().getRequestId());

        assertThat(whileUnanswered).hasSize(1);
        assertThat(whileUnanswered.getFirst().getRecallProgress().getProgress()).isZero();
        assertThat(operations(Operation.KindCase.RECALL_PROGRESS)).hasSize(2);
        assertThat(operations(Operation.KindCase.RECALL_PROGRESS)
                        .getLast()
                        .getRecallProgress()
                        .getProgress())
                .isEqualTo(100);
    }

    // Giving up.

    @Test
    void aGrantThatArrivesAfterItsWaiterGaveUpIsReleased() {
        attach("s1");
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();

        core.cancel(acquire);
        step();
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(acquire).setGranted(wire(7, 9))));

        assertThat(refusal(acquire)).isEqualTo(RefusalReason.CANCELLED);
        assertThat(operations(Operation.KindCase.CANCEL)).hasSize(1);
        assertThat(operations(Operation.KindCase.RELEASE)
                        .getFirst()
                        .getRelease()
                        .getLockId())
                .isEqualTo(7);
        assertThat(core.heldCount()).isZero();
    }

    @Test
    void anAcquireThatWasNeverSentIsCancelledWithoutAWord() {
        core.start();
        step();
        long acquire = core.acquire(EXCLUSIVE, nowNanos);

        core.cancel(acquire);
        attach("s1");

        assertThat(refusal(acquire)).isEqualTo(RefusalReason.CANCELLED);
        assertThat(operations(Operation.KindCase.ACQUIRE)).isEmpty();
        assertThat(operations(Operation.KindCase.CANCEL)).isEmpty();
        assertThat(core.pendingCount()).isZero();
    }

    @Test
    void anUnansweredAcquireEndsOnePatienceAfterItsWait() {
        attach("s1");
        long acquire = core.acquire(
                AcquireRequest.of("v", LockRange.WHOLE_VOLUME, LockMode.EX, Duration.ofSeconds(1)), nowNanos);
        step();
        core.streamClosed(false, "cut", nowNanos);

        nowNanos += seconds(11);
        step();

        assertThat(refusal(acquire)).isEqualTo(RefusalReason.DEADLINE);
    }

    @Test
    void aPromotedStandbyIsAskedForAsAnOrdinaryRequestAfterAReconnect() {
        attach("s1");
        long standby = core.acquire(AcquireRequest.standby("v", LockRange.WHOLE_VOLUME, LockMode.EX), nowNanos);
        step();
        Operation first = operations(Operation.KindCase.ACQUIRE).getFirst();

        long promote = core.promote(standby, Duration.ofSeconds(30), nowNanos);
        step();
        answerDone(promote);
        nowNanos += seconds(1);
        cutAndReattach("s1");

        assertThat(first.getAcquire().getStandby()).isTrue();
        assertThat(first.getAcquire().getWaitMillis()).isEqualTo(-1);
        assertThat(outcomes.get(promote)).isEqualTo(new Outcome.Done());
        Operation again = operations(Operation.KindCase.ACQUIRE).getLast();
        assertThat(again.getRequestId()).isEqualTo(standby);
        assertThat(again.getAcquire().getStandby()).isFalse();
        assertThat(again.getAcquire().getWaitMillis()).isEqualTo(29_000);
    }

    // Reconnects.

    @Test
    void whatWasNotAnsweredIsSentAgainOnceWithTheSameIds() {
        attach("s1");
        Grant grant = granted(1, 7);
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        long put = core.putValue(grant, 3, new byte[] {1});
        long read = core.value("v");
        step();
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(read).setValue(ValueBlock.newBuilder())));
        sent.clear();

        cutAndReattach("s1", wire(1, 7));

        assertThat(sentIds()).containsExactly(acquire, put);
        assertThat(outcomes).doesNotContainKeys(acquire, put);
    }

    @Test
    void aGrantTheLockManagerNoLongerListsIsLost() {
        attach("s1");
        Grant gone = granted(1, 7);
        Grant changed = granted(2, 8);
        Grant kept = granted(3, 9);

        cutAndReattach("s1", wire(2, 80), wire(3, 9));

        assertThat(gone.believed()).isFalse();
        assertThat(changed.believed()).isFalse();
        assertThat(kept.believed()).isTrue();
        assertThat(notices.stream().filter(Notice.Lost.class::isInstance)).hasSize(2);
    }

    @Test
    void aListedGrantNobodyKnowsIsReleasedUnlessAnAcquireMayHaveBroughtIt() {
        attach("s1");
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();
        Granted foreign = wire(50, 9).toBuilder().setVolume("other").build();

        cutAndReattach("s1", wire(51, 10), foreign);
        List<Operation> released = operations(Operation.KindCase.RELEASE);
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(acquire).setGranted(wire(51, 10))));

        assertThat(released).hasSize(1);
        assertThat(released.getFirst().getRelease().getLockId()).isEqualTo(50);
        assertThat(grant(acquire).believed()).isTrue();
        assertThat(operations(Operation.KindCase.RELEASE)).hasSize(1);
    }

    @Test
    void aListedGrantIsReleasedWhenItsSupposedAcquireBroughtAnother() {
        attach("s1");
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();

        cutAndReattach("s1", wire(51, 10));
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(acquire).setGranted(wire(52, 11))));

        assertThat(operations(Operation.KindCase.RELEASE)
                        .getFirst()
                        .getRelease()
                        .getLockId())
                .isEqualTo(51);
    }

    @Test
    void aLossWhoseListenerIsBusyIsNotTurnedIntoAReleaseByAReconnect() {
        attach("s1");
        Grant grant = granted(1, 7);
        receive(ServerMessage.newBuilder().addEvents(lostEvent(1)));

        cutAndReattach("s1", wire(1, 7));
        List<Operation> before = operations(Operation.KindCase.RELEASE);
        core.lossHeard(grant, nowNanos);
        step();

        assertThat(before).isEmpty();
        assertThat(grant.believed()).isFalse();
        assertThat(operations(Operation.KindCase.LOST_ACK)).hasSize(1);
    }

    // The end of a session.

    @Test
    void anUnknownSessionLosesEveryGrantAndOpensAnother() {
        attach("s1");
        Grant grant = granted(1, 7);
        core.streamClosed(false, "cut", nowNanos);
        open();

        core.streamClosed(true, "never heard of s1", nowNanos);
        step();
        open();
        welcome("s2");

        assertThat(grant.believed()).isFalse();
        assertThat(notices).endsWith(new Notice.SessionLost("never heard of s1"), new Notice.Attached("s2"));
        assertThat(sent.getLast().getAttach().getSessionId()).isEmpty();
        Grant next = granted(2, 9);
        assertThat(next.believed()).isTrue();
        assertThat(grant.believed()).isFalse();
    }

    @Test
    void aSentPutOfALostSessionIsUnknownAndAnUnsentOneIsNot() {
        attach("s1");
        Grant grant = granted(1, 7);
        long sentPut = core.putValue(grant, 3, new byte[] {1});
        step();
        core.streamClosed(false, "cut", nowNanos);
        long unsentPut = core.putValue(grant, 3, new byte[] {1});
        long read = core.value("v");
        open();

        core.streamClosed(true, "gone", nowNanos);
        step();
        attach("s2");

        assertThat(put(sentPut)).isInstanceOf(PutOutcome.Unknown.class);
        assertThat(put(unsentPut)).isInstanceOf(PutOutcome.Refused.class);
        assertThat(outcomes).doesNotContainKey(read);
        assertThat(sentIds()).endsWith(read);
    }

    @Test
    void aPutIsAnsweredWithWhatIsThere() {
        attach("s1");
        Grant grant = granted(1, 7);
        long stored = core.putValue(grant, 3, new byte[] {1});
        long late = core.putValue(grant, 3, new byte[] {2});
        step();

        ValueBlock current = ValueBlock.newBuilder()
                .setVolume("v")
                .setVolumeUuid("u")
                .setVersion(4)
                .build();
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(stored).setValue(current))
                .addAnswers(Answer.newBuilder()
                        .setRequestId(late)
                        .setRefused(Refused.newBuilder()
                                .setReason(Reason.VERSION_MISMATCH)
                                .setCurrent(current))));

        assertThat(put(stored)).isEqualTo(new PutOutcome.Written(4));
        assertThat(put(late)).isEqualTo(new PutOutcome.VersionMismatch(Value.of(current)));
    }

    @Test
    void closingEndsBeliefBeforeTheSessionIsGivenBack() {
        attach("s1");
        Grant grant = granted(1, 7);
        long put = core.putValue(grant, 3, new byte[] {1});
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();

        core.close();
        boolean believed = grant.believed();
        step();
        long after = core.value("v");
        step();

        assertThat(believed).isFalse();
        assertThat(closedSession).isEqualTo("s1");
        assertThat(put(put)).isInstanceOf(PutOutcome.Unknown.class);
        assertThat(refusal(acquire)).isEqualTo(RefusalReason.CLOSED);
        assertThat(refusal(after)).isEqualTo(RefusalReason.CLOSED);
        assertThat(core.wakeAtNanos()).isEqualTo(Long.MAX_VALUE);
    }

    // Messages.

    @Test
    void whatIsQueuedLeavesInMessagesOf256() {
        attach("s1");
        sent.clear();

        for (int i = 0; i < 600; i++) {
            core.value("v");
        }
        step();

        assertThat(sent.stream().map(ClientMessage::getOperationsCount)).containsExactly(256, 256, 88);
    }

    @Test
    void everyReasonOfTheContractHasAnEqualHere() {
        for (Reason reason : Reason.values()) {
            RefusalReason here = RefusalReason.of(reason);

            if (reason == Reason.REASON_UNSPECIFIED || reason == Reason.UNRECOGNIZED) {
                assertThat(here).isEqualTo(RefusalReason.UNKNOWN_OUTCOME);
            } else {
                assertThat(here.name()).isEqualTo(reason.name());
            }
        }
    }
}
