package io.terminus.simulation.world;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.Role;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeSight;
import io.terminus.simulation.kernel.World;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Each check is shown something that must never be; a checker that cannot fire proves nothing. */
class ReplicaChecksTest {

    private static final int BUDGET = 10_000;
    private static final Lineage FIRST = lineage(1, 0);
    private static final Lineage SECOND = FIRST.plus(new TermStart(2, "b", 128));

    private final World world = new World(1, false);
    private final Oracle oracle = new Oracle(world, 4);
    private ReplicaChecks checks = received(2);

    private ReplicaChecks received(int copies) {
        return new ReplicaChecks(world, oracle, true, copies, BUDGET);
    }

    private ReplicaChecks durable(int copies) {
        return new ReplicaChecks(world, oracle, false, copies, BUDGET);
    }

    private static Lineage lineage(long term, long from) {
        return Lineage.EMPTY.plus(new TermStart(term, "a", from));
    }

    /** A replica that is told apart from a healthy one by a few values. */
    private static final class Sight {
        private Role role = Role.REPLICA;
        private boolean serves;
        private Lineage lineage = FIRST;
        private long end = 200;
        private long durable = 200;
        private long committed = 200;
        private long applied = 100;
        private long fence = 1;
        private long version = 1;
        private String failed = "";
        private String incarnation = "1";
        private boolean memoryLost;

        VolumeSight get() {
            return new VolumeSight(
                    role,
                    "",
                    serves,
                    serves,
                    serves ? lineage.lastTerm() : 0,
                    lineage,
                    0,
                    end,
                    durable,
                    committed,
                    applied,
                    50,
                    50,
                    fence,
                    version,
                    failed,
                    incarnation,
                    memoryLost,
                    false,
                    false);
        }
    }

    private static Sight sight() {
        return new Sight();
    }

    private static Sight writer() {
        Sight s = new Sight();
        s.role = Role.WRITER;
        s.serves = true;
        return s;
    }

    private static Sight upTo(long end, long durable) {
        Sight s = new Sight();
        s.end = end;
        s.durable = durable;
        s.committed = Math.min(end, 100);
        s.applied = 50;
        return s;
    }

    private static Sight forgetful(long end) {
        Sight s = upTo(end, end);
        s.memoryLost = true;
        return s;
    }

    private static VolumeConfig config(long term, String writer, int copies, String... inSync) {
        return new VolumeConfig(
                new UUID(0, 1),
                "v",
                1 << 20,
                1 << 20,
                term,
                writer,
                Stream.of(inSync).map(a -> new VolumeConfig.Member(a, "1")).toList(),
                List.of(),
                AckLevel.RECEIVED,
                copies,
                1,
                FIRST,
                Failover.AUTOMATIC,
                Stream.of("a", "b", "c")
                        .map(a -> new VolumeConfig.Address(a, a + ":1", a + ":2"))
                        .toList(),
                VolumeConfig.Fork.NONE);
    }

    private void moved(VolumeConfig to, long version) {
        checks.moved(to, version);
    }

    private void look(Sight a, Sight b, Sight c, @Nullable VolumeConfig config, long version) {
        checks.look(Map.of("a", a.get(), "b", b.get(), "c", c.get()), config, version);
    }

    private void assertHolds() {
        assertThat(world.violation()).isNull();
    }

    private void assertBroken(String part) {
        assertThat(world.violation()).contains(part);
    }

    private static final VolumeConfig ALL = config(1, "a", 2, "a", "b", "c");

    @Test
    void twoThatServeAndBelieve() {
        // given
        look(writer(), sight(), sight(), ALL, 1);
        assertHolds();

        // when
        look(writer(), writer(), sight(), ALL, 1);

        // then
        assertBroken("both serve and believe");
    }

    @Test
    void anAcknowledgedWriteThatOneMoreThanMayLacks() {
        // given
        moved(ALL, 1);
        checks.acknowledged(writer().get());
        look(writer(), sight(), upTo(150, 150), ALL, 1);
        assertHolds();

        // when
        look(writer(), upTo(150, 150), upTo(150, 150), ALL, 1);

        // then
        assertBroken("not everything acknowledged");
    }

