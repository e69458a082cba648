package io.terminus.lockmgr.lock;

import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;

/**
 * Which volumes a table answers for: those of its group, of several over which volumes are spread.
 *
 * @param group from 0 to below {@code groups}
 * @param groups 1 to {@value #MOST}
 * @param groupOf a volume; what it says of one never changes
 */
public record Share(int group, int groups, ToIntFunction<String> groupOf) {

    /** Tokens have four bits for the group. */
    public static final int MOST = 16;

    /** There is one group, and it has all volumes. */
    public static final Share ALL = new Share(0, 1, volume -> 0);

    public Share {
        if (groups < 1 || groups > MOST || group < 0 || group >= groups) {
            throw new IllegalArgumentException(
                    "group " + group + " of " + groups + " breaks the rule 0 <= group < groups <= " + MOST);
        }
    }

    /** Why this table does not answer for a volume; null: it does. */
    public @Nullable String refusal(String volume) {
        int of = groupOf.applyAsInt(volume);
        return of == group
                ? null
                : "volume " + Names.quoted(volume) + " belongs to group " + of + " of " + groups
                        + ", and this was asked of group " + group;
    }
}
