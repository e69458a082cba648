package io.terminus.simulation.world;

import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.terminus.agent.app.SimulatedAgent;
import io.terminus.agent.volume.Role;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeSight;
import io.terminus.lockmgr.app.SimulatedLockManager;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.AddReplicaRequest;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.PromoteProgress;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.RecreateReplicaRequest;
import io.terminus.proto.agent.v1.RemoveReplicaRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.simulation.kernel.Fault;
import io.terminus.simulation.kernel.Host;
import io.terminus.simulation.kernel.Rng;
import io.terminus.simulation.kernel.Scenario;
import io.terminus.simulation.kernel.SimFileSystem;
import io.terminus.simulation.kernel.World;
import io.terminus.simulation.standin.Grpc;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * A lock manager and three agents with a replica each of one volume, whose clients write, read and flush wherever it is served.
 * Processes are killed and paused, machines lose their power, links fail and garble, disks fail, fill up, lose what was not synced, bring
 * back something else than was written, and are replaced by empty ones; some faults wait for the moment in which they hurt most.
 *
 * <p>Checked: see {@link ReplicaChecks} for what is looked at between steps and {@link Oracle} for what clients may see; and
 * when nothing fails any more, the volume is served, every request is answered, and all replicas become the same.
 */
@SuppressWarnings("NullAway.Init") // nothing is asked of a scenario before its faults and its beginning
public final class AgentsWorld implements Scenario {

    static final String MANAGER = "lm";
    static final String OPERATOR = "op";
    static final String VOLUME = "v";
    static final List<String> AGENTS = List.of("a", "b", "c");
    static final int BLOCK_BYTES = 4096;

    private static final int PORT = 10811;
    private static final int SEGMENT_BYTES = 1 << 20;
    private static final long SETUP_NANOS = 4_000_000_000L;
    private static final long REPAIR_NANOS = 180_000_000_000L;

    private World world;
    private Rng rng;
    private AckLevel level;
    private int copies;
    private int minCopies;
    private boolean automatic;
    private int blocks;
    private long budgetBytes;
    private int heavy;
    private long troubleNanos;
    private boolean created;
    private boolean quiet;

    private Oracle oracle;
    private ReplicaChecks checks;
    private @Nullable SimulatedLockManager manager;
    private final Map<String, SimulatedAgent> agents = new HashMap<>();
    private final Set<Disk> clients = new HashSet<>();
    private final List<Fault> armed = new ArrayList<>();

    /** Whose journal may still have what the disk made of it, where nobody needs it any more. */
    private final Set<String> rotten = new HashSet<>();

    private long managerVersion;
    private long seenVersion;
    private byte @Nullable [] valueRead;
    private @Nullable VolumeConfig configRead;

    // ---- what goes wrong

