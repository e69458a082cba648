package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class IdleVolumesTest {

    private static final long KEPT = 60 * SECOND;

    private final Story story = new Story().open("alice", "bob");

    @Test
    void aRequestThatIsRefusedBringsNoVolumeIntoBeing() {
        story.hold("alice", Mode.EX, 0, 10);
        long own = story.hold("bob", Mode.EX, 20, 30);
        story.changed.clear();

        Command.Part elsewhere = new Command.Part("w", "uuid-of-w", 0, 10, Mode.EX);
        story.apply(new Command.Acquire(
                "bob", 900, "v", "u", 0, 10, Mode.EX, 0, false, 0, 0, java.util.List.of(elsewhere)));
        story.apply(new Command.Acquire(
                "bob", 901, "v", "u", 20, 30, Mode.EX, SECOND, false, 0, 0, java.util.List.of(elsewhere)));

        assertThat(story.refusals())
                .extracting(Notice.Refused::reason)
                .containsExactly(Reason.WOULD_BLOCK, Reason.DEADLOCK);
        assertThat(story.changed).isEmpty();
        assertThat(story.table.value("w")).isEmpty();
        assertThat(own).isPositive();
    }

    @Test
    void aVolumeThatNobodyUsesIsForgottenAfterAWhile() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.pass(KEPT, "alice", "bob");
        assertThat(story.table.value("v")).isPresent();
        story.release("alice", lock);

        story.pass(KEPT - SECOND, "alice", "bob");
        assertThat(story.table.value("v")).isPresent();
        story.pass(2 * SECOND, "alice", "bob");

        assertThat(story.table.value("v")).isEmpty();
        assertThat(story.changed).contains(new Change.VolumeGone("v"));
    }

    @Test
    void oneThatIsUsedNowAndThenStays() {
        for (int i = 0; i < 5; i++) {
            long lock = story.hold("alice", Mode.EX, 0, 10);
            story.release("alice", lock);
            story.pass(KEPT / 2, "alice", "bob");
        }

        assertThat(story.changed).filteredOn(Change.VolumePut.class::isInstance).hasSize(1);
        assertThat(story.table.value("v")).isPresent();
    }

    @Test
    void waitersAlsoUseAVolume() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.askAll(
                "bob",
                new Command.Part("v", "uuid-of-v", 0, 10, Mode.EX),
                new Command.Part("w", "uuid-of-w", 0, 10, Mode.EX));

        for (int i = 0; i < 20; i++) {
            story.progress("alice", lock);
            story.pass(SECOND, "alice", "bob");
        }
        assertThat(story.table.value("w")).isPresent();
        story.pass(2 * KEPT, "bob");

        assertThat(story.table.volumes()).extracting(LockTable.VolumeView::held).containsExactly(1, 1);
    }

    @Test
    void aValueBlockAndALockDelayAreRemembered() {
        long lock = story.hold("alice", Mode.EX, 0, Long.MAX_VALUE);
        story.put("alice", lock, 0, "kept");
        story.release("alice", lock);
        story.apply(new Command.ConfigureVolume(900, "delayed", "u", SECOND));

        story.pass(3 * KEPT, "alice", "bob");
        assertThat(story.table.value("v")).isPresent();
        assertThat(story.table.value("delayed")).isPresent();
        story.apply(new Command.ConfigureVolume(901, "delayed", "u", 0));
        story.pass(2 * KEPT, "alice", "bob");

        assertThat(story.table.value("delayed")).isEmpty();
    }

    @Test
    void tokensOfAVolumeThatComesAgainAreHigherThanBefore() {
        long before = story.hold("alice", Mode.EX, 0, 10);
        story.release("alice", before);
        story.pass(2 * KEPT, "alice", "bob");
        assertThat(story.table.value("v")).isEmpty();

        long after = story.hold("alice", Mode.EX, 0, 10);
        story.restart(0);

        assertThat(after).isGreaterThan(before);
        assertThat(story.hold("alice", Mode.EX, 20, 30)).isGreaterThan(after);
    }

    @Test
    void whatARestartFindsUnusedIsForgottenToo() {
        story.release("alice", story.hold("alice", Mode.EX, 0, 10));
        story.restart(0);
        assertThat(story.table.value("v")).isPresent();

        story.pass(2 * KEPT, "alice", "bob");

        assertThat(story.table.value("v")).isEmpty();
    }

    @Test
    void inARecoveryNothingIsForgotten() {
        story.release("alice", story.hold("alice", Mode.EX, 0, 10));
        story.restart(3 * KEPT);

        story.pass(2 * KEPT, "alice", "bob");
        assertThat(story.table.value("v")).isPresent();
        story.pass(2 * KEPT, "alice", "bob");

        assertThat(story.table.value("v")).isEmpty();
    }

    @Test
    void manyVolumesUsedOnceAreForgottenByAndBy() {
        for (int i = 0; i < 20_000; i++) {
            long request = story.askOn("volume-" + i, "alice", Mode.EX, 0, 10, 0, false);
            story.release("alice", story.lockOf(request));
            story.look();
        }
        assertThat(story.table.volumes()).hasSize(20_000);

        story.pass(2 * KEPT, "alice", "bob");

        assertThat(story.table.volumes()).isEmpty();
    }
}
