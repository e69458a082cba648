package io.terminus.agent.image;

/**
 * The disk failed under the image. Final: what was written since the last sync is unknown, and the replica comes back only by being
 * rebuilt.
 */
public final class ImageFailedException extends ImageException {

    ImageFailedException(String message, Throwable cause) {
        super(message, cause);
    }
}
