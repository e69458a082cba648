package io.terminus.agent.volume;

import io.terminus.agent.journal.Lineage;

/**
 * How a replica that cannot follow is to be brought back, as its writer decided.
 *
 * @param copy the name of this copy; one that is resumed keeps its name
 * @param whole nothing of the image is known to be right
 * @param goesOn the journal there stays, and goes on at {@code at}; else it starts over there, empty
 * @param at where the stream begins
 * @param lineage the writer's, for a journal that starts over
 */
public record RebuildPlan(String copy, boolean whole, boolean goesOn, long at, Lineage lineage) {}
