package io.terminus.agent.volume;

import static org.awaitility.Awaitility.await;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.peer.Compression;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.LinkSettings;
import io.terminus.agent.peer.PeerServer;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Agents' volumes in one JVM: real replicas, journals, streams and peer servers; a fake lock manager and fake wires, one
 * towards each agent. Seals are called directly, and fail towards an agent that is cut off or stopped.
 *
 * <p>A kill of an agent is a copy of its files at one moment, put in the place of what a stop leaves.
 */
public final class Agents implements AutoCloseable {

    static final UUID VOLUME = new UUID(1, 2);
    static final int SEGMENT_BYTES = 1 << 20;
    static final Duration LONG = Duration.ofSeconds(60);

    final FakeLockManager lockManager = new FakeLockManager();

    /** Of the volume that {@link #start} makes. */
    Failover failover = Failover.MANUAL;

    /** Likewise; at LOCAL the first agent alone is in sync. */
    AckLevel ackLevel = AckLevel.RECEIVED;

    /** Likewise. */
    int segmentBytes = SEGMENT_BYTES;

    /** Likewise: an acknowledgement needs so many; 0 is all. */
    int copies;

    private final Path temp;
    private final int volumeBytes;
    private final long budgetBytes;
    private final Duration peerTimeout;
    private final Map<String, Agent> agents = new HashMap<>();
    private final Map<String, FakeLockManager> otherLockManagers = new ConcurrentHashMap<>();

    /** Where agents answer over gRPC, if a test has them do so. */
    public final Map<String, String> controls = new ConcurrentHashMap<>();

    /** Of agents that are made from now on. */
    public LinkSettings links = new LinkSettings(Compression.NONE, Duration.ofSeconds(2), TestHooks.NONE);

    public Agents(Path temp, int volumeBytes, long budgetBytes) {
        this(temp, volumeBytes, budgetBytes, Duration.ofSeconds(1));
    }

    public Agents(Path temp, int volumeBytes, long budgetBytes, Duration peerTimeout) {
        this.temp = temp;
        this.volumeBytes = volumeBytes;
        this.budgetBytes = budgetBytes;
        this.peerTimeout = peerTimeout;
    }

    /** Starts agents of these names with a volume "v", in sync at all of them but for LOCAL; the first one writes. */
    public void start(String... names) throws Exception {
        for (String name : names) {
            add(name);
        }
        makeVolume(VOLUME, "v", lockManager, names);
        awaitServing(names[0]);
    }

    /** One more volume, with a lock manager of its own; the first agent writes, too. */
    void addVolume(UUID uuid, String volume, String... names) throws Exception {
        FakeLockManager its = new FakeLockManager();
        otherLockManagers.put(volume, its);
        makeVolume(uuid, volume, its, names);
        awaitTrue(() -> volume(names[0], volume).serving());
    }

    private void makeVolume(UUID uuid, String volume, FakeLockManager its, String... names) throws Exception {
        List<Member> members = new ArrayList<>();
        List<Address> addresses = new ArrayList<>();
        for (String name : names) {
            if (ackLevel != AckLevel.LOCAL || members.isEmpty()) {
                members.add(new Member(name, "boot"));
            }
            addresses.add(agent(name).address());
        }
        VolumeConfig config = new VolumeConfig(
                uuid,
                volume,
                volumeBytes,
                segmentBytes,
                0,
                names[0],
                members,
                List.of(),
                ackLevel,
                copies,
                1,
                Lineage.EMPTY,
                failover,
                addresses,
                VolumeConfig.Fork.NONE);
        its.store(config);
        if (failover == Failover.AUTOMATIC) {
            agent(names[0]).volumes.create(config); // or another one might be granted the lock first
            awaitTrue(() -> names[0].equals(its.holder()));
        }
        for (String name : List.of(names).reversed()) {
            agent(name).volumes.create(config);
        }
    }

    public Path replicaFiles(String agent) {
        return agent(agent).directory();
    }

    public Address address(String agent) {
        return agent(agent).address();
    }

    Agent add(String name) throws IOException {
        Agent agent = new Agent(name);
        agents.put(name, agent);
        return agent;
    }

    Agent agent(String name) {
        Agent agent = agents.get(name);
        if (agent == null) {
            throw new IllegalStateException("no agent " + name);
        }
        return agent;
    }

    public Volumes volumes(String agent) {
        return agent(agent).volumes();
    }

    /** What is sent to that agent stays on its way. */
    public void hold(String agent) {
        agent(agent).wire.hold();
    }

    public void letGo(String agent) {
        agent(agent).wire.letGo();
    }

    /** See {@link Agent#vanish}. */
    public void vanish(String agent) throws IOException {
        agent(agent).vanish();
    }

    /** See {@link FakeLockManager#doubtHolder}. */
    public void doubtHolder() {
        lockManager.doubtHolder();
    }

