package io.terminus.benchmarks.data;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Ports;
import io.terminus.benchmarks.Report;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Journal segments sent in runs over loopback, by {@link RunSender}, which hands them to the kernel as the agent does, and by a loop of C around
 * sendfile. Both are processes of their own, send the same runs of the same files to the same receiver, which discards them in the kernel,
 * and count their own CPU time.
 */
final class Sender {

    private static final Path SOURCE = Path.of("benchmarks", "sender", "sendfile.c");

    private static final int POLL_MILLIS = 5;

    private record Sent(double gigabytesPerSecond, double cpuSecondsPerGigabyte) {}

    private Sender() {}

    static void measure(Report report, Workshop workshop, Path home, List<Path> segments, boolean quick)
            throws IOException, InterruptedException {
        Optional<Path> compiler = Workshop.find("cc");
        Goal goal = Goal.atLeast(0.9);
        if (compiler.isEmpty()) {
            report.notMeasured(
                    "sender.to-c",
                    "x",
                    goal,
                    "there is no C compiler (cc) to make " + SOURCE
                            + ", the loop to compare with and the receiver of both");
            return;
        }
        if (segments.isEmpty()) {
            throw new IOException("the writer's journal has no segments to send");
        }
        Path program = workshop.directory().resolve("sendfile");
        List<String> compile = List.of(
                compiler.get().toString(),
                "-O2",
                "-Wall",
                "-o",
                program.toString(),
                home.resolve(SOURCE).toString());
        workshop.note(compile);
        var unused = workshop.run(compile);
        int port = Ports.free();
        Daemon sink = workshop.start("sink", List.of(program.toString(), "sink", String.valueOf(port)));
        awaitListening(sink, port);
        List<String> java = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                RunSender.class.getName()));
        List<String> c = new ArrayList<>(List.of(program.toString(), "send"));
        int rounds = quick ? 3 : 7;
        long megabytes = quick ? 2_000 : 8_000;
        List<Sent> ours = new ArrayList<>();
        List<Sent> theirs = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            if (round % 2 == 0) {
                ours.add(send(workshop, java, sink, port, megabytes, segments));
                theirs.add(send(workshop, c, sink, port, megabytes, segments));
            } else {
                theirs.add(send(workshop, c, sink, port, megabytes, segments));
                ours.add(send(workshop, java, sink, port, megabytes, segments));
            }
            report.progress(
                    "sender %d: %.2f GB/s, %.3f CPU-s/GB; C %.2f GB/s, %.3f CPU-s/GB",
                    round,
                    ours.getLast().gigabytesPerSecond(),
                    ours.getLast().cpuSecondsPerGigabyte(),
                    theirs.getLast().gigabytesPerSecond(),
                    theirs.getLast().cpuSecondsPerGigabyte());
        }
        sink.kill();
        report.figure("sender.terminus", median(ours, true), "GB/s");
        report.figure("sender.terminus.cpu", median(ours, false), "CPU-s/GB");
        report.figure("sender.c", median(theirs, true), "GB/s");
        report.figure("sender.c.cpu", median(theirs, false), "CPU-s/GB");
        report.figure("sender.to-c", ratio(ours, theirs, true), "x the speed of C", goal);
        report.figure("sender.cpu-to-c", ratio(ours, theirs, false), "x the CPU time of C", Goal.atMost(1 / 0.9));
        report.note(String.format(
                Locale.ROOT,
                "Sender: runs of 256 KiB to 1 MiB of %d segments, %d MB a round, %d rounds in turns; the receiver is the same C program.",
                segments.size(),
                megabytes,
                rounds));
    }

    private static void awaitListening(Daemon sink, int port) throws IOException, InterruptedException {
        while (true) {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                return;
            } catch (ConnectException e) {
                sink.requireAlive();
                Thread.sleep(POLL_MILLIS);
            }
        }
    }

    private static Sent send(
            Workshop workshop, List<String> program, Daemon sink, int port, long megabytes, List<Path> segments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(program);
        command.add(String.valueOf(port));
        command.add(String.valueOf(megabytes));
        segments.forEach(segment -> command.add(segment.toString()));
        // "bytes seconds cpu-seconds"
        String[] said = workshop.run(command).strip().split(" ");
        sink.requireAlive();
        double bytes = Double.parseDouble(said[0]);
        return new Sent(bytes / 1e9 / Double.parseDouble(said[1]), Double.parseDouble(said[2]) / (bytes / 1e9));
    }

    private static double median(List<Sent> all, boolean speed) {
        return Rounds.median(all.stream().mapToDouble(sent -> of(sent, speed)).toArray());
    }

    private static double ratio(List<Sent> ones, List<Sent> others, boolean speed) {
        double[] ratios = new double[ones.size()];
        for (int i = 0; i < ratios.length; i++) {
            ratios[i] = of(ones.get(i), speed) / of(others.get(i), speed);
        }
        return Rounds.median(ratios);
    }

    private static double of(Sent sent, boolean speed) {
        return speed ? sent.gigabytesPerSecond() : sent.cpuSecondsPerGigabyte();
    }
}
