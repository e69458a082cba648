package io.terminus.benchmarks.index;

import io.terminus.ranges.RangeIndex.Visitor;
import org.jspecify.annotations.Nullable;

/**
 * The textbook's answer to overlaps, to compare with: a red-black tree over (start, id) in which each node also keeps the
 * greatest end below it (Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, 13 and 14.3). Straightforward, with
 * parent links and the algorithms of the book.
 */
final class IntervalTree<V> {

    private static final class Node<V> {
        final long start;
        final long end;
        final long id;
        final V value;
        long greatestEnd;
        boolean red;

        @Nullable
        Node<V> left;

        @Nullable
        Node<V> right;

        @Nullable
        Node<V> parent;

        Node(long start, long end, long id, V value) {
            this.start = start;
            this.end = end;
            this.id = id;
            this.value = value;
            this.greatestEnd = end;
        }

        int compareTo(long otherStart, long otherId) {
            return start != otherStart ? Long.compare(start, otherStart) : Long.compare(id, otherId);
        }
    }

    private @Nullable Node<V> root;
    private int size;

    int size() {
        return size;
    }

    /** Adds an entry; (start, id) must not be there. */
    void insert(long start, long end, long id, V value) {
        Node<V> parent = null;
        boolean toLeft = false;
        for (Node<V> node = root; node != null; ) {
            // Its subtree is about to hold this end as well.
            if (node.greatestEnd < end) {
                node.greatestEnd = end;
            }
            parent = node;
            toLeft = node.compareTo(start, id) > 0;
            node = toLeft ? node.left : node.right;
        }
        Node<V> fresh = new Node<>(start, end, id, value);
        fresh.parent = parent;
        fresh.red = true;
        if (parent == null) {
            root = fresh;
        } else if (toLeft) {
            parent.left = fresh;
        } else {
            parent.right = fresh;
        }
        repairAfterInsert(fresh);
        size++;
    }

    @Nullable
    V remove(long start, long id) {
        Node<V> node = root;
        while (node != null) {
            int order = node.compareTo(start, id);
            if (order == 0) {
                unlink(node);
                size--;
                return node.value;
            }
            node = order > 0 ? node.left : node.right;
        }
        return null;
    }

