package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import org.jspecify.annotations.Nullable;

/**
 * What is held and what waits, and how the one becomes the other. Whatever leaves, or gives way to weaker claims, goes
 * through here and is remembered as freed; every command ends in {@link #settle}, which looks at the waiters that what was
 * freed was in the way of, at no others.
 *
 * <p>Oldest first, and each looked at once: a waiter that becomes a holder is in the way of the same others as before. The
 * exception is a conversion that goes sideways (CW to PR or back): it frees those that only the old mode held up, and they
 * are looked at as well.
 */
final class Grants {

    private record Freed(Volume volume, Mode mode, long start, long end) {}

    private static final Comparator<Request> BY_RANK_THEN_AGE = Comparator.<Request, Request.Rank>comparing(
                    request -> request.rank)
            .thenComparingLong(request -> request.order);

    private final Turn turn;
    private final Registry registry;
    private final Recalls recalls;
    private final Expansion expansion;
    private final IdleVolumes idleVolumes;
    private final Deadlines<Request> waits = new Deadlines<>();
    private final Deadlines<LockDelay> delays = new Deadlines<>();

    private final List<Freed> freed = new ArrayList<>();
    private final PriorityQueue<Request> candidates = new PriorityQueue<>(BY_RANK_THEN_AGE);
    /** Locks that are new, or have another range or mode, and behind which somebody may wait. */
    private final List<Held> changed = new ArrayList<>();

    /** How often a waiter was looked at, whether it can be granted. */
    long looks;

    Grants(Turn turn, Registry registry, Recalls recalls, Expansion expansion, IdleVolumes idleVolumes) {
        this.turn = turn;
        this.registry = registry;
        this.recalls = recalls;
        this.expansion = expansion;
        this.idleVolumes = idleVolumes;
    }

    // What waits

    /** What is in the way of a request that may or may not be queued yet; null if it can be granted. */
    @Nullable
    Claim firstBlocker(Request request) {
        for (Waiter part : request.parts) {
            Claim blocker = part.volume.firstBlocker(part);
            if (blocker != null) {
                return blocker;
            }
        }
        return null;
    }

    /** The order a request has if it starts to wait now. */
    long nextOrder() {
        return registry.waitersSoFar + 1;
    }

    /** The request was never queued, but has taken its place in the order. */
    void skipOrder(Request request) {
        registry.waitersSoFar += request.parts.size();
    }

    void queue(Request request) {
        registry.waitersSoFar += request.parts.size();
        registry.waiting += request.parts.size();
        for (Waiter part : request.parts) {
            part.volume.add(part);
        }
        request.session.add(request);
        if (request.converting != null) {
            request.converting.conversion = request;
        }
    }

    /** The wait begins, until {@code waitNanos} from now unless that is for ever. Holders are told, unless by a standby. */
    void startWaiting(Request request, long waitNanos) {
        if (waitNanos != LockTable.WAIT_FOR_EVER) {
            waits.arm(request, turn.now + waitNanos);
        }
        for (Waiter part : request.parts) {
            turn.event(LockEvent.Kind.WAITING, part, "");
        }
        if (!request.standby()) {
            recalls.forNew(request);
        }
    }

    /** A request leaves the queue without being granted. */
    void leave(Request request, String why) {
        for (Waiter part : request.parts) {
            turn.event(LockEvent.Kind.GAVE_UP, part, why);
            free(part);
        }
        unqueue(request);
    }

    void refuse(Request request, Reason reason, String message) {
        leave(request, message);
        turn.refuse(request, reason, message);
    }

    /** Takes back {@link #queue}, with nothing between: it is not to wait after all. */
    void unqueueNewest(Request request) {
        unqueue(request);
        registry.waitersSoFar -= request.parts.size();
    }

    private void unqueue(Request request) {
        waits.disarm(request);
        registry.waiting -= request.parts.size();
        for (Waiter part : request.parts) {
            part.volume.remove(part);
            idleVolumes.left(part.volume);
        }
        request.session.remove(request);
        if (request.converting != null) {
            request.converting.conversion = null;
        }
    }

