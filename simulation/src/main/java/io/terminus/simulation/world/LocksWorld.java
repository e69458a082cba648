package io.terminus.simulation.world;

import io.terminus.lockmgr.app.SimulatedLockManager;
import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.GrantSet;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockListener;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.LockRefusedException;
import io.terminus.lockmgr.client.PutOutcome;
import io.terminus.lockmgr.client.Value;
import io.terminus.lockmgr.lock.ClaimView;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.simulation.kernel.Fault;
import io.terminus.simulation.kernel.Host;
import io.terminus.simulation.kernel.Rng;
import io.terminus.simulation.kernel.Scenario;
import io.terminus.simulation.kernel.SimFileSystem;
import io.terminus.simulation.kernel.World;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A lock manager and some clients that want locks of few ranges, hold them for a while, convert, shrink and split them, and write
 * value blocks. The lock manager is killed, paused, and loses its power; so are clients; links fail in one direction or both.
 *
 * <p>Checked: while two clients believe, they never hold what does not stand together; what a later holder of a range writes
 * has a higher token than anything before, and no two grants have the same; what the lock manager has granted stands together,
 * and nobody waits there for nothing; a value block that was written is never lost and no version is written twice; and
 * when nothing fails any more, everybody is answered, also who wants everything and waits until it is there.
 */
@SuppressWarnings("NullAway.Init") // nothing is asked of a scenario before its faults and its beginning
public final class LocksWorld implements Scenario {

    private static final String MANAGER = "lm";
    private static final int PORT = 10811;
    private static final int UNITS = 12;
    private static final long UNIT_BYTES = 4096;
    private static final long QUIET_NANOS = 60_000_000_000L;
    private static final List<String> VOLUMES = List.of("red", "blue");
    private static final List<LockMode> MODES =
            List.of(LockMode.EX, LockMode.EX, LockMode.PW, LockMode.PR, LockMode.PR, LockMode.CW, LockMode.CR);

    private final List<String> names = new ArrayList<>();
    private final Map<String, Client> clients = new TreeMap<>();
    private World world;
    private Rng rng;
    private long troubleNanos;
    private long ttlMillis;
    private long compactAfterBytes;
    private boolean quiet;
    private long lastCheckedStep;
    private @Nullable SimulatedLockManager manager;

    /** By volume and unit: the highest token with which anybody has written there. */
    private final Map<String, long[]> tokens = new HashMap<>();

    /** By volume: which lock each token belongs to that anybody has written with. */
    private final Map<String, Map<Long, Long>> holders = new HashMap<>();

    /** By volume: the highest version that is known to be written, and what each version was. */
    private final Map<String, Long> versions = new HashMap<>();

    private final Map<String, Map<Long, Long>> contents = new HashMap<>();
    private long lastContent;

    private static final class Client {
        final String name;
        final List<Grant> grants = new ArrayList<>();

        /** Hands that have not finished, of the process that runs now. */
        int busy;

        @Nullable
        LockClient locks;

        Client(String name) {
            this.name = name;
        }

        LockClient connected() {
            return Objects.requireNonNull(locks, () -> name + " has not connected");
        }
    }

    @Override
    public List<Fault> faults(World w) {
        Rng r = w.rng("faults");
        Rng shape = w.rng("shape");
        int count = 2 + shape.below(3);
        for (int i = 0; i < count; i++) {
            names.add("c" + i);
        }
        troubleNanos = (8L + shape.below(12)) * 1_000_000_000L;
        List<Fault> faults = new ArrayList<>();
        int most = r.below(14);
        for (int i = 0; i < most; i++) {
            long at = r.between(1_000_000_000L, troubleNanos);
            long lasts = r.perMille(700) ? r.below(1_500_000_000L) : r.below(5_000_000_000L);
            String client = r.pick(names);
            Fault f = switch (r.below(12)) {
                case 0, 1 -> new Fault(at, "pause", client, "", lasts);
                case 2 -> new Fault(at, "kill", client, "", lasts / 4);
                case 3, 4 -> new Fault(at, "kill", MANAGER, "", lasts / 4);
                case 5 -> new Fault(at, "power", MANAGER, "", lasts / 4);
                case 6 -> new Fault(at, "pause", MANAGER, "", lasts);
                case 7 -> new Fault(at, "cut", client, MANAGER, lasts);
                case 8 -> new Fault(at, "cut", MANAGER, client, lasts);
                case 9 -> new Fault(at, "part", client, MANAGER, lasts);
                case 10 -> new Fault(at, "slow", client, MANAGER, lasts);
                default -> new Fault(at, "slow", MANAGER, client, lasts);
            };
            faults.add(f);
        }
        return faults;
    }

