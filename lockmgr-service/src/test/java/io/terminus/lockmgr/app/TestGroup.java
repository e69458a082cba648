package io.terminus.lockmgr.app;

import static org.awaitility.Awaitility.await;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.lockmgr.TestNames;
import io.terminus.lockmgr.TestPorts;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.ha.Member;
import io.terminus.lockmgr.history.LockGroupViews;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.security.Exposure;
import io.terminus.security.ServiceTls;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.springframework.util.unit.DataSize;

/** Lock managers of one group in this process, each with everything but Spring. Members are called a, b, c and so on. */
final class TestGroup implements AutoCloseable {

    static final Duration TTL = Duration.ofSeconds(5); // several elections, and a busy machine
    static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final int FIRST_NAMED = 11;

    private final Path directory;
    private final long snapshotAfter;
    private int groups = 1;
    /** That members read from their next start on; those that are not named read format 1. */
    private final Map<String, Integer> formats = new HashMap<>();

    private final @Nullable Function<String, TlsKeys> keys;
    private final Map<String, String> members = new TreeMap<>();
    private final Map<String, String> addresses = new HashMap<>();
    private String service = "";
    private final Map<String, Running> running = new TreeMap<>();
    private final Map<String, ManagedChannel> channels = new HashMap<>();

    private record Running(ClusterNode node, GrpcServer server, AtomicInteger failures, SimpleMeterRegistry registry) {
        boolean leads(int group) {
            return node.groups().get(group).leads();
        }
    }

    static TestGroup start(Path directory, int size, long snapshotAfter) {
        return start(new TestGroup(directory, size, snapshotAfter, null));
    }

    /** Every member but the last is of a newer version, which reads a format more. */
    static TestGroup ofTwoVersions(Path directory) {
        TestGroup mixed = new TestGroup(directory, 3, Long.MAX_VALUE, null);
        mixed.setNewestFormat("a", 2);
        mixed.setNewestFormat("b", 2);
        return start(mixed);
    }

    /** Volumes are spread over so many groups, and each member has its share of the leads. */
    static TestGroup spread(Path directory, int size, int groups) {
        TestGroup several = new TestGroup(directory, size, Long.MAX_VALUE, null);
        several.groups = groups;
        start(several);
        await().atMost(PATIENCE).until(() -> {
            for (int group = 0; group < groups; group++) {
                if (!several.leader(group).equals(several.preferred(group))) {
                    return false;
                }
            }
            return true;
        });
        return several;
    }

    /** Whose share the lead of a group is. */
    String preferred(int group) {
        return List.copyOf(members.keySet()).get(group % members.size());
    }

    /** For the next start of a member. */
    void setNewestFormat(String id, int newest) {
        formats.put(id, newest);
    }

    /** For the next start of a member. */
    void setGroups(int groups) {
        this.groups = groups;
    }

    /** @param keys for member and client alike, by name; the client is called "client" */
    static TestGroup secure(Path directory, int size, Function<String, TlsKeys> keys) {
        return start(new TestGroup(directory, size, Long.MAX_VALUE, keys));
    }

    /** Hosts m-0, m-1 and so on behind one name, which {@link TestNames} knows, each at an address of its own. */
    static TestGroup named(Path directory, int size) {
        Roster.lookNamesUpAnew();
        TestGroup group = new TestGroup(directory, 0, Long.MAX_VALUE, null);
        int raftPort = TestPorts.free();
        int clientPort = TestPorts.free();
        group.service = TestNames.DOMAIN + ":" + raftPort + "/" + clientPort;
        for (int i = 0; i < size; i++) {
            String id = "m-" + i;
            String host = id + "." + TestNames.DOMAIN + ":";
            group.members.put(id, id + "=" + host + raftPort + "/" + host + clientPort);
            group.move(id, "127.0.0." + (FIRST_NAMED + i));
        }
        return start(group);
    }

    /** From its next start on it has this address. */
    void move(String id, String address) {
        addresses.put(id, address);
        TestNames.point(id + "." + TestNames.DOMAIN, address);
    }

    private static TestGroup start(TestGroup group) {
        List.copyOf(group.members.keySet()).forEach(group::start);
        group.leader();
        return group;
    }