    @Override
    public List<Fault> faults(World w) {
        Rng shape = w.rng("shape");
        level = shape.coin() ? AckLevel.RECEIVED : AckLevel.DURABLE;
        copies = shape.coin() ? 2 : 0;
        copies = w.rng("one copy").below(6) == 0 ? 1 : copies;
        minCopies = shape.below(3) == 0 ? 2 : 1;
        automatic = shape.below(5) != 0;
        troubleNanos = SETUP_NANOS + (6 + shape.below(14)) * 1_000_000_000L;
        Rng r = w.rng("faults");
        List<Fault> faults = new ArrayList<>();
        boolean diskFailed = false;
        int most = r.below(12);
        for (int i = 0; i < most; i++) {
            long at = r.between(SETUP_NANOS, troubleNanos);
            long lasts = r.perMille(600) ? r.below(1_500_000_000L) : r.below(6_000_000_000L);
            String agent = r.pick(AGENTS);
            String other = r.pick(AGENTS.stream().filter(a -> !a.equals(agent)).toList());
            Fault f = switch (r.below(24)) {
                case 0, 1, 2 -> new Fault(at, "kill", agent, "", lasts / 2);
                case 3, 4 -> new Fault(at, "power", agent, "", lasts / 2);
                case 5, 6 -> new Fault(at, "pause", agent, "", lasts);
                case 7 -> new Fault(at, "kill", MANAGER, "", lasts / 4);
                case 8 -> new Fault(at, "power", MANAGER, "", lasts / 4);
                case 9 -> new Fault(at, "pause", MANAGER, "", lasts / 2);
                case 10 -> new Fault(at, "cut", agent, other, lasts);
                case 11 -> new Fault(at, "part", agent, other, lasts);
                case 12 -> new Fault(at, "part", agent, MANAGER, lasts);
                case 13 -> new Fault(at, "cut", MANAGER, agent, lasts);
                case 14 -> new Fault(at, "alone", agent, "", lasts);
                case 15 -> new Fault(at, "slow", agent, other, lasts);
                case 16 -> new Fault(at, "full", agent, "", lasts);
                case 17 -> new Fault(at, "eio", agent, r.coin() ? "/journal/" : "/image", lasts);
                case 18 -> new Fault(at, "kill at-election", agent, "", lasts / 2);
                case 19 -> new Fault(at, "part at-election", agent, MANAGER, lasts);
                case 20 -> new Fault(at, r.coin() ? "kill at-put" : "power at-put", MANAGER, "", lasts / 4);
                case 21 -> new Fault(at, "usurp", agent, "", 2_000_000_000L + lasts);
                case 22 -> new Fault(at, "lag", agent, other, 2_000_000_000L + lasts);
                default -> new Fault(at, "slow disk", agent, "", lasts);
            };
            if (f.kind().equals("eio")) {
                if (diskFailed) {
                    continue; // a second one may leave nobody to serve, and the rest of the run would show nothing
                }
                diskFailed = true;
            }
            faults.add(f);
        }
        addBadMedia(w.rng("bad media"), diskFailed, faults);
        addBlackout(w.rng("blackout"), most, faults);
        return faults;
    }

    /**
     * As likely as two of the kinds above. Several machines lose their power in one instant, so that what is on no disk is gone;
     * half the time behind a second in which their disks are so slow that it is much.
     */
    private void addBlackout(Rng r, int chances, List<Fault> faults) {
        for (int i = 0; i < chances; i++) {
            if (r.below(13) == 0) {
                List<String> dark = new ArrayList<>(AGENTS);
                String first = dark.remove(r.below(dark.size()));
                if (r.coin()) {
                    dark.remove(r.below(dark.size()));
                }
                if (r.coin()) {
                    dark.add(r.below(dark.size() + 1), MANAGER);
                }
                faults.add(new Fault(
                        r.between(SETUP_NANOS, troubleNanos),
                        r.coin() ? "blackout" : "slow blackout",
                        first,
                        String.join(",", dark),
                        r.below(3_000_000_000L)));
            }
        }
    }

    /** Of disks at most one in a run: two may leave nobody to serve, and the rest of the run would show nothing. */
    private void addBadMedia(Rng r, boolean diskFailed, List<Fault> faults) {
        if (r.below(3) == 0) {
            String agent = r.pick(AGENTS);
            String other = r.pick(AGENTS.stream().filter(a -> !a.equals(agent)).toList());
            faults.add(new Fault(r.between(SETUP_NANOS, troubleNanos), "garble", agent, other, 0));
        }
        if (!diskFailed && r.below(3) == 0) {
            String kind = r.coin() ? "wipe" : "rot";
            faults.add(
                    new Fault(r.between(SETUP_NANOS, troubleNanos), kind, r.pick(AGENTS), "", r.below(2_000_000_000L)));
        }
    }

    @Override
    public void begin(World w) {
        world = w;
        rng = w.rng("work");
        Rng shape = w.rng("shape of hosts");
        w.chaos(shape.coin() ? shape.below(5) : shape.below(60));
        w.net().weather(50_000 + shape.below(1_000_000L), shape.below(3_000_000L), shape.coin() ? 0 : shape.below(10));
        blocks = 32 + shape.below(96);
        budgetBytes = (3 + shape.below(4)) * (long) SEGMENT_BYTES;
        heavy = shape.below(4) == 0 ? 40 : 4;
        w.host(MANAGER, Faults.rate(shape), shape.below(1_000_000_000L));
        w.host(OPERATOR, 1, 0);
        for (String a : AGENTS) {
            w.host(a, Faults.rate(shape), shape.below(1_000_000_000L));
        }
        oracle = new Oracle(w, blocks);
        checks = new ReplicaChecks(w, oracle, level == AckLevel.RECEIVED, copies, budgetBytes);
        startManager();
        AGENTS.forEach(this::startAgent);
        w.spawn(w.host(OPERATOR).process(), "operator", this::operate);
        w.afterStep(this::afterStep);
        w.after(troubleNanos + 8_000_000_000L, this::calm);
        w.after(troubleNanos + 8_000_000_000L + REPAIR_NANOS, this::judge);
    }

