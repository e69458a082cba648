package io.terminus.benchmarks.index;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleBiFunction;

/**
 * Times of several contenders who take turns, so that what the machine does besides hits all of them. A ratio is taken
 * within each round, and the median of the rounds is what counts.
 */
final class Rounds {

    /** Nanoseconds for one operation, by contender, round by round. */
    private final Map<String, List<Double>> nanos = new LinkedHashMap<>();

    void add(String contender, double nanosPerOperation) {
        nanos.computeIfAbsent(contender, missing -> new ArrayList<>()).add(nanosPerOperation);
    }

    double nanos(String contender) {
        return median(of(contender));
    }

    /** How many times the time of {@code second} that of {@code first} is. */
    double ratio(String first, String second) {
        return median(each(first, second, (a, b) -> a / b));
    }

    /** The ratio in every round. */
    double[] each(String first, String second, ToDoubleBiFunction<Double, Double> ratio) {
        List<Double> firsts = of(first);
        List<Double> seconds = of(second);
        double[] all = new double[firsts.size()];
        for (int i = 0; i < all.length; i++) {
            all[i] = ratio.applyAsDouble(firsts.get(i), seconds.get(i));
        }
        return all;
    }

    private List<Double> of(String contender) {
        List<Double> times = nanos.get(contender);
        if (times == null) {
            throw new IllegalArgumentException("no contender " + contender + " among " + nanos.keySet());
        }
        return times;
    }

    static double median(List<Double> values) {
        return median(values.stream().mapToDouble(Double::doubleValue).toArray());
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
