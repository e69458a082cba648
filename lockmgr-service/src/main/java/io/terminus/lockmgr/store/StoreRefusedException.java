package io.terminus.lockmgr.store;

/** The data directory cannot be opened as it is. The message is one sentence for the operator. Nothing was changed. */
public final class StoreRefusedException extends RuntimeException {

    StoreRefusedException(String message) {
        super(message);
    }

    StoreRefusedException(String message, Throwable cause) {
        super(message, cause);
    }
}