    @Test
    void anAcknowledgedWriteThatTooFewHaveWhileTheLockManagerIsDown() {
        // given
        moved(ALL, 1);
        checks.acknowledged(writer().get());

        // when
        look(writer(), upTo(150, 150), upTo(150, 150), null, 0);

        // then
        assertBroken("not everything acknowledged");
    }

    @Test
    void anAcknowledgementAheadOfTheSyncAtDurable() {
        // given
        checks = durable(2);
        moved(ALL, 1);
        checks.acknowledged(writer().get());
        look(writer(), sight(), upTo(200, 150), ALL, 1);
        assertHolds();

        // when
        checks = durable(2);
        moved(ALL, 1);
        checks.acknowledged(writer().get());
        look(writer(), upTo(200, 150), upTo(200, 150), ALL, 1);

        // then
        assertBroken("not everything acknowledged");
    }

    @Test
    void aRestartForgetsWhatIsDurableAndTheDiskDoesNot() {
        // given
        checks = durable(2);
        moved(ALL, 1);
        look(writer(), sight(), upTo(150, 150), ALL, 1);
        checks.acknowledged(writer().get());

        // when
        look(writer(), upTo(200, 50), upTo(150, 50), ALL, 1);

        // then
        assertHolds();
    }

    @Test
    void anAcknowledgedWriteThatALossOfPowerTookAtDurable() {
        // given
        checks = durable(2);
        moved(ALL, 1);
        look(writer(), upTo(200, 150), upTo(200, 150), ALL, 1);
        checks.dies("b", null, true);
        checks.acknowledged(writer().get());

        // when
        checks.look(Map.of("a", writer().get()), ALL, 1);

        // then
        assertBroken("not everything acknowledged");
    }

    @Test
    void aFlushedWriteThatIsGoneWithTheMemoryOfQ() {
        // given
        moved(ALL, 1);
        look(writer(), sight(), sight(), ALL, 1);
        checks.flushed(ReplicaChecks.committed(writer().get()));
        checks.dies("a", null, true);
        checks.dies("b", null, true);
        look(forgetful(200), forgetful(200), sight(), ALL, 1);
        assertHolds();

        // when
        look(forgetful(150), forgetful(150), sight(), ALL, 1);

        // then
        assertBroken("not everything flushed");
    }

    @Test
    void whatWasOnlyAcknowledgedMayGoWithTheMemoryOfQ() {
        // given
        moved(ALL, 1);
        checks.acknowledged(writer().get());
        checks.dies("a", writer().get(), true);
        checks.dies("b", sight().get(), true);

        // when
        look(upTo(150, 150), upTo(150, 150), upTo(150, 150), ALL, 1);

        // then
        assertHolds();
        assertThat(world.counted("losses of the memory of q")).isEqualTo(1);
    }

    /** Nobody has lost q memories because the lock manager is down, too. */
    @Test
    void theMemoryOfOneIsNotThatOfQWhoeverElseIsDown() {
        // given
        moved(ALL, 1);
        checks.acknowledged(writer().get());
        look(writer(), sight(), upTo(150, 150), null, 0);
        checks.dies("a", null, true);

        // when
        look(sight(), upTo(150, 150), upTo(150, 150), null, 0);

        // then
        assertBroken("not everything acknowledged");
    }

    @Test
    void anImageAheadOfWhatIsDurable() {
        // given
        Sight ahead = sight();
        ahead.durable = 90;

        // when
        look(writer(), ahead, sight(), ALL, 1);

        // then
        assertBroken("b has applied up to 100");
    }

    @Test
    void anImageAheadOfWhatIsCommitted() {
        // given
        Sight ahead = sight();
        ahead.committed = 90;

        // when
        look(writer(), ahead, sight(), ALL, 1);

        // then
        assertBroken("b has applied up to 100");
    }

    @Test
    void aFenceThatFalls() {
        // given
        Sight before = sight();
        before.fence = 2;
        look(writer(), before, sight(), ALL, 1);

        // when
        look(writer(), sight(), sight(), ALL, 1);

        // then
        assertBroken("answered to term 2, and now to 1");
    }

