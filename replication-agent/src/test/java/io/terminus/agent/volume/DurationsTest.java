package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Where a time is counted, and where an acknowledged run's is taken from. */
class DurationsTest {

    @Test
    void aTimeIsCountedUnderTheFirstBoundThatItDoesNotExceed() {
        Durations durations = new Durations();

        durations.record(0);
        durations.record(10_000);
        durations.record(10_001, 3);
        durations.record(20_000_000_000L);
        durations.record(-5); // two clocks' readings in the wrong order

        long[] counts = durations.counts();
        assertThat(counts[0]).isEqualTo(3);
        assertThat(counts[1]).isEqualTo(3);
        assertThat(counts[counts.length - 1]).isEqualTo(1);
        assertThat(durations.count()).isEqualTo(7);
        assertThat(durations.sumNanos()).isEqualTo(10_000 + 3 * 10_001 + 20_000_000_000L);
    }

    @Test
    void theBoundsAreOneTwoFiveFromTenMicrosecondsToTenSeconds() {
        long[] bounds = Durations.boundsNanos();

        assertThat(bounds).startsWith(10_000, 20_000, 50_000, 100_000).endsWith(5_000_000_000L, 10_000_000_000L);
    }

    @Test
    void anAcknowledgementEndsAllRunsItCovers() {
        SendStamps stamps = new SendStamps();
        Durations took = new Durations();
        stamps.sent(100, 1_000);
        stamps.sent(200, 2_000);
        stamps.sent(300, 3_000);

        assertThat(stamps.received(0, 99, 10_000, took)).isZero();
        assertThat(stamps.received(99, 250, 10_000, took)).isEqualTo(1_000);
        assertThat(stamps.received(250, 300, 10_000, took)).isEqualTo(3_000);

        assertThat(took.count()).isEqualTo(3);
        assertThat(took.sumNanos()).isEqualTo(9_000 + 8_000 + 7_000);
    }

    @Test
    void moreRunsThanAreRememberedAreNotTimedAndHarmNothing() {
        SendStamps stamps = new SendStamps();
        Durations took = new Durations();
        for (int i = 1; i <= SendStamps.MOST + 10; i++) {
            stamps.sent(i, i);
        }

        stamps.received(0, SendStamps.MOST + 10, 1_000, took);
        stamps.sent(SendStamps.MOST + 11, 2_000);
        stamps.received(SendStamps.MOST + 10, SendStamps.MOST + 11, 2_005, took);

        assertThat(took.count()).isEqualTo(SendStamps.MOST + 1);
    }

    @Test
    void aRunThatIsNotedBehindItsAcknowledgementIsNotTimed() {
        SendStamps stamps = new SendStamps();
        Durations took = new Durations();
        stamps.received(0, 100, 1_000, took);
        stamps.sent(100, 900);
        stamps.sent(200, 5_000);

        assertThat(stamps.received(100, 200, 6_000, took)).isEqualTo(5_000);

        assertThat(took.sumNanos()).isEqualTo(1_000);
    }

    @Test
    void aNewConnectionForgetsWhatTheOldOneSent() {
        SendStamps stamps = new SendStamps();
        Durations took = new Durations();
        stamps.sent(100, 1_000);

        stamps.startOver();

        assertThat(stamps.received(0, 100, 2_000, took)).isZero();
        assertThat(took.count()).isZero();
    }
}
