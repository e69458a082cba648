package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** {@code -Dterminus.seed=N} repeats a run. */
class DeadlinesTest {

    @Test
    void theFirstIsAlwaysTheEarliestOfThoseThatAreLeft() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        Deadlines deadlines = new Deadlines();
        List<Pending.Waiting> there = new ArrayList<>();

        for (int step = 0; step < 100_000; step++) {
            // Swings between few and many, so that the array grows and runs empty.
            boolean adding = random.nextInt(200) < (step / 1000 % 2 == 0 ? 120 : 80);
            if (adding) {
                Pending.Waiting request = request(step);
                deadlines.add(request, random.nextInt(20) == 0 ? Pending.NEVER : random.nextInt(1000));
                there.add(request);
            } else if (!there.isEmpty()) {
                Pending.Waiting request = there.remove(random.nextInt(there.size()));
                deadlines.remove(request);
                deadlines.remove(request);
            }

            long earliest = Pending.NEVER;
            if (step % 50 == 0) {
                for (Pending.Waiting request : there) {
                    earliest = Math.min(earliest, request.deadlineNanos);
                }
                assertThat(deadlines.firstNanos())
                        .as("seed %d step %d", seed, step)
                        .isEqualTo(earliest);
            }
        }
    }

    @Test
    void whoNeverGivesUpIsNotThere() {
        Deadlines deadlines = new Deadlines();

        deadlines.add(request(1), Pending.NEVER);

        assertThat(deadlines.firstNanos()).isEqualTo(Pending.NEVER);
    }

    private static Pending.Waiting request(long id) {
        return new Pending.Lock(
                id, AcquireRequest.of("v", LockRange.WHOLE_VOLUME, LockMode.EX, Duration.ZERO), List.of(), false, 0);
    }
}
