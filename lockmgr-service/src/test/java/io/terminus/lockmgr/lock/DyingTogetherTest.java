package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class DyingTogetherTest {

    private static final int SESSIONS = 1_000;
    private static final int LOCKS_EACH = 10;
    /** What one tick takes away, and what one session may add to that. */
    private static final int MOST_IN_TICK = 256 + LOCKS_EACH;

    private static final long LEASE = 6 * SECOND + LockTable.marginNanos(6 * SECOND);

    private final Story story = new Story().open("bystander");

    @Test
    void sessionsThatDieTogetherAreEndedInPiecesAndOthersAreServedInBetween() {
        fill();
        story.pass(LEASE - 1, "bystander");
        story.look();
        story.now++;

        int ticks = 0;
        List<Long> served = new ArrayList<>();
        do {
            story.changed.clear();
            story.apply(new Command.Tick());
            ticks++;
            assertThat(story.changed).hasSizeBetween(1, MOST_IN_TICK);
            served.add(story.askOn("other", "bystander", Mode.PR, 0, 10, 0, false));
        } while (story.table.behind());

        assertThat(ticks).isGreaterThan(SESSIONS * LOCKS_EACH / MOST_IN_TICK);
        assertThat(story.only(Notice.SessionEnded.class)).hasSize(SESSIONS);
        assertThat(story.grantedRequests()).isEqualTo(served);
        assertThat(story.table.volumes()).extracting(LockTable.VolumeView::held).containsExactly(served.size(), 0);
    }

    @Test
    void waitsThatEndTogetherAreRefusedInPiecesBeforeAnySessionIsEnded() {
        story.hold("bystander", Mode.EX, 0, 10);
        for (int i = 0; i < SESSIONS; i++) {
            story.open("s" + i);
            story.ask("s" + i, Mode.EX, 0, 10, LEASE, false);
        }
        story.progress("bystander", story.lockOf(1));
        story.pass(LEASE - 1, "bystander");
        story.look();
        story.now++;

        do {
            story.apply(new Command.Tick());
            boolean allRefused = story.refusals().size() == SESSIONS;
            assertThat(allRefused || story.only(Notice.SessionEnded.class).isEmpty())
                    .isTrue();
        } while (story.table.behind());

        assertThat(story.refusals()).hasSize(SESSIONS).allMatch(refused -> refused.reason() == Reason.DEADLINE);
        assertThat(story.only(Notice.SessionEnded.class)).hasSize(SESSIONS);
    }

    @Test
    void aSessionThatRenewsBeforeItsTurnComesLivesOn() {
        fill();
        story.pass(LEASE - 1, "bystander");
        story.now++;
        story.apply(new Command.Tick());
        assertThat(story.table.behind()).isTrue();

        String last = "s" + (SESSIONS - 1);
        story.renew(last);
        while (story.table.behind()) {
            story.apply(new Command.Tick());
        }

        assertThat(story.table.heldBy(last)).hasSize(LOCKS_EACH);
    }

    private void fill() {
        for (int i = 0; i < SESSIONS; i++) {
            story.open("s" + i);
            for (int j = 0; j < LOCKS_EACH; j++) {
                long start = 10L * (i * LOCKS_EACH + j);
                story.hold("s" + i, Mode.EX, start, start + 10);
                story.said.clear();
            }
        }
    }
}
