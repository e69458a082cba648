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

        @Override
        public void sessionLost(String why) {
            events.add("sessionLost");
        }
    }
}
