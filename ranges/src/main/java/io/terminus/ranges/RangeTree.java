package io.terminus.ranges;

import java.util.ConcurrentModificationException;
import org.jspecify.annotations.Nullable;

/**
 * The tree under both indexes: a B+-tree in blocks of longs. Here is what does not depend on what is asked: how blocks look,
 * how they are split, shared out and merged. The searches, each in its own shape, are with the index that needs them.
 *
 * <p>A leaf, in longs; the last column only where ranges may overlap:
 *
 * <pre>
 *   0      used: bit s is set if slot s holds the value of an entry; as many bits as entries
 *   1      next leaf << 32 | previous leaf, each -1 if none
 *   2-5    order: byte i is the slot of the value of entry i
 *   6-37   starts, ascending; {@link #NOTHING} where there is no entry
 *   38     NOTHING, so that a search may look one behind the last
 *   39-70  ends
 *   71-102 ids
 * </pre>
 *
 * and {@value #LEAF} slots of references, the values. A value stays in its slot while its neighbours come and go, because
 * each move of a reference would have to be told to the garbage collector.
 *
 * <p>An inner block, in longs; the last two columns only where ranges may overlap:
 *
 * <pre>
 *   0        count of children, at least 2
 *   1-64     separators: no start below child i is less than separator i, every start below child i-1 is (or is equal
 *            to it and has a lesser id). Ascending; NOTHING where there is no child
 *   65       NOTHING
 *   66-129   children
 *   130-193  the greatest end below each child
 *   194-257  ids of the separators
 * </pre>
 *
 * The separator of a child stands in the parent. The first separator of a block repeats it, or is less.
 *
 * <p>The searches count, among 32 or 64 ascending numbers, those less than the one sought, without a branch: of every
 * eighth first, then within eight. So the loads of a search do not wait for each other, and there is nothing to mispredict.
 *
 * <p>A full leaf first gives to a neighbour under the same parent, then splits in two, or, at the right edge, begins a new
 * leaf, so that what is inserted in ascending order fills its leaves. A leaf that gets below {@value #LEAST_ENTRIES} entries
 * is merged with a neighbour, or takes from it. Random churn leaves leaves about three quarters full.
 */
abstract sealed class RangeTree<V> permits DisjointRangeIndex, RangeIndex {

    static final long NOTHING = Long.MAX_VALUE;
    static final int NONE = Blocks.NONE;

    static final int LEAF = 32;
    /** All slots of a leaf in use. */
    static final long FULL = (1L << LEAF) - 1;

    static final int USED = 0;
    static final int LINKS = 1;
    static final int ORDER = 2;
    static final int STARTS = 6;
    static final int ENDS = 39;
    static final int IDS = 71;
    private static final int LEAF_LONGS = 103;

    static final int FANOUT_SHIFT = 6;
    static final int FANOUT = 1 << FANOUT_SHIFT;
    static final int COUNT = 0;
    static final int SEPARATORS = 1;
    static final int CHILDREN = 66;
    static final int GREATEST_ENDS = 130;
    static final int SEPARATOR_IDS = 194;
    private static final int INNER_LONGS = 258;

    private static final int LEAST_ENTRIES = 12;
    private static final int MERGED_ENTRIES = 26;
    private static final int GIVING_ENTRIES = 26;
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

    /** How many of the 32 ascending numbers from {@code at} are less than {@code than}. None may be negative. */
    static int lessOf32(long[] numbers, int at, long than) {
        int eights = less(numbers[at + 7], than) + less(numbers[at + 15], than) + less(numbers[at + 23], than);
        return (eights << 3) + lessOf8(numbers, at + (eights << 3), than);
    }

    /** How many of the 64 ascending numbers from {@code at} are less than {@code than}. None may be negative. */
    static int lessOf64(long[] numbers, int at, long than) {
        int eights = less(numbers[at + 7], than)
                + less(numbers[at + 15], than)
                + less(numbers[at + 23], than)
                + less(numbers[at + 31], than)
                + less(numbers[at + 39], than)
                + less(numbers[at + 47], than)
                + less(numbers[at + 55], than);
        return (eights << 3) + lessOf8(numbers, at + (eights << 3), than);
    }

