package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.Story.SECOND;
import static io.terminus.lockmgr.lock.Story.WHOLE;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class WatchTest {

    private final Story story = new Story().open("alice", "bob", "carol");

    @Test
    void whatHappensOnAWatchedVolumeIsToldInItsOrder() {
        story.table.watch("v", true);
        long lock = story.hold("alice", Mode.PR, 0, 10);
        long second = story.hold("bob", Mode.PR, 0, 10);
        long conversion = story.convert("alice", lock, Mode.EX);
        story.cancel("alice", conversion);
        story.shrink("alice", lock, 0, 5);
        story.release("bob", second);
        story.forceRelease(lock);

        assertThat(story.events)
                .extracting(LockEvent::kind)
                .containsExactly(
                        LockEvent.Kind.GRANTED,
                        LockEvent.Kind.GRANTED,
                        LockEvent.Kind.WAITING,
                        LockEvent.Kind.RECALLED,
                        LockEvent.Kind.GAVE_UP,
                        LockEvent.Kind.CHANGED,
                        LockEvent.Kind.RELEASED,
                        LockEvent.Kind.REVOKED);
    }

    @Test
    void aWaiterIsToldWithWhatIsInItsWay() {
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.table.watch("v", true);

        story.ask("bob", Mode.EX, 5, 15);

        assertThat(story.events.getFirst().claim())
                .isInstanceOfSatisfying(
                        ClaimView.WaiterView.class,
                        waiter -> assertThat(waiter.blockedBy()).containsExactly(lock));
    }

    @Test
    void expiryAndValuesAreToldAsWell() {
        story.table.watch("v", true);
        long lock = story.hold("alice", Mode.EX, 0, WHOLE);
        story.put("alice", lock, 0, "value");

        story.pass(7 * SECOND, "bob", "carol");

        assertThat(story.events)
                .extracting(LockEvent::kind)
                .containsExactly(LockEvent.Kind.GRANTED, LockEvent.Kind.VALUE_PUT, LockEvent.Kind.EXPIRED);
        assertThat(story.events.get(1).valueVersion()).isEqualTo(1);
    }

    @Test
    void aLockThatGivesWayToANewerOneThatIsAssertedIsToldAsGone() {
        long older = story.hold("alice", Mode.EX, 0, 10);
        Notice.Granted olderGrant = story.granted().getFirst();
        story.look();
        story.release("alice", older);
        story.hold("bob", Mode.EX, 0, 10);
        Notice.Granted newerGrant = story.granted().getFirst();
        story.loseMemory(Story.SECOND);
        story.open("alice", "bob");
        story.table.watch("v", true);
        story.events.clear();

        story.reassert(olderGrant);
        story.reassert(newerGrant);

        assertThat(story.events)
                .extracting(LockEvent::kind)
                .containsExactly(LockEvent.Kind.GRANTED, LockEvent.Kind.RELEASED, LockEvent.Kind.GRANTED);
    }

    @Test
    void othersVolumesAreNotToldAndNeitherIsWhatHappensAfterTheLook() {
        story.table.watch("w", true);
        long lock = story.hold("alice", Mode.EX, 0, 10);
        story.table.watch("v", true);
        story.table.watch("v", false);

        story.release("alice", lock);

        assertThat(story.events).isEmpty();
    }
}
