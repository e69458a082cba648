package io.terminus.ranges;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.ConcurrentModificationException;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class RangeIndexTest {

    private final RangeIndex<String> index = new RangeIndex<>();

    @Test
    void anEmptyIndexFindsNothing() {
        assertThat(index.size()).isZero();
        assertThat(index.isEmpty()).isTrue();
        assertThat(index.firstOverlapping(0, Long.MAX_VALUE)).isNull();
        assertThat(found(0, Long.MAX_VALUE)).isEmpty();
        assertThat(index.remove(0, 0)).isNull();
        assertThat(index.get(0, 0)).isNull();
    }

    @Test
    void findingsComeInTheOrderOfTheirStartsThenIds() {
        index.insert(20, 30, 3, "c");
        index.insert(0, 100, 2, "a");
        index.insert(20, 21, 1, "b");

        List<String> found = found(20, 21);

        assertThat(found).containsExactly("a", "b", "c");
        assertThat(index.firstOverlapping(20, 21)).isEqualTo("a");
    }

    @Test
    void rangesThatOnlyTouchAreNotFound() {
        index.insert(0, 10, 1, "before");
        index.insert(20, 30, 2, "behind");

        assertThat(found(10, 20)).isEmpty();
        assertThat(index.overlapsAny(10, 20)).isFalse();
        assertThat(found(9, 21)).containsExactly("before", "behind");
    }

    @Test
    void identicalRangesAreKeptApartByTheirIds() {
        for (int id = 0; id < 100; id++) {
            index.insert(5, 6, id, "range " + id);
        }

        assertThat(index.remove(5, 50)).isEqualTo("range 50");
        assertThat(index.remove(5, 50)).isNull();

        assertThat(found(5, 6)).hasSize(99).doesNotContain("range 50");
        assertThat(index.size()).isEqualTo(99);
        assertThat(index.get(5, 51)).isEqualTo("range 51");
    }

    @Test
    void theSameStartAndIdTwiceIsRefusedAndChangesNothing() {
        index.insert(5, 6, 1, "first");

        assertThatThrownBy(() -> index.insert(5, 9, 1, "second"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("start 5 with id 1 is in the index already");

        index.checkInvariants();
        assertThat(found(0, 10)).containsExactly("first");
        assertThat(index.overlapsAny(6, 9)).isFalse();
    }

    @Test
    void bothEndsOfTheNumbersAreOrdinaryPlaces() {
        index.insert(0, 1, 1, "first byte");
        index.insert(Long.MAX_VALUE - 1, Long.MAX_VALUE, 2, "last byte");
        index.insert(0, Long.MAX_VALUE, Long.MAX_VALUE, "whole");
        index.insert(0, Long.MAX_VALUE, Long.MIN_VALUE, "whole, smallest id");

        assertThat(found(0, 1)).containsExactly("whole, smallest id", "first byte", "whole");
        assertThat(found(Long.MAX_VALUE - 1, Long.MAX_VALUE))
                .containsExactly("whole, smallest id", "whole", "last byte");
        assertThat(found(1, 2)).containsExactly("whole, smallest id", "whole");
    }

    @Test
    void badRangesAreRefusedWithTheirValueAndTheRule() {
        assertThatThrownBy(() -> index.insert(5, 5, 1, "")).hasMessage("range [5, 5) breaks the rule 0 <= start < end");
        assertThatThrownBy(() -> index.firstOverlapping(-1, 5)).hasMessageContaining("[-1, 5)");
        assertThatThrownBy(() -> index.forEachOverlapping(7, 5, (start, end, id, value) -> true))
                .hasMessageContaining("[7, 5)");
    }

    @Test
    void aVisitorThatHasSeenEnoughSeesNoMore() {
        for (int id = 0; id < 10; id++) {
            index.insert(id, 100, id, "range " + id);
        }
        List<String> seen = new ArrayList<>();

        boolean finished = index.forEachOverlapping(0, 100, (start, end, id, value) -> {
            seen.add(value);
            return seen.size() < 3;
        });

        assertThat(finished).isFalse();
        assertThat(seen).containsExactly("range 0", "range 1", "range 2");
    }

    @Test
    void aVisitorThatChangesTheIndexIsFoundOut() {
        index.insert(0, 10, 1, "a");
        index.insert(5, 10, 2, "b");

        assertThatThrownBy(() -> index.forEachOverlapping(0, 10, (start, end, id, value) -> {
                    index.remove(start, id);
                    return true;
                }))
                .isInstanceOf(ConcurrentModificationException.class);
    }

    @Test
    void ascendingAndDescendingInsertsStayBalanced() {
        for (int i = 0; i < 10_000; i++) {
            index.insert(i, i + 2, i, "up");
            index.insert(1_000_000 - i, 1_000_001, i, "down");
        }

        index.checkInvariants();
        assertThat(index.size()).isEqualTo(20_000);
        assertThat(found(5_000, 5_001)).hasSize(2);
    }

    /** Against a plain list: many small spaces (identical and adjacent ranges abound), a large one, and long ranges. */
    @Test
    void itAgreesWithAPlainList() {
        long firstSeed = Long.getLong("terminus.seed", 1);
        int seeds = Integer.getInteger("terminus.seeds", 300);
        for (long seed = firstSeed; seed < firstSeed + seeds; seed++) {
            try {
                compareWithList(new Random(seed));
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError("failed with -Dterminus.seed=" + seed + " -Dterminus.seeds=1", e);
            }
        }
    }

    private record Entry(long start, long end, long id) {
        boolean overlaps(long from, long to) {
            return start < to && from < end;
        }
    }

    private static void compareWithList(Random random) {
        RangeIndex<Entry> tested = new RangeIndex<>();
        List<Entry> list = new ArrayList<>();
        long space = new long[] {8, 64, 4096, Long.MAX_VALUE}[random.nextInt(4)];
        int ids = random.nextBoolean() ? 3 : Integer.MAX_VALUE;
        int mostEntries = 1 + random.nextInt(400);
        for (int step = 0; step < 1_000; step++) {
            if (list.isEmpty() || random.nextInt(mostEntries) >= list.size()) {
                long[] range = randomRange(random, space, list);
                Entry entry = new Entry(range[0], range[1], random.nextInt(ids));
                if (list.stream().noneMatch(e -> e.start == entry.start && e.id == entry.id)) {
                    tested.insert(entry.start, entry.end, entry.id, entry);
                    list.add(entry);
                }
            } else {
                Entry entry = list.remove(random.nextInt(list.size()));
                assertThat(tested.remove(entry.start, entry.id)).isEqualTo(entry);
                assertThat(tested.get(entry.start, entry.id)).isNull();
            }
            long[] asked = randomRange(random, space, list);
            List<Entry> expected = list.stream()
                    .filter(e -> e.overlaps(asked[0], asked[1]))
                    .sorted(Comparator.comparingLong(Entry::start).thenComparingLong(Entry::id))
                    .toList();
            List<Entry> found = new ArrayList<>();
            tested.forEachOverlapping(asked[0], asked[1], (start, end, id, value) -> {
                assertThat(value).isEqualTo(new Entry(start, end, id));
                return found.add(value);
            });
            assertThat(found).isEqualTo(expected);
            assertThat(tested.firstOverlapping(asked[0], asked[1]))
                    .isEqualTo(expected.isEmpty() ? null : expected.get(0));
            assertThat(tested.size()).isEqualTo(list.size());
            if (step % 20 == 0) {
                tested.checkInvariants();
            }
        }
    }

    /** Any range, a short one, one that begins where another ends, a copy of another, or everything. */
    private static long[] randomRange(Random random, long space, List<Entry> others) {
        Entry other = others.isEmpty() ? new Entry(0, 1, 0) : others.get(random.nextInt(others.size()));
        long start = random.nextLong(space);
        switch (random.nextInt(8)) {
            case 0:
                return new long[] {0, space};
            case 1:
                return new long[] {other.start, other.end};
            case 2:
                return other.end == space
                        ? new long[] {0, other.end}
                        : new long[] {other.end, other.end + 1 + random.nextLong(space - other.end)};
            case 3:
            case 4:
                return new long[] {start, start + 1 + random.nextLong(space - start)};
            default:
                return new long[] {start, start + 1 + random.nextLong(Math.min(space - start, 1 + space / 64))};
        }
    }

    private List<String> found(long from, long to) {
        List<String> found = new ArrayList<>();
        index.forEachOverlapping(from, to, (start, end, id, value) -> found.add(value));
        return found;
    }
}
