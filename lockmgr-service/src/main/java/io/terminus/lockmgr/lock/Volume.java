package io.terminus.lockmgr.lock;

import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * One volume: its locks, its waiters, its value block; and the rule of who is in whose way.
 *
 * <pre>
 *   in the way of           held lock   older ordinary   younger ordinary   older standby
 *   an ordinary waiter      yes         yes              -                  -
 *   a standby waiter        yes         yes              yes                yes             each if it conflicts
 * </pre>
 *
 * <p>Two claims conflict if their ranges share a byte and their modes may not be held together.
 */
final class Volume {

    final String name;
    final String uuid;
    final TreeMap<Long, Held> locks = new TreeMap<>();
    final TreeMap<Long, Waiter> waiters = new TreeMap<>();

    private final ModeIndex<Held> held = new ModeIndex<>();
    private final ModeIndex<Waiter> ordinary = new ModeIndex<>();
    private final ModeIndex<Waiter> standby = new ModeIndex<>();

    /** 0: never written. */
    long valueVersion;

    byte[] value = {};
    /** Whose put the value is; a retry of it is answered as done. */
    String valueSessionId = "";

    long valueRequestId;

    Volume(String name, String uuid) {
        this.name = name;
        this.uuid = uuid;
    }

    void add(Held lock) {
        held.add(lock);
        locks.put(lock.id, lock);
    }

    void remove(Held lock) {
        held.remove(lock);
        locks.remove(lock.id);
    }

    void add(Waiter waiter) {
        (waiter.standby ? standby : ordinary).add(waiter);
        waiters.put(waiter.order, waiter);
    }

    void remove(Waiter waiter) {
        (waiter.standby ? standby : ordinary).remove(waiter);
        waiters.remove(waiter.order);
    }

    /** What is in the way of a waiter that may or may not be queued yet; null if it can be granted. */
    @Nullable
    Claim firstBlocker(Waiter waiter) {
        Claim lock = held.firstConflicting(waiter.mode, waiter.start, waiter.end);
        if (lock != null) {
            return lock;
        }
        Claim[] found = new Claim[1];
        forEachBlockingWaiter(waiter, blocker -> {
            found[0] = blocker;
            return false;
        });
        return found[0];
    }

    /** Shows everything in the way of a waiter: locks first, then waiters. Returns false if the visitor stopped it. */
    boolean forEachBlocker(Waiter waiter, ModeIndex.Visitor<? super Claim> visitor) {
        return held.forEachConflicting(waiter.mode, waiter.start, waiter.end, visitor)
                && forEachBlockingWaiter(waiter, visitor);
    }

    private boolean forEachBlockingWaiter(Waiter waiter, ModeIndex.Visitor<? super Waiter> visitor) {
        return ordinary.forEachConflicting(
                        waiter.mode,
                        waiter.start,
                        waiter.end,
                        other -> !(waiter.standby || other.order < waiter.order) || visitor.visit(other))
                && (!waiter.standby
                        || standby.forEachConflicting(
                                waiter.mode,
                                waiter.start,
                                waiter.end,
                                other -> other.order >= waiter.order || visitor.visit(other)));
    }

    /** The locks a waiter has to get back from their holders. */
    void forEachLockInTheWayOf(Waiter waiter, ModeIndex.Visitor<? super Held> visitor) {
        held.forEachConflicting(waiter.mode, waiter.start, waiter.end, visitor);
    }

    /** A held lock that a lock of this mode and range may not stand beside; null if there is none. */
    @Nullable
    Held firstConflictingLock(Mode mode, long start, long end) {
        return held.firstConflicting(mode, start, end);
    }

    /** The ordinary waiters that want a claim out of their way. */
    boolean forEachOrdinaryBehind(Claim claim, ModeIndex.Visitor<? super Waiter> visitor) {
        return ordinary.forEachConflicting(claim.mode, claim.start, claim.end, visitor);
    }

    /** The standby waiters that a claim holds up. */
    void forEachStandbyBehind(Claim claim, ModeIndex.Visitor<? super Waiter> visitor) {
        standby.forEachConflicting(claim.mode, claim.start, claim.end, visitor);
    }

    int held() {
        return locks.size();
    }

    int waiting() {
        return waiters.size();
    }
}
