package io.terminus.lockmgr.lock;

import java.util.Comparator;
import java.util.List;
import java.util.function.Function;
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
    public record Page<T>(List<T> items, String next) {

        /**
         * One page of several tables that all were asked for what comes behind the same key.
         *
         * @param pages at least one; each in the order of its keys, with a key as its token
         */
        public static <T> Page<T> merge(List<Page<T>> pages, Function<T, String> key, int limit) {
            String seenTo = pages.stream()
                    .map(Page::next)
                    .filter(next -> !next.isEmpty())
                    .min(Comparator.naturalOrder())
                    .orElse("");
            List<T> seen = pages.stream()
                    .flatMap(page -> page.items().stream())
                    .filter(item -> seenTo.isEmpty() || key.apply(item).compareTo(seenTo) <= 0)
                    .sorted(Comparator.comparing(key))
                    .toList();
            return seen.size() <= limit
                    ? new Page<>(seen, seenTo)
                    : new Page<>(seen.subList(0, limit), key.apply(seen.get(limit - 1)));
        }
    }

    /** How many locks and waiters overlap [start, end). */
    public record Bucket(long start, long end, long held, long waiting) {}

    public static LockQuery all(String volume, int limit) {
        return new LockQuery(volume, 0, 0, null, "", "", limit);
    }
}
