package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.Cancel;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.ConfigureVolumeRequest;
import io.terminus.proto.lock.v1.ContentionBucket;
import io.terminus.proto.lock.v1.Convert;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.ListBlockersRequest;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.ListVolumesResponse;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.LostAck;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.OperateRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.PutValue;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Reassert;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.SessionInfo;
import io.terminus.proto.lock.v1.Shrink;
import io.terminus.proto.lock.v1.Split;
import io.terminus.proto.lock.v1.VolumeInfo;
import io.terminus.proto.lock.v1.WatchVolumesRequest;
import io.terminus.proto.lock.v1.Welcome;
import io.terminus.security.AuditLog;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** From a client's messages to the disk and back, over a real port. */
class LockServiceTest {

    private static final int OUTBOUND_LIMIT = 500;
    private static final long TTL_MILLIS = TestServer.TTL.toMillis();

    @TempDir
    Path directory;

    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer(directory, OUTBOUND_LIMIT);
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void grantCarriesWhatWasAskedAndARisingToken() {
        TestStream stream = open("a");

        Granted first = stream.acquired("vol", 0, 100, Mode.MODE_EX);
        Granted second = stream.acquired("vol", 100, 200, Mode.MODE_PR);

        assertThat(first.getVolume()).isEqualTo("vol");
        assertThat(first.getVolumeUuid()).isNotEmpty().isEqualTo(second.getVolumeUuid());
        assertThat(first.getRange()).isEqualTo(range(0, 100));
        assertThat(second.getMode()).isEqualTo(Mode.MODE_PR);
        assertThat(second.getToken()).isGreaterThan(first.getToken());
    }

    @Test
    void holderIsRecalledAndTheWaiterGetsWhatItReleases() {
        TestStream holder = open("holder");
        TestStream waiter = open("waiter");
        Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);

        long request = waiter.acquire("vol", 50, 60, Mode.MODE_PR, 30_000);
        Event recall = holder.event();
        long release = holder.release(held.getLockId());