    @Nullable
    V firstOverlapping(long start, long end) {
        Node<V> node = root;
        while (node != null) {
            Node<V> left = node.left;
            if (left != null && left.greatestEnd > start) {
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

    /** In the order of (start, id). Returns false if the visitor stopped it. */
    boolean forEachOverlapping(long start, long end, Visitor<? super V> visitor) {
        return visit(root, start, end, visitor);
    }

    private boolean visit(@Nullable Node<V> subtree, long start, long end, Visitor<? super V> visitor) {
        Node<V> node = subtree;
        while (node != null && node.greatestEnd > start) {
            if (!visit(node.left, start, end, visitor)) {
                return false;
            }
            if (node.start >= end) {
                return true;
            }
            if (node.end > start && !visitor.visit(node.start, node.end, node.id, node.value)) {
                return false;
            }
            node = node.right;
        }
        return true;
    }

    private void repairAfterInsert(Node<V> inserted) {
        Node<V> node = inserted;
        while (node.parent != null && node.parent.red) {
            Node<V> parent = node.parent;
            Node<V> grandparent = parent.parent;
            if (grandparent == null) {
                break;
            }
            boolean onLeft = parent == grandparent.left;
            Node<V> uncle = onLeft ? grandparent.right : grandparent.left;
            if (uncle != null && uncle.red) {
                parent.red = false;
                uncle.red = false;
                grandparent.red = true;
                node = grandparent;
                continue;
            }
            if (onLeft ? node == parent.right : node == parent.left) {
                turn(parent, onLeft);
                parent = node;
            }
            parent.red = false;
            grandparent.red = true;
            turn(grandparent, !onLeft);
            break;
        }
        if (root != null) {
            root.red = false;
        }
    }

    private void unlink(Node<V> node) {
        Node<V> left = node.left;
        Node<V> right = node.right;
        boolean blackGone;
        Node<V> moved;
        Node<V> movedParent;
        if (left == null || right == null) {
            blackGone = !node.red;
            moved = left == null ? right : left;
            movedParent = node.parent;
            replace(node, moved);
        } else {
            // The next entry takes the place and the colour of the one that goes.
            Node<V> next = right;
            while (next.left != null) {
                next = next.left;
            }
            blackGone = !next.red;
            moved = next.right;
            if (next.parent == node) {
                movedParent = next;
            } else {
                movedParent = next.parent;
                replace(next, moved);
                next.right = node.right;
                if (next.right != null) {
                    next.right.parent = next;
                }
            }
            replace(node, next);
            next.left = node.left;
            if (next.left != null) {
                next.left.parent = next;
            }
            next.red = node.red;
        }
        for (Node<V> up = movedParent; up != null; up = up.parent) {
            sum(up);
        }
        if (blackGone) {
            repairAfterRemove(moved, movedParent);
        }
    }

    /** {@code node}, below {@code above} and possibly absent, lacks one black. */
    private void repairAfterRemove(@Nullable Node<V> below, @Nullable Node<V> above) {
        Node<V> node = below;
        Node<V> parent = above;
        while (parent != null && (node == null || !node.red)) {
            boolean onLeft = node == parent.left;
            Node<V> sibling = onLeft ? parent.right : parent.left;
            if (sibling != null && sibling.red) {
                sibling.red = false;
                parent.red = true;
                turn(parent, onLeft);
                sibling = onLeft ? parent.right : parent.left;
            }
            if (sibling == null) {
                throw new IllegalStateException("a node that lacks a black has no sibling");
            }
            Node<V> near = onLeft ? sibling.left : sibling.right;
            Node<V> far = onLeft ? sibling.right : sibling.left;
            if ((near == null || !near.red) && (far == null || !far.red)) {
                sibling.red = true;
                node = parent;
                parent = node.parent;
                continue;
            }
            if (far == null || !far.red) {
                if (near != null) {
                    near.red = false;
                }
                sibling.red = true;
                turn(sibling, !onLeft);
                far = sibling;
                sibling = onLeft ? parent.right : parent.left;
            }
            if (sibling != null) {
                sibling.red = parent.red;
            }
            parent.red = false;
            far.red = false;
            turn(parent, onLeft);
            return;
        }
        if (node != null) {
            node.red = false;
        }
    }

    private void replace(Node<V> node, @Nullable Node<V> by) {
        Node<V> parent = node.parent;
        if (parent == null) {
            root = by;
        } else if (parent.left == node) {
            parent.left = by;
        } else {
            parent.right = by;
        }
        if (by != null) {
            by.parent = parent;
        }
    }

    /** A child of {@code node} goes up to its place: the right one if it turns left. */
    private void turn(Node<V> node, boolean left) {
        Node<V> child = left ? node.right : node.left;
        if (child == null) {
            throw new IllegalStateException("nothing to turn up");
        }
        Node<V> inner = left ? child.left : child.right;
        if (left) {
            node.right = inner;
        } else {
            node.left = inner;
        }
        if (inner != null) {
            inner.parent = node;
        }
        replace(node, child);
        if (left) {
            child.left = node;
        } else {
            child.right = node;
        }
        node.parent = child;
        sum(node);
        sum(child);
    }

    private static void sum(Node<?> node) {
        long greatest = node.end;
        Node<?> left = node.left;
        Node<?> right = node.right;
        if (left != null && left.greatestEnd > greatest) {
            greatest = left.greatestEnd;
        }
        if (right != null && right.greatestEnd > greatest) {
            greatest = right.greatestEnd;
        }
        node.greatestEnd = greatest;
    }

    /** Order, colours and sums of the whole tree; for tests. */
    void checkInvariants() {
        Node<V> top = root;
        if (top != null && (top.red || top.parent != null)) {
            throw new IllegalStateException("the root is red or has a parent");
        }
        blackHeight(top);
    }

    private static int blackHeight(@Nullable Node<?> node) {
        if (node == null) {
            return 1;
        }
        Node<?> left = node.left;
        Node<?> right = node.right;
        int height = blackHeight(left);
        long sum = node.greatestEnd;
        sum(node);
        if (height != blackHeight(right)
                || sum != node.greatestEnd
                || left != null
                        && (left.parent != node || left.compareTo(node.start, node.id) >= 0 || left.red && node.red)
                || right != null
                        && (right.parent != node
                                || right.compareTo(node.start, node.id) <= 0
                                || right.red && node.red)) {
            throw new IllegalStateException(
                    "node (" + node.start + ", " + node.id + ") is out of order or out of date");
        }
        return height + (node.red ? 0 : 1);
    }
}
