package io.terminus.lockmgr.history;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.LockRefusedException;
import io.terminus.lockmgr.client.RefusalReason;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Many real clients on 64 bytes of one volume, while the lock manager is killed and started again under them. What they
 * saw must be what 64 independent locks with six modes can have shown.
 */
class LockHistoryIT {

    private static final Duration TTL = Duration.ofSeconds(3);
    private static final int CLIENTS = 5;
    private static final int WORKERS_OF_CLIENT = 3;
    private static final int KILLS = Integer.getInteger("terminus.rounds", 2);
    private static final long HOLDS_BETWEEN_KILLS = 400;
    private static final int BYTES = 64;
    /** Long after this a lock that was given up, or whose holder is gone, is in nobody's way. */
    private static final long OUTLIVES_NANOS = 4 * TTL.toNanos();

    @TempDir
    Path directory;

    private final LockHistory history = new LockHistory();
    private final List<LockClient> clients = new ArrayList<>();
    private final List<Thread> workers = new ArrayList<>();
    private final AtomicBoolean over = new AtomicBoolean();
    private final AtomicLong granted = new AtomicLong();

    @Test
    @Timeout(300)
    void whatClientsSawIsLinearizableByteByByteOverKillsOfTheLockManager() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        try (RunningLockManager lockManager = RunningLockManager.start(directory)) {
            begin(lockManager.target(), seed);

            for (int kill = 0; kill < KILLS; kill++) {
                awaitHolds(granted.get() + HOLDS_BETWEEN_KILLS);
                lockManager.killAndStart();
            }
            awaitHolds(granted.get() + HOLDS_BETWEEN_KILLS);
            end();
        } finally {
            over.set(true);
        }

        assertThat(history.violations()).as("seed %d", seed).isEmpty();
        assertThat(history.refusedTries()).as("tries that were refused").isPositive();
    }

    /** {@code -Dterminus.rounds} kills, {@code -Dseed} chooses what the clients do. */
    @Test
    @Timeout(value = 60, unit = TimeUnit.MINUTES)
    void whatClientsSawIsLinearizableByteByByteOverKillsOfMembersOfAGroup() throws Exception {
        long seed = Long.getLong("terminus.seed", 6);
        int kills = Integer.getInteger("terminus.rounds", 2);
        Random chance = new Random(seed);
        try (RunningGroup group = RunningGroup.start(directory)) {
            begin(group.targets(), seed);

            for (int kill = 0; kill < kills; kill++) {
                awaitHolds(granted.get() + HOLDS_BETWEEN_KILLS);
                // Mostly the one that leads; who does not is missed by nobody.
                int member = kill % 4 < 3 ? group.leader() : chance.nextInt(3);
                group.kill(member);
                awaitHolds(granted.get() + HOLDS_BETWEEN_KILLS);
                group.startAgain(member);
            }
            awaitHolds(granted.get() + HOLDS_BETWEEN_KILLS);
            end();
            group.awaitAgreement();
        } finally {
            over.set(true);
        }

        assertThat(history.violations()).as("seed %d", seed).isEmpty();
        assertThat(history.refusedTries()).as("tries that were refused").isPositive();
    }

    private void begin(String targets, long seed) {
        for (int i = 0; i < CLIENTS; i++) {
            String name = "client-" + i;
            LockClient client =
                    LockClient.connect(LockClient.Config.of(targets, name).withTtl(TTL));
            clients.add(client);
            for (int w = 0; w < WORKERS_OF_CLIENT; w++) {
                Random random = new Random(seed + workers.size());
                workers.add(Thread.ofPlatform().start(() -> work(client, name, random)));
            }
        }
    }

    private void end() throws InterruptedException {
        over.set(true);
        for (Thread worker : workers) {
            worker.join();
        }
        clients.forEach(LockClient::close);
    }

    private void awaitHolds(long number) {
        await().atMost(Duration.ofSeconds(100)).until(() -> granted.get() >= number);
    }

    private void work(LockClient client, String name, Random random) {
        while (!over.get()) {
            long start = random.nextInt(BYTES - 1);
            long end = start + 1 + random.nextInt((int) Math.min(16, BYTES - start));
            LockRange range = new LockRange(start, end);
            LockMode mode = LockMode.values()[random.nextInt(LockMode.values().length)];
            boolean isTry = random.nextInt(3) == 0;
            AcquireRequest wanted =
                    AcquireRequest.of("v", range, mode, isTry ? Duration.ZERO : Duration.ofMillis(2_000));
            long asked = System.nanoTime();
            try {
                Grant grant = client.acquire(wanted).get();
                hold(grant, name, wanted, asked, random);
            } catch (ExecutionException e) {
                long answered = System.nanoTime();
                if (isTry
                        && e.getCause() instanceof LockRefusedException refusal
                        && refusal.reason() == RefusalReason.WOULD_BLOCK) {
                    history.add(new LockHistory.RefusedTry(name, range, mode, asked, answered));
                }
                // It waited, and may still wait where the client gave it up without an answer.
                history.add(new LockHistory.Interest(name, range, mode, asked, answered + OUTLIVES_NANOS));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private void hold(Grant grant, String name, AcquireRequest wanted, long asked, Random random)
            throws InterruptedException {
        long first = 0;
        long last = 0;
        long holdNanos = random.nextInt(3_000_000);
        long now = System.nanoTime();
        while (grant.believed()) {
            first = first == 0 ? now : first;
            last = now;
            if (now - first > holdNanos) {
                break;
            }
            Thread.onSpinWait();
            now = System.nanoTime();
        }
        if (first != 0) {
            granted.incrementAndGet();
            history.add(new LockHistory.Hold(name, wanted.range(), wanted.mode(), grant.token(), first, last));
        }
        try {
            grant.release().get();
            long released = System.nanoTime();
            history.add(new LockHistory.Interest(name, wanted.range(), wanted.mode(), asked, released));
        } catch (ExecutionException e) {
            history.add(new LockHistory.Interest(
                    name, wanted.range(), wanted.mode(), asked, System.nanoTime() + OUTLIVES_NANOS));
        }
    }
}
