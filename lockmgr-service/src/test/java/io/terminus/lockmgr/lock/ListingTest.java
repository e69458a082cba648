package io.terminus.lockmgr.lock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class ListingTest {

    private final Story story = new Story().open("alice", "bob", "carol");

    @Test
    void pagesAreInTheOrderOfStartsWhateverTheModes() {
        story.hold("alice", Mode.EX, 50, 60);
        story.hold("alice", Mode.CR, 20, 40);
        story.hold("bob", Mode.PR, 10, 30);
        story.hold("bob", Mode.PR, 10, 20);

        LockQuery.Page<ClaimView.LockView> first = story.table.locks(LockQuery.all("v", 2));
        LockQuery.Page<ClaimView.LockView> second =
                story.table.locks(new LockQuery("v", 0, 0, null, "", first.next(), 2));

        assertThat(first.items()).extracting(ClaimView::start, ClaimView::end).containsExactly(at(10, 20), at(10, 30));
        assertThat(second.items()).extracting(ClaimView::start, ClaimView::end).containsExactly(at(20, 40), at(50, 60));
        assertThat(second.next()).isEmpty();
    }

    @Test
    void aPageGoesOnAtItsPlaceThoughLocksCameAndWent() {
        long first = story.hold("alice", Mode.EX, 0, 10);
        long second = story.hold("alice", Mode.EX, 10, 20);
        story.hold("alice", Mode.EX, 20, 30);
        String token = story.table.locks(LockQuery.all("v", 2)).next();

        story.release("alice", first);
        story.release("alice", second);
        story.hold("alice", Mode.EX, 5, 15);
        story.hold("alice", Mode.EX, 30, 40);

        assertThat(story.table
                        .locks(new LockQuery("v", 0, 0, null, "", token, 10))
                        .items())
                .extracting(ClaimView::start)
                .containsExactly(20L, 30L);
    }

    @Test
    void locksOfOneRangeAreListedOneByOne() {
        for (int i = 0; i < 5; i++) {
            story.hold("alice", Mode.PR, 0, 10);
        }

        List<Long> ids = new ArrayList<>();
        String token = "";
        do {
            LockQuery.Page<ClaimView.LockView> page = story.table.locks(new LockQuery("v", 0, 0, null, "", token, 2));
            page.items().forEach(lock -> ids.add(lock.id()));
            token = page.next();
        } while (!token.isEmpty());

        assertThat(ids).hasSize(5).isSorted().doesNotHaveDuplicates();
        assertThat(story.table.indexEntries("v")).isEqualTo(1);
    }

    @Test
    @Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void aPageGoesOnThoughTheLockAtItsPlaceJoinedOlderOnesOfAnotherRange() {
        long last = story.hold("alice", Mode.PR, 0, 20);
        story.hold("bob", Mode.PR, 0, 10);
        story.hold("carol", Mode.PR, 0, 10);
        story.hold("bob", Mode.PR, 0, 30);
        String token = story.table.locks(LockQuery.all("v", 3)).next();

        story.shrink("alice", last, 0, 10);
        LockQuery.Page<ClaimView.LockView> next = story.table.locks(new LockQuery("v", 0, 0, null, "", token, 3));

        assertThat(next.items()).extracting(ClaimView::end).containsExactly(30L);
        assertThat(next.next()).isEmpty();
    }

    @Test
    void aListingMayAskForARangeAModeAndASession() {
        story.hold("alice", Mode.PR, 0, 10);
        story.hold("alice", Mode.CR, 5, 15);
        story.hold("bob", Mode.PR, 5, 15);
        story.hold("bob", Mode.PR, 15, 25);

        assertThat(story.table
                        .locks(new LockQuery("v", 0, 15, Mode.PR, "bob", "", 10))
                        .items())
                .singleElement()
                .matches(lock -> lock.start() == 5);
        assertThat(story.table.locks(LockQuery.all("nowhere", 10)).items()).isEmpty();
    }

    @Test
    void aPageLooksAtSoManyEntriesOnly() {
        for (int i = 0; i < 4_000; i++) {
            story.attempt("alice", Mode.EX, i, i + 1);
        }
        story.hold("bob", Mode.EX, 4_000, 4_001);

        LockQuery.Page<ClaimView.LockView> page = story.table.locks(new LockQuery("v", 0, 0, null, "bob", "", 10));
        assertThat(page.items()).isEmpty();
        int pages = 1;
        while (page.items().isEmpty()) {
            assertThat(page.next()).isNotEmpty();
            page = story.table.locks(new LockQuery("v", 0, 0, null, "bob", page.next(), 10));
            pages++;
        }

        assertThat(page.items()).hasSize(1);
        assertThat(pages).isLessThan(5);
    }

    @Test
    void aForeignPageTokenIsRefused() {
        story.hold("alice", Mode.PR, 0, 10);

        assertThatThrownBy(() -> story.table.locks(new LockQuery("v", 0, 0, null, "", "7", 2)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("page token '7' is none of ours");
    }

    @Test
    void whatIsInTheWayOfARequestIsShownLocksFirst() {
        long lock = story.hold("alice", Mode.PR, 0, 10);
        long older = story.ask("bob", Mode.EX, 0, 10);
        long request = story.ask("carol", Mode.EX, 5, 15);

        List<ClaimView> blockers = story.table.blockers("carol", request).orElseThrow();

        assertThat(blockers).hasSize(2);
        assertThat(blockers.getFirst().id()).isEqualTo(lock);
        assertThat(blockers.getLast().requestId()).isEqualTo(older);
        assertThat(story.table.blockers("carol", older)).isEmpty();
        assertThat(story.table.blockers("nobody", 1)).isEmpty();
    }

    @Test
    void contentionIsCountedRangeByRange() {
        story.hold("alice", Mode.EX, 100, 150);
        for (int i = 0; i < 3; i++) {
            story.hold("bob", Mode.PR, 160, 200);
        }
        story.ask("carol", Mode.EX, 140, 170);

        assertThat(story.table.contention("v", 0, 0, 2))
                .containsExactly(new LockQuery.Bucket(100, 150, 1, 1), new LockQuery.Bucket(150, 200, 3, 1));
        assertThat(story.table.contention("v", 0, 400, 4))
                .extracting(LockQuery.Bucket::held)
                .containsExactly(0L, 4L, 0L, 0L);
        assertThat(story.table.contention("nowhere", 0, 0, 4)).isEmpty();
    }

    private static org.assertj.core.groups.Tuple at(long start, long end) {
        return org.assertj.core.groups.Tuple.tuple(start, end);
    }

    @Test
    void sessionsAreShownPageByPageById() {
        Story many = new Story();
        for (int i = 999; i >= 100; i--) {
            many.apply(new Command.OpenSession("s" + i, i % 2 == 0 ? "even/" + i : "odd/" + i, 0));
        }
        many.apply(new Command.CloseSession("s101", "gone"));

        List<String> ids = new java.util.ArrayList<>();
        String token = "";
        do {
            LockQuery.Page<LockTable.SessionView> page = many.table.sessions("odd", token, 7);
            assertThat(page.items().size()).isLessThanOrEqualTo(7);
            page.items().forEach(session -> ids.add(session.sessionId()));
            token = page.next();
        } while (!token.isEmpty());

        assertThat(ids).hasSize(449).isSorted().startsWith("s103", "s105").endsWith("s999");
        assertThat(many.table.sessionCount()).isEqualTo(899);
        assertThat(many.table.sessions()).hasSize(899);
    }

    @Test
    void volumesAreShownPageByPageByName() {
        Story many = new Story();
        for (int i = 25; i >= 10; i--) {
            many.apply(new Command.ConfigureVolume(i, "v" + i, "u" + i, 1_000_000_000));
        }

        List<String> names = new java.util.ArrayList<>();
        List<Integer> pages = new java.util.ArrayList<>();
        String token = "";
        do {
            LockQuery.Page<LockTable.VolumeView> page = many.table.volumes(token, 8);
            pages.add(page.items().size());
            page.items().forEach(volume -> names.add(volume.name()));
            token = page.next();
        } while (!token.isEmpty());

        assertThat(pages).containsExactly(8, 8);
        assertThat(names).hasSize(16).isSorted().startsWith("v10").endsWith("v25");
        assertThat(many.table.volumes()).hasSize(16);
    }
}
