package io.terminus.benchmarks.data;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class RoundsTest {

    @Test
    void theMedianLiesInTheMiddle() {
        assertThat(Rounds.median(new double[] {9, 1, 5})).isEqualTo(5);
        assertThat(Rounds.median(new double[] {9, 1, 5, 6})).isEqualTo(5.5);
        assertThat(Rounds.median(new double[0])).isNaN();
    }
}
