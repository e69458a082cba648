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
 * hundred splits, memory for as many more. About 45 bytes for an entry after random churn ({@link #heapBytes}), values not
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
            if (slotOf(block, base, start, id) != LEAF) {
                throw new IllegalArgumentException("start " + start + " with id " + id + " is in the index already");
            }
            if (block[base + USED] == FULL) {
                makeRoom(leaf, start, id);
                continue;
            }
            int entry = countBefore(block, base, start, id);
            int slot = put(leaf, block, base, start, end, value);
            block[base + IDS + slot] = id;
            insertIntoOrder(block, base + ORDER, entry, slot);
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
        int slot = slotOf(block, base, start, id);
        if (slot == LEAF) {
            return null;
        }
        removeFromOrder(block, base + ORDER, countBefore(block, base, start, id));
        long end = block[base + ENDS + slot];
        V value = take(leaf, block, base, slot);
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
        int slot = slotOf(block, base, start, id);
        return slot == LEAF ? null : value(leaf, slot);
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
        int entry = countBefore(leaves.longs(leaf), leaves.base(leaf), Math.max(0, start), fromId);
        while (leaf != NONE) {
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            int count = count(block, base);
            for (; entry < count; entry++) {
                if (!show(leaf, block, base, slotAt(block, base + ORDER, entry), visitor)) {
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
        int slot = firstEndingBehind(block, base, start);
        return block[base + STARTS + slot] < end ? value(leaf, slot) : null;
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
        int slot = firstEndingBehind(block, base, start);
        return Math.min(limit, Math.max(start, block[base + STARTS + slot]));
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
            int below = separatorsBelow(block, base, end);
            if (below == 0) {
                return greatest;
            }
            greatest = greatest(block, base + GREATEST_ENDS, below - 1, greatest);
            node = (int) block[childAt(base, below - 1)];
        }
        if (greatest < end) {
            long[] block = leaves.longs(node);
            int base = leaves.base(node);
            for (long slots = overlapping(block, base, limit, end); slots != 0; slots &= slots - 1) {
                greatest = Math.max(greatest, block[base + ENDS + Long.numberOfTrailingZeros(slots)]);
            }
        }
        return Math.min(end, greatest);
    }

    private static int childFor(long[] block, int base, long start, long id) {
        int child = separatorsBelow(block, base, start + 1) - 1;
        while (child > 0 && block[separatorAt(base, child)] == start && block[base + SEPARATOR_IDS + child] > id) {
            child--;
        }
        return child;
    }

    /** How many entries of a leaf come before (start, id). */
    private static int countBefore(long[] block, int base, long start, long id) {
        int count = 0;
        for (int slot = 0; slot < LEAF; slot++) {
            count += less(block[base + STARTS + slot], start);
        }
        for (long slots = beginningAt(block, base, start); slots != 0; slots &= slots - 1) {
            if (block[base + IDS + Long.numberOfTrailingZeros(slots)] < id) {
                count++;
            }
        }
        return count;
    }

    /** The slot of (start, id); {@value #LEAF} if it is not in the leaf. */
    private static int slotOf(long[] block, int base, long start, long id) {
        for (long slots = beginningAt(block, base, start); slots != 0; slots &= slots - 1) {
            int slot = Long.numberOfTrailingZeros(slots);
            if (block[base + IDS + slot] == id) {
                return slot;
            }
        }
        return LEAF;
    }

    private static int slotAt(long[] block, int order, int entry) {
        return (int) (block[order + (entry >> 3)] >>> (entry << 3)) & 0xff;
    }

    private static void insertIntoOrder(long[] block, int order, int entry, int slot) {
        int word = entry >> 3;
        int shift = (entry & 7) << 3;
        long old = block[order + word];
        long below = (1L << shift) - 1;
        block[order + word] = old & below | (long) slot << shift | (old & ~below) << 8;
        long carry = old >>> 56;
        for (word++; word < LEAF / 8; word++) {
            old = block[order + word];
            block[order + word] = old << 8 | carry;
            carry = old >>> 56;
        }
    }

    private static void removeFromOrder(long[] block, int order, int entry) {
        int word = entry >> 3;
        long carry = 0;
        for (int above = LEAF / 8 - 1; above > word; above--) {
            long old = block[order + above];
            block[order + above] = old >>> 8 | carry;
            carry = old << 56;
        }
        long old = block[order + word];
        long below = (1L << ((entry & 7) << 3)) - 1;
        block[order + word] = old & below | (old >>> 8 | carry) & ~below;
    }

    private int leafFor(long start, long id) {
        int node = root;
        for (int level = height; level > 0; level--) {
            long[] block = inners.longs(node);
            int base = inners.base(node);
            node = (int) block[childAt(base, childFor(block, base, start, id))];
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
            node = (int) block[childAt(base, child)];
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
        int count = separatorsBelow(block, base, end);
        for (int child = 0; child < count; child++) {
            if (block[base + GREATEST_ENDS + child] > start
                    && !visit(level - 1, (int) block[childAt(base, child)], start, end, visitor)) {
                return false;
            }
        }
        return true;
    }

    private boolean visitLeaf(int leaf, long start, long end, Visitor<? super V> visitor) {
        fetchValues(leaf);
        int before = changes;
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        long found = overlapping(block, base, start, end);
        for (int entry = 0; found != 0; entry++) {
            int slot = slotAt(block, base + ORDER, entry);
            if ((found >>> slot & 1) != 0) {
                found &= ~(1L << slot);
                if (!show(leaf, block, base, slot, visitor)) {
                    return false;
                }
                checkUnchanged(before);
            }
        }
        return true;
    }

    private boolean show(int leaf, long[] block, int base, int slot, Visitor<? super V> visitor) {
        return visitor.visit(
                block[base + STARTS + slot], block[base + ENDS + slot], block[base + IDS + slot], value(leaf, slot));
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
            node = (int) block[childAt(base, child)];
        }
        return height > 0 || overlapping(leaves.longs(node), leaves.base(node), place, NOTHING) != 0 ? node : NONE;
    }

    /** The slot of the first entry of a leaf that ends behind a place; there must be one. */
    private static int firstEndingBehind(long[] block, int base, long place) {
        long found = overlapping(block, base, place, NOTHING);
        int entry = 0;
        while ((found >>> slotAt(block, base + ORDER, entry) & 1) == 0) {
            entry++;
        }
        return slotAt(block, base + ORDER, entry);
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
