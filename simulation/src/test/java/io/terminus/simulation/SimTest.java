package io.terminus.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/**
 * A short batch, always the same. {@code -Dsim.seeds=FROM-TO} runs another one; {@code ./terminus sim} runs as many as one
 * wants.
 */
class SimTest {

    private static Runs.Result run(String world, long seed) {
        return Runs.run(world, seed, false, new TreeSet<>());
    }

    @Test
    void aSeedDoesTheSameTwice() {
        for (String world : Runs.WORLDS) {
            // given
            Runs.Result first = run(world, 3);

            // when
            Runs.Result second = run(world, 3);

            // then
            assertThat(second.digest()).as(world).isEqualTo(first.digest());
            assertThat(second.steps()).as(world).isEqualTo(first.steps());
        }
    }

    @Test
    void aSeedDoesTheSameWhateverRanBeforeInTheProcess() {
        for (String world : Runs.WORLDS) {
            // given
            Runs.Result late = run(world, 1);

            // when
            Runs.Result first = Runs.run(world, 1, false, new TreeSet<>(), SimLoader.fresh());

            // then
            assertThat(first.digest()).as(world).isEqualTo(late.digest());
        }
    }

    @Test
    void twoSeedsDoNotDoTheSame() {
        // given
        Runs.Result one = run("locks", 3);

        // when
        Runs.Result other = run("locks", 4);

        // then
        assertThat(other.digest()).isNotEqualTo(one.digest());
    }

    @Test
    void clientsOfALockManagerNeverBelieveInTheSameAndAreAllAnswered() {
        assertThat(broken("locks", "1-100")).isEmpty();
    }

    @Test
    void noAcknowledgedWriteIsLostAndReplicasBecomeTheSame() {
        assertThat(broken("agents", "1-8")).isEmpty();
    }

    /** The file that names the directory's owner was not synced. */
    @Test
    void anAgentStartsAgainWhenThePowerWentSoonAfterItsFirstStart() {
        // given
        TreeSet<Integer> none = new TreeSet<>();

        // when
        Runs.Result r = Runs.run("agents", 7, true, none);

        // then
        assertThat(r.story()).anyMatch(line -> line.contains("power a"));
        assertThat(r.story()).noneMatch(line -> line.contains("cannot start"));
        assertThat(r.violation()).isNull();
    }

    @Test
    void aReplicaIsOpenedOnAFullDisk() {
        // given
        TreeSet<Integer> none = new TreeSet<>();

        // when
        Runs.Result r = Runs.run("agents", 12, true, none);

        // then
        assertThat(r.story()).anyMatch(line -> line.contains("full c"));
        assertThat(r.story()).noneMatch(line -> line.contains("is not opened"));
        assertThat(r.violation()).isNull();
    }

    @Test
    void aReplicaThatFailsAsAStandbyStaysFailed() {
        // given
        TreeSet<Integer> none = new TreeSet<>();

        // when
        Runs.Result r = Runs.run("agents", 3, true, none);

        // then
        assertThat(r.story()).anyMatch(line -> line.contains("stops for good"));
        assertThat(r.violation()).isNull();
    }

    private static List<String> broken(String world, String fixed) {
        String[] ends = System.getProperty("sim.seeds", fixed).split("-");
        List<String> broken = new ArrayList<>();
        for (long seed = Long.parseLong(ends[0]); seed <= Long.parseLong(ends[1]); seed++) {
            Runs.Result r = run(world, seed);
            if (r.violation() != null) {
                broken.add(r.violation() + "; the shortest that breaks a rule: "
                        + Runs.shrunk(world, seed).command());
            }
        }
        return broken;
    }
}