    @Override
    public void begin(World w) {
        world = w;
        rng = w.rng("work");
        Rng shape = w.rng("shape of hosts");
        w.chaos(shape.coin() ? shape.below(10) : shape.below(150));
        w.net().weather(50_000 + shape.below(2_000_000L), shape.below(5_000_000L), shape.coin() ? 0 : shape.below(30));
        ttlMillis = 600L + shape.below(1500);
        compactAfterBytes = shape.coin() ? 64 << 20 : 2_000 + shape.below(20_000);
        w.host(MANAGER, Faults.rate(shape), shape.below(1_000_000_000L));
        for (String name : names) {
            w.host(name, Faults.rate(shape), shape.below(1_000_000_000L));
        }
        startManager();
        for (String name : names) {
            clients.put(name, new Client(name));
            startClient(name);
        }
        w.afterStep(this::check);
        w.after(troubleNanos + 6_000_000_000L, this::calm);
        w.after(troubleNanos + 6_000_000_000L + QUIET_NANOS, this::judge);
    }

    private void startManager() {
        Host host = world.host(MANAGER);
        host.powerUp();
        world.spawn(host.process(), "main", () -> {
            manager = SimulatedLockManager.start(
                    SimFileSystem.path("/" + MANAGER + "/data"),
                    PORT,
                    host.bootId(),
                    Duration.ofMillis(2_500),
                    compactAfterBytes);
        });
    }

    private void startClient(String name) {
        Host host = world.host(name);
        Client client = Objects.requireNonNull(clients.get(name));
        client.grants.clear();
        client.locks = null;
        client.busy = 1;
        int hands = 1 + rng.below(3);
        world.spawn(host.process(), "main", () -> {
            LockClient locks = LockClient.connect(LockClient.Config.of(MANAGER + ":" + PORT, name)
                    .withTtl(Duration.ofMillis(ttlMillis))
                    .withListener(listener(client)));
            client.locks = locks;
            for (int i = 0; i < hands; i++) {
                client.busy++;
                world.spawn(host.process(), "hand" + i, () -> work(client));
            }
            client.busy--;
        });
    }

    // ---- what clients do

    private LockListener listener(Client client) {
        return new LockListener() {
            @Override
            public void recalled(Grant grant, LockRange needed, Duration deadline) {
                if (rng.perMille(700)) {
                    give(client, grant);
                }
            }

            @Override
            public void lost(Grant grant, String why) {
                if (grant.believed()) {
                    world.violation(client.name + " believes in what it was told to have lost: " + grant);
                }
                client.grants.remove(grant);
            }
        };
    }

    private void give(Client client, Grant grant) {
        client.grants.remove(grant);
        var unused = grant.release();
        if (grant.believed()) {
            world.violation(client.name + " believes in what it has released: " + grant);
        }
    }

    private LockRange range() {
        int from = rng.below(UNITS);
        int to = Math.min(UNITS, from + 1 + rng.below(4));
        return LockRange.of(from * UNIT_BYTES, to * UNIT_BYTES);
    }

