package io.terminus.ranges;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Finds, among many ranges, those that overlap a given one. Ranges may overlap each other and may be identical: an entry
 * is known by (start, id), and it is the caller who keeps ids apart.
 *
 * <p>An interval tree (Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, 14.3) on a B+-tree, drawn at {@link
 * RangeTree}: entries are sorted by (start, id), and what lies below each child ends at a known place or before, so that
 * what ends too early is passed over as a whole. {@link #insert}, {@link #remove}, {@link #firstOverlapping}, {@link
 * #freeFrom} and {@link #freeDownTo} take O(log n); {@link #forEachOverlapping} takes O(log n) to the first finding and no
 * more than that to each further one, much less where findings lie side by side. Nothing is allocated but, once in a few
 * hundred splits, memory for as many more. About 41 bytes for an entry after random churn ({@link #heapBytes}), values not
 * counted.
 *
 * <p>Ranges come as plain longs, because this lies on hot paths. Not for several threads at once. A visitor must not change
 * the index it is walking through. Where ranges cannot overlap, {@link DisjointRangeIndex} is faster and smaller.
 */
public final class RangeIndex<V> extends RangeTree<V> {

    /** Receives the findings of a walk. */
    @FunctionalInterface
    public interface Visitor<V> {
        /** Returns false to see no more. */
        boolean visit(long start, long end, long id, V value);
    }

    public RangeIndex() {
        super(true);
    }

    /**
     * Adds an entry.
     *
     * @throws IllegalArgumentException unless {@code 0 <= start < end}, or if (start, id) is there already
     */
    public void insert(long start, long end, long id, V value) {
        checkRange(start, end);
        Objects.requireNonNull(value);
        begin();
        while (true) {
            int leaf = findLeaf(start, id);
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            int entry = entryFor(block, base, start, id);
            if (block[base + STARTS + entry] == start && block[base + IDS + entry] == id) {
                throw new IllegalArgumentException("start " + start + " with id " + id + " is in the index already");
            }
            if (block[base + USED] == FULL) {
                makeRoom(leaf, entry, start, id);
                continue;
            }
            put(leaf, block, base, entry, start, end, value);
            block[base + IDS + entry] = id;
            raiseGreatestEnds(end);
            size++;
            changes++;
            return;
        }
    }

    /** Takes an entry out and returns its value; null if there was none. */
    public @Nullable V remove(long start, long id) {
        if (start < 0 || start == NOTHING || size == 0) {
            return null;
        }
        int leaf = findLeaf(start, id);
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = entryFor(block, base, start, id);
        if (block[base + STARTS + entry] != start || block[base + IDS + entry] != id) {
            return null;
        }
        long end = block[base + ENDS + entry];
        V value = take(leaf, block, base, entry);
        lowerGreatestEnds(end);
        size--;
        changes++;
        refill(leaf, count(block, base));
        return value;
    }

    /** The value of an entry; null if there is none. */
    public @Nullable V get(long start, long id) {
        if (start < 0 || start == NOTHING || size == 0) {
            return null;
        }
        int leaf = leafFor(start, id);
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = entryFor(block, base, start, id);
        return block[base + STARTS + entry] == start && block[base + IDS + entry] == id
                ? value(leaf, block, base, entry)
                : null;
    }

    /**
     * Shows every entry that overlaps [start, end), in the order of (start, id), until the visitor has seen enough.
     *
     * @return false if the visitor stopped it
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public boolean forEachOverlapping(long start, long end, Visitor<? super V> visitor) {
        checkRange(start, end);
        return size == 0 || visit(height, root, start, end, visitor);
    }

    /**
     * Shows every entry that is (start, id) or comes behind it, in the order of (start, id), until the visitor has seen
     * enough. For lists that are shown page by page: the next page begins at the last entry's start with the next id.
     *
     * @return false if the visitor stopped it
     */
    public boolean forEachFrom(long start, long id, Visitor<? super V> visitor) {
        if (size == 0 || start == NOTHING) {
            return true;
        }
        int before = changes;
        long fromId = start < 0 ? Long.MIN_VALUE : id;
        int leaf = leafFor(Math.max(0, start), fromId);
        int entry = entryFor(leaves.longs(leaf), leaves.base(leaf), Math.max(0, start), fromId);
        while (leaf != NONE) {
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            int count = count(block, base);
            for (; entry < count; entry++) {
                if (!show(leaf, block, base, entry, visitor)) {
                    return false;
                }
                checkUnchanged(before);
            }
            entry = 0;
            leaf = next(block, base);
        }
        return true;
    }

    /**
     * The value of the first entry, in the order of (start, id), that overlaps [start, end); null if none does.
     *
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public @Nullable V firstOverlapping(long start, long end) {
        checkRange(start, end);
        int leaf = firstLeafEndingBehind(start);
        if (leaf == NONE) {
            return null;
        }
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = firstGreater(block, base + ENDS, count(block, base), start);
        return block[base + STARTS + entry] < end ? value(leaf, block, base, entry) : null;
    }

    public boolean overlapsAny(long start, long end) {
        return firstOverlapping(start, end) != null;
    }

    /**
     * How far it is free from a place on: the greatest x up to {@code limit} such that no entry overlaps [start, x).
     *
     * @return {@code start} itself if an entry covers it
     * @throws IllegalArgumentException unless {@code 0 <= start <= limit}
     */
    public long freeFrom(long start, long limit) {
        checkBounds(start, limit);
        int leaf = firstLeafEndingBehind(start);
        if (leaf == NONE) {
            return limit;
        }
        // Of all entries that end behind start this one begins first.
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int entry = firstGreater(block, base + ENDS, count(block, base), start);
        return Math.min(limit, Math.max(start, block[base + STARTS + entry]));
    }

    /**
     * How far it is free below a place: the least x down to {@code limit} such that no entry overlaps [x, end).
     *
     * @return {@code end} itself if an entry reaches it
     * @throws IllegalArgumentException unless {@code 0 <= limit <= end}
     */
    public long freeDownTo(long limit, long end) {
        checkBounds(limit, end);
        if (size == 0) {
            return limit;
        }
        // The greatest end of all entries that begin before end.
        long greatest = limit;
        int node = root;
        for (int level = height; level > 0 && greatest < end; level--) {
            long[] block = inners.longs(node);
            int base = inners.base(node);
            int below = lessOf64(block, base + SEPARATORS, end);
            if (below == 0) {
                return greatest;
            }
            greatest = greatest(block, base + GREATEST_ENDS, below - 1, greatest);
            node = (int) block[base + CHILDREN + below - 1];
        }
        if (greatest < end) {
            long[] block = leaves.longs(node);
            int base = leaves.base(node);
            greatest = greatest(block, base + ENDS, lessOf32(block, base + STARTS, end), greatest);
        }
        return Math.min(end, greatest);
    }

    private static int childFor(long[] block, int base, long start, long id) {
        int child = lessOf64(block, base + SEPARATORS, start + 1) - 1;
        while (child > 0 && block[base + SEPARATORS + child] == start && block[base + SEPARATOR_IDS + child] > id) {
            child--;
        }
        return child;
    }

    /** How many entries of a leaf come before (start, id). */
    private static int entryFor(long[] block, int base, long start, long id) {
        int entry = lessOf32(block, base + STARTS, start);
        while (block[base + STARTS + entry] == start && block[base + IDS + entry] < id) {
            entry++;
        }
        return entry;
    }

    private int leafFor(long start, long id) {
        int node = root;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(node);
            int base = inners.base(node);
            node = (int) block[base + CHILDREN + childFor(block, base, start, id)];
        }
        return node;
    }

    /** Like {@link #leafFor}, for a change: leaves the {@link #path} to it. */
    private int findLeaf(long start, long id) {
        int node = root;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(node);
            int base = inners.base(node);
            int child = childFor(block, base, start, id);
            path[level] = node << FANOUT_SHIFT | child;
            node = (int) block[base + CHILDREN + child];
        }
        return node;
    }

    private void raiseGreatestEnds(long end) {
        for (int level = 1; level <= height; level++) {
            int inner = path[level] >>> FANOUT_SHIFT;
            int at = inners.base(inner) + GREATEST_ENDS + (path[level] & FANOUT - 1);
            long[] block = inners.longs(inner);
            if (block[at] >= end) {
                return;
            }
            block[at] = end;
        }
    }

    /** An entry that had this end has gone. */
    private void lowerGreatestEnds(long end) {
        for (int level = 1; level <= height; level++) {
            int inner = path[level] >>> FANOUT_SHIFT;
            int child = path[level] & FANOUT - 1;
            if (inners.longs(inner)[inners.base(inner) + GREATEST_ENDS + child] > end
                    || sum(inner, child, level - 1) == end) {
                return;
            }
        }
    }

    private boolean visit(int level, int node, long start, long end, Visitor<? super V> visitor) {
        if (level == 0) {
            return visitLeaf(node, start, end, visitor);
        }
        long[] block = inners.longs(node);
        int base = inners.base(node);
        int count = lessOf64(block, base + SEPARATORS, end);
        for (int child = 0; child < count; child++) {
            if (block[base + GREATEST_ENDS + child] > start
                    && !visit(level - 1, (int) block[base + CHILDREN + child], start, end, visitor)) {
                return false;
            }
        }
        return true;
    }

    private boolean visitLeaf(int leaf, long start, long end, Visitor<? super V> visitor) {
        int before = changes;
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        int count = lessOf32(block, base + STARTS, end);
        for (int entry = 0; entry < count; entry++) {
            if (block[base + ENDS + entry] > start) {
                if (!show(leaf, block, base, entry, visitor)) {
                    return false;
                }
                checkUnchanged(before);
            }
        }
        return true;
    }

    private boolean show(int leaf, long[] block, int base, int entry, Visitor<? super V> visitor) {
        return visitor.visit(
                block[base + STARTS + entry],
                block[base + ENDS + entry],
                block[base + IDS + entry],
                value(leaf, block, base, entry));
    }

    /** The leaf of the first entry that ends behind a place; NONE if all end there or before. */
    private int firstLeafEndingBehind(long place) {
        if (size == 0) {
            return NONE;
        }
        int node = root;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(node);
            int base = inners.base(node);
            int count = (int) block[base + COUNT];
            int child = firstGreater(block, base + GREATEST_ENDS, count, place);
            if (child == count) {
                return NONE;
            }
            node = (int) block[base + CHILDREN + child];
        }
        long[] block = leaves.longs(node);
        int base = leaves.base(node);
        int count = count(block, base);
        return firstGreater(block, base + ENDS, count, place) == count ? NONE : node;
    }

    private static int firstGreater(long[] numbers, int at, int count, long than) {
        int i = 0;
        while (i < count && numbers[at + i] <= than) {
            i++;
        }
        return i;
    }

    private static long greatest(long[] numbers, int at, int count, long atLeast) {
        long greatest = atLeast;
        for (int i = at; i < at + count; i++) {
            greatest = Math.max(greatest, numbers[i]);
        }
        return greatest;
    }
}
