package io.terminus.lockmgr.lock;

/**
 * The value block of a volume: written by compare-and-set on its version, by the holder of a lock over the whole volume
 * that is live in that very step.
 */
final class ValueBlocks {

    private final Turn turn;
    private final Registry registry;

    ValueBlocks(Turn turn, Registry registry) {
        this.turn = turn;
        this.registry = registry;
    }

    void put(Command.PutValue c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        String name = Names.wrong("volume name", c.volume(), "", turn.settings.maxNameLength());
        if (name != null) {
            turn.refuse(Reason.INVALID_NAME, "", name);
            return;
        }
        String elsewhere = turn.share.refusal(c.volume());
        if (elsewhere != null) {
            turn.refuse(Reason.INVALID_ARGUMENT, "", elsewhere);
            return;
        }
        Volume volume = registry.volumes.get(c.volume());
        if (volume != null
                && volume.valueVersion > 0
                && volume.valueRequestId == c.requestId()
                && volume.valueSessionId.equals(session.id)) {
            stored(volume); // The answer to the first time was lost on its way.
            return;
        }
        Held lock = registry.lockOf(session, c.lockId());
        if (c.value().length > turn.settings.maxValueBytes()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "value of " + c.value().length + " bytes is longer than the longest allowed, "
                            + turn.settings.maxValueBytes());
        } else if (lock == null || lock.volume != volume) {
            turn.refuse(
                    Reason.NOT_HOLDER,
                    c.volume(),
                    "session " + session.id + " holds no lock " + c.lockId() + " on volume " + c.volume());
        } else if (lock.revoked) {
            turn.refuse(Reason.NOT_HOLDER, c.volume(), "lock " + lock.id + " was revoked");
        } else if (!lock.mode.writes() || lock.start != 0 || lock.end != Long.MAX_VALUE) {
            turn.refuse(
                    Reason.NOT_HOLDER,
                    c.volume(),
                    "lock " + lock.id + " is " + lock.what() + "; the value block needs PW or EX on [0, "
                            + Long.MAX_VALUE + ")");
        } else if (session.deadlineNanos <= turn.now) {
            turn.refuse(Reason.NOT_HOLDER, c.volume(), "the lease of session " + session.id + " has ended");
        } else if (c.expectedVersion() != volume.valueVersion) {
            turn.refuse(
                    Reason.VERSION_MISMATCH,
                    c.volume(),
                    "version " + c.expectedVersion() + " was expected, the value block of " + c.volume() + " is at "
                            + volume.valueVersion);
        } else {
            volume.valueVersion++;
            volume.value = c.value().clone();
            volume.valueSessionId = session.id;
            volume.valueRequestId = c.requestId();
            turn.change(new Change.ValuePut(volume.name, volume.valueVersion, volume.value, session.id, c.requestId()));
            turn.event(LockEvent.Kind.VALUE_PUT, lock, "");
            stored(volume);
        }
    }

    private void stored(Volume volume) {
        turn.say(new Notice.ValueStored(
                volume.valueSessionId,
                volume.valueRequestId,
                volume.name,
                volume.uuid,
                volume.valueVersion,
                volume.value));
    }
}
