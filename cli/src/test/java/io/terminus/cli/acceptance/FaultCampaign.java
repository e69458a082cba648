package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import io.terminus.cli.acceptance.Oracle.Flush;
import io.terminus.cli.acceptance.Oracle.Read;
import io.terminus.cli.acceptance.Oracle.Violation;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.awaitility.core.ConditionTimeoutException;

/**
 * Clients write to a volume, and things go wrong. After each fault everything is made whole, and then nothing that was
 * acknowledged is gone, nothing is there that nobody wrote, and both replicas hold the same.
 *
 * <p>What goes wrong follows from the seed, and when, as far as the machine is the same every time, which it is not.
 */
final class FaultCampaign implements AutoCloseable {

    /** What can go wrong in one cycle. */
    enum Fault {
        KILL_WRITER(10),
        KILL_REPLICA(8),
        KILL_LOCK_MANAGER(4),
        KILL_BOTH_AGENTS(6),
        KILL_EVERYTHING(4),
        KILL_WRITER_THEN_SUCCESSOR(6),
        KILL_WHAT_STARTS(6),
        STOP_WRITER_PAST_ITS_LEASE(5),
        STOP_REPLICA_PAST_ITS_TIMEOUT(3),
        STOP_LOCK_MANAGER_PAST_THE_LEASES(2),
        REPLICA_STUTTERS(3),
        CUT_BETWEEN_AGENTS(3),
        CUT_FROM_WRITER_TO_REPLICA(2),
        CUT_FROM_REPLICA_TO_WRITER(2),
        CUT_BETWEEN_WRITER_AND_LOCK_MANAGER(3),
        CUT_FROM_WRITER_TO_LOCK_MANAGER(2),
        CUT_FROM_LOCK_MANAGER_TO_WRITER(2),
        CUT_AROUND_WRITER(3),
        SLOW_REPLICA(3),
        FLIPS_ON_THE_WIRE(5),
        FULL_DISK_AT_WRITER(2),
        FULL_DISK_AT_REPLICA(3),
        FULL_DISKS(2),
        FLIP_IN_JOURNAL(4),
        /** Only when asked for by name: see docs/found-bugs.md. */
        FLIP_IN_HISTORY(0),
        SEGMENT_CUT_SHORT(4),
        RECORD_OF_ANOTHER_VERSION(2);

        final int weight;

        Fault(int weight) {
            this.weight = weight;
        }

        /** Asks that the other copy is whole, and stays so until this one is again. */
        boolean isDamage() {
            return this == FLIP_IN_JOURNAL
                    || this == FLIP_IN_HISTORY
                    || this == SEGMENT_CUT_SHORT
                    || this == RECORD_OF_ANOTHER_VERSION;
        }

        /** Waits for a writer, so it comes alone or first. */
        boolean waits() {
            return isDamage()
                    || this == KILL_WRITER_THEN_SUCCESSOR
                    || this == STOP_WRITER_PAST_ITS_LEASE
                    || this == STOP_REPLICA_PAST_ITS_TIMEOUT
                    || this == STOP_LOCK_MANAGER_PAST_THE_LEASES;
        }
    }

    private static final int CLIENTS = 3;
    private static final int PIECE_SECTORS = 2048;
    private static final int CYCLES_PER_STOP = 8;
    private static final int STORY_LINES = 60;
    private static final int VIOLATIONS_TOLD = 6;

    private final FaultySet set;
    private final Path folder;
    private final long seed;
    private final Random chance;
    private final Oracle oracle;
    private final Stamp stamp;
    private final List<OracleClient> clients = new ArrayList<>();
    private final List<Fault> possible = new ArrayList<>();

    private final List<String> story = new ArrayList<>();
    private final long beganNanos = System.nanoTime();
    private final Map<Fault, Integer> done = new EnumMap<>(Fault.class);
    private final Map<String, Integer> kills = new TreeMap<>();
    private int cycles;
    /** Nobody reads journals again before what was applied, so damage there stays. */
    private long journalsWholeFrom;

    private boolean damaged;