    @Test
    void aReplicaThatGoesBackToAnOlderBlock() {
        // given
        Sight before = sight();
        before.version = 2;
        look(writer(), before, sight(), ALL, 2);

        // when
        look(writer(), sight(), sight(), ALL, 2);

        // then
        assertBroken("has seen version 2");
    }

    @Test
    void aLockManagerThatGoesBack() {
        // given
        look(writer(), sight(), sight(), ALL, 2);

        // when
        look(writer(), sight(), sight(), ALL, 1);

        // then
        assertBroken("went back from 2 to 1");
    }

    @Test
    void aFailedReplicaThatIsWellAgain() {
        // given
        Sight failed = sight();
        failed.role = Role.FAILED;
        failed.failed = "EIO";
        look(writer(), failed, sight(), ALL, 1);

        // when
        look(writer(), sight(), sight(), ALL, 1);

        // then
        assertBroken("had failed for good");
    }

    @Test
    void aJournalLargerThanItsBudget() {
        // given
        Sight large = sight();
        large.end = BUDGET + 1;

        // when
        look(writer(), large, sight(), ALL, 1);

        // then
        assertBroken("more than the 10000 bytes");
    }

    @Test
    void aJournalThatIsDurableBeyondItsEnd() {
        // given
        Sight strange = sight();
        strange.durable = 201;

        // when
        look(writer(), strange, sight(), ALL, 1);

        // then
        assertBroken("beyond its end");
    }

    @Test
    void aStepOfTheBlockThatTheModelDoesNotKnow() {
        // given
        moved(ALL, 1);
        moved(config(2, "b", 2, "a", "b", "c"), 2);
        assertHolds();

        // when
        moved(config(2, "b", 2, "b"), 3);

        // then
        assertBroken("no step that the model knows");
    }

    @Test
    void aTermThatTooFewAreSealedFor() {
        // given
        checks = received(1);
        VolumeConfig one = config(1, "a", 1, "a", "b", "c");
        moved(one, 1);
        moved(config(2, "b", 1, "a", "b", "c"), 2);
        Sight sealed = sight();
        sealed.fence = 2;
        look(sight(), sealed, sealed, one, 2);

        // when
        checks.opened("b", 2);

        // then
        assertBroken("only [b, c]");
    }

    @Test
    void aTermForWhichTheDiskThatAnsweredIsAnother() {
        // given
        moved(ALL, 1);
        moved(config(2, "b", 2, "a", "b", "c"), 2);
        checks.diskLost("a");
        Sight sealed = sight();
        sealed.fence = 2;
        look(sight(), sealed, sight(), ALL, 2);

        // when
        checks.opened("b", 2);

        // then
        assertBroken("only [b]");
    }

    @Test
    void aTermWithoutTheMemoryOfQOfWhichNobodyIsTold() {
        // given
        moved(ALL, 1);
        VolumeConfig second = config(2, "b", 2, "a", "b", "c");
        moved(second, 2);
        checks.dies("a", sight().get(), true);
        checks.dies("c", sight().get(), true);
        Sight sealed = sight();
        sealed.fence = 2;
        Sight forgetful = sight();
        forgetful.fence = 2;
        forgetful.memoryLost = true;
        look(forgetful, sealed, forgetful, second, 2);

        // when
        checks.opened("b", 2);

        // then
        assertBroken("tells nobody");
    }

    @Test
    void historiesThatPartBelowWhatBothKnowToBeCommitted() {
        // given
        Sight other = sight();
        other.lineage = SECOND;

        // when
        look(sight(), other, sight(), ALL, 1);

        // then
        assertBroken("have parted at 128");
    }

    @Test
    void lossesOfMemoryAloneAreNoExcuse() {
        // given
        moved(ALL, 1);
        List.of("a", "b", "c").forEach(agent -> checks.dies(agent, sight().get(), true));
        assertThat(checks.mayBeStuck()).isFalse();

        // when
        checks.diskDamaged("c");

        // then
        assertThat(checks.mayBeStuck()).isTrue();
    }

    @Test
    void oneDamagedDiskOfThreeIsNoExcuse() {
        // given
        moved(ALL, 1);

        // when
        checks.diskDamaged("c");

        // then
        assertThat(checks.mayBeStuck()).isFalse();
    }
}
