package io.terminus.lockmgr.client;

import org.jspecify.annotations.Nullable;

/** A request was answered with a refusal. The message is the lock manager's own: it names the value and the rule. */
public final class LockRefusedException extends RuntimeException {

    private final RefusalReason reason;

    /** Without a stack trace: it would be the callback thread's, and tries that fail are not rare. */
    LockRefusedException(RefusalReason reason, String message) {
        super(reason + ": " + message, null, false, false);
        this.reason = reason;
    }

    /** The same for a thread that has waited for it, with that thread's stack trace. */
    LockRefusedException(LockRefusedException cause) {
        super(cause.getMessage(), cause);
        this.reason = cause.reason;
    }

    public RefusalReason reason() {
        return reason;
    }

    /** Of any outcome that is not the one that was hoped for. */
    static LockRefusedException of(@Nullable Outcome outcome) {
        return outcome instanceof Outcome.Refused refused
                ? new LockRefusedException(refused.reason(), refused.message())
                : new LockRefusedException(RefusalReason.UNKNOWN_OUTCOME, "unexpected outcome " + outcome);
    }
}
