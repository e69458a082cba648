package io.terminus.agent.journal;

/**
 * What opening a journal found. Positions that records claim as committed or synced count wherever a valid record claims them, also
 * beyond a bad one: they tell whether the bad one was lost before anybody relied on it, or damaged after.
 *
 * @param end where the unbroken chain of valid records ends; what follows is no part of the journal
 * @param lineage the terms up to {@code end}
 * @param committed the highest committed position a valid record claims
 * @param synced the highest synced position a valid record claims
 * @param knownSafe the highest of the two and of what the caller knew: below it nothing may be missing
 * @param strayEnd the end of the last valid record beyond {@code end}; {@code end} itself if there is none
 * @param verdict what the end means
 */
public record Recovery(
        long end, Lineage lineage, long committed, long synced, long knownSafe, long strayEnd, Verdict verdict) {

    public sealed interface Verdict {}

    /** Nothing was begun where the chain ends, and nothing valid follows. */
    public record Clean() implements Verdict {}

    /**
     * A record at {@code at} was begun, or valid ones follow it, but nobody was promised anything from there on as far as is known
     * here. The local tail ends there, whatever follows; whether it is lost is decided with the other replicas.
     */
    public record TornTail(long at) implements Verdict {}

    /**
     * The chain ends at {@code at}, below {@code knownSafe}: a member must supply the bytes, or the volume is not
     * served.
     */
    public record Corrupt(long at, long knownSafe) implements Verdict {}
}
