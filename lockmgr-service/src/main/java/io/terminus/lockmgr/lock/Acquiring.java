package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Requests for locks: asked for, promoted, given up. */
final class Acquiring {

    private final Turn turn;
    private final Registry registry;
    private final Grants grants;
    private final WaitsFor waitsFor;
    private final Settings settings;

    /** Volumes that the command in progress would bring into being. */
    private final List<Volume> unborn = new ArrayList<>();

    Acquiring(Turn turn, Registry registry, Grants grants, WaitsFor waitsFor) {
        this.turn = turn;
        this.registry = registry;
        this.grants = grants;
        this.waitsFor = waitsFor;
        this.settings = turn.settings;
    }

    void acquire(Command.Acquire c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Asked earlier = session.requests.get(c.requestId());
        if (earlier != null) {
            answerAgain(c, earlier);
            return;
        }
        if (isWrong(c) || isTooMuch(c, session)) {
            return;
        }
        boolean isTry = c.waitNanos() == 0;
        if (isTry && turn.recovering) {
            turn.refuse(
                    Reason.RECOVERING,
                    c.volume(),
                    "nothing is granted yet: locks of before the restart may still be believed in");
            return;
        }
        Request request = requestOf(c, session);
        Claim blocker = turn.recovering ? null : grants.firstBlocker(request);
        if (!turn.recovering && blocker == null) {
            addVolumes();
            grants.grant(request);
        } else if (isTry && blocker != null) {
            turn.refuse(Reason.WOULD_BLOCK, c.volume(), request.what() + " would wait: " + Turn.inTheWay(blocker));
        } else if (!tooManyWait(request) && (request.standby() || !wouldDeadlock(request))) {
            addVolumes();
            wait(request, c.waitNanos());
        }
    }

    /** The answer to the first time was lost on its way, or is still to come. */
    private void answerAgain(Command.Acquire c, Asked earlier) {
        List<Held> locks = earlier.held();
        List<Held> live = locks.stream().filter(Held::live).toList();
        if (live.isEmpty() && !locks.isEmpty()) {
            Held lost = locks.getFirst();
            turn.refuse(
                    Reason.CANCELLED,
                    lost.volume.name,
                    "request " + c.requestId() + " was granted as lock " + lost.id + ", which was revoked since");
        } else if (!live.isEmpty() && c.also().isEmpty()) {
            turn.granted(live.getFirst());
        } else if (!live.isEmpty()) {
            turn.granted(live);
        }
    }

    private Request requestOf(Command.Acquire c, Session session) {
        unborn.clear();
        Request request = Request.acquire(
                session,
                c.requestId(),
                grants.nextOrder(),
                c.standby(),
                c.desiredStart(),
                c.desiredEnd(),
                1 + c.also().size());
        request.add(volume(c.volume(), c.volumeUuid()), c.start(), c.end(), c.mode());
        for (Command.Part part : c.also()) {
            request.add(volume(part.volume(), part.volumeUuid()), part.start(), part.end(), part.mode());
        }
        return request;
    }

    private Volume volume(String name, String uuid) {
        Volume known = registry.volumes.get(name);
        if (known != null) {
            return known;
        }
        for (Volume volume : unborn) {
            if (volume.name.equals(name)) {
                return volume;
            }
        }
        Volume volume = registry.newVolume(name, uuid);
        unborn.add(volume);
        return volume;
    }

    /** Only now: a request that is refused leaves nothing behind. */
    private void addVolumes() {
        for (Volume volume : unborn) {
            registry.add(volume);
            turn.change(new Change.VolumePut(volume.name, volume.uuid, 0));
        }
        unborn.clear();
    }

    private void wait(Request request, long waitNanos) {
        grants.queue(request);
        if (!request.standby()) {
            waitsFor.startsToWait(request);
        }
        grants.startWaiting(request, waitNanos);
    }

    // What is wrong with it

