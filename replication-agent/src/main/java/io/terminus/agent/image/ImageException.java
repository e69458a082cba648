package io.terminus.agent.image;

import java.io.IOException;

/** What can go wrong with an image. */
public abstract sealed class ImageException extends IOException permits NoSpaceException, ImageFailedException {

    ImageException(String message) {
        super(message);
    }

    ImageException(String message, Throwable cause) {
        super(message, cause);
    }
}
