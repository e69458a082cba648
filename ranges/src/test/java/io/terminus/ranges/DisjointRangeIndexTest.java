package io.terminus.ranges;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.ConcurrentModificationException;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class DisjointRangeIndexTest {

    private final DisjointRangeIndex<String> index = new DisjointRangeIndex<>();

    @Test
    void anEmptyIndexFindsNothingAndIsFreeEverywhere() {
        assertThat(index.size()).isZero();
        assertThat(index.isEmpty()).isTrue();
        assertThat(index.firstOverlapping(0, Long.MAX_VALUE)).isNull();
        assertThat(index.remove(0)).isNull();
        assertThat(index.get(0)).isNull();
        assertThat(index.resize(0, 0, 1)).isNull();
        assertThat(index.freeFrom(5, 90)).isEqualTo(90);
        assertThat(index.freeDownTo(5, 90)).isEqualTo(5);
        assertThat(index.forEachFrom(0, (start, end, value) -> false)).isTrue();
    }

    @Test
    void whatOverlapsIsNamedAndNotInserted() {
        index.insertIfFree(10, 20, "a");
        index.insertIfFree(30, 40, "b");

        assertThat(index.insertIfFree(19, 31, "c")).isEqualTo("a");
        assertThat(index.insertIfFree(20, 31, "c")).isEqualTo("b");
        assertThat(index.insertIfFree(0, 100, "c")).isEqualTo("a");
        assertThat(index.insertIfFree(10, 11, "c")).isEqualTo("a");
        assertThat(index.insertIfFree(15, 16, "c")).isEqualTo("a");

        index.checkInvariants();
        assertThat(found(0, 100)).containsExactly("a", "b");
    }

    @Test
    void rangesThatOnlyTouchAreFree() {
        index.insertIfFree(0, 10, "before");
        index.insertIfFree(20, 30, "behind");

        assertThat(index.insertIfFree(10, 20, "between")).isNull();

        assertThat(found(0, 30)).containsExactly("before", "between", "behind");
        assertThat(index.overlapsAny(30, 31)).isFalse();
    }

    @Test
    void bothEndsOfTheNumbersAreOrdinaryPlaces() {
        index.insertIfFree(0, 1, "first byte");
        index.insertIfFree(Long.MAX_VALUE - 1, Long.MAX_VALUE, "last byte");

        assertThat(index.insertIfFree(0, Long.MAX_VALUE, "whole")).isEqualTo("first byte");
        assertThat(index.freeFrom(1, Long.MAX_VALUE)).isEqualTo(Long.MAX_VALUE - 1);
        assertThat(index.freeFrom(Long.MAX_VALUE, Long.MAX_VALUE)).isEqualTo(Long.MAX_VALUE);
        assertThat(index.freeDownTo(0, Long.MAX_VALUE - 1)).isEqualTo(1);
        assertThat(index.freeDownTo(0, Long.MAX_VALUE)).isEqualTo(Long.MAX_VALUE);
        assertThat(index.freeDownTo(0, 0)).isZero();
        assertThat(index.get(Long.MAX_VALUE)).isNull();
        assertThat(index.remove(Long.MAX_VALUE)).isNull();
        assertThat(index.remove(-1)).isNull();
        assertThat(index.remove(Long.MAX_VALUE - 1)).isEqualTo("last byte");
        assertThat(index.remove(0)).isEqualTo("first byte");
    }

    @Test
    void aRangeIsCutDownWhereItStandsAndNeverGrows() {
        index.insertIfFree(10, 40, "a");

        assertThat(index.resize(10, 20, 30)).isEqualTo("a");

        assertThat(index.get(10)).isNull();
        assertThat(index.get(20)).isEqualTo("a");
        assertThat(index.insertIfFree(10, 20, "below")).isNull();
        assertThat(index.insertIfFree(30, 40, "above")).isNull();
        assertThatThrownBy(() -> index.resize(20, 19, 30))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("range [19, 30) breaks the rule that it be part of [20, 30), which it is to replace");
        assertThatThrownBy(() -> index.resize(20, 20, 31)).hasMessageContaining("[20, 31)");
        index.checkInvariants();
    }

    @Test
    void badRangesAreRefusedWithTheirValueAndTheRule() {
        assertThatThrownBy(() -> index.insertIfFree(5, 5, ""))
                .hasMessage("range [5, 5) breaks the rule 0 <= start < end");
        assertThatThrownBy(() -> index.firstOverlapping(-1, 5)).hasMessageContaining("[-1, 5)");
        assertThatThrownBy(() -> index.freeFrom(7, 5)).hasMessage("bounds 7 and 5 break the rule 0 <= low <= high");
        assertThatThrownBy(() -> index.freeDownTo(-1, 5)).hasMessageContaining("bounds -1 and 5");
    }

    @Test
    void aVisitorThatHasSeenEnoughSeesNoMore() {
        for (int i = 0; i < 100; i++) {
            index.insertIfFree(i, i + 1, "range " + i);
        }
        List<String> seen = new ArrayList<>();

        boolean finished = index.forEachFrom(40, (start, end, value) -> {
            seen.add(value);
            return seen.size() < 3;
        });

        assertThat(finished).isFalse();
        assertThat(seen).containsExactly("range 40", "range 41", "range 42");
    }

    @Test
    void aVisitorThatChangesTheIndexIsFoundOut() {
        index.insertIfFree(0, 5, "a");
        index.insertIfFree(5, 10, "b");

        assertThatThrownBy(() -> index.forEachOverlapping(0, 10, (start, end, value) -> {
                    index.remove(start);
                    return true;
                }))
                .isInstanceOf(ConcurrentModificationException.class);
        assertThatThrownBy(() -> index.forEachFrom(0, (start, end, value) -> {
                    index.insertIfFree(20, 30, "c");
                    return true;
                }))
                .isInstanceOf(ConcurrentModificationException.class);
    }

    @Test
    void aVisitorMaySearchTheIndexItWalksThrough() {
        for (int i = 0; i < 10_000; i++) {
            index.insertIfFree(2L * i, 2L * i + 1, "range " + i);
        }
        int[] seen = {0};

        index.forEachFrom(0, (start, end, value) -> {
            assertThat(index.get(19_998 - start)).isNotNull();
            assertThat(index.freeFrom(end, 20_000)).isEqualTo(end + 1);
            seen[0]++;
            return true;
        });

        assertThat(seen[0]).isEqualTo(10_000);
    }

    /** A free range across the border of two leaves must be found busy later from both sides. */
    @Test
    void aRangeAcrossTwoLeavesIsSeenFromBoth() {
        for (int i = 0; i < 10_000; i++) {
            index.insertIfFree(100L * i, 100L * i + 10, "range " + i);
        }
        for (int i = 0; i < 10_000; i += 2) {
            index.remove(100L * i);
        }

        for (int i = 2; i < 10_000; i += 2) {
            long start = 100L * i - 90;
            assertThat(index.insertIfFree(start, start + 180, "wide " + i)).isNull();
        }

        index.checkInvariants();
        for (int i = 2; i < 10_000; i += 2) {
            long start = 100L * i - 90;
            for (long place = start; place < start + 180; place += 60) {
                assertThat(index.firstOverlapping(place, place + 1)).isEqualTo("wide " + i);
                assertThat(index.insertIfFree(place, place + 1, "late")).isEqualTo("wide " + i);
            }
        }
    }

    @Test
    void anAnswerThatARangeIsFreeHoldsNoLongerThanUntilTheNextChange() {
        index.insertIfFree(0, 100, "cut");
        index.resize(0, 0, 10);
        assertThat(index.firstOverlapping(10, 20)).isNull();
        index.insertIfFree(15, 16, "between");
        assertThat(index.insertIfFree(10, 20, "late")).isEqualTo("between");

        assertThat(index.firstOverlapping(20, 30)).isNull();
        index.remove(0);
        assertThat(index.insertIfFree(20, 30, "in time")).isNull();
        assertThat(index.insertIfFree(20, 30, "twice")).isEqualTo("in time");

        index.checkInvariants();
        assertThat(found(0, 100)).containsExactly("between", "in time");
    }

    /** Between the question and the insert other ranges go, and with them leaves. */
    @Test
    void whatWasFreeWhenAskedIsTakenAfterOthersWent() {
        Seeds.forEach(20, random -> {
            List<Long> held = new ArrayList<>();
            for (int step = 0; step < 20_000; step++) {
                long start = random.nextInt(4_000) * 10L;
                boolean free = index.firstOverlapping(start, start + 10) == null;
                assertThat(free).isEqualTo(index.get(start) == null);
                for (int i = random.nextInt(step % 2_000 < 1_000 ? 2 : 4); i > 0 && !held.isEmpty(); i--) {
                    long removed = held.removeLast();
                    free |= removed == start;
                    assertThat(index.remove(removed)).isNotNull();
                }
                assertThat(index.insertIfFree(start, start + 10, "range " + start) == null)
                        .isEqualTo(free);
                if (free) {
                    held.add(random.nextInt(held.size() + 1), start);
                }
            }
            index.checkInvariants();
            assertThat(index.size()).isEqualTo(held.size());
            held.forEach(index::remove);
        });
    }

    @Test
    void itAgreesWithAPlainList() {
        Seeds.forEach(300, DisjointRangeIndexTest::compareWithList);
    }

    private enum Order {
        ASCENDING,
        DESCENDING,
        RANDOM;

        List<Long> sort(List<Long> starts, Random random) {
            List<Long> sorted = new ArrayList<>(starts);
            switch (this) {
                case ASCENDING -> Collections.sort(sorted);
                case DESCENDING -> sorted.sort(Comparator.reverseOrder());
                case RANDOM -> Collections.shuffle(sorted, random);
            }
            return sorted;
        }
    }

    /** Deep enough for inner blocks to split, share and merge. */
    @ParameterizedTest
    @EnumSource
    void itEmptiesInAnyOrderAndFillsAgain(Order filling) {
        List<Long> starts = new ArrayList<>();
        for (long i = 0; i < 60_000; i++) {
            starts.add(i * 10);
        }
        for (Order emptying : Order.values()) {
            Seeds.forEach(1, random -> {
                for (long start : filling.sort(starts, random)) {
                    assertThat(index.insertIfFree(start, start + 1 + random.nextInt(10), "range " + start))
                            .isNull();
                    checkNowAndThen(start);
                }
                assertThat(index.size()).isEqualTo(60_000);
                for (long start : emptying.sort(starts, random)) {
                    assertThat(index.remove(start)).isEqualTo("range " + start);
                    checkNowAndThen(start);
                }
                assertThat(index.isEmpty()).isTrue();
                assertThat(index.heapBytes()).isLessThan(100);
            });
        }
    }

    @Test
    void ascendingInsertsFillTheirLeaves() {
        for (int i = 0; i < 100_000; i++) {
            index.insertIfFree(i, i + 1, "up");
        }

        index.checkInvariants();
        assertThat(index.heapBytes() / 100_000.0).isLessThan(26);
    }

    @Test
    void aRangeTakesLessThan48BytesAfterChurn() {
        Random random = new Random(1);
        List<Long> held = new ArrayList<>();
        while (held.size() < 200_000) {
            takeAnyFree(random, held);
        }
        for (int i = 0; i < 600_000; i++) {
            int at = random.nextInt(held.size());
            long start = held.get(at);
            held.set(at, held.getLast());
            held.removeLast();
            assertThat(index.remove(start)).isNotNull();
            takeAnyFree(random, held);
        }

        index.checkInvariants();
        assertThat(index.heapBytes() / 200_000.0).isLessThan(40);
    }

    private void takeAnyFree(Random random, List<Long> held) {
        long start;
        do {
            start = random.nextInt(400_000) * 4096L;
        } while (index.insertIfFree(start, start + 4096, "held") != null);
        held.add(start);
    }

    private void checkNowAndThen(long start) {
        if (start % 99_990 == 0) {
            index.checkInvariants();
        }
    }

    private record Entry(long start, long end) {
        boolean overlaps(long from, long to) {
            return start < to && from < end;
        }
    }

    private static void compareWithList(Random random) {
        DisjointRangeIndex<Entry> tested = new DisjointRangeIndex<>();
        List<Entry> list = new ArrayList<>();
        long space = new long[] {64, 4096, 100_000, Long.MAX_VALUE}[random.nextInt(4)];
        int mostEntries = 1 + random.nextInt(500);
        for (int step = 0; step < 2_000; step++) {
            if (list.isEmpty() || random.nextInt(mostEntries) >= list.size()) {
                Entry entry = anyEntry(random, space, list);
                Entry inTheWay = first(list, entry.start, entry.end);
                if (random.nextBoolean()) {
                    assertThat(tested.firstOverlapping(entry.start, entry.end)).isEqualTo(inTheWay);
                }
                assertThat(tested.insertIfFree(entry.start, entry.end, entry)).isEqualTo(inTheWay);
                if (inTheWay == null) {
                    list.add(entry);
                }
            } else {
                Entry entry = list.remove(random.nextInt(list.size()));
                if (entry.end - entry.start > 2 && random.nextInt(3) == 0) {
                    long newStart = entry.start + random.nextLong(entry.end - entry.start - 1);
                    long newEnd = newStart + 1 + random.nextLong(entry.end - newStart);
                    assertThat(tested.resize(entry.start, newStart, newEnd)).isEqualTo(entry);
                    assertThat(tested.remove(newStart)).isEqualTo(entry);
                    Entry smaller = new Entry(newStart, newEnd);
                    assertThat(tested.insertIfFree(newStart, newEnd, smaller)).isNull();
                    list.add(smaller);
                } else {
                    assertThat(tested.remove(entry.start)).isEqualTo(entry);
                    assertThat(tested.remove(entry.start)).isNull();
                    assertThat(tested.get(entry.start)).isNull();
                }
            }
            compareSearches(tested, list, anyEntry(random, space, list));
            assertThat(tested.size()).isEqualTo(list.size());
            if (step % 20 == 0) {
                tested.checkInvariants();
            }
        }
    }

    private static void compareSearches(DisjointRangeIndex<Entry> tested, List<Entry> list, Entry asked) {
        List<Entry> sorted =
                list.stream().sorted(Comparator.comparingLong(Entry::start)).toList();
        List<Entry> overlapping =
                sorted.stream().filter(e -> e.overlaps(asked.start, asked.end)).toList();
        List<Entry> found = new ArrayList<>();
        tested.forEachOverlapping(asked.start, asked.end, (start, end, value) -> {
            assertThat(value).isEqualTo(new Entry(start, end));
            return found.add(value);
        });
        assertThat(found).isEqualTo(overlapping);
        assertThat(tested.firstOverlapping(asked.start, asked.end))
                .isEqualTo(overlapping.isEmpty() ? null : overlapping.getFirst());
        assertThat(tested.get(asked.start))
                .isEqualTo(sorted.stream()
                        .filter(e -> e.start == asked.start)
                        .findFirst()
                        .orElse(null));
        List<Entry> from = new ArrayList<>();
        tested.forEachFrom(asked.start, (start, end, value) -> from.add(value) && from.size() < 50);
        assertThat(from)
                .isEqualTo(sorted.stream()
                        .filter(e -> e.start >= asked.start)
                        .limit(50)
                        .toList());
        assertThat(tested.freeFrom(asked.start, asked.end))
                .isEqualTo(overlapping.isEmpty() ? asked.end : Math.max(asked.start, overlapping.getFirst().start));
        assertThat(tested.freeDownTo(asked.start, asked.end))
                .isEqualTo(overlapping.isEmpty() ? asked.start : Math.min(asked.end, overlapping.getLast().end));
    }

    private static @Nullable Entry first(List<Entry> list, long start, long end) {
        return list.stream()
                .filter(e -> e.overlaps(start, end))
                .min(Comparator.comparingLong(Entry::start))
                .orElse(null);
    }

    /** Mostly short, at times right behind another, a copy of another, long, or everything. */
    private static Entry anyEntry(Random random, long space, List<Entry> others) {
        Entry other = others.isEmpty() ? new Entry(0, 1) : others.get(random.nextInt(others.size()));
        long start = random.nextLong(space);
        long most = Math.min(space - start, 1 + space / 500);
        return switch (random.nextInt(40)) {
            case 0 -> new Entry(0, space);
            case 1 -> new Entry(start, start + 1 + random.nextLong(space - start));
            case 2, 3 -> other;
            case 4, 5, 6, 7, 8, 9 ->
                other.end == space
                        ? new Entry(0, 1)
                        : new Entry(other.end, other.end + 1 + random.nextLong(Math.min(space - other.end, most)));
            default -> new Entry(start, start + 1 + random.nextLong(most));
        };
    }

    private List<String> found(long from, long to) {
        List<String> found = new ArrayList<>();
        index.forEachOverlapping(from, to, (start, end, value) -> found.add(value));
        return found;
    }
}