    /** Refuses what is wrong with the command whatever the state of the table. */
    private boolean isWrong(Command.Acquire c) {
        int ranges = 1 + c.also().size();
        boolean grows = c.desiredStart() != 0 || c.desiredEnd() != 0;
        if (isWrong(c.volume(), c.volumeUuid(), c.start(), c.end())) {
            return true;
        } else if (grows && (c.desiredStart() < 0 || c.desiredStart() > c.start() || c.desiredEnd() < c.end())) {
            turn.refuse(
                    Reason.INVALID_RANGE,
                    c.volume(),
                    "desired range [" + c.desiredStart() + ", " + c.desiredEnd() + ") does not contain the range ["
                            + c.start() + ", " + c.end() + ")");
        } else if (c.waitNanos() < 0 && !(c.standby() && c.waitNanos() == LockTable.WAIT_FOR_EVER)) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    c.volume(),
                    "wait of " + c.waitNanos() + " ns is negative (only a standby may wait for ever, with -1)");
        } else if (c.waitNanos() > settings.maxWaitNanos()) {
            turn.refuse(Reason.INVALID_ARGUMENT, c.volume(), tooLong(c.waitNanos()));
        } else if (c.standby() && ranges > 1) {
            turn.refuse(Reason.INVALID_ARGUMENT, c.volume(), "a standby waits for one range, not for " + ranges);
        } else if (ranges > settings.maxRangesPerRequest()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "request " + c.requestId() + " names " + ranges + " ranges, the most allowed is "
                            + settings.maxRangesPerRequest());
        } else {
            for (Command.Part part : c.also()) {
                if (isWrong(part.volume(), part.volumeUuid(), part.start(), part.end())) {
                    return true;
                }
            }
            return partsConflict(c);
        }
        return true;
    }

    private boolean isWrong(String volume, String volumeUuid, long start, long end) {
        String name = Names.wrong("volume name", volume, "", settings.maxNameLength());
        String uuid = Names.wrong("volume uuid", volumeUuid, "", settings.maxNameLength());
        String elsewhere = turn.share.refusal(volume);
        if (name != null) {
            turn.refuse(Reason.INVALID_NAME, "", name);
        } else if (elsewhere != null) {
            turn.refuse(Reason.INVALID_ARGUMENT, "", elsewhere);
        } else if (uuid != null && !registry.volumes.containsKey(volume)) {
            turn.refuse(Reason.INVALID_NAME, volume, uuid);
        } else if (start < 0 || start >= end) {
            turn.refuse(
                    Reason.INVALID_RANGE,
                    volume,
                    "range [" + start + ", " + end + ") breaks the rule 0 <= start < end");
        } else {
            return false;
        }
        return true;
    }

    private boolean partsConflict(Command.Acquire c) {
        if (c.also().isEmpty()) {
            return false;
        }
        for (int i = 0; i < c.also().size(); i++) {
            Command.Part part = c.also().get(i);
            for (int j = -1; j < i; j++) {
                Command.Part other = j < 0
                        ? new Command.Part(c.volume(), c.volumeUuid(), c.start(), c.end(), c.mode())
                        : c.also().get(j);
                if (other.volume().equals(part.volume())
                        && other.start() < part.end()
                        && part.start() < other.end()
                        && !other.mode().compatibleWith(part.mode())) {
                    turn.refuse(
                            Reason.INVALID_ARGUMENT,
                            part.volume(),
                            "parts " + (j + 2) + " (" + what(other) + ") and " + (i + 2) + " (" + what(part)
                                    + ") of one request conflict on volume " + part.volume());
                    return true;
                }
            }
        }
        return false;
    }

    private static String what(Command.Part part) {
        return part.mode() + " [" + part.start() + ", " + part.end() + ")";
    }

    private boolean isTooMuch(Command.Acquire c, Session session) {
        int parts = 1 + c.also().size();
        int ofSession = session.held + session.waiting;
        if (tooManyInAll(parts, c.volume())) {
            return true;
        }
        if (ofSession + parts > settings.maxLocksPerSession()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "session " + session.id + " has " + ofSession + " locks and waiting requests; the most allowed is "
                            + settings.maxLocksPerSession());
            return true;
        }
        Map<String, Integer> more = new LinkedHashMap<>();
        more.put(c.volume(), 1);
        c.also().forEach(part -> more.merge(part.volume(), 1, Integer::sum));
        int newVolumes = 0;
        for (Map.Entry<String, Integer> entry : more.entrySet()) {
            Volume volume = registry.volumes.get(entry.getKey());
            int ofVolume = volume == null ? 0 : volume.held() + volume.waiting();
            newVolumes += volume == null ? 1 : 0;
            if (ofVolume + entry.getValue() > settings.maxLocksPerVolume()) {
                turn.refuse(
                        Reason.LIMIT_EXCEEDED,
                        entry.getKey(),
                        "volume " + entry.getKey() + " has " + ofVolume
                                + " locks and waiting requests; the most allowed is " + settings.maxLocksPerVolume());
                return true;
            }
        }
        if (newVolumes > 0 && registry.volumes.size() + newVolumes > settings.maxVolumes()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "there are " + registry.volumes.size() + " volumes; the most allowed is " + settings.maxVolumes());
            return true;
        }
        return false;
    }

    /** Refuses the command if with so many more there would be more locks, held or waited for, than can be remembered. */
    boolean tooManyInAll(int more, String volume) {
        long inAll = (long) registry.held + registry.waiting;
        if (inAll + more > settings.maxLocks()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    volume,
                    "there are " + inAll + " locks and waiting requests on all volumes; the most allowed is "
                            + settings.maxLocks());
            return true;
        }
        return false;
    }

    /** Refuses the command if it would make more waiters than may wait. */
    boolean tooManyWait(Request request) {
        Session session = request.session;
        int parts = request.parts.size();
        if (session.waiting + parts > settings.maxWaitersPerSession()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    request.first().volume.name,
                    "session " + session.id + " has " + session.waiting + " requests waiting; the most allowed is "
                            + settings.maxWaitersPerSession());
            return true;
        }
        for (Waiter part : request.parts) {
            Volume volume = part.volume;
            long together = request.parts.stream()
                    .filter(other -> other.volume == volume)
                    .count();
            if (volume.waiting() + together > settings.maxWaitersPerVolume()) {
                turn.refuse(
                        Reason.LIMIT_EXCEEDED,
                        volume.name,
                        "volume " + volume.name + " has " + volume.waiting() + " requests waiting; the most allowed is "
                                + settings.maxWaitersPerVolume());
                return true;
            }
        }
        return false;
    }

    private String tooLong(long waitNanos) {
        return "wait of " + waitNanos + " ns is longer than the longest allowed, " + settings.maxWaitNanos() + " ns";
    }

    /** Refuses the command if the request, were it queued as an ordinary one, would close a cycle. */
    private boolean wouldDeadlock(Request request) {
        WaitsFor.Finding found = waitsFor.cycleThroughAcquire(request);
        if (!found.cycle().isEmpty()) {
            turn.refuse(Reason.DEADLOCK, request.first().volume.name, WaitsFor.describe(found.cycle()));
        } else if (found.gaveUp()) {
            refuseUnsearched(request);
        }
        return !found.cycle().isEmpty() || found.gaveUp();
    }

    void refuseUnsearched(Request request) {
        turn.refuse(
                Reason.LIMIT_EXCEEDED,
                request.first().volume.name,
                request.what() + " may not wait: to find out whether it closes a deadlock, more than "
                        + WaitsFor.MOST_ASKED + " waiters or " + WaitsFor.MOST_LOOKED_AT
                        + " locks would have to be looked at");
    }

    // What becomes of a request that waits

    void cancel(Command.Cancel c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Asked asked = session.requests.get(c.acquireRequestId());
        if (asked instanceof Request request) {
            grants.refuse(request, Reason.CANCELLED, "request " + request.requestId + " was cancelled by its session");
        } else if (asked != null) {
            asked.held().forEach(lock -> grants.remove(lock, LockEvent.Kind.RELEASED, "cancelled"));
        }
        // Else it was answered and is over, or was never sent: nothing waits and nothing is held for it.
        turn.done();
    }

    void promote(Command.Promote c) {
        Session session = turn.asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Asked asked = session.requests.get(c.acquireRequestId());
        String volume = volumeOf(asked);
        if (asked == null) {
            turn.refuse(
                    Reason.UNKNOWN_REQUEST,
                    "",
                    "session " + session.id + " has no request " + c.acquireRequestId() + " that waits or holds");
        } else if (c.waitNanos() <= 0) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    volume,
                    "wait of " + c.waitNanos() + " ns must be positive: an ordinary request waits, and not for ever");
        } else if (c.waitNanos() > settings.maxWaitNanos()) {
            turn.refuse(Reason.INVALID_ARGUMENT, volume, tooLong(c.waitNanos()));
        } else if (asked instanceof Request request && request.standby()) {
            promote(request, c.waitNanos());
        } else {
            turn.done(); // It is a lock by now, or was promoted already.
        }
    }

    private static String volumeOf(@Nullable Asked asked) {
        return switch (asked) {
            case null -> "";
            case Request request -> request.first().volume.name;
            case Held lock -> lock.volume.name;
            case Asked.Together together -> together.locks().getFirst().volume.name;
        };
    }

    private void promote(Request standby, long waitNanos) {
        Request ordinary = standby.promoted(grants.nextOrder());
        boolean free = !turn.recovering && grants.firstBlocker(ordinary) == null;
        if (!free && wouldDeadlock(ordinary)) {
            return;
        }
        grants.leave(standby, "promoted");
        turn.done();
        if (free) {
            grants.skipOrder(ordinary);
            grants.grant(ordinary);
        } else {
            wait(ordinary, waitNanos);
        }
    }
}
