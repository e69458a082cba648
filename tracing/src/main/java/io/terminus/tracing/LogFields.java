package io.terminus.tracing;

import ch.qos.logback.classic.spi.ILoggingEvent;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.json.JsonWriter.Members;
import org.springframework.boot.logging.structured.StructuredLoggingJsonMembersCustomizer;

/**
 * What a line of the log is about, as fields of their own where logs are JSON: the same names as in traces, {@code terminus.volume}, {@code
 * .position}, {@code .token} and so on. They are found by the words before the placeholders of a message, {@code "volume {}: position {}"},
 * and a range by its brackets, {@code "[{}, {})"}; the first of a name counts. So no message has to say anything twice.
 */
public final class LogFields implements StructuredLoggingJsonMembersCustomizer<ILoggingEvent> {

    private static final String PREFIX = "terminus.";

    /** A range, or a word that is one of ours with a placeholder behind it, or any other placeholder. */
    private static final Pattern PLACEHOLDER = Pattern.compile("(?<range>\\[\\{}, \\{}\\))"
            + "|\\b(?<name>volume|position|offset|term|token|epoch|session|segment|agent|member) (?<value>\\{})|\\{}");

    @Override
    public void customize(Members<ILoggingEvent> members) {
        members.addMapEntries(event -> of(event.getMessage(), event.getArgumentArray()));
    }

    /** @param pattern the message before its placeholders are filled */
    static Map<String, String> of(@Nullable String pattern, @Nullable Object @Nullable [] arguments) {
        Map<String, String> fields = new LinkedHashMap<>();
        if (pattern == null || arguments == null) {
            return fields;
        }
        Matcher next = PLACEHOLDER.matcher(pattern);
        for (int at = 0; at < arguments.length && next.find(); at++) {
            if (next.group("range") != null) {
                if (at + 1 < arguments.length) {
                    fields.putIfAbsent(PREFIX + "range", "[" + arguments[at] + ", " + arguments[at + 1] + ")");
                }
                at++;
            } else if (next.group("name") != null) {
                fields.putIfAbsent(PREFIX + next.group("name"), String.valueOf(arguments[at]));
            }
        }
        return fields;
    }
}
