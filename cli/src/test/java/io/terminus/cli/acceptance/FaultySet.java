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
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A lock manager and two agents, run as docs/operations.md says and not through the launcher, so that each has its own place
 * in a {@link Network} and can be killed, stopped and started in no time. Leases and timeouts are short. One volume, failover
 * automatic; its journals are small, so that a replica that is away needs copies soon.
 *
 * <p>One thread at a time.
 */
final class FaultySet implements AutoCloseable {

    static final String LOCKMGR = "lockmgr";
    static final List<String> AGENTS = List.of("a", "b");
    static final int LOCK_PORT = 10811;
    static final int NBD_PORT = 10809;
    static final int CONTROL_PORT = 10813;
    static final int PEER_PORT = 10815;
    private static final int LOCK_REST_PORT = 10812;
    private static final int REST_PORT = 10814;

    static final String VOLUME = "demo";
    static final Duration LEASE = Duration.ofSeconds(2);
    static final Duration PEER_TIMEOUT = Duration.ofSeconds(1);
    private static final int SEGMENT_BYTES = 4 << 20;
    private static final int JOURNAL_BUDGET_MIB = 48;
    private static final String DISK_SIZE = "208m";

    /** Whatever becomes of machines, these are never true. */
    private static final List<String> COMPLAINTS =
            List.of("stops for good", "internal error", "met a bug", "not closed in good order", "OutOfMemory");

    private static final Duration PATIENCE = Duration.ofSeconds(90);
    private static final Duration POLL = Duration.ofMillis(40);
    private static final long CALL_MILLIS = 1_000;

    private final Path folder;
    private final Network network;
    private final boolean smallDisks;
    private final Map<String, Process> processes = new HashMap<>();
    private final Map<String, ManagedChannel> channels = new HashMap<>();
    private final Map<String, Long> logLinesRead = new HashMap<>();
    private final Thread atExit = new Thread(this::killAll);

    private FaultySet(Path folder, Network network, boolean smallDisks) {
        this.folder = folder;
        this.network = network;
        this.smallDisks = smallDisks;
        Runtime.getRuntime().addShutdownHook(atExit);
    }