    private void startManager() {
        Host host = world.host(MANAGER);
        host.powerUp();
        world.spawn(
                host.process(),
                "main",
                () -> manager = SimulatedLockManager.start(
                        SimFileSystem.path("/" + MANAGER + "/data"),
                        PORT,
                        host.bootId(),
                        Duration.ofMillis(2_500),
                        rng.coin() ? 64 << 20 : 20_000));
    }

    private void startAgent(String name) {
        Host host = world.host(name);
        host.powerUp();
        agents.remove(name);
        Host.Process process = host.process();
        world.spawn(process, "main", () -> {
            try {
                agents.put(
                        name,
                        SimulatedAgent.start(
                                name,
                                SimFileSystem.path("/" + name + "/data"),
                                host.bootId(),
                                MANAGER + ":" + PORT,
                                Duration.ofMillis(1_500),
                                Duration.ofMillis(1_000),
                                Duration.ofSeconds(6),
                                budgetBytes));
                world.spawn(process, "clients", () -> attend(name, process));
            } catch (IOException | RuntimeException e) {
                // As its supervisor would: it is started again.
                world.say(name, "cannot start: " + e);
                World.sleep(1_000_000_000L);
                if (world.host(name).process().equals(process)) {
                    world.host(name).kill();
                    startAgent(name);
                }
            }
        });
    }

    private @Nullable Volume volume(String agent) {
        SimulatedAgent a = agents.get(agent);
        return a == null || world.host(agent).process().dead()
                ? null
                : a.volumes().byName(VOLUME);
    }

    private boolean serves(String agent) {
        Volume v = volume(agent);
        return v != null && v.serving();
    }

    private Volume open(String agent) {
        return Objects.requireNonNull(volume(agent), () -> agent + " has no replica open");
    }

    /** That agent's replica, which is open, with its own clock. */
    private VolumeSight sight(String agent) {
        Volume v = open(agent);
        return world.as(world.host(agent), () -> VolumeSight.of(v));
    }

    // ---- the operator: makes the volume, promotes where that is needed, replaces what has failed

    private AgentControlGrpc.AgentControlBlockingStub control(String agent, long seconds) {
        return AgentControlGrpc.newBlockingStub(Grpc.channel(agent + ":" + SimulatedAgent.GRPC_PORT))
                .withDeadlineAfter(seconds, TimeUnit.SECONDS);
    }

    private void operate() {
        while (!created) {
            World.sleep(100_000_000L);
            try {
                CreateVolumeRequest.Builder request = CreateVolumeRequest.newBuilder()
                        .setName(VOLUME)
                        .setSizeBytes((long) blocks * BLOCK_BYTES)
                        .setAckLevel(level)
                        .setCopies(copies)
                        .setMinCopies(minCopies)
                        .setFailover(automatic ? Failover.AUTOMATIC : Failover.MANUAL)
                        .setSegmentBytes(SEGMENT_BYTES);
                for (String peer : AGENTS.subList(1, AGENTS.size())) {
                    request.addPeers(address(peer));
                }
                var made = control(AGENTS.getFirst(), 30).createVolume(request.build());
                created = !made.getName().isEmpty();
                world.say(OPERATOR, "the volume is created");
            } catch (StatusRuntimeException e) {
                world.say(OPERATOR, "not created: " + e.getStatus());
            }
        }
        while (true) {
            World.sleep(1_000_000_000L + rng.below(3_000_000_000L));
            boolean served = AGENTS.stream().anyMatch(this::serves);
            if (served && (quiet || rng.below(3) == 0)) {
                replaceFailed();
                replaceLost();
            }
            if (!served && (!automatic || quiet) || !quiet && rng.perMille(80)) {
                promote(rng.pick(AGENTS), rng.below(4) == 0);
            }
        }
    }

