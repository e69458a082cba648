package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Range;

/** The bytes [startInclusive, endExclusive) of a volume; never empty, never negative. */
public record LockRange(long startInclusive, long endExclusive) {

    /** All a volume can ever have: what value blocks and single-writer volumes are guarded by. */
    public static final LockRange WHOLE_VOLUME = new LockRange(0, Long.MAX_VALUE);

    public LockRange {
        if (startInclusive < 0 || startInclusive >= endExclusive) {
            throw new IllegalArgumentException(
                    "range [" + startInclusive + ", " + endExclusive + ") breaks the rule 0 <= start < end");
        }
    }

    public static LockRange of(long startInclusive, long endExclusive) {
        return new LockRange(startInclusive, endExclusive);
    }

    public boolean contains(LockRange other) {
        return contains(other.startInclusive, other.endExclusive);
    }

    public boolean contains(long start, long end) {
        return startInclusive <= start && end <= endExclusive;
    }

    /** Do the two share a byte? */
    public boolean overlaps(LockRange other) {
        return startInclusive < other.endExclusive && other.startInclusive < endExclusive;
    }

    Range toProto() {
        return Range.newBuilder().setStart(startInclusive).setEnd(endExclusive).build();
    }

    static LockRange of(Range range) {
        return new LockRange(range.getStart(), range.getEnd());
    }

    @Override
    public String toString() {
        return "[" + startInclusive + ", " + endExclusive + ")";
    }
}
