package io.terminus.lockmgr.lock;

/** Why a command was refused. The gRPC shell maps each to the wire in one table. */
public enum Reason {
    INVALID_RANGE,
    INVALID_MODE,
    INVALID_NAME,
    INVALID_ARGUMENT,
    UNKNOWN_SESSION,
    UNKNOWN_LOCK,
    UNKNOWN_REQUEST,
    WOULD_BLOCK,
    DEADLINE,
    CANCELLED,
    DEADLOCK,
    VERSION_MISMATCH,
    NOT_HOLDER,
    LIMIT_EXCEEDED,
    RECOVERING
}
