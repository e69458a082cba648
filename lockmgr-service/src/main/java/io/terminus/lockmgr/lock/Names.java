package io.terminus.lockmgr.lock;

import org.jspecify.annotations.Nullable;

/** What names may look like, and how foreign text is quoted. */
final class Names {

    private static final int QUOTED_LENGTH = 64;

    private Names() {}

    /** What is wrong with a name; null if nothing is. */
    static @Nullable String wrong(String what, String name, String alsoAllowed, int maxLength) {
        boolean right = !name.isEmpty() && name.length() <= maxLength;
        for (int i = 0; right && i < name.length(); i++) {
            char c = name.charAt(i);
            right = 'a' <= c && c <= 'z'
                    || 'A' <= c && c <= 'Z'
                    || '0' <= c && c <= '9'
                    || c == '.'
                    || c == '_'
                    || c == '-'
                    || alsoAllowed.indexOf(c) >= 0;
        }
        return right
                ? null
                : what + " " + quoted(name) + " breaks the rule: 1 to " + maxLength + " characters of A-Z a-z 0-9 . _ -"
                        + (alsoAllowed.isEmpty() ? "" : " : /");
    }

    /** Foreign text, short enough for a message. */
    static String quoted(String text) {
        return text.length() <= QUOTED_LENGTH
                ? "'" + text + "'"
                : "'" + text.substring(0, QUOTED_LENGTH) + "...' (" + text.length() + " characters)";
    }
}
