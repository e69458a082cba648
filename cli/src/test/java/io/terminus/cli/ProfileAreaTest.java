package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Whose work a stack frame is, and how the table shows it. */
class ProfileAreaTest {

    @Test
    void aFrameBelongsToTheFirstRuleThatItMatches() {
        assertThat(ProfileArea.of("java.util.zip.CRC32C", "updateDirectByteBuffer"))
                .isEqualTo(ProfileArea.CHECKSUM);
        assertThat(ProfileArea.of("sun.nio.ch.UnixFileDispatcherImpl", "force0"))
                .isEqualTo(ProfileArea.SYNC);
        assertThat(ProfileArea.of("sun.nio.ch.SocketDispatcher", "write0")).isEqualTo(ProfileArea.SOCKET);
        assertThat(ProfileArea.of("io.terminus.agent.journal.Segment", "send")).isEqualTo(ProfileArea.FORWARD);
        assertThat(ProfileArea.of("io.terminus.agent.volume.Replica", "applyTo"))
                .isEqualTo(ProfileArea.APPLY);
        assertThat(ProfileArea.of("io.terminus.agent.journal.Journal", "write")).isEqualTo(ProfileArea.CAPTURE);
        assertThat(ProfileArea.of("io.terminus.ranges.RangeTree", "removeAt")).isEqualTo(ProfileArea.RELEASE);
        assertThat(ProfileArea.of("io.terminus.ranges.RangeTree", "insert")).isEqualTo(ProfileArea.CONFLICT);
    }

    @Test
    void aFrameThatCouldBeAnybodysCountsForItsCaller() {
        assertThat(ProfileArea.of("sun.nio.ch.FileChannelImpl", "write")).isNull();
        assertThat(ProfileArea.of("io.terminus.agent.journal.Segment", "write")).isNull();
    }

    @Test
    void anEventThatIsNotOfAStageTimesNothing() {
        assertThat(ProfileArea.timedBy("io.terminus.Sync")).isEqualTo(ProfileArea.SYNC);
        assertThat(ProfileArea.timedBy("io.terminus.Forward")).isEqualTo(ProfileArea.FORWARD);
        assertThat(ProfileArea.timedBy("io.terminus.Ack")).isEqualTo(ProfileArea.ACK);
        assertThat(ProfileArea.timedBy("jdk.CPUTimeSample")).isNull();
    }

    @Test
    void theTableShowsWhatIsKnownOfEachArea() {
        ProfileReport report = new ProfileReport(
                "a",
                10,
                4,
                List.of(
                        new ProfileReport.Row("capture and copying", 1_000L, 12.4, 1_500.0, 0.05, 0.25),
                        new ProfileReport.Row("checksum", null, null, null, null, 0.125)));

        assertThat(ProfileReport.table(List.of(report)))
                .containsExactly(
                        "PROCESS  WHERE                COUNT  P50    P99     WALL    CPU",
                        "a        capture and copying  1000   12 us  1.5 ms  5.0 %   25.0 %",
                        "a        checksum             -      -      -       -       12.5 %",
                        "a        all                  -      -      -       10.0 s  4.00 s");
    }
}
