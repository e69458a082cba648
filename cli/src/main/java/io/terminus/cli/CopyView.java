package io.terminus.cli;

import java.util.Locale;

/** A {@link StatusReport.Copy} for people. */
final class CopyView {

    private static final int BAR_CELLS = 24;
    private static final long MINUTE = 60;
    private static final long HOUR = 3600;

    private CopyView() {}

    /** {@code copying, 34 % of 256 MiB, 12.3 MiB/s, 14 s left}. */
    static String line(StatusReport.Copy copy) {
        StringBuilder line = new StringBuilder(copy.phase());
        if (copy.totalBytes() > 0) {
            line.append(", ")
                    .append(percent(copy))
                    .append(" % of ")
                    .append(new ByteSize(copy.totalBytes()))
                    .append(", ")
                    .append(new ByteSize(copy.bytesPerSecond()))
                    .append("/s");
        }
        if (copy.remainingSeconds() != null) {
            line.append(", ").append(time(copy.remainingSeconds())).append(" left");
        }
        return line.toString();
    }

    /** {@code [########----------------]}, and behind it the line. */
    static String bar(StatusReport.Copy copy) {
        int full = (int) (BAR_CELLS * percent(copy) / 100);
        return "[" + "#".repeat(full) + "-".repeat(BAR_CELLS - full) + "] " + line(copy);
    }

    /** Full only when nothing is left. */
    private static long percent(StatusReport.Copy copy) {
        return copy.totalBytes() == 0 ? 0 : (long) (100.0 * (copy.totalBytes() - copy.leftBytes()) / copy.totalBytes());
    }

    private static String time(long seconds) {
        if (seconds < 2 * MINUTE) {
            return seconds + " s";
        }
        return seconds < 2 * HOUR
                ? seconds / MINUTE + " min"
                : String.format(Locale.ROOT, "%d h %d min", seconds / HOUR, seconds % HOUR / MINUTE);
    }
}
