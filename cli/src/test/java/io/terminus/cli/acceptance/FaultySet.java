package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.proto.agent.v1.GetVolumeRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * A lock manager and two agents, run as docs/operations.md says and not through the launcher, so that each has its own place
 * in a {@link Network}, on {@link Disks} of its own, and can be killed, stopped and started in no time. Leases and timeouts are
 * short. Volumes with automatic failover; their journals are small, so that a replica that is away needs copies soon.
 *
 * <p>One thread at a time.
 */
final class FaultySet implements AutoCloseable {

    static final String LOCKMGR = "lockmgr";
    static final List<String> AGENTS = List.of("a", "b");
    static final List<String> PROCESSES = List.of(LOCKMGR, "a", "b");
    static final int LOCK_PORT = 10811;
    static final int NBD_PORT = 10809;
    static final int CONTROL_PORT = 10813;
    static final int PEER_PORT = 10815;
    private static final int LOCK_REST_PORT = 10812;
    private static final int REST_PORT = 10814;

    /** @param minCopies with 2 nothing is acknowledged, and nobody elected, by one agent alone */
    record Volume(String name, long sizeBytes, AckLevel level, int minCopies) {}

    static final Duration LEASE = Duration.ofSeconds(2);
    static final Duration PEER_TIMEOUT = Duration.ofSeconds(1);
    private static final int SEGMENT_BYTES = 4 << 20;
    private static final int JOURNAL_BUDGET_MIB = 48;
    /** Of a volume's journal, superblock and marks, and the least that an agent wants free. */
    private static final int BESIDE_IMAGE_MIB = 184;

    /** Whatever becomes of machines, these are never true. */
    private static final List<String> COMPLAINTS =
            List.of("stops for good", "internal error", "met a bug", "not closed in good order", "OutOfMemory");

    private static final Duration PATIENCE = Duration.ofSeconds(90);
    private static final Duration POLL = Duration.ofMillis(40);
    private static final long CALL_MILLIS = 1_000;

    private final Path folder;
    private final Network network;
    private final Disks disks;
    private final Clocks clocks;
    private final List<Volume> volumes;
    /** Where each process has its program from, if not from this build. */
    private final Map<String, Path> builds = new HashMap<>();

    private final Map<String, Process> processes = new ConcurrentHashMap<>();
    private final Map<String, ManagedChannel> channels = new HashMap<>();
    private final Map<String, Long> logLinesRead = new HashMap<>();
    private final Thread atExit = new Thread(this::end);
    private volatile boolean closed;

    private FaultySet(Path folder, Network network, Disks disks, Clocks clocks, List<Volume> volumes) {
        this.folder = folder;
        this.network = network;
        this.disks = disks;
        this.clocks = clocks;
        this.volumes = volumes;
        Runtime.getRuntime().addShutdownHook(atExit);
    }

    /** Starts everything and makes the volumes. */
    static FaultySet start(Path folder, Network network, Disks disks, Clocks clocks, List<Volume> volumes)
            throws IOException {
        LiveSet.prepare(folder);
        FaultySet set = new FaultySet(folder, network, disks, clocks, volumes);
        try {
            for (String process : PROCESSES) {
                Files.createDirectories(set.data(process));
                disks.attach(process, set.data(process));
            }
            set.startMissing();
            await().atMost(PATIENCE).pollInterval(POLL).until(() -> set.connected("a") && set.connected("b"));
            volumes.forEach(set::create);
            set.awaitInSync();
            return set;
        } catch (RuntimeException | Error e) {
            set.close();
            throw e;
        }
    }

    /** How large an agent's disk has to be for these. */
    static int diskMebibytes(List<Volume> volumes) {
        return volumes.stream()
                .mapToInt(volume -> (int) (volume.sizeBytes >> 20) + BESIDE_IMAGE_MIB)
                .sum();
    }

    static String other(String agent) {
        return agent.equals("a") ? "b" : "a";
    }

    Network network() {
        return network;
    }

