package io.terminus.agent.volume;

import static io.terminus.agent.volume.Hindrances.LAST_REFUSED_NANOS;
import static io.terminus.agent.volume.Hindrances.REFUSED_NANOS;
import static io.terminus.agent.volume.Hindrances.WAITS_NANOS;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class HindrancesTest {

    private static final long LIMIT = 256L << 20;

    private final Hindrances hindrances = new Hindrances(LIMIT);

    @Test
    void aStartWithMuchToReplaySaysWhatWritesWaitFor() {
        hindrances.look(700L << 20, 0);

        assertThat(hindrances.why(700L << 20, WAITS_NANOS - 1)).isNull();
        assertThat(hindrances.why(600L << 20, WAITS_NANOS + 1))
                .isEqualTo(
                        "writes wait until the image has more of the journal: 600 MiB are to be applied, and 256 is the"
                                + " most");
        assertThat(hindrances.why(LIMIT, 2 * WAITS_NANOS)).isNull();
        hindrances.look(LIMIT, 2 * WAITS_NANOS);
        hindrances.look(LIMIT + 1, 2 * WAITS_NANOS);
        assertThat(hindrances.why(LIMIT + 1, 2 * WAITS_NANOS + 1)).isNull();
    }

    @Test
    void aWriterThatLetsSomethingInNowAndThenIsOnlyBusy() {
        for (long now = 0; now < 10 * WAITS_NANOS; now += WAITS_NANOS / 2) {
            hindrances.look(LIMIT + 1, now);
            assertThat(hindrances.why(LIMIT + 1, now)).isNull();

            hindrances.admitted();
        }
    }

    @Test
    void aFullDiskIsToldOfUntilWritesAreTakenAgain() {
        hindrances.refusedForSpace("no space for [0, 4096)", 0);
        hindrances.captured(() -> REFUSED_NANOS); // an overwrite, which needs none

        assertThat(hindrances.why(0, REFUSED_NANOS))
                .isEqualTo("writes are refused for want of space, the last one 3 s ago: no space for [0, 4096)");
        hindrances.captured(() -> REFUSED_NANOS + 1);
        assertThat(hindrances.why(0, REFUSED_NANOS + 1)).isNull();
    }

    @Test
    void whoWasRefusedAndGaveUpIsRememberedForAMinute() {
        hindrances.refusedForSpace("no space for [0, 4096)", 0);

        assertThat(hindrances.why(0, LAST_REFUSED_NANOS - 1)).contains("59 s ago");
        assertThat(hindrances.why(0, LAST_REFUSED_NANOS)).isNull();
    }
}
