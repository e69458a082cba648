package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreSettings;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The order of things in a turn, with a clock that only the test moves. */
class LockManagerTest {

    @TempDir
    Path directory;

    @Test
    void aRenewalThatIsSentWhileAStepTakesLongHasItsLeaseFromThenOn() throws Exception {
        Settings settings = Settings.defaults();
        AtomicLong clock = new AtomicLong(TimeUnit.HOURS.toNanos(1));
        DecisionStore store =
                DecisionStore.open(new StoreSettings(directory, "boot-1", 1 << 20, 1000, settings.maxTtlNanos(), 0));
        CompletableFuture<Long> leaseEnd = new CompletableFuture<>();
        try (LockManager manager = new LockManager(
                new LockTable(settings, store.epoch(), clock.get()),
                store,
                new SessionDesk(),
                new WatchDesk(1),
                new AuditLog(directory),
                clock::get,
                new LockMetrics(new SimpleMeterRegistry(), store, () -> 0),
                () -> {})) {
            manager.submit(turn -> {
                turn.apply(new Command.OpenSession("s", "s", 0));
                clock.addAndGet(TimeUnit.MILLISECONDS.toNanos(900));
                manager.submit(later -> {
                    later.apply(new Command.Renew("s", 1));
                    leaseEnd.complete(later.table().session("s").orElseThrow().leaseEndNanos());
                });
            });
            manager.start();

            long ttlNanos = settings.defaultTtlNanos();
            assertThat(leaseEnd.get(30, TimeUnit.SECONDS))
                    .isEqualTo(clock.get() + ttlNanos + LockTable.marginNanos(ttlNanos));
        }
    }
}
