package io.terminus.agent.nbd;

import java.util.Optional;

/** A device could not do what was asked: the client gets an error, or, where no answer would be true, none. */
public final class DeviceException extends Exception {

    private final Optional<Failure> failure;

    private DeviceException(Optional<Failure> failure, String message) {
        super(message);
        this.failure = failure;
    }

    /** The client is told {@code why}. */
    public static DeviceException failed(Failure why, String message) {
        return new DeviceException(Optional.of(why), message);
    }

    /** Nothing true can be said any more: the client is disconnected without an answer. */
    public static DeviceException unanswerable(String message) {
        return new DeviceException(Optional.empty(), message);
    }

    /** Empty: disconnect. */
    public Optional<Failure> failure() {
        return failure;
    }
}