    /** A request whose time to wait is over; null if there is none. */
    @Nullable
    Request pollLate() {
        return waits.pollDue(turn.now);
    }

    // What is held

    /**
     * Makes locks of a request that nothing is in the way of, and that is not queued (any more), and answers it. Returns
     * the new locks.
     */
    List<Held> grant(Request request) {
        if (request.converting != null) {
            convert(request.converting, request.first().mode, request.requestId, turn.nextToken());
            turn.say(request.converting.asAnswerTo(request.requestId));
            return List.of();
        }
        List<Held> locks = new ArrayList<>(request.parts.size());
        for (Waiter part : request.parts) {
            boolean first = locks.isEmpty();
            long token = turn.nextToken();
            Held lock = new Held(
                    request.session,
                    request.requestId,
                    part.volume,
                    part.start,
                    part.end,
                    first ? expansion.start(request) : part.start,
                    first ? expansion.end(request) : part.end,
                    part.mode,
                    token,
                    token);
            add(lock);
            turn.change(lock.asChange());
            turn.event(LockEvent.Kind.GRANTED, lock, "");
            locks.add(lock);
        }
        if (request.atomic) {
            turn.grantedTo(request.session.id, request.requestId, locks);
        } else {
            turn.say(locks.getFirst().asAnswer());
        }
        return locks;
    }

    /** Gives a lock another mode, in which nothing is in its way. */
    void convert(Held lock, Mode mode, long requestId, long token) {
        if (!lock.mode.atMost(mode)) {
            freed.add(new Freed(lock.volume, lock.mode, lock.start, lock.end));
        }
        lock.volume.remove(lock);
        lock.mode = mode;
        lock.volume.add(lock);
        lock.token = token;
        changed(lock, requestId, "converted");
    }

    /** Gives back what lies outside of [start, end). */
    void narrow(Held lock, long start, long end, long requestId, String why) {
        if (lock.start < start) {
            freed.add(new Freed(lock.volume, lock.mode, lock.start, start));
        }
        if (end < lock.end) {
            freed.add(new Freed(lock.volume, lock.mode, end, lock.end));
        }
        cut(lock, start, end, requestId, why);
    }

    /** Cuts what lies outside of [start, end) off a lock; it does not come free by this. */
    void cut(Held lock, long start, long end, long requestId, String why) {
        lock.volume.remove(lock);
        lock.narrow(start, end);
        lock.volume.add(lock);
        if (lock.conversion != null) {
            Waiter part = lock.conversion.first();
            free(part);
            part.volume.remove(part);
            part.start = start;
            part.end = end;
            part.volume.add(part);
            if (!turn.recovering) {
                consider(lock.conversion);
            }
        }
        changed(lock, requestId, why);
    }

    private void changed(Held lock, long requestId, String why) {
        lock.changedBy(requestId);
        turn.change(lock.asChange());
        turn.event(LockEvent.Kind.CHANGED, lock, why);
        changed.add(lock);
    }

    /** A lock that came in another way than by a grant. Its holder is told who waits behind it. */
    void addBesides(Held lock, String why) {
        add(lock);
        turn.change(lock.asChange());
        turn.event(LockEvent.Kind.GRANTED, lock, why);
        changed.add(lock);
    }

    void add(Held lock) {
        lock.volume.add(lock);
        lock.session.add(lock);
        registry.locks.put(lock.id, lock);
        registry.held++;
    }

    /** A lock is given up, for good. A conversion of it that waits is refused. */
    void remove(Held lock, LockEvent.Kind kind, String why) {
        if (lock.conversion != null) {
            refuse(
                    lock.conversion,
                    Reason.UNKNOWN_LOCK,
                    "lock " + lock.id + " was given up while its conversion waited");
        }
        turn.event(kind, lock, why);
        detach(lock);
        lock.volume.remove(lock);
        idleVolumes.left(lock.volume);
        registry.locks.remove(lock.id);
        registry.held--;
        if (lock.delay != null) {
            delays.disarm(lock.delay);
        }
        turn.change(new Change.LockGone(lock.id));
        freed.add(new Freed(lock.volume, lock.mode, lock.start, lock.end));
    }

