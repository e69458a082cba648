package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A set of real services, run and asked through the launcher alone, as a script would. Everything it leaves, logs among
 * it, stays below {@code target/acceptance} for whoever wants to know why a test failed.
 */
final class LiveSet implements AutoCloseable {

    static final Duration PATIENCE = Duration.ofSeconds(120);
    private static final String VOLUME = "demo";

    private final Path launcher;
    private final Path folder;
    private final int portBase;

    private LiveSet(Path launcher, Path folder, int portBase) {
        this.launcher = launcher;
        this.folder = folder;
        this.portBase = portBase;
    }

    /** A new set with a volume of this size. */
    static LiveSet start(String size) {
        try {
            Path module = Files.exists(Path.of("terminus")) ? Path.of("cli") : Path.of("");
            Path root = Files.createDirectories(module.toAbsolutePath().resolve("target/acceptance"));
            LiveSet set = new LiveSet(
                    module.toAbsolutePath().resolve("../terminus").normalize(),
                    Files.createTempDirectory(root, "set"),
                    freePortBase());
            set.terminus("up", "--detach", "--size", size, "--port-base", Integer.toString(set.portBase));
            return set;
        } catch (IOException e) {
            throw new AssertionError("cannot make a directory for a set", e);
        }
    }

    /** Where a test may leave files. */
    Path folder() {
        return folder;
    }

    /** Runs a command of the product that must succeed. */
    String terminus(String... arguments) {
        try (Program program = command(arguments)) {
            return program.succeed();
        }
    }

    Program command(String... arguments) {
        List<String> command = new ArrayList<>(List.of(launcher.toString()));
        command.addAll(List.of(arguments));
        command.addAll(List.of("--dir", folder.resolve("terminus").toString()));
        // Maven has built everything by now, and is still at it.
        return Program.start(folder, command, Map.of("TERMINUS_BUILD", "never"));
    }

    JsonNode status() {
        try (Program program = command("status", "--json")) {
            // Exit code 1 only says that something is down, which many a test wants.
            program.exitCode();
            return JsonMapper.shared().readTree(program.output());
        }
    }

    JsonNode volume() {
        for (JsonNode volume : status().path("volumes")) {
            if (volume.path("name").asString().equals(VOLUME)) {
                return volume;
            }
        }
        throw new AssertionError("status shows no volume " + VOLUME);
    }

    String uri() {
        return volume().path("nbd").asString();
    }

    ProcessHandle process(String name) {
        for (JsonNode process : status().path("processes")) {
            if (process.path("name").asString().equals(name)) {
                return ProcessHandle.of(process.path("pid").asLong())
                        .orElseThrow(() -> new AssertionError(name + " does not run"));
            }
        }
        throw new AssertionError("status shows no process " + name);
    }

    /** kill -9, and returns when the process is gone. */
    void kill(String name) {
        process(name).destroyForcibly();
        await().atMost(PATIENCE).until(() -> !isRunning(name));
    }

    boolean isRunning(String name) {
        for (JsonNode process : status().path("processes")) {
            if (process.path("name").asString().equals(name)) {
                return process.path("running").asBoolean();
            }
        }
        return false;
    }

    /** @param signal STOP or CONT */
    void signal(ProcessHandle process, String signal) {
        Program.run(folder, "kill", "-" + signal, Long.toString(process.pid()));
    }

    /** Starts what is gone, and waits until every replica has everything. */
    void repair() {
        terminus("up", "--detach");
        awaitInSync();
    }

    void awaitInSync() {
        await().atMost(PATIENCE).until(() -> {
            JsonNode replicas = volume().path("replicas");
            boolean all = replicas.size() == 2;
            for (JsonNode replica : replicas) {
                all &= replica.path("inSync").asBoolean()
                        && replica.path("lagBytes").asLong() == 0;
            }
            return all;
        });
    }

    /** Stops the set and compares the images byte for byte. */
    void stopAndCompareImages() {
        List<String> images = new ArrayList<>();
        volume().path("replicas")
                .forEach(replica -> images.add(replica.path("image").asString()));
        assertThat(images).hasSize(2).doesNotHaveDuplicates();
        terminus("down");
        Program.run(folder, "cmp", images.getFirst(), images.getLast());
    }

    @Override
    public void close() {
        try (Program down = command("down")) {
            down.exitCode();
        }
    }

    private static int freePortBase() {
        while (true) {
            int base = ThreadLocalRandom.current().nextInt(12_000, 30_000);
            boolean free = true;
            for (int port = base; free && port < base + 10; port++) {
                try (ServerSocket socket = new ServerSocket()) {
                    socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                } catch (IOException taken) {
                    free = false;
                }
            }
            if (free) {
                return base;
            }
        }
    }
}