    FaultCampaign(FaultySet set, Path folder, long sizeBytes, long seed) {
        this.set = set;
        this.folder = folder;
        this.seed = seed;
        this.chance = new Random(seed);
        this.oracle = new Oracle(Math.toIntExact(sizeBytes / Oracle.SECTOR_BYTES));
        this.stamp = new Stamp(chance.nextLong());
        for (int i = 1; i <= CLIENTS; i++) {
            clients.add(new OracleClient(i, oracle, stamp, set.nbd(), FaultySet.VOLUME, chance.nextLong()));
        }
        String only = System.getProperty("terminus.campaign.faults", "");
        for (Fault fault : Fault.values()) {
            boolean can = switch (fault) {
                case FLIPS_ON_THE_WIRE -> set.network().canFlip();
                case FULL_DISK_AT_WRITER, FULL_DISK_AT_REPLICA, FULL_DISKS -> set.hasSmallDisks();
                default -> true;
            };
            int weight = only.isEmpty()
                    ? fault.weight
                    : List.of(only.split(",", -1)).contains(fault.name()) ? Math.max(1, fault.weight) : 0;
            for (int i = 0; can && i < weight; i++) {
                possible.add(fault);
            }
        }
    }

    /** One fault, or two beside each other, and what has to be true afterwards. */
    void cycle() {
        cycles++;
        try {
            resume();
            awaitAcknowledged(20 + chance.nextInt(300));
            rest(chance.nextInt(800));
            inject();
            heal();
            audit();
            if (cycles % CYCLES_PER_STOP == 0) {
                stopAndStart();
            }
        } catch (AssertionError | RuntimeException e) {
            throw new AssertionError(told(String.valueOf(e.getMessage())), e);
        }
    }

    /** A few blocks are overwritten all the time while the replica reads slowly, and stumbles. */
    void overwriteHotBlocks(int writes) {
        cycles++;
        try {
            String replica = FaultySet.other(set.awaitWriter());
            tell("cycle " + cycles + ": hot blocks, " + replica + " is slow");
            set.network().slow(replica);
            clients.forEach(client -> client.resume(20_000, true));
            long goal = oracle.acknowledged() + writes;
            while (oracle.acknowledged() < goal) {
                awaitAcknowledged((int) Math.min(200 + chance.nextInt(400), goal - oracle.acknowledged()));
                set.signal(replica, "STOP");
                rest(chance.nextInt(30));
                set.signal(replica, "CONT");
            }
            heal();
            audit();
        } catch (AssertionError | RuntimeException e) {
            throw new AssertionError(told(String.valueOf(e.getMessage())), e);
        }
    }

