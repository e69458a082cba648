package io.terminus.lockmgr.history;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.ranges.BlockRange;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What no lease can prevent and only storage can: a holder that sleeps past its lease and writes when it wakes up. */
class StoppedHolderIT {

    private static final int LENGTH = 65_536;
    private static final int ENOUGH = 100;
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    @TempDir
    Path directory;

    @Test
    @Timeout(300)
    void everyLateWriteOfAStoppedHolderIsRefusedByTheFence() throws Exception {
        try (RunningLockManager lockManager = RunningLockManager.start(directory);
                FencedStorage storage = new FencedStorage(LENGTH);
                LockClient client = LockClient.connect(LockClient.Config.of(lockManager.target(), "next"))) {
            Process late = new ProcessBuilder(
                            ProcessHandle.current().info().command().orElseThrow(),
                            "-XX:TieredStopAtLevel=1",
                            "-cp",
                            System.getProperty("java.class.path"),
                            LateWriter.class.getName(),
                            lockManager.target(),
                            Integer.toString(storage.port()),
                            Integer.toString(LENGTH))
                    .redirectOutput(directory.resolve("late-out").toFile())
                    .redirectError(directory.resolve("late-err").toFile())
                    .start();
            try {
                await().atMost(PATIENCE).until(() -> storage.writers().length > 1 || !late.isAlive());
                assertThat(late.isAlive()).isTrue();
                long lateToken = storage.writers()[storage.writers().length - 1];
                await().atMost(PATIENCE).until(() -> storage.admitted(lateToken) >= ENOUGH);
                signal("STOP", late);

                // Granted only because the lease of the sleeper ends.
                Grant grant = client.lock(
                        AcquireRequest.of("v", new LockRange(0, LENGTH), LockMode.EXCLUSIVE, Duration.ofSeconds(30)));
                BlockRange all = new BlockRange(0, LENGTH);
                storage.fence(all, grant.token());
                assertThat(storage.write(all, grant.token())).isTrue();
                int before = storage.admitted(lateToken);
                signal("CONT", late);
                await().atMost(PATIENCE).until(() -> storage.refused(lateToken) >= ENOUGH);

                assertThat(storage.admitted(lateToken)).isEqualTo(before);
                assertThat(storage.writers()).containsExactly(grant.token());
            } finally {
                late.destroyForcibly().waitFor();
            }
        }
    }

    private static void signal(String name, Process to) throws Exception {
        assertThat(new ProcessBuilder("kill", "-" + name, Long.toString(to.pid()))
                        .start()
                        .waitFor())
                .isZero();
    }
}
