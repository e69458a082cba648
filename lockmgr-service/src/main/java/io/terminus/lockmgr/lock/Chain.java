package io.terminus.lockmgr.lock;

import io.terminus.ranges.DisjointRangeIndex;
import org.jspecify.annotations.Nullable;

/**
 * The claims of one kind that have the same range and mode, oldest first: one entry of a {@link ModeIndex}, however many
 * wait for, or share, one range.
 *
 * <p>A new claim is the youngest nearly always, so that to join and to leave cost no search. Old ones come in when locks are
 * converted, narrowed to one range, or restored. One whose place is not found within {@value #NEAR} steps of either end
 * has all of them put into an index by id, which then goes along until nobody is left: a hundred thousand readers who
 * convert in any order would take quadratic time otherwise.
 */
final class Chain {

    private static final int NEAR = 8;

    Claim oldest;
    Claim youngest;
    int size;

    /** Kept by {@link WaitsFor}: the last search that saw members as being in the way, and up to which id. */
    long seenBy;

    long seenUpTo;
    /** Not seen by that search all the same: the lock of the conversion that asked. */
    @Nullable
    Claim leftOut;
    /** The last search that asked what is in the way of members, and up to which id. */
    long askedBy;

    long askedUpTo;

    /** Each member at [id, id + 1); null while nobody had to be looked for. */
    private @Nullable DisjointRangeIndex<Claim> byId;

    Chain(Claim only) {
        oldest = only;
        youngest = only;
        size = 1;
        only.chain = this;
    }

    void add(Claim claim) {
        Claim before = claim.id() > youngest.id() ? youngest : olderNeighbour(claim.id());
        claim.chain = this;
        claim.older = before;
        claim.younger = before == null ? oldest : before.younger;
        if (claim.older == null) {
            oldest = claim;
        } else {
            claim.older.younger = claim;
        }
        if (claim.younger == null) {
            youngest = claim;
        } else {
            claim.younger.older = claim;
        }
        size++;
        if (byId != null) {
            index(byId, claim);
        }
    }

    /** The youngest of those who are older than that; null if none is. */
    private @Nullable Claim olderNeighbour(long id) {
        Claim fromOld = oldest;
        Claim fromYoung = youngest;
        for (int step = 0; step < NEAR && fromOld != null && fromYoung != null; step++) {
            if (fromOld.id() > id) {
                return fromOld.older;
            }
            if (fromYoung.id() < id) {
                return fromYoung;
            }
            fromOld = fromOld.younger;
            fromYoung = fromYoung.older;
        }
        DisjointRangeIndex<Claim> index = byId;
        if (index == null) {
            index = new DisjointRangeIndex<>();
            for (Claim member = oldest; member != null; member = member.younger) {
                index(index, member);
            }
            byId = index;
        }
        long endOfOlder = index.freeDownTo(0, id);
        return endOfOlder == 0 ? null : index.get(endOfOlder - 1);
    }

    private static void index(DisjointRangeIndex<Claim> index, Claim claim) {
        if (index.insertIfFree(claim.id(), claim.id() + 1, claim) != null) {
            throw new IllegalStateException("two claims have the id " + claim.id());
        }
    }

    /** Returns false for the last one, which stays: then the chain goes as a whole. */
    boolean remove(Claim claim) {
        if (size == 1) {
            claim.chain = null;
            return false;
        }
        Claim before = claim.older;
        Claim behind = claim.younger;
        if (before == null) {
            oldest = notLast(behind);
        } else {
            before.younger = behind;
        }
        if (behind == null) {
            youngest = notLast(before);
        } else {
            behind.older = before;
        }
        claim.chain = null;
        claim.older = null;
        claim.younger = null;
        size--;
        if (byId != null) {
            byId.remove(claim.id());
        }
        return true;
    }

    private static Claim notLast(@Nullable Claim claim) {
        if (claim == null) {
            throw new IllegalStateException("a chain of several has lost its links");
        }
        return claim;
    }
}
