package io.terminus.lockmgr.fencing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.fencing.FencingChecker.Admitted;
import io.terminus.lockmgr.fencing.FencingChecker.DamagedException;
import io.terminus.lockmgr.fencing.FencingChecker.Fence;
import io.terminus.lockmgr.fencing.FencingChecker.Refused;
import io.terminus.lockmgr.fencing.FencingChecker.Verdict;
import io.terminus.ranges.BlockRange;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** {@code -Dterminus.seed=N} repeats a random run. */
class FencingCheckerTest {

    private static final int BYTES = 64;

    @Test
    void anOlderWriterIsRefusedInTheWholeRangeAndNotBeside() {
        FencingChecker fences = new FencingChecker();

        fences.fence(new BlockRange(100, 200), 7);

        assertThat(fences.admit(new BlockRange(150, 151), 6)).isEqualTo(new Refused(7, 150));
        assertThat(fences.admit(new BlockRange(50, 101), 6)).isEqualTo(new Refused(7, 100));
        assertThat(fences.admit(new BlockRange(199, 300), 6)).isEqualTo(new Refused(7, 199));
        assertThat(fences.admit(new BlockRange(0, 100), 6)).isEqualTo(new Admitted());
        assertThat(fences.admit(new BlockRange(200, 300), 6)).isEqualTo(new Admitted());
        assertThat(fences.admit(new BlockRange(100, 200), 7)).isEqualTo(new Admitted());
    }

    @Test
    void anOlderAnnouncementRaisesOnlyWhatIsNotFencedHigher() {
        FencingChecker fences = new FencingChecker();
        fences.fence(new BlockRange(100, 200), 7);

        Verdict late = fences.fence(new BlockRange(0, 300), 5);

        assertThat(late).isEqualTo(new Refused(7, 100));
        assertThat(fences.fences())
                .containsExactly(
                        new Fence(new BlockRange(0, 100), 5),
                        new Fence(new BlockRange(100, 200), 7),
                        new Fence(new BlockRange(200, 300), 5));
    }

    @Test
    void neighboursOfOneTokenAreOneFence() {
        FencingChecker fences = new FencingChecker();

        fences.fence(new BlockRange(0, 10), 3);
        fences.fence(new BlockRange(20, 30), 3);
        fences.fence(new BlockRange(10, 20), 3);

        assertThat(fences.fences()).containsExactly(new Fence(new BlockRange(0, 30), 3));
    }

    @Test
    void withoutRoomTheOlderHalfBecomesAFloorAndNothingIsAdmittedThatWasRefused() {
        FencingChecker fences = new FencingChecker(8);

        for (int i = 0; i < 9; i++) {
            fences.fence(BlockRange.ofLength(10L * i, 5), 100L + i);
        }

        assertThat(fences.floor()).isEqualTo(104);
        assertThat(fences.fences()).hasSize(4);
        assertThat(fences.admit(new BlockRange(0, 5), 99)).isEqualTo(new Refused(104, 0));
        assertThat(fences.admit(new BlockRange(80, 81), 107)).isEqualTo(new Refused(108, 80));
        assertThat(fences.admit(new BlockRange(70, 75), 107)).isEqualTo(new Admitted());
    }

    @Test
    void itIsWhatAnArrayOfBytesSays() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);

        for (int run = 0; run < 200; run++) {
            FencingChecker fences = new FencingChecker();
            long[] highest = new long[BYTES];
            for (int step = 0; step < 200; step++) {
                BlockRange range = someRange(random);
                long token = 1L + random.nextInt(60);
                Verdict expected = verdict(highest, range, token);

                boolean raising = random.nextBoolean();
                Verdict verdict = raising ? fences.fence(range, token) : fences.admit(range, token);
                if (raising) {
                    for (int at = (int) range.start(); at < range.end(); at++) {
                        highest[at] = Math.max(highest[at], token);
                    }
                }

                assertThat(verdict)
                        .as("seed %d run %d step %d", seed, run, step)
                        .isEqualTo(expected);
                checkAgainst(fences, highest, seed);
                if (random.nextInt(20) == 0) {
                    fences = FencingChecker.of(fences.toBytes(), FencingChecker.DEFAULT_MAX_FENCES);
                }
            }
        }
    }

    @Test
    void withLittleRoomItRefusesAtLeastWhatAnArrayOfBytesRefuses() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        FencingChecker fences = new FencingChecker(4);
        long[] highest = new long[BYTES];

        for (int step = 0; step < 20_000; step++) {
            BlockRange range = someRange(random);
            long token = Math.max(1L, (long) step - 50 + random.nextInt(100));
            boolean refused = verdict(highest, range, token) instanceof Refused;

            Verdict verdict = fences.admit(range, token);
            if (random.nextInt(3) == 0) {
                fences.fence(range, token);
                for (int at = (int) range.start(); at < range.end(); at++) {
                    highest[at] = Math.max(highest[at], token);
                }
            }

            if (refused) {
                assertThat(verdict).as("seed %d step %d", seed, step).isInstanceOf(Refused.class);
            }
            assertThat(fences.fences()).as("seed %d step %d", seed, step).hasSizeLessThanOrEqualTo(4);
        }
    }

    @Test
    void damagedBytesAreNotTaken() {
        FencingChecker fences = new FencingChecker();
        fences.fence(new BlockRange(0, 10), 3);
        byte[] stored = fences.toBytes();

        for (int i = 0; i < stored.length; i++) {
            byte[] damaged = stored.clone();
            damaged[i] ^= 1;
            assertThatThrownBy(() -> FencingChecker.of(damaged, 8)).isInstanceOf(DamagedException.class);
        }
        assertThatThrownBy(() -> FencingChecker.of(new byte[3], 8)).isInstanceOf(DamagedException.class);
        assertThat(FencingChecker.of(stored, 8).fences()).isEqualTo(fences.fences());
    }

    private static BlockRange someRange(Random random) {
        int start = random.nextInt(BYTES);
        return new BlockRange(start, start + 1 + random.nextInt(BYTES - start));
    }

    private static Verdict verdict(long[] highest, BlockRange range, long token) {
        for (int at = (int) range.start(); at < range.end(); at++) {
            if (highest[at] > token) {
                return new Refused(highest[at], at);
            }
        }
        return new Admitted();
    }

    private static void checkAgainst(FencingChecker fences, long[] highest, long seed) {
        long[] seen = new long[BYTES];
        Fence last = null;
        for (Fence fence : fences.fences()) {
            for (int at = (int) fence.range().start(); at < fence.range().end(); at++) {
                seen[at] = fence.token();
            }
            if (last != null && last.range().end() == fence.range().start()) {
                assertThat(last.token()).as("seed %d", seed).isNotEqualTo(fence.token());
            }
            last = fence;
        }
        assertThat(seen).as("seed %d", seed).isEqualTo(highest);
    }
}