    private void replaceFailed() {
        for (String a : AGENTS) {
            Volume v = volume(a);
            if (v != null && sight(a).role() == Role.FAILED) {
                try {
                    world.host(a).disk().wellAgain();
                    checks.replacing(a);
                    var unused = control(a, 10)
                            .recreateReplica(RecreateReplicaRequest.newBuilder()
                                    .setName(VOLUME)
                                    .build());
                    checks.replaced(a, true);
                    world.say(OPERATOR, "the failed replica at " + a + " is made anew");
                } catch (StatusRuntimeException e) {
                    checks.replaced(a, false);
                    world.say(OPERATOR, "the failed replica at " + a + " stays: " + e.getStatus());
                }
            }
        }
    }

    /** On a disk that is new there is none. */
    private void replaceLost() {
        Optional<String> writer = AGENTS.stream().filter(this::serves).findFirst();
        for (String a : AGENTS) {
            if (writer.isEmpty() || !checks.isDiskLost(a) || agents.get(a) == null || volume(a) != null) {
                continue;
            }
            try {
                control(writer.get(), 10)
                        .removeReplica(RemoveReplicaRequest.newBuilder()
                                .setName(VOLUME)
                                .setAgent(a)
                                .build());
                control(writer.get(), 10)
                        .addReplica(AddReplicaRequest.newBuilder()
                                .setName(VOLUME)
                                .setReplica(address(a))
                                .build());
                world.say(OPERATOR, "the replica at " + a + ", whose disk is new, is made anew");
            } catch (StatusRuntimeException e) {
                world.say(OPERATOR, "no new replica at " + a + ": " + e.getStatus());
            }
        }
    }

    private static ReplicaAddress.Builder address(String agent) {
        return ReplicaAddress.newBuilder()
                .setAgent(agent)
                .setPeer(agent + ":" + SimulatedAgent.PEER_PORT)
                .setControl(agent + ":" + SimulatedAgent.GRPC_PORT);
    }

    private void promote(String agent, boolean force) {
        try {
            world.say(OPERATOR, "promote " + agent + (force ? " --force" : ""));
            CompletableFuture<Boolean> over = new CompletableFuture<>();
            AgentControlGrpc.newStub(Grpc.channel(agent + ":" + SimulatedAgent.GRPC_PORT))
                    .withDeadlineAfter(12, TimeUnit.SECONDS)
                    .promote(
                            PromoteRequest.newBuilder()
                                    .setName(VOLUME)
                                    .setForce(force)
                                    .setTimeoutMillis(10_000)
                                    .build(),
                            new StreamObserver<PromoteProgress>() {
                                @Override
                                public void onNext(PromoteProgress value) {}

                                @Override
                                public void onError(Throwable t) {
                                    world.say(OPERATOR, "not promoted: " + t.getMessage());
                                    over.complete(false);
                                }

                                @Override
                                public void onCompleted() {
                                    over.complete(true);
                                }
                            });
            var unused = over.get(14, TimeUnit.SECONDS);
        } catch (InterruptedException | ExecutionException | TimeoutException e) {
            world.say(OPERATOR, "not promoted: " + e);
        }
    }

    // ---- clients

    private void attend(String name, Host.Process process) {
        while (true) {
            World.sleep(20_000_000L + rng.below(100_000_000L));
            Volume v = volume(name);
            if (v != null && v.serving()) {
                Disk disk = new Disk(name, process);
                clients.add(disk);
                try {
                    disk.use(v);
                } catch (Volume.NotServedException e) {
                    // It was served a moment ago.
                } finally {
                    disk.over = true;
                    clients.remove(disk);
                }
            }
        }
    }

    /** One connection of a client, which asks one thing after the other, and has several open. */
    private final class Disk implements io.terminus.agent.volume.ClientReplies {
        private final String agent;
        private final Host.Process process;
        private final Map<Long, Runnable> open = new TreeMap<>();
        private long cookies;
        private boolean over;
        private Volume volume;

        Disk(String agent, Host.Process process) {
            this.agent = agent;
            this.process = process;
        }

