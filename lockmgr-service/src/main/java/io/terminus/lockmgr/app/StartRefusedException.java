package io.terminus.lockmgr.app;

/** The process cannot start as it is configured. The message is one sentence for the operator. */
final class StartRefusedException extends RuntimeException {

    StartRefusedException(String message) {
        super(message);
    }

    StartRefusedException(String message, Throwable cause) {
        super(message, cause);
    }
}
