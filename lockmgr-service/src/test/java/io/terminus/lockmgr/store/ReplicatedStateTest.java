package io.terminus.lockmgr.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.store.ReplicatedState.Outcome;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ReplicatedStateTest {

    private final DecisionBatch batch = new DecisionBatch();

    @Test
    void whatALeadershipThatIsOverSendsIsVoid() {
        ReplicatedState state = new ReplicatedState();
        long old = state.open();
        take(state, old, 1, session("s"));
        state.open();

        Outcome late = take(state, old, 2, session("t"));

        assertThat(late).isEqualTo(Outcome.VOID);
        assertThat(state.changes()).containsExactly(session("s"));
    }

    @Test
    void whatComesBehindAGapIsVoid() {
        ReplicatedState state = new ReplicatedState();
        long epoch = state.open();

        Outcome second = take(state, epoch, 2, session("s"));
        Outcome first = take(state, epoch, 1, session("t"));
        Outcome again = take(state, epoch, 1, session("t"));

        assertThat(second).isEqualTo(Outcome.VOID);
        assertThat(first).isEqualTo(Outcome.APPLIED);
        assertThat(again).isEqualTo(Outcome.VOID);
    }

    @Test
    void aMemberThatHasSomethingElseNoticesBeforeItTakesMore() {
        ReplicatedState leader = new ReplicatedState();
        ReplicatedState wrong = new ReplicatedState();
        take(leader, leader.open(), 1, session("s"), volume("v"), lock(7, "s", "v", 0, 10));
        take(wrong, wrong.open(), 1, session("s"), volume("v"), lock(7, "s", "v", 0, 11));

        batch.add(List.of(new Change.LockGone(7)));
        Outcome outcome = wrong.take(
                1, 2, 2, leader.digest(), true, ByteBuffer.wrap(batch.take().getFirst()));

        assertThat(outcome).isEqualTo(Outcome.DIFFERS);
        assertThat(wrong.lockCount()).isEqualTo(1);
    }

    @Test
    void theDigestDependsOnWhatIsHeldAndNotOnTheWayThere() {
        ReplicatedState straight = new ReplicatedState();
        ReplicatedState round = new ReplicatedState();
        take(straight, straight.open(), 1, session("s"), volume("v"), lock(7, "s", "v", 0, 10));
        long epoch = round.open();
        take(round, epoch, 1, session("s"), volume("v"), session("gone"), lock(8, "gone", "v", 20, 30));
        take(round, epoch, 2, lock(7, "s", "v", 0, 5), new Change.LockGone(8), new Change.SessionClosed("gone"));

        take(round, epoch, 3, lock(7, "s", "v", 0, 10));

        assertThat(round.digest()).isEqualTo(straight.digest());
        assertThat(straight.digest()).isNotZero();
    }

    @Test
    void aDecisionInPartsIsDoneWithItsLastPartAndNotAtAllIfThatDoesNotCome() {
        ReplicatedState state = new ReplicatedState();
        long epoch = state.open();
        batch.add(List.of(session("s"), volume("v")));
        for (int i = 0; i < 20_000; i++) {
            batch.add(List.of(lock(100 + i, "s", "v", i, i + 1)));
        }
        List<byte[]> parts = batch.take();

        Outcome kept = state.take(epoch, 1, 1, 0, false, ByteBuffer.wrap(parts.getFirst()));
        boolean wholeBetween = state.whole();
        int locksBetween = state.lockCount();
        long next = state.open();
        for (int i = 0; i < parts.size(); i++) {
            state.take(next, i + 1, 1, 0, i == parts.size() - 1, ByteBuffer.wrap(parts.get(i)));
        }

        assertThat(parts).hasSizeGreaterThan(1);
        assertThat(kept).isEqualTo(Outcome.KEPT);
        assertThat(wholeBetween).isFalse();
        assertThat(locksBetween).isZero();
        assertThat(state.lockCount()).isEqualTo(20_000);
        assertThat(state.whole()).isTrue();
    }

    @Test
    void aSnapshotIsReadAsWhatWasWritten() throws IOException {
        ReplicatedState state = new ReplicatedState();
        long epoch = state.open();
        take(state, epoch, 1, session("s"), volume("v"), lock(7, "s", "v", 0, 10));
        batch.renewed("s", 90);
        batch.add(List.of(new Change.ValuePut("v", 3, new byte[] {1, 2}, "s", 9)));
        state.take(
                epoch, 2, 95, state.digest(), true, ByteBuffer.wrap(batch.take().getFirst()));

        ReplicatedState read = ReplicatedState.read(new ByteArrayInputStream(snapshot(state)), 1);

        Map<String, Long> renewals = new HashMap<>();
        read.forEachRenewal(renewals::put);
        assertThat(read.digest()).isEqualTo(state.digest());
        assertThat(read.epoch()).isEqualTo(epoch);
        assertThat(read.timeNanos()).isEqualTo(95);
        assertThat(renewals).containsExactly(Map.entry("s", 90L));
        assertThat(read.changes()).usingRecursiveComparison().isEqualTo(state.changes());
        assertThat(take(read, epoch, 3, new Change.LockGone(7))).isEqualTo(Outcome.APPLIED);
    }

    @Test
    void aSnapshotWithAnyByteChangedOrMissingIsNotTaken() throws IOException {
        ReplicatedState state = new ReplicatedState();
        take(state, state.open(), 1, session("s"), volume("v"), lock(7, "s", "v", 0, 10));
        byte[] whole = snapshot(state);

        for (int at = 0; at < whole.length; at++) {
            byte[] changed = whole.clone();
            changed[at] ^= 1;
            byte[] shortened = java.util.Arrays.copyOf(whole, at);

            assertThatThrownBy(() -> ReplicatedState.read(new ByteArrayInputStream(changed), 1))
                    .as("byte %d", at)
                    .isInstanceOf(Exception.class);
            assertThatThrownBy(() -> ReplicatedState.read(new ByteArrayInputStream(shortened), 1))
                    .as("%d bytes", at)
                    .isInstanceOf(IOException.class);
        }
    }

    @Test
    void aSnapshotOfANewerVersionIsNamed() {
        byte[] newer = "TLMSNAP2".getBytes(java.nio.charset.StandardCharsets.US_ASCII);

        assertThatThrownBy(() -> ReplicatedState.read(new ByteArrayInputStream(newer), 1))
                .hasMessage("it is of version 2, known are those to 1");
    }

    private Outcome take(ReplicatedState state, long epoch, long number, Change... changes) {
        batch.add(List.of(changes));
        return state.take(
                epoch,
                number,
                number,
                state.digest(),
                true,
                ByteBuffer.wrap(batch.take().getFirst()));
    }

    private static byte[] snapshot(ReplicatedState state) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        state.writeTo(out);
        return out.toByteArray();
    }

    private static Change session(String id) {
        return new Change.SessionOpened(id, "owner", 1_000);
    }

    private static Change volume(String name) {
        return new Change.VolumePut(name, "uuid-" + name, 0);
    }

    private static Change lock(long id, String session, String volume, long start, long end) {
        return new Change.LockPut(id, session, 1, 1, volume, start, end, start, end, Mode.EX, id, false);
    }
}
