package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One volume: its locks, its waiters, its value block; and the rule of who is in whose way.
 *
 * <pre>
 *   in the way of           lock held   older        younger      older      younger    older
 *                                       conversion   conversion   ordinary   ordinary   standby
 *   a waiting conversion    yes, but    yes          -            -          -          -
 *                           its own
 *   an ordinary waiter      yes         yes          yes          yes        -          -
 *   a standby waiter        yes         yes          yes          yes        yes        yes       each if it conflicts
 * </pre>
 *
 * <p>Two claims conflict if their ranges share a byte and their modes may not be held together. What is in the way of the
 * older of two acquires of one rank, range and mode is in the way of the younger as well; this is why a look at the oldest
 * of a {@link Chain} mostly does for all of it. It is not so for conversions, each of which has a lock that does not count.
 */
final class Volume {

    final String name;
    final String uuid;
    final ModeIndex<Held> locks = new ModeIndex<>(true);
    final ModeIndex<Waiter> conversions = new ModeIndex<>(false);
    final ModeIndex<Waiter> ordinary = new ModeIndex<>(false);
    final ModeIndex<Waiter> standby = new ModeIndex<>(false);

    private int held;
    private int waiting;

    /** How long a range stays closed when its holder vanished. */
    long lockDelayNanos;
    /** Is anybody looking on? */
    boolean watched;

    /** Where grants are not expanded for the time being. */
    final List<Expansion.Contended> contended = new ArrayList<>();

    /** 0: never written. */
    long valueVersion;

    byte[] value = {};
    /** Whose put the value is; a retry of it is answered as done. */
    String valueSessionId = "";

    long valueRequestId;

    /** Kept by {@link IdleVolumes}: when the last claim left, and whether it is listed there. */
    long idleSinceNanos;

    boolean listedAsIdle;

    Volume(String name, String uuid) {
        this.name = name;
        this.uuid = uuid;
    }

    void add(Held lock) {
        locks.add(lock);
        held++;
    }

    void remove(Held lock) {
        locks.remove(lock);
        held--;
    }

    void add(Waiter waiter) {
        waiters(waiter.request.rank).add(waiter);
        waiting++;
    }

    void remove(Waiter waiter) {
        waiters(waiter.request.rank).remove(waiter);
        waiting--;
    }

    private ModeIndex<Waiter> waiters(Request.Rank rank) {
        return switch (rank) {
            case CONVERSION -> conversions;
            case ORDINARY -> ordinary;
            case STANDBY -> standby;
        };
    }

    /** What is in the way of a waiter that may or may not be queued yet; null if, here, it can be granted. */
    @Nullable
    Claim firstBlocker(Waiter waiter) {
        Claim lock = firstLockInTheWay(waiter);
        if (lock != null) {
            return lock;
        }
        Claim[] found = new Claim[1];
        forEachBlockingChain(waiter, oldest -> {
            if (isBefore(oldest, waiter)) {
                found[0] = oldest;
            }
            return found[0] == null;
        });
        return found[0];
    }

    private @Nullable Held firstLockInTheWay(Waiter waiter) {
        Held own = waiter.request.converting;
        return own == null
                ? locks.firstConflicting(waiter.mode, waiter.start, waiter.end)
                : locks.firstConflictingBut(own, waiter.mode, waiter.start, waiter.end);
    }

    /** Shows everything in the way of a waiter: locks first, then waiters. Returns false if the visitor stopped it. */
    boolean forEachBlocker(Waiter waiter, ModeIndex.Visitor<? super Claim> visitor) {
        return forEachLockInTheWay(waiter, visitor)
                && forEachBlockingChain(waiter, oldest -> {
                    for (Claim other = oldest; other instanceof Waiter blocker; other = other.younger) {
                        if (!isBefore(blocker, waiter)) {
                            return true;
                        }
                        if (!visitor.visit(blocker)) {
                            return false;
                        }
                    }
                    return true;
                });
    }

    /** The locks a waiter has to get back from their holders. */
    boolean forEachLockInTheWay(Waiter waiter, ModeIndex.Visitor<? super Held> visitor) {
        Held own = waiter.request.converting;
        return locks.forEachConflicting(
                waiter.mode, waiter.start, waiter.end, lock -> lock == own || visitor.visit(lock));
    }

    /** The oldest of each chain of locks that conflict. */
    boolean forEachLockChainInTheWay(Waiter waiter, ModeIndex.Visitor<? super Held> visitor) {
        return locks.forEachConflictingChain(waiter.mode, waiter.start, waiter.end, visitor);
    }

    /** The oldest of each chain of waiters that conflict, as far as their rank may be in the way. */
    boolean forEachBlockingChain(Waiter waiter, ModeIndex.Visitor<? super Waiter> visitor) {
        for (Request.Rank rank : Request.Rank.values()) {
            if (rank.compareTo(waiter.request.rank) <= 0
                    && !waiters(rank).forEachConflictingChain(waiter.mode, waiter.start, waiter.end, visitor)) {
                return false;
            }
        }
        return true;
    }

    /** Of two that conflict, and of which the first may be in the way of the second by its rank: is it? */
    static boolean isBefore(Waiter first, Waiter second) {
        return first.request.rank.compareTo(second.request.rank) < 0 || first.olderThan(second);
    }

    /** A held lock that a lock of this mode and range may not stand beside; null if there is none. */
    @Nullable
    Held firstConflictingLock(Mode mode, long start, long end) {
        return locks.firstConflicting(mode, start, end);
    }

    /**
     * The waiters that want a lock back from its holder, of each chain of acquires the oldest. Returns false if the visitor
     * stopped it.
     */
    boolean forEachChainThatNeeds(Held lock, ModeIndex.Visitor<? super Waiter> visitor) {
        return conversions.forEachConflicting(
                        lock.mode,
                        lock.start,
                        lock.end,
                        waiter -> waiter.request.converting == lock || visitor.visit(waiter))
                && ordinary.forEachConflictingChain(lock.mode, lock.start, lock.end, visitor);
    }

    /** All waiters that a claim of this mode and range can have held up; of each chain of acquires the oldest. */
    void forEachChainBehind(Mode mode, long start, long end, ModeIndex.Visitor<? super Waiter> visitor) {
        conversions.forEachConflicting(mode, start, end, visitor);
        ordinary.forEachConflictingChain(mode, start, end, visitor);
        standby.forEachConflictingChain(mode, start, end, visitor);
    }

    /** How far right of {@code from} nothing that is held, or asked for by other than standbys, conflicts. */
    long freeUpTo(Mode mode, long from, long limit) {
        long free = locks.freeUpTo(mode, from, limit);
        free = conversions.freeUpTo(mode, from, free);
        return ordinary.freeUpTo(mode, from, free);
    }

    long freeDownTo(Mode mode, long from, long limit) {
        long free = locks.freeDownTo(mode, from, limit);
        free = conversions.freeDownTo(mode, from, free);
        return ordinary.freeDownTo(mode, from, free);
    }

    /** Is any byte from this one on held or waited for? */
    boolean anythingFrom(long offset) {
        return locks.overlapsAny(offset, Long.MAX_VALUE)
                || conversions.overlapsAny(offset, Long.MAX_VALUE)
                || ordinary.overlapsAny(offset, Long.MAX_VALUE)
                || standby.overlapsAny(offset, Long.MAX_VALUE);
    }

    int held() {
        return held;
    }

    int waiting() {
        return waiting;
    }

    int indexEntries() {
        return locks.entries() + conversions.entries() + ordinary.entries() + standby.entries();
    }
}
