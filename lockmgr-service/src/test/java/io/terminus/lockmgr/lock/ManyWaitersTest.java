package io.terminus.lockmgr.lock;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ManyWaitersTest {

    private static final int WAITERS = 9_000;

    private final Story story = new Story();

    @Test
    void waitersOnOneRangeAreGrantedInTurnAndEachReleaseLooksAtOneOfThem() {
        long lock = openAllAndWait(Mode.EX);
        long looksBefore = story.table.looksAtWaiters();

        List<Long> granted = new ArrayList<>();
        for (int i = 0; i < WAITERS; i++) {
            story.said.clear();
            story.release(i == 0 ? "holder" : "s" + (i - 1), lock);
            assertThat(story.granted()).hasSize(1);
            lock = story.granted().getFirst().lockId();
            granted.add(story.granted().getFirst().requestId());
        }

        assertThat(granted).isSorted();
        assertThat(story.table.looksAtWaiters() - looksBefore).isEqualTo(WAITERS);
    }

    @Test
    void waitersOnOneRangeThatShareAreGrantedTogether() {
        long lock = openAllAndWait(Mode.PR);
        story.said.clear();

        story.release("holder", lock);

        assertThat(story.granted()).hasSize(WAITERS);
        assertThat(story.table.indexEntries("v")).isEqualTo(1);
    }

    @Test
    void aWriterBehindThemLooksAtTheOldestOnly() {
        long lock = openAllAndWait(Mode.PR);
        story.open("writer");
        story.ask("writer", Mode.EX, 0, 10);
        story.release("holder", lock);
        long looksBefore = story.table.looksAtWaiters();
        story.said.clear();

        for (int i = 0; i < WAITERS; i++) {
            story.apply(new Command.CloseSession("s" + i, "done"));
        }

        assertThat(story.granted()).extracting(Notice.Granted::sessionId).containsExactly("writer");
        assertThat(story.table.looksAtWaiters() - looksBefore).isEqualTo(WAITERS);
    }

    /** Returns the lock they wait for. */
    private long openAllAndWait(Mode mode) {
        story.open("holder");
        long lock = story.hold("holder", Mode.EX, 0, 10);
        for (int i = 0; i < WAITERS; i++) {
            story.open("s" + i);
            story.ask("s" + i, mode, 0, 10);
        }
        assertThat(story.table.indexEntries("v")).isEqualTo(2);
        return lock;
    }
}
