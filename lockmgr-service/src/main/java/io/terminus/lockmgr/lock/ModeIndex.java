package io.terminus.lockmgr.lock;

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

    private final @Nullable ModeEntries[] byMode = new ModeEntries[MODES.length];

    /** True where claims of one mode that does not share are never on one range, as locks that are held. */
    private final boolean disjoint;

    ModeIndex(boolean disjoint) {
        this.disjoint = disjoint;
    }

    void add(C claim) {
        ModeEntries index = byMode[claim.mode.ordinal()];
        boolean alone = disjoint && !claim.mode.shared();
        if (index == null) {
            index = alone ? ModeEntries.disjoint() : ModeEntries.overlapping();
            byMode[claim.mode.ordinal()] = index;
        }
        Object there = alone ? null : index.get(claim.start, claim.end);
        switch (there) {
            case null -> index.put(claim.start, claim.end, claim);
            case Chain chain -> chain.add(claim);
            default -> {
                Chain chain = new Chain((Claim) there);
                chain.add(claim);
                index.remove(claim.start, claim.end);
                index.put(claim.start, claim.end, chain);
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
        ModeEntries index = byMode[claim.mode.ordinal()];
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
            ModeEntries index = byMode[other.ordinal()];
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
            ModeEntries index = byMode[other.ordinal()];
            if (index != null
                    && !mode.compatibleWith(other)
                    && !index.forEachOverlapping(start, end, (from, entry) -> visitor.visit(oldest(entry)))) {
                return false;
            }
        }
        return true;
    }

    /** How far right of {@code from} nothing conflicts: up to {@code limit} at most. */
    long freeUpTo(Mode mode, long from, long limit) {
        long free = limit;
        for (Mode other : MODES) {
            ModeEntries index = byMode[other.ordinal()];
            if (index != null && free > from && !mode.compatibleWith(other)) {
                free = index.freeFrom(from, free);
            }
        }
        return free;
    }

    /** How far left of {@code from} nothing conflicts: down to {@code limit} at least. */
    long freeDownTo(Mode mode, long from, long limit) {
        long free = limit;
        for (Mode other : MODES) {
            ModeEntries index = byMode[other.ordinal()];
            if (index != null && free < from && !mode.compatibleWith(other)) {
                free = index.freeDownTo(free, from);
            }
        }
        return free;
    }

    /**
     * Shows the oldest of each chain of one mode that overlaps [start, end) and begins at {@code from} or later, in the order
     * of (start, end).
     */
    void forEachFrom(Mode mode, long from, long start, long end, Visitor<? super C> visitor) {
        ModeEntries index = byMode[mode.ordinal()];
        if (index == null || Math.max(start, from) >= end) {
            return;
        }
        if (from > start) {
            // Whatever begins here or later ends behind start too; long ranges from further left are not even met.
            index.forEachFrom(from, (begin, entry) -> begin < end && visitor.visit(oldest(entry)));
        } else {
            index.forEachOverlapping(start, end, (begin, entry) -> begin < from || visitor.visit(oldest(entry)));
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
        for (ModeEntries index : byMode) {
            Object entry = index == null ? null : index.firstOverlapping(0, Long.MAX_VALUE);
            if (entry != null) {
                first = Math.min(first, oldest(entry).start);
            }
        }
        return first;
    }

    boolean overlapsAny(long start, long end) {
        for (ModeEntries index : byMode) {
            if (index != null && index.overlapsAny(start, end)) {
                return true;
            }
        }
        return false;
    }

    /** How many entries there are, a chain counted once. */
    int entries() {
        int entries = 0;
        for (ModeEntries index : byMode) {
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