    List<InetSocketAddress> nbd() {
        return AGENTS.stream()
                .map(agent -> new InetSocketAddress(network.host(agent), NBD_PORT))
                .toList();
    }

    Path data(String process) {
        return folder.resolve(process);
    }

    Path replica(String agent, String volume) {
        return data(agent).resolve("volumes").resolve(volume);
    }

    Path log(String process) {
        return folder.resolve(process + ".log");
    }

    boolean isRunning(String process) {
        Process running = processes.get(process);
        return running != null && running.isAlive();
    }

    /** kill -9, and returns when it is gone. */
    void kill(String process) {
        beginToKill(process);
        awaitEnd(process);
    }

    /** kill -9: none of its instructions runs any more, though a disk that does not answer keeps it from being gone. */
    void beginToKill(String process) {
        Process running = processes.get(process);
        if (running != null) {
            running.destroyForcibly();
        }
    }

    void awaitEnd(String process) {
        Process running = processes.get(process);
        if (running != null) {
            awaitEnd(running);
        }
    }

    long pid(String process) {
        Process running = processes.get(process);
        if (running == null) {
            throw new IllegalStateException(process + " was never started");
        }
        return running.pid();
    }

    /** From its next start on it is of this build: a directory like that of this repository, built. */
    void use(String process, Path build) {
        builds.put(process, build);
    }

    /** @param signal STOP or CONT */
    void signal(String process, String signal) {
        Process running = processes.get(process);
        if (running != null && running.isAlive()) {
            try {
                awaitEnd(new ProcessBuilder("kill", "-" + signal, Long.toString(running.pid())).start());
            } catch (IOException e) {
                throw new UncheckedIOException("cannot signal " + process, e);
            }
        }
    }

    /** Starts what does not run. */
    void startMissing() {
        for (String process : PROCESSES) {
            start(process);
        }
    }

    /** Unless it runs. */
    void start(String process) {
        if (isRunning(process)) {
            return;
        }
        if (closed) {
            throw new AssertionError("the set is closed");
        }
        boolean agent = !process.equals(LOCKMGR);
        String service = agent ? "replication-agent" : "lockmgr-service";
        List<String> place = new ArrayList<>(disks.place(process));
        place.addAll(network.place(process));
        place.addAll(clocks.place(process));
        List<String> command = command(place, service, Objects.requireNonNullElse(builds.get(process), LiveSet.home()));
        if (agent) {
            command.addAll(List.of(
                    "--agent.name=" + process,
                    "--agent.data-dir=" + data(process),
                    "--agent.bind-address=" + network.host(process),
                    "--agent.advertise-host=" + network.host(process, other(process)),
                    "--agent.grpc-port=" + CONTROL_PORT,
                    "--agent.peer-port=" + PEER_PORT,
                    "--agent.nbd-port=" + NBD_PORT,
                    "--agent.lock-manager=" + network.host(LOCKMGR, process) + ":" + LOCK_PORT,
                    "--agent.lease-ttl=" + LEASE.toMillis() + "ms",
                    "--agent.peer-timeout=" + PEER_TIMEOUT.toMillis() + "ms",
                    "--agent.election-timeout=10s",
                    "--agent.journal-budget-mib=" + JOURNAL_BUDGET_MIB,
                    "--server.port=" + REST_PORT));
        } else {
            command.addAll(List.of(
                    "--lockmgr.data-dir=" + data(process),
                    "--lockmgr.bind-address=" + network.host(process),
                    "--lockmgr.grpc-port=" + LOCK_PORT,
                    // After a loss of memory nothing is granted for so long.
                    "--lockmgr.default-ttl=" + LEASE.toMillis() + "ms",
                    "--lockmgr.max-ttl=" + LEASE.toMillis() + "ms",
                    // The maps are made and mapped at each start.
                    "--lockmgr.max-locks=1000",
                    "--server.port=" + LOCK_REST_PORT));
        }
        processes.put(process, launch(folder, command, log(process)));
    }

