package io.terminus.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordedFrame;
import jdk.jfr.consumer.RecordedStackTrace;
import jdk.jfr.consumer.RecordingFile;
import org.jspecify.annotations.Nullable;

/**
 * Where one process spent its time.
 *
 * @param seconds recorded
 * @param cpuSeconds of all its Java threads and its garbage collector
 */
record ProfileReport(String process, double seconds, double cpuSeconds, List<Row> rows) {

    /**
     * One area; a value is null where it cannot be told.
     *
     * @param count of what was timed
     * @param wall what that took together, as a share of the time recorded
     * @param cpu share of the process's CPU time
     */
    record Row(
            String area,
            @Nullable Long count,
            @Nullable Double p50Micros,
            @Nullable Double p99Micros,
            @Nullable Double wall,
            double cpu) {}

    /** What a stage took, each time: as many values as there were events, which the recording bounds. */
    private static final class Times {
        private long[] nanos = new long[256];
        private int count;

        void add(long took) {
            if (count == nanos.length) {
                nanos = Arrays.copyOf(nanos, 2 * count);
            }
            nanos[count++] = took;
        }

        long sum() {
            return Arrays.stream(nanos, 0, count).sum();
        }

        /** Nearest rank; there is at least one. */
        double micros(double share) {
            long[] sorted = Arrays.copyOf(nanos, count);
            Arrays.sort(sorted);
            return sorted[Math.max(0, (int) Math.ceil(share * count) - 1)] / 1e3;
        }
    }

    static ProfileReport read(String process, Path recording, long recordedNanos) {
        Map<ProfileArea, Times> times = new EnumMap<>(ProfileArea.class);
        Map<ProfileArea, Long> cpuNanos = new EnumMap<>(ProfileArea.class);
        try (RecordingFile events = new RecordingFile(recording)) {
            while (events.hasMoreEvents()) {
                RecordedEvent event = events.readEvent();
                String type = event.getEventType().getName();
                if (type.equals("jdk.CPUTimeSample")) {
                    Duration period = event.getDuration("samplingPeriod");
                    cpuNanos.merge(area(event.getStackTrace()), period.toNanos(), Long::sum);
                    continue;
                }
                ProfileArea area = ProfileArea.timedBy(type);
                long took = area == null ? 0 : took(event, type);
                if (area != null && (area != ProfileArea.ACK || took > 0)) {
                    times.computeIfAbsent(area, a -> new Times()).add(took);
                    if (area == ProfileArea.GC) {
                        cpuNanos.merge(area, took, Long::sum); // its one thread is not sampled
                    }
                }
            }
        } catch (IOException e) {
            throw new Failure("the recording of " + process + " cannot be read: " + SetDirectory.reason(e), e);
        }
        return report(process, recordedNanos, times, cpuNanos);
    }

    private static long took(RecordedEvent event, String type) {
        return switch (type) {
            case "io.terminus.Ack" -> event.getDuration("waitedNanos").toNanos(); // since what it acknowledges was sent
            case "terminus.lock.Wait" -> event.getDuration("waitedNanos").toNanos();
            case "terminus.lock.Recall" -> event.getDuration("tookNanos").toNanos();
            case "jdk.GarbageCollection" -> event.getDuration("sumOfPauses").toNanos();
            default -> event.getDuration().toNanos();
        };
    }

    private static ProfileArea area(@Nullable RecordedStackTrace stack) {
        if (stack != null) {
            for (RecordedFrame frame : stack.getFrames()) {
                ProfileArea area = ProfileArea.of(
                        frame.getMethod().getType().getName(), frame.getMethod().getName());
                if (area != null) {
                    return area;
                }
            }
        }
        return ProfileArea.OTHER;
    }

    private static ProfileReport report(
            String process, long recordedNanos, Map<ProfileArea, Times> times, Map<ProfileArea, Long> cpuNanos) {
        long allCpu = cpuNanos.values().stream().mapToLong(Long::longValue).sum();
        List<Row> rows = new ArrayList<>();
        for (ProfileArea area : ProfileArea.values()) {
            Times timed = times.get(area);
            long cpu = cpuNanos.getOrDefault(area, 0L);
            if (timed == null && cpu == 0) {
                continue;
            }
            double share = allCpu == 0 ? 0 : (double) cpu / allCpu;
            // What has no length is only counted.
            boolean lasts = timed != null && timed.sum() > 0;
            rows.add(
                    timed == null
                            ? new Row(area.title(), null, null, null, null, share)
                            : new Row(
                                    area.title(),
                                    (long) timed.count,
                                    lasts ? timed.micros(0.5) : null,
                                    lasts ? timed.micros(0.99) : null,
                                    lasts ? (double) timed.sum() / recordedNanos : null,
                                    share));
        }
        return new ProfileReport(process, recordedNanos / 1e9, allCpu / 1e9, rows);
    }

    static List<String> table(List<ProfileReport> reports) {
        Table table = new Table("PROCESS", "WHERE", "COUNT", "P50", "P99", "WALL", "CPU");
        for (ProfileReport report : reports) {
            for (Row row : report.rows) {
                table.row(
                        report.process,
                        row.area,
                        row.count == null ? "-" : Long.toString(row.count),
                        time(row.p50Micros),
                        time(row.p99Micros),
                        row.wall == null ? "-" : percent(row.wall),
                        percent(row.cpu));
            }
            table.row(
                    report.process,
                    "all",
                    "-",
                    "-",
                    "-",
                    String.format(Locale.ROOT, "%.1f s", report.seconds),
                    String.format(Locale.ROOT, "%.2f s", report.cpuSeconds));
        }
        return table.lines();
    }

    private static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f %%", share * 100);
    }

    private static String time(@Nullable Double micros) {
        if (micros == null) {
            return "-";
        }
        return micros < 1_000
                ? String.format(Locale.ROOT, "%.0f us", micros)
                : String.format(Locale.ROOT, "%.1f ms", micros / 1_000);
    }
}