    private static int lessOf8(long[] numbers, int at, long than) {
        return less(numbers[at], than)
                + less(numbers[at + 1], than)
                + less(numbers[at + 2], than)
                + less(numbers[at + 3], than)
                + less(numbers[at + 4], than)
                + less(numbers[at + 5], than)
                + less(numbers[at + 6], than)
                + less(numbers[at + 7], than);
    }

    /** 1 if so, 0 if not. The difference of two numbers that are not negative does not overflow. */
    private static int less(long number, long than) {
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

    static int slot(long[] block, int base, int entry) {
        return (int) (block[base + ORDER + (entry >> 3)] >>> (entry << 3)) & 0xff;
    }

    @SuppressWarnings("unchecked")
    final V value(int leaf, long[] block, int base, int entry) {
        Object value = leaves.references(leaf)[leaves.referenceBase(leaf) + slot(block, base, entry)];
        if (value == null) {
            throw new IllegalStateException("entry " + entry + " of leaf " + leaf + " has no value");
        }
        return (V) value;
    }

    /** Puts an entry in at its place in a leaf that has room; its id, if any, is still to be set. */
    final void put(int leaf, long[] block, int base, int entry, long start, long end, V value) {
        long used = block[base + USED];
        int after = Long.bitCount(used) - entry;
        int slot = Long.numberOfTrailingZeros(~used);
        block[base + USED] = used | 1L << slot;
        move(block, base + STARTS + entry, 1, after);
        move(block, base + ENDS + entry, 1, after);
        block[base + STARTS + entry] = start;
        block[base + ENDS + entry] = end;
        if (overlapping) {
            move(block, base + IDS + entry, 1, after);
        }
        insertIntoOrder(block, base + ORDER, entry, slot);
        leaves.references(leaf)[leaves.referenceBase(leaf) + slot] = value;
    }

    /** Takes an entry out of a leaf. */
    final V take(int leaf, long[] block, int base, int entry) {
        V value = value(leaf, block, base, entry);
        long used = block[base + USED];
        int last = Long.bitCount(used) - 1;
        int after = last - entry;
        int slot = slot(block, base, entry);
        leaves.references(leaf)[leaves.referenceBase(leaf) + slot] = null;
        block[base + USED] = used & ~(1L << slot);
        move(block, base + STARTS + entry + 1, -1, after);
        block[base + STARTS + last] = NOTHING;
        move(block, base + ENDS + entry + 1, -1, after);
        if (overlapping) {
            move(block, base + IDS + entry + 1, -1, after);
        }
        removeFromOrder(block, base + ORDER, entry);
        return value;
    }

    private static void move(long[] block, int from, int by, int count) {
        System.arraycopy(block, from, block, from + by, count);
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
        int shift = (entry & 7) << 3;
        long carry = 0;
        for (int above = LEAF / 8 - 1; above > word; above--) {
            long old = block[order + above];
            block[order + above] = old >>> 8 | carry;
            carry = old << 56;
        }
        long old = block[order + word];
        long below = (1L << shift) - 1;
        block[order + word] = old & below | (old >>> 8 | carry) & ~below;
    }

    // What follows changes the shape of the tree. Little of the time is spent here: once in ten inserts or removals.

    /**
     * Makes room in the full leaf at the end of {@link #path}, for an entry whose place there is {@code entry}. Which leaf
     * the entry belongs to is then to be found out anew.
     */
    final void makeRoom(int leaf, int entry, long start, long id) {
        if (height == 0) {
            raise();
        }
        int parent = path[1] >>> FANOUT_SHIFT;
        int child = path[1] & FANOUT - 1;
        long[] inner = inners.longs(parent);
        int base = inners.base(parent);
        int next = next(leaves.longs(leaf), leaves.base(leaf));
        if (entry == LEAF && next == NONE) {
            int fresh = newLeaf(leaf, NONE);
            insertChild(1, child + 1, start, id, fresh);
        } else if (child + 1 < inner[base + COUNT] && entriesOf(parent, child + 1) <= GIVING_ENTRIES) {
            shareEntries(parent, child);
        } else if (child > 0 && entriesOf(parent, child - 1) <= GIVING_ENTRIES) {
            shareEntries(parent, child - 1);
        } else {
            int fresh = newLeaf(leaf, next);
            moveEntries(leaf, LEAF / 2, LEAF / 2, fresh, 0);
            sum(parent, child, 0);
            insertChild(1, child + 1, firstStart(fresh), firstId(fresh), fresh);
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
        block[base + SEPARATORS] = 0;
        block[base + CHILDREN] = old;
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
        for (int i = 0; i <= LEAF; i++) {
            block[base + STARTS + i] = NOTHING;
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
        return (int) inners.longs(inner)[inners.base(inner) + CHILDREN + child];
    }

    private int entriesOf(int parent, int child) {
        int leaf = child(parent, child);
        return count(leaves.longs(leaf), leaves.base(leaf));
    }

    private long firstStart(int leaf) {
        return leaves.longs(leaf)[leaves.base(leaf) + STARTS];
    }

    private long firstId(int leaf) {
        return overlapping ? leaves.longs(leaf)[leaves.base(leaf) + IDS] : 0;
    }

    /** Evens out the leaves {@code left} and {@code left + 1} of a parent. */
    private void shareEntries(int parent, int left) {
        int leftLeaf = child(parent, left);
        int rightLeaf = child(parent, left + 1);
        int inLeft = entriesOf(parent, left);
        int inRight = entriesOf(parent, left + 1);
        int wanted = (inLeft + inRight) / 2;
        if (inLeft > wanted) {
            moveEntries(leftLeaf, wanted, inLeft - wanted, rightLeaf, 0);
        } else {
            moveEntries(rightLeaf, 0, wanted - inLeft, leftLeaf, inLeft);
        }
        long[] block = inners.longs(parent);
        int base = inners.base(parent);
        block[base + SEPARATORS + left + 1] = firstStart(rightLeaf);
        if (overlapping) {
            block[base + SEPARATOR_IDS + left + 1] = firstId(rightLeaf);
        }
        sum(parent, left, 0);
        sum(parent, left + 1, 0);
    }

    private void mergeLeaves(int left, int right) {
        long[] leftBlock = leaves.longs(left);
        int leftBase = leaves.base(left);
        long[] rightBlock = leaves.longs(right);
        int rightBase = leaves.base(right);
        moveEntries(right, 0, count(rightBlock, rightBase), left, count(leftBlock, leftBase));
        int next = next(rightBlock, rightBase);
        link(left, next);
        if (next != NONE) {
            linkBack(next, left);
        }
        leaves.giveBack(right);
    }

    /** Moves entries [first, first + count) of one leaf to another that has room, where they begin at {@code at}. */
    private void moveEntries(int from, int first, int count, int to, int at) {
        long[] source = leaves.longs(from);
        int sourceBase = leaves.base(from);
        int inSource = count(source, sourceBase);
        long[] target = leaves.longs(to);
        int targetBase = leaves.base(to);
        int inTarget = count(target, targetBase);
        moveColumn(source, sourceBase + STARTS, first, count, inSource, target, targetBase + STARTS, at, inTarget);
        moveColumn(source, sourceBase + ENDS, first, count, inSource, target, targetBase + ENDS, at, inTarget);
        if (overlapping) {
            moveColumn(source, sourceBase + IDS, first, count, inSource, target, targetBase + IDS, at, inTarget);
        }
        for (int i = inSource - count; i < inSource; i++) {
            source[sourceBase + STARTS + i] = NOTHING;
        }
        @Nullable Object[] sourceValues = leaves.references(from);
        int sourceValueBase = leaves.referenceBase(from);
        @Nullable Object[] targetValues = leaves.references(to);
        int targetValueBase = leaves.referenceBase(to);
        for (int i = 0; i < count; i++) {
            int slot = slot(source, sourceBase, first);
            removeFromOrder(source, sourceBase + ORDER, first);
            source[sourceBase + USED] &= ~(1L << slot);
            int freeSlot = Long.numberOfTrailingZeros(~target[targetBase + USED]);
            insertIntoOrder(target, targetBase + ORDER, at + i, freeSlot);
            target[targetBase + USED] |= 1L << freeSlot;
            targetValues[targetValueBase + freeSlot] = sourceValues[sourceValueBase + slot];
            sourceValues[sourceValueBase + slot] = null;
        }
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
            int count = count(block, base);
            for (int i = base + ENDS; i < base + ENDS + count; i++) {
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

    private void clearInner(long[] block, int base) {
        block[base + COUNT] = 0;
        for (int i = 0; i <= FANOUT; i++) {
            block[base + SEPARATORS + i] = NOTHING;
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
                block[base + SEPARATORS],
                overlapping ? block[base + SEPARATOR_IDS] : 0,
                right);
    }

    private void putChild(int level, int inner, int at, long separator, long separatorId, int child) {
        long[] block = inners.longs(inner);
        int base = inners.base(inner);
        int after = (int) block[base + COUNT]++ - at;
        move(block, base + SEPARATORS + at, 1, after);
        block[base + SEPARATORS + at] = separator;
        move(block, base + CHILDREN + at, 1, after);
        block[base + CHILDREN + at] = child;
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
        move(block, base + SEPARATORS + at + 1, -1, after);
        block[base + SEPARATORS + count] = NOTHING;
        move(block, base + CHILDREN + at + 1, -1, after);
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
        rightBlock[rightBase + SEPARATORS] = parentBlock[parentBase + SEPARATORS + left + 1];
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
        parentBlock[parentBase + SEPARATORS + left + 1] = rightBlock[rightBase + SEPARATORS];
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
        int[] columns = overlapping
                ? new int[] {SEPARATORS, CHILDREN, GREATEST_ENDS, SEPARATOR_IDS}
                : new int[] {SEPARATORS, CHILDREN};
        for (int column : columns) {
            moveColumn(source, sourceBase + column, first, count, inSource, target, targetBase + column, at, inTarget);
        }
        for (int i = inSource - count; i < inSource; i++) {
            source[sourceBase + SEPARATORS + i] = NOTHING;
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
            require(block[base + SEPARATORS] <= low, "first separator of " + inner + " is too great");
            long greatest = 0;
            for (int i = 0; i < count; i++) {
                boolean isLast = i == count - 1;
                long childGreatest = visit(
                        level - 1,
                        (int) block[base + CHILDREN + i],
                        i == 0 ? low : block[base + SEPARATORS + i],
                        i == 0 ? lowId : separatorId(block, base, i),
                        isLast ? high : block[base + SEPARATORS + i + 1],
                        isLast ? highId : separatorId(block, base, i + 1));
                require(
                        !overlapping || block[base + GREATEST_ENDS + i] == childGreatest,
                        "greatest end of child " + i + " of " + inner + " is out of date");
                greatest = Math.max(greatest, childGreatest);
            }
            for (int i = count; i <= FANOUT; i++) {
                require(block[base + SEPARATORS + i] == NOTHING, "separator without a child in " + inner);
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
            long slots = 0;
            for (int i = 0; i < count; i++) {
                long start = block[base + STARTS + i];
                long end = block[base + ENDS + i];
                long id = overlapping ? block[base + IDS + i] : 0;
                checkRange(start, end);
                value(leaf, block, base, i);
                slots |= 1L << slot(block, base, i);
                require(
                        start > low || start == low && (!overlapping || id >= lowId),
                        "entry " + i + " of leaf " + leaf + " lies below the leaf's bounds");
                require(
                        start < high || overlapping && start == high && id < highId,
                        "entry " + i + " of leaf " + leaf + " lies above the leaf's bounds");
                require(overlapping || end <= high, "entry " + i + " of leaf " + leaf + " passes the leaf's bounds");
                low = overlapping ? start : end;
                lowId = id == Long.MAX_VALUE ? id : id + 1;
                greatest = Math.max(greatest, end);
            }
            require(slots == block[base + USED], "slots of leaf " + leaf + " are not those in use");
            for (int slot = 0; slot < LEAF; slot++) {
                require(
                        (slots >>> slot & 1) == 1 || leaves.references(leaf)[leaves.referenceBase(leaf) + slot] == null,
                        "free slot " + slot + " of leaf " + leaf + " holds a value");
            }
            for (int i = count; i <= LEAF; i++) {
                require(block[base + STARTS + i] == NOTHING, "start without an entry in leaf " + leaf);
            }
            return greatest;
        }
    }
}
