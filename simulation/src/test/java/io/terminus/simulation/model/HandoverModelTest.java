package io.terminus.simulation.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.simulation.model.HandoverModel.Budget;
import io.terminus.simulation.model.HandoverModel.Outcome;
import io.terminus.simulation.model.HandoverModel.Rule;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HandoverModelTest {

    @Test
    void withAllRulesNothingAcknowledgedIsEverMissing() {
        // given
        HandoverModel two = new HandoverModel(false, Set.of(), 3);
        HandoverModel all = new HandoverModel(true, Set.of(), 3);

        // when
        Outcome ofTwo = two.explore(new Budget(1, 1, 1, 0, 1), 1_000_000);
        Outcome ofAll = all.explore(new Budget(1, 1, 0, 1, 1), 1_000_000);

        // then
        assertThat(ofTwo.trace()).isEmpty();
        assertThat(ofTwo.complete()).isTrue();
        assertThat(ofAll.trace()).isEmpty();
        assertThat(ofAll.complete()).isTrue();
    }

    /** Budgets: writes, lease ends, kills, power losses, set changes. TERM_RECORD needs two million states: see main. */
    @ParameterizedTest
    @CsvSource({
        "SEAL, false, 1, 1, 0, 0, 0",
        "SEAL_DURABLE, false, 1, 1, 1, 0, 0",
        "SEAL_STOPS_WRITER, false, 1, 1, 0, 0, 0",
        "QUORUM, false, 1, 1, 0, 0, 0",
        "JOINT_ACK, true, 1, 1, 0, 0, 2",
        "GROW_CAUGHT_UP, true, 1, 1, 0, 0, 2",
        "REMOVAL_CARRIES_ACKS, false, 1, 1, 0, 0, 1",
        "RECOVERED_COUNTS, false, 1, 2, 0, 0, 1",
        "KEEP_SET_AT_ELECTION, false, 1, 2, 1, 0, 0",
        "NEW_TERM_AT_RESTART, true, 2, 1, 0, 1, 0",
        "MEMORY_LOSS_DOES_NOT_COUNT, true, 1, 1, 0, 1, 0",
    })
    void withoutARuleSomethingAcknowledgedIsLost(
            Rule rule, boolean all, int writes, int leaseEnds, int kills, int powerLosses, int setChanges) {
        // given
        HandoverModel model = new HandoverModel(all, Set.of(rule), 3);

        // when
        Outcome outcome = model.explore(new Budget(writes, leaseEnds, kills, powerLosses, setChanges), 1_000_000);

        // then
        assertThat(outcome.violated()).as("states: " + outcome.states()).isTrue();
    }
}
