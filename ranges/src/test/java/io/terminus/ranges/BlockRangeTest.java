package io.terminus.ranges;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class BlockRangeTest {

    @Test
    void emptyAndBackwardAndNegativeRangesAreRefusedWithTheirValueAndTheRule() {
        assertThatThrownBy(() -> new BlockRange(5, 5))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("range [5, 5) breaks the rule 0 <= start < end");
        assertThatThrownBy(() -> new BlockRange(6, 5)).hasMessageContaining("[6, 5)");
        assertThatThrownBy(() -> new BlockRange(-1, 5)).hasMessageContaining("[-1, 5)");
    }

    @Test
    void aLengthThatPassesTheEndOfNumbersIsRefused() {
        assertThat(BlockRange.ofLength(Long.MAX_VALUE - 1, 1))
                .isEqualTo(new BlockRange(Long.MAX_VALUE - 1, Long.MAX_VALUE));
        assertThatThrownBy(() -> BlockRange.ofLength(Long.MAX_VALUE - 1, 2)).hasMessageContaining("length 2");
        assertThatThrownBy(() -> BlockRange.ofLength(0, 0)).hasMessageContaining("length 0");
        assertThatThrownBy(() -> BlockRange.ofLength(-1, 4)).hasMessageContaining("[-1, 3)");
    }

    @Test
    void rangesThatTouchDoNotOverlap() {
        BlockRange first = new BlockRange(0, 10);
        BlockRange second = new BlockRange(10, 20);

        assertThat(first.overlaps(second)).isFalse();
        assertThat(second.overlaps(first)).isFalse();
        assertThat(first.touches(second)).isTrue();
        assertThat(second.touches(first)).isTrue();
        assertThat(first.intersection(second)).isEmpty();
    }

    @Test
    void oneSharedByteIsAnOverlap() {
        BlockRange first = new BlockRange(0, 11);
        BlockRange second = new BlockRange(10, 20);

        assertThat(first.overlaps(second)).isTrue();
        assertThat(second.overlaps(first)).isTrue();
        assertThat(first.touches(second)).isFalse();
        assertThat(first.intersection(second)).contains(new BlockRange(10, 11));
        assertThat(first.hull(second)).isEqualTo(new BlockRange(0, 20));
    }

    @Test
    void theWholeContainsEveryRangeAndTheLastByte() {
        assertThat(BlockRange.WHOLE.contains(new BlockRange(Long.MAX_VALUE - 1, Long.MAX_VALUE)))
                .isTrue();
        assertThat(BlockRange.WHOLE.contains(0)).isTrue();
        assertThat(BlockRange.WHOLE.contains(Long.MAX_VALUE - 1)).isTrue();
        assertThat(BlockRange.WHOLE.contains(Long.MAX_VALUE)).isFalse();
        assertThat(BlockRange.WHOLE.lengthBytes()).isEqualTo(Long.MAX_VALUE);
    }

    @Test
    void aRangeContainsItselfAndNothingThatSticksOut() {
        BlockRange range = new BlockRange(10, 20);

        assertThat(range.contains(range)).isTrue();
        assertThat(range.contains(new BlockRange(11, 19))).isTrue();
        assertThat(range.contains(new BlockRange(9, 20))).isFalse();
        assertThat(range.contains(new BlockRange(10, 21))).isFalse();
    }

    @Test
    void rangesSortByStartThenEnd() {
        assertThat(new BlockRange(1, 9)).isLessThan(new BlockRange(2, 3));
        assertThat(new BlockRange(1, 3)).isLessThan(new BlockRange(1, 9));
        assertThat(new BlockRange(1, 3)).hasToString("[1, 3)");
    }
}