    /** A service in its place, without the settings that are its own. */
    static List<String> command(Network network, String process, String service) {
        return command(network.place(process), service, LiveSet.home());
    }

    private static List<String> command(List<String> place, String service, Path build) {
        List<String> command = new ArrayList<>(place);
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(
                "-Xmx512m",
                "-XX:+UseSerialGC",
                // They live for seconds: what they start with counts, and not what they could become.
                "-XX:TieredStopAtLevel=1",
                "-XX:+ExitOnOutOfMemoryError",
                "-XX:MaxDirectMemorySize=512m",
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=ALL-UNNAMED"));
        Path target = build.resolve(service).resolve("target");
        command.addAll(List.of(
                "-XX:AOTCache=" + target.resolve(service + ".aot"),
                "-Xlog:aot*=off",
                "-jar",
                target.resolve(service + ".jar").toString()));
        command.add("--terminus.insecure=true"); // namespaces and proxies have addresses beyond loopback
        return command;
    }

    /** What it says is added to the log. */
    static Process launch(Path folder, List<String> command, Path log) {
        try {
            return new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectInput(Path.of("/dev/null").toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot start " + command, e);
        }
    }

    /** Asks the agents to end, the writer first, then the lock manager. */
    void stopInOrder() {
        String writer = writer(volumes.getFirst().name).orElse("a");
        for (String process : List.of(writer, other(writer), LOCKMGR)) {
            stop(process);
        }
    }

    /** Asks it to end. */
    void stop(String process) {
        Process running = processes.get(process);
        if (running != null) {
            running.destroy();
            awaitEnd(running);
        }
    }

    /** What an agent says of the volume, unless it does not answer. */
    Optional<VolumeStatus> status(String agent, String volume) {
        try {
            return Optional.of(stub(agent)
                    .getVolume(GetVolumeRequest.newBuilder().setName(volume).build()));
        } catch (StatusRuntimeException noAnswer) {
            return Optional.empty();
        }
    }

    /** The agent that says so, with the highest term. */
    Optional<String> writer(String volume) {
        return writerStatus(volume).map(VolumeStatus::getWriter);
    }

    /** Both replicas count, however far they are. */
    boolean bothCount(String volume) {
        return writerStatus(volume)
                .filter(status -> status.getReplicasCount() == AGENTS.size())
                .filter(status -> status.getReplicasList().stream().allMatch(ReplicaStatus::getInSync))
                .isPresent();
    }

    private Optional<VolumeStatus> writerStatus(String volume) {
        return AGENTS.stream()
                .filter(this::isRunning)
                .flatMap(agent -> status(agent, volume).stream())
                .filter(status ->
                        status.getRole() == Role.WRITER && !status.getNbdUri().isEmpty())
                .max((one, other) -> Long.compare(one.getTerm(), other.getTerm()));
    }

    String awaitWriter(String volume) {
        await("volume " + volume + " is served: " + this)
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .until(() -> writer(volume).isPresent());
        return writer(volume).orElseThrow(() -> new AssertionError("served no more"));
    }

    /** Waits until both replicas of each volume count, and have had everything. All processes run, or this fails at once. */
    void awaitInSync() {
        volumes.forEach(volume -> awaitInSync(volume.name));
    }

    void awaitInSync(String volume) {
        await("both replicas of " + volume + " are in sync")
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .failFast(
                        "a process ended by itself", () -> PROCESSES.stream().anyMatch(process -> !isRunning(process)))
                .until(() -> inSync(volume));
    }

    private boolean inSync(String volume) {
        return writerStatus(volume)
                .filter(status -> status.getReplicasCount() == AGENTS.size())
                .filter(status -> status.getReplicasList().stream()
                        .allMatch(replica -> replica.getInSync() && replica.getLagBytes() == 0 && !replica.hasCopy()))
                .isPresent();
    }

    /** Waits until both images hold everything. Nobody is writing. */
    void awaitApplied() {
        await("both replicas have applied everything")
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .until(() -> volumes.stream().allMatch(volume -> inSync(volume.name) && applied(volume.name)));
    }

    private boolean applied(String volume) {
        return writerStatus(volume)
                .map(status -> {
                    Set<Long> positions = new HashSet<>();
                    for (ReplicaStatus replica : status.getReplicasList()) {
                        positions.add(replica.getReceived());
                        positions.add(replica.getApplied());
                    }
                    return positions.size() == 1;
                })
                .orElse(false);
    }

    /** Where the images differ first; -1: nowhere. */
    long mismatch(String volume) {
        try {
            return Files.mismatch(
                    replica("a", volume).resolve("image.raw"),
                    replica("b", volume).resolve("image.raw"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Where the journals differ first in what both still hold, from this position on; -1: nowhere. */
    long journalMismatch(String volume, long from) {
        return JournalRecords.mismatch(replica("a", volume), replica("b", volume), from);
    }

    /** The end of the journal. */
    long end(String volume) {
        return writerStatus(volume)
                .map(status -> status.getReplicas(0).getReceived())
                .orElse(0L);
    }

    /** Lines of the logs, since the last time, that say of a product that it is wrong itself. */
    List<String> complaints() {
        List<String> complaints = new ArrayList<>();
        for (String process : PROCESSES) {
            try (Stream<String> lines = Files.lines(log(process))) {
                List<String> said =
                        lines.skip(logLinesRead.getOrDefault(process, 0L)).toList();
                logLinesRead.merge(process, (long) said.size(), Long::sum);
                said.stream()
                        .filter(line -> COMPLAINTS.stream().anyMatch(line::contains))
                        .forEach(line -> complaints.add(process + ": " + line));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        return complaints;
    }

    Disks disks() {
        return disks;
    }

    Clocks clocks() {
        return clocks;
    }

    List<Volume> volumes() {
        return volumes;
    }

    /** To the last page. */
    void fillDisk(String agent) {
        fill(filler(agent));
    }

    static void fill(Path file) {
        byte[] piece = new byte[1 << 16];
        try (OutputStream filler = Files.newOutputStream(file)) {
            while (true) {
                filler.write(piece);
            }
        } catch (IOException full) {
            // That is what it is for.
        }
    }

    void freeDisk(String agent) {
        try {
            Files.deleteIfExists(filler(agent));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Path filler(String agent) {
        return data(agent).resolve("filler");
    }

    /** What replicas put aside is nobody's after an audit, and the disks are small. */
    void forgetRescued() {
        for (String agent : AGENTS) {
            for (Volume volume : volumes) {
                Path rescued = replica(agent, volume.name).resolve("rescued");
                if (Files.exists(rescued)) {
                    try (Stream<Path> files = Files.list(rescued)) {
                        for (Path file : files.toList()) {
                            Files.deleteIfExists(file);
                        }
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }
            }
        }
    }

    /**
     * Machines lose their power at one moment. Their disks are back with what they kept, or when this returns; nothing is started.
     */
    void losePower(List<String> machines, Consumer<String> tell) {
        PowerDisks power = (PowerDisks) disks;
        power.cut(machines, tell);
        machines.forEach(this::beginToKill);
        power.fail(machines);
        machines.forEach(this::awaitEnd);
        power.restore(machines);
    }

    /** Each fdatasync takes so much longer for a while. Returns after that. */
    void slowDisk(String process, int millis, int whileMillis) {
        if (disks instanceof PowerDisks power) {
            power.slow(process, millis);
            rest(whileMillis);
            power.slow(process, 0);
        } else {
            List<String> command = List.of(
                    "strace",
                    "-f",
                    "-qq",
                    "-e",
                    "trace=fsync,fdatasync",
                    "-e",
                    "inject=fsync,fdatasync:delay_enter=" + millis * 1_000,
                    "-o",
                    "/dev/null",
                    "-p",
                    Long.toString(pid(process)));
            Program tracer = Program.start(folder, command);
            rest(whileMillis);
            // At its end it lets go of the process; killed, it does so as well.
            tracer.close();
        }
    }

    static void rest(long millis) {
        try {
            TimeUnit.MILLISECONDS.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    /** In words, for people. */
    @Override
    public String toString() {
        StringBuilder said = new StringBuilder("lockmgr " + (isRunning(LOCKMGR) ? "runs" : "is down"));
        for (String agent : AGENTS) {
            said.append("; ").append(agent).append(isRunning(agent) ? " runs" : " is down");
            volumes.forEach(volume -> status(agent, volume.name).ifPresent(status -> tell(status, said)));
        }
        return said.toString();
    }

    private static void tell(VolumeStatus status, StringBuilder said) {
        said.append(", ")
                .append(status.getName())
                .append(": ")
                .append(status.getRole())
                .append(" in term ")
                .append(status.getTerm())
                .append(", \"")
                .append(status.getDetail())
                .append('"');
        for (ReplicaStatus replica : status.getReplicasList()) {
            said.append(", [")
                    .append(replica.getAgent())
                    .append(replica.getInSync() ? " in sync" : " not in sync")
                    .append(" received ")
                    .append(replica.getReceived())
                    .append(" durable ")
                    .append(replica.getDurable())
                    .append(" applied ")
                    .append(replica.getApplied())
                    .append(replica.hasCopy() ? " " + replica.getCopy().getPhase() : "")
                    .append(replica.getDetail().isEmpty() ? "" : " \"" + replica.getDetail() + "\"")
                    .append(']');
        }
    }

    @Override
    public void close() {
        end();
        channels.values().forEach(ManagedChannel::shutdownNow);
        disks.close();
        forget(atExit);
    }

    /** Starts nothing more. */
    private void end() {
        closed = true;
        killAll(List.copyOf(processes.values()));
    }

    static void killAll(Collection<Process> processes) {
        processes.forEach(Process::destroyForcibly);
        processes.forEach(FaultySet::awaitEnd);
    }

    static void forget(Thread atExit) {
        try {
            Runtime.getRuntime().removeShutdownHook(atExit);
        } catch (IllegalStateException exiting) {
            // It runs already.
        }
    }

    static void awaitEnd(Process process) {
        try {
            assertThat(process.waitFor(60, TimeUnit.SECONDS))
                    .as("pid %d ended", process.pid())
                    .isTrue();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    private boolean connected(String agent) {
        try {
            return stub(agent).getAgent(GetAgentRequest.getDefaultInstance()).getLockManagerReachable();
        } catch (StatusRuntimeException notYet) {
            return false;
        }
    }

    private void create(Volume volume) {
        VolumeStatus unused = stub("a")
                .withDeadlineAfter(60, TimeUnit.SECONDS)
                .createVolume(CreateVolumeRequest.newBuilder()
                        .setName(volume.name)
                        .setSizeBytes(volume.sizeBytes)
                        .setAckLevel(volume.level)
                        .setMinCopies(volume.minCopies)
                        .setFailover(Failover.AUTOMATIC)
                        .setSegmentBytes(SEGMENT_BYTES)
                        .addPeers(ReplicaAddress.newBuilder()
                                .setAgent("b")
                                .setPeer(network.host("b", "a") + ":" + PEER_PORT)
                                .setControl(network.host("b", "a") + ":" + CONTROL_PORT))
                        .build());
    }

    private AgentControlGrpc.AgentControlBlockingStub stub(String agent) {
        ManagedChannel channel = channels.computeIfAbsent(
                agent,
                name -> ManagedChannelBuilder.forTarget(network.host(name) + ":" + CONTROL_PORT)
                        .usePlaintext()
                        .proxyDetector(address -> null)
                        .build());
        channel.resetConnectBackoff();
        return AgentControlGrpc.newBlockingStub(channel).withDeadlineAfter(CALL_MILLIS, TimeUnit.MILLISECONDS);
    }
}
