package io.terminus.lockmgr.admin;

import io.terminus.lockmgr.lock.Reason;
import org.jspecify.annotations.Nullable;

/** What was asked for is not done; the message says why. No reason: the lock manager is stopping or busy. */
public final class AdminRefusedException extends RuntimeException {

    private final @Nullable Reason reason;

    public AdminRefusedException(@Nullable Reason reason, String message) {
        super(message);
        this.reason = reason;
    }

    @Nullable
    Reason reason() {
        return reason;
    }
}
