package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import io.terminus.lockmgr.lock.RangeMap.Cell;
import io.terminus.lockmgr.lock.WaitGraph.Edge;
import io.terminus.lockmgr.lock.WaitGraph.Party;
import org.junit.jupiter.api.Test;

class PicturesTest {

    private final Story story = new Story().open("alice", "bob", "carol");

    @Test
    void cellsTellHeldWritingRecalledAndWaiting() {
        story.hold("alice", Mode.PR, 0, 250);
        story.hold("bob", Mode.EX, 300, 310);
        story.ask("carol", Mode.PR, 305, 400);
        story.standBy("carol", Mode.EX, 0, 100);

        RangeMap map = story.table.rangeMap("v", 0, 400, 4, 1);

        assertThat(map.cellBytes()).isEqualTo(100);
        assertThat(map.exact()).isTrue();
        assertThat(map.cells())
                .containsExactly(
                        new Cell(1, 0, 0, 0, 0, 1),
                        new Cell(1, 0, 0, 0, 0, 0),
                        new Cell(1, 0, 0, 0, 0, 0),
                        new Cell(1, 1, 1, 0, 1, 0));
    }

    @Test
    void cellsAreWholeUnitsAndTheLastOneMayBeShorter() {
        RangeMap map = story.table.rangeMap("v", 4096, 4096 * 11 + 1, 4, 4096);

        assertThat(map.cellBytes()).isEqualTo(3 * 4096);
        assertThat(map.cells()).hasSize(4).containsOnly(Cell.EMPTY);
        assertThat(story.table.rangeMap("v", 0, 10, 1000, 1).cells()).hasSize(10);
        assertThat(story.table.rangeMap("v", 0, Long.MAX_VALUE, 3, 4096).cells())
                .hasSize(3);
    }

    @Test
    void whatIsRevokedOrLeftByAVanishedHolderIsClosing() {
        story.lockDelay(10 * SECOND);
        story.hold("alice", Mode.EX, 0, 10);
        long revoked = story.hold("bob", Mode.EX, 10, 20);

        story.forceRelease(revoked);
        Cell first = story.table.rangeMap("v", 10, 20, 1, 1).cells().getFirst();
        story.pass(7 * SECOND, "bob");
        Cell second = story.table.rangeMap("v", 0, 10, 1, 1).cells().getFirst();

        assertThat(first).isEqualTo(new Cell(1, 1, 0, 1, 0, 0));
        assertThat(second.closing()).isEqualTo(1);
    }

    @Test
    void aMapOfMoreThanIsCountedSaysThatItIsALowerBound() {
        for (int i = 0; i < 1000; i++) {
            story.hold("alice", Mode.PR, 0, 10);
        }

        RangeMap few = story.table.rangeMap("v", 0, 10, 1, 1);
        RangeMap many = story.table.rangeMap("v", 0, 10_000, 1000, 1);

        assertThat(few.exact()).isTrue();
        assertThat(few.cells().getFirst().held()).isEqualTo(1000);
        assertThat(many.exact()).isFalse();
        assertThat(many.cells().getFirst().held()).isEqualTo(200);
    }

    @Test
    void whoWaitsForWhomIsToldBySession() {
        story.hold("alice", Mode.EX, 0, 10);
        story.hold("alice", Mode.EX, 10, 20);
        story.ask("bob", Mode.PR, 5, 15);
        story.ask("carol", Mode.EX, 12, 13);

        WaitGraph graph = story.table.waitGraph("v");

        assertThat(graph.complete()).isTrue();
        assertThat(graph.parties())
                .containsExactlyInAnyOrder(
                        new Party("alice", "alice", 2, 0),
                        new Party("bob", "bob", 0, 1),
                        new Party("carol", "carol", 0, 1));
        assertThat(graph.edges())
                .extracting(Edge::waiter, Edge::blocker, Edge::claims, Edge::queued)
                .containsExactlyInAnyOrder(
                        tuple("bob", "alice", 2, false),
                        tuple("carol", "alice", 1, false),
                        tuple("carol", "bob", 1, true));
        assertThat(graph.edges())
                .filteredOn(e -> e.waiter().equals("carol") && e.blocker().equals("alice"))
                .singleElement()
                .matches(e -> e.wanted() == Mode.EX && e.wantedStart() == 12 && e.inTheWayStart() == 10);
    }

    @Test
    void aGraphOfMoreWaitersThanAreLookedAtSaysSo() {
        story.hold("alice", Mode.EX, 0, 10);
        for (int i = 0; i < 401; i++) {
            story.standBy("bob", Mode.EX, 0, 10);
        }

        WaitGraph graph = story.table.waitGraph("v");

        assertThat(graph.complete()).isFalse();
        assertThat(graph.edges())
                .extracting(Edge::waiter, Edge::blocker, Edge::standby)
                .contains(tuple("bob", "alice", true));
        assertThat(story.table.waitGraph("none").parties()).isEmpty();
    }
}