    /** Takes a lock from its holder. It stays in the way of others until the holder cannot believe in it any more. */
    void revoke(Held lock, String why) {
        if (lock.conversion != null) {
            refuse(lock.conversion, Reason.CANCELLED, "lock " + lock.id + " was revoked while its conversion waited");
        }
        recalls.forget(lock);
        lock.revoked = true;
        lock.session.unackedLosses++;
        turn.change(lock.asChange());
        turn.say(new Notice.Lost(lock.session.id, lock.id, lock.volume.name, lock.start, lock.end, why));
        turn.event(LockEvent.Kind.REVOKED, lock, why);
    }

    /** The holder has vanished: the lock goes, or, if the volume has a lock delay, stays closed that long. */
    void vanish(Held lock, String why) {
        if (lock.volume.lockDelayNanos == 0) {
            remove(lock, LockEvent.Kind.EXPIRED, why);
            return;
        }
        detach(lock);
        lock.session = registry.nobody;
        lock.revoked = false;
        lock.session.add(lock);
        delay(lock);
        turn.change(lock.asChange());
        turn.event(LockEvent.Kind.EXPIRED, lock, why);
    }

    /** Starts the full lock delay. */
    void delay(Held lock) {
        LockDelay delay = new LockDelay(lock);
        lock.delay = delay;
        delays.arm(delay, turn.now + lock.volume.lockDelayNanos);
    }

    /** Takes a lock from its session. */
    private void detach(Held lock) {
        recalls.forget(lock);
        lock.session.remove(lock);
        if (lock.revoked) {
            lock.session.unackedLosses--;
        }
    }

    /** A lock of nobody whose delay is over; null if there is none. */
    @Nullable
    Held pollDelayed() {
        LockDelay over = delays.pollDue(turn.now);
        return over == null ? null : over.lock;
    }

    // What every command ends in

    private void free(Waiter part) {
        freed.add(new Freed(part.volume, part.mode, part.start, part.end));
    }

    /** Has every waiter looked at: what was in the way of all is over. */
    void considerAll() {
        registry.sessions.values().forEach(session -> session.forEachRequest(this::consider));
    }

    /** Grants what can be granted now, and tells those who hold something new what is needed of it. */
    void settle() {
        if (turn.recovering) {
            freed.clear();
        }
        considerFreed();
        for (Request request = candidates.poll(); request != null; request = candidates.poll()) {
            request.candidate = false;
            lookAt(request);
            considerFreed();
        }
        changed.forEach(recalls::restate);
        changed.clear();
    }

    /** While state is loaded nobody waits. */
    void forgetFreed() {
        freed.clear();
    }

    private void considerFreed() {
        for (Freed place : freed) {
            place.volume.forEachChainBehind(place.mode, place.start, place.end, waiter -> {
                consider(waiter.request);
                return true;
            });
        }
        freed.clear();
    }

    private void consider(Request request) {
        if (!request.candidate) {
            request.candidate = true;
            candidates.add(request);
        }
    }

    /**
     * Grants it if it can be. Where it is the oldest of a chain, the next one may be granted as well if this one is not in
     * its way: if the mode is shared, and if nothing that is in the way of both lies there.
     */
    private void lookAt(Request request) {
        looks++;
        boolean free = true;
        for (Waiter part : request.parts) {
            if (part.volume.firstBlocker(part) != null) {
                free = false;
            } else if (part.mode.shared() && part.younger instanceof Waiter next && next.request != request) {
                consider(next.request);
            }
        }
        if (free) {
            unqueue(request);
            changed.addAll(grant(request));
        }
    }
}
