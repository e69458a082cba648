package io.terminus.lockmgr.lock;

import org.jspecify.annotations.Nullable;

/**
 * A granted lock. It goes on blocking others after it was revoked, until its session cannot believe in it any more; and
 * after its session vanished, while the volume's lock delay runs.
 */
final class Held extends Claim implements Asked {

    final long id;
    long token;
    /** {@link Registry#nobody} while the lock delay runs. */
    Session session;

    final long requestId;
    /** The newest request that changed it: one that is not newer comes for the second time. */
    long lastRequestId;

    /** What was asked for, within what is held: the rest was added by expansion. */
    long requestedStart;

    long requestedEnd;
    boolean revoked;

    /** Null: nobody has asked for it back. */
    @Nullable
    Recall recall;

    @Nullable
    LockDelay delay;
    /** What waits to give it another mode. */
    @Nullable
    Request conversion;

    @Nullable
    Held nextOfSession;

    @Nullable
    Held previousOfSession;

    Held(
            Session session,
            long requestId,
            Volume volume,
            long requestedStart,
            long requestedEnd,
            long start,
            long end,
            Mode mode,
            long id,
            long token) {
        super(volume, start, end, mode);
        this.session = session;
        this.requestId = requestId;
        this.lastRequestId = requestId;
        this.requestedStart = requestedStart;
        this.requestedEnd = requestedEnd;
        this.id = id;
        this.token = token;
    }

    /** May its session still believe in it? Else it comes free by itself, and nobody is asked for it. */
    boolean live() {
        return !revoked && delay == null;
    }

    boolean recalled() {
        return recall != null;
    }

    boolean expanded() {
        return start < requestedStart || requestedEnd < end;
    }

    /** Narrows it, while it is in no index. What was requested of the rest does not count any more. */
    void narrow(long newStart, long newEnd) {
        start = newStart;
        end = newEnd;
        requestedStart = Math.max(requestedStart, newStart);
        requestedEnd = Math.min(requestedEnd, newEnd);
        if (requestedStart >= requestedEnd) {
            requestedStart = newStart;
            requestedEnd = newEnd;
        }
    }

    void changedBy(long changingRequestId) {
        lastRequestId = Math.max(lastRequestId, changingRequestId);
    }

    @Override
    long id() {
        return id;
    }

    @Override
    Session session() {
        return session;
    }

    @Override
    long requestId() {
        return requestId;
    }

    Change.LockPut asChange() {
        return new Change.LockPut(
                id,
                session.id,
                requestId,
                lastRequestId,
                volume.name,
                requestedStart,
                requestedEnd,
                start,
                end,
                mode,
                token,
                revoked);
    }

    Notice.Granted asAnswer() {
        return asAnswerTo(requestId);
    }

    Notice.Granted asAnswerTo(long askedRequest) {
        return new Notice.Granted(
                session.id,
                askedRequest,
                id,
                volume.name,
                volume.uuid,
                requestedStart,
                requestedEnd,
                start,
                end,
                mode,
                token);
    }
}
