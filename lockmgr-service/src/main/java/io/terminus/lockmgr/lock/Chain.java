package io.terminus.lockmgr.lock;

import org.jspecify.annotations.Nullable;

/**
 * The claims of one kind that have the same range and mode, oldest first: one entry of a {@link ModeIndex}, however many
 * wait for, or share, one range. A new claim is the youngest nearly always, so that to join and to leave cost no search.
 */
final class Chain {

    Claim oldest;
    Claim youngest;
    int size;

    /** Kept by {@link WaitsFor}: the last search that saw members as being in the way, and up to which id. */
    long seenBy;

    long seenUpTo;
    /** The last search that asked what is in the way of members, and up to which id. */
    long askedBy;

    long askedUpTo;

    Chain(Claim only) {
        oldest = only;
        youngest = only;
        size = 1;
        only.chain = this;
    }

    void add(Claim claim) {
        Claim before = youngest;
        while (before != null && before.id() > claim.id()) {
            before = before.older;
        }
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
        return true;
    }

    private static Claim notLast(@Nullable Claim claim) {
        if (claim == null) {
            throw new IllegalStateException("a chain of several has lost its links");
        }
        return claim;
    }
}
