package io.terminus.lockmgr.history;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Many real clients on 64 bytes of one volume, while the lock manager is killed and started again under them. What they
 * saw must be what 64 independent locks with six modes can have shown.
 */
class LockHistoryIT {

    private static final int KILLS = Integer.getInteger("terminus.rounds", 2);
    private static final int HOLDS_BETWEEN_KILLS = 400;

    @TempDir
    Path directory;

    @Test
    @Timeout(300)
    void whatClientsSawIsLinearizableByteByByteOverKillsOfTheLockManager() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        LockHistory history;
        try (RunningLockManager lockManager = RunningLockManager.start(directory);
                LockWorkload work = LockWorkload.start(lockManager.target(), seed)) {
            for (int kill = 0; kill < KILLS; kill++) {
                work.awaitMore(HOLDS_BETWEEN_KILLS);
                lockManager.killAndStart();
            }
            work.awaitMore(HOLDS_BETWEEN_KILLS);
            history = work.end();
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
        LockHistory history;
        try (RunningGroup group = RunningGroup.start(directory);
                LockWorkload work = LockWorkload.start(group.targets(), seed)) {
            for (int kill = 0; kill < kills; kill++) {
                work.awaitMore(HOLDS_BETWEEN_KILLS);
                // Mostly the one that leads; who does not is missed by nobody.
                int member = kill % 4 < 3 ? group.leader() : chance.nextInt(3);
                group.kill(member);
                work.awaitMore(HOLDS_BETWEEN_KILLS);
                group.startAgain(member);
            }
            work.awaitMore(HOLDS_BETWEEN_KILLS);
            history = work.end();
            group.awaitAgreement();
        }

        assertThat(history.violations()).as("seed %d", seed).isEmpty();
        assertThat(history.refusedTries()).as("tries that were refused").isPositive();
    }
}
