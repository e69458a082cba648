package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class ValidationTest {

    private final Story story = new Story().open("alice", "bob");

    @Test
    void badNamesAreRefusedWithTheValueAndTheRule() {
        story.look();

        story.askOn("no spaces", "alice", Mode.EX, 0, 10, 0, false);
        assertThat(story.refusal().reason()).isEqualTo(Reason.INVALID_NAME);
        assertThat(story.refusal().message())
                .isEqualTo("volume name 'no spaces' breaks the rule: 1 to 128 characters of A-Z a-z 0-9 . _ -");
        story.askOn("", "alice", Mode.EX, 0, 10, 0, false);
        story.askOn("x".repeat(129), "alice", Mode.EX, 0, 10, 0, false);
        story.askOn("a:b", "alice", Mode.EX, 0, 10, 0, false);
        story.apply(new Command.OpenSession("s/1", "owner", 0));
        story.apply(new Command.OpenSession("s1", "Ünder", 0));
        story.apply(new Command.Acquire("alice", 99, "new", "", 0, 10, Mode.EX, 0, false));

        assertThat(story.refusals()).hasSize(7).allMatch(r -> r.reason() == Reason.INVALID_NAME);
        assertThat(story.refusals().get(2).message()).contains("...' (129 characters)");
        assertThat(story.changed).isEmpty();
        assertThat(story.table.volumes()).isEmpty();
    }

    @Test
    void theLongestNamesAndOwnersWithSlashesAreTaken() {
        story.apply(new Command.OpenSession("x".repeat(128), "host-1.example:4711/agent_a", 0));
        story.apply(new Command.Acquire("alice", 1, "Vol-1.a_b" + "x".repeat(119), "u", 0, 10, Mode.EX, 0, false));

        assertThat(story.refusals()).isEmpty();
        assertThat(story.table.sessions()).hasSize(3);
    }

    @Test
    void badRangesAreRefusedWithTheValueAndTheRule() {
        story.look();

        story.attempt("alice", Mode.EX, 10, 10);
        assertThat(story.refusal().message()).isEqualTo("range [10, 10) breaks the rule 0 <= start < end");
        story.attempt("alice", Mode.EX, -1, 10);
        story.attempt("alice", Mode.EX, 11, 10);

        assertThat(story.refusals()).hasSize(3).allMatch(r -> r.reason() == Reason.INVALID_RANGE);
    }

    @Test
    void theLastByteCanBeLocked() {
        story.hold("alice", Mode.EX, Long.MAX_VALUE - 1, Long.MAX_VALUE);
        story.hold("bob", Mode.EX, 0, Long.MAX_VALUE - 1);

        assertThat(story.granted()).hasSize(2);
    }

    @Test
    void onlyAStandbyMayWaitForEver() {
        story.hold("bob", Mode.EX, 0, 10);
        story.look();

        story.ask("alice", Mode.EX, 0, 10, -1, false);
        story.ask("alice", Mode.EX, 0, 10, -2, true);
        story.ask("alice", Mode.EX, 0, 10, 24 * 3600 * SECOND + 1, false);
        story.ask("alice", Mode.EX, 0, 10, -1, true);
        story.ask("alice", Mode.EX, 20, 30, 24 * 3600 * SECOND, false);

        assertThat(story.refusals()).hasSize(3).allMatch(r -> r.reason() == Reason.INVALID_ARGUMENT);
        assertThat(story.table.waiters(LockQuery.all("v", 10)).items()).hasSize(1);
    }

    @Test
    void aPromotionNeedsAWaitThatEnds() {
        story.hold("bob", Mode.EX, 0, 10);
        long standby = story.standBy("alice", Mode.EX, 0, 10);
        story.look();

        story.apply(new Command.Promote("alice", 90, standby, 0));
        story.apply(new Command.Promote("alice", 91, standby, -1));
        story.apply(new Command.Promote("alice", 92, standby, 24 * 3600 * SECOND + 1));

        assertThat(story.refusals()).hasSize(3).allMatch(r -> r.reason() == Reason.INVALID_ARGUMENT);
        assertThat(story.recalls()).isEmpty();
    }

    @Test
    void everyLimitIsKeptAndNamed() {
        Story small = new Story(new Settings(1, 10, 5, 5, 30, 100, 4096, 3, 2, 4, 2, 2, 1, 128, 0, 64, 1000))
                .open("alice", "bob");

        small.open("carol");
        assertThat(small.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(small.refusal().message()).isEqualTo("there are 2 sessions, the most allowed");
        small.attempt("alice", Mode.NL, 0, 10);
        small.attempt("alice", Mode.NL, 0, 10);
        small.attempt("alice", Mode.NL, 0, 10);
        small.look();
        small.attempt("alice", Mode.NL, 0, 10);
        assertThat(small.refusal().message())
                .isEqualTo("session alice has 3 locks and waiting requests; the most allowed is 3");
        small.attempt("bob", Mode.NL, 0, 10);
        small.look();
        small.attempt("bob", Mode.NL, 0, 10);
        assertThat(small.refusal().message())
                .isEqualTo("volume v has 4 locks and waiting requests; the most allowed is 4");
        small.look();
        small.askOn("w", "bob", Mode.NL, 0, 10, 0, false);

        assertThat(small.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(small.refusal().message()).isEqualTo("there are 1 volumes; the most allowed is 1");
    }

    @Test
    void waitersAreLimitedPerSessionAndPerVolume() {
        Story small = new Story(new Settings(1, 10, 5, 5, 30, 100, 4096, 100, 2, 100, 3, 10, 10, 128, 0, 64, 1000))
                .open("alice", "bob", "carol");
        small.attempt("alice", Mode.EX, 0, 10);
        small.ask("bob", Mode.PR, 0, 10, 50, false);
        small.ask("bob", Mode.PR, 0, 10, 50, false);
        small.look();

        small.ask("bob", Mode.PR, 0, 10, 50, false);
        assertThat(small.refusal().message()).isEqualTo("session bob has 2 requests waiting; the most allowed is 2");
        small.ask("carol", Mode.PR, 0, 10, 50, false);
        small.look();
        small.ask("carol", Mode.PR, 0, 10, 50, false);

        assertThat(small.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(small.refusal().message()).isEqualTo("volume v has 3 requests waiting; the most allowed is 3");
    }

    @Test
    void locksAndWaitersOfAllVolumesAreLimitedTogether() {
        Story small = new Story(Settings.defaults().withMaxLocks(4)).open("alice", "bob");
        long lock = small.hold("alice", Mode.EX, 0, 10);
        small.askOn("w", "alice", Mode.EX, 0, 10, 0, false);
        small.ask("bob", Mode.EX, 0, 10);
        small.look();

        small.askAll("bob", part("x", Mode.EX), part("y", Mode.EX));
        assertThat(small.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(small.refusal().message())
                .isEqualTo("there are 3 locks and waiting requests on all volumes; the most allowed is 4");
        small.look();
        small.split("alice", lock, 5);
        assertThat(small.refusals()).isEmpty();
        small.split("alice", lock, 2);
        assertThat(small.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        small.look();
        small.release("alice", lock);
        small.askOn("x", "bob", Mode.EX, 0, 10, 0, false);

        assertThat(small.refusals()).isEmpty();
    }

    private static Command.Part part(String volume, Mode mode) {
        return new Command.Part(volume, "uuid-of-" + volume, 0, 10, mode);
    }

    @Test
    void settingsThatContradictThemselvesAreRefused() {
        Settings defaults = Settings.defaults();

        assertThatThrownBy(() -> defaults.withTtl(0, 2, 1)).hasMessageContaining("0 < min <= default <= max");
        assertThatThrownBy(() -> defaults.withTtl(2, 3, 1)).hasMessageContaining("2 / 1 / 3 ns");
        assertThatThrownBy(() -> defaults.withRecall(5, 4)).hasMessageContaining("0 < deadline <= cap");
        assertThatThrownBy(() -> new Settings(1, 10, 5, 5, 30, 100, 4096, 0, 2, 4, 2, 2, 1, 128, 0, 64, 1000))
                .hasMessage("max locks per session of 0 must be positive");
    }
}
