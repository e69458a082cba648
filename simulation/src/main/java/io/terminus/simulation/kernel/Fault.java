package io.terminus.simulation.kernel;

/**
 * Something that goes wrong at a time of the run, for a while.
 *
 * @param kind in the words of the scenario
 * @param at the machine, or the machine a direction begins at
 * @param other the machine the direction ends at, or whatever else the kind needs; else empty
 */
public record Fault(long atNanos, String kind, String at, String other, long lastsNanos) {

    @Override
    public String toString() {
        return "%.3f s: %s %s%s for %.3f s"
                .formatted(atNanos / 1e9, kind, at, other.isEmpty() ? "" : " " + other, lastsNanos / 1e9);
    }
}
