package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Many locks of one range and mode, with so many of them that a walk over all for each would take many minutes. */
class ManyHoldersTest {

    private static final int RESTORED = 1 << 20;
    private static final int READERS = 50_000;
    private static final int CONVERTERS = 1_000;

    private Story story = new Story();

    @Test
    void aMillionLocksOfOneRangeAreRestoredInAnyOrder() {
        LockTable table = new LockTable(Settings.defaults(), 2, story.now);
        Stream<Change> before =
                Stream.of(new Change.SessionOpened("s", "s", 6 * SECOND), new Change.VolumePut("v", "uuid-of-v", 0));
        // Every id once, each far from the one before.
        Stream<Change> locks = IntStream.range(0, RESTORED).mapToObj(i -> reader(1 + (i * 0x9E3779B9L & RESTORED - 1)));

        table.restore(Stream.concat(before, locks)::iterator);

        assertThat(table.volumes()).singleElement().matches(volume -> volume.held() == RESTORED);
        assertThat(table.indexEntries("v")).isEqualTo(1);
        assertThat(table.locks(LockQuery.all("v", 100)).items())
                .extracting(ClaimView.LockView::id)
                .containsExactlyElementsOf(
                        IntStream.rangeClosed(1, 100).mapToObj(Long::valueOf).toList());
    }

    @Test
    void readersOfOneRangeConvertInReverseAndInAnyOrder() {
        List<Long> locks = readersOfOneSession();
        Collections.reverse(locks);
        locks.forEach(lock -> story.convert("reader", lock, Mode.CR));
        Collections.shuffle(locks, new Random(1));
        story.said.clear();

        locks.forEach(lock -> story.convert("reader", lock, Mode.NL));
        assertThat(story.granted()).hasSize(READERS);
        assertThat(story.table.indexEntries("v")).isEqualTo(1);
        Collections.shuffle(locks, new Random(2));
        locks.forEach(lock -> story.release("reader", lock));

        assertThat(story.table.indexEntries("v")).isZero();
    }

    @Test
    void eachOfManyReadersThatWantToWriteIsRefusedButTheFirst() {
        List<Long> locks = readersOfSessionsOfTheirOwn();
        story.convert("s0", locks.getFirst(), Mode.EX);
        story.said.clear();

        for (int i = 1; i <= CONVERTERS; i++) {
            story.convert("s" + i, locks.get(i), Mode.EX);
        }

        assertThat(story.refusals()).hasSize(CONVERTERS).allMatch(refused -> refused.reason() == Reason.DEADLOCK);
    }

    @Test
    void manyReadersWaitToWriteOneAfterTheOtherWithoutLookingAtAllPairs() {
        story.open("holder");
        long writing = story.hold("holder", Mode.PW, 0, 10);
        List<Long> locks = new ArrayList<>();
        for (int i = 0; i < CONVERTERS; i++) {
            story.open("s" + i);
            locks.add(story.hold("s" + i, Mode.CR, 0, 10));
            story.said.clear();
        }
        for (int i = 0; i < CONVERTERS; i++) {
            story.convert("s" + i, locks.get(i), Mode.PW);
        }
        assertThat(story.refusals()).isEmpty();
        story.said.clear();

        story.release("holder", writing);

        assertThat(story.granted()).singleElement().matches(granted -> granted.lockId() == locks.getFirst());
    }

    private static Change reader(long id) {
        return new Change.LockPut(id, "s", id, id, "v", 0, 10, 0, 10, Mode.PR, id, false);
    }

    private List<Long> readersOfOneSession() {
        story.open("reader");
        List<Long> locks = new ArrayList<>();
        for (int i = 0; i < READERS; i++) {
            locks.add(story.hold("reader", Mode.PR, 0, 10));
            story.said.clear();
        }
        return locks;
    }

    private List<Long> readersOfSessionsOfTheirOwn() {
        story = new Story(withSessions(READERS));
        List<Long> locks = new ArrayList<>();
        for (int i = 0; i < READERS; i++) {
            story.open("s" + i);
            locks.add(story.hold("s" + i, Mode.PR, 0, 10));
            story.said.clear();
        }
        return locks;
    }

    private static Settings withSessions(int most) {
        Settings d = Settings.defaults();
        return new Settings(
                d.minTtlNanos(),
                d.maxTtlNanos(),
                d.defaultTtlNanos(),
                d.recallDeadlineNanos(),
                d.recallCapNanos(),
                d.maxWaitNanos(),
                d.maxValueBytes(),
                d.maxLocksPerSession(),
                d.maxWaitersPerSession(),
                d.maxLocksPerVolume(),
                d.maxWaitersPerVolume(),
                most,
                d.maxVolumes(),
                d.maxNameLength(),
                d.contentionNanos(),
                d.maxRangesPerRequest(),
                d.maxLocks());
    }
}
