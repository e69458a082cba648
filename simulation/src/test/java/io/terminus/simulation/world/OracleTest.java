package io.terminus.simulation.world;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.simulation.kernel.World;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What clients must never see. */
class OracleTest {

    private final World world = new World(1, false);
    private final Oracle oracle = new Oracle(world, 2);

    private long acked(int block) {
        long id = oracle.issue(block, 1, 1, false);
        oracle.acknowledged(id);
        return id;
    }

    private void read(int block, long stamp, long term) {
        oracle.read(block, stamp, Set.of(), term, "somebody");
    }

    @Test
    void whatWasAcknowledgedBeforeIsNotSeenAgain() {
        // given
        long first = acked(0);
        acked(0);

        // when
        read(0, first, 1);

        // then
        assertThat(world.violation()).contains("reads " + first);
    }

    @Test
    void whatALaterTermDoesNotHaveNeverComesBack() {
        // given
        long first = acked(0);
        long open = oracle.issue(0, 1, 1, false);
        read(0, first, 2);

        // when
        read(0, open, 2);

        // then
        assertThat(world.violation()).contains("reads " + open);
    }

    @Test
    void aLossOfMemoryLeadsBackAndNotBehindAFlush() {
        // given
        long first = acked(0);
        long flushed = acked(0);
        oracle.flushed(oracle.flushIssued());
        acked(0);
        oracle.memoryMayBeLost();
        read(0, flushed, 2);
        assertThat(world.violation()).isNull();

        // when
        read(0, first, 2);

        // then
        assertThat(world.violation()).contains("reads " + first);
    }

    @Test
    void aWriteThatWasToBeOnDisksIsThereAfterALossOfMemory() {
        // given
        long first = acked(0);
        oracle.flushedWrite(acked(0));
        oracle.memoryMayBeLost();

        // when
        read(0, first, 2);

        // then
        assertThat(world.violation()).contains("reads " + first);
    }

    @Test
    void whoeverIsSeenAfterALossIsSeenWithWhatWasAcknowledgedBeforeIt() {
        // given
        long first = acked(0);
        long second = acked(1);
        oracle.memoryMayBeLost();
        read(1, second, 2);
        assertThat(world.violation()).isNull();

        // when
        read(0, 0, 2);

        // then
        assertThat(world.violation()).contains("only [" + first + " of term 1]");
    }

    @Test
    void whatWasSeenToBeGoneAfterALossIsNotFollowedByWhatWasIssuedBehindIt() {
        // given
        long first = acked(0);
        long second = acked(1);
        oracle.memoryMayBeLost();
        read(0, 0, 2);

        // when
        read(1, second, 2);

        // then
        assertThat(world.violation()).contains("shows write " + second + ", but not write " + first);
    }
}
