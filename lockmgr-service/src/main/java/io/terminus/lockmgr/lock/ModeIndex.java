package io.terminus.lockmgr.lock;

import io.terminus.ranges.RangeIndex;
import org.jspecify.annotations.Nullable;

/**
 * Claims of one kind on one volume, by range, an index for each mode: a search for conflicts opens only the indexes of
 * modes that do conflict, so that a thousand readers cost another reader nothing.
 */
final class ModeIndex<C extends Claim> {

    @FunctionalInterface
    interface Visitor<C> {
        /** Returns false to see no more. */
        boolean visit(C claim);
    }

    private static final Mode[] MODES = Mode.values();

    @SuppressWarnings({"unchecked", "rawtypes"})
    private final RangeIndex<C>[] byMode = new RangeIndex[MODES.length];

    ModeIndex() {
        for (Mode mode : MODES) {
            byMode[mode.ordinal()] = new RangeIndex<>();
        }
    }

    void add(C claim) {
        byMode[claim.mode.ordinal()].insert(claim.start, claim.end, claim.id(), claim);
    }

    /** Must come before the claim's id changes. */
    void remove(C claim) {
        if (byMode[claim.mode.ordinal()].remove(claim.start, claim.id()) != claim) {
            throw new IllegalStateException("claim " + claim.id() + " on " + claim.what() + " is not in the index");
        }
    }

    /** The conflicting claim with the lowest start; null if nothing conflicts. */
    @Nullable
    C firstConflicting(Mode mode, long start, long end) {
        C first = null;
        for (Mode other : MODES) {
            if (!mode.compatibleWith(other)) {
                C found = byMode[other.ordinal()].firstOverlapping(start, end);
                if (found != null && (first == null || found.start < first.start)) {
                    first = found;
                }
            }
        }
        return first;
    }

    /** Shows every claim that conflicts, mode by mode, each in the order of starts. Returns false if the visitor stopped it. */
    boolean forEachConflicting(Mode mode, long start, long end, Visitor<? super C> visitor) {
        for (Mode other : MODES) {
            if (!mode.compatibleWith(other)
                    && !byMode[other.ordinal()].forEachOverlapping(
                            start, end, (from, to, id, claim) -> visitor.visit(claim))) {
                return false;
            }
        }
        return true;
    }
}
