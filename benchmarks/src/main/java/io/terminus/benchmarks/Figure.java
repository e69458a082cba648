package io.terminus.benchmarks;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * One measured number.
 *
 * @param name stays the same from run to run, so that runs can be compared: words with dots, lower case
 * @param value NaN: could not be measured
 * @param goal null: shown for what it tells, nothing is expected of it
 */
public record Figure(
        String name, double value, String unit, @Nullable Goal goal) {

    /** False: there is only a goal, and no number to hold against it. */
    boolean measured() {
        return !Double.isNaN(value);
    }

    String shown() {
        return measured() ? number(value) : "not measured";
    }

    /** As many digits as can be read: three significant ones, or all of a large number, in groups. */
    static String number(double value) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            return String.valueOf(value);
        }
        double size = Math.abs(value);
        String format = size >= 100 || size == 0 ? "%,.0f" : size >= 10 ? "%.1f" : size >= 1 ? "%.2f" : "%.3f";
        return String.format(Locale.ROOT, format, value);
    }
}
