package io.terminus.ranges;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
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

    @Test
    void itIsFreeUpToTheNextEntryAndDownToTheLast() {
        index.insert(10, 20, 1, "a");
        index.insert(12, 40, 2, "long");
        index.insert(50, 60, 3, "b");

        assertThat(index.freeFrom(40, 100)).isEqualTo(50);
        assertThat(index.freeFrom(40, 45)).isEqualTo(45);
        assertThat(index.freeFrom(39, 100)).isEqualTo(39);
        assertThat(index.freeFrom(60, Long.MAX_VALUE)).isEqualTo(Long.MAX_VALUE);
        assertThat(index.freeDownTo(0, 50)).isEqualTo(40);
        assertThat(index.freeDownTo(45, 50)).isEqualTo(45);
        assertThat(index.freeDownTo(0, 51)).isEqualTo(51);
        assertThat(index.freeDownTo(0, 10)).isZero();
        assertThatThrownBy(() -> index.freeFrom(7, 5)).hasMessage("bounds 7 and 5 break the rule 0 <= low <= high");
    }

    @Test
    void aPageBeginsBehindTheLastEntryOfThePageBefore() {
        for (int i = 0; i < 1_000; i++) {
            index.insert(i / 7, 1_000, i, "range " + i);
        }
        List<String> listed = new ArrayList<>();
        long[] next = {0, Long.MIN_VALUE};
        int[] onPage = {0};

        do {
            onPage[0] = 0;
            index.forEachFrom(next[0], next[1], (start, end, id, value) -> {
                listed.add(value);
                next[0] = start;
                next[1] = id + 1;
                return ++onPage[0] < 10;
            });
        } while (onPage[0] > 0);

        assertThat(listed).hasSize(1_000).doesNotHaveDuplicates();
        assertThat(listed.get(999)).isEqualTo("range 999");
    }

    @Test
    void aHundredThousandIdenticalRangesGoInAndOutInAnyOrder() {
        List<Integer> ids = new ArrayList<>();
        for (int id = 0; id < 100_000; id++) {
            ids.add(id);
        }
        Seeds.forEach(1, random -> {
            Collections.shuffle(ids, random);
            for (int id : ids) {
                index.insert(4096, 8192, id, "range " + id);
            }
            index.checkInvariants();
            assertThat(index.firstOverlapping(0, 4097)).isEqualTo("range 0");
            assertThat(index.heapBytes() / 100_000.0).isLessThan(48);

            Collections.shuffle(ids, random);
            for (int id : ids) {
                assertThat(index.remove(4096, id)).isEqualTo("range " + id);
                if (id % 9_999 == 0) {
                    index.checkInvariants();
                }
            }

            assertThat(index.isEmpty()).isTrue();
            assertThat(index.heapBytes()).isLessThan(100);
        });
    }

    /** Deep enough for inner blocks to split, share and merge, with ranges over many of them. */
    @Test
    void itEmptiesInRandomOrderAndFillsAgain() {
        Seeds.forEach(2, random -> {
            List<Entry> entries = new ArrayList<>();
            for (int i = 0; i < 60_000; i++) {
                long start = random.nextInt(1_000_000);
                entries.add(new Entry(start, start + 1 + random.nextInt(i % 100 == 0 ? 900_000 : 40), i));
            }
            for (Entry entry : entries) {
                index.insert(entry.start, entry.end, entry.id, "range " + entry.id);
            }
            index.checkInvariants();

            Collections.shuffle(entries, random);
            while (!entries.isEmpty()) {
                Entry entry = entries.removeLast();
                assertThat(index.remove(entry.start, entry.id)).isEqualTo("range " + entry.id);
                if (entries.size() % 6_000 == 0) {
                    index.checkInvariants();
                    long place = random.nextInt(1_000_000);
                    assertThat(found(place, place + 1)).hasSize((int) entries.stream()
                            .filter(e -> e.overlaps(place, place + 1))
                            .count());
                }
            }

            assertThat(index.isEmpty()).isTrue();
        });
    }

    @Test
    void anEntryTakesLessThan48BytesAfterChurn() {
        Random random = new Random(1);
        List<Entry> held = new ArrayList<>();
        for (int i = 0; i < 800_000; i++) {
            if (held.size() == 200_000) {
                int at = random.nextInt(held.size());
                Entry entry = held.set(at, held.getLast());
                held.removeLast();
                index.remove(entry.start, entry.id);
            }
            long start = random.nextLong(1L << 40);
            held.add(new Entry(start, start + 4096, i));
            index.insert(start, start + 4096, i, "held");
        }

        index.checkInvariants();
        assertThat(index.heapBytes() / 200_000.0).isLessThan(48);
    }

    /** Against a plain list: many small spaces (identical and adjacent ranges abound), a large one, and long ranges. */
    @Test
    void itAgreesWithAPlainList() {
        Seeds.forEach(300, RangeIndexTest::compareWithList);
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
            assertThat(tested.freeFrom(asked[0], asked[1]))
                    .isEqualTo(expected.isEmpty() ? asked[1] : Math.max(asked[0], expected.getFirst().start));
            assertThat(tested.freeDownTo(asked[0], asked[1]))
                    .isEqualTo(Math.min(
                            asked[1],
                            expected.stream().mapToLong(Entry::end).max().orElse(asked[0])));
            List<Entry> from = new ArrayList<>();
            tested.forEachFrom(asked[0], 1, (start, end, id, value) -> from.add(value));
            assertThat(from)
                    .isEqualTo(list.stream()
                            .filter(e -> e.start > asked[0] || e.start == asked[0] && e.id >= 1)
                            .sorted(Comparator.comparingLong(Entry::start).thenComparingLong(Entry::id))
                            .toList());
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
