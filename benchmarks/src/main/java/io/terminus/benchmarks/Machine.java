package io.terminus.benchmarks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * What a figure was taken on. Other load on the machine moves figures by factors, so it is told with them: the load average, and
 * how much CPU everybody but the benchmark used, from {@code /proc}.
 */
public final class Machine {

    private static final Path PROC = Path.of("/proc");

    /** Clock ticks of /proc per second: a constant of the kernel's interface, 100 on every Linux. */
    static final double TICKS_PER_SECOND = 100;

    private Machine() {}

    /** Load average over the last minute; NaN where the system has none. */
    static double load() {
        try {
            return Double.parseDouble(Files.readString(PROC.resolve("loadavg")).split(" ")[0]);
        } catch (IOException e) {
            return Double.NaN;
        }
    }

    /** Seconds all CPUs together were busy, or taken by other guests of the host, since the start of the machine. */
    public static double busySeconds() {
        try {
            // "cpu user nice system idle iowait irq softirq steal ..."
            String[] fields =
                    Files.readAllLines(PROC.resolve("stat")).getFirst().trim().split("\\s+");
            double ticks = 0;
            for (int field : List.of(1, 2, 3, 6, 7, 8)) {
                ticks += Double.parseDouble(fields[field]);
            }
            return ticks / TICKS_PER_SECOND;
        } catch (IOException e) {
            return Double.NaN;
        }
    }

    static String describe() {
        return String.format(
                Locale.ROOT,
                "%d cores, %s, %s %s, JDK %s",
                Runtime.getRuntime().availableProcessors(),
                processor(),
                System.getProperty("os.name"),
                System.getProperty("os.version"),
                Runtime.version());
    }

    private static String processor() {
        try {
            for (String line : Files.readAllLines(PROC.resolve("cpuinfo"))) {
                if (line.startsWith("model name")) {
                    return line.substring(line.indexOf(':') + 1).trim();
                }
            }
        } catch (IOException e) {
            // Not a Linux: the architecture has to do.
        }
        return System.getProperty("os.arch");
    }
}
