package io.terminus.lockmgr.history;

import io.terminus.lockmgr.TestPorts;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The packaged lock manager as a process of its own that can be killed and started again at the same address. */
final class RunningLockManager implements AutoCloseable {

    private static final Path JAR = Path.of("target", "lockmgr-service.jar");
    private static final long PATIENCE_SECONDS = 120;

    private final Path directory;
    private final List<String> settings;
    private final int grpcPort;
    private final int httpPort = TestPorts.free();
    private final HttpClient http = HttpClient.newHttpClient();
    private Process process;
    private int starts;

    static RunningLockManager start(Path directory, String... settings) throws IOException, InterruptedException {
        RunningLockManager running = new RunningLockManager(directory, TestPorts.free(), List.of(settings));
        running.awaitHealthy();
        return running;
    }

    /** Launched, and not healthy yet. */
    RunningLockManager(Path directory, int grpcPort, List<String> settings) throws IOException {
        this.directory = directory;
        this.grpcPort = grpcPort;
        this.settings = settings;
        this.process = launch();
    }

    String target() {
        return "127.0.0.1:" + grpcPort;
    }

    int grpcPort() {
        return grpcPort;
    }

    /** As {@code kill -9} and a start right behind it. */
    void killAndStart() throws IOException, InterruptedException {
        kill();
        startAgain();
    }

    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    void startAgain() throws IOException, InterruptedException {
        process = launch();
        awaitHealthy();
    }

    @Override
    public void close() {
        process.destroyForcibly().onExit().join();
    }

    private Process launch() throws IOException {
        List<String> command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElseThrow(),
                "-XX:TieredStopAtLevel=1",
                "-jar",
                JAR.toString(),
                "--lockmgr.data-dir=" + directory.resolve("data"),
                "--lockmgr.max-locks=10000",
                "--lockmgr.grpc-port=" + grpcPort,
                "--server.port=" + httpPort));
        command.addAll(settings);
        starts++;
        return new ProcessBuilder(command)
                .redirectOutput(directory.resolve("out-" + starts).toFile())
                .redirectError(directory.resolve("err-" + starts).toFile())
                .start();
    }

    void awaitHealthy() throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!healthy()) {
            if (!process.isAlive() || System.nanoTime() > deadline) {
                throw new IllegalStateException(
                        "the lock manager did not start: " + Files.readString(directory.resolve("err-" + starts)));
            }
            process.waitFor(100, TimeUnit.MILLISECONDS);
        }
    }

    private boolean healthy() throws InterruptedException {
        try {
            URI health = URI.create("http://127.0.0.1:" + httpPort + "/actuator/health");
            return http.send(HttpRequest.newBuilder(health).build(), HttpResponse.BodyHandlers.discarding())
                            .statusCode()
                    == 200;
        } catch (IOException notYet) {
            return false;
        }
    }
}