    /** How much of what. */
    String summary() {
        Map<Integer, Integer> errors = new TreeMap<>();
        clients.forEach(client -> client.errors().forEach((error, times) -> errors.merge(error, times, Integer::sum)));
        return String.format(
                Locale.ROOT,
                "%d cycles in %d s, seed %d; faults %s; killed %s; writes acknowledged %d, unknown %d; errors answered %s",
                cycles,
                TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - beganNanos),
                seed,
                done,
                kills,
                oracle.acknowledged(),
                oracle.unknown(),
                errors);
    }

    @Override
    public void close() {
        clients.forEach(OracleClient::close);
    }

    // ---- What goes wrong -------------------------------------------------------------------------------------------

    private void inject() {
        Fault fault = possible.get(chance.nextInt(possible.size()));
        String writer = set.awaitWriter();
        boolean another = !fault.isDamage() && chance.nextInt(4) == 0;
        begin(fault, writer);
        if (another) {
            Fault second = possible.get(chance.nextInt(possible.size()));
            rest(chance.nextInt(1_500));
            if (!second.waits() && second != fault) {
                begin(second, set.writer().orElse(writer));
            }
        }
    }

    private void begin(Fault fault, String writer) {
        String replica = FaultySet.other(writer);
        done.merge(fault, 1, Integer::sum);
        damaged |= fault.isDamage();
        tell(fault + ", " + writer + " writes");
        Network network = set.network();
        switch (fault) {
            case KILL_WRITER -> killAndWait(writer);
            case KILL_REPLICA -> killAndWait(replica);
            case KILL_LOCK_MANAGER -> killAndWait(FaultySet.LOCKMGR);
            case KILL_BOTH_AGENTS -> {
                String first = chance.nextBoolean() ? writer : replica;
                kill(first);
                rest(chance.nextInt(3) * chance.nextInt(500));
                kill(FaultySet.other(first));
                rest(chance.nextInt(500));
                startInAnyOrder();
            }
            case KILL_EVERYTHING -> {
                List<String> all = new ArrayList<>(List.of(FaultySet.LOCKMGR, "a", "b"));
                Collections.shuffle(all, chance);
                for (String process : all) {
                    kill(process);
                    rest(chance.nextInt(2) * chance.nextInt(300));
                }
                startInAnyOrder();
            }
            case KILL_WRITER_THEN_SUCCESSOR -> {
                kill(writer);
                if (chance.nextBoolean()) {
                    set.start(writer);
                }
                String successor = set.awaitWriter();
                tell("now " + successor + " writes");
                rest(chance.nextInt(700));
                kill(successor);
                rest(chance.nextInt(300));
                startInAnyOrder();
            }
            case KILL_WHAT_STARTS -> {
                String victim = List.of(writer, replica, FaultySet.LOCKMGR).get(chance.nextInt(3));
                kill(victim);
                for (int i = chance.nextInt(3); i >= 0; i--) {
                    set.start(victim);
                    rest(300 + chance.nextInt(2_500));
                    kill(victim);
                }
            }
            case STOP_WRITER_PAST_ITS_LEASE -> stop(writer, FaultySet.LEASE);
            case STOP_REPLICA_PAST_ITS_TIMEOUT -> stop(replica, FaultySet.PEER_TIMEOUT);
            case STOP_LOCK_MANAGER_PAST_THE_LEASES -> stop(FaultySet.LOCKMGR, FaultySet.LEASE);
            case REPLICA_STUTTERS -> {
                for (int i = 0; i < 12; i++) {
                    set.signal(replica, "STOP");
                    rest(chance.nextInt(250));
                    set.signal(replica, "CONT");
                    rest(chance.nextInt(60));
                }
            }
            case CUT_BETWEEN_AGENTS -> {
                network.cut(writer, replica);
                network.cut(replica, writer);
                rest(cutMillis());
            }
            case CUT_FROM_WRITER_TO_REPLICA -> cut(writer, replica);
            case CUT_FROM_REPLICA_TO_WRITER -> cut(replica, writer);
            case CUT_BETWEEN_WRITER_AND_LOCK_MANAGER -> {
                network.cut(writer, FaultySet.LOCKMGR);
                network.cut(FaultySet.LOCKMGR, writer);
                rest(cutMillis());
            }
            case CUT_FROM_WRITER_TO_LOCK_MANAGER -> cut(writer, FaultySet.LOCKMGR);
            case CUT_FROM_LOCK_MANAGER_TO_WRITER -> cut(FaultySet.LOCKMGR, writer);
            case CUT_AROUND_WRITER -> {
                network.cut(writer, replica);
                network.cut(replica, writer);
                network.cut(writer, FaultySet.LOCKMGR);
                network.cut(FaultySet.LOCKMGR, writer);
                rest(cutMillis());
            }
            case SLOW_REPLICA -> {
                network.slow(replica);
                rest(1_000 + chance.nextInt(3_000));
            }
            case FLIPS_ON_THE_WIRE -> {
                for (int i = 0; i < 6; i++) {
                    network.flip(chance.nextInt(4) == 0 ? replica : writer, chance.nextInt(4) == 0 ? writer : replica);
                    network.flip(writer, replica);
                    rest(chance.nextInt(700));
                }
            }
            case FULL_DISK_AT_WRITER -> fill(List.of(writer));
            case FULL_DISK_AT_REPLICA -> fill(List.of(replica));
            case FULL_DISKS -> fill(FaultySet.AGENTS);
            case FLIP_IN_JOURNAL -> {
                String victim = killOneOfTwo(writer);
                for (int i = chance.nextInt(3); i >= 0; i--) {
                    tell("damaged at " + victim + ": " + JournalDamage.flip(set.replica(victim), chance));
                }
                set.start(victim);
            }
            case FLIP_IN_HISTORY -> {
                // What the image has, and the replica needs from the journal.
                long from = set.end();
                kill(replica);
                awaitAcknowledged(50 + chance.nextInt(200));
                long to = set.end();
                set.stop(writer);
                tell("damaged at " + writer + ": " + JournalDamage.flip(set.replica(writer), from, to, chance));
                set.start(writer);
            }
            case SEGMENT_CUT_SHORT -> {
                String victim = killOneOfTwo(writer);
                tell("cut short at " + victim + ": " + JournalDamage.cutShort(set.replica(victim), chance));
                set.start(victim);
            }
            case RECORD_OF_ANOTHER_VERSION -> otherVersion(writer);
        }
    }

    private void killAndWait(String process) {
        kill(process);
        rest(chance.nextInt(3) * chance.nextInt(1_500));
    }

    private void kill(String process) {
        tell("kill -9 " + process);
        kills.merge(process, 1, Integer::sum);
        set.kill(process);
    }

    private void startInAnyOrder() {
        List<String> all = new ArrayList<>(List.of(FaultySet.LOCKMGR, "a", "b"));
        Collections.shuffle(all, chance);
        for (String process : all) {
            set.start(process);
            rest(chance.nextInt(2) * chance.nextInt(400));
        }
    }

    private void stop(String process, Duration past) {
        set.signal(process, "STOP");
        rest(past.toMillis() + chance.nextInt(2_500));
        if (chance.nextInt(3) == 0) {
            await().atMost(LiveSet.PATIENCE)
                    .until(() -> set.writer()
                                    .filter(writer -> !writer.equals(process))
                                    .isPresent()
                            || process.equals(FaultySet.LOCKMGR));
        }
        set.signal(process, "CONT");
        rest(chance.nextInt(500));
    }

    private void cut(String from, String to) {
        set.network().cut(from, to);
        rest(cutMillis());
    }

    private long cutMillis() {
        return chance.nextInt(4) == 0 ? chance.nextInt(800) : 1_000 + chance.nextInt(4_000);
    }

    private void fill(List<String> agents) {
        agents.forEach(set::fillDisk);
        rest(1_000 + chance.nextInt(3_000));
    }

    /** Both copies are whole, so that either may be damaged as long as the other is not. */
    private String killOneOfTwo(String writer) {
        await().atMost(LiveSet.PATIENCE).until(set::inSync);
        String victim = chance.nextInt(3) == 0 ? writer : FaultySet.other(writer);
        kill(victim);
        return victim;
    }

    private void otherVersion(String writer) {
        String volume = set.status(writer).map(status -> status.getUuid()).orElseThrow();
        String victim = killOneOfTwo(writer);
        Optional<JournalDamage.OtherVersion> changed =
                JournalDamage.otherVersion(set.replica(victim), UUID.fromString(volume));
        tell("another version at " + victim + ": " + changed);
        set.start(victim);
        rest(2_000 + chance.nextInt(2_000));
        String serving = set.awaitWriter();
        if (changed.isPresent() && !serving.equals(FaultySet.other(victim))) {
            throw new AssertionError("agent " + serving + " serves with a journal of another version");
        }
        kill(victim);
        changed.ifPresent(JournalDamage.OtherVersion::undo);
        tell("undone: " + set);
        set.start(victim);
    }

    // ---- Making whole, and looking ---------------------------------------------------------------------------------

    private void heal() {
        boolean quiet = chance.nextBoolean();
        if (quiet) {
            clients.forEach(OracleClient::stop);
        }
        tell("healing, clients " + (quiet ? "rest" : "write on"));
        set.network().heal();
        for (String agent : FaultySet.AGENTS) {
            if (set.hasSmallDisks()) {
                set.freeDisk(agent);
            }
            set.signal(agent, "CONT");
        }
        set.signal(FaultySet.LOCKMGR, "CONT");
        set.startMissing();
        if (!quiet) {
            awaitAcknowledged(50);
        }
        set.awaitInSync();
    }

    private void audit() {
        clients.forEach(OracleClient::stop);
        clients.forEach(OracleClient::awaitQuiet);
        checkClients();
        List<Violation> violations = new ArrayList<>();
        await("the volume can be read from one end to the other: " + set)
                .atMost(LiveSet.PATIENCE)
                .until(() -> readAll(violations));
        if (!violations.isEmpty()) {
            throw new AssertionError(violations.size() + " sectors are wrong:\n" + tell(violations));
        }
        set.awaitApplied();
        long mismatch = set.mismatch();
        if (mismatch >= 0) {
            throw new AssertionError("the images differ at offset " + mismatch);
        }
        if (damaged) {
            damaged = false;
            journalsWholeFrom = set.end();
        }
        long at = set.journalMismatch(journalsWholeFrom);
        if (at >= 0) {
            throw new AssertionError("the journals differ in the record at position " + at);
        }
        checkLogs();
        set.forgetRescued();
        tell("all is well, " + oracle.acknowledged() + " writes acknowledged");
    }

    private void checkClients() {
        for (OracleClient client : clients) {
            Throwable failure = client.failure();
            if (failure != null) {
                throw new AssertionError("a client failed: " + failure, failure);
            }
            if (!client.violations().isEmpty()) {
                throw new AssertionError("a client read what cannot be:\n" + tell(client.violations()));
            }
        }
    }

    private static String tell(List<Violation> violations) {
        StringBuilder told = new StringBuilder();
        violations.stream()
                .limit(VIOLATIONS_TOLD)
                .forEach(violation -> told.append(violation).append('\n'));
        return told.toString();
    }

    private boolean readAll(List<Violation> violations) {
        for (InetSocketAddress agent : set.nbd()) {
            try (NbdConnection connection = NbdConnection.open(agent, FaultySet.VOLUME, 5_000)) {
                Flush flush = oracle.issueFlush();
                connection.send(NbdConnection.FLUSH, 0, 1, 0, 0, new byte[0]);
                if (connection.receive(30_000).error() != 0) {
                    return false;
                }
                oracle.flushed(flush);
                for (int at = 0; at < oracle.size(); at += PIECE_SECTORS) {
                    int sectors = Math.min(PIECE_SECTORS, oracle.size() - at);
                    Read read = oracle.beginRead(at, sectors);
                    boolean answered = false;
                    try {
                        connection.send(
                                NbdConnection.READ,
                                0,
                                at,
                                (long) at * Oracle.SECTOR_BYTES,
                                sectors * Oracle.SECTOR_BYTES,
                                new byte[0]);
                        if (connection.receive(30_000).error() != 0) {
                            return false;
                        }
                        byte[] data = connection.data(sectors * Oracle.SECTOR_BYTES);
                        answered = true;
                        violations.addAll(oracle.audit(read, stamp.read(data, at)));
                    } finally {
                        if (!answered) {
                            oracle.giveUp(read);
                        }
                    }
                }
                connection.disconnect();
                return true;
            } catch (IOException notHere) {
                // The other one, or not yet.
            }
        }
        return false;
    }

    private void stopAndStart() {
        tell("stop in order");
        set.stopInOrder();
        long mismatch = set.mismatch();
        if (mismatch >= 0) {
            throw new AssertionError("the images differ at offset " + mismatch + " after a clean stop");
        }
        checkLogs();
        set.startMissing();
        set.awaitInSync();
    }

    private void checkLogs() {
        List<String> complaints = set.complaints();
        if (!complaints.isEmpty()) {
            throw new AssertionError("the logs complain:\n" + String.join("\n", complaints));
        }
    }

    private void resume() {
        int pace = List.of(60, 400, 2_000).get(chance.nextInt(3));
        tell("cycle " + cycles + ": " + CLIENTS + " clients, at most " + pace + " requests a second each");
        clients.forEach(client -> client.resume(pace, false));
    }

    private void awaitAcknowledged(int more) {
        long goal = oracle.acknowledged() + more;
        try {
            await().atMost(LiveSet.PATIENCE).pollInterval(Duration.ofMillis(10)).until(() -> {
                checkClients();
                return oracle.acknowledged() >= goal;
            });
        } catch (ConditionTimeoutException e) {
            throw new AssertionError("writes are not acknowledged: " + set, e);
        }
    }

    private static void rest(long millis) {
        try {
            TimeUnit.MILLISECONDS.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    private void tell(String line) {
        String told = String.format(Locale.ROOT, "%9.3f  %s", (System.nanoTime() - beganNanos) / 1e9, line);
        story.add(told);
        try {
            Files.writeString(
                    folder.resolve("story"), told + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String told(String what) {
        String wrong = String.format(
                Locale.ROOT,
                "%s%nIn cycle %d, with -Dterminus.campaign.seed=%d; logs and data are in %s.%nNow: %s%nThe story:%n%s%n%s",
                what,
                cycles,
                seed,
                folder,
                set,
                String.join("\n", story.subList(Math.max(0, story.size() - STORY_LINES), story.size())),
                summary());
        tell(wrong);
        return wrong;
    }
}
