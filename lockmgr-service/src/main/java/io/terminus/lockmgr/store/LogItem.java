package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;

/** What a record of the {@link DecisionLog} is made of. */
sealed interface LogItem {

    record Changed(Change change) implements LogItem {}

    /**
     * A start of the server, and the first item of every generation and of the snapshot.
     *
     * @param maxTtlNanos the longest lease that any start up to this one gave
     * @param forgets sessions and grants of before are gone: the machine lost its memory
     * @param recovering nothing may be granted until a {@link RecoveryOver}
     */
    record Opening(long epoch, String bootId, long maxTtlNanos, boolean forgets, boolean recovering)
            implements LogItem {}

    /** Every lease of before the memory loss has ended. */
    record RecoveryOver() implements LogItem {}

    /** In the log of a group only: the lease of a session began anew at this time. */
    record Renewed(String sessionId, long timeNanos) implements LogItem {}

    /** The last item of a snapshot: it is whole, and says what all records up to this sequence say. */
    record Through(long sequence) implements LogItem {}
}
