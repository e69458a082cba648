package io.terminus.cli;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;

/** A call that a service refused or did not answer. */
final class CallFailure extends RuntimeException {

    private final Status.Code code;

    private CallFailure(String message, Status.Code code, Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    /** @param who the called service, as people name it: {@code agent a at localhost:10813} */
    static CallFailure of(String who, StatusRuntimeException e) {
        Status status = e.getStatus();
        String description = status.getDescription();
        String said =
                description == null || description.isBlank() ? status.getCode().name() : description;
        String message = switch (status.getCode()) {
            // The description is gRPC's own ("io exception") and says nothing to an operator.
            case UNAVAILABLE ->
                e.getCause() == null
                        ? who + " cannot do this now: " + said
                        : who + " does not answer: 'terminus status' shows what runs";
            case DEADLINE_EXCEEDED -> who + " did not answer in time";
            case UNIMPLEMENTED -> who + " does not know this call: it is another version";
            default -> who + " refused: " + said;
        };
        return new CallFailure(message, status.getCode(), e);
    }

    Status.Code code() {
        return code;
    }

    /** The same call may succeed a moment later. */
    boolean mayPass() {
        return code == Status.Code.UNAVAILABLE || code == Status.Code.DEADLINE_EXCEEDED;
    }
}
