package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Server;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.terminus.proto.lock.v1.Operation.KindCase;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class LockCacheTest {

    private static final Duration LONG = Duration.ofSeconds(30);
    private static final LockRange RANGE = LockRange.of(0, 4096);

    private final String name = UUID.randomUUID().toString();
    private final FakeLockService service = new FakeLockService();
    private final ConcurrentLinkedQueue<String> lost = new ConcurrentLinkedQueue<>();
    private final Server server =
            InProcessServerBuilder.forName(name).addService(service).build();
    private final LockClient client = LockClient.connect(
            LockClient.Config.of(name, "me")
                    .withCloseTimeout(Duration.ofSeconds(1))
                    .withClock(this::nanos)
                    .withListener(new LockListener() {
                        @Override
                        public void lost(Grant grant, String why) {
                            lost.add(why);
                        }
                    }),
            InProcessChannelBuilder.forName(name).build());
    private final LockCache cache = new LockCache(client, 3, Duration.ofHours(1));
    private final Thread tester = Thread.currentThread();

    private interface Step {
        void run() throws InterruptedException;
    }

    /** Run once, when the test's own thread looks at the clock: it has its grant then, and has not entered yet. */
    private volatile @Nullable Step beforeEntry;

    private long nanos() {
        Step step = beforeEntry;
        if (step != null && Thread.currentThread().equals(tester)) {
            beforeEntry = null;
            try {
                step.run();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }
        return System.nanoTime();
    }

    @BeforeEach
    void start() throws Exception {
        server.start();
    }

    @AfterEach
    void stop() {
        cache.close();
        client.close();
        server.shutdownNow();
    }

    @Test
    void aCachedGrantIsTakenAgainWithoutACall() throws Exception {
        long first;
        try (LockCache.Use use = cache.exclusive("v", RANGE, LONG)) {
            first = use.token();
        }

        for (int i = 0; i < 100; i++) {
            try (LockCache.Use use = cache.exclusive("v", RANGE, LONG)) {
                assertThat(use.token()).isEqualTo(first);
                assertThat(use.believed()).isTrue();
            }
            cache.shared("v", LockRange.of(512, 1024), LONG).close();
        }

        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(1);
        assertThat(service.executions(KindCase.RELEASE)).isZero();
    }

    @Test
    void sharedUsersAreTogetherAndAnExclusiveOneIsAlone() throws Exception {
        cache.exclusive("v", RANGE, LONG).close();
        LockCache.Use one = cache.shared("v", RANGE, LONG);
        LockCache.Use other = cache.shared("v", RANGE, LONG);

        assertThatThrownBy(() -> cache.exclusive("v", RANGE, Duration.ZERO)).hasMessageContaining("WOULD_BLOCK");
        one.close();
        other.close();
        LockCache.Use writer = cache.exclusive("v", RANGE, LONG);
        assertThatThrownBy(() -> cache.shared("v", RANGE, Duration.ofMillis(1))).hasMessageContaining("DEADLINE");

        writer.close();
        writer.close();
        cache.shared("v", RANGE, Duration.ZERO).close();
        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(1);
    }

    @Test
    void aStrongerModeOrAnotherRangeIsAskedForBehindWhatItOverlaps() throws Exception {
        cache.shared("v", RANGE, LONG).close();

        cache.exclusive("v", RANGE, LONG).close();
        cache.shared("v", LockRange.of(1024, 8192), LONG).close();

        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(3);
        service.await(() -> service.executions(KindCase.RELEASE) == 2);
        assertThat(cache.size()).isEqualTo(1);
    }

    @Test
    void aRecalledGrantIsGivenBackBehindItsLastUser() throws Exception {
        LockCache.Use one = cache.shared("v", RANGE, LONG);
        LockCache.Use other = cache.shared("v", RANGE, LONG);

        service.recall(one.grant().lockId());
        while (!one.wanted()) {
            Thread.onSpinWait();
        }
        one.close();
        boolean believed = other.believed();
        int before = service.executions(KindCase.RELEASE);
        other.close();
        service.await(() -> service.executions(KindCase.RELEASE) == 1);

        assertThat(believed).isTrue();
        assertThat(before).isZero();
        assertThat(cache.size()).isZero();
        cache.shared("v", RANGE, LONG).close();
        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(2);
    }

    @Test
    void whoAskedForAGrantUsesItOnceThoughItWasRecalledOnItsWay() throws Exception {
        beforeEntry = () -> {
            service.recall(1);
            service.await(() -> service.executions(KindCase.RECALL_PROGRESS) == 1);
            // Told behind the recall, by the same thread.
            client.value("v").join();
        };

        try (LockCache.Use use = cache.exclusive("v", RANGE, LONG)) {
            assertThat(use.believed()).isTrue();
            assertThat(use.wanted()).isTrue();
            assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(1);
            assertThat(service.executions(KindCase.RELEASE)).isZero();
        }
        service.await(() -> service.executions(KindCase.RELEASE) == 1);

        assertThat(cache.size()).isZero();
    }

    @Test
    void aGrantThatComesBehindTheCloseIsGivenBackBehindItsUser() throws Exception {
        beforeEntry = cache::close;

        cache.exclusive("v", RANGE, LONG).close();
        service.await(() -> service.executions(KindCase.RELEASE) == 1);

        assertThat(cache.size()).isZero();
        assertThat(service.held()).isZero();
    }

    @Test
    void whoWaitsForARecalledGrantGetsANewOne() throws Exception {
        LockCache.Use use = cache.exclusive("v", RANGE, LONG);
        CompletableFuture<Long> next = CompletableFuture.supplyAsync(() -> {
            try (LockCache.Use waited = cache.exclusive("v", RANGE, LONG)) {
                return waited.token();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });

        service.recall(use.grant().lockId());
        while (!use.wanted()) {
            Thread.onSpinWait();
        }
        long first = use.token();
        use.close();

        assertThat(next.get()).isNotEqualTo(first);
    }

    @Test
    void aLostGrantIsToldToItsUsersAndToTheListener() throws Exception {
        LockCache.Use use = cache.exclusive("v", RANGE, LONG);

        service.revoke(use.grant().lockId());
        service.await(() -> service.executions(KindCase.LOST_ACK) == 1);

        assertThat(use.believed()).isFalse();
        assertThat(use.wanted()).isTrue();
        assertThat(lost).hasSize(1);
        use.close();
        try (LockCache.Use again = cache.exclusive("v", RANGE, LONG)) {
            assertThat(again.believed()).isTrue();
        }
    }

    @Test
    void theLeastRecentlyUsedGrantGoesFirst() throws Exception {
        for (int i = 0; i < 3; i++) {
            cache.exclusive("v" + i, RANGE, LONG).close();
        }
        cache.exclusive("v0", RANGE, LONG).close();

        cache.exclusive("v3", RANGE, LONG).close();
        service.await(() -> service.executions(KindCase.RELEASE) == 1);

        cache.exclusive("v0", RANGE, LONG).close();
        cache.exclusive("v2", RANGE, LONG).close();
        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(4);
        cache.exclusive("v1", RANGE, LONG).close();
        assertThat(service.executions(KindCase.ACQUIRE)).isEqualTo(5);
        assertThat(cache.size()).isEqualTo(3);
    }

    @Test
    void aboveTheBoundThereAreOnlyGrantsInUse() throws Exception {
        List<LockCache.Use> uses = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            uses.add(cache.exclusive("v" + i, RANGE, LONG));
        }

        int inUse = cache.size();
        uses.forEach(LockCache.Use::close);

        assertThat(inUse).isEqualTo(5);
        assertThat(cache.size()).isEqualTo(3);
    }

    @Test
    void anIdleGrantIsGivenBackAndOneInUseIsNot() throws Exception {
        cache.exclusive("v0", RANGE, LONG).close();
        LockCache.Use used = cache.exclusive("v1", RANGE, LONG);

        cache.giveBackIdle(client.clock().nanos() + Duration.ofHours(2).toNanos());
        service.await(() -> service.executions(KindCase.RELEASE) == 1);

        assertThat(cache.size()).isEqualTo(1);
        assertThat(used.believed()).isTrue();
        used.close();
    }

    @Test
    void aRefusalIsToldAndLeavesNothingBehind() {
        assertThatThrownBy(() -> cache.exclusive("busy", RANGE, Duration.ZERO))
                .isInstanceOf(LockRefusedException.class)
                .hasMessageContaining("WOULD_BLOCK");
        assertThatThrownBy(() -> cache.exclusive("busy", RANGE, LONG)).hasMessageContaining("DEADLINE");

        assertThat(cache.size()).isZero();
    }

    @Test
    void aClosedCacheRefusesAndGivesBack() throws Exception {
        cache.exclusive("v", RANGE, LONG).close();

        cache.close();
        service.await(() -> service.held() == 0);

        assertThatThrownBy(() -> cache.exclusive("v", RANGE, LONG)).hasMessageContaining("CLOSED");
    }

    @Test
    void manyUsersAreReadersOrOneWriterWhateverIsRecalled() throws Exception {
        AtomicInteger[] inside = new AtomicInteger[6];
        for (int i = 0; i < inside.length; i++) {
            inside[i] = new AtomicInteger();
        }
        ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();
        CountDownLatch done = new CountDownLatch(4);

        for (int user = 0; user < 4; user++) {
            Random random = new Random(user);
            Thread.ofPlatform().start(() -> {
                try {
                    for (int i = 0; i < 5000; i++) {
                        int at = random.nextInt(inside.length);
                        boolean writes = random.nextInt(3) == 0;
                        try (LockCache.Use use =
                                writes ? cache.exclusive("v" + at, RANGE, LONG) : cache.shared("v" + at, RANGE, LONG)) {
                            int seen = inside[at].addAndGet(writes ? 1000 : 1);
                            if (writes ? seen != 1000 : seen >= 1000) {
                                wrong.add("v" + at + " " + seen);
                            }
                            inside[at].addAndGet(writes ? -1000 : -1);
                            if (random.nextInt(50) == 0) {
                                service.recall(use.grant().lockId());
                            }
                        }
                    }
                } catch (InterruptedException | RuntimeException e) {
                    wrong.add(e.toString());
                } finally {
                    done.countDown();
                }
            });
        }
        done.await();
        cache.close();
        service.await(() -> service.held() == 0);

        assertThat(wrong).isEmpty();
    }
}