    private TestGroup(Path directory, int size, long snapshotAfter, @Nullable Function<String, TlsKeys> keys) {
        this.directory = directory;
        this.snapshotAfter = snapshotAfter;
        this.keys = keys;
        for (int i = 0; i < size; i++) {
            plan(String.valueOf((char) ('a' + i)));
        }
    }

    /** As it stands in the settings. */
    String plan(String id) {
        return members.computeIfAbsent(
                id, one -> one + "=127.0.0.1:" + TestPorts.free() + "/127.0.0.1:" + TestPorts.free());
    }

    void start(String id) {
        LockManagerProperties properties = new LockManagerProperties(
                dataOf(id),
                Integer.parseInt(clientAddress(id).substring(clientAddress(id).indexOf(':') + 1)),
                addresses.getOrDefault(id, "127.0.0.1"),
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
                groups,
                new LockManagerProperties.Cluster(
                        service.isEmpty() ? id : "",
                        service.isEmpty() ? List.copyOf(members.values()) : List.of(),
                        service,
                        members.size(),
                        "test",
                        Duration.ofMillis(500),
                        snapshotAfter,
                        (int) Math.min(snapshotAfter, 10)),
                null);
        AtomicInteger failures = new AtomicInteger();
        SimpleMeterRegistry registry = new SimpleMeterRegistry();
        TlsKeys own = keys(id);
        ClusterNode node = new ClusterNode(
                properties,
                registry,
                new ServiceTls(own),
                new Exposure(false),
                id,
                failures::incrementAndGet,
                formats.getOrDefault(id, 1));
        GrpcServer server = new GrpcServer(properties, node, own, new Exposure(false));
        server.start();
        running.put(id, new Running(node, server, failures, registry));
    }

    private @Nullable TlsKeys keys(String id) {
        return keys == null ? null : keys.apply(id);
    }

    void stop(String id) {
        Running stopping = of(id);
        running.remove(id);
        ManagedChannel channel = channels.remove(id); // it may come back at another address
        if (channel != null) {
            channel.shutdownNow();
        }
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
        return leader(0);
    }

    /** The same of one of several groups. */
    String leader(int group) {
        await().atMost(PATIENCE).until(() -> running.values().stream().anyMatch(one -> one.leads(group)));
        return running.entrySet().stream()
                .filter(one -> one.getValue().leads(group))
                .map(Map.Entry::getKey)
                .findFirst()
                .orElseGet(() -> leader(group));
    }

    List<String> followers() {
        String leader = leader();
        return running.keySet().stream().filter(id -> !id.equals(leader)).toList();
    }

    String clientAddress(String id) {
        String member = Objects.requireNonNull(members.get(id));
        return member.substring(member.indexOf('/') + 1);
    }

    int raftPort(String id) {
        return Member.parse(Objects.requireNonNull(members.get(id))).raftPort();
    }

    String targets() {
        return String.join(
                ",", members.keySet().stream().map(this::clientAddress).toList());
    }

    LockClient client(String owner) {
        LockClient.Config config = LockClient.Config.of(targets(), owner).withTtl(TTL);
        TlsKeys own = keys("client");
        return LockClient.connect(own == null ? config : config.withTls(GrpcTls.client(own)));
    }

    ManagedChannel channel(String id) {
        return channels.computeIfAbsent(
                id, one -> GrpcTls.channel(clientAddress(one), keys("client")).build());
    }

    LockClusterGrpc.LockClusterBlockingStub cluster(String id) {
        return cluster(id, 0);
    }

    LockClusterGrpc.LockClusterBlockingStub cluster(String id, int group) {
        return LockClusterGrpc.newBlockingStub(channel(id))
                .withInterceptors(Groups.to(group))
                .withDeadlineAfter(40, TimeUnit.SECONDS);
    }

    ClusterView view(String id) {
        return cluster(id).describe(DescribeClusterRequest.getDefaultInstance());
    }

    /** Every member that runs has applied as much as the leader, and it adds up to the same. */
    void awaitAgreement() {
        await().atMost(PATIENCE)
                .ignoreExceptionsInstanceOf(StatusRuntimeException.class)
                .until(() -> LockGroupViews.agree(
                        running.keySet().stream().map(this::view).toList()));
    }

    @Override
    public void close() {
        channels.values().forEach(ManagedChannel::shutdownNow);
        List.copyOf(running.keySet()).forEach(this::stop);
    }
}
