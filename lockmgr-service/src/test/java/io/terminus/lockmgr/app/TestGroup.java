package io.terminus.lockmgr.app;

import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.security.Exposure;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.springframework.util.unit.DataSize;

/** Lock managers of one group in this process, each with everything but Spring. Members are called a, b, c and so on. */
final class TestGroup implements AutoCloseable {

    static final Duration TTL = Duration.ofSeconds(2);
    static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Path directory;
    private final long snapshotAfter;
    private final Map<String, String> members = new TreeMap<>();
    private final Map<String, Running> running = new TreeMap<>();
    private final Map<String, ManagedChannel> channels = new HashMap<>();

    private record Running(ClusterNode node, GrpcServer server, AtomicInteger failures, SimpleMeterRegistry registry) {}

    static TestGroup start(Path directory, int size, long snapshotAfter) {
        TestGroup group = new TestGroup(directory, size, snapshotAfter);
        List.copyOf(group.members.keySet()).forEach(group::start);
        group.leader();
        return group;
    }

    private TestGroup(Path directory, int size, long snapshotAfter) {
        this.directory = directory;
        this.snapshotAfter = snapshotAfter;
        for (int i = 0; i < size; i++) {
            plan(String.valueOf((char) ('a' + i)));
        }
    }

    /** As it stands in the settings. */
    String plan(String id) {
        return members.computeIfAbsent(id, one -> one + "=127.0.0.1:" + freePort() + "/127.0.0.1:" + freePort());
    }

    void start(String id) {
        LockManagerProperties properties = new LockManagerProperties(
                dataOf(id),
                Integer.parseInt(clientAddress(id).substring(clientAddress(id).indexOf(':') + 1)),
                "127.0.0.1",
                Duration.ofMillis(200),
                TTL,
                TTL,
                Duration.ofSeconds(5),
                Duration.ofSeconds(30),
                DataSize.ofMegabytes(64),
                100_000,
                0,
                65_536,
                TestServer.LIMITS,
                LockManagerProperties.Mode.CLUSTER,
                1,
                new LockManagerProperties.Cluster(
                        id, List.copyOf(members.values()), "", 3, "test", Duration.ofMillis(300), snapshotAfter, (int)
                                Math.min(snapshotAfter, 10)),
                null);
        AtomicInteger failures = new AtomicInteger();
        SimpleMeterRegistry registry = new SimpleMeterRegistry();
        ClusterNode node = new ClusterNode(properties, registry, failures::incrementAndGet);
        GrpcServer server = new GrpcServer(properties, node, null, new Exposure(false));
        server.start();
        running.put(id, new Running(node, server, failures, registry));
    }

    void stop(String id) {
        Running stopping = of(id);
        running.remove(id);
        stopping.server.stop();
    }

    void wipe(String id) throws IOException {
        try (Stream<Path> files = Files.walk(dataOf(id))) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    Path dataOf(String id) {
        return directory.resolve(id);
    }

    private Running of(String id) {
        return Objects.requireNonNull(running.get(id), id);
    }

    ClusterNode node(String id) {
        return of(id).node;
    }

    double gauge(String id, String name) {
        return of(id).registry.get(name).gauge().value();
    }

    int failures(String id) {
        return of(id).failures.get();
    }

    /** The one that leads, once there is one. */
    String leader() {
        await().atMost(PATIENCE).until(() -> running.values().stream().anyMatch(one -> one.node.leads()));
        return running.entrySet().stream()
                .filter(one -> one.getValue().node.leads())
                .map(Map.Entry::getKey)
                .findFirst()
                .orElseGet(this::leader);
    }

    List<String> followers() {
        String leader = leader();
        return running.keySet().stream().filter(id -> !id.equals(leader)).toList();
    }

    String clientAddress(String id) {
        String member = Objects.requireNonNull(members.get(id));
        return member.substring(member.indexOf('/') + 1);
    }

    String targets() {
        return String.join(
                ",", members.keySet().stream().map(this::clientAddress).toList());
    }

    LockClient client(String owner) {
        return LockClient.connect(LockClient.Config.of(targets(), owner).withTtl(TTL));
    }

    ManagedChannel channel(String id) {
        return channels.computeIfAbsent(
                id,
                one -> NettyChannelBuilder.forTarget(clientAddress(one))
                        .usePlaintext()
                        .build());
    }

    LockClusterGrpc.LockClusterBlockingStub cluster(String id) {
        return LockClusterGrpc.newBlockingStub(channel(id)).withDeadlineAfter(40, TimeUnit.SECONDS);
    }

    ClusterView view(String id) {
        return cluster(id).describe(DescribeClusterRequest.getDefaultInstance());
    }

    /** Every member that runs has applied as much as the leader, and it adds up to the same. */
    void awaitAgreement() {
        await().atMost(PATIENCE).until(() -> {
            List<ClusterView> views = new ArrayList<>();
            running.keySet().forEach(id -> views.add(view(id)));
            return views.stream().map(ClusterView::getDigest).distinct().count() == 1
                    && views.stream()
                                    .map(ClusterView::getAppliedIndex)
                                    .distinct()
                                    .count()
                            == 1;
        });
    }

    /**
     * One that is free, and that no connection gets while the member that has it is away: below those that the kernel gives to clients.
     * Ratis ends the process if it cannot listen.
     */
    private static int freePort() {
        while (true) {
            int port = ThreadLocalRandom.current().nextInt(12_000, 32_000);
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException taken) {
                // another one
            }
        }
    }

    @Override
    public void close() {
        channels.values().forEach(ManagedChannel::shutdownNow);
        List.copyOf(running.keySet()).forEach(this::stop);
    }
}
