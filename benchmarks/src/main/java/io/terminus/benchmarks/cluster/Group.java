package io.terminus.benchmarks.cluster;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.terminus.benchmarks.Ports;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Processes of one kind that are one server together. What they say goes to files in their directories. */
final class Group implements AutoCloseable {

    private static final int START_SECONDS = 120;

    /** As in the command line's installation: what users run is what is measured. */
    private static final List<String> FLAGS = List.of(
            "-XX:+UseSerialGC",
            "-Xmx512m",
            "-XX:+ExitOnOutOfMemoryError",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED");

    private final List<List<String>> commands = new ArrayList<>();
    private final List<Path> directories = new ArrayList<>();
    private final List<Integer> ports = new ArrayList<>();
    private final List<Process> processes = new ArrayList<>();

    static Group ofLockManagers(int size, Path home, Path directory) throws IOException, InterruptedException {
        return ofLockManagers(size, 1, home, directory);
    }

    /** @param groups over which volumes are spread */
    static Group ofLockManagers(int size, int groups, Path home, Path directory)
            throws IOException, InterruptedException {
        Path target = home.resolve("lockmgr-service").resolve("target");
        Path jar = target.resolve("lockmgr-service.jar");
        if (!Files.isRegularFile(jar)) {
            throw new IOException(jar + " is not built: run this through ./terminus bench");
        }
        Group group = new Group();
        List<String> members = new ArrayList<>();
        for (int i = 0; i < size; i++) {
            group.ports.add(Ports.free());
            members.add("m" + i + "=127.0.0.1:" + Ports.free() + "/127.0.0.1:" + group.ports.get(i));
        }
        for (int i = 0; i < size; i++) {
            Path own = Files.createDirectories(directory.resolve("m" + i));
            List<String> command = new ArrayList<>(List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString()));
            command.addAll(FLAGS);
            Path cache = target.resolve("lockmgr-service.aot");
            if (Files.exists(cache)
                    && Files.getLastModifiedTime(cache).compareTo(Files.getLastModifiedTime(jar)) >= 0) {
                command.addAll(List.of("-XX:AOTCache=" + cache, "-Xlog:aot*=off"));
            }
            command.addAll(List.of(
                    "-jar",
                    jar.toString(),
                    "--lockmgr.data-dir=" + own.resolve("data"),
                    "--lockmgr.grpc-port=" + group.ports.get(i),
                    "--server.port=" + Ports.free(),
                    "--lockmgr.mode=cluster",
                    "--lockmgr.groups=" + groups,
                    "--lockmgr.cluster.node=m" + i,
                    "--lockmgr.cluster.members=" + String.join(",", members)));
            group.add(command, own);
        }
        group.start();
        return group;
    }

    /** Debian's etcd with its defaults; it syncs its log before it answers. */
    static Group ofEtcd(int size, Path directory) throws IOException, InterruptedException {
        Group group = new Group();
        List<String> peers = new ArrayList<>();
        List<Integer> peerPorts = new ArrayList<>();
        for (int i = 0; i < size; i++) {
            group.ports.add(Ports.free());
            peerPorts.add(Ports.free());
            peers.add("e" + i + "=http://127.0.0.1:" + peerPorts.get(i));
        }
        for (int i = 0; i < size; i++) {
            Path own = Files.createDirectories(directory.resolve("e" + i));
            String client = "http://127.0.0.1:" + group.ports.get(i);
            String peer = "http://127.0.0.1:" + peerPorts.get(i);
            group.add(
                    List.of(
                            "etcd",
                            "--log-level=warn",
                            "--name=e" + i,
                            "--data-dir=" + own.resolve("data"),
                            "--listen-client-urls=" + client,
                            "--advertise-client-urls=" + client,
                            "--listen-peer-urls=" + peer,
                            "--initial-advertise-peer-urls=" + peer,
                            "--initial-cluster=" + String.join(",", peers)),
                    own);
        }
        group.start();
        return group;
    }

    private void add(List<String> command, Path directory) {
        commands.add(command);
        directories.add(directory);
    }

    private void start() throws IOException, InterruptedException {
        for (int i = 0; i < commands.size(); i++) {
            processes.add(launch(i));
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> processes.forEach(Process::destroyForcibly)));
        for (int i = 0; i < commands.size(); i++) {
            awaitListening(i);
        }
    }

    private Process launch(int member) throws IOException {
        return new ProcessBuilder(commands.get(member))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(
                        directories.get(member).resolve("log").toFile()))
                .start();
    }

    private void awaitListening(int member) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (true) {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), ports.get(member)), 1000);
                return;
            } catch (IOException e) {
                if (System.nanoTime() > deadline) {
                    throw new IOException("it does not listen; see " + directories.get(member), e);
                }
                requireAlive(member);
                Thread.sleep(20);
            }
        }
    }

    private void requireAlive(int member) throws IOException {
        if (!processes.get(member).isAlive()) {
            throw new IOException(commands.get(member).getFirst() + " has ended; see "
                    + directories.get(member).resolve("log"));
        }
    }

    List<String> addresses() {
        return ports.stream().map(port -> "127.0.0.1:" + port).toList();
    }

    /** CPU seconds of all of them so far. */
    double cpuSeconds() {
        return processes.stream()
                .mapToDouble(process -> process.info()
                        .totalCpuDuration()
                        .map(spent -> spent.toNanos() / 1e9)
                        .orElse(0.0))
                .sum();
    }

    void kill(int member) throws InterruptedException {
        processes.get(member).destroyForcibly().waitFor();
    }

    void startAgain(int member) throws IOException, InterruptedException {
        processes.set(member, launch(member));
        awaitListening(member);
    }

    int size() {
        return ports.size();
    }

    /** Of lock managers: the one that says so of itself. */
    int leader() throws InterruptedException, IOException {
        return leader(0);
    }

    /** The same of one of several groups over which volumes are spread. */
    int leader(int group) throws InterruptedException, IOException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (System.nanoTime() < deadline) {
            for (int i = 0; i < ports.size(); i++) {
                requireAlive(i);
                Optional<ClusterView> view = view(i, group);
                if (view.isPresent() && view.get().getLeader().equals("m" + i)) {
                    return i;
                }
            }
            Thread.sleep(20);
        }
        throw new IOException("none of the lock managers leads");
    }

    /** Of lock managers: has this member applied all that was decided when it was asked? */
    boolean hasCaughtUp(int member) throws InterruptedException, IOException {
        int leader = leader();
        long goal = view(leader, 0).map(ClusterView::getAppliedIndex).orElse(Long.MAX_VALUE);
        return view(member, 0).map(ClusterView::getAppliedIndex).orElse(-1L) >= goal - 10;
    }

    private Optional<ClusterView> view(int member, int group) {
        ManagedChannel channel = ManagedChannelBuilder.forTarget(addresses().get(member))
                .usePlaintext()
                .build();
        try {
            return Optional.of(LockClusterGrpc.newBlockingStub(channel)
                    .withInterceptors(Groups.to(group))
                    .withDeadlineAfter(2, TimeUnit.SECONDS)
                    .describe(DescribeClusterRequest.getDefaultInstance()));
        } catch (StatusRuntimeException down) {
            return Optional.empty();
        } finally {
            channel.shutdownNow();
        }
    }

    @Override
    public void close() {
        processes.forEach(Process::destroyForcibly);
        processes.forEach(process -> process.onExit().join());
    }
}