        assertThat(recall.getRecall().getLockId()).isEqualTo(held.getLockId());
        assertThat(recall.getRecall().getNeeded()).isEqualTo(range(50, 60));
        assertThat(recall.getRecall().getWanted()).isEqualTo(Mode.MODE_PR);
        assertThat(recall.getRecall().getDeadlineMillis()).isBetween(0L, 30_000L);
        Answer done = holder.answer();
        assertThat(done.getRequestId()).isEqualTo(release);
        assertThat(done.hasDone()).isTrue();
        Answer granted = waiter.answer();
        assertThat(granted.getRequestId()).isEqualTo(request);
        assertThat(granted.getGranted().getToken()).isGreaterThan(held.getToken());
    }

    @Test
    void waitsAndTriesEndWithTheirReasons() {
        TestStream holder = open("holder");
        TestStream other = open("other");
        holder.acquired("vol", 0, 100, Mode.MODE_EX);

        other.acquire("vol", 0, 10, Mode.MODE_EX, 0);
        Answer tried = other.answer();
        other.acquire("vol", 0, 10, Mode.MODE_EX, 1);
        Answer waited = other.answer();
        long waiting = other.acquire("vol", 0, 10, Mode.MODE_EX, 30_000);
        other.send(Operation.newBuilder().setCancel(Cancel.newBuilder().setAcquireRequestId(waiting)));
        Answer cancelled = other.answer();

        assertThat(tried.getRefused().getReason()).isEqualTo(Reason.WOULD_BLOCK);
        assertThat(waited.getRefused().getReason()).isEqualTo(Reason.DEADLINE);
        assertThat(cancelled.getRequestId()).isEqualTo(waiting);
        assertThat(cancelled.getRefused().getReason()).isEqualTo(Reason.CANCELLED);
        assertThat(other.answer().hasDone()).isTrue();
    }

    @Test
    void manyOperationsOfOneMessageAreAnsweredInTheirOrder() {
        TestStream stream = open("a");
        ClientMessage.Builder message = ClientMessage.newBuilder();
        for (int i = 1; i <= 200; i++) {
            message.addOperations(Operation.newBuilder()
                    .setRequestId(i)
                    .setAcquire(Acquire.newBuilder()
                            .setVolume("vol")
                            .setRange(range(i, i + 1))
                            .setMode(Mode.MODE_EX)));
        }

        stream.send(message.build());

        for (int i = 1; i <= 200; i++) {
            assertThat(stream.answer().getRequestId()).isEqualTo(i);
        }
    }

    @Test
    void renewalIsAnsweredWithItsSequence() {
        TestStream stream = open("a");

        stream.renew(1);
        stream.renew(2);

        assertThat(List.of(stream.renewal(), stream.renewal())).containsExactly(1L, 2L);
    }

    @Test
    void silentSessionEndsAndItsLockIsFree() {
        TestStream silent = TestStream.open(server.async(), "silent", 200);
        silent.acquired("vol", 0, 100, Mode.MODE_EX);
        TestStream other = open("other");

        Granted granted = other.acquired("vol", 0, 100, Mode.MODE_EX);
        Status end = silent.end();

        assertThat(granted.getToken()).isPositive();
        assertThat(end.getCode()).isEqualTo(Status.Code.NOT_FOUND);
        assertThat(end.getDescription()).contains("is over", "lease");
    }

    @Test
    void brokenStreamComesBackToWhatItHolds() {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();
        Granted held = stream.acquired("vol", 0, 100, Mode.MODE_EX);
        stream.breakOff();

        TestStream again = TestStream.reattach(server.async(), session);
        Welcome welcome = again.welcome();

        assertThat(welcome.getSessionId()).isEqualTo(session);
        assertThat(welcome.getHeldList()).containsExactly(held);
        assertThat(welcome.getTtlMillis()).isEqualTo(TTL_MILLIS);
        assertThat(welcome.getMarginMillis()).isEqualTo(TTL_MILLIS / 50 + 100);
        assertThat(welcome.getEpoch()).isEqualTo(1);
    }

    @Test
    void retryAfterReattachIsAnsweredNotRepeated() {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();
        Granted held = stream.acquired("vol", 0, 100, Mode.MODE_EX);
        stream.breakOff();

        TestStream again = TestStream.reattach(server.async(), session);
        long sameId = again.acquire("vol", 0, 100, Mode.MODE_EX, 30_000);

        assertThat(again.answer())
                .isEqualTo(Answer.newBuilder()
                        .setRequestId(sameId)
                        .setGranted(held)
                        .build());
    }

    @Test
    void secondAttachReplacesTheFirstStream() {
        TestStream first = open("a");
        String session = first.welcome().getSessionId();

        TestStream second = TestStream.reattach(server.async(), session);
        second.welcome();

        assertThat(first.end().getCode()).isEqualTo(Status.Code.ABORTED);
        second.renew(1);
        assertThat(second.renewal()).isEqualTo(1);
    }

    @Test
    void attachToUnknownSessionIsRefused() {
        TestStream stream = TestStream.reattach(server.async(), "0123");

        assertThat(stream.end().getCode()).isEqualTo(Status.Code.NOT_FOUND);
        assertThat(stream.end().getDescription()).contains("UNKNOWN_SESSION", "0123");
    }

    @Test
    void attachWithBadOwnerIsRefused() {
        TestStream stream = TestStream.open(server.async(), "no spaces", TTL_MILLIS);

        assertThat(stream.end().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
        assertThat(stream.end().getDescription()).contains("INVALID_NAME", "no spaces");
    }

    @Test
    void streamMustBeginWithAttachAndHaveOnlyOne() {
        TestStream without = TestStream.raw(server.async());
        TestStream twice = open("a");

        without.renew(1);
        twice.send(TestStream.attach(""));

        assertThat(without.end().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
        assertThat(without.end().getDescription()).contains("first message");
        assertThat(twice.end().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
        assertThat(twice.end().getDescription()).contains("once");
    }

    @Test
    void streamThatIsEndedForASecondAttachIsAnsweredWhatItAskedForBefore() {
        TestStream stream = open("a");
        ClientMessage.Builder questions = ClientMessage.newBuilder();
        for (int i = 1; i <= 4000; i++) {
            questions.addOperations(Operation.newBuilder()
                    .setRequestId(i)
                    .setGetValue(GetValue.newBuilder().setVolume("v")));
        }

        stream.send(questions.build());
        stream.send(TestStream.attach(""));

        for (int i = 1; i <= 4000; i++) {
            assertThat(stream.answer().getRequestId()).isEqualTo(i);
        }
        assertThat(stream.end().getDescription()).contains("Attach comes once");
    }

    @Test
    void forcedReleaseIsDoneAlsoIfAConversionOfTheLockIsRefusedForIt() {
        TestStream holder = open("a");
        TestStream other = open("b");
        long lock = holder.acquired("v", 0, 10, Mode.MODE_PR).getLockId();
        other.acquired("v", 0, 10, Mode.MODE_PR);
        holder.send(Operation.newBuilder()
                .setConvert(Convert.newBuilder()
                        .setLockId(lock)
                        .setMode(Mode.MODE_EX)
                        .setWaitMillis(60_000)));
        other.event();

        server.manager.forceRelease("an operator", "v", lock);

        assertThat(holder.answer().getRefused().getReason()).isEqualTo(Reason.CANCELLED);
        assertThat(holder.event().getLost().getLockId()).isEqualTo(lock);
    }

    @Test
    void forcedLossStopsRenewalsUntilItIsAcknowledged() {
        TestStream holder = open("holder");
        Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);
        TestStream waiter = open("waiter");

        server.admin()
                .forceRelease(ForceReleaseRequest.newBuilder()
                        .setVolume("vol")
                        .setLockId(held.getLockId())
                        .build());
        Event lost = holder.event();
        holder.renew(1);
        long probe = holder.acquire("other", 0, 1, Mode.MODE_EX, 0);
        Answer probed = holder.answer();
        boolean renewedBeforeAck = holder.hasRenewal();
        waiter.acquire("vol", 0, 100, Mode.MODE_EX, 30_000);
        holder.send(Operation.newBuilder().setLostAck(LostAck.newBuilder().setLockId(held.getLockId())));
        holder.renew(2);

        assertThat(lost.getLost().getLockId()).isEqualTo(held.getLockId());
        assertThat(probed.getRequestId()).isEqualTo(probe);
        assertThat(renewedBeforeAck).isFalse();
        assertThat(holder.renewal()).isEqualTo(2);
        assertThat(waiter.answer().hasGranted()).isTrue();
    }

    @Test
    void lossIsSaidAgainToAStreamThatComesBack() {
        TestStream holder = open("holder");
        String session = holder.welcome().getSessionId();
        Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);
        holder.breakOff();
        server.admin()
                .forceRelease(ForceReleaseRequest.newBuilder()
                        .setVolume("vol")
                        .setLockId(held.getLockId())
                        .build());

        TestStream again = TestStream.reattach(server.async(), session);

        assertThat(again.welcome().getHeldList()).isEmpty();
        assertThat(again.event().getLost().getLockId()).isEqualTo(held.getLockId());
    }

    @Test
    void forceReleaseOfUnknownLockIsNotFound() {
        assertThatThrownBy(() -> server.admin()
                        .forceRelease(ForceReleaseRequest.newBuilder()
                                .setVolume("vol")
                                .setLockId(7)
                                .build()))
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.NOT_FOUND));
    }

    @Test
    void valueIsSetOnlyAtItsVersionByTheHolderOfTheVolume() {
        TestStream stream = open("a");
        Granted whole = stream.acquired("vol", 0, Long.MAX_VALUE, Mode.MODE_EX);

        stream.send(put(whole, 0, "one"));
        Answer stored = stream.answer();
        stream.send(put(whole, 0, "two"));
        Answer mismatch = stream.answer();
        TestStream stranger = open("b");
        stranger.send(put(whole, 1, "three"));
        Answer stranded = stranger.answer();
        stranger.send(Operation.newBuilder().setGetValue(GetValue.newBuilder().setVolume("vol")));
        Answer read = stranger.answer();

        assertThat(stored.getValue().getVersion()).isEqualTo(1);
        assertThat(mismatch.getRefused().getReason()).isEqualTo(Reason.VERSION_MISMATCH);
        assertThat(mismatch.getRefused().getCurrent().getValue().toStringUtf8()).isEqualTo("one");
        assertThat(mismatch.getRefused().getCurrent().getVersion()).isEqualTo(1);
        assertThat(stranded.getRefused().getReason()).isEqualTo(Reason.NOT_HOLDER);
        assertThat(read.getValue()).isEqualTo(stored.getValue());
    }

    @Test
    void valueOfUnknownVolumeIsAtVersionZero() {
        var value = server.blocking()
                .getValueBlock(GetValue.newBuilder().setVolume("new").build());

        assertThat(value.getVersion()).isZero();
        assertThat(value.getVolume()).isEqualTo("new");
    }

    @Test
    void storedValueAndOpenedSessionAreSyncedBeforeTheirAnswers() {
        DecisionStore store = server.store;
        long before = store.syncs();
        TestStream stream = open("a");
        stream.welcome();
        long afterOpen = store.syncs();
        Granted whole = stream.acquired("vol", 0, Long.MAX_VALUE, Mode.MODE_EX);
        long afterGrant = store.syncs();

        stream.send(put(whole, 0, "one"));
        stream.answer();

        assertThat(afterOpen).isGreaterThan(before);
        assertThat(afterGrant).isEqualTo(afterOpen);
        assertThat(store.syncs()).isGreaterThan(afterGrant);
    }

    @ParameterizedTest
    @CsvSource({
        "vol, -1, 10, 6, 0, INVALID_RANGE",
        "vol, 10, 10, 6, 0, INVALID_RANGE",
        "vol, 10, 5, 6, 0, INVALID_RANGE",
        "vol, 9223372036854775807, -9223372036854775808, 6, 0, INVALID_RANGE",
        "vol, 0, 10, 0, 0, INVALID_MODE",
        "vol, 0, 10, 99, 0, INVALID_MODE",
        "'', 0, 10, 6, 0, INVALID_NAME",
        "a/b, 0, 10, 6, 0, INVALID_NAME",
        "vol, 0, 10, 6, -5, INVALID_ARGUMENT",
        "vol, 0, 10, 6, -1, INVALID_ARGUMENT",
        "vol, 0, 10, 6, 9223372036854775807, INVALID_ARGUMENT",
    })
    void badAcquireIsRefusedOnBothWays(String volume, long start, long end, int mode, long waitMillis, Reason reason) {
        TestStream stream = open("a");
        Acquire acquire = Acquire.newBuilder()
                .setVolume(volume)
                .setRange(range(start, end))
                .setModeValue(mode)
                .setWaitMillis(waitMillis)
                .build();

        stream.send(Operation.newBuilder().setAcquire(acquire));
        Answer answer = stream.answer();

        assertThat(answer.getRefused().getReason()).isEqualTo(reason);
        assertThat(answer.getRefused().getMessage()).isNotEmpty();
        assertThatThrownBy(() -> server.blocking()
                        .acquireLock(AcquireLockRequest.newBuilder()
                                .setSessionId(stream.welcome().getSessionId())
                                .setAcquire(acquire)
                                .build()))
                .isInstanceOfSatisfying(StatusRuntimeException.class, e -> {
                    assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
                    assertThat(e.getStatus().getDescription()).startsWith(reason.name() + ": ");
                });
    }

    @Test
    void operationThatSaysNothingIsRefused() {
        TestStream stream = open("a");

        stream.send(Operation.newBuilder());

        assertThat(stream.answer().getRefused().getReason()).isEqualTo(Reason.INVALID_ARGUMENT);
    }

    @Test
    void unaryCallsTakeAndReleaseALock() {
        Welcome session = openUnary();

        Answer granted = server.blocking().acquireLock(acquireUnary(session.getSessionId(), 0));
        Answer released = server.blocking()
                .releaseLock(ReleaseLockRequest.newBuilder()
                        .setSessionId(session.getSessionId())
                        .setLockId(granted.getGranted().getLockId())
                        .build());

        assertThat(granted.getRequestId()).isPositive();
        assertThat(granted.getGranted().getToken()).isPositive();
        assertThat(released.hasDone()).isTrue();
        assertThat(locks("vol")).isEmpty();
    }

    @Test
    void unaryRefusalsAreStatuses() {
        String first = openUnary().getSessionId();
        String second = openUnary().getSessionId();
        server.blocking().acquireLock(acquireUnary(first, 0));

        assertThatThrownBy(() -> server.blocking().acquireLock(acquireUnary(second, 0)))
                .hasMessageContaining("FAILED_PRECONDITION: WOULD_BLOCK");
        assertThatThrownBy(() -> server.blocking().acquireLock(acquireUnary(second, 1)))
                .hasMessageContaining("DEADLINE_EXCEEDED: DEADLINE");
        assertThatThrownBy(() -> server.blocking().acquireLock(acquireUnary("dead", 0)))
                .hasMessageContaining("NOT_FOUND: UNKNOWN_SESSION");
        assertThatThrownBy(() -> server.blocking().acquireLock(acquireUnary("", 0)))
                .hasMessageContaining("NOT_FOUND: UNKNOWN_SESSION");
    }

    @Test
    void unaryWaiterThatGoesAwayLeavesTheQueue() {
        String holder = openUnary().getSessionId();
        String waiter = openUnary().getSessionId();
        server.blocking().acquireLock(acquireUnary(holder, 0));
        Context.CancellableContext context = Context.current().withCancellation();
        context.run(() -> server.async().acquireLock(acquireUnary(waiter, 30_000), new io.grpc.stub.StreamObserver<>() {
            @Override
            public void onNext(Answer answer) {}

            @Override
            public void onError(Throwable t) {}

            @Override
            public void onCompleted() {}
        }));
        await().until(() -> waiters("vol").size() == 1);

        context.cancel(null);

        await().until(() -> waiters("vol").isEmpty());
        assertThat(locks("vol")).hasSize(1);
    }

    @Test
    void closedSessionEndsItsStreamAndItsLocks() {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();
        stream.acquired("vol", 0, 100, Mode.MODE_EX);

        server.blocking()
                .closeSession(
                        CloseSessionRequest.newBuilder().setSessionId(session).build());
        server.blocking()
                .closeSession(
                        CloseSessionRequest.newBuilder().setSessionId(session).build());

        assertThat(stream.end().getCode()).isEqualTo(Status.Code.NOT_FOUND);
        assertThat(locks("vol")).isEmpty();
    }

    @Test
    void clientThatDoesNotReadIsCutOffAndItsSessionStays() {
        String session = openUnary().getSessionId();
        TestStream deaf = TestStream.unread(server.async());
        deaf.send(TestStream.attach(session));
        // Values of 128 characters of name each: far more than the windows on the way can hold.
        ClientMessage.Builder questions = ClientMessage.newBuilder();
        for (int i = 1; i <= 1000; i++) {
            questions.addOperations(Operation.newBuilder()
                    .setRequestId(i)
                    .setGetValue(GetValue.newBuilder().setVolume("v".repeat(128))));
        }

        for (int i = 0; i < 100; i++) {
            deaf.send(questions.build());
        }
        await().atMost(30, TimeUnit.SECONDS).until(() -> !session(session).getAttached());
        deaf.read();

        assertThat(deaf.end().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThat(TestStream.reattach(server.async(), session).welcome().getSessionId())
                .isEqualTo(session);
    }

    @Test
    void operatorSeesVolumesLocksWaitersAndSessions() {
        TestStream holder = open("holder");
        TestStream waiter = open("waiter");
        Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);
        waiter.acquire("vol", 0, 10, Mode.MODE_PR, 30_000);
        await().until(() -> waiters("vol").size() == 1);

        LockInfo lock = locks("vol").getFirst();
        LockInfo waiting = waiters("vol").getFirst();

        assertThat(lock.getId()).isEqualTo(held.getLockId());
        assertThat(lock.getOwner()).isEqualTo("holder");
        assertThat(lock.getRecalled()).isTrue();
        assertThat(waiting.getOwner()).isEqualTo("waiter");
        assertThat(waiting.getBlockedByList()).containsExactly(held.getLockId());
        var volume = server.admin()
                .listVolumes(ListVolumesRequest.getDefaultInstance())
                .getVolumes(0);
        assertThat(List.of(volume.getHeld(), volume.getWaiting())).containsExactly(1L, 1L);
        SessionInfo session = session(holder.welcome().getSessionId());
        assertThat(session.getAttached()).isTrue();
        assertThat(session.getHeld()).isEqualTo(1);
        assertThat(session.getExpiresInMillis()).isBetween(1L, 2 * TTL_MILLIS);
    }

    @Test
    void volumesAreToldAtOnceWhenTheyChangeAndAgainThoughTheyDoNot() {
        TestStream holder = open("holder");
        Iterator<ListVolumesResponse> told = server.admin().watchVolumes(WatchVolumesRequest.getDefaultInstance());
        long heldAtFirst = held(told.next(), "vol");

        holder.acquired("vol", 0, 10, Mode.MODE_EX);
        while (held(told.next(), "vol") == 0) {}
        long heldLater = held(told.next(), "vol");

        assertThat(heldAtFirst).isZero();
        assertThat(heldLater).isEqualTo(1);
    }

    private static long held(ListVolumesResponse page, String volume) {
        return page.getVolumesList().stream()
                .filter(v -> v.getName().equals(volume))
                .mapToLong(VolumeInfo::getHeld)
                .sum();
    }

    @Test
    void pageOfLocksHasALimit() {
        assertThatThrownBy(() -> server.admin()
                        .listLocks(ListLocksRequest.newBuilder()
                                .setVolume("vol")
                                .setLimit(1001)
                                .build()))
                .hasMessageContaining("INVALID_ARGUMENT")
                .hasMessageContaining("1001");
    }

    @Test
    void healthIsServed() {
        var health = HealthGrpc.newBlockingStub(server.channel())
                .check(HealthCheckRequest.newBuilder()
                        .setService("terminus.lock.v1.LockService")
                        .build());

        assertThat(health.getStatus()).isEqualTo(ServingStatus.SERVING);
    }

    @Test
    void stoppedServerTellsItsStreams() {
        TestStream stream = open("a");
        stream.welcome();

        server.close();

        assertThat(stream.end().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    }

    @Test
    void cleanRestartKeepsGrantsAndRaisesTokens() {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();
        Granted held = stream.acquired("vol", 0, 100, Mode.MODE_EX);
        server.close();

        server = new TestServer(directory, OUTBOUND_LIMIT);
        TestStream again = TestStream.reattach(server.async(), session);
        Welcome welcome = again.welcome();
        again.useIdsAbove(1);
        Granted next = again.acquired("vol", 100, 200, Mode.MODE_EX);

        assertThat(welcome.getHeldList()).containsExactly(held);
        assertThat(welcome.getEpoch()).isEqualTo(2);
        assertThat(next.getToken()).isGreaterThan(held.getToken());
    }

    @Test
    void nothingIsGrantedAfterALossOfMemoryUntilEveryLeaseOfBeforeHasEnded() throws IOException {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();
        Granted whole = stream.acquired("vol", 0, Long.MAX_VALUE, Mode.MODE_EX);
        stream.send(put(whole, 0, "one"));
        stream.answer();
        server.close();
        Files.delete(directory.resolve("CLEAN")); // as if the power had gone

        server = new TestServer(directory, OUTBOUND_LIMIT, "boot-2");
        TestStream lost = TestStream.reattach(server.async(), session);
        TestStream newcomer = open("b");
        newcomer.acquire("vol", 0, 10, Mode.MODE_EX, 0);
        Answer refused = newcomer.answer();
        newcomer.acquire("vol", 0, 10, Mode.MODE_EX, 30_000);
        await().until(() -> waiters("vol").size() == 1);

        assertThat(lost.end().getCode()).isEqualTo(Status.Code.NOT_FOUND);
        assertThat(refused.getRefused().getReason()).isEqualTo(Reason.RECOVERING);
        assertThat(server.store.recoveryTtlNanos()).isEqualTo(TestServer.TTL.toNanos());
        var value = server.blocking()
                .getValueBlock(GetValue.newBuilder().setVolume("vol").build());
        assertThat(value.getValue().toStringUtf8()).isEqualTo("one");
    }

    @Test
    void sessionThatWasForgottenIsOpenedAnewAndAssertsWhatItBelievesIn() throws IOException {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();
        Granted held = stream.acquired("vol", 0, 100, Mode.MODE_EX);
        server.close();
        Files.delete(directory.resolve("CLEAN")); // as if the power had gone

        server = new TestServer(directory, OUTBOUND_LIMIT, "boot-2");
        TestStream first = reopen(session);
        Welcome welcome = first.welcome();
        first.breakOff();
        TestStream again = reopen(session);
        Welcome second = again.welcome();
        again.useIdsAbove(10);
        again.send(Operation.newBuilder().setReassert(Reassert.newBuilder().setLock(held)));
        Answer asserted = again.answer();

        assertThat(welcome.getSessionId()).isEqualTo(session);
        assertThat(welcome.getReassert()).isTrue();
        assertThat(second.getReassert()).isTrue();
        assertThat(asserted.getGranted().getLockId()).isEqualTo(held.getLockId());
        assertThat(asserted.getGranted().getRange()).isEqualTo(held.getRange());
        assertThat(locks("vol")).extracting(LockInfo::getId).containsExactly(held.getLockId());
    }

    @Test
    void oneUnaryCallDoesAnyOperation() {
        String session = openUnary().getSessionId();
        Granted whole = operate(
                        session,
                        Operation.newBuilder()
                                .setAcquire(Acquire.newBuilder()
                                        .setVolume("vol")
                                        .setRange(range(10, 20))
                                        .setDesired(range(0, 100))
                                        .setMode(Mode.MODE_PR)))
                .getGranted();
        Granted smaller = operate(
                        session,
                        Operation.newBuilder()
                                .setShrink(Shrink.newBuilder()
                                        .setLockId(whole.getLockId())
                                        .setRange(range(10, 30))))
                .getGranted();
        List<Granted> halves = operate(
                        session,
                        Operation.newBuilder()
                                .setSplit(Split.newBuilder()
                                        .setLockId(whole.getLockId())
                                        .setAt(20)))
                .getGrantedAll()
                .getLocksList();
        Granted converted = operate(
                        session,
                        Operation.newBuilder()
                                .setConvert(Convert.newBuilder()
                                        .setLockId(whole.getLockId())
                                        .setMode(Mode.MODE_EX)))
                .getGranted();

        assertThat(whole.getRange()).isEqualTo(range(0, 100));
        assertThat(whole.getRequested()).isEqualTo(range(10, 20));
        assertThat(smaller.getRange()).isEqualTo(range(10, 30));
        assertThat(halves).extracting(Granted::getRange).containsExactly(range(10, 20), range(20, 30));
        assertThat(converted.getMode()).isEqualTo(Mode.MODE_EX);
        assertThat(converted.getToken()).isGreaterThan(whole.getToken());
        assertThatThrownBy(() -> operate("", Operation.newBuilder())).hasMessageContaining("session_id is empty");
        assertThatThrownBy(() -> operate(session, Operation.newBuilder())).hasMessageContaining("does not say");
    }

    @Test
    void operatorAsksWhoIsInTheWayAndWhere() throws IOException {
        TestStream holder = open("holder");
        TestStream waiter = open("waiter");
        String session = waiter.welcome().getSessionId();
        Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);
        long request = waiter.acquire("vol", 50, 60, Mode.MODE_PR, 30_000);
        holder.event();

        var blockers = server.admin()
                .listBlockers(ListBlockersRequest.newBuilder()
                        .setSessionId(session)
                        .setRequestId(request)
                        .build())
                .getBlockersList();
        var buckets = server.admin()
                .getContention(GetContentionRequest.newBuilder()
                        .setVolume("vol")
                        .setRange(range(0, 100))
                        .setBuckets(2)
                        .build())
                .getBucketsList();
        server.admin()
                .configureVolume(ConfigureVolumeRequest.newBuilder()
                        .setVolume("vol")
                        .setLockDelayMillis(1500)
                        .build());
        var volume = server.admin()
                .listVolumes(ListVolumesRequest.getDefaultInstance())
                .getVolumes(0);

        assertThat(blockers).extracting(LockInfo::getId).containsExactly(held.getLockId());
        assertThat(buckets).extracting(ContentionBucket::getHeld).containsExactly(1L, 1L);
        assertThat(buckets).extracting(ContentionBucket::getWaiting).containsExactly(0L, 1L);
        assertThat(volume.getLockDelayMillis()).isEqualTo(1500);
        assertThat(Files.readString(directory.resolve(AuditLog.NAME)))
                .contains("\"action\":\"configure-volume\"", "vol lock-delay 1500 ms", "\"who\":\"127.0.0.1:");
        assertThatThrownBy(() -> server.admin()
                        .listBlockers(ListBlockersRequest.newBuilder()
                                .setSessionId(session)
                                .setRequestId(99)
                                .build()))
                .hasMessageContaining("NOT_FOUND")
                .hasMessageContaining("no request 99 that waits");
    }

    @Test
    void waitsAndRecallsAreCountedByTheirEnds() {
        TestStream holder = open("holder");
        TestStream waiter = open("waiter");
        Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);
        waiter.acquire("vol", 0, 10, Mode.MODE_EX, 1);
        waiter.answer();
        long cancelled = waiter.acquire("vol", 0, 10, Mode.MODE_EX, 30_000);
        waiter.send(Operation.newBuilder().setCancel(Cancel.newBuilder().setAcquireRequestId(cancelled)));
        waiter.answer();
        waiter.acquire("vol", 0, 10, Mode.MODE_EX, 30_000);
        await().until(() -> waiters("vol").size() == 1);
        holder.release(held.getLockId());
        waiter.answer();
        waiter.answer();

        await().until(() -> counted("granted") == 1);
        assertThat(counted("deadline")).isEqualTo(1);
        assertThat(counted("cancelled")).isEqualTo(1);
        assertThat(counted("lost")).isZero();
        assertThat(server.registry
                        .get("terminus.lock.acquires")
                        .tag("path", "queued")
                        .counter()
                        .count())
                .isEqualTo(3);
        assertThat(server.registry
                        .get("terminus.lock.acquires")
                        .tag("path", "at-once")
                        .counter()
                        .count())
                .isEqualTo(1);
        assertThat(server.registry
                        .get("terminus.lock.recall")
                        .tag("outcome", "released")
                        .timer()
                        .count())
                .isEqualTo(1);
        assertThat(server.registry.get("terminus.lock.sessions").gauge().value())
                .isEqualTo(2);
    }

    private long counted(String outcome) {
        return server.registry
                .get("terminus.lock.wait")
                .tag("outcome", outcome)
                .timer()
                .count();
    }

    private Answer operate(String session, Operation.Builder operation) {
        return server.blocking()
                .operate(OperateRequest.newBuilder()
                        .setSessionId(session)
                        .setOperation(operation)
                        .build());
    }

    private TestStream reopen(String session) {
        TestStream stream = TestStream.raw(server.async());
        stream.send(ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder()
                        .setSessionId(session)
                        .setOwner("a")
                        .setTtlMillis(TTL_MILLIS)
                        .setMayReassert(true))
                .build());
        return stream;
    }

    @Test
    void failedStoreAcknowledgesNothingAndEndsTheProcess() throws InterruptedException {
        TestStream stream = open("a");
        String session = stream.welcome().getSessionId();

        server.manager.submit(turn -> {
            turn.apply(
                    new Command.Acquire(session, 7, "vol", "uuid", 0, 100, io.terminus.lockmgr.lock.Mode.EX, 0, false));
            // Under the write at the end of the turn: that finds a store that takes nothing.
            server.store.close();
        });

        Answer answer = stream.answer();
        assertThat(answer.getRequestId()).isEqualTo(7);
        assertThat(answer.getRefused().getReason()).isEqualTo(Reason.UNKNOWN_OUTCOME);
        assertThat(stream.end().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(server.failed.await(30, TimeUnit.SECONDS)).isTrue();
    }

    private TestStream open(String owner) {
        return TestStream.open(server.async(), owner, TTL_MILLIS);
    }

    private Welcome openUnary() {
        return server.blocking()
                .openSession(OpenSessionRequest.newBuilder()
                        .setOwner("operator")
                        .setTtlMillis(TTL_MILLIS)
                        .build());
    }

    private static AcquireLockRequest acquireUnary(String session, long waitMillis) {
        return AcquireLockRequest.newBuilder()
                .setSessionId(session)
                .setAcquire(Acquire.newBuilder()
                        .setVolume("vol")
                        .setRange(range(0, 100))
                        .setMode(Mode.MODE_EX)
                        .setWaitMillis(waitMillis))
                .build();
    }

    private List<LockInfo> locks(String volume) {
        return server.admin()
                .listLocks(ListLocksRequest.newBuilder().setVolume(volume).build())
                .getLocksList();
    }

    private List<LockInfo> waiters(String volume) {
        return server.admin()
                .listLocks(ListLocksRequest.newBuilder()
                        .setVolume(volume)
                        .setWaiting(true)
                        .build())
                .getLocksList();
    }

    private SessionInfo session(String id) {
        return server.admin().listSessions(ListSessionsRequest.getDefaultInstance()).getSessionsList().stream()
                .filter(s -> s.getSessionId().equals(id))
                .findFirst()
                .orElseThrow();
    }

    private static Operation.Builder put(Granted lock, long version, String value) {
        return Operation.newBuilder()
                .setPutValue(PutValue.newBuilder()
                        .setVolume(lock.getVolume())
                        .setLockId(lock.getLockId())
                        .setExpectedVersion(version)
                        .setValue(ByteString.copyFromUtf8(value)));
    }

    private static Range range(long start, long end) {
        return Range.newBuilder().setStart(start).setEnd(end).build();
    }
}
