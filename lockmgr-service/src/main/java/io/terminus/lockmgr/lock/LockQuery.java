package io.terminus.lockmgr.lock;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Which locks or waiters of a volume are to be listed, in the order of starts.
 *
 * @param start with {@code end}: only what overlaps [start, end); [0, 0) for all
 * @param mode null: any
 * @param sessionId empty: any
 * @param pageToken empty for the first page, then {@link Page#next} of the page before
 * @param limit at most so many on a page
 */
public record LockQuery(
        String volume, long start, long end, @Nullable Mode mode, String sessionId, String pageToken, int limit) {

    /**
     * What was found. A page may hold fewer than the limit, even nothing, with more to come, because a look at a page is
     * bounded too.
     *
     * @param next the token of the next page; empty after the last one
     */
    public record Page<T>(List<T> items, String next) {}

    /** How many locks and waiters overlap [start, end). */
    public record Bucket(long start, long end, long held, long waiting) {}

    public static LockQuery all(String volume, int limit) {
        return new LockQuery(volume, 0, 0, null, "", "", limit);
    }
}
