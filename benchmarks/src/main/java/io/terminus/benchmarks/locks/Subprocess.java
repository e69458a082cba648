package io.terminus.benchmarks.locks;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.terminus.benchmarks.Ports;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A server that runs beside the benchmark as a process of its own: the lock manager with the flags that {@code terminus up} gives it, or
 * the echo that it is compared with, with the same flags. Its output goes to a file.
 */
final class Subprocess implements AutoCloseable {

    /** As in the command line's installation: what users run is what is measured. */
    private static final List<String> FLAGS = List.of(
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED");

    private static final String JAVA =
            Path.of(System.getProperty("java.home"), "bin", "java").toString();
    private static final int START_SECONDS = 120;
    private static final int STOP_SECONDS = 20;
    private static final int MAX_MESSAGE_BYTES = 256 << 20;

    private final String name;
    private final List<String> command;
    private final Path log;
    private final int port;
    private volatile Process process;

    private Subprocess(String name, List<String> command, Path log, int port) throws IOException {
        this.name = name;
        this.command = command;
        this.log = log;
        this.port = port;
        this.process = launch();
        // Ctrl-C must not leave a server behind.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> process.destroyForcibly()));
    }

    /** The standalone lock manager on this data directory, which may hold what an earlier one left. */
    static Subprocess lockManager(Path home, Path directory, String heap) throws IOException, InterruptedException {
        Path target = home.resolve("lockmgr-service").resolve("target");
        Path jar = target.resolve("lockmgr-service.jar");
        if (!Files.isRegularFile(jar)) {
            throw new IOException(jar + " is not built: run this through ./terminus bench");
        }
        int port = Ports.free();
        List<String> command = new ArrayList<>(List.of(JAVA, "-Xmx" + heap));
        command.addAll(FLAGS);
        Path cache = target.resolve("lockmgr-service.aot");
        if (Files.exists(cache) && Files.getLastModifiedTime(cache).compareTo(Files.getLastModifiedTime(jar)) >= 0) {
            command.addAll(List.of("-XX:AOTCache=" + cache, "-Xlog:aot*=off"));
        }
        command.addAll(List.of(
                "-jar",
                jar.toString(),
                "--lockmgr.data-dir=" + directory.resolve("data"),
                "--lockmgr.grpc-port=" + port,
                "--server.port=" + Ports.free(),
                // Sessions of a benchmark that makes a hundred thousand of them, each opened only once, must outlive
                // the making.
                "--lockmgr.max-ttl=" + Sessions.MAX_TTL_SECONDS + "s",
                "--lockmgr.limits.sessions=" + Sessions.MAX_SESSIONS));
        Subprocess started = new Subprocess("lock manager", command, directory.resolve("lockmgr.log"), port);
        started.awaitListening();
        return started;
    }

    /** {@link EchoServer}. */
    static Subprocess echo(Path directory, String heap) throws IOException, InterruptedException {
        int port = Ports.free();
        List<String> command = new ArrayList<>(List.of(JAVA, "-Xmx" + heap));
        command.addAll(FLAGS);
        command.addAll(List.of(
                "-cp", System.getProperty("java.class.path"), EchoServer.class.getName(), String.valueOf(port)));
        Subprocess started = new Subprocess("echo", command, directory.resolve("echo.log"), port);
        started.awaitListening();
        return started;
    }

    String target() {
        return "127.0.0.1:" + port;
    }

    /** A connection of its own. The caller shuts it down. */
    ManagedChannel channel() {
        return NettyChannelBuilder.forTarget(target())
                .usePlaintext()
                .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                .build();
    }

    Cpu cpu() {
        return Cpu.of(process.pid());
    }

    long pid() {
        return process.pid();
    }

    boolean alive() {
        return process.isAlive();
    }

    /** The end of what it wrote: of a process that died, mostly why. */
    String lastWords() throws IOException {
        List<String> lines = Files.readAllLines(log);
        return String.join(" / ", lines.subList(Math.max(0, lines.size() - 2), lines.size()));
    }

    /** {@code kill -9}. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** The same again, on the same port and directory; returns at once, before it listens. */
    void startAgain() throws IOException {
        process = launch();
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                kill();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    private Process launch() throws IOException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                .start();
    }

    private void awaitListening() throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (true) {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 1000);
                return;
            } catch (IOException e) {
                if (!process.isAlive() || System.nanoTime() > deadline) {
                    close();
                    throw new IOException("the " + name + " did not start; it said: " + Files.readString(log), e);
                }
                Thread.sleep(20);
            }
        }
    }
}
