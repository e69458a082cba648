package io.terminus.benchmarks.locks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordedFrame;
import jdk.jfr.consumer.RecordedStackTrace;
import jdk.jfr.consumer.RecordedThread;
import jdk.jfr.consumer.RecordingFile;

/**
 * Where the CPU time and the memory of a process go: a JFR recording of it, taken with jcmd, and the top of its samples.
 *
 * <p>CPU-time samples (JEP 509) count what runs on a core, in native code too; where the JVM has none of them, the older samples stand in, which
 * see Java code only.
 */
final class Profile {

    private static final String CPU_SAMPLE = "jdk.CPUTimeSample";
    private static final String JAVA_SAMPLE = "jdk.ExecutionSample";
    private static final String ALLOCATION_SAMPLE = "jdk.ObjectAllocationSample";
    private static final int TOP_FRAMES = 20;
    private static final int TOP_ALLOCATIONS = 10;

    /** Whose work a sample is: the first frame from the top whose class is of one of these, in the order of this list. */
    private static final List<String> PAYERS = List.of(
            "io.terminus.proto",
            "io.terminus.lockmgr.lock",
            "io.terminus.lockmgr.store",
            "io.terminus.lockmgr.grpc",
            "io.terminus.lockmgr.app",
            "io.terminus.lockmgr.client",
            "io.terminus.ranges",
            "io.terminus.benchmarks",
            "com.google.protobuf",
            "io.netty",
            "io.grpc",
            "io.perfmark",
            "net.openhft",
            "io.micrometer",
            "org.springframework");

    private final long pid;
    private final Path file;

    private Profile(long pid, Path file) {
        this.pid = pid;
        this.file = file;
    }

    static Profile start(long pid, Path file) throws IOException, InterruptedException {
        Profile profile = new Profile(pid, file);
        profile.jcmd(
                "JFR.start",
                "name=bench",
                "settings=profile",
                CPU_SAMPLE + "#enabled=true",
                CPU_SAMPLE + "#throttle=2000/s",
                JAVA_SAMPLE + "#period=10ms",
                ALLOCATION_SAMPLE + "#throttle=1000/s");
        return profile;
    }

    Path stop() throws IOException, InterruptedException {
        jcmd("JFR.stop", "name=bench", "filename=" + file);
        return file;
    }

    private void jcmd(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "jcmd").toString());
        command.add(String.valueOf(pid));
        command.addAll(List.of(arguments));
        Path said = Files.createTempFile("jcmd", ".log");
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(said.toFile())
                    .start();
            if (!process.waitFor(60, TimeUnit.SECONDS) || process.exitValue() != 0) {
                process.destroyForcibly();
                throw new IOException(String.join(" ", command) + " failed: " + Files.readString(said));
            }
        } finally {
            Files.delete(said);
        }
    }

    /** The recording's top frames, who pays, the threads, and what is allocated; as lines. */
    static List<String> top(Path recording) throws IOException {
        Map<String, Map<String, Double>> frames = new HashMap<>();
        Map<String, Map<String, Double>> payers = new HashMap<>();
        Map<String, Map<String, Double>> threads = new HashMap<>();
        Map<String, Double> classes = new HashMap<>();
        Map<String, Double> sites = new HashMap<>();
        Set<Long> weighed = new HashSet<>();
        try (RecordingFile events = new RecordingFile(recording)) {
            while (events.hasMoreEvents()) {
                RecordedEvent event = events.readEvent();
                String type = event.getEventType().getName();
                switch (type) {
                    case CPU_SAMPLE, JAVA_SAMPLE -> {
                        RecordedStackTrace stack = event.getStackTrace();
                        RecordedThread thread = type.equals(CPU_SAMPLE)
                                ? event.getThread("eventThread")
                                : event.getThread("sampledThread");
                        add(
                                frames,
                                type,
                                stack == null
                                        ? "(no stack: native or VM code)"
                                        : name(stack.getFrames().getFirst()));
                        add(payers, type, stack == null ? "(no stack: native or VM code)" : payer(stack));
                        add(threads, type, thread == null ? "?" : group(thread));
                    }
                    case ALLOCATION_SAMPLE -> {
                        RecordedThread allocating = event.getThread();
                        if (allocating != null && weighed.add(allocating.getId())) {
                            // A thread's first sample weighs all that it has allocated since it began.
                            continue;
                        }
                        double weight = event.getLong("weight");
                        RecordedStackTrace stack = event.getStackTrace();
                        classes.merge(event.getClass("objectClass").getName(), weight, Double::sum);
                        sites.merge(stack == null ? "?" : site(stack), weight, Double::sum);
                    }
                    default -> {
                        // Nothing that is shown.
                    }
                }
            }
        }
        String samples = frames.containsKey(CPU_SAMPLE) ? CPU_SAMPLE : JAVA_SAMPLE;
        List<String> lines = new ArrayList<>();
        section(lines, "CPU, top frames (" + samples + ")", frames.getOrDefault(samples, Map.of()), TOP_FRAMES);
        section(
                lines,
                "CPU, by whose code it is (JDK frames count for their caller)",
                payers.getOrDefault(samples, Map.of()),
                TOP_FRAMES);
        section(lines, "CPU, by thread", threads.getOrDefault(samples, Map.of()), TOP_ALLOCATIONS);
        section(lines, "allocated bytes, by class", classes, TOP_ALLOCATIONS);
        section(lines, "allocated bytes, by place (first frame outside the JDK)", sites, TOP_ALLOCATIONS);
        return lines;
    }

    private static void add(Map<String, Map<String, Double>> counts, String type, String key) {
        counts.computeIfAbsent(type, missing -> new HashMap<>()).merge(key, 1.0, Double::sum);
    }

    private static void section(List<String> lines, String heading, Map<String, Double> weights, int top) {
        double all = weights.values().stream().mapToDouble(Double::doubleValue).sum();
        lines.add(heading + String.format(Locale.ROOT, ", of %,.0f", all));
        weights.entrySet().stream()
                .sorted(Map.Entry.<String, Double>comparingByValue().reversed())
                .limit(top)
                .forEach(entry -> lines.add(
                        String.format(Locale.ROOT, "  %5.1f %%  %s", entry.getValue() / all * 100, entry.getKey())));
    }

    private static String name(RecordedFrame frame) {
        return frame.getMethod().getType().getName() + "." + frame.getMethod().getName();
    }

    private static String payer(RecordedStackTrace stack) {
        for (RecordedFrame frame : stack.getFrames()) {
            String type = frame.getMethod().getType().getName();
            for (String payer : PAYERS) {
                if (type.startsWith(payer + ".")) {
                    return payer;
                }
            }
        }
        return "JDK alone: " + name(stack.getFrames().getLast());
    }

    private static String site(RecordedStackTrace stack) {
        for (RecordedFrame frame : stack.getFrames()) {
            String type = frame.getMethod().getType().getName();
            if (!type.startsWith("java.") && !type.startsWith("jdk.") && !type.startsWith("sun.")) {
                return name(frame) + ":" + frame.getLineNumber();
            }
        }
        return name(stack.getFrames().getFirst());
    }

    private static String group(RecordedThread thread) {
        String name = thread.getJavaName() == null ? thread.getOSName() : thread.getJavaName();
        return name == null ? "?" : name.replaceAll("\\d+", "N");
    }
}
