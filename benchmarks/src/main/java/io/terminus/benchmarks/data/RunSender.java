package io.terminus.benchmarks.data;

import io.terminus.agent.net.FileRegion;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/**
 * Sends runs of files through the agent's {@link FileRegion} to a port of this machine: arguments port, megabytes, files. An eighth of
 * it goes first, to warm up, and is not counted. Prints bytes, seconds and CPU seconds. {@code benchmarks/sender/sendfile.c} does the same.
 */
final class RunSender {

    private static final int LEAST_BYTES = 256 << 10;
    private static final int STEP_BYTES = 4096;
    private static final int STEPS = (LEAST_BYTES * 3) / STEP_BYTES + 1;
    private static final double TICKS_PER_SECOND = 100;

    private final SocketChannel socket;
    private final List<FileChannel> files;
    private int file;
    private long at;
    private int random = 1;

    private RunSender(SocketChannel socket, List<FileChannel> files) {
        this.socket = socket;
        this.files = files;
    }

    public static void main(String[] arguments) throws IOException {
        long bytes = Long.parseLong(arguments[1]) * 1_000_000;
        List<FileChannel> files = new ArrayList<>();
        for (int i = 2; i < arguments.length; i++) {
            files.add(FileChannel.open(Path.of(arguments[i]), StandardOpenOption.READ));
        }
        try (SocketChannel socket = SocketChannel.open(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0])))) {
            socket.setOption(StandardSocketOptions.TCP_NODELAY, true);
            RunSender sender = new RunSender(socket, files);
            var unused = sender.send(bytes / 8);
            double cpu = cpuSeconds();
            long start = System.nanoTime();
            long sent = sender.send(bytes);
            System.out.println(sent + " " + (System.nanoTime() - start) / 1e9 + " " + (cpuSeconds() - cpu));
        }
    }

    private long send(long atLeastBytes) throws IOException {
        long sent = 0;
        while (sent < atLeastBytes) {
            FileChannel from = files.get(file);
            long end = Math.min(at + runBytes(), from.size());
            sent += end - at;
            FileRegion run = new FileRegion(from, at, end);
            while (run.remainingBytes() > 0) {
                var unused = run.transferTo(socket);
            }
            at = end;
            if (at == from.size()) {
                at = 0;
                file = (file + 1) % files.size();
            }
        }
        return sent;
    }

    /** 256 KiB to 1 MiB, the same sequence as in the C program. */
    private int runBytes() {
        random = random * 1103515245 + 12345;
        return LEAST_BYTES + (random >>> 16) % STEPS * STEP_BYTES;
    }

    private static double cpuSeconds() throws IOException {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND;
    }
}
