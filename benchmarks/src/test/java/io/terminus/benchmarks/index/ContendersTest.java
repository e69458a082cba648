package io.terminus.benchmarks.index;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** A comparison says something only if those compared with are right. */
class ContendersTest {

    private final Random random = new Random(Long.getLong("terminus.seed", 1));

    @Test
    void theIntervalTreeAgreesWithAPlainList() {
        IntervalTree<Held> tree = new IntervalTree<>();
        List<Held> list = new ArrayList<>();

        for (int step = 0; step < 20_000; step++) {
            if (list.isEmpty() || random.nextInt(300) >= list.size()) {
                long start = random.nextInt(1_000);
                Held entry = new Held(start, start + 1 + random.nextInt(1 << random.nextInt(10)), step);
                tree.insert(entry.start(), entry.end(), entry.id(), entry);
                list.add(entry);
            } else {
                Held entry = list.remove(random.nextInt(list.size()));
                assertThat(tree.remove(entry.start(), entry.id())).isEqualTo(entry);
                assertThat(tree.remove(entry.start(), entry.id())).isNull();
            }

            long from = random.nextInt(1_000);
            long to = from + 1 + random.nextInt(50);
            List<Held> expected = list.stream()
                    .filter(e -> e.start() < to && from < e.end())
                    .sorted(Comparator.comparingLong(Held::start).thenComparingLong(Held::id))
                    .toList();
            List<Held> found = new ArrayList<>();
            tree.forEachOverlapping(from, to, (start, end, id, value) -> found.add(value));
            assertThat(found).isEqualTo(expected);
            assertThat(tree.firstOverlapping(from, to)).isEqualTo(expected.isEmpty() ? null : expected.getFirst());
            assertThat(tree.size()).isEqualTo(list.size());
            if (step % 20 == 0) {
                tree.checkInvariants();
            }
        }
    }

    @Test
    void theStartSetAgreesWithASet() {
        StartSet tested = new StartSet();
        Set<Long> set = new HashSet<>();

        for (int step = 0; step < 200_000; step++) {
            long start = random.nextInt(2_000) * 4096L;
            if (random.nextBoolean()) {
                assertThat(tested.add(start)).isEqualTo(set.add(start));
            } else {
                assertThat(tested.remove(start)).isEqualTo(set.remove(start));
            }
            long asked = random.nextInt(2_000) * 4096L;

            assertThat(tested.contains(asked)).isEqualTo(set.contains(asked));
            assertThat(tested.size()).isEqualTo(set.size());
        }
    }
}