    /**
     * Starts everything and makes the volume.
     *
     * @param smallDisks each agent on a file system of its own in memory, which can be filled; needs root
     */
    static FaultySet start(Path folder, Network network, boolean smallDisks, long sizeBytes, AckLevel level)
            throws IOException {
        LiveSet.prepare(folder);
        FaultySet set = new FaultySet(folder, network, smallDisks);
        try {
            for (String agent : AGENTS) {
                Files.createDirectories(set.data(agent));
                if (smallDisks) {
                    Program.run(
                            folder,
                            "mount",
                            "-t",
                            "tmpfs",
                            "-o",
                            "size=" + DISK_SIZE,
                            "tmpfs",
                            set.data(agent).toString());
                }
            }
            set.startMissing();
            await().atMost(PATIENCE).pollInterval(POLL).until(() -> set.connected("a") && set.connected("b"));
            set.create(sizeBytes, level);
            set.awaitInSync();
            return set;
        } catch (RuntimeException | Error e) {
            set.close();
            throw e;
        }
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

    Path replica(String agent) {
        return data(agent).resolve("volumes").resolve(VOLUME);
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
        Process running = processes.get(process);
        if (running != null) {
            running.destroyForcibly();
            awaitEnd(running);
        }
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
        for (String process : List.of(LOCKMGR, "a", "b")) {
            start(process);
        }
    }

    /** Unless it runs. */
    void start(String process) {
        if (isRunning(process)) {
            return;
        }
        boolean agent = !process.equals(LOCKMGR);
        List<String> command = command(network, process, agent ? "replication-agent" : "lockmgr-service");
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
                    // The maps are made and mapped at each start.
                    "--lockmgr.max-locks=1000",
                    "--server.port=" + LOCK_REST_PORT));
        }
        processes.put(process, launch(folder, command, log(process)));
    }

    /** A service in its place, without the settings that are its own. */
    static List<String> command(Network network, String process, String service) {
        List<String> command = new ArrayList<>(network.place(process));
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
        Path target = LiveSet.module().resolveSibling(service).resolve("target");
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
        String writer = writer().orElse("a");
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
    Optional<VolumeStatus> status(String agent) {
        try {
            return Optional.of(stub(agent)
                    .getVolume(GetVolumeRequest.newBuilder().setName(VOLUME).build()));
        } catch (StatusRuntimeException noAnswer) {
            return Optional.empty();
        }
    }

    /** The agent that says so, with the highest term. */
    Optional<String> writer() {
        return writerStatus().map(VolumeStatus::getWriter);
    }

    private Optional<VolumeStatus> writerStatus() {
        return AGENTS.stream()
                .filter(this::isRunning)
                .flatMap(agent -> status(agent).stream())
                .filter(status ->
                        status.getRole() == Role.WRITER && !status.getNbdUri().isEmpty())
                .max((one, other) -> Long.compare(one.getTerm(), other.getTerm()));
    }

    String awaitWriter() {
        await("the volume is served: " + this)
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .until(() -> writer().isPresent());
        return writer().orElseThrow(() -> new AssertionError("served no more"));
    }

    /** Waits until both replicas count, and have everything. All processes run, or this fails at once. */
    void awaitInSync() {
        await("both replicas are in sync")
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .failFast(
                        "a process ended by itself",
                        () -> Stream.of(LOCKMGR, "a", "b").anyMatch(process -> !isRunning(process)))
                .until(this::inSync);
    }

    boolean inSync() {
        return writerStatus()
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
                .until(() -> inSync()
                        && writerStatus()
                                .map(status -> {
                                    Set<Long> positions = new HashSet<>();
                                    for (ReplicaStatus replica : status.getReplicasList()) {
                                        positions.add(replica.getReceived());
                                        positions.add(replica.getApplied());
                                    }
                                    return positions.size() == 1;
                                })
                                .orElse(false));
    }

    /** Where the images differ first; -1: nowhere. */
    long mismatch() {
        try {
            return Files.mismatch(
                    replica("a").resolve("image.raw"), replica("b").resolve("image.raw"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Where the journals differ first in what both still hold, from this position on; -1: nowhere. */
    long journalMismatch(long from) {
        return JournalRecords.mismatch(replica("a"), replica("b"), from);
    }

    /** The end of the journal. */
    long end() {
        return writerStatus().map(status -> status.getReplicas(0).getReceived()).orElse(0L);
    }

    /** Lines of the logs, since the last time, that say of a product that it is wrong itself. */
    List<String> complaints() {
        List<String> complaints = new ArrayList<>();
        for (String process : List.of(LOCKMGR, "a", "b")) {
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

    boolean hasSmallDisks() {
        return smallDisks;
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
            Path rescued = replica(agent).resolve("rescued");
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

    /** In words, for people. */
    @Override
    public String toString() {
        StringBuilder said = new StringBuilder("lockmgr " + (isRunning(LOCKMGR) ? "runs" : "is down"));
        for (String agent : AGENTS) {
            said.append("; ").append(agent).append(isRunning(agent) ? " runs" : " is down");
            status(agent).ifPresent(status -> {
                said.append(", ")
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
            });
        }
        return said.toString();
    }

    @Override
    public void close() {
        killAll();
        channels.values().forEach(ManagedChannel::shutdownNow);
        if (smallDisks) {
            for (String agent : AGENTS) {
                Machine.succeeds(folder, "umount", data(agent).toString());
            }
        }
        forget(atExit);
    }

    private void killAll() {
        killAll(processes.values());
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

    private void create(long sizeBytes, AckLevel level) {
        VolumeStatus unused = stub("a")
                .withDeadlineAfter(60, TimeUnit.SECONDS)
                .createVolume(CreateVolumeRequest.newBuilder()
                        .setName(VOLUME)
                        .setSizeBytes(sizeBytes)
                        .setAckLevel(level)
                        .setMinCopies(1)
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
