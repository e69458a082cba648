package io.terminus.lockmgr.app;

import io.terminus.lockmgr.lock.Change;
import java.util.List;

/**
 * Where decisions go before anybody hears of them: a disk, or the disks of a group. Called by the owner of the turn.
 *
 * <p>Every verb may throw; then table and journal may differ, and nobody may be told that anything was done.
 */
interface Journal extends LockMetrics.Written, AutoCloseable {

    /** One decision, all of it or nothing. */
    void append(List<Change> changes);

    /** Are renewals to be gathered, and to come to the table together with the tick that follows? */
    boolean gathersRenewals();

    /** The lease of a session began anew at the time of this turn. */
    void renewed(String sessionId, long nowNanos);

    /** Would {@link #commit} wait, so that a thread which serves others as well should leave it to the loop's own? */
    boolean mayWait(boolean heard, long nowNanos);

    /**
     * The end of a turn: when this returns, what was appended in it is as durable as it must be.
     *
     * @param heard somebody is to hear something of this turn
     * @param nowNanos the time of the turn
     */
    void commit(boolean heard, long nowNanos);

    /** Every lease of before a loss of memory has ended. */
    void recoveryOver();

    @Override
    void close();
}
