package io.terminus.lockmgr.lock;

import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What is done to a lock that is held: converted, shrunk, split, given back, taken.
 *
 * <p>A conversion, a shrink and a split are done once: the lock keeps the newest request that changed it, and a request that
 * is not newer is a retry, answered with the lock as it is now. Only a conversion to another mode than the lock has is not:
 * whether it was ever done is not known, and it is refused.
 */
final class Changing {

    private final Turn turn;
    private final Registry registry;
    private final Grants grants;
    private final Recalls recalls;
    private final Acquiring acquiring;
    private final WaitsFor waitsFor;

    Changing(Turn turn, Registry registry, Grants grants, Recalls recalls, Acquiring acquiring, WaitsFor waitsFor) {
        this.turn = turn;
        this.registry = registry;
        this.grants = grants;
        this.recalls = recalls;
        this.acquiring = acquiring;
        this.waitsFor = waitsFor;
    }

    void convert(Command.Convert c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null || session.requests.get(c.requestId()) instanceof Request) {
            return; // If it waits already, it is answered when its time has come.
        }
        if (isOvertaken(session, c)) {
            return;
        }
        Held lock = toChange(session, c.requestId(), c.lockId());
        if (lock == null) {
            return;
        }
        if (c.waitNanos() < 0 || c.waitNanos() > turn.settings.maxWaitNanos()) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    lock.volume.name,
                    "wait of " + c.waitNanos() + " ns breaks the rule 0 <= wait <= " + turn.settings.maxWaitNanos());
        } else if (lock.conversion != null) {
            refuseBecauseOfConversion(lock, lock.conversion);
        } else if (c.mode().atMost(lock.mode)) {
            grants.convert(lock, c.mode(), c.requestId(), lock.token);
            turn.granted(lock);
        } else if (turn.recovering && c.waitNanos() == 0) {
            turn.refuse(
                    Reason.RECOVERING,
                    lock.volume.name,
                    "nothing is granted yet: locks of before the restart may still be believed in");
        } else {
            strengthen(lock, c);
        }
    }

    /**
     * A conversion may be overtaken by a shrink while it waits, or be refused before one; so if a newer request has changed
     * the lock, that says nothing about this one. Its mode does. A grant in another mode would be taken for this one's.
     */
    private boolean isOvertaken(Session session, Command.Convert c) {
        Held lock = registry.lockOf(session, c.lockId());
        if (lock == null || !lock.live() || c.requestId() >= lock.lastRequestId || lock.mode == c.mode()) {
            return false;
        }
        turn.refuse(
                Reason.CANCELLED,
                lock.volume.name,
                "request " + c.requestId() + " for " + c.mode() + " is older than request " + lock.lastRequestId
                        + ", which has changed lock " + lock.id + ": it is " + lock.what());
        return true;
    }

    private void strengthen(Held lock, Command.Convert c) {
        Request request = Request.convert(lock, c.mode(), c.requestId(), grants.nextOrder());
        Claim blocker = grants.firstBlocker(request);
        boolean free = !turn.recovering && blocker == null;
        if (!free && c.waitNanos() == 0 && blocker != null) {
            turn.refuse(
                    Reason.WOULD_BLOCK, lock.volume.name, request.what() + " would wait: " + Turn.inTheWay(blocker));
            return;
        }
        if (!free && acquiring.tooManyWait(request)) {
            return;
        }
        // Queued first, because it is in the way of others, from that very moment, whether it waits or not.
        grants.queue(request);
        WaitsFor.Finding found = waitsFor.cycleThroughConversion(request, free);
        if (!found.cycle().isEmpty()) {
            grants.unqueueNewest(request);
            turn.refuse(Reason.DEADLOCK, lock.volume.name, WaitsFor.describe(found.cycle()));
        } else if (found.gaveUp() && !free) {
            grants.unqueueNewest(request);
            acquiring.refuseUnsearched(request);
        } else if (free) {
            grants.unqueueNewest(request);
            grants.grant(request);
        } else {
            grants.startWaiting(request, c.waitNanos());
        }
    }

    void shrink(Command.Shrink c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        Held lock = session == null ? null : toChange(session, c.requestId(), c.lockId());
        if (lock == null) {
            return;
        }
        if (c.start() >= c.end() || c.start() < lock.start || c.end() > lock.end) {
            turn.refuse(
                    Reason.INVALID_RANGE,
                    lock.volume.name,
                    "range [" + c.start() + ", " + c.end() + ") is not within lock " + lock.id + ", " + lock.what());
            return;
        }
        grants.narrow(lock, c.start(), c.end(), c.requestId(), "shrunk");
        turn.granted(lock);
    }

    void split(Command.Split c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        if (session.requests.get(c.requestId()) instanceof Held upper && isUpperHalf(upper, session, c)) {
            splitAlready(session, c.lockId(), upper);
            return;
        }
        Held lock = toChange(session, c.requestId(), c.lockId());
        if (lock == null) {
            return;
        }
        Volume volume = lock.volume;
        if (c.at() <= lock.start || c.at() >= lock.end) {
            turn.refuse(
                    Reason.INVALID_RANGE,
                    volume.name,
                    "offset " + c.at() + " is not inside of lock " + lock.id + ", " + lock.what());
        } else if (lock.conversion != null) {
            refuseBecauseOfConversion(lock, lock.conversion);
        } else if (session.held + session.waiting >= turn.settings.maxLocksPerSession()
                || volume.held() + volume.waiting() >= turn.settings.maxLocksPerVolume()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    volume.name,
                    "session " + session.id + " has " + (session.held + session.waiting) + " and volume " + volume.name
                            + " " + (volume.held() + volume.waiting())
                            + " locks and waiting requests; no more may be added");
        } else {
            if (!acquiring.tooManyInAll(1, volume.name)) {
                split(lock, c);
            }
        }
    }

    private void split(Held lock, Command.Split c) {
        long token = turn.nextToken();
        Held upper = new Held(
                lock.session,
                c.requestId(),
                lock.volume,
                lock.requestedStart,
                lock.requestedEnd,
                lock.start,
                lock.end,
                lock.mode,
                token,
                token);
        upper.narrow(c.at(), lock.end);
        // What the low half gives up the upper one takes: nothing comes free, and nobody is looked at who waits there.
        grants.cut(lock, lock.start, c.at(), c.requestId(), "split");
        recalls.inherit(upper, lock);
        grants.addBesides(upper, "split from lock " + lock.id);
        turn.granted(List.of(lock, upper));
    }

    /**
     * Did this split make that lock? Its request id did; but an acquire may have used the same one, and who is then shown
     * that lock as a half would believe in a split that never was.
     */
    private boolean isUpperHalf(Held upper, Session session, Command.Split c) {
        Held low = registry.lockOf(session, c.lockId());
        return upper.id > c.lockId()
                && upper.start >= c.at()
                && (low == null
                        || low.volume == upper.volume && low.end <= c.at() && low.lastRequestId >= c.requestId());
    }

    private void splitAlready(Session session, long lockId, Held upper) {
        Held low = registry.lockOf(session, lockId);
        List<Held> halves = Stream.of(low, upper)
                .filter(half -> half != null && half.live())
                .toList();
        if (halves.isEmpty()) {
            turn.refuse(Reason.NOT_HOLDER, upper.volume.name, "both halves of lock " + lockId + " were revoked since");
        } else {
            turn.granted(halves);
        }
    }

    /** The lock that a command is to change; null if that was answered already. */
    private @Nullable Held toChange(Session session, long requestId, long lockId) {
        Held lock = registry.lockOf(session, lockId);
        if (lock == null) {
            turn.refuse(Reason.UNKNOWN_LOCK, "", "session " + session.id + " holds no lock " + lockId);
        } else if (lock.revoked) {
            turn.refuse(Reason.NOT_HOLDER, lock.volume.name, "lock " + lock.id + " was revoked");
        } else if (requestId <= lock.lastRequestId) {
            turn.granted(lock);
        } else if (session.requests.get(requestId) != null) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    lock.volume.name,
                    "request id " + requestId + " was used before, for another request of session " + session.id);
        } else {
            return lock;
        }
        return null;
    }

    private void refuseBecauseOfConversion(Held lock, Request conversion) {
        turn.refuse(
                Reason.INVALID_ARGUMENT,
                lock.volume.name,
                "lock " + lock.id + " has a conversion waiting, request " + conversion.requestId
                        + ": that is to be cancelled first");
    }

    // Giving back

    void release(Command.Release c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held lock = registry.lockOf(session, c.lockId());
        if (lock != null) {
            // If it was revoked, this says as much as an acknowledgement: the session is through with it.
            grants.remove(lock, LockEvent.Kind.RELEASED, "");
        }
        turn.done();
    }

    void ackLost(Command.AckLost c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held lock = registry.lockOf(session, c.lockId());
        if (lock != null && !lock.revoked) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    lock.volume.name,
                    "lock " + lock.id + " was not revoked: what is not wanted any more is released");
            return;
        }
        if (lock != null) {
            grants.remove(lock, LockEvent.Kind.RELEASED, "the loss was acknowledged");
        }
        turn.done();
    }

    void progress(Command.Progress c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held lock = registry.lockOf(session, c.lockId());
        if (lock == null) {
            turn.refuse(Reason.UNKNOWN_LOCK, "", "session " + session.id + " holds no lock " + c.lockId());
        } else if (lock.revoked) {
            turn.refuse(
                    Reason.NOT_HOLDER, lock.volume.name, "lock " + lock.id + " was revoked: progress comes too late");
        } else if (c.progress() < 0) {
            turn.refuse(Reason.INVALID_ARGUMENT, lock.volume.name, "progress " + c.progress() + " is negative");
        } else {
            recalls.progress(lock);
            turn.done();
        }
    }

    /** One that stays closed for the lock delay only is opened: its holder is gone already. */
    void forceRelease(Command.ForceRelease c) {
        turn.answerTo("", c.requestId());
        String elsewhere = turn.share.refusal(c.volume());
        if (elsewhere != null) {
            turn.refuse(Reason.INVALID_ARGUMENT, "", elsewhere);
            return;
        }
        Volume volume = registry.volumes.get(c.volume());
        Held lock = registry.locks.get(c.lockId());
        if (volume == null || lock == null || lock.volume != volume) {
            turn.refuse(
                    Reason.UNKNOWN_LOCK,
                    volume == null ? "" : volume.name,
                    "volume " + Names.quoted(c.volume()) + " has no lock " + c.lockId());
            return;
        }
        if (lock.delay != null) {
            grants.remove(lock, LockEvent.Kind.RELEASED, "lock delay cut short by an operator");
        } else if (!lock.revoked) {
            grants.revoke(lock, "released by force, by an operator");
        }
        turn.done();
    }
}
