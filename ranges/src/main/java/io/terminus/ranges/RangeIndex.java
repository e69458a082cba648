package io.terminus.ranges;

import java.util.ConcurrentModificationException;
import org.jspecify.annotations.Nullable;

/**
 * Finds, among many ranges, those that overlap a given one. Ranges may overlap each other and may be identical: an entry
 * is known by (start, id), and it is the caller who keeps ids apart.
 *
 * <p>An interval tree: a balanced binary search tree over (start, id) in which each node also keeps the greatest end below
 * it, so that a subtree which ends too early is passed over as a whole (Cormen, Leiserson, Rivest, Stein: Introduction to
 * Algorithms, 14.3). Balanced as an AVL tree. {@link #insert}, {@link #remove} and {@link #firstOverlapping} take
 * O(log n); {@link #forEachOverlapping} takes O(log n) to the first finding and no more than that to each further one,
 * much less where findings lie side by side. 64 bytes for an entry.
 *
 * <p>Ranges come as plain longs, because this lies on hot paths: nothing is allocated but the node of an entry. Not for
 * several threads at once. A visitor must not change the index it is walking through.
 */
public final class RangeIndex<V> {

    /** Receives the findings of {@link #forEachOverlapping}. */
    @FunctionalInterface
    public interface Visitor<V> {
        /** Returns false to see no more. */
        boolean visit(long start, long end, long id, V value);
    }

    private static final class Node<V> {
        long start;
        long end;
        long id;
        V value;
        /** The greatest end in the subtree of this node. */
        long maxEnd;

        byte height = 1;

        @Nullable
        Node<V> left;

        @Nullable
        Node<V> right;

        Node(long start, long end, long id, V value) {
            this.start = start;
            this.end = end;
            this.id = id;
            this.value = value;
            this.maxEnd = end;
        }
    }

    private @Nullable Node<V> root;
    private int size;
    /** Counts changes, so that a visitor that makes one is found out. */
    private int changes;
    /** What {@link #remove} took out, from the bottom of its recursion to the top. */
    private @Nullable V removed;

    /**
     * Adds an entry.
     *
     * @throws IllegalArgumentException unless {@code 0 <= start < end}, or if (start, id) is there already
     */
    public void insert(long start, long end, long id, V value) {
        checkRange(start, end);
        root = insert(root, start, end, id, value);
        size++;
        changes++;
    }

    /** Takes an entry out and returns its value; null if there was none. */
    public @Nullable V remove(long start, long id) {
        removed = null;
        root = remove(root, start, id);
        V value = removed;
        removed = null;
        if (value != null) {
            size--;
            changes++;
        }
        return value;
    }

    /** The value of an entry; null if there is none. */
    public @Nullable V get(long start, long id) {
        Node<V> node = root;
        while (node != null) {
            int order = compare(start, id, node);
            if (order == 0) {
                return node.value;
            }
            node = order < 0 ? node.left : node.right;
        }
        return null;
    }

    /**
     * Shows every entry that overlaps [start, end), in the order of (start, id), until the visitor has seen enough.
     *
     * @return false if the visitor stopped it
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public boolean forEachOverlapping(long start, long end, Visitor<? super V> visitor) {
        checkRange(start, end);
        return visit(root, start, end, visitor);
    }

    /**
     * The value of the first entry, in the order of (start, id), that overlaps [start, end); null if none does.
     *
     * @throws IllegalArgumentException unless {@code 0 <= start < end}
     */
    public @Nullable V firstOverlapping(long start, long end) {
        checkRange(start, end);
        Node<V> node = root;
        while (node != null) {
            Node<V> left = node.left;
            if (left != null && left.maxEnd > start) {
                // Something on the left ends behind start. If even that begins at end or later, so does all that
                // follows.
                node = left;
            } else if (node.start >= end) {
                return null;
            } else if (node.end > start) {
                return node.value;
            } else {
                node = node.right;
            }
        }
        return null;
    }

    public boolean overlapsAny(long start, long end) {
        return firstOverlapping(start, end) != null;
    }

    public int size() {
        return size;
    }

    public boolean isEmpty() {
        return size == 0;
    }

    private static void checkRange(long start, long end) {
        if (start < 0 || start >= end) {
            throw new IllegalArgumentException("range [" + start + ", " + end + ") breaks the rule 0 <= start < end");
        }
    }

    private static int compare(long start, long id, Node<?> node) {
        return start != node.start ? Long.compare(start, node.start) : Long.compare(id, node.id);
    }

    private boolean visit(@Nullable Node<V> subtree, long start, long end, Visitor<? super V> visitor) {
        Node<V> node = subtree;
        while (node != null && node.maxEnd > start) {
            if (!visit(node.left, start, end, visitor)) {
                return false;
            }
            if (node.start >= end) {
                return true;
            }
            if (node.end > start) {
                int before = changes;
                if (!visitor.visit(node.start, node.end, node.id, node.value)) {
                    return false;
                }
                if (changes != before) {
                    throw new ConcurrentModificationException("a visitor changed the index it walks through");
                }
            }
            node = node.right;
        }
        return true;
    }

