package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static io.terminus.lockmgr.lock.Story.WHOLE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ValueBlockTest {

    private final Story story = new Story().open("alice", "bob");

    @Test
    void theHolderOfTheWholeVolumeWritesTheValueUnderItsVersion() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.look();

        long first = story.put("alice", lock, 0, "one");
        story.put("alice", lock, 1, "two");

        assertThat(story.only(Notice.ValueStored.class))
                .extracting(Notice.ValueStored::version)
                .containsExactly(1L, 2L);
        assertThat(story.only(Notice.ValueStored.class).getFirst().requestId()).isEqualTo(first);
        assertThat(story.changed).hasSize(2).allMatch(Change::mustBeSynced);
        assertThat(text()).isEqualTo("two");
    }

    @Test
    void anotherVersionThanExpectedIsRefusedAndChangesNothing() {
        long lock = story.hold("alice", Mode.PW, 0, WHOLE);
        story.put("alice", lock, 0, "one");
        story.look();

        story.put("alice", lock, 0, "other");

        assertThat(story.refusal().reason()).isEqualTo(Reason.VERSION_MISMATCH);
        assertThat(story.refusal().volume()).isEqualTo("v");
        assertThat(story.refusal().message()).contains("version 0 was expected", "is at 1");
        assertThat(story.changed).isEmpty();
        assertThat(text()).isEqualTo("one");
    }

    @Test
    void aRetryOfTheLastPutIsAnsweredAsDone() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        long put = story.put("alice", lock, 0, "one");
        story.restart(0);
        story.look();

        story.apply(new Command.PutValue("alice", put, "v", lock, 0, "one".getBytes(UTF_8)));

        assertThat(story.only(Notice.ValueStored.class)).hasSize(1).first().matches(stored -> stored.version() == 1);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void withoutALockOnTheWholeVolumeThatMayWriteNothingIsStored() {
        long whole = story.hold("alice", Mode.CR, 0, WHOLE);
        long part = story.hold("alice", Mode.PW, 0, WHOLE - 1);
        story.look();

        story.put("alice", whole, 0, "one");
        story.put("alice", part, 0, "one");
        story.put("bob", whole, 0, "one");
        story.put("alice", 4711, 0, "one");

        assertThat(story.refusals()).hasSize(4).allMatch(r -> r.reason() == Reason.NOT_HOLDER);
        assertThat(story.changed).isEmpty();
    }

    @Test
    void aLockOfAnotherVolumeIsNotEnough() {
        long request = story.askOn("w", "alice", Mode.EX, 0, WHOLE, 0, false);
        story.hold("bob", Mode.PR, 0, 10);
        story.said.removeIf(
                n -> n instanceof Notice.Granted granted && granted.volume().equals("v"));
        long lock = story.lockOf(request);
        story.look();

        story.put("alice", lock, 0, "one");

        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
    }

    @Test
    void aRevokedLockIsNotEnough() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.forceRelease(lock);
        story.look();

        story.put("alice", lock, 0, "one");

        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
        assertThat(story.refusal().message()).contains("revoked");
    }

    @Test
    void aSessionWhoseLeaseIsOverIsRefusedEvenBeforeTheTickThatEndsIt() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.pass(6 * SECOND);
        story.look();

        story.now += SECOND / 2;
        story.put("alice", lock, 0, "one");

        assertThat(story.refusal().reason()).isEqualTo(Reason.NOT_HOLDER);
        assertThat(story.refusal().message()).contains("lease");
    }

    @Test
    void aValueMayHaveFourKibibytesAndNotOneByteMore() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.look();

        story.put("alice", lock, 0, "x".repeat(4097));
        assertThat(story.refusal().reason()).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(story.refusal().message()).contains("4097", "4096");
        story.put("alice", lock, 0, "x".repeat(4096));

        assertThat(text()).hasSize(4096);
    }

    @Test
    void theTableKeepsItsOwnCopyOfTheValue() {
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        byte[] value = "one".getBytes(UTF_8);

        story.apply(new Command.PutValue("alice", 50, "v", lock, 0, value));
        value[0] = 'X';

        assertThat(text()).isEqualTo("one");
        assertThat(story.table.value("nowhere")).isEmpty();
    }

    private String text() {
        return new String(story.table.value("v").orElseThrow().value(), UTF_8);
    }
}
