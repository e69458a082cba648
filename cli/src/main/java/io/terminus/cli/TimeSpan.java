package io.terminus.cli;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads a duration as people write it: {@code 60s}, {@code 500ms}, {@code 5m}; a bare number is seconds. */
final class TimeSpan {

    private static final Pattern SHAPE = Pattern.compile("(\\d{1,9})\\s*(ms|s|m|h)?");

    private TimeSpan() {}

    static Duration parse(String text) {
        Matcher matcher = SHAPE.matcher(text.trim());
        if (!matcher.matches()) {
            throw new IllegalArgumentException(
                    "'" + text + "' is not a time: write a whole number and ms, s, m or h, as in 60s");
        }
        long amount = Long.parseLong(matcher.group(1));
        String unit = matcher.group(2);
        return switch (unit == null ? "s" : unit) {
            case "ms" -> Duration.ofMillis(amount);
            case "m" -> Duration.ofMinutes(amount);
            case "h" -> Duration.ofHours(amount);
            default -> Duration.ofSeconds(amount);
        };
    }
}
