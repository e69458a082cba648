package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.cli.PortBases;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A set of real services, run and asked through the launcher alone, as a script would. Everything it leaves, logs among
 * it, stays below {@code target/acceptance} for whoever wants to know why a test failed.
 */
final class LiveSet implements AutoCloseable {

    static final Duration PATIENCE = Duration.ofSeconds(120);
    private static final String VOLUME = "demo";
    private static final String HOOKS = "hooks";
    /** Of a set with three lock managers. */
    static final int MOST_PORTS = 17;

    private static boolean prepared;

    private final Path launcher;
    private final Path folder;
    private final int portBase;
    private final Map<String, String> settings;

    private LiveSet(Path launcher, Path folder, int portBase, Map<String, String> settings) {
        this.launcher = launcher;
        this.folder = folder;
        this.portBase = portBase;
        this.settings = settings;
    }

    /** A new set with a volume of this size. */
    static LiveSet start(String size) {
        return start(size, Map.of());
    }

    /** @param settings of the services, as environment variables: what a command starts inherits them */
    static LiveSet start(String size, Map<String, String> settings) {
        LiveSet set = make(settings);
        set.create(size);
        return set;
    }

    /** Maven has built the services, but not their start caches: without them every test waits twice as long. */
    static synchronized void prepare(Path folder) {
        if (!prepared) {
            prepared = true;
            Program.run(folder, module().resolve("../terminus").normalize().toString(), "--prepare");
        }
    }

    /** A set that is not started yet. */
    static LiveSet make(Map<String, String> settings) {
        try {
            Path root = Files.createDirectories(module().resolve("target/acceptance"));
            Path folder = Files.createTempDirectory(root, "set");
            prepare(folder);
            Files.createDirectory(folder.resolve(HOOKS));
            return new LiveSet(
                    module().resolve("../terminus").normalize(), folder, PortBases.free(MOST_PORTS), settings);
        } catch (IOException e) {
            throw new AssertionError("cannot make a directory for a set", e);
        }
    }

    /** The directory of the repository. */
    static Path home() {
        return module().resolveSibling("").normalize();
    }

    /** The directory of this Maven module. */
    static Path module() {
        // scripts/campaign is called from wherever its caller is.
        String home = System.getProperty("terminus.home");
        return home != null
                ? Path.of(home, "cli")
                : (Files.exists(Path.of("terminus")) ? Path.of("cli") : Path.of("")).toAbsolutePath();
    }

    /** The first start: it makes the volume. */
    void create(String size, String... more) {
        List<String> arguments =
                new ArrayList<>(List.of("up", "--detach", "--size", size, "--port-base", Integer.toString(portBase)));
        arguments.addAll(List.of(more));
        terminus(arguments.toArray(String[]::new));
    }

    /** The first start of a set with TLS on every port. */
    void createSecure(String size, String... more) {
        List<String> arguments = new ArrayList<>(List.of("--tls"));
        arguments.addAll(List.of(more));
        create(size, arguments.toArray(String[]::new));
    }

    /** Where a test may leave files. */
    Path folder() {
        return folder;
    }

    /** Where a process of the set keeps its data. */
    Path data(String process) {
        return folder.resolve("terminus").resolve(process);
    }

    /** What a process has said since its last start. */
    String log(String process) {
        try {
            return Files.readString(folder.resolve("terminus/logs").resolve(process + ".log"));
        } catch (IOException e) {
            throw new AssertionError("cannot read the log of " + process, e);
        }
    }

    /** The agent that writes now. */
    String writer() {
        return volume().path("writer").asString();
    }

    /** The other agent. */
    String replica() {
        return writer().equals("a") ? "b" : "a";
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
        Map<String, String> environment = new HashMap<>(settings);
        environment.put("TERMINUS_BUILD", "never");
        environment.put("AGENT_TESTHOOKSDIR", folder.resolve(HOOKS).toString());
        return Program.start(folder, command, environment);
    }

    JsonNode status() {
        try (Program program = command("status", "--json")) {
            // Exit code 1 only says that something is down, which many a test wants.
            program.exitCode();
            return JsonMapper.shared().readTree(program.output());
        }
    }

    JsonNode volume() {
        return volume(VOLUME);
    }

