package io.terminus.lockmgr.agents;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Status;
import io.terminus.lockmgr.agents.AgentRefusedException.Why;
import java.util.EnumSet;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AgentsTest {

    @ParameterizedTest
    @CsvSource({
        "NOT_FOUND,UNKNOWN",
        "INVALID_ARGUMENT,INVALID",
        "OUT_OF_RANGE,INVALID",
        "UNIMPLEMENTED,INVALID",
        "ABORTED,NOT_NOW",
        "FAILED_PRECONDITION,NOT_NOW",
        "RESOURCE_EXHAUSTED,NOT_NOW",
        "ALREADY_EXISTS,NOT_NOW",
        "PERMISSION_DENIED,NOT_NOW",
        "UNAUTHENTICATED,NOT_NOW",
        "UNAVAILABLE,UNREACHABLE",
        "CANCELLED,OUTCOME_UNKNOWN",
        "UNKNOWN,OUTCOME_UNKNOWN",
        "DEADLINE_EXCEEDED,OUTCOME_UNKNOWN",
        "INTERNAL,OUTCOME_UNKNOWN",
        "DATA_LOSS,OUTCOME_UNKNOWN"
    })
    void whatAnAgentAnswersSaysWhatMayBeBelieved(Status.Code code, Why why) {
        assertThat(Agents.why(code.toStatus())).isEqualTo(why);
    }

    @Test
    void onlyWhereItMayHaveHappenedTheOutcomeIsUnknown() {
        EnumSet<Status.Code> perhapsDone = EnumSet.noneOf(Status.Code.class);
        for (Status.Code code : Status.Code.values()) {
            if (Agents.why(code.toStatus()) == Why.OUTCOME_UNKNOWN) {
                perhapsDone.add(code);
            }
        }

        assertThat(perhapsDone)
                .contains(Status.Code.DEADLINE_EXCEEDED, Status.Code.CANCELLED)
                .doesNotContain(Status.Code.FAILED_PRECONDITION, Status.Code.NOT_FOUND, Status.Code.INVALID_ARGUMENT);
    }

    @Test
    void whatIsNoAgentsVolumeIsNeitherShownNorAskedFor() {
        try (Agents agents = new Agents(null)) {
            byte[] foreign = {1, 2, 3};

            assertThat(agents.look(Map.of("other", foreign))).isEmpty();
            assertThat(agents.history("other", foreign)).isEmpty();
            assertThatThrownBy(() -> agents.promote("other", foreign, "a", false, false))
                    .isInstanceOf(AgentRefusedException.class)
                    .hasMessageContaining("is not one of the agents'");
        }
    }
}
