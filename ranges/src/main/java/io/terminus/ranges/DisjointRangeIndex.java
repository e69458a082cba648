package io.terminus.ranges;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Ranges none of which overlaps another, each with a value, known by its start: the writers of a volume. Looking whether a
 * range is free and taking it is one descent, so there is no way to put in what overlaps.
 *
 * <p>All operations take O(log n), and k more where k ranges are shown. Nothing is allocated but, once in a few hundred
 * splits, memory for as many more. About 31 bytes for a range after random churn ({@link #heapBytes}), values not counted.
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
                long next = block[base + SEPARATORS + child + 1];
                if (next != NOTHING) {
                    bound = next;
                    boundAt = step;
                }
                leaf = (int) block[base + CHILDREN + child];
            }
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            int entry = lessOf32(block, base + STARTS, start);
            if (entry > 0 && block[base + ENDS + entry - 1] > start) {
                return value(leaf, block, base, entry - 1);
            }
            if (block[base + STARTS + entry] < end) {
                return value(leaf, block, base, entry);
            }
            if (end > bound) {
                int next = next(block, base);
                if (leaves.longs(next)[leaves.base(next) + STARTS] < end) {
                    return value(next, leaves.longs(next), leaves.base(next), 0);
                }
            }
            if (block[base + USED] == FULL) {
                makeRoom(leaf, entry, start, 0);
                continue;
            }
            if (end > bound) {
                int inner = boundAt >>> FANOUT_SHIFT;
                inners.longs(inner)[inners.base(inner) + SEPARATORS + (boundAt & FANOUT - 1) + 1] = end;
            }
            put(leaf, block, base, entry, start, end, value);
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
            leaf = (int) block[base + CHILDREN + child];
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = lessOf32(block, base + STARTS, start);
        if (block[base + STARTS + entry] != start) {
            return null;
        }
        V value = take(leaf, block, base, entry);
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
        int entry = lessOf32(block, base + STARTS, start);
        if (block[base + STARTS + entry] != start) {
            return null;
        }
        long end = block[base + ENDS + entry];
        if (newStart < start || newEnd > end) {
            throw new IllegalArgumentException("range [" + newStart + ", " + newEnd
                    + ") breaks the rule that it be part of [" + start + ", " + end + "), which it is to replace");
        }
        block[base + STARTS + entry] = newStart;
        block[base + ENDS + entry] = newEnd;
        changes++;
        return value(leaf, block, base, entry);
    }

    /** The value of the range that begins at {@code start}; null if none does. */
    public @Nullable V get(long start) {
        int leaf = leafFor(start);
        if (leaf == NONE) {
            return null;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = lessOf32(block, base + STARTS, start);
        return block[base + STARTS + entry] == start ? value(leaf, block, base, entry) : null;
    }

    /**
     * The value of the lowest range that overlaps [start, end); null if none does.
     *
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public @Nullable V firstOverlapping(long start, long end) {
        checkRange(start, end);
        int leaf = leafFor(start);
        if (leaf == NONE) {
            return null;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = lessOf32(block, base + STARTS, start);
        if (entry > 0 && block[base + ENDS + entry - 1] > start) {
            return value(leaf, block, base, entry - 1);
        }
        if (block[base + STARTS + entry] == NOTHING && next(block, base) != NONE) {
            leaf = next(block, base);
            block = leaves.longs(leaf);
            base = leaves.base(leaf);
            entry = 0;
        }
        return block[base + STARTS + entry] < end ? value(leaf, block, base, entry) : null;
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
        int leaf = leafFor(start);
        if (leaf == NONE) {
            return true;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = lessOf32(block, base + STARTS, start);
        if (entry > 0 && block[base + ENDS + entry - 1] > start) {
            entry--;
        }
        return walk(leaf, entry, end, visitor);
    }

    /**
     * Shows every range that begins at {@code start} or behind it, in ascending order, until the visitor has seen enough.
     *
     * @return false if the visitor stopped it
     */
    public boolean forEachFrom(long start, Visitor<? super V> visitor) {
        long from = Math.max(0, start);
        int leaf = leafFor(from);
        if (leaf == NONE) {
            return true;
        }
        return walk(leaf, lessOf32(leaves.longs(leaf), leaves.base(leaf) + STARTS, from), NOTHING, visitor);
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
        int entry = lessOf32(block, base + STARTS, start);
        if (entry > 0 && block[base + ENDS + entry - 1] > start) {
            return start;
        }
        long next = block[base + STARTS + entry];
        if (next == NOTHING && next(block, base) != NONE) {
            leaf = next(block, base);
            next = leaves.longs(leaf)[leaves.base(leaf) + STARTS];
        }
        return Math.min(next, limit);
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
        int entry = lessOf32(block, base + STARTS, end);
        if (entry == 0) {
            leaf = previous(block, base);
            if (leaf == NONE) {
                return limit;
            }
            block = leaves.longs(leaf);
            base = leaves.base(leaf);
            entry = count(block, base);
        }
        return Math.min(end, Math.max(limit, block[base + ENDS + entry - 1]));
    }

    private static int childFor(long[] block, int base, long start) {
        return lessOf64(block, base + SEPARATORS, start + 1) - 1;
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
            node = (int) block[base + CHILDREN + childFor(block, base, place)];
        }
        return node;
    }

    private boolean walk(int fromLeaf, int fromEntry, long end, Visitor<? super V> visitor) {
        int before = changes;
        int entry = fromEntry;
        for (int leaf = fromLeaf; leaf != NONE; ) {
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            int count = count(block, base);
            for (; entry < count; entry++) {
                long start = block[base + STARTS + entry];
                if (start >= end) {
                    return true;
                }
                if (!visitor.visit(start, block[base + ENDS + entry], value(leaf, block, base, entry))) {
                    return false;
                }
                checkUnchanged(before);
            }
            entry = 0;
            leaf = next(block, base);
        }
        return true;
    }
}