    private static <V> Node<V> insert(@Nullable Node<V> node, long start, long end, long id, V value) {
        if (node == null) {
            return new Node<>(start, end, id, value);
        }
        int order = compare(start, id, node);
        if (order == 0) {
            throw new IllegalArgumentException("start " + start + " with id " + id + " is in the index already");
        }
        if (order < 0) {
            node.left = insert(node.left, start, end, id, value);
        } else {
            node.right = insert(node.right, start, end, id, value);
        }
        return balance(node);
    }

    private @Nullable Node<V> remove(@Nullable Node<V> node, long start, long id) {
        if (node == null) {
            return null;
        }
        int order = compare(start, id, node);
        if (order < 0) {
            node.left = remove(node.left, start, id);
        } else if (order > 0) {
            node.right = remove(node.right, start, id);
        } else {
            removed = node.value;
            Node<V> left = node.left;
            Node<V> right = node.right;
            if (left == null) {
                return right;
            }
            if (right == null) {
                return left;
            }
            // The next entry takes the place of the one that goes.
            Node<V> next = leftmost(right);
            next.right = withoutLeftmost(right);
            next.left = left;
            return balance(next);
        }
        return balance(node);
    }

    private static <V> Node<V> leftmost(Node<V> subtree) {
        Node<V> node = subtree;
        while (node.left != null) {
            node = node.left;
        }
        return node;
    }

    private static <V> @Nullable Node<V> withoutLeftmost(Node<V> node) {
        Node<V> left = node.left;
        if (left == null) {
            return node.right;
        }
        node.left = withoutLeftmost(left);
        return balance(node);
    }

    /** Sets height and greatest end of a node whose children are right, and turns it if one side is two levels higher. */
    private static <V> Node<V> balance(Node<V> node) {
        int lean = height(node.left) - height(node.right);
        Node<V> left = node.left;
        Node<V> right = node.right;
        if (lean > 1 && left != null) {
            Node<V> inner = left.right;
            if (inner != null && inner.height > height(left.left)) {
                node.left = turnLeft(left, inner);
                left = node.left;
            }
            return turnRight(node, left);
        }
        if (lean < -1 && right != null) {
            Node<V> inner = right.left;
            if (inner != null && inner.height > height(right.right)) {
                node.right = turnRight(right, inner);
                right = node.right;
            }
            return turnLeft(node, right);
        }
        sum(node);
        return node;
    }

    /** {@code right}, a child of {@code node}, goes up to its place. */
    private static <V> Node<V> turnLeft(Node<V> node, Node<V> right) {
        node.right = right.left;
        right.left = node;
        sum(node);
        sum(right);
        return right;
    }

    /** {@code left}, a child of {@code node}, goes up to its place. */
    private static <V> Node<V> turnRight(Node<V> node, Node<V> left) {
        node.left = left.right;
        left.right = node;
        sum(node);
        sum(left);
        return left;
    }

    private static <V> void sum(Node<V> node) {
        Node<V> left = node.left;
        Node<V> right = node.right;
        long maxEnd = node.end;
        if (left != null && left.maxEnd > maxEnd) {
            maxEnd = left.maxEnd;
        }
        if (right != null && right.maxEnd > maxEnd) {
            maxEnd = right.maxEnd;
        }
        node.maxEnd = maxEnd;
        node.height = (byte) (1 + Math.max(height(left), height(right)));
    }

    private static int height(@Nullable Node<?> node) {
        return node == null ? 0 : node.height;
    }

    /** Checks order, balance and sums of the whole tree; for tests. */
    void checkInvariants() {
        int[] entries = {0};
        checkInvariants(root, entries);
        if (entries[0] != size) {
            throw new IllegalStateException("size says " + size + ", the tree has " + entries[0]);
        }
    }

    private static <V> void checkInvariants(@Nullable Node<V> node, int[] entries) {
        if (node == null) {
            return;
        }
        entries[0]++;
        Node<V> left = node.left;
        Node<V> right = node.right;
        checkInvariants(left, entries);
        checkInvariants(right, entries);
        long maxEnd = node.end;
        if (left != null) {
            maxEnd = Math.max(maxEnd, left.maxEnd);
        }
        if (right != null) {
            maxEnd = Math.max(maxEnd, right.maxEnd);
        }
        if (left != null && compare(left.start, left.id, node) >= 0
                || right != null && compare(right.start, right.id, node) <= 0
                || Math.abs(height(left) - height(right)) > 1
                || node.height != 1 + Math.max(height(left), height(right))
                || node.maxEnd != maxEnd) {
            throw new IllegalStateException(
                    "node (" + node.start + ", " + node.id + ") is out of order or out of date");
        }
    }
}
