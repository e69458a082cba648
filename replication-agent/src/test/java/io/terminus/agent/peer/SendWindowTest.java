package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SendWindowTest {

    private static final long TARGET_NANOS = Duration.ofMillis(500).toNanos();
    private static final long BYTES_PER_MBIT = 125_000;

    @ParameterizedTest
    @ValueSource(longs = {2, 5, 10, 50, 100})
    void whatIsOnTheWayOverASlowLinkIsThroughInAQuarterOfThePeerTimeout(long mbits) {
        long window = SendWindow.MOST_BYTES;

        for (int i = 0; i < 20; i++) {
            window = afterARoundOf(window, mbits, 0);
        }

        long queuedNanos = nanos(window, mbits);
        assertThat(queuedNanos).isBetween(TARGET_NANOS / 4, TARGET_NANOS + TARGET_NANOS / 20);
    }

    @Test
    void aLinkThatIsFarAndFastIsFilled() {
        long window = SendWindow.LEAST_BYTES;
        int rounds = 0;

        while (window < SendWindow.MOST_BYTES) {
            window = afterARoundOf(window, 2_000, Duration.ofMillis(100).toNanos());
            rounds++;
        }

        assertThat(rounds).isLessThanOrEqualTo(10);
    }

    @Test
    void aLinkThatBecomesSlowCostsOneWindowAndNoMore() {
        long window = SendWindow.MOST_BYTES;

        window = afterARoundOf(window, 20, 0);

        assertThat(nanos(window, 20)).isLessThanOrEqualTo(TARGET_NANOS);
    }

    @Test
    void aWriterThatHasLittleToSendDoesNotShrinkTheWindow() {
        long window = 4 << 20;

        long next = SendWindow.next(window, 4_096, Duration.ofMillis(5).toNanos(), false, TARGET_NANOS);
        long full = SendWindow.next(window, 4_096, Duration.ofMillis(5).toNanos(), true, TARGET_NANOS);

        assertThat(next).isEqualTo(window);
        assertThat(full).isEqualTo(window);
    }

    @Test
    void theWindowStaysWithinItsBounds() {
        assertThat(SendWindow.next(SendWindow.LEAST_BYTES, 1, Long.MAX_VALUE, true, TARGET_NANOS))
                .isEqualTo(SendWindow.LEAST_BYTES);
        assertThat(SendWindow.next(SendWindow.MOST_BYTES, Long.MAX_VALUE, 0, true, TARGET_NANOS))
                .isEqualTo(SendWindow.MOST_BYTES);
        assertThat(SendWindow.next(SendWindow.MOST_BYTES, 0, Long.MAX_VALUE, true, TARGET_NANOS))
                .isEqualTo(SendWindow.LEAST_BYTES);
    }

    @Test
    void oneSampleAtATimeIsMeasuredFromItsSendToItsAcknowledgement() {
        SendWindow window = new SendWindow(4 * TARGET_NANOS);
        long first = window.bytes();

        window.startOver(1_000);
        window.sent(first + 1_000, 0);
        window.full();
        window.sent(first + 2_000, 10);
        window.acknowledged(first, TARGET_NANOS); // not all of the sample
        assertThat(window.bytes()).isEqualTo(first);
        window.acknowledged(first + 1_000, 2 * TARGET_NANOS);

        assertThat(window.bytes()).isEqualTo(first / 2);
    }

    @Test
    void whatWasSentOnAnOlderConnectionIsNoSample() {
        SendWindow window = new SendWindow(4 * TARGET_NANOS);
        long first = window.bytes();
        window.sent(first, 0);

        window.startOver(0);
        window.acknowledged(first, 100 * TARGET_NANOS);

        assertThat(window.bytes()).isEqualTo(first);
    }

    /** The window is sent at once, and acknowledged when the link has carried it. */
    private static long afterARoundOf(long window, long mbits, long roundTripNanos) {
        return SendWindow.next(window, window, roundTripNanos + nanos(window, mbits), true, TARGET_NANOS);
    }

    private static long nanos(long bytes, long mbits) {
        return bytes * 1_000_000_000 / (mbits * BYTES_PER_MBIT);
    }
}
