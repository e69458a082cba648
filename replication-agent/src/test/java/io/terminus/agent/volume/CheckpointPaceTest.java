package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class CheckpointPaceTest {

    private static final long MIB = 1L << 20;
    private static final long GIB = 1L << 30;

    private long free = 100 * GIB;
    private int asked;
    private long now = Long.MAX_VALUE - 5; // a clock may be anywhere

    @Test
    void aDiskWithMuchRoomGetsOneForEachGibibyte() {
        CheckpointPace pace = pace(16 * GIB);

        assertThat(pace.isDue(GIB - 1, now)).isFalse();
        assertThat(pace.isDue(GIB, now)).isTrue();
    }

    @Test
    void aSmallDiskGetsOneForEach64Mebibytes() {
        CheckpointPace pace = pace(16 * GIB);
        free = 300 * MIB;

        assertThat(pace.isDue(64 * MIB - 1, now)).isFalse();
        assertThat(pace.isDue(64 * MIB, now)).isTrue();
    }

    @Test
    void betweenThemItIsAPartOfWhatIsFree() {
        CheckpointPace pace = pace(16 * GIB);
        free = 8 * GIB;

        assertThat(pace.isDue(256 * MIB - 1, now)).isFalse();
        assertThat(pace.isDue(256 * MIB, now)).isTrue();
    }

    @Test
    void itIsNeverMoreThanAQuarterOfTheBudget() {
        CheckpointPace pace = pace(16 * MIB);

        assertThat(pace.isDue(4 * MIB - 1, now)).isFalse();
        assertThat(pace.isDue(4 * MIB, now)).isTrue();
        assertThat(pace.journalBytes(now)).isEqualTo(16 * MIB);
    }

    @Test
    void aDiskThatFillsUpIsNoticed() {
        CheckpointPace pace = pace(16 * GIB);
        boolean before = pace.isDue(100 * MIB, now);
        free = 0;

        now += CheckpointPace.ASKED_NANOS + 1;

        assertThat(before).isFalse();
        assertThat(pace.isDue(100 * MIB, now)).isTrue();
    }

    @Test
    void theDiskIsAskedNowAndThenAndNotForLittle() {
        CheckpointPace pace = pace(16 * GIB);

        for (int i = 0; i < 1000; i++) {
            pace.isDue(64 * MIB - 1, now);
        }
        int forLittle = asked;
        for (int i = 0; i < 1000; i++) {
            pace.isDue(64 * MIB, now);
        }

        assertThat(forLittle).isZero();
        assertThat(asked).isEqualTo(1);
    }

    @Test
    void aJournalOnATightDiskCountsAsSmall() {
        CheckpointPace pace = pace(4 * GIB);
        free = GIB;

        assertThat(pace.journalBytes(now)).isEqualTo(256 * MIB);
    }

    private CheckpointPace pace(long budgetBytes) {
        return new CheckpointPace(budgetBytes, () -> {
            asked++;
            return free;
        });
    }
}
