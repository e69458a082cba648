package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class LineageTest {

    private static final TermStart FIRST = new TermStart(1, "a", 0);
    private static final TermStart SECOND = new TermStart(4, "b", 1024);
    private static final TermStart THIRD = new TermStart(5, "a", 4096);
    private static final Lineage ALL = new Lineage(List.of(FIRST, SECOND, THIRD));

    @Test
    void termsStrictlyRiseAndPositionsNeverFall() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new Lineage(List.of(SECOND, SECOND)))
                .withMessageContaining("terms strictly rise");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new Lineage(List.of(SECOND, new TermStart(5, "a", 896))))
                .withMessageContaining("positions never fall");
        assertThatIllegalArgumentException().isThrownBy(() -> new TermStart(1, "a", 100));
        assertThatIllegalArgumentException().isThrownBy(() -> new TermStart(0, "a", 0));
        assertThatIllegalArgumentException().isThrownBy(() -> new TermStart(1, "", 0));
    }

    @Test
    void aPositionBelongsToTheTermThatStartedBeforeIt() {
        assertThat(ALL.termAt(0)).isEqualTo(1);
        assertThat(ALL.termAt(1023)).isEqualTo(1);
        assertThat(ALL.termAt(1024)).isEqualTo(4);
        assertThat(ALL.termAt(1L << 40)).isEqualTo(5);
        assertThat(new Lineage(List.of(SECOND)).termAt(0)).isZero();
        assertThat(ALL.endOf(1)).isEqualTo(1024);
        assertThat(ALL.endOf(5)).isEqualTo(Long.MAX_VALUE);
    }

    @Test
    void twoJournalsShareWhatLiesBeforeTheFirstLeavesTheNewestCommonTerm() {
        Lineage stayedBehind = new Lineage(List.of(FIRST));
        Lineage otherFork = new Lineage(List.of(FIRST, new TermStart(3, "c", 512)));
        Lineage forgotTheOldest = new Lineage(List.of(SECOND, THIRD));

        assertThat(ALL.commonEnd(ALL, 8192, 5120)).isEqualTo(5120);
        assertThat(ALL.commonEnd(stayedBehind, 8192, 896)).isEqualTo(896);
        assertThat(ALL.commonEnd(stayedBehind, 8192, 2048)).isEqualTo(1024);
        assertThat(ALL.commonEnd(otherFork, 8192, 8192)).isEqualTo(512);
        assertThat(ALL.commonEnd(forgotTheOldest, 8192, 6144)).isEqualTo(6144);
        assertThat(ALL.commonEnd(Lineage.EMPTY, 8192, 0)).isZero();
        assertThat(Lineage.EMPTY.commonEnd(Lineage.EMPTY, 0, 0)).isZero();
    }

    @Test
    void commonEndIsWhatTwoJournalsOfOneTreeOfTermsReallyShare() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        for (int round = 0; round < 2000; round++) {
            Journalling one = new Journalling();
            one.grow(random, 1 + random.nextInt(4), random.nextInt(3));
            Journalling other = new Journalling(one, random.nextInt(one.terms.length + 1));
            one.grow(random, 100 + random.nextInt(3), 1 + random.nextInt(3));
            other.grow(random, 200 + random.nextInt(3), 1 + random.nextInt(3));
            int shared = 0;
            while (shared < Math.min(one.terms.length, other.terms.length)
                    && one.terms[shared] == other.terms[shared]) {
                shared++;
            }

            long common = one.lineage.commonEnd(other.lineage, one.end(), other.end());

            assertThat(common)
                    .as("seed %d round %d: %s and %s", seed, round, one.lineage, other.lineage)
                    .isEqualTo(shared * 128L);
            assertThat(other.lineage.commonEnd(one.lineage, other.end(), one.end()))
                    .isEqualTo(common);
        }
    }

    @Test
    void encodingKeepsEverything() {
        Lineage long_ = Lineage.EMPTY;
        for (int term = 1; term <= Lineage.MAX_TERMS + 3; term++) {
            long_ = long_.plus(new TermStart(term, "ä".repeat(127), term * 128L));
        }

        assertThat(long_.starts()).hasSize(Lineage.MAX_TERMS);
        assertThat(Lineage.decode(long_.encode())).isEqualTo(long_);
        assertThat(long_.encode().remaining()).isLessThan(256 << 10);
        assertThat(Lineage.decode(ALL.encode())).isEqualTo(ALL);
    }

    @Test
    void damagedEncodingsAreRefusedOrWellFormed() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        ByteBuffer good = ALL.encode();
        for (int cut = 0; cut < good.remaining(); cut++) {
            ByteBuffer shorter = good.slice(0, cut);
            assertThatThrownBy(() -> Lineage.decode(shorter)).isInstanceOf(IllegalArgumentException.class);
        }
        for (int round = 0; round < 20_000; round++) {
            byte[] bytes = Arrays.copyOf(good.array(), random.nextInt(good.remaining() + 9));
            for (int flips = random.nextInt(4); flips > 0 && bytes.length > 0; flips--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
            }
            try {
                Lineage decoded = Lineage.decode(ByteBuffer.wrap(bytes));
                assertThat(decoded.encode().remaining()).as("seed %d", seed).isEqualTo(bytes.length);
            } catch (IllegalArgumentException refused) {
                assertThat(refused).as("seed %d", seed).hasMessageMatching("(?s).+");
            }
        }
    }

    /** The dullest journal: which term each record is of. */
    private static final class Journalling {

        private long[] terms = {};
        private Lineage lineage = Lineage.EMPTY;

        private Journalling() {}

        private Journalling(Journalling other, int records) {
            terms = Arrays.copyOf(other.terms, records);
            lineage = other.lineage.upTo(records * 128L);
        }

        private void grow(Random random, long firstTerm, int count) {
            for (long term = firstTerm; term < firstTerm + count; term++) {
                lineage = lineage.plus(new TermStart(term, "agent" + term, end()));
                long ofThisTerm = term;
                terms = LongStream.concat(
                                Arrays.stream(terms),
                                LongStream.range(0, 1 + random.nextInt(4)).map(i -> ofThisTerm))
                        .toArray();
            }
        }

        private long end() {
            return terms.length * 128L;
        }
    }
}
