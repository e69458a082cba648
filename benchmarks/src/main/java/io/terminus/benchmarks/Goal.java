package io.terminus.benchmarks;

import java.util.Locale;

/** What a figure should be: at least or at most so much. */
public record Goal(Sense sense, double bound) {

    public enum Sense {
        AT_LEAST,
        AT_MOST
    }

    public Goal {
        if (!(bound > 0)) {
            throw new IllegalArgumentException(
                    "goal of " + bound + " is not above 0: nothing could be compared with it");
        }
    }

    public static Goal atLeast(double bound) {
        return new Goal(Sense.AT_LEAST, bound);
    }

    public static Goal atMost(double bound) {
        return new Goal(Sense.AT_MOST, bound);
    }

    public boolean metBy(double value) {
        return switch (sense) {
            case AT_LEAST -> value >= bound;
            case AT_MOST -> value <= bound;
        };
    }

    /** 1 at the goal, 2 when twice as good; at most 3, so that one figure far above its goal leaves the others visible. */
    double score(double value) {
        double score = switch (sense) {
            case AT_LEAST -> value / bound;
            case AT_MOST -> bound / value;
        };
        return Math.clamp(Double.isNaN(score) ? 0 : score, 0, 3);
    }

    /** {@code "met"}, or by how much of the goal it is missed. */
    String verdict(double value) {
        if (metBy(value)) {
            return "met";
        }
        return String.format(Locale.ROOT, "MISSED by %.0f %%", Math.abs(value - bound) / bound * 100);
    }

    @Override
    public String toString() {
        return (sense == Sense.AT_LEAST ? ">= " : "<= ") + Figure.number(bound);
    }
}
