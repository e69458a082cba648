package io.terminus.agent.image;

/**
 * The file system, or a quota, has no space for what was asked. Not final: the same call succeeds once there is space. What it did not
 * do may be done in part, and doing it again is harmless.
 */
public final class NoSpaceException extends ImageException {

    public NoSpaceException(String message) {
        super(message);
    }
}
