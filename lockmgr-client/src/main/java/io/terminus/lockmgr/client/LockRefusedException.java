package io.terminus.lockmgr.client;

/** A request was answered with a refusal. The message is the lock manager's own: it names the value and the rule. */
public final class LockRefusedException extends RuntimeException {

    private final RefusalReason reason;

    LockRefusedException(RefusalReason reason, String message) {
        super(reason + ": " + message);
        this.reason = reason;
    }

    public RefusalReason reason() {
        return reason;
    }
}
