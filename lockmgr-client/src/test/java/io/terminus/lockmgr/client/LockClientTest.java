package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Server;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.terminus.proto.lock.v1.Operation.KindCase;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The shell with real threads and gRPC in process, against {@link FakeLockService}. */
@Timeout(60)
class LockClientTest {

    private static final AcquireRequest EXCLUSIVE =
            AcquireRequest.of("v", LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, Duration.ofSeconds(60));

    private final String name = UUID.randomUUID().toString();
    private final FakeLockService service = new FakeLockService();
    private final Heard heard = new Heard();
    private @Nullable Server server;
    private final List<LockClient> clients = new ArrayList<>();

    @Test
    void grantsAreBelievedUntilTheyAreReleased() throws Exception {
        LockClient client = start();

        Grant grant = client.acquire(EXCLUSIVE).get();
        boolean believed = grant.believed();
        CompletableFuture<Void> released = grant.release();
        boolean believedAfter = grant.believed();
        released.get();

        assertThat(believed).isTrue();
        assertThat(believedAfter).isFalse();
        assertThat(grant.range()).isEqualTo(LockRange.WHOLE_VOLUME);
        assertThat(service.held()).isZero();
    }

    @Test
    void readyNamesTheSession() throws Exception {
        LockClient client = start();

        String sessionId = client.ready().get();

        assertThat(sessionId).isEqualTo("s1");
        assertThat(client.sessionId()).isEqualTo("s1");
        assertThat(client.status().state()).isEqualTo(LockClient.State.ATTACHED);
    }

    @Test
    void requestsWaitForALockManagerThatStartsLater() throws Exception {
        LockClient client = connect();

        PendingAcquire waiting = client.acquire(EXCLUSIVE);
        startServer();

        assertThat(waiting.get().believed()).isTrue();
    }

    @Test
    void aPutWhoseAnswerWasLostIsDoneOnce() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();
        service.loseAnswers(true);
        CompletableFuture<PutOutcome> put = client.putValue(grant, 0, new byte[] {1, 2});
        service.await(() -> service.executions(KindCase.PUT_VALUE) == 1);

        service.loseAnswers(false);
        service.cutStreams();

