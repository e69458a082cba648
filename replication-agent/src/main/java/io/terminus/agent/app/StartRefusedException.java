package io.terminus.agent.app;

/** The process cannot start as it is configured. The message is one sentence for the operator. */
final class StartRefusedException extends RuntimeException {

    StartRefusedException(String message, Throwable cause) {
        super(message, cause);
    }

    StartRefusedException(String message) {
        super(message);
    }
}
