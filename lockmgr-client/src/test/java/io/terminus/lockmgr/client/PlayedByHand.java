package io.terminus.lockmgr.client;

import io.terminus.lockmgr.client.SessionCore.Action;
import io.terminus.lockmgr.client.SessionCore.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Done;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Lost;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Recall;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A {@link SessionCore} and a lock manager that the test plays by hand: ttl 10 s, margin 300 ms; the clock moves only when the test says
 * so.
 */
abstract class PlayedByHand {

    static final AcquireRequest EXCLUSIVE =
            AcquireRequest.of("v", LockRange.WHOLE_VOLUME, LockMode.EX, Duration.ofSeconds(60));

    long nowNanos = seconds(1000);

    final Grant.Owner owner = new Grant.Owner() {
        @Override
        public CompletableFuture<Void> release(Grant grant) {
            core.release(grant);
            return new CompletableFuture<>();
        }

        @Override
        public void progress(Grant grant, long progress) {
            core.progress(grant, progress);
        }
    };
    final SessionCore core =
            new SessionCore(new SessionCore.Settings("me", seconds(10), seconds(10)), () -> nowNanos, owner);

    final List<ClientMessage> sent = new ArrayList<>();
    final List<Notice> notices = new ArrayList<>();
    final Map<Long, Outcome> outcomes = new HashMap<>();
    int connects;
    int disconnects;

    @Nullable
    String closedSession;

    // The lock manager's side, by hand.

    /** Lets the core do what time demands, and carries its actions out. */
    void step() {
        core.tick(nowNanos);
        while (core.flush(nowNanos)) {
            // Every message is one more action.
        }
        for (Action action : core.drain()) {
            switch (action) {
                case Action.Connect connect -> connects++;
                case Action.Disconnect disconnect -> disconnects++;
                case Action.Send send -> sent.add(send.message());
                case Action.Complete complete -> outcomes.put(complete.requestId(), complete.outcome());
                case Action.CloseSession close -> closedSession = close.sessionId();
                case Notice notice -> notices.add(notice);
            }
        }
    }

    void open() {
        if (connects == 0) {
            core.start();
            step();
        }
        core.streamOpened(nowNanos);
        step();
    }

    void attach(String sessionId) {
        open();
        welcome(sessionId);
    }

    void welcome(String sessionId) {
        receive(welcomeOf(sessionId));
    }

    static ServerMessageBuilder welcomeOf(String sessionId) {
        return new ServerMessageBuilder(Welcome.newBuilder()
                .setSessionId(sessionId)
                .setTtlMillis(10_000)
                .setMarginMillis(300));
    }

    record ServerMessageBuilder(Welcome.Builder welcome) {
        ServerMessageBuilder addHeld(Granted granted) {
            welcome.addHeld(granted);
            return this;
        }
    }

    void receive(ServerMessageBuilder message) {
        receive(ServerMessage.newBuilder().setWelcome(message.welcome));
    }

    void cutAndReattach(String sessionId, Granted... held) {
        core.streamClosed(false, "cut", nowNanos);
        open();
        ServerMessageBuilder message = welcomeOf(sessionId);
        for (Granted granted : held) {
            message.addHeld(granted);
        }
        receive(message);
    }

    void receive(ServerMessage.Builder message) {
        core.received(message.build(), nowNanos);
        step();
    }

    void renewalAnswered(long sequence) {
        receive(ServerMessage.newBuilder().setRenewal(RenewalAnswer.newBuilder().setSequence(sequence)));
    }

    void answerDone(long requestId) {
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(requestId).setDone(Done.getDefaultInstance())));
    }

    Grant granted(long lockId, long token) {
        long acquire = core.acquire(EXCLUSIVE, nowNanos);
        step();
        receive(ServerMessage.newBuilder()
                .addAnswers(Answer.newBuilder().setRequestId(acquire).setGranted(wire(lockId, token))));
        return grant(acquire);
    }

    static Granted wire(long lockId, long token) {
        Range whole = Range.newBuilder().setEnd(Long.MAX_VALUE).build();
        return Granted.newBuilder()
                .setLockId(lockId)
                .setVolume("v")
                .setVolumeUuid("u")
                .setRequested(whole)
                .setRange(whole)
                .setMode(Mode.MODE_EX)
                .setToken(token)
                .build();
    }

    static Event lostEvent(long lockId) {
        return Event.newBuilder()
                .setLost(Lost.newBuilder().setLockId(lockId).setWhy("revoked"))
                .build();
    }

    static Event recallEvent(long lockId) {
        return Event.newBuilder()
                .setRecall(Recall.newBuilder()
                        .setLockId(lockId)
                        .setNeeded(Range.newBuilder().setEnd(100))
                        .setDeadlineMillis(5000))
                .build();
    }

    Grant grant(long requestId) {
        if (outcomes.get(requestId) instanceof Outcome.Acquired acquired) {
            return acquired.grant();
        }
        throw new AssertionError("request " + requestId + " ended with " + outcomes.get(requestId));
    }

    RefusalReason refusal(long requestId) {
        if (outcomes.get(requestId) instanceof Outcome.Refused refused) {
            return refused.reason();
        }
        throw new AssertionError("request " + requestId + " ended with " + outcomes.get(requestId));
    }

    PutOutcome put(long requestId) {
        if (outcomes.get(requestId) instanceof Outcome.Put put) {
            return put.outcome();
        }
        throw new AssertionError("request " + requestId + " ended with " + outcomes.get(requestId));
    }

    List<Operation> operations(Operation.KindCase kind) {
        return sent.stream()
                .flatMap(message -> message.getOperationsList().stream())
                .filter(operation -> operation.getKindCase() == kind)
                .toList();
    }

    List<Long> sentIds() {
        return sent.stream()
                .flatMap(message -> message.getOperationsList().stream())
                .map(Operation::getRequestId)
                .toList();
    }

    static long seconds(long seconds) {
        return TimeUnit.SECONDS.toNanos(seconds);
    }

    static long millis(long millis) {
        return TimeUnit.MILLISECONDS.toNanos(millis);
    }
}
