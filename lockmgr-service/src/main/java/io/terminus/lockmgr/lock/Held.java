package io.terminus.lockmgr.lock;

/** A granted lock. It goes on blocking others after it was revoked, until its session cannot believe in it any more. */
final class Held extends Claim {

    final long id;
    final long token;
    final long requestedStart;
    final long requestedEnd;
    boolean revoked;

    /** When the holder was first told that somebody needs the lock; meaningless unless {@link #recalled}. */
    long recalledAtNanos;
    /** The smallest range around all that was asked back, and the modes it was asked for as bits; no bit: not recalled. */
    long neededStart;

    long neededEnd;
    int wantedModes;

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
        super(session, requestId, volume, start, end, mode);
        this.requestedStart = requestedStart;
        this.requestedEnd = requestedEnd;
        this.id = id;
        this.token = token;
    }

    boolean recalled() {
        return wantedModes != 0;
    }

    @Override
    long id() {
        return id;
    }

    Change.LockPut asChange() {
        return new Change.LockPut(
                id,
                session.id,
                requestId,
                requestId,
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
        return new Notice.Granted(
                session.id,
                requestId,
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