        void use(Volume v) throws Volume.NotServedException {
            volume = v;
            var client = v.attach(this);
            long term = VolumeSight.of(v).term();
            int requests = quiet ? 4 : 20 + rng.below(300);
            for (int i = 0; i < requests && !over; i++) {
                int batch = 1 + rng.below(3);
                for (int n = 0; n < batch && open.size() < 16 && !over; n++) {
                    request(client, term);
                }
                client.endOfBatch();
                if (!over) {
                    World.sleep(rng.below(heavy > 20 ? 12_000_000L : 60_000_000L));
                }
            }
            long until = World.here().nanoTime() + 20_000_000_000L;
            while (!over && !open.isEmpty() && (quiet || World.here().nanoTime() < until)) {
                World.sleep(10_000_000L);
            }
            client.close();
        }

        private void request(io.terminus.agent.volume.VolumeClient client, long term) {
            long cookie = ++cookies;
            int first = rng.below(blocks);
            int count = Math.min(blocks - first, 1 + rng.below(rng.below(4) == 0 ? heavy : 3));
            int kind = rng.below(20);
            if (kind == 0) {
                long[] safe = oracle.flushIssued();
                ReplicaChecks.Promised before = ReplicaChecks.committed(VolumeSight.of(volume));
                open.put(cookie, () -> flushed(safe, before));
                client.flush(cookie);
            } else if (kind < 6) {
                read(client, first, count, term);
            } else {
                boolean zeros = kind == 6;
                boolean fua = kind == 7 || zeros && rng.below(3) == 0;
                long id = oracle.issue(first, count, term, zeros);
                if (fua) {
                    long[] safe = oracle.flushIssued();
                    ReplicaChecks.Promised before = ReplicaChecks.committed(VolumeSight.of(volume));
                    open.put(cookie, () -> {
                        acked(id);
                        oracle.flushedWrite(id);
                        flushed(safe, before);
                    });
                } else {
                    open.put(cookie, () -> acked(id));
                }
                if (zeros) {
                    client.zero(cookie, (long) first * BLOCK_BYTES, (long) count * BLOCK_BYTES, fua, rng.coin());
                    return;
                }
                ByteBuffer bytes =
                        ByteBuffer.allocateDirect(count * BLOCK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
                while (bytes.hasRemaining()) {
                    bytes.putLong(id);
                }
                // Its pages may be written over as soon as the batch is captured; here they stay.
                client.write(cookie, (long) first * BLOCK_BYTES, bytes.flip(), fua);
            }
        }

        private void acked(long id) {
            world.count("acknowledgements");
            checks.acknowledged(VolumeSight.of(volume));
            oracle.acknowledged(id);
        }

        /** What was acknowledged before it was asked for stands before it in the journal. */
        private void flushed(long[] safe, ReplicaChecks.Promised before) {
            world.count("flushes");
            checks.flushed(before);
            oracle.flushed(safe);
        }

        private void read(io.terminus.agent.volume.VolumeClient client, int first, int count, long term) {
            List<Set<Long>> before = new ArrayList<>();
            for (int b = first; b < first + count; b++) {
                before.add(oracle.stamps(b));
            }
            ByteBuffer into = ByteBuffer.allocateDirect(count * BLOCK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            try {
                client.read((long) first * BLOCK_BYTES, into);
            } catch (IOException | io.terminus.agent.volume.VolumeClient.LostGrantException e) {
                return;
            }
            for (int b = 0; b < count; b++) {
                oracle.read(first + b, stamp(into, b, agent), before.get(b), term, "a client of " + agent);
            }
        }

        @Override
        public void done(long cookie) {
            Runnable then = open.remove(cookie);
            if (then != null && !process.dead()) {
                then.run();
            }
        }

        @Override
        public void failed(long cookie, Failure why) {
            open.remove(cookie);
        }

        @Override
        public void flush() {}

        @Override
        public void disconnect(String why) {
            over = true;
        }
    }

    private long stamp(ByteBuffer bytes, int block, String agent) {
        long stamp = bytes.getLong(block * BLOCK_BYTES);
        for (int at = 8; at < BLOCK_BYTES; at += 8) {
            if (bytes.getLong(block * BLOCK_BYTES + at) != stamp) {
                world.violation("a block at " + agent + " is a mixture of " + stamp + " and "
                        + bytes.getLong(block * BLOCK_BYTES + at));
            }
        }
        return stamp;
    }

    // ---- faults

    @Override
    public void strike(World w, Fault f) {
        if (f.kind().contains("at-") || f.kind().equals("usurp") || f.kind().equals("lag")) {
            armed.add(f);
            return;
        }
        strike(f);
    }

    private void strike(Fault f) {
        Host host = world.host(f.at());
        switch (f.kind()) {
            case "kill", "power" -> down(host, f.kind().equals("power"), f.lastsNanos());
            case "wipe" -> {
                down(host, true, f.lastsNanos());
                checks.diskLost(f.at());
                host.disk().wipe();
            }
            case "rot" -> rot(host, f.lastsNanos());
            case "blackout" -> blackout(f);
            case "slow blackout" -> {
                dark(f).forEach(h -> h.disk().syncTakes(1_000_000_000L));
                world.after(1_000_000_000L, () -> {
                    dark(f).forEach(h -> h.disk().syncTakes(300_000));
                    blackout(f);
                });
            }
            case "slow" -> world.net().slow(f.at(), f.other(), f.lastsNanos() / 20, 10);
            case "full" -> {
                host.disk().full(true);
                world.after(f.lastsNanos(), () -> host.disk().full(false));
            }
            case "eio" -> {
                switch (rng.below(5)) {
                    case 0, 1 -> host.disk().failNextSync(f.other());
                    case 2, 3 -> host.disk().failNextWrite(f.other());
                    default -> host.disk().failNextRead(f.other());
                }
            }
            case "slow disk" -> {
                host.disk().syncTakes(f.lastsNanos() / 10);
                world.after(f.lastsNanos(), () -> host.disk().syncTakes(300_000));
            }
            case "garble" -> world.net().garble(f.at(), f.other());
            default -> Faults.strike(world, f);
        }
    }

    private List<Host> dark(Fault f) {
        List<Host> hosts = new ArrayList<>(List.of(world.host(f.at())));
        for (String other : f.other().split(",")) {
            hosts.add(world.host(other));
        }
        return hosts;
    }

    /** They come back one after the other. */
    private void blackout(Fault f) {
        world.count("blackouts");
        List<Host> dark = dark(f);
        for (int i = 0; i < dark.size(); i++) {
            down(dark.get(i), true, f.lastsNanos() * (i + 1) / dark.size());
        }
    }

    /**
     * Of what the superblock says was safe, something in the journal comes back from the disk as something else. That is
     * noticed; behind it, a bad record passes for one that was never finished.
     */
    private void rot(Host host, long lastsNanos) {
        Volume v = volume(host.name());
        if (v == null) {
            return;
        }
        VolumeSight s = sight(host.name());
        down(host, true, lastsNanos);
        if (s.safe() > s.oldest()) {
            // What is behind the checkpoint is read at the start; the rest only by whoever sends it to others.
            long from =
                    s.checkpoint() < s.safe() && rng.perMille(700) ? Math.max(s.oldest(), s.checkpoint()) : s.oldest();
            long position = from + rng.below(s.safe() - from);
            String image = v.imagePath().toString().substring(1 + host.name().length());
            String file = image.substring(0, image.lastIndexOf('/'))
                    + "/journal/%016x.seg".formatted(position / SEGMENT_BYTES);
            String how = host.disk().rot(file, (int) (position % SEGMENT_BYTES), rng);
            if (how == null) {
                world.say("FAULT", "position " + position + " of the journal of " + host.name() + " is as it was");
                return;
            }
            world.say("FAULT", "position " + position + " of the journal of " + host.name() + ": " + how);
            world.count("rots");
            checks.diskDamaged(host.name());
            rotten.add(host.name());
        }
    }

    private void down(Host host, boolean power, long lastsNanos) {
        String name = host.name();
        if (AGENTS.contains(name)) {
            noteBlock();
            checks.dies(name, volume(name) == null ? null : sight(name), power);
        }
        if (power) {
            host.losePower();
        } else {
            host.kill();
        }
        agents.remove(name);
        if (name.equals(MANAGER)) {
            manager = null;
        }
        clients.removeIf(d -> d.process.dead());
        Host.Process process = host.process();
        world.after(lastsNanos, () -> {
            if (process.equals(host.process())) {
                if (name.equals(MANAGER)) {
                    startManager();
                } else {
                    startAgent(name);
                }
            }
        });
    }

    /** Those faults whose moment has come. */
    private void strikeArmed() {
        for (Fault f : List.copyOf(armed)) {
            Volume v = AGENTS.contains(f.at()) ? volume(f.at()) : null;
            Optional<Fault> now = switch (f.kind()) {
                case "kill at-election", "part at-election" ->
                    v != null && sight(f.at()).role() == Role.CANDIDATE && rng.below(12) == 0
                            ? Optional.of(as(f, f.kind().split(" ")[0]))
                            : Optional.empty();
                case "kill at-put", "power at-put" ->
                    versionMoved() ? Optional.of(as(f, f.kind().split(" ")[0])) : Optional.empty();
                case "usurp" -> v != null && v.serving() ? Optional.of(as(f, "pause")) : Optional.empty();
                case "lag" -> v != null && !v.serving() ? Optional.of(as(f, "alone")) : Optional.empty();
                default -> throw new IllegalArgumentException(f.kind());
            };
            if (now.isPresent()) {
                armed.remove(f);
                world.say("FAULT", "now: " + f);
                strike(now.get());
                if (f.kind().equals("lag")) {
                    // Whoever is far behind is to be made the writer as soon as it can be asked.
                    world.after(
                            f.lastsNanos(),
                            () -> world.spawn(
                                    world.host(OPERATOR).process(), "promote", () -> promote(f.at(), rng.coin())));
                }
            }
        }
    }

    private static Fault as(Fault f, String kind) {
        return new Fault(f.atNanos(), kind, f.at(), f.other(), f.lastsNanos());
    }

    private boolean versionMoved() {
        long version = version();
        boolean moved = managerVersion != 0 && version > managerVersion;
        managerVersion = Math.max(managerVersion, version);
        return moved;
    }

    private long version() {
        SimulatedLockManager m = manager;
        return m == null
                ? 0
                : m.table().value(VOLUME).map(LockTable.ValueView::version).orElse(0L);
    }

    /** The block as the lock manager has it, or null. Read once for each version: it is asked for all the time. */
    @SuppressWarnings("ReferenceEquality") // the very bytes that were read last
    private @Nullable VolumeConfig config() {
        SimulatedLockManager m = manager;
        byte[] now = m == null
                ? null
                : m.table().value(VOLUME).map(LockTable.ValueView::value).orElse(null);
        if (now != valueRead) {
            valueRead = now;
            configRead = now == null ? null : VolumeSight.config(now);
        }
        return configRead;
    }

    // ---- checkers

    private void afterStep() {
        noteBlock();
        if (!armed.isEmpty() && world.steps() % 64 == 0) {
            strikeArmed();
        }
        if (!created) {
            return;
        }
        if (world.steps() % 128 == 0 || checks.due()) {
            look();
        }
        for (String a : AGENTS) {
            Volume v = volume(a);
            long term = v == null ? 0 : VolumeSight.openedTerm(v);
            if (checks.isNew(term)) {
                look();
                checks.opened(a, term);
            }
        }
    }

    private void noteBlock() {
        long version = version();
        if (version > seenVersion) {
            seenVersion = version;
            VolumeConfig config = config();
            if (config != null) {
                checks.moved(config, version);
            }
        }
    }

    private void look() {
        Map<String, VolumeSight> volumes = new TreeMap<>();
        for (String a : AGENTS) {
            if (volume(a) != null) {
                volumes.put(a, sight(a));
            }
        }
        checks.look(volumes, config(), version());
    }

    private void calm() {
        quiet = true;
        armed.clear();
        world.net().weather(100_000, 100_000, 0);
        for (Host host : world.hosts()) {
            host.disk().wellAgain();
            host.disk().syncTakes(300_000);
        }
        world.say("world", "from here on nothing fails");
        world.after(1_000_000_000L, this::lookForPeace);
    }

    /** As soon as all is well the run may end. */
    private void lookForPeace() {
        if (notWell() == null) {
            judge();
        } else {
            world.after(1_000_000_000L, this::lookForPeace);
        }
    }

    private @Nullable String notWell() {
        VolumeConfig config = config();
        if (config == null) {
            return "the lock manager has no value block of the volume";
        }
        String writer = null;
        for (String a : AGENTS) {
            Volume v = volume(a);
            if (v == null) {
                return a + " has no replica open";
            }
            VolumeSight s = sight(a);
            if (s.role() == Role.FAILED) {
                return a + " has failed: " + s.failed();
            }
            if (s.serving()) {
                writer = a;
            }
            if (config.member(a).isEmpty()) {
                return a + " is not in sync: " + s.detail();
            }
        }
        if (writer == null) {
            return "nobody serves: "
                    + AGENTS.stream()
                            .map(a -> a + " " + sight(a).role() + ", " + sight(a).detail())
                            .toList();
        }
        for (Disk d : clients) {
            if (!d.open.isEmpty()) {
                return "a client of " + d.agent + " waits for " + d.open.keySet();
            }
        }
        VolumeSight of = sight(writer);
        for (String a : AGENTS) {
            VolumeSight s = sight(a);
            if (s.applied() != of.end() || s.end() != of.end()) {
                return a + " has applied " + s.applied() + " of " + s.end() + ", the writer's journal ends at "
                        + of.end();
            }
        }
        return null;
    }

    private void judge() {
        String not = created ? notWell() : "the volume was never created";
        if (not != null) {
            if (created && config() != null && checks.mayBeStuck()) {
                world.say("world", "not repaired, as it may be: " + not);
                world.count("ended stuck: " + checks.whyStuck());
                AGENTS.stream().filter(a -> volume(a) != null).forEach(this::holdsOnlyWhatWasWritten);
            } else {
                world.violation("nothing fails any more, and yet: " + not);
            }
            world.finish();
            return;
        }
        world.count("ended served");
        byte[] first = null;
        for (String a : AGENTS) {
            byte[] image = image(a);
            ByteBuffer bytes = ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN);
            for (int b = 0; b < blocks; b++) {
                long stamp = stamp(bytes, b, a);
                if (!oracle.allows(b, stamp)) {
                    world.violation("in the end block " + b + " at " + a + " holds " + stamp + ", where only "
                            + oracle.allowed(b) + " may be");
                }
                oracle.shown(stamp, "in the end " + a);
            }
            if (first != null && !Arrays.equals(first, image)) {
                world.violation("in the end the images of " + AGENTS.getFirst() + " and " + a + " differ");
            }
            first = first == null ? image : first;
        }
        journalsAreTheSame();
        world.finish();
    }

