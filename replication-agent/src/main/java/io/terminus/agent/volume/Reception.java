package io.terminus.agent.volume;

/** What becomes of a writer's greeting. */
public sealed interface Reception {

    /** The replica follows from its journal's end. */
    record Follows(Inbound inbound) implements Reception {}

    /**
     * The replica cannot follow, or not only: it needs copies.
     *
     * @param why in words
     * @param common where the history it shares with the writer ends; it has applied that, unless it diverged
     * @param copy the copy that was under way here, empty if the image is whole
     * @param since the image was whole at that position; -1: never, or not in the writer's history
     * @param follows the journal here may go on at {@code common}
     */
    record Needs(String why, long common, String copy, long since, boolean follows) implements Reception {}
}
