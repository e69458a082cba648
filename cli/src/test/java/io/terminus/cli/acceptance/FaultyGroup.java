package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.history.LockGroupViews;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
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

    private final Path folder;
    private final Network network;
    private final Map<String, Process> processes = new HashMap<>();
    private final LockGroupViews views;
    private final Thread atExit = new Thread(this::killAll);

    private FaultyGroup(Path folder, Network network) {
        this.folder = folder;
        this.network = network;
        this.views =
                new LockGroupViews(MEMBERS.stream().map(this::clientAddress).toList());
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

    /** The network is whole, nobody is stopped, disks have room, who has ended runs again, and all of them answer. */
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
        await("all members answer: " + this)
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .until(() -> views.all().size() == MEMBERS.size());
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
        return await("another member than '" + not + "' leads: " + this)
                .atMost(PATIENCE)
                .pollInterval(POLL)
                .until(() -> views.leader(not).orElse(""), found -> !found.isEmpty());
    }

    /** Everyone has applied the same, and it adds up to the same. */
    void awaitAgreement() {
        await("all members agree").atMost(PATIENCE).pollInterval(POLL).until(views::agree);
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
        views.close();
        for (String member : MEMBERS) {
            Machine.succeeds(folder, "umount", data(member).toString());
        }
        FaultySet.forget(atExit);
    }

    private void killAll() {
        FaultySet.killAll(processes.values());
    }
}