    JsonNode volume(String name) {
        for (JsonNode volume : status().path("volumes")) {
            if (volume.path("name").asString().equals(name)) {
                return volume;
            }
        }
        throw new AssertionError("status shows no volume " + name);
    }

    /** Everything runs and answers, and every replica has everything: as good as new for another test. */
    boolean isWell() {
        try (Program program = command("status", "--json")) {
            return program.exitCode() == 0 && allInSync();
        }
    }

    /** What a process tells Prometheus. */
    String metrics(String name) {
        for (JsonNode process : status().path("processes")) {
            if (process.path("name").asString().equals(name)) {
                return metrics(process);
            }
        }
        throw new AssertionError("status shows no process " + name);
    }

    /** What all processes of a status tell Prometheus. */
    static String metricsOfAll(JsonNode status) {
        return status.path("processes").valueStream().map(LiveSet::metrics).collect(Collectors.joining());
    }

    private static String metrics(JsonNode process) {
        URI metrics =
                URI.create("http://" + process.path("endpoints").path("rest").asString() + "/actuator/prometheus");
        try (InputStream answer = metrics.toURL().openStream()) {
            return new String(answer.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new AssertionError("cannot read " + metrics, e);
        }
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
        ProcessHandle process = process(name);
        process.destroyForcibly();
        process.onExit().orTimeout(PATIENCE.toSeconds(), TimeUnit.SECONDS).join();
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

    /**
     * Makes the writing agent stop itself at this point of the next write, see {@code StopFiles} there; returns when it has
     * stopped.
     */
    void stopWriterAt(String point, ProcessHandle writer) {
        try {
            Files.createFile(folder.resolve(HOOKS).resolve(point));
        } catch (IOException e) {
            throw new AssertionError("cannot set the hook " + point, e);
        }
        await().atMost(PATIENCE).until(() -> isStopped(writer));
    }

    private static boolean isStopped(ProcessHandle process) throws IOException {
        String stat = Files.readString(Path.of("/proc", Long.toString(process.pid()), "stat"));
        // pid (name) state ...: the name may hold anything.
        return stat.charAt(stat.lastIndexOf(')') + 2) == 'T';
    }

    /** Starts what is gone, and waits until every replica has everything. */
    void repair() {
        terminus("up", "--detach");
        awaitInSync();
    }

    void awaitInSync() {
        await().atMost(PATIENCE).until(this::allInSync);
    }

    private boolean allInSync() {
        JsonNode replicas = volume().path("replicas");
        boolean all = replicas.size() == 2;
        for (JsonNode replica : replicas) {
            all &= replica.path("inSync").asBoolean()
                    && replica.path("lagBytes").asLong() == 0;
        }
        return all;
    }

    /** Waits until both replicas have applied the same, and compares the images byte for byte. Nobody may be writing. */
    void compareImages() {
        await().atMost(PATIENCE).until(() -> {
            Set<Long> positions = new HashSet<>();
            boolean all = true;
            for (JsonNode replica : volume().path("replicas")) {
                all &= replica.path("inSync").asBoolean();
                positions.add(replica.path("received").asLong());
                positions.add(replica.path("applied").asLong());
            }
            return all && positions.size() == 1;
        });
        List<String> images = images();
        Program.run(folder, "cmp", images.getFirst(), images.getLast());
    }

    /** Stops the set and compares the images byte for byte. */
    void stopAndCompareImages() {
        List<String> images = images();
        terminus("down");
        Program.run(folder, "cmp", images.getFirst(), images.getLast());
    }

    private List<String> images() {
        List<String> images = new ArrayList<>();
        volume().path("replicas")
                .forEach(replica -> images.add(replica.path("image").asString()));
        assertThat(images).hasSize(2).doesNotHaveDuplicates();
        return images;
    }

    /** The image of one replica. */
    Path image(String agent) {
        for (JsonNode replica : volume().path("replicas")) {
            if (replica.path("agent").asString().equals(agent)) {
                return Path.of(replica.path("image").asString());
            }
        }
        throw new AssertionError("status shows no replica at " + agent);
    }

    @Override
    public void close() {
        try (Program down = command("down")) {
            down.exitCode();
        }
    }
}
