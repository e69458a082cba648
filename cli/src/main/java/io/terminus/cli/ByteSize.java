package io.terminus.cli;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A number of bytes as people write it: {@code 1GiB}, {@code 512MiB}, {@code 4k}, {@code 4096}. Every unit is a power of
 * 1024, with {@code iB} or alone, in either case, because that is how block devices are sized. {@code 10MB} is refused: it is ten
 * million bytes to some, and a multiple of 1024 to others.
 */
record ByteSize(long bytes) {

    private static final Pattern SHAPE = Pattern.compile("(\\d{1,19})\\s*(?:([kKmMgGtT])(?:[iI][bB])?|[bB])?");
    private static final Pattern TWO_MEANINGS = Pattern.compile("(\\d{1,19})\\s*([kKmMgGtT])[bB]");
    private static final String UNITS = "kmgt";

    ByteSize {
        if (bytes < 0) {
            throw new IllegalArgumentException("size " + bytes + " is negative");
        }
    }

    static ByteSize parse(String text) {
        Matcher matcher = SHAPE.matcher(text.trim());
        if (!matcher.matches()) {
            Matcher ambiguous = TWO_MEANINGS.matcher(text.trim());
            if (ambiguous.matches()) {
                String number = ambiguous.group(1);
                String letter = ambiguous.group(2).toUpperCase(Locale.ROOT);
                throw new IllegalArgumentException("'" + text + "' is not a size: " + letter
                        + "B has two meanings; write " + number + letter + "iB, which is " + number + " times 1024"
                        + (letter.equals("K") ? "" : "^" + (1 + UNITS.indexOf(letter.toLowerCase(Locale.ROOT))))
                        + ", or the number of bytes");
            }
            throw new IllegalArgumentException(
                    "'" + text + "' is not a size: write a whole number and B, KiB, MiB, GiB or TiB, as in 1GiB");
        }
        String unit = matcher.group(2);
        int shift = unit == null ? 0 : 10 * (1 + UNITS.indexOf(unit.toLowerCase(Locale.ROOT)));
        try {
            return new ByteSize(Math.multiplyExact(Long.parseLong(matcher.group(1)), 1L << shift));
        } catch (ArithmeticException | NumberFormatException tooLarge) {
            throw new IllegalArgumentException("size '" + text + "' is more than 2^63 - 1 bytes", tooLarge);
        }
    }

    /** Exact where a unit divides it, else rounded to one decimal: {@code 1 GiB}, {@code 1.5 MiB}, {@code 512 B}. */
    @Override
    public String toString() {
        if (bytes < 1024) {
            return bytes + " B";
        }
        int unit = Math.min((63 - Long.numberOfLeadingZeros(bytes)) / 10, UNITS.length());
        String name = UNITS.substring(unit - 1, unit).toUpperCase(Locale.ROOT) + "iB";
        long one = 1L << (10 * unit);
        return bytes % one == 0
                ? bytes / one + " " + name
                : String.format(Locale.ROOT, "%.1f %s", (double) bytes / one, name);
    }
}
