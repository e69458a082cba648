package io.terminus.lockmgr.lock;

import io.terminus.ranges.RangeIndex;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Claims of one kind on one volume, by range, an index for each mode: a search for conflicts opens only the indexes of
 * modes that do conflict, so that a thousand readers cost another reader nothing.
 *
 * <p>Claims with the same range and mode are one entry of their index: a claim as long as it is alone, a {@link Chain} of
 * them after that. The key is (start, end).
 */
final class ModeIndex<C extends Claim> {

    @FunctionalInterface
    interface Visitor<C> {
        /** Returns false to see no more. */
        boolean visit(C claim);
    }

    private static final Mode[] MODES = Mode.values();

    @SuppressWarnings({"unchecked", "rawtypes"})
    private final @Nullable RangeIndex<Object>[] byMode = new RangeIndex[MODES.length];

    /** True where claims of one mode that does not share are never on one range, as locks that are held. */
    private final boolean disjoint;

    ModeIndex(boolean disjoint) {
        this.disjoint = disjoint;
    }

    void add(C claim) {
        RangeIndex<Object> index = byMode[claim.mode.ordinal()];
        if (index == null) {
            index = new RangeIndex<>();
            byMode[claim.mode.ordinal()] = index;
        }
        Object there = disjoint && !claim.mode.shared() ? null : index.get(claim.start, claim.end);
        switch (there) {
            case null -> index.insert(claim.start, claim.end, claim.end, claim);
            case Chain chain -> chain.add(claim);
            default -> {
                Chain chain = new Chain((Claim) there);
                chain.add(claim);
                index.remove(claim.start, claim.end);
                index.insert(claim.start, claim.end, claim.end, chain);
            }
        }
    }

    /** Must come before anything of the claim changes. */
    @SuppressWarnings("ReferenceEquality") // It is this very claim that has to go.
    void remove(C claim) {
        Chain chain = claim.chain;
        if (chain != null && chain.remove(claim)) {
            return;
        }
        RangeIndex<Object> index = byMode[claim.mode.ordinal()];
        Object entry = index == null ? null : index.remove(claim.start, claim.end);
        if (entry != (chain == null ? claim : chain)) {
            throw new IllegalStateException("claim " + claim.id() + " on " + claim.what() + " is not in the index");
        }
    }

    /** The oldest of the claims with the lowest start of those that conflict; null if nothing conflicts. */
    @Nullable
    C firstConflicting(Mode mode, long start, long end) {
        C first = null;
        for (Mode other : MODES) {
            RangeIndex<Object> index = byMode[other.ordinal()];
            if (index != null && !mode.compatibleWith(other)) {
                Object entry = index.firstOverlapping(start, end);
                if (entry != null) {
                    C found = oldest(entry);
                    if (first == null || found.start < first.start) {
                        first = found;
                    }
                }
            }
        }
        return first;
    }

    /** Does anything conflict but this one? */
    @Nullable
    C firstConflictingBut(C except, Mode mode, long start, long end) {
        Object[] found = new Object[1];
        forEachConflictingChain(mode, start, end, oldest -> {
            found[0] = oldest == except ? oldest.younger : oldest;
            return found[0] == null;
        });
        return cast(found[0]);
    }

    /** Shows every claim that conflicts, mode by mode, each in the order of starts. Returns false if the visitor stopped it. */
    boolean forEachConflicting(Mode mode, long start, long end, Visitor<? super C> visitor) {
        return forEachConflictingChain(mode, start, end, oldest -> {
            for (C claim = oldest; claim != null; claim = cast(claim.younger)) {
                if (!visitor.visit(claim)) {
                    return false;
                }
            }
            return true;
        });
    }

    /** Shows, of claims that conflict and have the same range and mode, the oldest only. */
    boolean forEachConflictingChain(Mode mode, long start, long end, Visitor<? super C> visitor) {
        for (Mode other : MODES) {
            RangeIndex<Object> index = byMode[other.ordinal()];
            if (index != null
                    && !mode.compatibleWith(other)
                    && !index.forEachOverlapping(start, end, (from, to, id, entry) -> visitor.visit(oldest(entry)))) {
                return false;
            }
        }
        return true;
    }

    /** How far right of {@code from} nothing conflicts: up to {@code limit} at most. */
    long freeUpTo(Mode mode, long from, long limit) {
        long free = limit;
        for (Mode other : MODES) {
            RangeIndex<Object> index = byMode[other.ordinal()];
            if (index != null && free > from && !mode.compatibleWith(other)) {
                Object entry = index.firstOverlapping(from, free);
                if (entry != null) {
                    free = Math.max(from, oldest(entry).start);
                }
            }
        }
        return free;
    }

    /** How far left of {@code from} nothing conflicts: down to {@code limit} at least. */
    long freeDownTo(Mode mode, long from, long limit) {
        long[] free = {limit};
        for (Mode other : MODES) {
            RangeIndex<Object> index = byMode[other.ordinal()];
            if (index != null && free[0] < from && !mode.compatibleWith(other)) {
                index.forEachOverlapping(free[0], from, (start, end, id, entry) -> {
                    free[0] = Math.max(free[0], Math.min(end, from));
                    return free[0] < from;
                });
            }
        }
        return free[0];
    }

    /**
     * Shows the oldest of each chain of one mode that overlaps [start, end) and begins at {@code from} or later, in the order
     * of (start, end).
     */
    void forEachFrom(Mode mode, long from, long start, long end, Visitor<? super C> visitor) {
        RangeIndex<Object> index = byMode[mode.ordinal()];
        if (index != null && Math.max(start, from) < end) {
            index.forEachOverlapping(
                    Math.max(start, from),
                    end,
                    (begin, stop, id, entry) -> begin < from || visitor.visit(oldest(entry)));
        }
    }

    /** Shows the oldest of each chain of any mode that overlaps [start, end). */
    void forEachChain(long start, long end, Visitor<? super C> visitor) {
        for (Mode mode : MODES) {
            forEachFrom(mode, 0, start, end, visitor);
        }
    }

    /** Where the first claim begins; 2^63 - 1 if there is none. */
    long firstStart() {
        long first = Long.MAX_VALUE;
        for (RangeIndex<Object> index : byMode) {
            Object entry = index == null ? null : index.firstOverlapping(0, Long.MAX_VALUE);
            if (entry != null) {
                first = Math.min(first, oldest(entry).start);
            }
        }
        return first;
    }

    boolean overlapsAny(long start, long end) {
        for (RangeIndex<Object> index : byMode) {
            if (index != null && index.overlapsAny(start, end)) {
                return true;
            }
        }
        return false;
    }

    /** How many entries there are, a chain counted once. */
    int entries() {
        int entries = 0;
        for (RangeIndex<Object> index : byMode) {
            entries += index == null ? 0 : index.size();
        }
        return entries;
    }

    private C oldest(Object entry) {
        return Objects.requireNonNull(cast(entry instanceof Chain chain ? chain.oldest : entry));
    }

    /** Only claims of this kind are put in. */
    @SuppressWarnings("unchecked")
    private @Nullable C cast(@Nullable Object claim) {
        return (C) claim;
    }
}
