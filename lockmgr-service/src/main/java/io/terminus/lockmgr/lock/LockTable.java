package io.terminus.lockmgr.lock;

import java.util.List;

/** The lock rules. */
public final class LockTable {

    /** What one command led to: first the changes are made durable, then the notices leave. */
    public record Decision(List<Change> changes, List<Notice> notices) {}

    public Decision apply(Command command, long nowNanos) {
        throw new UnsupportedOperationException(command + " at " + nowNanos);
    }
}
