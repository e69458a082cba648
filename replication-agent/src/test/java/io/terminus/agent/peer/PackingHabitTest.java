package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class PackingHabitTest {

    private static final long RUN = 100_000;

    @Test
    void whatDoesNotShrinkIsNotTriedAgainForAWhileAndLongerEachTime() {
        PackingHabit habit = new PackingHabit();

        long before = 0;
        for (int i = 0; i < 12; i++) {
            assertThat(habit.tries(RUN)).isTrue();
            assertThat(habit.tried(RUN, RUN)).isFalse();
            long rest = rest(habit);
            assertThat(rest).isGreaterThanOrEqualTo(before);
            before = rest;
        }

        assertThat(before).isBetween(PackingHabit.LONGEST_REST_BYTES, PackingHabit.LONGEST_REST_BYTES + RUN);
    }

    @Test
    void oneTryThatShrinksBeginsAnew() {
        PackingHabit habit = new PackingHabit();
        habit.tried(RUN, RUN);
        long first = rest(habit);
        habit.tried(RUN, RUN);
        assertThat(rest(habit)).isGreaterThan(first);

        assertThat(habit.tried(RUN, RUN / 2)).isTrue();

        assertThat(habit.tries(RUN)).isTrue();
        habit.tried(RUN, RUN);
        assertThat(rest(habit)).isEqualTo(first);
    }

    @Test
    void aLittleLessIsNotWorthIt() {
        PackingHabit habit = new PackingHabit();

        assertThat(habit.tried(8_000, 7_001)).isFalse();
        rest(habit);
        assertThat(habit.tried(8_000, 7_000)).isTrue();
    }

    @Test
    void whatIsShorterThanARecordIsNotTried() {
        assertThat(new PackingHabit().tries(PackingHabit.LEAST_BYTES - 1)).isFalse();
        assertThat(new PackingHabit().tries(PackingHabit.LEAST_BYTES)).isTrue();
    }

    /** Bytes that go as they are until the next try. */
    private static long rest(PackingHabit habit) {
        long bytes = 0;
        while (!habit.tries(RUN)) {
            habit.wentRaw(RUN);
            bytes += RUN;
        }
        return bytes;
    }
}