        assertThat(put.get()).isEqualTo(new PutOutcome.Written(1));
        assertThat(service.executions(KindCase.PUT_VALUE)).isEqualTo(1);
        assertThat(client.value("v").get()).isEqualTo(new Value("v", "u", 1, new byte[] {1, 2}));
        assertThat(grant.believed()).isTrue();
    }

    @Test
    void aPutOfASessionThatEndedMeanwhileIsUnknown() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();
        service.loseAnswers(true);
        CompletableFuture<PutOutcome> put = client.putValue(grant, 0, new byte[] {1});
        service.await(() -> service.executions(KindCase.PUT_VALUE) == 1);

        service.loseAnswers(false);
        service.forgetSessions();

        assertThat(put.get()).isInstanceOf(PutOutcome.Unknown.class);
    }

    @Test
    void aPutOnAnotherVersionTellsWhatIsThere() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();

        PutOutcome outcome = client.putValue(grant, 5, new byte[] {1}).get();

        assertThat(outcome).isEqualTo(new PutOutcome.VersionMismatch(new Value("v", "u", 0, new byte[0])));
    }

    @Test
    void aLostSessionTakesItsGrantsAndAnotherOneIsOpened() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();

        service.forgetSessions();
        String lost = heard.next();
        String sessionLost = heard.next();
        Grant next = client.acquire(EXCLUSIVE).get();

        assertThat(lost).isEqualTo("lost " + grant.lockId() + " believed false");
        assertThat(sessionLost).isEqualTo("sessionLost");
        assertThat(grant.believed()).isFalse();
        assertThat(next.believed()).isTrue();
        assertThat(client.sessionId()).isEqualTo("s2");
    }

    @Test
    void aRevokedLockIsAcknowledgedAfterTheListenerReturned() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();
        heard.hold();

        service.revoke(grant.lockId());
        String lost = heard.next();
        int acksBefore = service.executions(KindCase.LOST_ACK);
        heard.goOn();
        service.await(() -> service.executions(KindCase.LOST_ACK) == 1);

        assertThat(lost).isEqualTo("lost " + grant.lockId() + " believed false");
        assertThat(acksBefore).isZero();
    }

    @Test
    void aRecallIsHeardByTheLibraryAndToldToTheListener() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();

        service.recall(grant.lockId());
        String recalled = heard.next();
        service.await(() -> service.executions(KindCase.RECALL_PROGRESS) == 1);

        assertThat(recalled).isEqualTo("recalled " + grant.lockId() + " PT5S");
        assertThat(grant.believed()).isTrue();
    }

    @Test
    void aGrantWhoseWaiterGaveUpIsReleased() throws Exception {
        LockClient client = start();
        service.loseAnswers(true);
        PendingAcquire waiting = client.acquire(EXCLUSIVE);
        service.await(() -> service.executions(KindCase.ACQUIRE) == 1);

        boolean cancelled = waiting.cancel(true);
        service.loseAnswers(false);
        service.cutStreams();
        service.await(() -> service.held() == 0);

        assertThat(cancelled).isTrue();
        assertThat(waiting).isCancelled();
    }

    @Test
    void blockingCallsGrantRefuseAndTry() throws Exception {
        LockClient client = start();

        Grant grant = client.lock(EXCLUSIVE);
        boolean tried =
                client.tryLock("v", LockRange.of(0, 10), LockMode.SHARED).isPresent();
        boolean triedBusy =
                client.tryLock("busy", LockRange.of(0, 10), LockMode.SHARED).isPresent();
        boolean waitedBusy = client.tryLock(
                        AcquireRequest.of("busy", LockRange.of(0, 10), LockMode.EX, Duration.ofMillis(1)))
                .isPresent();

        assertThat(grant.believed()).isTrue();
        assertThat(tried).isTrue();
        assertThat(triedBusy).isFalse();
        assertThat(waitedBusy).isFalse();
        assertThatThrownBy(
                        () -> client.lock(AcquireRequest.of("busy", LockRange.of(0, 10), LockMode.EX, Duration.ZERO)))
                .isInstanceOfSatisfying(
                        LockRefusedException.class, e -> assertThat(e.reason()).isEqualTo(RefusalReason.WOULD_BLOCK));
    }

    @Test
    void anInterruptedWaitIsGivenUp() throws Exception {
        LockClient client = start();
        service.loseAnswers(true);
        BlockingQueue<String> ended = new LinkedBlockingQueue<>();

        Thread waiting = Thread.ofPlatform().start(() -> {
            try {
                client.lock(EXCLUSIVE);
            } catch (InterruptedException e) {
                ended.add("interrupted");
            }
        });
        service.await(() -> service.executions(KindCase.ACQUIRE) == 1);
        waiting.interrupt();
        waiting.join();
        service.loseAnswers(false);
        service.cutStreams();
        service.await(() -> service.held() == 0);

        assertThat(ended).containsExactly("interrupted");
    }

    @Test
    void aBlockingCallOnTheCallbackThreadIsRefusedAndNotADeadlock() throws Exception {
        LockClient client = start();

        CompletableFuture<Grant> nested = client.acquire(EXCLUSIVE).thenApply(grant -> {
            try {
                return client.lock(EXCLUSIVE);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });

        assertThatThrownBy(nested::get).hasMessageContaining("callback thread");
    }

    @Test
    void aTimeoutOfTheFutureGivesUpTheWait() throws Exception {
        LockClient client = start();
        service.loseAnswers(true);

        PendingAcquire waiting = client.acquire(EXCLUSIVE);
        service.await(() -> service.executions(KindCase.ACQUIRE) == 1);
        waiting.orTimeout(1, TimeUnit.MILLISECONDS);
        service.await(() -> service.executions(KindCase.CANCEL) == 1);

        assertThatThrownBy(waiting::get).hasCauseInstanceOf(java.util.concurrent.TimeoutException.class);
    }

    @Test
    void aGrantIsConvertedShrunkAndSplit() throws Exception {
        LockClient client = start();
        Grant grant = client.lock(EXCLUSIVE);
        long firstToken = grant.token();

        grant.convert(LockMode.PW, Duration.ofSeconds(5)).get();
        grant.shrink(LockRange.of(0, 1000)).get();
        Grant upper = grant.split(400).get();

        assertThat(grant.token()).isGreaterThan(firstToken);
        assertThat(grant.mode()).isEqualTo(LockMode.PW);
        assertThat(grant.range()).isEqualTo(LockRange.of(0, 400));
        assertThat(upper.range()).isEqualTo(LockRange.of(400, 1000));
        assertThat(grant.believed(0, 400)).isTrue();
        assertThat(grant.believed(0, 401)).isFalse();
        assertThatThrownBy(() -> grant.shrink(LockRange.of(0, 401))).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> grant.split(400)).isInstanceOf(IllegalArgumentException.class);
        grant.release().get();
        upper.release().get();
        assertThat(service.held()).isZero();
    }

    @Test
    void aChangeWhoseAnswerWasLostIsDoneOnce() throws Exception {
        LockClient client = start();
        Grant grant = client.lock(EXCLUSIVE);
        service.loseAnswers(true);
        CompletableFuture<Void> converted = grant.convert(LockMode.PR, Duration.ofSeconds(60));
        CompletableFuture<Grant> upper = grant.split(400);
        service.await(() -> service.executions(KindCase.SPLIT) == 1);

        service.loseAnswers(false);
        service.cutStreams();
        converted.get();

        assertThat(upper.get().mode()).isEqualTo(LockMode.PR);
        assertThat(grant.believed(0, 400)).isTrue();
        assertThat(service.executions(KindCase.CONVERT)).isEqualTo(1);
        assertThat(service.executions(KindCase.SPLIT)).isEqualTo(1);
        assertThat(service.held()).isEqualTo(2);
    }

    @Test
    void severalAreTakenTogetherAndClosedAsOne() throws Exception {
        LockClient client = start();
        AcquireRequest other = AcquireRequest.of("w", LockRange.of(0, 10), LockMode.SHARED, Duration.ofSeconds(60));

        try (GrantSet both = client.lockAll(List.of(EXCLUSIVE, other))) {
            assertThat(both.believed()).isTrue();
            assertThat(both.get(1).volume()).isEqualTo("w");
            assertThat(service.held()).isEqualTo(2);
        }
        service.await(() -> service.held() == 0);

        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(1);
    }

    @Test
    void whatOnlyExpansionAddedIsGivenBackByTheShrinkingListener() throws Exception {
        startServer();
        LockClient client = connect(LockClient.Config.of(name, "me").withListener(LockListener.shrinking(heard)));
        Grant grant = client.lock(AcquireRequest.of("v", LockRange.of(0, 10), LockMode.EX, Duration.ofSeconds(60))
                .withDesired(LockRange.of(0, 1000)));
        LockRange wide = grant.range();

        service.recall(grant.lockId(), LockRange.of(0, 10));
        service.await(() -> service.lock(grant.lockId()).getRange().getEnd() == 10);
        service.recall(grant.lockId());

        assertThat(wide).isEqualTo(LockRange.of(0, 1000));
        assertThat(grant.range()).isEqualTo(LockRange.of(0, 10));
        assertThat(heard.next()).isEqualTo("recalled " + grant.lockId() + " PT5S");
    }

    @Test
    void aLockManagerThatLostItsMemoryIsToldWhatIsHeld() throws Exception {
        LockClient client = start();
        Grant grant = client.lock(EXCLUSIVE);

        service.loseMemory();
        service.await(() -> service.executions(KindCase.REASSERT) == 1);
        Grant next = client.lock(AcquireRequest.of("w", LockRange.of(0, 10), LockMode.EX, Duration.ofSeconds(60)));

        assertThat(client.sessionId()).isEqualTo("s1");
        assertThat(grant.believed()).isTrue();
        assertThat(next.believed()).isTrue();
        assertThat(service.lock(grant.lockId()).getToken()).isEqualTo(grant.token());
        assertThat(heard.soFar()).isEmpty();
    }

    @Test
    void everythingIsToldOnce() throws Exception {
        service.useTtl(900, 118);
        LockClient client = start();
        Grant kept = client.lock(EXCLUSIVE);
        Grant revoked = client.lock(EXCLUSIVE);

        service.revoke(revoked.lockId());
        String lost = heard.next();
        service.await(() -> service.executions(KindCase.LOST_ACK) == 1);
        service.deaf(true);
        service.cutStreams();
        String jeopardy = heard.next();
        boolean believed = kept.believed();
        service.deaf(false);
        String safe = heard.next();
        boolean believedAgain = kept.believed();
        service.forgetSessions();
        String lostWithSession = heard.next();
        String sessionLost = heard.next();
        client.lock(EXCLUSIVE);

        assertThat(lost).isEqualTo("lost " + revoked.lockId() + " believed false");
        assertThat(jeopardy).isEqualTo("jeopardy");
        assertThat(believed).isFalse();
        assertThat(safe).isEqualTo("safe");
        assertThat(believedAgain).isTrue();
        assertThat(lostWithSession).isEqualTo("lost " + kept.lockId() + " believed false");
        assertThat(sessionLost).isEqualTo("sessionLost");
        assertThat(heard.soFar()).isEmpty();
    }

    @Test
    void aStandbyWaitsUntilItIsPromoted() throws Exception {
        LockClient client = start();
        PendingAcquire standby = client.acquire(AcquireRequest.standby("v", LockRange.WHOLE_VOLUME, LockMode.EX));
        service.await(() -> service.executions(KindCase.ACQUIRE) == 1);

        boolean before = standby.isDone();
        standby.promote(Duration.ofSeconds(5)).get();

        assertThat(before).isFalse();
        assertThat(standby.get().believed()).isTrue();
    }

    @Test
    void closingGivesTheSessionBackAndEndsBelief() throws Exception {
        LockClient client = start();
        Grant grant = client.acquire(EXCLUSIVE).get();
        PendingAcquire standby = client.acquire(AcquireRequest.standby("v", LockRange.WHOLE_VOLUME, LockMode.EX));

        client.close();

        assertThat(service.sessions()).isZero();
        assertThat(grant.believed()).isFalse();
        assertThat(client.status().state()).isEqualTo(LockClient.State.CLOSED);
        assertThatThrownBy(standby::get).hasMessageContaining("CLOSED");
        assertThatThrownBy(() -> client.acquire(EXCLUSIVE).get()).hasMessageContaining("CLOSED");
        assertThatThrownBy(() -> client.ready().get()).hasMessageContaining("CLOSED");
    }

    @Test
    void aCallbackMayClose() throws Exception {
        LockClient client = start();

        CompletableFuture<Void> closed = client.acquire(EXCLUSIVE).thenAccept(grant -> client.close());
        closed.get();

        assertThat(client.status().state()).isEqualTo(LockClient.State.CLOSED);
        assertThat(service.sessions()).isZero();
    }

    @Test
    void twoMayCloseAtOnce() throws Exception {
        LockClient client = start();
        client.ready().get();
        List<Thread> closers = new ArrayList<>();

        for (int i = 0; i < 2; i++) {
            closers.add(Thread.ofPlatform().start(client::close));
        }
        for (Thread closer : closers) {
            closer.join();
        }

        assertThat(client.status().state()).isEqualTo(LockClient.State.CLOSED);
        assertThat(service.sessions()).isZero();
    }

    @Test
    void callbacksBehindTheEndComeOnTheirOwnThreadAndNotUnderTheLocksOfWhoAsks() throws Exception {
        LockClient client = start();
        CountDownLatch goOn = new CountDownLatch(1);
        var unused = client.acquire(AcquireRequest.standby("v", LockRange.WHOLE_VOLUME, LockMode.EX))
                .whenComplete((grant, refused) -> {
                    try {
                        goOn.await();
                    } catch (InterruptedException e) {
                        throw new AssertionError(e);
                    }
                });
        client.close();

        PendingAcquire late = client.acquire(EXCLUSIVE);
        CompletableFuture<String> toldOn =
                late.handle((grant, refused) -> Thread.currentThread().getName());
        goOn.countDown();

        assertThat(toldOn.get()).isEqualTo("lock-callbacks-me");
        assertThatThrownBy(late::get).hasMessageContaining("CLOSED");
    }

    @Test
    void whatACallbackAsksForLeavesThoughTheNextOneTakesLong() throws Exception {
        startServer();
        LockClient client = connect();
        CompletableFuture<Boolean> left = new CompletableFuture<>();
        List<PendingAcquire> both = List.of(client.acquire(EXCLUSIVE), client.acquire(EXCLUSIVE));

        both.get(0).thenAccept(Grant::close);
        both.get(1).thenAccept(grant -> {
            try {
                service.await(() -> service.executions(KindCase.RELEASE) == 1);
                left.complete(true);
            } catch (InterruptedException e) {
                left.completeExceptionally(e);
            }
        });

        assertThat(left.get(30, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    @SuppressWarnings({"NullAway", "DataFlowIssue"}) // what a caller without such a checker may do
    void whatIsMissingIsNamedToWhoAskedAndHarmsNobodyElse() throws Exception {
        LockClient client = start();
        Grant grant = client.lock(EXCLUSIVE);

        assertThatThrownBy(() -> client.acquire(null)).hasMessage("request");
        assertThatThrownBy(() -> AcquireRequest.of("v", null, LockMode.EX, Duration.ZERO))
                .hasMessage("range");
        assertThatThrownBy(() -> AcquireRequest.of("v", LockRange.WHOLE_VOLUME, null, Duration.ZERO))
                .hasMessage("mode");
        assertThatThrownBy(() -> client.value(null)).hasMessage("volume");
        assertThatThrownBy(() -> grant.convert(null, Duration.ZERO)).hasMessage("mode");
        assertThatThrownBy(() -> client.putValue(null, 0, new byte[0])).hasMessage("grant");

        assertThat(client.lock(EXCLUSIVE).believed()).isTrue();
    }

    @Test
    void whenARuleIsBrokenEverythingAskedIsEnded() throws Exception {
        LockClient client = start();
        service.loseAnswers(true);
        PendingAcquire unanswered = client.acquire(EXCLUSIVE);
        service.await(() -> service.executions(KindCase.ACQUIRE) == 1);
        CompletableFuture<Void> goOn = new CompletableFuture<>();
        client.loop().onOwner(now -> {
            goOn.join();
            throw new IllegalStateException("a rule is broken");
        });
        PendingAcquire behind = client.acquire(EXCLUSIVE);

        goOn.complete(null);

        for (PendingAcquire asked : List.of(unanswered, behind)) {
            assertThatThrownBy(asked::get)
                    .cause()
                    .isInstanceOfSatisfying(
                            LockRefusedException.class,
                            e -> assertThat(e.reason()).isEqualTo(RefusalReason.CLOSED));
        }
        service.await(() -> client.status().state() == LockClient.State.CLOSED);
    }

    @Test
    void closingWithoutALockManagerEnds() {
        LockClient client = connect();

        client.close();

        assertThat(client.status().state()).isEqualTo(LockClient.State.CLOSED);
    }

    @Test
    void theSessionOfADeadPredecessorCanBeClosed() throws Exception {
        LockClient predecessor = start();
        predecessor.acquire(EXCLUSIVE).get();
        LockClient successor = connect();

        successor.closeSession(predecessor.ready().get()).get();

        assertThat(service.held()).isZero();
    }

    @Test
    void oneRequestTooManyIsRefusedAndNotSent() throws Exception {
        startServer();
        LockClient client = connect(LockClient.Config.of(name, "me").withMaxInFlight(2));
        service.loseAnswers(true);
        client.value("v");
        client.value("v");

        CompletableFuture<Value> third = client.value("v");

        assertThatThrownBy(third::get)
                .hasCauseInstanceOf(LockRefusedException.class)
                .hasMessageContaining("TOO_MANY_IN_FLIGHT");
    }

    @Test
    void aConnectionThatGoesDeadWithoutAWordIsReplaced() throws Exception {
        service.useTtl(900, 118);
        server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .addService(service)
                .build()
                .start();
        try (MutableProxy proxy = new MutableProxy(server.getPort())) {
            LockClient client = LockClient.connect(LockClient.Config.of("localhost:" + proxy.port(), "me"));
            clients.add(client);
            client.ready().get();

            proxy.muteConnections();
            service.await(() -> service.attaches() >= 2);

            assertThat(client.acquire(EXCLUSIVE).get().token()).isPositive();
            assertThat(service.sessions()).isEqualTo(1);
        }
    }

    @Test
    void manyCallersAtOnceAreAllAnswered() throws Exception {
        LockClient client = start();
        List<Thread> callers = new ArrayList<>();
        BlockingQueue<Grant> grants = new LinkedBlockingQueue<>();

        for (int caller = 0; caller < 4; caller++) {
            callers.add(Thread.ofPlatform().start(() -> {
                for (int i = 0; i < 500; i++) {
                    client.acquire(EXCLUSIVE).thenAccept(grants::add);
                }
            }));
        }
        for (Thread caller : callers) {
            caller.join();
        }
        for (int i = 0; i < 2000; i++) {
            if (i == 1000) {
                service.cutStreams();
            }
            grants.take().release().get();
        }

        assertThat(service.held()).isZero();
        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(2000);
    }

    @AfterEach
    void stop() {
        clients.forEach(LockClient::close);
        if (server != null) {
            server.shutdownNow();
        }
    }

    private LockClient start() throws Exception {
        startServer();
        return connect();
    }

    private void startServer() throws Exception {
        server =
                InProcessServerBuilder.forName(name).addService(service).build().start();
    }

    private LockClient connect() {
        return connect(LockClient.Config.of(name, "me").withListener(heard));
    }

    private LockClient connect(LockClient.Config config) {
        LockClient client = LockClient.connect(
                config.withCloseTimeout(Duration.ofSeconds(1)),
                InProcessChannelBuilder.forName(name).build());
        clients.add(client);
        return client;
    }

    private static final class Heard implements LockListener {
        private final BlockingQueue<String> events = new LinkedBlockingQueue<>();
        private CountDownLatch gate = new CountDownLatch(0);

        void hold() {
            gate = new CountDownLatch(1);
        }

        void goOn() {
            gate.countDown();
        }

        String next() throws InterruptedException {
            String event = events.poll(30, TimeUnit.SECONDS);
            return event == null ? "nothing within 30 s" : event;
        }

        @Override
        public void recalled(Grant grant, LockRange needed, Duration deadline) {
            events.add("recalled " + grant.lockId() + " " + deadline);
        }

        @Override
        public void lost(Grant grant, String why) {
            events.add("lost " + grant.lockId() + " believed " + grant.believed());
            try {
                gate.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        List<String> soFar() {
            return List.copyOf(events);
        }

        @Override
        public void jeopardy() {
            events.add("jeopardy");
        }

        @Override
        public void safe() {
            events.add("safe");
        }

        @Override
        public void sessionLost(String why) {
            events.add("sessionLost");
        }
    }
}
