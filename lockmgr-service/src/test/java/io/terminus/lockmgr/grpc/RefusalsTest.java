package io.terminus.lockmgr.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Reason;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class RefusalsTest {

    @ParameterizedTest
    @EnumSource
    void everyReasonKeepsItsNameOnTheWire(Reason reason) {
        assertThat(Refusals.toProto(reason).name()).isEqualTo(reason.name());
    }

    @ParameterizedTest
    @EnumSource
    void everyReasonOnTheWireHasAStatusThatIsNotOk(io.terminus.proto.lock.v1.Reason reason) {
        assertThat(Refusals.code(reason)).isNotEqualTo(Status.Code.OK);
    }

    @ParameterizedTest
    @CsvSource({
        "INVALID_RANGE, INVALID_ARGUMENT",
        "INVALID_MODE, INVALID_ARGUMENT",
        "INVALID_NAME, INVALID_ARGUMENT",
        "INVALID_ARGUMENT, INVALID_ARGUMENT",
        "UNKNOWN_SESSION, NOT_FOUND",
        "UNKNOWN_LOCK, NOT_FOUND",
        "UNKNOWN_REQUEST, NOT_FOUND",
        "WOULD_BLOCK, FAILED_PRECONDITION",
        "NOT_HOLDER, FAILED_PRECONDITION",
        "DEADLINE, DEADLINE_EXCEEDED",
        "CANCELLED, CANCELLED",
        "DEADLOCK, ABORTED",
        "VERSION_MISMATCH, ABORTED",
        "LIMIT_EXCEEDED, RESOURCE_EXHAUSTED",
        "RECOVERING, UNAVAILABLE",
        "UNKNOWN_OUTCOME, UNKNOWN",
    })
    void statusNamesReasonAndSentence(io.terminus.proto.lock.v1.Reason reason, Status.Code code) {
        StatusRuntimeException status = Refusals.status(reason, "the sentence");

        assertThat(status.getStatus().getCode()).isEqualTo(code);
        assertThat(status.getStatus().getDescription()).isEqualTo(reason.name() + ": the sentence");
        assertThat(status.getTrailers()).isNotNull();
        assertThat(status.getTrailers().get(Refusals.REASON)).isEqualTo(reason.name());
    }

    @ParameterizedTest
    @EnumSource
    void everyModeComesBackFromTheWire(Mode mode) {
        assertThat(Wire.mode(Wire.mode(mode))).isEqualTo(mode);
    }
}