    /** Whose volume is not served may be behind, but has nothing that nobody wrote. */
    private void holdsOnlyWhatWasWritten(String agent) {
        ByteBuffer bytes = ByteBuffer.wrap(image(agent)).order(ByteOrder.LITTLE_ENDIAN);
        for (int b = 0; b < blocks; b++) {
            long stamp = stamp(bytes, b, agent);
            if (!oracle.wasWritten(b, stamp)) {
                world.violation("in the end block " + b + " at " + agent + " holds " + stamp
                        + ", which was never written there");
            }
        }
    }

    /** Of what all of them still have, byte for byte; but for those whose disk has made something else of it. */
    private void journalsAreTheSame() {
        List<String> sound = AGENTS.stream().filter(a -> !rotten.contains(a)).toList();
        long from = AGENTS.stream().mapToLong(a -> sight(a).oldest()).max().orElseThrow();
        long to = AGENTS.stream().mapToLong(a -> sight(a).end()).min().orElseThrow();
        for (long at = from; at < to; at = (at / SEGMENT_BYTES + 1) * SEGMENT_BYTES) {
            int begin = (int) (at % SEGMENT_BYTES);
            int end = (int) Math.min(SEGMENT_BYTES, to - at + begin);
            byte[] first = segment(sound.getFirst(), at);
            for (String a : sound) {
                int differs = Arrays.mismatch(first, begin, end, segment(a, at), begin, end);
                if (differs >= 0) {
                    world.violation("in the end the journals of " + sound.getFirst() + " and " + a
                            + " differ at position " + (at + differs));
                }
            }
        }
    }

    private byte[] segment(String agent, long position) {
        return bytes(open(agent)
                .imagePath()
                .resolveSibling("journal/%016x.seg".formatted(position / SEGMENT_BYTES))
                .toString());
    }

    private byte[] image(String agent) {
        return bytes(open(agent).imagePath().toString());
    }

    private static byte[] bytes(String file) {
        try {
            return Files.readAllBytes(SimFileSystem.path(file));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
