package io.terminus.ranges;

import java.util.Optional;

/**
 * The bytes [start, end) of a volume. Never empty: {@code 0 <= start < end}. The end may be {@link Long#MAX_VALUE},
 * which is how a whole volume of any size is named ({@link #WHOLE}).
 */
public record BlockRange(long start, long end) implements Comparable<BlockRange> {

    /** Every byte a volume may have. */
    public static final BlockRange WHOLE = new BlockRange(0, Long.MAX_VALUE);

    public BlockRange {
        if (start < 0 || start >= end) {
            throw new IllegalArgumentException("range [" + start + ", " + end + ") breaks the rule 0 <= start < end");
        }
    }

    /**
     * The range of {@code lengthBytes} bytes that begins at {@code start}.
     *
     * @throws IllegalArgumentException if the length is not positive or the end would pass 2^63 - 1
     */
    public static BlockRange ofLength(long start, long lengthBytes) {
        if (lengthBytes <= 0 || start > Long.MAX_VALUE - lengthBytes) {
            throw new IllegalArgumentException("length " + lengthBytes + " from offset " + start
                    + " breaks the rule 0 < length <= 2^63 - 1 - offset");
        }
        return new BlockRange(start, start + lengthBytes);
    }

    public long lengthBytes() {
        return end - start;
    }

    /** Do the two share a byte? Ranges that only touch do not. */
    public boolean overlaps(BlockRange other) {
        return start < other.end && other.start < end;
    }

    /** Does one end where the other begins? */
    public boolean touches(BlockRange other) {
        return end == other.start || other.end == start;
    }

    public boolean contains(long offset) {
        return start <= offset && offset < end;
    }

    public boolean contains(BlockRange other) {
        return start <= other.start && other.end <= end;
    }

    /** The bytes both have; empty if they share none. */
    public Optional<BlockRange> intersection(BlockRange other) {
        return overlaps(other)
                ? Optional.of(new BlockRange(Math.max(start, other.start), Math.min(end, other.end)))
                : Optional.empty();
    }

    /** The smallest range that contains both, with whatever lies between them. */
    public BlockRange hull(BlockRange other) {
        return new BlockRange(Math.min(start, other.start), Math.max(end, other.end));
    }

    /** By start, then by end. */
    @Override
    public int compareTo(BlockRange other) {
        int byStart = Long.compare(start, other.start);
        return byStart != 0 ? byStart : Long.compare(end, other.end);
    }

    @Override
    public String toString() {
        return "[" + start + ", " + end + ")";
    }
}
