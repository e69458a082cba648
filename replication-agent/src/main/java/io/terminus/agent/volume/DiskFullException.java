package io.terminus.agent.volume;

import java.io.IOException;

/** The disk is full to the last page, the superblock's reserve included. Not final. */
final class DiskFullException extends IOException {

    DiskFullException(IOException cause) {
        super(cause.getMessage(), cause);
    }
}
