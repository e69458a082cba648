package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class AtomicTest {

    private final Story story = new Story().open("alice", "bob", "carol");

    @Test
    void allRangesAreGrantedInOneDecisionAndAnsweredInTheirOrder() {
        story.look();

        story.askAll("alice", part("w", Mode.EX, 0, 10), part("v", Mode.PR, 5, 15), part("v", Mode.EX, 20, 30));

        Notice.GrantedAll all = story.only(Notice.GrantedAll.class).getFirst();
        assertThat(all.locks())
                .extracting(lock -> lock.volume() + " " + lock.mode() + " " + lock.start())
                .containsExactly("w EX 0", "v PR 5", "v EX 20");
        assertThat(all.locks()).extracting(Notice.Granted::token).isSorted().doesNotHaveDuplicates();
        assertThat(story.changed).filteredOn(Change.LockPut.class::isInstance).hasSize(3);
    }

    @Test
    void nothingIsGrantedWhileOneRangeIsNotFree() {
        long lock = story.hold("bob", Mode.EX, 20, 30);
        story.look();

        long request = story.askAll("alice", part("v", Mode.EX, 0, 10), part("v", Mode.EX, 20, 30));
        assertThat(story.only(Notice.GrantedAll.class)).isEmpty();
        assertThat(story.recalls()).extracting(Notice.Recall::lockId).containsExactly(lock);
        story.release("bob", lock);

        assertThat(story.only(Notice.GrantedAll.class))
                .extracting(Notice.GrantedAll::requestId)
                .containsExactly(request);
    }

    @Test
    void aRangeThatIsFreeIsWaitedForAsWellAndNotOvertaken() {
        long lock = story.hold("bob", Mode.EX, 20, 30);
        story.askAll("alice", part("v", Mode.EX, 0, 10), part("v", Mode.EX, 20, 30));
        story.look();

        story.attempt("carol", Mode.EX, 5, 6);

        assertThat(story.refusal().reason()).isEqualTo(Reason.WOULD_BLOCK);
        assertThat(story.table.volumes().getFirst().waiting()).isEqualTo(2);
        assertThat(lock).isPositive();
    }

    @Test
    void thoseBehindAnAtomicRequestThatWaitsElsewhereAreGrantedIfTheyShare() {
        story.hold("bob", Mode.EX, 20, 30);
        long first = story.hold("bob", Mode.EX, 0, 10);
        story.askAll("alice", part("v", Mode.PR, 0, 10), part("v", Mode.EX, 20, 30));
        long behind = story.ask("carol", Mode.PR, 0, 10);
        story.look();

        story.release("bob", first);

        assertThat(story.grantedRequests()).containsExactly(behind);
        assertThat(story.only(Notice.GrantedAll.class)).isEmpty();
    }

    @Test
    void partsOfOneRequestMustNotConflict() {
        story.look();

        story.askAll("alice", part("v", Mode.EX, 0, 10), part("w", Mode.EX, 0, 10), part("v", Mode.PR, 9, 12));

        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_ARGUMENT);
        assertThat(story.refusal().message())
                .isEqualTo("parts 1 (EX [0, 10)) and 3 (PR [9, 12)) of one request conflict on volume v");
        assertThat(story.table.volumes()).isEmpty();
    }

    @Test
    void rangesOfOneRequestAreLimited() {
        story.look();
        List<Command.Part> also = new ArrayList<>();
        for (int i = 1; i <= 64; i++) {
            also.add(part("v", Mode.EX, i, i + 1));
        }

        story.apply(new Command.Acquire("alice", 99, "v", "u", 0, 1, Mode.EX, 0, false, 0, 0, also));
        assertThat(story.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(story.refusal().message()).isEqualTo("request 99 names 65 ranges, the most allowed is 64");
        story.look();
        also.removeLast();
        story.apply(new Command.Acquire("alice", 99, "v", "u", 0, 1, Mode.EX, 0, false, 0, 0, also));

        assertThat(story.only(Notice.GrantedAll.class).getFirst().locks()).hasSize(64);
    }

    @Test
    void aStandbyWaitsForOneRangeOnly() {
        story.look();

        story.apply(new Command.Acquire(
                "alice", 99, "v", "u", 0, 1, Mode.EX, -1, true, 0, 0, List.of(part("w", Mode.EX, 0, 1))));

        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_ARGUMENT);
    }

    @Test
    void aRetryIsAnsweredWithWhatIsStillHeld() {
        long request = story.askAll("alice", part("v", Mode.EX, 0, 10), part("v", Mode.EX, 20, 30));
        List<Notice.Granted> locks =
                story.only(Notice.GrantedAll.class).getFirst().locks();
        story.release("alice", locks.getFirst().lockId());
        story.restart(0);
        story.look();

        story.askAllAgain(request, "alice", part("v", Mode.EX, 0, 10), part("v", Mode.EX, 20, 30));

        assertThat(story.only(Notice.GrantedAll.class).getFirst().locks()).containsExactly(locks.getLast());
    }

    @Test
    void cancelGivesUpAllPartsHeldOrWaiting() {
        long held = story.askAll("alice", part("v", Mode.EX, 0, 10), part("v", Mode.EX, 20, 30));
        long waiting = story.askAll("bob", part("v", Mode.EX, 0, 10), part("w", Mode.EX, 20, 30));
        story.look();

        story.cancel("bob", waiting);
        story.cancel("alice", held);

        assertThat(story.refusal().requestId()).isEqualTo(waiting);
        assertThat(story.table.volumes()).allMatch(v -> v.held() == 0 && v.waiting() == 0);
    }

    @Test
    void oneDeadlineEndsTheWaitForAllParts() {
        story.hold("alice", Mode.EX, 0, 10);
        story.apply(new Command.Acquire(
                "bob", 99, "v", "u", 0, 10, Mode.EX, 2 * SECOND, false, 0, 0, List.of(part("w", Mode.EX, 20, 30))));
        story.look();

        story.pass(2 * SECOND, "alice", "bob", "carol");

        assertThat(story.refusals())
                .singleElement()
                .matches(refused -> refused.requestId() == 99 && refused.reason() == Reason.DEADLINE);
        assertThat(story.table.volumes()).allMatch(v -> v.waiting() == 0);
    }

    @Test
    void aRingMayRunOverASecondPart() {
        story.askOn("w", "bob", Mode.EX, 0, 10, 0, false);
        story.hold("alice", Mode.EX, 0, 10);
        story.askAll("alice", part("v", Mode.EX, 50, 60), part("w", Mode.EX, 0, 10));
        story.look();

        story.askAll("bob", part("v", Mode.EX, 70, 80), part("v", Mode.EX, 5, 15));

        assertThat(story.refusal().reason()).isEqualTo(Reason.DEADLOCK);
        assertThat(story.refusal().message()).contains("bob waits for EX [5, 15) of v, where alice holds EX [0, 10)");
    }

    @Test
    void onlyTheFirstPartGrowsAndNotIntoTheOthers() {
        story.look();

        story.apply(new Command.Acquire(
                "alice",
                99,
                "v",
                "u",
                10,
                20,
                Mode.EX,
                0,
                false,
                0,
                100,
                List.of(part("v", Mode.EX, 50, 60), part("w", Mode.EX, 0, 10))));

        assertThat(story.only(Notice.GrantedAll.class).getFirst().locks())
                .extracting(lock -> List.of(lock.start(), lock.end()))
                .containsExactly(List.of(0L, 50L), List.of(50L, 60L), List.of(0L, 10L));
    }

    private static Command.Part part(String volume, Mode mode, long start, long end) {
        return new Command.Part(volume, "uuid-of-" + volume, start, end, mode);
    }
}
