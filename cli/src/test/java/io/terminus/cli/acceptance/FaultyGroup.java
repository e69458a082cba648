package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * Three lock managers that are one group, each in its own place in a {@link Network} and on a small disk of its own in memory. One thread at
 * a time.
 */
final class FaultyGroup implements AutoCloseable {

    /** As the places in the network are called. */
    static final List<String> MEMBERS = List.of("a", "b", "lockmgr");

    private static final int CLIENT_PORT = 10811;
    private static final int REST_PORT = 10812;
    private static final int RAFT_PORT = 10821;
    private static final String DISK_SIZE = "64m";
    private static final Duration PATIENCE = Duration.ofSeconds(90);
    private static final Duration POLL = Duration.ofMillis(40);
    private static final long CALL_MILLIS = 1_000;

    private final Path folder;
    private final Network network;
    private final Map<String, Process> processes = new HashMap<>();
    private final Map<String, ManagedChannel> channels = new HashMap<>();
    private final Thread atExit = new Thread(this::killAll);

    private FaultyGroup(Path folder, Network network) {
        this.folder = folder;
        this.network = network;
        Runtime.getRuntime().addShutdownHook(atExit);
    }

    /** Returns when one of them leads. */
    static FaultyGroup start(Path folder, Network network) throws IOException {
        LiveSet.prepare(folder);
        FaultyGroup group = new FaultyGroup(folder, network);
        try {
            for (String member : MEMBERS) {
                Files.createDirectories(group.data(member));
                Program.run(
                        folder,
                        "mount",
                        "-t",
                        "tmpfs",
                        "-o",
                        "size=" + DISK_SIZE,
                        "tmpfs",
                        group.data(member).toString());
            }
            group.startMissing();
            group.awaitLeader("");
            return group;
        } catch (RuntimeException | Error e) {
            group.close();
            throw e;
        }
    }

    String targets() {
        return MEMBERS.stream().map(this::clientAddress).collect(Collectors.joining(","));
    }

    List<String> others(String member) {
        return MEMBERS.stream().filter(one -> !one.equals(member)).toList();
    }

    boolean isRunning(String member) {
        Process running = processes.get(member);
        return running != null && running.isAlive();
    }

    /** kill -9, and returns when it is gone. */
    void kill(String member) {
        Process running = processes.get(member);
        if (running != null) {
            running.destroyForcibly();
            FaultySet.awaitEnd(running);
        }
    }

    /** @param signal STOP or CONT */
    void signal(String member, String signal) {
        Process running = processes.get(member);
        if (running != null && running.isAlive()) {
            Program.run(folder, "kill", "-" + signal, Long.toString(running.pid()));
        }
    }

    void fillDisk(String member) {
        FaultySet.fill(data(member).resolve("filler"));
    }

    /** The network is whole, nobody is stopped, disks have room, and who has ended runs again. */
    void makeWhole() {
        network.heal();
        for (String member : MEMBERS) {
            signal(member, "CONT");
            try {
                Files.deleteIfExists(data(member).resolve("filler"));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        startMissing();
    }

    private void startMissing() {
        for (String member : MEMBERS) {
            if (!isRunning(member)) {
                List<String> command = FaultySet.command(network, member, "lockmgr-service");
                command.addAll(List.of(
                        "--lockmgr.mode=cluster",
                        "--lockmgr.cluster.node=" + member,
                        "--lockmgr.cluster.members="
                                + MEMBERS.stream().map(this::setting).collect(Collectors.joining(",")),
                        "--lockmgr.cluster.snapshot-after=2000",
                        "--lockmgr.cluster.keep-entries=200",
                        "--lockmgr.data-dir=" + data(member),
                        "--lockmgr.bind-address=" + network.host(member),
                        "--lockmgr.grpc-port=" + CLIENT_PORT,
                        "--lockmgr.max-locks=1000",
                        "--server.port=" + REST_PORT));
                processes.put(member, FaultySet.launch(folder, command, folder.resolve(member + ".log")));
            }
        }
    }

    private String setting(String member) {
        return member + "=" + network.host(member) + ":" + RAFT_PORT + "/" + clientAddress(member);
    }

    /** The one that leads, once there is one that says so of itself and is not this one. */
    String awaitLeader(String not) {
        List<String> found = new ArrayList<>();
        await("another member than '" + not + "' leads: " + this)
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .until(() -> {
                    MEMBERS.stream()
                            .filter(one -> !one.equals(not))
                            .filter(one -> view(one)
                                    .filter(view -> view.getLeader().equals(one) && view.getEpoch() > 0)
                                    .isPresent())
                            .forEach(found::add);
                    return !found.isEmpty();
                });
        return found.getFirst();
    }

    /** Everyone has applied the same, and it adds up to the same. */
    void awaitAgreement() {
        await("all members agree").atMost(PATIENCE).pollInterval(POLL).until(() -> {
            List<String> states = new ArrayList<>();
            for (String member : MEMBERS) {
                view(member).ifPresent(view -> states.add(view.getAppliedIndex() + " " + view.getDigest()));
            }
            return states.size() == MEMBERS.size()
                    && states.stream().distinct().count() == 1;
        });
    }

    private Optional<ClusterView> view(String member) {
        if (!isRunning(member)) {
            return Optional.empty();
        }
        ManagedChannel channel = channels.computeIfAbsent(
                member,
                one -> ManagedChannelBuilder.forTarget(clientAddress(one))
                        .usePlaintext()
                        .proxyDetector(address -> null)
                        .build());
        channel.resetConnectBackoff();
        try {
            return Optional.of(LockClusterGrpc.newBlockingStub(channel)
                    .withDeadlineAfter(CALL_MILLIS, TimeUnit.MILLISECONDS)
                    .describe(DescribeClusterRequest.getDefaultInstance()));
        } catch (StatusRuntimeException noAnswer) {
            return Optional.empty();
        }
    }

    private String clientAddress(String member) {
        return network.host(member) + ":" + CLIENT_PORT;
    }

    private Path data(String member) {
        return folder.resolve(member);
    }

    /** In words, for people. */
    @Override
    public String toString() {
        return MEMBERS.stream()
                .map(member -> member + (isRunning(member) ? " runs" : " is down"))
                .collect(Collectors.joining(", "));
    }

    @Override
    public void close() {
        killAll();
        channels.values().forEach(ManagedChannel::shutdownNow);
        for (String member : MEMBERS) {
            Machine.succeeds(folder, "umount", data(member).toString());
        }
        try {
            Runtime.getRuntime().removeShutdownHook(atExit);
        } catch (IllegalStateException exiting) {
            // It runs already.
        }
    }

    private void killAll() {
        processes.values().forEach(Process::destroyForcibly);
        processes.values().forEach(FaultySet::awaitEnd);
    }
}
