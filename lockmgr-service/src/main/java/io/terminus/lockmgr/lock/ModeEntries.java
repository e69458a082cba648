package io.terminus.lockmgr.lock;

import io.terminus.ranges.DisjointRangeIndex;
import io.terminus.ranges.RangeIndex;
import org.jspecify.annotations.Nullable;

/**
 * The ranges of one mode, each once, with a claim or a {@link Chain} of them. Two kinds, because locks that are held in a
 * mode that does not share cannot overlap: what holds them is smaller, faster, and refuses to be made wrong.
 */
sealed interface ModeEntries {

    @FunctionalInterface
    interface Visitor {
        /** Returns false to see no more. */
        boolean visit(long start, Object entry);
    }

    static ModeEntries disjoint() {
        return new Disjoint(new DisjointRangeIndex<>());
    }

    static ModeEntries overlapping() {
        return new Overlapping(new RangeIndex<>());
    }

    @Nullable
    Object get(long start, long end);

    /** Nothing may be there with this range, nor, among disjoint ones, overlap it. */
    void put(long start, long end, Object entry);

    @Nullable
    Object remove(long start, long end);

    @Nullable
    Object firstOverlapping(long start, long end);

    default boolean overlapsAny(long start, long end) {
        return firstOverlapping(start, end) != null;
    }

    boolean forEachOverlapping(long start, long end, Visitor visitor);

    /** Entries that begin at {@code start} or later. */
    boolean forEachFrom(long start, Visitor visitor);

    /** As {@link RangeIndex#freeFrom}. */
    long freeFrom(long start, long limit);

    /** As {@link RangeIndex#freeDownTo}. */
    long freeDownTo(long limit, long end);

    int size();

    record Disjoint(DisjointRangeIndex<Object> index) implements ModeEntries {

        /** Among disjoint ranges the start says all; what is there with another end is no entry of this range. */
        @Override
        public @Nullable Object get(long start, long end) {
            return index.get(start);
        }

        @Override
        public void put(long start, long end, Object entry) {
            Object there = index.insertIfFree(start, end, entry);
            if (there != null) {
                throw new IllegalStateException(
                        "[" + start + ", " + end + ") overlaps a range that does not share: " + there);
            }
        }

        @Override
        public @Nullable Object remove(long start, long end) {
            return index.remove(start);
        }

        @Override
        public @Nullable Object firstOverlapping(long start, long end) {
            return index.firstOverlapping(start, end);
        }

        @Override
        public boolean forEachOverlapping(long start, long end, Visitor visitor) {
            return index.forEachOverlapping(start, end, (from, to, entry) -> visitor.visit(from, entry));
        }

        @Override
        public boolean forEachFrom(long start, Visitor visitor) {
            return index.forEachFrom(start, (from, to, entry) -> visitor.visit(from, entry));
        }

        @Override
        public long freeFrom(long start, long limit) {
            return index.freeFrom(start, limit);
        }

        @Override
        public long freeDownTo(long limit, long end) {
            return index.freeDownTo(limit, end);
        }

        @Override
        public int size() {
            return index.size();
        }
    }

    /** The id of an entry is its end: a range is there once. */
    record Overlapping(RangeIndex<Object> index) implements ModeEntries {

        @Override
        public @Nullable Object get(long start, long end) {
            return index.get(start, end);
        }

        @Override
        public void put(long start, long end, Object entry) {
            index.insert(start, end, end, entry);
        }

        @Override
        public @Nullable Object remove(long start, long end) {
            return index.remove(start, end);
        }

        @Override
        public @Nullable Object firstOverlapping(long start, long end) {
            return index.firstOverlapping(start, end);
        }

        @Override
        public boolean forEachOverlapping(long start, long end, Visitor visitor) {
            return index.forEachOverlapping(start, end, (from, to, id, entry) -> visitor.visit(from, entry));
        }

        @Override
        public boolean forEachFrom(long start, Visitor visitor) {
            return index.forEachFrom(start, Long.MIN_VALUE, (from, to, id, entry) -> visitor.visit(from, entry));
        }

        @Override
        public long freeFrom(long start, long limit) {
            return index.freeFrom(start, limit);
        }

        @Override
        public long freeDownTo(long limit, long end) {
            return index.freeDownTo(limit, end);
        }

        @Override
        public int size() {
            return index.size();
        }
    }
}
