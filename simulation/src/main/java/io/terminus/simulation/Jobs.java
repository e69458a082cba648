package io.terminus.simulation;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Several processes that share a batch of seeds: one run has the whole process to itself, so this is how more than one core is
 * used. Each takes every so manieth seed.
 */
final class Jobs {

    /** What a process says last. */
    static final String TALLY = "%d runs in %.1f s (%.0f a minute): %d broken%n";

    private static final Pattern TALLIED = Pattern.compile("(\\d+) runs in .*: (\\d+) broken");

    private static final String SEEN = "seen: ";

    private Jobs() {}

    /** What happened how often, in words. */
    static String seen(SortedMap<String, Long> counts) {
        return counts.entrySet().stream()
                .map(e -> e.getKey() + " " + e.getValue())
                .collect(Collectors.joining(", ", SEEN, ""));
    }

    private static void addSeen(String line, SortedMap<String, Long> counts) {
        for (String one : line.substring(SEEN.length()).split(", ")) {
            int space = one.lastIndexOf(' ');
            if (space > 0) {
                counts.merge(one.substring(0, space), Long.valueOf(one.substring(space + 1)), Long::sum);
            }
        }
    }

    /** Runs them to their end, and shows what they say. @return what one process would end with */
    static int run(List<String> options, long from, long to, int count) throws IOException, InterruptedException {
        long began = System.nanoTime();
        List<Process> processes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            List<String> command = new ArrayList<>();
            command.add(ProcessHandle.current().info().command().orElse("java"));
            command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
            command.addAll(List.of("-cp", System.getProperty("java.class.path"), Sim.class.getName()));
            command.addAll(options);
            command.addAll(List.of("--seeds", (from + i) + "-" + to, "--step", String.valueOf(count)));
            processes.add(new ProcessBuilder(command).redirectErrorStream(true).start());
        }
        long[] runs = {0};
        long[] broken = {0};
        SortedMap<String, Long> counts = new TreeMap<>();
        List<Thread> readers = new ArrayList<>();
        for (Process p : processes) {
            readers.add(Thread.ofPlatform()
                    .start(() -> p.inputReader().lines().forEach(line -> {
                        Matcher tally = TALLIED.matcher(line);
                        synchronized (runs) {
                            if (tally.matches()) {
                                runs[0] += Long.parseLong(tally.group(1));
                                broken[0] += Long.parseLong(tally.group(2));
                            } else if (line.startsWith(SEEN)) {
                                addSeen(line, counts);
                            } else {
                                System.out.println(line);
                            }
                        }
                    })));
        }
        boolean failed = false;
        for (int i = 0; i < count; i++) {
            readers.get(i).join();
            failed |= processes.get(i).waitFor() != 0;
        }
        System.out.println(seen(counts));
        double seconds = (System.nanoTime() - began) / 1e9;
        System.out.printf(TALLY, runs[0], seconds, runs[0] / seconds * 60, broken[0]);
        return failed ? 1 : 0;
    }
}
