package io.terminus.ranges;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Ranges none of which overlaps another, each with a value, known by its start: the writers of a volume. Looking whether a
 * range is free and taking it is one descent, so there is no way to put in what overlaps.
 *
 * <p>All operations take O(log n), and k more where k ranges are shown. Nothing is allocated but, once in a few hundred
 * splits, memory for as many more. About 36 bytes for a range after random churn ({@link #heapBytes}), values not counted.
 *
 * <p>The tree is drawn at {@link RangeTree}. Besides what is said there, a separator here is one of places, not only of
 * starts: whatever lies below child i ends at separator i + 1 or before. So a search needs one leaf to know what lies on
 * either side of a place, except that a range which spans a separator and is free moves it to its own end.
 *
 * <p>Ranges come as plain longs, because this lies on hot paths. Not for several threads at once. A visitor must not change
 * the index it is walking through.
 */
public final class DisjointRangeIndex<V> extends RangeTree<V> {

    /** Receives the findings of a walk. */
    @FunctionalInterface
    public interface Visitor<V> {
        /** Returns false to see no more. */
        boolean visit(long start, long end, V value);
    }

    public DisjointRangeIndex() {
        super(false);
    }

    /**
     * Adds [start, end) if no range overlaps it.
     *
     * @return null if it was added, else the value of the first range that overlaps it, and nothing was changed
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public @Nullable V insertIfFree(long start, long end, V value) {
        checkRange(start, end);
        Objects.requireNonNull(value);
        begin();
        while (true) {
            int leaf = root;
            // Where the leaf's places end, and which child's separator says so.
            long bound = NOTHING;
            int boundAt = NONE;
            for (int level = height; level > 0; level--) {
                long[] block = inners.longs(leaf);
                int base = inners.base(leaf);
                int child = childFor(block, base, start);
                int step = leaf << FANOUT_SHIFT | child;
                path[level] = step;
                long next = block[separatorAt(base, child + 1)];
                if (next != NOTHING) {
                    bound = next;
                    boundAt = step;
                }
                leaf = (int) block[childAt(base, child)];
            }
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            if (overlapsAny(block, base, start, end)) {
                return value(leaf, lowest(block, base, overlapping(block, base, start, end)));
            }
            if (end > bound) {
                int next = next(block, base);
                long[] nextBlock = leaves.longs(next);
                int nextBase = leaves.base(next);
                int slot = lowest(nextBlock, nextBase, nextBlock[nextBase + USED]);
                if (nextBlock[nextBase + STARTS + slot] < end) {
                    return value(next, slot);
                }
            }
            if (block[base + USED] == FULL) {
                makeRoom(leaf, start, 0);
                continue;
            }
            if (end > bound) {
                int inner = boundAt >>> FANOUT_SHIFT;
                inners.longs(inner)[separatorAt(inners.base(inner), (boundAt & FANOUT - 1) + 1)] = end;
            }
            put(leaf, block, base, start, end, value);
            size++;
            changes++;
            return null;
        }
    }

    /** Takes out the range that begins at {@code start} and returns its value; null if none begins there. */
    public @Nullable V remove(long start) {
        if (start < 0 || start == NOTHING || size == 0) {
            return null;
        }
        int leaf = root;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(leaf);
            int base = inners.base(leaf);
            int child = childFor(block, base, start);
            path[level] = leaf << FANOUT_SHIFT | child;
            leaf = (int) block[childAt(base, child)];
        }
        fetchValues(leaf);
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int slot = slotOf(block, base, start);
        if (slot == LEAF) {
            return null;
        }
        V value = take(leaf, block, base, slot);
        size--;
        changes++;
        refill(leaf, count(block, base));
        return value;
    }

    /**
     * Cuts the range that begins at {@code start} down to [newStart, newEnd), where it stands.
     *
     * @return its value; null if no range begins at {@code start}
     * @throws IllegalArgumentException unless [newStart, newEnd) is part of the range: growing is a removal and an insert
     */
    public @Nullable V resize(long start, long newStart, long newEnd) {
        checkRange(newStart, newEnd);
        int leaf = leafFor(start);
        if (leaf == NONE) {
            return null;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int slot = slotOf(block, base, start);
        if (slot == LEAF) {
            return null;
        }
        long end = block[base + ENDS + slot];
        if (newStart < start || newEnd > end) {
            throw new IllegalArgumentException("range [" + newStart + ", " + newEnd
                    + ") breaks the rule that it be part of [" + start + ", " + end + "), which it is to replace");
        }
        block[base + STARTS + slot] = newStart;
        block[base + ENDS + slot] = newEnd;
        changes++;
        return value(leaf, slot);
    }

    /** The value of the range that begins at {@code start}; null if none does. */
    public @Nullable V get(long start) {
        int leaf = leafFor(start);
        if (leaf == NONE) {
            return null;
        }
        int slot = slotOf(leaves.longs(leaf), leaves.base(leaf), start);
        return slot == LEAF ? null : value(leaf, slot);
    }

    /**
     * The value of the lowest range that overlaps [start, end); null if none does.
     *
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public @Nullable V firstOverlapping(long start, long end) {
        checkRange(start, end);
        if (size == 0) {
            return null;
        }
        int leaf = root;
        long bound = NOTHING;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(leaf);
            int base = inners.base(leaf);
            int child = childFor(block, base, start);
            bound = Math.min(bound, block[separatorAt(base, child + 1)]);
            leaf = (int) block[childAt(base, child)];
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        if (overlapsAny(block, base, start, end)) {
            return value(leaf, lowest(block, base, overlapping(block, base, start, end)));
        }
        if (end <= bound) {
            return null;
        }
        int next = next(block, base);
        block = leaves.longs(next);
        base = leaves.base(next);
        int slot = lowest(block, base, block[base + USED]);
        return block[base + STARTS + slot] < end ? value(next, slot) : null;
    }

    public boolean overlapsAny(long start, long end) {
        return firstOverlapping(start, end) != null;
    }

    /**
     * Shows every range that overlaps [start, end), in ascending order, until the visitor has seen enough.
     *
     * @return false if the visitor stopped it
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public boolean forEachOverlapping(long start, long end, Visitor<? super V> visitor) {
        checkRange(start, end);
        return walk(start, end, true, visitor);
    }

    /**
     * Shows every range that begins at {@code start} or behind it, in ascending order, until the visitor has seen enough.
     *
     * @return false if the visitor stopped it
     */
    public boolean forEachFrom(long start, Visitor<? super V> visitor) {
        return walk(Math.max(0, start), NOTHING, false, visitor);
    }

    /**
     * How far it is free from a place on: the greatest x up to {@code limit} such that no range overlaps [start, x).
     *
     * @return {@code start} itself if a range covers it
     * @throws IllegalArgumentException unless {@code 0 <= start <= limit}
     */
    public long freeFrom(long start, long limit) {
        checkBounds(start, limit);
        int leaf = leafFor(start);
        if (leaf == NONE) {
            return limit;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        long behind = overlapping(block, base, start, NOTHING);
        if (behind == 0) {
            leaf = next(block, base);
            if (leaf == NONE) {
                return limit;
            }
            block = leaves.longs(leaf);
            base = leaves.base(leaf);
            behind = block[base + USED];
        }
        long next = block[base + STARTS + lowest(block, base, behind)];
        return Math.min(limit, Math.max(start, next));
    }

    /**
     * How far it is free below a place: the least x down to {@code limit} such that no range overlaps [x, end).
     *
     * @return {@code end} itself if a range reaches it
     * @throws IllegalArgumentException unless {@code 0 <= limit <= end}
     */
    public long freeDownTo(long limit, long end) {
        checkBounds(limit, end);
        if (limit == end) {
            return end;
        }
        int leaf = leafFor(end - 1);
        if (leaf == NONE) {
            return limit;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        long below = overlapping(block, base, 0, end);
        if (below == 0) {
            leaf = previous(block, base);
            if (leaf == NONE) {
                return limit;
            }
            block = leaves.longs(leaf);
            base = leaves.base(leaf);
            below = block[base + USED];
        }
        long greatest = limit;
        for (long slots = below; slots != 0; slots &= slots - 1) {
            greatest = Math.max(greatest, block[base + ENDS + Long.numberOfTrailingZeros(slots)]);
        }
        return Math.min(end, greatest);
    }

    private static int childFor(long[] block, int base, long start) {
        return separatorsBelow(block, base, start + 1) - 1;
    }

    /** The leaf whose places include this one; NONE if no range can begin there, or none there is at all. */
    private int leafFor(long place) {
        if (size == 0 || place < 0 || place == NOTHING) {
            return NONE;
        }
        int node = root;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(node);
            int base = inners.base(node);
            node = (int) block[childAt(base, childFor(block, base, place))];
        }
        return node;
    }

    /** Does any of a leaf's ranges overlap? What has no entry does not: it begins behind all and ends before all. */
    private static boolean overlapsAny(long[] block, int base, long start, long end) {
        long signs = 0;
        for (int slot = 0; slot < LEAF; slot++) {
            signs |= block[base + STARTS + slot] - end & start - block[base + ENDS + slot];
        }
        return signs < 0;
    }

    /** The slot of the range that begins there; {@value #LEAF} if none does. */
    private static int slotOf(long[] block, int base, long start) {
        return Math.min(LEAF, Long.numberOfTrailingZeros(beginningAt(block, base, start)));
    }

    /** Of those slots the one that begins first; at least one must be in use. */
    private static int lowest(long[] block, int base, long slots) {
        int lowest = Long.numberOfTrailingZeros(slots);
        for (long others = slots & slots - 1; others != 0; others &= others - 1) {
            int slot = Long.numberOfTrailingZeros(others);
            if (block[base + STARTS + slot] < block[base + STARTS + lowest]) {
                lowest = slot;
            }
        }
        return lowest;
    }

    private boolean walk(long from, long end, boolean alsoOver, Visitor<? super V> visitor) {
        int before = changes;
        int leaf = leafFor(from);
        if (leaf == NONE) {
            return true;
        }
        long above = from;
        if (alsoOver) {
            long over = overlapping(leaves.longs(leaf), leaves.base(leaf), from, from + 1);
            if (over != 0) {
                above = leaves.longs(leaf)[leaves.base(leaf) + STARTS + Long.numberOfTrailingZeros(over)];
            }
        }
        while (leaf != NONE) {
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            long slots = overlapping(block, base, above, NOTHING);
            while (slots != 0) {
                int slot = lowest(block, base, slots);
                slots &= ~(1L << slot);
                long start = block[base + STARTS + slot];
                if (start >= end) {
                    return true;
                }
                if (start >= above) {
                    if (!visitor.visit(start, block[base + ENDS + slot], value(leaf, slot))) {
                        return false;
                    }
                    checkUnchanged(before);
                }
            }
            leaf = next(block, base);
        }
        return true;
    }
}
