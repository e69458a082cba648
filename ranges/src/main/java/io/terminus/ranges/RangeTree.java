package io.terminus.ranges;

import java.util.ConcurrentModificationException;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * The tree under both indexes: a B+-tree in blocks of longs. Here is what does not depend on what is asked: how blocks look,
 * how they are split, shared out and merged. The searches, each in its own shape, are with the index that needs them.
 *
 * <p>A leaf, in longs; the last two columns only where ranges may overlap:
 *
 * <pre>
 *   0      used: bit s is set if slot s holds an entry
 *   1      next leaf &lt;&lt; 32 | previous leaf, each -1 if none
 *   2-33   starts, by slot; {@link #NOTHING} where there is no entry
 *   34-65  ends, by slot; 0 where there is no entry
 *   66-97  ids, by slot
 *   98-101 order: byte i is the slot of entry i in the order of (start, id)
 * </pre>
 *
 * and {@value #LEAF} slots of references, the values. An entry stays in its slot while its neighbours come and go: shifting
 * them would touch every line of the leaf, and each move of a reference would have to be told to the garbage collector.
 *
 * <p>An inner block, in longs; the last two columns only where ranges may overlap:
 *
 * <pre>
 *   0        count of children, at least 2
 *   1-128    pairs of a separator and a child, so that who has found the one has loaded the other: no start below child i
 *            is less than separator i, every start below child i-1 is (or is equal to it and has a lesser id).
 *            Ascending; the separator is NOTHING where there is no child
 *   129      NOTHING
 *   130-193  the greatest end below each child
 *   194-257  ids of the separators
 * </pre>
 *
 * The separator of a child stands in the parent. The first separator of a block repeats it, or is less.
 *
 * <p>Searches compare all slots of a leaf, or every eighth separator and then eight, and add up the outcomes without a
 * branch: so the loads of a search do not wait for each other, which is what counts when the tree is not in the cache.
 *
 * <p>A full leaf splits in two, or, at the right edge, begins a new leaf, so that what is inserted in ascending order fills
 * its leaves; where ranges may overlap and an entry is larger, it first gives to a neighbour under the same parent that has
 * room. A leaf that gets below {@value #LEAST_ENTRIES} entries is merged with a neighbour, or takes from it.
 */
abstract sealed class RangeTree<V> permits DisjointRangeIndex, RangeIndex {

    static final long NOTHING = Long.MAX_VALUE;
    static final int NONE = Blocks.NONE;

    static final int LEAF = 32;
    /** All slots of a leaf in use. */
    static final long FULL = -1L >>> 64 - LEAF;

    static final int USED = 0;
    static final int LINKS = 1;
    static final int STARTS = 2;
    static final int ENDS = STARTS + LEAF;
    static final int IDS = ENDS + LEAF;
    static final int ORDER = IDS + LEAF;

    /** Bit by slot. */
    private static final long[] BITS =
            LongStream.range(0, LEAF).map(slot -> 1L << slot).toArray();

    private static final int LEAF_LONGS = ORDER + LEAF / 8;

    static final int FANOUT_SHIFT = 6;
    static final int FANOUT = 1 << FANOUT_SHIFT;
    static final int COUNT = 0;
    private static final int SEPARATORS = 1;
    private static final int CHILDREN = 2;
    static final int GREATEST_ENDS = 130;
    static final int SEPARATOR_IDS = 194;
    private static final int INNER_LONGS = 258;

    private static final int LEAST_ENTRIES = 12;
    private static final int MERGED_ENTRIES = 26;
    private static final int GIVING_ENTRIES = 24;
    private static final int LEAST_CHILDREN = 24;
    private static final int MERGED_CHILDREN = 56;

    /** Enough for 2 * 24^9 leaves. */
    private static final int MOST_LEVELS = 11;

    /** Stands for the blocks of an index that never had an entry: there are several indexes for each of many volumes. */
    private static final Blocks NO_BLOCKS = new Blocks(0, 0);

    private static final int[] NO_PATH = {};

    /** Are there ids, and greatest ends in inner blocks? */
    private final boolean overlapping;

    Blocks leaves = NO_BLOCKS;
    Blocks inners = NO_BLOCKS;
    int root = NONE;
    /** Levels above the leaves. */
    int height;

    int size;
    /** Counts changes, so that a visitor that makes one is found out. */
    int changes;

    /**
     * The way from the root to the leaf where something is being changed: at each level above the leaves the inner block and
     * the child taken, {@code inner * FANOUT + child}. Only changes use it: searches may be nested.
     */
    int[] path = NO_PATH;

    RangeTree(boolean overlapping) {
        this.overlapping = overlapping;
    }

    public final int size() {
        return size;
    }

    public final boolean isEmpty() {
        return size == 0;
    }

    /** Bytes of heap that the index takes, its slack included and the values themselves not, if a reference takes four. */
    public final long heapBytes() {
        return root == NONE ? 48 : 48 + 2 * 48 + 16 + 4 * MOST_LEVELS + leaves.heapBytes() + inners.heapBytes();
    }

    static void checkRange(long start, long end) {
        if (start < 0 || start >= end) {
            throw new IllegalArgumentException("range [" + start + ", " + end + ") breaks the rule 0 <= start < end");
        }
    }

    static void checkBounds(long low, long high) {
        if (low < 0 || low > high) {
            throw new IllegalArgumentException("bounds " + low + " and " + high + " break the rule 0 <= low <= high");
        }
    }

    final void checkUnchanged(int changesBefore) {
        if (changes != changesBefore) {
            throw new ConcurrentModificationException("a visitor changed the index it walks through");
        }
    }

    /** How many children of an inner block have a separator less than a place. */
    static int separatorsBelow(long[] block, int base, long than) {
        int first = base + SEPARATORS;
        int eights = less(block[first + 14], than)
                + less(block[first + 30], than)
                + less(block[first + 46], than)
                + less(block[first + 62], than)
                + less(block[first + 78], than)
                + less(block[first + 94], than)
                + less(block[first + 110], than);
        int at = first + (eights << 4);
        return (eights << 3)
                + less(block[at], than)
                + less(block[at + 2], than)
                + less(block[at + 4], than)
                + less(block[at + 6], than)
                + less(block[at + 8], than)
                + less(block[at + 10], than)
                + less(block[at + 12], than)
                + less(block[at + 14], than);
    }

    static int separatorAt(int base, int child) {
        return base + SEPARATORS + (child << 1);
    }

    static int childAt(int base, int child) {
        return base + CHILDREN + (child << 1);
    }

    /** 1 if so, 0 if not. The difference of two numbers that are not negative does not overflow. */
    static int less(long number, long than) {
        return (int) (number - than >>> 63);
    }

    /** Makes an empty root leaf if there is none. */
    final void begin() {
        if (root == NONE) {
            leaves = new Blocks(overlapping ? LEAF_LONGS : IDS, LEAF);
            inners = new Blocks(overlapping ? INNER_LONGS : GREATEST_ENDS, 0);
            path = new int[MOST_LEVELS];
            root = newLeaf(NONE, NONE);
        }
    }

    static int count(long[] block, int base) {
        return Long.bitCount(block[base + USED]);
    }

    static int next(long[] block, int base) {
        return (int) (block[base + LINKS] >> 32);
    }

    static int previous(long[] block, int base) {
        return (int) block[base + LINKS];
    }

    // The loops over the slots are in the shape that the compiler makes vectors of: one counter, nothing left early.

    /** The slots whose ranges overlap [start, end), as bits. What has no entry begins behind all and ends before all. */
    static long overlapping(long[] block, int base, long start, long end) {
        long found = 0;
        for (int slot = 0; slot < LEAF; slot++) {
            found |= (block[base + STARTS + slot] - end & start - block[base + ENDS + slot]) >> 63 & BITS[slot];
        }
        return found;
    }

    /** The slots whose ranges begin at a place, as bits. */
    static long beginningAt(long[] block, int base, long start) {
        long found = 0;
        for (int slot = 0; slot < LEAF; slot++) {
            // Starts are not negative, so their difference has no sign, and only 0 less 1 has one.
            found |= (block[base + STARTS + slot] ^ start) - 1 >> 63 & BITS[slot];
        }
        return found;
    }

    @SuppressWarnings("unchecked")
    final V value(int leaf, int slot) {
        Object value = leaves.references(leaf)[leaves.referenceBase(leaf) + slot];
        if (value == null) {
            throw new IllegalStateException("slot " + slot + " of leaf " + leaf + " has no value");
        }
        return (V) value;
    }

    /**
     * Has the values of a leaf loaded while its starts are still on their way: which of them is wanted is known only when
     * those are there. None is the index itself.
     */
    final void fetchValues(int leaf) {
        @Nullable Object[] values = leaves.references(leaf);
        int base = leaves.referenceBase(leaf);
        if (values[base] == this | values[base + LEAF / 2 - 1] == this | values[base + LEAF - 1] == this) {
            throw new IllegalStateException("an index was put into itself");
        }
    }

    /** Puts an entry into a leaf that has room and returns its slot; its id and place in the order are still to be set. */
    final int put(int leaf, long[] block, int base, long start, long end, V value) {
        long used = block[base + USED];
        int slot = Long.numberOfTrailingZeros(~used);
        block[base + USED] = used | 1L << slot;
        block[base + STARTS + slot] = start;
        block[base + ENDS + slot] = end;
        leaves.references(leaf)[leaves.referenceBase(leaf) + slot] = value;
        return slot;
    }

    /** Takes an entry out of a leaf; its place in the order is to be closed. */
    final V take(int leaf, long[] block, int base, int slot) {
        V value = value(leaf, slot);
        leaves.references(leaf)[leaves.referenceBase(leaf) + slot] = null;
        block[base + USED] &= ~(1L << slot);
        block[base + STARTS + slot] = NOTHING;
        block[base + ENDS + slot] = 0;
        return value;
    }

    // What follows changes the shape of the tree. Little of the time is spent here: once in ten inserts or removals.

    /**
     * Makes room in the full leaf at the end of {@link #path} for (start, id). Which leaf that belongs to is then to be found
     * out anew.
     */
    final void makeRoom(int leaf, long start, long id) {
        if (height == 0) {
            raise();
        }
        int parent = path[1] >>> FANOUT_SHIFT;
        int child = path[1] & FANOUT - 1;
        long[] inner = inners.longs(parent);
        int base = inners.base(parent);
        int next = next(leaves.longs(leaf), leaves.base(leaf));
        if (next == NONE && isBehindAll(leaf, start, id)) {
            int fresh = newLeaf(leaf, NONE);
            insertChild(1, child + 1, start, id, fresh);
        } else if (overlapping && child + 1 < inner[base + COUNT] && entriesOf(parent, child + 1) <= GIVING_ENTRIES) {
            shareEntries(parent, child);
        } else if (overlapping && child > 0 && entriesOf(parent, child - 1) <= GIVING_ENTRIES) {
            shareEntries(parent, child - 1);
        } else {
            int fresh = newLeaf(leaf, next);
            int[] sorted = sortedSlots(leaf);
            long middle = start(leaf, sorted[LEAF / 2]);
            long middleId = id(leaf, sorted[LEAF / 2]);
            moveEntries(leaf, sorted, LEAF / 2, LEAF, fresh);
            sum(parent, child, 0);
            insertChild(1, child + 1, middle, middleId, fresh);
        }
    }

    /** To be called when an entry was taken out of the leaf at the end of {@link #path}, and {@code count} are left. */
    final void refill(int leaf, int count) {
        if (size == 0 && leaves.capacityBlocks() > 1) {
            root = NONE;
            height = 0;
            leaves = NO_BLOCKS;
            inners = NO_BLOCKS;
            path = NO_PATH;
        } else if (count < LEAST_ENTRIES && height > 0) {
            int parent = path[1] >>> FANOUT_SHIFT;
            int child = path[1] & FANOUT - 1;
            int left = child + 1 < inners.longs(parent)[inners.base(parent) + COUNT] ? child : child - 1;
            int right = left + 1;
            if (entriesOf(parent, left) + entriesOf(parent, right) <= MERGED_ENTRIES) {
                mergeLeaves(child(parent, left), child(parent, right));
                sum(parent, left, 0);
                removeChild(1, right);
            } else {
                shareEntries(parent, left);
            }
        }
    }

    /** Puts a new root over the old one, its only child for the moment. */
    private void raise() {
        int old = root;
        root = inners.allocate();
        long[] block = inners.longs(root);
        int base = inners.base(root);
        clearInner(block, base);
        block[base + COUNT] = 1;
        block[separatorAt(base, 0)] = 0;
        block[childAt(base, 0)] = old;
        if (overlapping) {
            block[base + SEPARATOR_IDS] = Long.MIN_VALUE;
            sum(root, 0, height);
        }
        height++;
        path[height] = root << FANOUT_SHIFT;
    }

    private int newLeaf(int previous, int next) {
        int leaf = leaves.allocate();
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        block[base + USED] = 0;
        for (int slot = 0; slot < LEAF; slot++) {
            block[base + STARTS + slot] = NOTHING;
            block[base + ENDS + slot] = 0;
        }
        block[base + LINKS] = links(next, previous);
        if (previous != NONE) {
            link(previous, leaf);
        }
        if (next != NONE) {
            linkBack(next, leaf);
        }
        return leaf;
    }

    private static long links(int next, int previous) {
        return (long) next << 32 | previous & 0xffff_ffffL;
    }

    private void link(int leaf, int next) {
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        block[base + LINKS] = links(next, previous(block, base));
    }

    private void linkBack(int leaf, int previous) {
        long[] block = leaves.longs(leaf);
        int base = leaves.base(leaf);
        block[base + LINKS] = links(next(block, base), previous);
    }

    private int child(int inner, int child) {
        return (int) inners.longs(inner)[childAt(inners.base(inner), child)];
    }

    private int entriesOf(int parent, int child) {
        int leaf = child(parent, child);
        return count(leaves.longs(leaf), leaves.base(leaf));
    }

    private long start(int leaf, int slot) {
        return leaves.longs(leaf)[leaves.base(leaf) + STARTS + slot];
    }

    private long id(int leaf, int slot) {
        return overlapping ? leaves.longs(leaf)[leaves.base(leaf) + IDS + slot] : 0;
    }

    private boolean isBefore(int leaf, int slot, long start, long id) {
        long other = start(leaf, slot);
        return other != start ? other < start : id(leaf, slot) < id;
    }

    private boolean isBehindAll(int fullLeaf, long start, long id) {
        for (int slot = 0; slot < LEAF; slot++) {
            if (!isBefore(fullLeaf, slot, start, id)) {
                return false;
            }
        }
        return true;
    }

    /** The slots in use, in the order of (start, id). */
    private int[] sortedSlots(int leaf) {
        int[] sorted = new int[count(leaves.longs(leaf), leaves.base(leaf))];
        int count = 0;
        for (long used = leaves.longs(leaf)[leaves.base(leaf) + USED]; used != 0; used &= used - 1) {
            int slot = Long.numberOfTrailingZeros(used);
            int at = count++;
            while (at > 0 && !isBefore(leaf, sorted[at - 1], start(leaf, slot), id(leaf, slot))) {
                sorted[at] = sorted[at - 1];
                at--;
            }
            sorted[at] = slot;
        }
        return sorted;
    }

    /** Evens out the leaves {@code left} and {@code left + 1} of a parent. */
    private void shareEntries(int parent, int left) {
        int leftLeaf = child(parent, left);
        int rightLeaf = child(parent, left + 1);
        int[] inLeft = sortedSlots(leftLeaf);
        int[] inRight = sortedSlots(rightLeaf);
        int wanted = (inLeft.length + inRight.length) / 2;
        long[] block = inners.longs(parent);
        int base = inners.base(parent);
        boolean toRight = inLeft.length > wanted;
        // The first of those that are on the right then.
        int leaf = toRight ? leftLeaf : rightLeaf;
        int slot = toRight ? inLeft[wanted] : inRight[wanted - inLeft.length];
        block[separatorAt(base, left + 1)] = start(leaf, slot);
        if (overlapping) {
            block[base + SEPARATOR_IDS + left + 1] = id(leaf, slot);
        }
        if (toRight) {
            moveEntries(leftLeaf, inLeft, wanted, inLeft.length, rightLeaf);
        } else {
            moveEntries(rightLeaf, inRight, 0, wanted - inLeft.length, leftLeaf);
        }
        sum(parent, left, 0);
        sum(parent, left + 1, 0);
    }

    private void mergeLeaves(int left, int right) {
        int[] inRight = sortedSlots(right);
        moveEntries(right, inRight, 0, inRight.length, left);
        int next = next(leaves.longs(right), leaves.base(right));
        link(left, next);
        if (next != NONE) {
            linkBack(next, left);
        }
        leaves.giveBack(right);
    }

    /** Moves the entries in slots [from, to) of those given to a leaf that has room for them. */
    private void moveEntries(int source, int[] slots, int from, int to, int target) {
        long[] block = leaves.longs(source);
        int base = leaves.base(source);
        long[] targetBlock = leaves.longs(target);
        int targetBase = leaves.base(target);
        for (int i = from; i < to; i++) {
            int slot = slots[i];
            long start = block[base + STARTS + slot];
            long end = block[base + ENDS + slot];
            int targetSlot = put(target, targetBlock, targetBase, start, end, take(source, block, base, slot));
            if (overlapping) {
                targetBlock[targetBase + IDS + targetSlot] = block[base + IDS + slot];
            }
        }
        if (overlapping) {
            writeOrder(source);
            writeOrder(target);
        }
    }

    private void writeOrder(int leaf) {
        int[] sorted = sortedSlots(leaf);
        long[] block = leaves.longs(leaf);
        int order = leaves.base(leaf) + ORDER;
        for (int word = 0; word < LEAF / 8; word++) {
            block[order + word] = 0;
        }
        for (int i = 0; i < sorted.length; i++) {
            block[order + (i >> 3)] |= (long) sorted[i] << (i << 3);
        }
    }

    /** Notes in an inner block the greatest end below a child, which is on {@code childLevel}. Returns it. */
    final long sum(int inner, int child, int childLevel) {
        if (!overlapping) {
            return 0;
        }
        int below = child(inner, child);
        long greatest = 0;
        if (childLevel == 0) {
            long[] block = leaves.longs(below);
            int base = leaves.base(below);
            for (int i = base + ENDS; i < base + ENDS + LEAF; i++) {
                greatest = Math.max(greatest, block[i]);
            }
        } else {
            long[] block = inners.longs(below);
            int base = inners.base(below);
            int count = (int) block[base + COUNT];
            for (int i = base + GREATEST_ENDS; i < base + GREATEST_ENDS + count; i++) {
                greatest = Math.max(greatest, block[i]);
            }
        }
        inners.longs(inner)[inners.base(inner) + GREATEST_ENDS + child] = greatest;
        return greatest;
    }

    private static void move(long[] block, int from, int by, int count) {
        System.arraycopy(block, from, block, from + by, count);
    }

    private static void moveColumn(
            long[] source,
            int sourceAt,
            int first,
            int count,
            int inSource,
            long[] target,
            int targetAt,
            int at,
            int inTarget) {
        move(target, targetAt + at, count, inTarget - at);
        System.arraycopy(source, sourceAt + first, target, targetAt + at, count);
        move(source, sourceAt + first + count, -count, inSource - first - count);
    }

    private void clearInner(long[] block, int base) {
        block[base + COUNT] = 0;
        for (int child = 0; child <= FANOUT; child++) {
            block[separatorAt(base, child)] = NOTHING;
        }
    }

    /** Gives the inner block that {@link #path} has on a level one more child; splits it first if it is full. */
    private void insertChild(int level, int at, long separator, long separatorId, int child) {
        int inner = path[level] >>> FANOUT_SHIFT;
        if (inners.longs(inner)[inners.base(inner) + COUNT] < FANOUT) {
            putChild(level, inner, at, separator, separatorId, child);
            return;
        }
        if (level == height) {
            raise();
        }
        int right = inners.allocate();
        clearInner(inners.longs(right), inners.base(right));
        moveChildren(inner, FANOUT / 2, FANOUT / 2, right, 0);
        if (at > FANOUT / 2) {
            putChild(level, right, at - FANOUT / 2, separator, separatorId, child);
        } else {
            putChild(level, inner, at, separator, separatorId, child);
        }
        int parent = path[level + 1] >>> FANOUT_SHIFT;
        int inParent = path[level + 1] & FANOUT - 1;
        sum(parent, inParent, level);
        long[] block = inners.longs(right);
        int base = inners.base(right);
        insertChild(
                level + 1,
                inParent + 1,
                block[separatorAt(base, 0)],
                overlapping ? block[base + SEPARATOR_IDS] : 0,
                right);
    }

    private void putChild(int level, int inner, int at, long separator, long separatorId, int child) {
        long[] block = inners.longs(inner);
        int base = inners.base(inner);
        int after = (int) block[base + COUNT]++ - at;
        move(block, separatorAt(base, at), 2, 2 * after);
        block[separatorAt(base, at)] = separator;
        block[childAt(base, at)] = child;
        if (overlapping) {
            move(block, base + SEPARATOR_IDS + at, 1, after);
            block[base + SEPARATOR_IDS + at] = separatorId;
            move(block, base + GREATEST_ENDS + at, 1, after);
            sum(inner, at, level - 1);
        }
    }

    /** Takes a child from the inner block that {@link #path} has on a level, and sees to it that enough are left there. */
    private void removeChild(int level, int at) {
        int inner = path[level] >>> FANOUT_SHIFT;
        long[] block = inners.longs(inner);
        int base = inners.base(inner);
        int count = (int) --block[base + COUNT];
        int after = count - at;
        move(block, separatorAt(base, at + 1), -2, 2 * after);
        block[separatorAt(base, count)] = NOTHING;
        if (overlapping) {
            move(block, base + SEPARATOR_IDS + at + 1, -1, after);
            move(block, base + GREATEST_ENDS + at + 1, -1, after);
        }
        if (level == height) {
            if (count == 1) {
                root = child(inner, 0);
                inners.giveBack(inner);
                height--;
            }
        } else if (count < LEAST_CHILDREN) {
            int parent = path[level + 1] >>> FANOUT_SHIFT;
            int inParent = path[level + 1] & FANOUT - 1;
            int left = inParent + 1 < inners.longs(parent)[inners.base(parent) + COUNT] ? inParent : inParent - 1;
            shareOrMergeInner(level, parent, left);
        }
    }

    /** Evens out the inner blocks {@code left} and {@code left + 1} of a parent, or makes them one. */
    private void shareOrMergeInner(int level, int parent, int left) {
        long[] parentBlock = inners.longs(parent);
        int parentBase = inners.base(parent);
        int leftInner = child(parent, left);
        int rightInner = child(parent, left + 1);
        int inLeft = (int) inners.longs(leftInner)[inners.base(leftInner) + COUNT];
        long[] rightBlock = inners.longs(rightInner);
        int rightBase = inners.base(rightInner);
        int inRight = (int) rightBlock[rightBase + COUNT];
        // What was good enough as a first separator must be right where it goes now.
        rightBlock[separatorAt(rightBase, 0)] = parentBlock[separatorAt(parentBase, left + 1)];
        if (overlapping) {
            rightBlock[rightBase + SEPARATOR_IDS] = parentBlock[parentBase + SEPARATOR_IDS + left + 1];
        }
        if (inLeft + inRight <= MERGED_CHILDREN) {
            moveChildren(rightInner, 0, inRight, leftInner, inLeft);
            inners.giveBack(rightInner);
            sum(parent, left, level);
            removeChild(level + 1, left + 1);
            return;
        }
        int wanted = (inLeft + inRight) / 2;
        if (inLeft > wanted) {
            moveChildren(leftInner, wanted, inLeft - wanted, rightInner, 0);
        } else {
            moveChildren(rightInner, 0, wanted - inLeft, leftInner, inLeft);
        }
        parentBlock[separatorAt(parentBase, left + 1)] = rightBlock[separatorAt(rightBase, 0)];
        if (overlapping) {
            parentBlock[parentBase + SEPARATOR_IDS + left + 1] = rightBlock[rightBase + SEPARATOR_IDS];
        }
        sum(parent, left, level);
        sum(parent, left + 1, level);
    }

    /** Moves children [first, first + count) of one inner block to another that has room, where they begin at {@code at}. */
    private void moveChildren(int from, int first, int count, int to, int at) {
        long[] source = inners.longs(from);
        int sourceBase = inners.base(from);
        int inSource = (int) source[sourceBase + COUNT];
        long[] target = inners.longs(to);
        int targetBase = inners.base(to);
        int inTarget = (int) target[targetBase + COUNT];
        moveColumn(
                source,
                separatorAt(sourceBase, 0),
                2 * first,
                2 * count,
                2 * inSource,
                target,
                separatorAt(targetBase, 0),
                2 * at,
                2 * inTarget);
        if (overlapping) {
            for (int column = GREATEST_ENDS; column <= SEPARATOR_IDS; column += FANOUT) {
                moveColumn(
                        source, sourceBase + column, first, count, inSource, target, targetBase + column, at, inTarget);
            }
        }
        for (int child = inSource - count; child < inSource; child++) {
            source[separatorAt(sourceBase, child)] = NOTHING;
        }
        source[sourceBase + COUNT] -= count;
        target[targetBase + COUNT] += count;
    }

    /** Checks everything the class comment says of the whole tree; for tests. */
    final void checkInvariants() {
        if (root == NONE) {
            require(size == 0, "size " + size + " without a root");
            return;
        }
        Check check = new Check();
        check.visit(height, root, 0, Long.MIN_VALUE, NOTHING, Long.MAX_VALUE);
        require(check.last == NONE || next(leaves.longs(check.last), leaves.base(check.last)) == NONE, "leaves go on");
        require(check.entries == size, "size says " + size + ", the tree has " + check.entries);
        require(check.leavesSeen == leaves.usedBlocks(), "leaves were lost");
        require(check.innersSeen == inners.usedBlocks(), "inner blocks were lost");
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    private final class Check {
        int entries;
        int leavesSeen;
        int innersSeen;
        int last = NONE;

        /** Returns the greatest end. Bounds are keys: [(low, lowId), (high, highId)). */
        long visit(int level, int node, long low, long lowId, long high, long highId) {
            return level == 0
                    ? visitLeaf(node, low, lowId, high, highId)
                    : visitInner(level, node, low, lowId, high, highId);
        }

        private long visitInner(int level, int inner, long low, long lowId, long high, long highId) {
            innersSeen++;
            long[] block = inners.longs(inner);
            int base = inners.base(inner);
            int count = (int) block[base + COUNT];
            require(
                    count >= (level == height ? 2 : LEAST_CHILDREN) && count <= FANOUT,
                    count + " children of " + inner);
            require(block[separatorAt(base, 0)] <= low, "first separator of " + inner + " is too great");
            long greatest = 0;
            for (int i = 0; i < count; i++) {
                boolean isLast = i == count - 1;
                long childGreatest = visit(
                        level - 1,
                        (int) block[childAt(base, i)],
                        i == 0 ? low : block[separatorAt(base, i)],
                        i == 0 ? lowId : separatorId(block, base, i),
                        isLast ? high : block[separatorAt(base, i + 1)],
                        isLast ? highId : separatorId(block, base, i + 1));
                require(
                        !overlapping || block[base + GREATEST_ENDS + i] == childGreatest,
                        "greatest end of child " + i + " of " + inner + " is out of date");
                greatest = Math.max(greatest, childGreatest);
            }
            for (int i = count; i <= FANOUT; i++) {
                require(block[separatorAt(base, i)] == NOTHING, "separator without a child in " + inner);
            }
            return greatest;
        }

        private long separatorId(long[] block, int base, int child) {
            return overlapping ? block[base + SEPARATOR_IDS + child] : Long.MIN_VALUE;
        }

        private long visitLeaf(int leaf, long low, long lowId, long high, long highId) {
            leavesSeen++;
            long[] block = leaves.longs(leaf);
            int base = leaves.base(leaf);
            int count = count(block, base);
            require(previous(block, base) == last, "leaf " + leaf + " does not know the one before");
            require(
                    last == NONE || next(leaves.longs(last), leaves.base(last)) == leaf,
                    "leaf " + leaf + " is not linked");
            require(
                    height == 0 || count >= (next(block, base) == NONE ? 1 : LEAST_ENTRIES),
                    "leaf " + leaf + " has only " + count + " entries");
            last = leaf;
            entries += count;
            long greatest = 0;
            int[] sorted = sortedSlots(leaf);
            for (int i = 0; i < count; i++) {
                int slot = sorted[i];
                long start = block[base + STARTS + slot];
                long end = block[base + ENDS + slot];
                long id = id(leaf, slot);
                checkRange(start, end);
                value(leaf, slot);
                require(
                        start > low || start == low && (!overlapping || id >= lowId),
                        "slot " + slot + " of leaf " + leaf + " lies below the entry before, or the leaf's bounds");
                require(
                        start < high || overlapping && start == high && id < highId,
                        "slot " + slot + " of leaf " + leaf + " lies above the leaf's bounds");
                require(overlapping || end <= high, "slot " + slot + " of leaf " + leaf + " passes the leaf's bounds");
                require(
                        !overlapping || (block[base + ORDER + (i >> 3)] >>> (i << 3) & 0xff) == slot,
                        "entry " + i + " of leaf " + leaf + " is not in order");
                low = overlapping ? start : end;
                lowId = id == Long.MAX_VALUE ? id : id + 1;
                greatest = Math.max(greatest, end);
            }
            for (int slot = 0; slot < LEAF; slot++) {
                require(
                        (block[base + USED] >>> slot & 1) == 1
                                || block[base + STARTS + slot] == NOTHING
                                        && block[base + ENDS + slot] == 0
                                        && leaves.references(leaf)[leaves.referenceBase(leaf) + slot] == null,
                        "free slot " + slot + " of leaf " + leaf + " is not empty");
            }
            return greatest;
        }
    }
}