    public Volume volume(String agent) {
        return agent(agent).volume();
    }

    Volume volume(String agent, String volume) {
        Volume v = agent(agent).volumes.byName(volume);
        if (v == null) {
            throw new IllegalStateException(agent + " has no replica of " + volume);
        }
        return v;
    }

    Replica replica(String agent) {
        return volume(agent).replica();
    }

    Journal journal(String agent) {
        return replica(agent).journal();
    }

    public Client client(String agent) throws Volume.NotServedException {
        return new Client(volume(agent));
    }

    void promote(String agent) throws Exception {
        volume(agent).promote(false, false, LONG, s -> {});
    }

    List<String> members() {
        VolumeConfig config = lockManager.block().config();
        return config == null
                ? List.of()
                : config.inSync().stream().map(Member::agent).sorted().toList();
    }

    /** Stops it in good order, does something to the files of its replica, and starts it again. */
    public void restart(String agent, Change change) throws Exception {
        agent(agent).stop();
        change.of(agent(agent).directory());
        agent(agent).startAgain();
    }

    public interface Change {
        void of(Path replica) throws Exception;
    }

    void awaitServing(String agent) {
        awaitTrue(() -> volume(agent).serving());
    }

    public void awaitInSync(String... names) {
        awaitTrue(() -> members().equals(List.of(names)));
    }

    /** All have the same journal's end, and have applied it. */
    public void awaitAllApplied(String... names) {
        awaitTrue(() -> {
            long end = journal(names[0]).end();
            return Arrays.stream(names)
                    .allMatch(n -> journal(n).end() == end && replica(n).applied() == end);
        });
    }

    public static void awaitTrue(Callable<Boolean> condition) {
        await().atMost(LONG).until(condition);
    }

    @Override
    public void close() throws IOException {
        for (Agent agent : agents.values()) {
            agent.wire.letGo();
            if (agent.running) {
                agent.stop();
            }
            agent.network.close();
            agent.wire.close();
        }
    }

    final class Agent implements PeerNetwork {
        final String name;
        final FakeWire wire = new FakeWire();
        final GrpcPeerNetwork network;
        private Volumes volumes;
        private PeerServer server;
        private volatile boolean unsealable;

        /** The largest file there. */
        volatile long mostBytes = Long.MAX_VALUE;

        /** Pieces of the volume that this agent asked others for. */
        final AtomicInteger blocksFetched = new AtomicInteger();

        private volatile boolean running = true;

        Agent(String name) throws IOException {
            this.name = name;
            this.network = new GrpcPeerNetwork(name, links);
            this.volumes = makeVolumes();
            this.server = serve();
        }

        Volumes makeVolumes() throws IOException {
            Volume.Settings settings = new Volume.Settings(
                    name,
                    "boot",
                    budgetBytes,
                    peerTimeout,
                    Duration.ofSeconds(30),
                    Duration.ofSeconds(10),
                    TestHooks.NONE);
            return new Volumes(
                    temp.resolve(name),
                    settings,
                    v -> otherLockManagers.getOrDefault(v, lockManager).as(name),
                    this);
        }

        private PeerServer serve() throws IOException {
            PeerServer started = PeerServer.start(new InetSocketAddress("127.0.0.1", 0), volumes, links);
            wire.leadsTo(((InetSocketAddress) started.address()).getPort());
            return started;
        }

        Address address() {
            return new Address(name, wire.address(), controls.getOrDefault(name, "unused:1"));
        }

        Volumes volumes() {
            return volumes;
        }

        Volume volume() {
            Volume v = volumes.byName("v");
            if (v == null) {
                throw new IllegalStateException(name + " has no replica");
            }
            return v;
        }

        Path directory() {
            return temp.resolve(name + "/volumes/v");
        }

        void stop() {
            running = false;
            volumes.close();
            server.close();
        }

        /** What a kill now would leave; what is on its way here does not arrive. */
        void kill() throws IOException {
            wire.hold();
            Path killed = CrashCopy.of(temp.resolve(name), temp.resolve(name + "-killed"));
            stop();
            CrashCopy.delete(temp.resolve(name));
            CrashCopy.of(killed, temp.resolve(name));
            CrashCopy.delete(killed);
            wire.cut();
            wire.letGo();
        }

        /** Stops, and from now on connections to it are refused. */
        void vanish() throws IOException {
            stop();
            wire.close();
        }

        void startAgain() throws IOException {
            volumes = makeVolumes();
            volumes.openAll();
            server = serve();
            wire.join();
            running = true;
        }

        void cutOff() {
            unsealable = true;
            wire.cut();
        }

        void bringBack() {
            unsealable = false;
            wire.join();
        }

        byte[] image() throws IOException {
            return Files.readAllBytes(volume().imagePath());
        }

