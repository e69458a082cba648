package io.terminus.lockmgr.history;

import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.LockRefusedException;
import io.terminus.lockmgr.client.RefusalReason;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/** Many clients that take and release locks of a few bytes, whatever becomes of the lock manager, and write down what they saw. */
public final class LockWorkload implements AutoCloseable {

    private static final Duration TTL = Duration.ofSeconds(3);
    private static final int CLIENTS = 5;
    private static final int WORKERS_OF_CLIENT = 3;
    private static final int BYTES = 64;
    /** Long after this a lock that was given up, or whose holder is gone, is in nobody's way. */
    private static final long OUTLIVES_NANOS = 4 * TTL.toNanos();

    private static final Duration PATIENCE = Duration.ofSeconds(100);

    private final LockHistory history = new LockHistory();
    private final List<LockClient> clients = new ArrayList<>();
    private final List<Thread> workers = new ArrayList<>();
    private final AtomicBoolean over = new AtomicBoolean();
    private final AtomicLong granted = new AtomicLong();

    private LockWorkload() {}

    /**
     * @param targets HOST:PORT of the lock managers, with commas
     * @param seed of what the clients ask for
     */
    public static LockWorkload start(String targets, long seed) {
        LockWorkload work = new LockWorkload();
        for (int i = 0; i < CLIENTS; i++) {
            String name = "client-" + i;
            LockClient client =
                    LockClient.connect(LockClient.Config.of(targets, name).withTtl(TTL));
            work.clients.add(client);
            for (int w = 0; w < WORKERS_OF_CLIENT; w++) {
                Random random = new Random(seed + work.workers.size());
                work.workers.add(Thread.ofPlatform().start(() -> work.work(client, name, random)));
            }
        }
        return work;
    }

    /** Returns when so many more locks were held than by now. */
    public void awaitMore(int holds) {
        long wanted = granted.get() + holds;
        await().atMost(PATIENCE).until(() -> granted.get() >= wanted);
    }

    /** Nobody asks any more, and everyone who asked has an answer when this returns. */
    public LockHistory end() throws InterruptedException {
        over.set(true);
        for (Thread worker : workers) {
            if (!worker.join(PATIENCE)) {
                throw new AssertionError("a client has waited for an answer for " + PATIENCE);
            }
        }
        clients.forEach(LockClient::close);
        return history;
    }

    /** Without waiting for answers. */
    @Override
    public void close() {
        over.set(true);
        workers.forEach(Thread::interrupt);
        clients.forEach(LockClient::close);
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
