package io.terminus.lockmgr.grpc;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.lock.Reason;

/** The one table from reasons to the wire: the reason in an answer, and the gRPC status of a unary call. */
final class Refusals {

    /** Carries the name of the reason beside the status, for programs. */
    static final Metadata.Key<String> REASON = Metadata.Key.of("terminus-reason", Metadata.ASCII_STRING_MARSHALLER);

    private Refusals() {}

    static io.terminus.proto.lock.v1.Reason toProto(Reason reason) {
        return switch (reason) {
            case INVALID_RANGE -> io.terminus.proto.lock.v1.Reason.INVALID_RANGE;
            case INVALID_MODE -> io.terminus.proto.lock.v1.Reason.INVALID_MODE;
            case INVALID_NAME -> io.terminus.proto.lock.v1.Reason.INVALID_NAME;
            case INVALID_ARGUMENT -> io.terminus.proto.lock.v1.Reason.INVALID_ARGUMENT;
            case UNKNOWN_SESSION -> io.terminus.proto.lock.v1.Reason.UNKNOWN_SESSION;
            case UNKNOWN_LOCK -> io.terminus.proto.lock.v1.Reason.UNKNOWN_LOCK;
            case UNKNOWN_REQUEST -> io.terminus.proto.lock.v1.Reason.UNKNOWN_REQUEST;
            case WOULD_BLOCK -> io.terminus.proto.lock.v1.Reason.WOULD_BLOCK;
            case DEADLINE -> io.terminus.proto.lock.v1.Reason.DEADLINE;
            case CANCELLED -> io.terminus.proto.lock.v1.Reason.CANCELLED;
            case DEADLOCK -> io.terminus.proto.lock.v1.Reason.DEADLOCK;
            case VERSION_MISMATCH -> io.terminus.proto.lock.v1.Reason.VERSION_MISMATCH;
            case NOT_HOLDER -> io.terminus.proto.lock.v1.Reason.NOT_HOLDER;
            case LIMIT_EXCEEDED -> io.terminus.proto.lock.v1.Reason.LIMIT_EXCEEDED;
            case RECOVERING -> io.terminus.proto.lock.v1.Reason.RECOVERING;
        };
    }

    static Status.Code code(io.terminus.proto.lock.v1.Reason reason) {
        return switch (reason) {
            case INVALID_RANGE, INVALID_MODE, INVALID_NAME, INVALID_ARGUMENT -> Status.Code.INVALID_ARGUMENT;
            case UNKNOWN_SESSION, UNKNOWN_LOCK, UNKNOWN_REQUEST -> Status.Code.NOT_FOUND;
            case WOULD_BLOCK, NOT_HOLDER -> Status.Code.FAILED_PRECONDITION;
            case DEADLINE -> Status.Code.DEADLINE_EXCEEDED;
            case CANCELLED -> Status.Code.CANCELLED;
            case DEADLOCK, VERSION_MISMATCH -> Status.Code.ABORTED;
            case LIMIT_EXCEEDED -> Status.Code.RESOURCE_EXHAUSTED;
            case RECOVERING -> Status.Code.UNAVAILABLE;
            case UNKNOWN_OUTCOME -> Status.Code.UNKNOWN;
            case REASON_UNSPECIFIED, UNRECOGNIZED -> Status.Code.INTERNAL;
        };
    }

    /** For a person with a generic client: the reason and the sentence in one line. */
    static StatusRuntimeException status(io.terminus.proto.lock.v1.Reason reason, String message) {
        Metadata trailers = new Metadata();
        trailers.put(REASON, reason.name());
        return code(reason)
                .toStatus()
                .withDescription(reason.name() + ": " + message)
                .asRuntimeException(trailers);
    }

    static StatusRuntimeException status(Reason reason, String message) {
        return status(toProto(reason), message);
    }
}