        @Override
        public PeerNetwork.Stream stream(PeerCursor cursor) {
            return network.stream(cursor);
        }

        @Override
        public CompletableFuture<Election.Answer> seal(
                Address peer, UUID volume, long term, long token, long configVersion, Duration deadline) {
            Agent target = agent(peer.agent());
            if (!target.running) {
                return CompletableFuture.failedFuture(new ConnectException("refused by " + peer.agent()));
            }
            if (target.unsealable) {
                return CompletableFuture.failedFuture(new IOException("no route to " + peer.agent()));
            }
            Volume there = target.volumes.byName("v");
            if (there == null) {
                return CompletableFuture.failedFuture(new IOException("no replica yet at " + peer.agent()));
            }
            try {
                return CompletableFuture.completedFuture(there.seal(term, token, configVersion, name));
            } catch (RefusedException e) {
                return CompletableFuture.failedFuture(e);
            }
        }

        @Override
        public CompletableFuture<Void> canHold(Address peer, UUID volume, long sizeBytes, Duration deadline) {
            Agent target = agent(peer.agent());
            try {
                if (!target.running || target.unsealable) {
                    throw new IOException("no route to " + peer.agent());
                }
                if (sizeBytes > target.mostBytes) {
                    throw new IOException("File too large");
                }
                target.volume().requireRoom(sizeBytes);
                return CompletableFuture.completedFuture(null);
            } catch (IOException | RefusedException e) {
                return CompletableFuture.failedFuture(e);
            }
        }

        @Override
        public CompletableFuture<Blocks> readBlocks(
                Address writer, UUID volume, long offset, int length, Duration deadline) {
            Agent target = agent(writer.agent());
            ByteBuffer data = ByteBuffer.allocate(length);
            try {
                if (!target.running || target.unsealable) {
                    throw new IOException("no route to " + writer.agent());
                }
                long position = target.volume().readForReplica(offset, data);
                blocksFetched.incrementAndGet();
                return CompletableFuture.completedFuture(new Blocks(data.flip(), position));
            } catch (IOException | RefusedException e) {
                return CompletableFuture.failedFuture(e);
            }
        }

        @Override
        public void fetch(Address peer, UUID volume, long from, long to, Inbound into, Duration deadline)
                throws IOException {
            network.fetch(peer, volume, from, to, into, deadline);
        }
    }

    /** A client that counts, and knows what it wrote. */
    public static final class Client implements ClientReplies {
        private final VolumeClient requests;
        final Set<Long> done = ConcurrentHashMap.newKeySet();
        final Map<Long, Failure> failed = new ConcurrentHashMap<>();
        volatile @Nullable String disconnected;
        private long cookies;

        Client(Volume volume) throws Volume.NotServedException {
            requests = volume.attach(this);
        }

        long write(long offset, byte[] bytes) {
            return write(offset, bytes, false);
        }

        private long write(long offset, byte[] bytes, boolean fua) {
            requests.write(++cookies, offset, ByteBuffer.wrap(bytes), fua);
            requests.endOfBatch();
            return cookies;
        }

        void writeThroughAndAwait(long offset, byte[] bytes) {
            awaitDone(write(offset, bytes, true));
        }

        public void writeAndAwait(long offset, byte[] bytes) {
            awaitDone(write(offset, bytes));
        }

        synchronized void awaitDone(long cookie) {
            long until = System.nanoTime() + LONG.toNanos();
            while (!done.contains(cookie)) {
                long leftMillis = (until - System.nanoTime()) / 1_000_000;
                if (leftMillis <= 0 || failed.containsKey(cookie) || disconnected != null) {
                    throw new AssertionError("request " + cookie + " is not done: failed with " + failed.get(cookie)
                            + ", disconnected because " + disconnected);
                }
                try {
                    wait(leftMillis);
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
        }

        void leave() {
            requests.close();
        }

        void zeroAndAwait(long offset, long length) {
            zeroAndAwait(offset, length, true);
        }

        void zeroAndAwait(long offset, long length, boolean mayPunch) {
            requests.zero(++cookies, offset, length, false, mayPunch);
            requests.endOfBatch();
            awaitDone(cookies);
        }

        public void flushAndAwait() {
            requests.flush(++cookies);
            requests.endOfBatch();
            awaitDone(cookies);
        }

        public byte[] read(long offset, int length) throws IOException, VolumeClient.LostGrantException {
            ByteBuffer into = ByteBuffer.allocate(length);
            requests.read(offset, into);
            return into.array();
        }

        @Override
        public synchronized void done(long cookie) {
            done.add(cookie);
            notifyAll();
        }

        @Override
        public synchronized void failed(long cookie, Failure why) {
            failed.put(cookie, why);
            notifyAll();
        }

        @Override
        public void flush() {}

        @Override
        public synchronized void disconnect(String why) {
            disconnected = why;
            notifyAll();
        }
    }
}
