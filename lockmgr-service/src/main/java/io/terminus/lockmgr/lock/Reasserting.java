package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Locks of before a loss of memory, said again by the sessions that still believe in them, while nothing is granted. Of two
 * that conflict the one with the higher token was granted later, so the other had been given up: it is the one that goes.
 */
final class Reasserting {

    private final Turn turn;
    private final Registry registry;
    private final Grants grants;
    private final Acquiring acquiring;
    private final WaitsFor waitsFor;

    Reasserting(Turn turn, Registry registry, Grants grants, Acquiring acquiring, WaitsFor waitsFor) {
        this.turn = turn;
        this.registry = registry;
        this.grants = grants;
        this.acquiring = acquiring;
        this.waitsFor = waitsFor;
    }

    void reassert(Command.Reassert c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held known = registry.locks.get(c.lockId());
        if (known != null && known.session == session && known.token >= c.token()) {
            if (known.revoked) {
                turn.refuse(Reason.NOT_HOLDER, known.volume.name, "lock " + known.id + " was revoked");
            } else {
                turn.granted(known);
            }
            return;
        }
        Asked asked = session.requests.get(c.requestId());
        if (asked != null && asked != known) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    c.volume(),
                    "request id " + c.requestId() + " was used before, for another request of session " + session.id);
            return;
        }
        if (!turn.recovering) {
            turn.refuse(
                    Reason.NOT_HOLDER,
                    "",
                    "lock " + c.lockId() + " is not known, and the time to assert locks anew is over");
            return;
        }
        Volume volume = registry.volumes.get(c.volume());
        if (isWrong(c) || isAnothers(c, volume, known) || isTooMuch(c, session, volume, known)) {
            return;
        }
        List<Held> losers = new ArrayList<>();
        Held winner = volume == null ? null : sortOut(c, volume, known, losers);
        if (winner != null) {
            turn.refuse(
                    Reason.NOT_HOLDER,
                    c.volume(),
                    "token " + c.token() + " is older than token " + winner.token + ": " + Turn.inTheWay(winner));
            return;
        }
        if (volume == null) {
            volume = registry.addVolume(c.volume(), c.volumeUuid());
            turn.change(new Change.VolumePut(volume.name, volume.uuid, 0));
        }
        if (known != null) {
            grants.remove(known, LockEvent.Kind.RELEASED, "asserted anew");
        }
        for (Held loser : losers) {
            lose(loser, c.token());
        }
        Held lock = new Held(
                session,
                c.requestId(),
                volume,
                requestedStart(c),
                requestedEnd(c),
                c.start(),
                c.end(),
                c.mode(),
                c.lockId(),
                c.token());
        grants.addBesides(lock, "asserted anew");
        turn.granted(lock);
        refuseDeadlocks(session);
    }

    private static long requestedStart(Command.Reassert c) {
        return c.requestedEnd() == 0 ? c.start() : c.requestedStart();
    }

    private static long requestedEnd(Command.Reassert c) {
        return c.requestedEnd() == 0 ? c.end() : c.requestedEnd();
    }

    private boolean isWrong(Command.Reassert c) {
        int maxNameLength = turn.settings.maxNameLength();
        String name = Names.wrong("volume name", c.volume(), "", maxNameLength);
        String uuid = Names.wrong("volume uuid", c.volumeUuid(), "", maxNameLength);
        if (name != null || uuid != null) {
            turn.refuse(Reason.INVALID_NAME, "", name != null ? name : String.valueOf(uuid));
        } else if (c.start() < 0 || c.start() >= c.end()) {
            turn.refuse(
                    Reason.INVALID_RANGE,
                    c.volume(),
                    "range [" + c.start() + ", " + c.end() + ") breaks the rule 0 <= start < end");
        } else if (requestedStart(c) < c.start() || requestedStart(c) >= requestedEnd(c) || requestedEnd(c) > c.end()) {
            turn.refuse(
                    Reason.INVALID_RANGE,
                    c.volume(),
                    "requested range [" + c.requestedStart() + ", " + c.requestedEnd() + ") is not within [" + c.start()
                            + ", " + c.end() + ")");
        } else if (c.token() >= turn.firstToken() || c.lockId() <= 0 || c.lockId() > c.token()) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    c.volume(),
                    "lock " + c.lockId() + " with token " + c.token() + " breaks the rule 0 < id <= token < "
                            + turn.firstToken() + ", the first token of this epoch");
        } else {
            return false;
        }
        return true;
    }

    private boolean isAnothers(Command.Reassert c, @Nullable Volume volume, @Nullable Held known) {
        if (volume != null && !volume.uuid.equals(c.volumeUuid())) {
            turn.refuse(
                    Reason.NOT_HOLDER,
                    c.volume(),
                    "volume " + c.volume() + " is " + volume.uuid + ", not " + Names.quoted(c.volumeUuid()));
            return true;
        }
        boolean anothers = known != null
                && (known.volume != volume
                        || !known.session.id.equals(c.sessionId()) && (known.delay == null || known.token > c.token()));
        if (anothers) {
            turn.refuse(Reason.NOT_HOLDER, c.volume(), "lock " + c.lockId() + " is another session's");
        }
        return anothers;
    }

    private boolean isTooMuch(Command.Reassert c, Session session, @Nullable Volume volume, @Nullable Held known) {
        int ofSession = session.held + session.waiting;
        int ofVolume = volume == null ? 0 : volume.held() + volume.waiting();
        boolean tooMuch = known == null
                && (ofSession >= turn.settings.maxLocksPerSession()
                        || ofVolume >= turn.settings.maxLocksPerVolume()
                        || volume == null && registry.volumes.size() >= turn.settings.maxVolumes());
        if (tooMuch) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "session " + session.id + " has " + ofSession + " and volume " + c.volume() + " " + ofVolume
                            + " locks and waiting requests; no more may be added");
        }
        return tooMuch || known == null && acquiring.tooManyInAll(1, c.volume());
    }

    /** What conflicts: the one that stays, if it is newer; else all that have to go. */
    private static @Nullable Held sortOut(Command.Reassert c, Volume volume, @Nullable Held known, List<Held> losers) {
        Held[] winner = new Held[1];
        volume.locks.forEachConflicting(c.mode(), c.start(), c.end(), lock -> {
            if (lock == known) {
                return true;
            }
            if (lock.token >= c.token()) {
                winner[0] = lock;
                return false;
            }
            losers.add(lock);
            return true;
        });
        return winner[0];
    }

    private void lose(Held loser, long token) {
        String why = "token " + token + " was asserted for the same range, and is newer than token " + loser.token;
        if (loser.live()) {
            turn.say(new Notice.Lost(loser.session.id, loser.id, loser.volume.name, loser.start, loser.end, why));
        }
        grants.remove(loser, LockEvent.Kind.RELEASED, why);
    }

    /** Those who waited before may wait for this session now. */
    private void refuseDeadlocks(Session session) {
        for (Request request = waitsFor.deadlocked(session); request != null; ) {
            grants.refuse(
                    request,
                    Reason.DEADLOCK,
                    session.owner + " waits for " + request.what()
                            + ", and others there wait for what it asserted anew");
            request = waitsFor.deadlocked(session);
        }
    }
}
