package io.terminus.cli;

/** Something that ends a command with exit code 1. The message is one sentence for the person at the keyboard. */
final class Failure extends RuntimeException {

    Failure(String message) {
        super(message);
    }

    Failure(String message, Throwable cause) {
        super(message, cause);
    }
}
