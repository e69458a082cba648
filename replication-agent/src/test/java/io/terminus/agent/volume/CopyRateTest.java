package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class CopyRateTest {

    private static final long WORK = 1_000_000;
    private static final long QUICK = 100_000;
    private static final long SLOW = 10 * QUICK;

    private final CopyRate rate = new CopyRate();
    private long now = System.nanoTime();

    @Test
    void withoutALimitNothingWaits() {
        assertThat(rate.limitBytesPerSecond()).isZero();

        assertThat(rate.reserve(CopyItem.MAX_DATA_BYTES)).isZero();
        assertThat(rate.reserve(Long.MAX_VALUE / 2)).isZero();
    }

    @Test
    void whatGoesBeyondTheLimitWaitsInProportion() {
        rate.limit(640 << 10); // one item each tenth of a second

        long first = rate.reserve(CopyItem.MAX_DATA_BYTES);
        long second = rate.reserve(CopyItem.MAX_DATA_BYTES);
        long third = rate.reserve(CopyItem.MAX_DATA_BYTES);

        assertThat(first).isNotNegative();
        assertThat(second).isGreaterThan(first);
        assertThat(third).isGreaterThan(second);
    }

    @Test
    void aPieceOfMoreBytesThanAPeriodHasWaitsForAsManyPeriodsAsItTakes() {
        rate.limit(CopyItem.MAX_DATA_BYTES); // one a second, of ten periods

        List<Long> waits = Stream.generate(() -> rate.reserve(CopyItem.MAX_DATA_BYTES))
                .limit(8)
                .toList();

        assertThat(Duration.ofNanos(waits.getFirst())).isBetween(Duration.ofMillis(500), Duration.ofMillis(1100));
        assertThat(Duration.ofNanos(waits.getLast())).isBetween(Duration.ofMillis(7000), Duration.ofMillis(8100));
    }

    @Test
    void aLimitHoldsToTheByte() {
        rate.limit(79_990); // two pieces of 4 KiB do not fit into a period

        Long last =
                Stream.generate(() -> rate.reserve(4096)).limit(140).toList().getLast();

        assertThat(Duration.ofNanos(last)).isBetween(Duration.ofMillis(6500), Duration.ofMillis(7400));
    }

    @Test
    void aLimitThatIsTakenBackHoldsNothingUpAnyMore() {
        rate.limit(40 << 10);
        rate.reserve(CopyItem.MAX_DATA_BYTES);

        rate.limit(0);

        assertThat(rate.reserve(CopyItem.MAX_DATA_BYTES)).isZero();
    }

    @Test
    void aLimitBelowTheLeastIsRefusedAndTheRuleNamed() {
        assertThatThrownBy(() -> rate.limit(-1)).hasMessageContaining("-1").hasMessageContaining("40960");
        assertThatThrownBy(() -> rate.limit(40_959)).hasMessageContaining("40959");

        assertThat(rate.limitBytesPerSecond()).isZero();
    }

    @Test
    void withNobodyInTheWayACopyDoesNotRest() {
        rate.copying(true);

        assertThat(rate.restNanos(WORK, now)).isZero();
        request(QUICK);
        assertThat(rate.restNanos(WORK, now)).isPositive();
        now += 1_000_000_000;
        assertThat(rate.restNanos(WORK, now)).isZero();
    }

    @Test
    void aCopyRestsLongerAndLongerWhileRequestsSufferFromIt() {
        request(QUICK);
        rate.copying(true);
        request(SLOW);

        long first = rest();
        long second = rest();
        long last = 0;
        for (int i = 0; i < 100; i++) {
            last = rest();
        }

        assertThat(second).isEqualTo(2 * first);
        assertThat(last).isEqualTo(16 * WORK);
    }

    @Test
    void aCopyGoesFasterAgainWhenRequestsDoNotSuffer() {
        request(QUICK);
        rate.copying(true);
        request(SLOW);
        for (int i = 0; i < 100; i++) {
            rest();
        }
        for (int i = 0; i < 5_000; i++) {
            request(QUICK);
        }

        long first = rest();
        long last = 0;
        for (int i = 0; i < 200; i++) {
            last = rest();
        }

        assertThat(first).isLessThan(16 * WORK);
        assertThat(last).isEqualTo(WORK / 4);
    }

    @Test
    void aCopyRestsWhereOneRequestOfFiftySuffersThoughTheOthersHideItInTheAverage() {
        mostlyQuick(1_000);
        rate.copying(true);

        mostlyQuick(50);

        assertThat(rest()).isEqualTo(2 * WORK);
        assertThat(rest()).isEqualTo(4 * WORK);
    }

    @Test
    void whatIsSlowNowAndThenWithoutACopyIsNoReasonToRest() {
        mostlyQuick(50);
        rate.copying(true);

        mostlyQuick(50);

        long last = 0;
        for (int i = 0; i < 200; i++) {
            last = rest();
        }
        assertThat(last).isEqualTo(WORK / 4);
    }

    @Test
    void whatRequestsTookDuringACopyDoesNotBecomeTheMeasure() {
        request(QUICK);
        rate.copying(true);
        for (int i = 0; i < 1_000; i++) {
            request(SLOW);
            rest();
        }
        rate.copying(false);

        rate.copying(true);
        request(SLOW);

        assertThat(rest()).as("it suffers from the first moment on").isEqualTo(2 * WORK);
    }

    @Test
    void requestsThatBeginAfterTheCopyAreMeasuredByTheFirstOfThem() {
        rate.copying(true);
        request(SLOW);

        assertThat(rest()).isLessThan(WORK);
        request(100 * SLOW);
        assertThat(rest()).isGreaterThan(WORK);
    }

    /** One of so many is slow, and so no other: of ten thousand requests. */
    private void mostlyQuick(int oneOf) {
        for (int i = 1; i <= 10_000; i++) {
            request(i % oneOf == oneOf / 2 ? 5 * QUICK : QUICK);
        }
    }

    private void request(long tookNanos) {
        now += tookNanos;
        rate.requestTook(tookNanos, now);
    }

    private long rest() {
        return rate.restNanos(WORK, now);
    }
}