    private void work(Client client) {
        while (!quiet) {
            try {
                act(client);
            } catch (LockRefusedException e) {
                // Every reason there is may come.
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            World.sleep(rng.below(200_000_000L));
        }
        for (Grant grant : List.copyOf(client.grants)) {
            give(client, grant);
        }
        for (String volume : VOLUMES) {
            waitForAll(client, volume);
        }
        client.busy--;
    }

    /** However long it takes: if nobody wakes who waits, it is busy in the end. */
    private void waitForAll(Client client, String volume) {
        while (true) {
            try {
                Grant grant = client.connected()
                        .acquire(AcquireRequest.of(
                                volume, LockRange.of(0, Long.MAX_VALUE), LockMode.EX, Duration.ofHours(24)))
                        .get();
                client.grants.add(grant);
                checkBeliefs();
                World.sleep(rng.below(50_000_000L));
                write(client, grant);
                give(client, grant);
                world.count("waits to the end");
                return;
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            } catch (ExecutionException e) {
                // What a session that ended takes with it is asked for anew.
                World.sleep(100_000_000L);
            }
        }
    }

    private void act(Client client) throws InterruptedException {
        String volume = rng.pick(VOLUMES);
        switch (rng.below(10)) {
            case 0 -> readValue(client, volume);
            case 1 -> writeValue(client, volume);
            case 2 -> several(client);
            default -> one(client, volume);
        }
    }

    private void one(Client client, String volume) throws InterruptedException {
        LockMode mode = rng.pick(MODES);
        AcquireRequest wanted = rng.perMille(60)
                ? AcquireRequest.standby(volume, range(), LockMode.EX)
                : AcquireRequest.of(volume, range(), mode, Duration.ofMillis(rng.below(3) == 0 ? 0 : rng.below(3_000)));
        if (rng.perMille(200)) {
            wanted = wanted.withDesired(LockRange.of(0, UNITS * UNIT_BYTES));
        }
        var pending = client.connected().acquire(wanted);
        if (rng.perMille(60)) {
            World.sleep(rng.below(500_000_000L));
            pending.cancel(false);
        }
        Grant grant;
        try {
            grant = pending.get(4 + rng.below(4), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            if (!pending.cancel(false)) {
                pending.thenAccept(Grant::close);
            }
            return;
        } catch (ExecutionException | java.util.concurrent.CancellationException e) {
            return;
        }
        hold(client, grant);
    }

    private void several(Client client) throws InterruptedException {
        int from = rng.below(UNITS - 1);
        List<AcquireRequest> parts = List.of(
                AcquireRequest.of(
                        VOLUMES.get(0),
                        LockRange.of(from * UNIT_BYTES, (from + 1) * UNIT_BYTES),
                        rng.pick(MODES),
                        Duration.ofMillis(800)),
                AcquireRequest.of(
                        VOLUMES.get(1),
                        LockRange.of(from * UNIT_BYTES, (from + 2) * UNIT_BYTES),
                        rng.pick(MODES),
                        Duration.ofMillis(800)));
        var pending = client.connected().acquireAll(parts);
        GrantSet set;
        try {
            set = pending.get(6, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            if (!pending.cancel(false)) {
                pending.thenAccept(GrantSet::close);
            }
            return;
        } catch (ExecutionException | java.util.concurrent.CancellationException e) {
            return;
        }
        Grant first = set.get(0);
        Grant second = set.get(1);
        client.grants.add(first);
        client.grants.add(second);
        checkBeliefs();
        World.sleep(rng.below(400_000_000L));
        write(client, first);
        write(client, second);
        give(client, first);
        give(client, second);
    }

    private void hold(Client client, Grant grant) throws InterruptedException {
        client.grants.add(grant);
        checkBeliefs();
        int times = 1 + rng.below(4);
        for (int i = 0; i < times; i++) {
            write(client, grant);
            World.sleep(rng.perMille(100) ? rng.below(3_000_000_000L) : rng.below(300_000_000L));
            if (rng.perMille(250)) {
                change(client, grant);
            }
        }
        give(client, grant);
    }

    private void change(Client client, Grant grant) throws InterruptedException {
        LockRange r = grant.range();
        try {
            switch (rng.below(3)) {
                case 0 ->
                    grant.convert(rng.pick(MODES), Duration.ofMillis(rng.below(500)))
                            .get(3, TimeUnit.SECONDS);
                case 1 -> {
                    if (r.endExclusive() - r.startInclusive() > UNIT_BYTES) {
                        grant.shrink(LockRange.of(r.startInclusive(), r.endExclusive() - UNIT_BYTES))
                                .get(3, TimeUnit.SECONDS);
                    }
                }
                default -> {
                    if (r.endExclusive() - r.startInclusive() > UNIT_BYTES) {
                        Grant upper =
                                grant.split(r.startInclusive() + UNIT_BYTES).get(3, TimeUnit.SECONDS);
                        client.grants.add(upper);
                        checkBeliefs();
                        write(client, upper);
                        give(client, upper);
                    }
                }
            }
        } catch (ExecutionException | TimeoutException | IllegalArgumentException | IllegalStateException e) {
            // Refused, late, or not possible any more.
        }
        checkBeliefs();
    }

    /** Storage behind the lock: the guard is asked, and in the same instant the write is done. */
    private void write(Client client, Grant grant) {
        LockRange r = grant.range();
        LockMode mode = grant.mode();
        boolean writes = mode == LockMode.EX || mode == LockMode.PW;
        if (!writes || !grant.believed(r.startInclusive(), r.endExclusive())) {
            return;
        }
        long token = grant.token();
        world.count("writes");
        Long other =
                holders.computeIfAbsent(grant.volume(), v -> new HashMap<>()).putIfAbsent(token, grant.lockId());
        if (other != null && other != grant.lockId()) {
            world.violation(client.name + " writes to " + grant.volume() + " with token " + token + " under lock "
                    + grant.lockId() + ", which lock " + other + " has written with");
        }
        long[] seen = tokens.computeIfAbsent(grant.volume(), v -> new long[UNITS]);
        for (long unit = r.startInclusive() / UNIT_BYTES;
                unit < Math.min(UNITS, r.endExclusive() / UNIT_BYTES);
                unit++) {
            if (seen[(int) unit] > token) {
                world.violation(client.name + " believes, and has token " + token + " for unit " + unit + " of "
                        + grant.volume() + ", which was written with " + seen[(int) unit]);
            }
            seen[(int) unit] = token;
        }
    }

    private void readValue(Client client, String volume) throws InterruptedException {
        long least = versions.getOrDefault(volume, 0L);
        try {
            Value value = client.connected().value(volume).get(4, TimeUnit.SECONDS);
            if (value.version() < least) {
                world.violation(client.name + " reads version " + value.version() + " of " + volume + ", but " + least
                        + " was written before");
            }
            if (value.version() > 0) {
                known(volume, value.version(), content(value.bytes()), client.name + " reads");
            }
        } catch (ExecutionException | TimeoutException e) {
            // Refused or late.
        }
    }

    private static long content(byte[] bytes) {
        return bytes.length == Long.BYTES ? ByteBuffer.wrap(bytes).getLong() : -1;
    }

    private void known(String volume, long version, long content, String who) {
        Long before = contents.computeIfAbsent(volume, v -> new HashMap<>()).putIfAbsent(version, content);
        if (before != null && before != content) {
            world.violation(who + " version " + version + " of " + volume + " as " + content + ", which was " + before);
        }
    }

    private void writeValue(Client client, String volume) throws InterruptedException {
        try (Grant grant = client.connected()
                .lock(AcquireRequest.of(
                        volume,
                        LockRange.of(0, Long.MAX_VALUE), // a value block is written under nothing less
                        rng.coin() ? LockMode.EX : LockMode.PW,
                        Duration.ofMillis(rng.below(1_000))))) {
            client.grants.add(grant);
            try {
                checkBeliefs();
                Value value = client.connected().value(volume).get(4, TimeUnit.SECONDS);
                if (rng.coin()) {
                    World.sleep(rng.below(2_000_000_000L));
                }
                long content = ++lastContent;
                PutOutcome outcome = client.connected()
                        .putValue(
                                grant,
                                value.version(),
                                ByteBuffer.allocate(Long.BYTES).putLong(content).array())
                        .get(8, TimeUnit.SECONDS);
                if (outcome instanceof PutOutcome.Written written) {
                    known(volume, written.version(), content, client.name + " wrote");
                    if (written.version() <= versions.getOrDefault(volume, 0L)
                            && written.version() <= value.version()) {
                        world.violation(client.name + " wrote version " + written.version() + " of " + volume + " over "
                                + value.version());
                    }
                    versions.merge(volume, written.version(), Math::max);
                }
            } catch (ExecutionException | TimeoutException e) {
                // Refused or late.
            } finally {
                client.grants.remove(grant);
            }
        }
    }

    // ---- checkers

    private void check() {
        if (world.steps() - lastCheckedStep >= 200) {
            lastCheckedStep = world.steps();
            checkBeliefs();
            SimulatedLockManager m = manager;
            if (m != null) {
                VOLUMES.forEach(volume -> checkGranted(m.table(), volume));
                if (!m.table().recovering()) {
                    checkWaiters(m.table());
                }
            }
        }
    }

    /** What the lock manager itself has granted stands together. */
    private void checkGranted(LockTable table, String volume) {
        List<ClaimView.LockView> locks =
                table.locks(LockQuery.all(volume, 1_000)).items();
        for (int i = 0; i < locks.size(); i++) {
            for (int j = i + 1; j < locks.size(); j++) {
                ClaimView.LockView a = locks.get(i);
                ClaimView.LockView b = locks.get(j);
                if (a.start() < b.end() && b.start() < a.end() && !a.mode().compatibleWith(b.mode())) {
                    world.violation("the lock manager has granted both " + a + " and " + b);
                }
            }
        }
    }

    /** One of several locks that are asked for together may wait for the others only; but not all of them for nothing. */
    private void checkWaiters(LockTable table) {
        Map<List<Object>, List<ClaimView.WaiterView>> requests = VOLUMES.stream()
                .flatMap(volume -> table.waiters(LockQuery.all(volume, 1_000)).items().stream())
                .collect(Collectors.groupingBy(w -> List.of(w.sessionId(), w.requestId(), w.convertsLockId())));
        for (List<ClaimView.WaiterView> together : requests.values()) {
            world.count("waiters looked at");
            if (together.stream().allMatch(w -> w.blockedBy().isEmpty())) {
                world.violation("nothing is in the way of " + together + ", and it waits");
            }
        }
    }

    private record Believed(Client client, Grant grant) {}

    private void checkBeliefs() {
        List<Believed> all = new ArrayList<>();
        for (Client c : clients.values()) {
            Host host = world.host(c.name);
            for (Grant g : c.grants) {
                if (world.as(host, g::believed)) {
                    all.add(new Believed(c, g));
                }
            }
        }
        for (int i = 0; i < all.size(); i++) {
            for (int j = i + 1; j < all.size(); j++) {
                compare(all.get(i), all.get(j));
            }
        }
    }

    private void compare(Believed a, Believed b) {
        if (!a.grant.volume().equals(b.grant.volume()) || a.client == b.client && a.grant.equals(b.grant)) {
            return;
        }
        LockRange x = a.grant.range();
        LockRange y = b.grant.range();
        if (!x.overlaps(y) || a.grant.mode().standsWith(b.grant.mode())) {
            return;
        }
        long from = Math.max(x.startInclusive(), y.startInclusive());
        long to = Math.min(x.endExclusive(), y.endExclusive());
        boolean both = world.as(world.host(a.client.name), () -> a.grant.believed(from, to))
                && world.as(world.host(b.client.name), () -> b.grant.believed(from, to));
        if (both) {
            world.violation(a.client.name + " and " + b.client.name + " both believe: " + a.grant + " and " + b.grant);
        }
    }

    // ---- faults

    @Override
    public void strike(World w, Fault f) {
        Host host = w.host(f.at());
        switch (f.kind()) {
            case "kill", "power" -> {
                if (f.kind().equals("kill")) {
                    host.kill();
                } else {
                    host.losePower();
                }
                forget(f.at());
                if (f.at().equals(MANAGER)) {
                    manager = null;
                }
                Host.Process process = host.process();
                w.after(f.lastsNanos(), () -> {
                    if (process.equals(host.process())) {
                        restart(f.at());
                    }
                });
            }
            case "slow" -> w.net().slow(f.at(), f.other(), f.lastsNanos() / 8, 20);
            default -> Faults.strike(w, f);
        }
    }

    private void forget(String name) {
        Client c = clients.get(name);
        if (c != null) {
            c.grants.clear();
        }
    }

    /** A process that was killed comes back, as often as it is killed. */
    private void restart(String name) {
        if (name.equals(MANAGER)) {
            startManager();
        } else {
            startClient(name);
        }
    }

    private void calm() {
        quiet = true;
        world.net().weather(100_000, 100_000, 0);
        world.say("world", "from here on nothing fails, and everybody finishes");
    }

    private void judge() {
        for (Client c : clients.values()) {
            if (c.locks != null && c.locks.status().requestsInFlight() > 0) {
                world.violation(c.name + " still waits for an answer: " + c.locks.status());
            }
            if (c.locks == null || c.locks.status().state() != LockClient.State.ATTACHED) {
                world.violation(c.name + " found no way back to the lock manager: "
                        + (c.locks == null ? "never started" : c.locks.status()));
            }
            if (c.busy > 0) {
                world.violation(c.name + " has not finished, though nothing fails any more: " + c.busy
                        + " of its hands still wait");
            }
            if (!c.grants.isEmpty()) {
                world.violation(c.name + " still holds " + c.grants);
            }
        }
        world.finish();
    }
}
