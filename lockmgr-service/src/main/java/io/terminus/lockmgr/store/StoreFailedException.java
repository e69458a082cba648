package io.terminus.lockmgr.store;

/**
 * A write or a sync of the store failed (disk full, input/output error). Whether the decisions since the last sync are on
 * disk is not known; nothing may be acknowledged any more. The process must end: a start rolls forward from the log.
 */
public final class StoreFailedException extends RuntimeException {

    StoreFailedException(String message) {
        super(message);
    }

    StoreFailedException(String message, Throwable cause) {
        super(message, cause);
    }
}
