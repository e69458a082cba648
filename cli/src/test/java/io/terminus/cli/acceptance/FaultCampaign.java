package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * Clients write to volumes, and things go wrong. After each fault everything is made whole, and then nothing that was
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
        /** Long, and only when asked for by name: processes are killed and started as fast as they come. */
        KILL_OVER_AND_OVER(0),
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
        RECORD_OF_ANOTHER_VERSION(2),
        /** These four only on {@link PowerDisks}. */
        POWER_LOSS_AT_WRITER(6),
        POWER_LOSS_AT_REPLICA(4),
        POWER_LOSS_AT_LOCK_MANAGER(3),
        POWER_LOSS_EVERYWHERE(10),
        SLOW_DISK_AT_WRITER(2),
        SLOW_DISK_AT_REPLICA(2),
        CLOCK_STEP(4),
        /** One process after the other goes on with another build. */
        UPGRADE(2);

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

        /** What is not on a disk is gone. */
        boolean isPowerLoss() {
            return this == POWER_LOSS_AT_WRITER
                    || this == POWER_LOSS_AT_REPLICA
                    || this == POWER_LOSS_AT_LOCK_MANAGER
                    || this == POWER_LOSS_EVERYWHERE;
        }

        /** Nothing else may go wrong beside it: what may be lost depends on who else has it. */
        boolean isAlone() {
            return isDamage() || isPowerLoss() || this == UPGRADE;
        }

        /** Waits for a writer, so it comes alone or first. */
        boolean waits() {
            return isAlone()
                    || this == KILL_WRITER_THEN_SUCCESSOR
                    || this == STOP_WRITER_PAST_ITS_LEASE
                    || this == STOP_REPLICA_PAST_ITS_TIMEOUT
                    || this == STOP_LOCK_MANAGER_PAST_THE_LEASES;
        }
    }

    private static final int CLIENTS = 3;
    /** Of each, where there are several. */
    private static final int CLIENTS_OF_A_VOLUME = 2;

    private static final int CYCLES_PER_STOP = 8;
    private static final int KILLS_OVER_AND_OVER = 12;
    private static final int STORY_LINES = 60;

    /**
     * @param only these faults; empty: all that the set can have
     * @param auditEvery so many cycles all volumes are read from one end to the other
     * @param otherBuild for upgrades: a directory like that of this repository, built
     * @param slowDisks disks may be slow, if need be by strace
     */
    record Plan(Set<Fault> only, int auditEvery, Optional<Path> otherBuild, boolean slowDisks) {

        static Plan ofEveryBuild() {
            String only = System.getProperty("terminus.campaign.faults", "");
            return new Plan(faults(only), 1, Optional.empty(), false);
        }

        /** @param named with commas */
        static Set<Fault> faults(String named) {
            Set<Fault> faults = EnumSet.noneOf(Fault.class);
            for (String name : named.isEmpty() ? List.<String>of() : List.of(named.split(",", -1))) {
                faults.add(Fault.valueOf(name.strip()));
            }
            return faults;
        }
    }

    private final FaultySet set;
    private final Path folder;
    private final long seed;
    private final Random chance;
    private final Plan plan;
    private final List<WatchedVolume> volumes = new ArrayList<>();
    private final List<Guest> guests;
    /** What the faults of this cycle go by. */
    private WatchedVolume focus;

    private final List<Fault> possible = new ArrayList<>();

    private final List<String> story = new ArrayList<>();
    private final long beganNanos = System.nanoTime();
    private final Map<Fault, Integer> done = new EnumMap<>(Fault.class);
    private final Map<String, Integer> kills = new TreeMap<>();
    private int cycles;
    private int audits;
    /** Of this cycle. */
    private final List<String> faults = new ArrayList<>();

    private boolean otherBuild;
    /** Everybody has stopped writing already. */
    private boolean resting;

    FaultCampaign(FaultySet set, Path folder, long seed, Plan plan, List<Guest> guests, Set<String> guestVolumes) {
        this.set = set;
        this.folder = folder;
        this.seed = seed;
        this.chance = new Random(seed);
        this.plan = plan;
        this.guests = guests;
        List<FaultySet.Volume> watched = set.volumes().stream()
                .filter(volume -> !guestVolumes.contains(volume.name()))
                .toList();
        for (FaultySet.Volume volume : watched) {
            volumes.add(new WatchedVolume(set, volume, watched.size() == 1 ? CLIENTS : CLIENTS_OF_A_VOLUME, chance));
        }
        this.focus = volumes.getFirst();
        for (Fault fault : Fault.values()) {
            int weight = plan.only.isEmpty() ? fault.weight : plan.only.contains(fault) ? Math.max(1, fault.weight) : 0;
            for (int i = 0; can(fault) && i < weight; i++) {
                possible.add(fault);
            }
        }
        if (possible.isEmpty()) {
            throw new IllegalArgumentException("none of the faults " + plan.only + " can happen to this set");
        }
    }

    /** This set can have it. */
    boolean can(Fault fault) {
        return switch (fault) {
            case FLIPS_ON_THE_WIRE -> set.network().canFlip();
            case FULL_DISK_AT_WRITER, FULL_DISK_AT_REPLICA, FULL_DISKS ->
                set.disks().canFill();
            case POWER_LOSS_AT_WRITER, POWER_LOSS_AT_REPLICA, POWER_LOSS_AT_LOCK_MANAGER, POWER_LOSS_EVERYWHERE ->
                set.disks().losePower();
            case SLOW_DISK_AT_WRITER, SLOW_DISK_AT_REPLICA -> plan.slowDisks;
            case CLOCK_STEP -> set.clocks().canStep();
            case UPGRADE -> plan.otherBuild.isPresent();
            default -> true;
        };
    }

    /** One fault, or two beside each other, and what has to be true afterwards. */
    void cycle() {
        cycles++;
        faults.clear();
        try {
            focus = volumes.size() == 1 ? focus : volumes.get(chance.nextInt(volumes.size()));
            resume();
            focus.awaitAcknowledged(20 + chance.nextInt(300));
            rest(chance.nextInt(800));
            inject();
            heal();
            if (cycles % plan.auditEvery == 0) {
                audit();
            } else {
                volumes.forEach(WatchedVolume::check);
                checkLogs();
            }
            if (cycles % (CYCLES_PER_STOP * plan.auditEvery) == 0) {
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
            String replica = FaultySet.other(set.awaitWriter(focus.name()));
            tell("cycle " + cycles + ": hot blocks, " + replica + " is slow");
            set.network().slow(replica);
            focus.resume(20_000, true);
            long goal = focus.acknowledged() + writes;
            while (focus.acknowledged() < goal) {
                focus.awaitAcknowledged((int) Math.min(200 + chance.nextInt(400), goal - focus.acknowledged()));
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

    /** What went wrong in the last cycle. */
    String faults() {
        return String.join(", ", faults);
    }

    int cycles() {
        return cycles;
    }

    int audits() {
        return audits;
    }

    Map<Fault, Integer> done() {
        return done;
    }

    /** -9, of each process. */
    Map<String, Integer> kills() {
        return kills;
    }

    List<WatchedVolume> volumes() {
        return volumes;
    }

    long acknowledged() {
        return volumes.stream().mapToLong(WatchedVolume::acknowledged).sum();
    }

    /** How much of what. */
    String summary() {
        Map<Integer, Integer> errors = new TreeMap<>();
        volumes.forEach(volume -> volume.errors().forEach((error, times) -> errors.merge(error, times, Integer::sum)));
        return String.format(
                Locale.ROOT,
                "%d cycles in %d s, seed %d; faults %s; killed %s; writes acknowledged %d, unknown %d; errors answered %s",
                cycles,
                TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - beganNanos),
                seed,
                done,
                kills,
                acknowledged(),
                volumes.stream().mapToLong(WatchedVolume::unknown).sum(),
                errors);
    }

    @Override
    public void close() {
        volumes.forEach(WatchedVolume::close);
    }

    // ---- What goes wrong -------------------------------------------------------------------------------------------

    private void inject() {
        Fault fault = possible.get(chance.nextInt(possible.size()));
        String writer = set.awaitWriter(focus.name());
        boolean another = !fault.isAlone() && chance.nextInt(4) == 0;
        begin(fault, writer);
        if (another) {
            Fault second = possible.get(chance.nextInt(possible.size()));
            rest(chance.nextInt(1_500));
            if (!second.waits() && second != fault) {
                begin(second, set.writer(focus.name()).orElse(writer));
            }
        }
    }

    private void begin(Fault fault, String writer) {
        String replica = FaultySet.other(writer);
        done.merge(fault, 1, Integer::sum);
        faults.add(fault.name());
        if (fault.isDamage()) {
            volumes.forEach(WatchedVolume::damaged);
        }
        tell(fault + ", " + writer + " writes " + focus.name());
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
                if (chance.nextBoolean() || !focus.oneCopyIsEnough()) {
                    set.start(writer);
                }
                String successor = set.awaitWriter(focus.name());
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
            case KILL_OVER_AND_OVER -> {
                for (int i = 0; i < KILLS_OVER_AND_OVER; i++) {
                    String victim = FaultySet.PROCESSES.get(chance.nextInt(FaultySet.PROCESSES.size()));
                    kill(victim);
                    rest(chance.nextInt(3) * chance.nextInt(200));
                    set.start(victim);
                    // Some are killed while they start, some while they are elected, some while they serve.
                    rest(chance.nextInt(4) == 0 ? 2_000 + chance.nextInt(5_000) : chance.nextInt(1_500));
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
                    tell("damaged at " + victim + ": " + JournalDamage.flip(set.replica(victim, focus.name()), chance));
                }
                set.start(victim);
            }
            case FLIP_IN_HISTORY -> {
                // What the image has, and the replica needs from the journal.
                long from = set.end(focus.name());
                kill(replica);
                if (focus.oneCopyIsEnough()) {
                    focus.awaitAcknowledged(50 + chance.nextInt(200));
                }
                long to = set.end(focus.name());
                set.stop(writer);
                if (to > from) {
                    tell("damaged at " + writer + ": "
                            + JournalDamage.flip(set.replica(writer, focus.name()), from, to, chance));
                }
                set.start(writer);
            }
            case SEGMENT_CUT_SHORT -> {
                String victim = killOneOfTwo(writer);
                tell("cut short at " + victim + ": "
                        + JournalDamage.cutShort(set.replica(victim, focus.name()), chance));
                set.start(victim);
            }
            case RECORD_OF_ANOTHER_VERSION -> otherVersion(writer);
            case POWER_LOSS_AT_WRITER -> losePower(List.of(writer));
            case POWER_LOSS_AT_REPLICA -> losePower(List.of(replica));
            case POWER_LOSS_AT_LOCK_MANAGER -> losePower(List.of(FaultySet.LOCKMGR));
            case POWER_LOSS_EVERYWHERE -> losePower(FaultySet.PROCESSES);
            case SLOW_DISK_AT_WRITER -> slowDisk(writer);
            case SLOW_DISK_AT_REPLICA -> slowDisk(replica);
            case CLOCK_STEP -> stepClocks();
            case UPGRADE -> upgrade(writer);
        }
    }

    private void losePower(List<String> machines) {
        boolean all = machines.containsAll(FaultySet.AGENTS);
        // Of a replica that does not count, the other one may be the only copy.
        boolean others = !all && volumes.stream().allMatch(volume -> set.bothCount(volume.name()));
        machines.forEach(machine -> kills.merge(machine, 1, Integer::sum));
        set.losePower(machines, this::tell);
        if (!others && !machines.equals(List.of(FaultySet.LOCKMGR))) {
            rest();
            volumes.forEach(WatchedVolume::powerLoss);
        }
        if (all) {
            startInAnyOrder();
        } else {
            rest(chance.nextInt(2) * chance.nextInt(4_000));
        }
    }

    private void slowDisk(String process) {
        tell("the disk of " + process + " is slow");
        set.slowDisk(process, 20 + chance.nextInt(200), 1_500 + chance.nextInt(3_000));
    }

    private void stepClocks() {
        for (int i = chance.nextInt(4); i >= 0; i--) {
            String process = FaultySet.PROCESSES.get(chance.nextInt(FaultySet.PROCESSES.size()));
            long seconds = (chance.nextBoolean() ? 1 : -1)
                    * List.of(1L, 60L, 3_600L, 86_400L, 20L * 365 * 86_400).get(chance.nextInt(5));
            tell("the clock of " + process + " is off by " + seconds + " s");
            set.clocks().step(process, seconds);
            rest(chance.nextInt(2_000));
        }
    }

    /** As docs/operations.md says of agents: the next one when the last one is in sync again. */
    private void upgrade(String writer) {
        otherBuild = !otherBuild;
        Path build = otherBuild ? plan.otherBuild.orElseThrow() : LiveSet.home();
        for (String process : List.of(FaultySet.other(writer), writer, FaultySet.LOCKMGR)) {
            tell(process + " goes on with " + build);
            set.stop(process);
            set.use(process, build);
            set.start(process);
            set.awaitInSync();
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
                    .until(() -> set.writer(focus.name())
                                    .filter(writer -> !writer.equals(process))
                                    .isPresent()
                            || !focus.oneCopyIsEnough()
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
        set.awaitInSync(focus.name());
        String victim = chance.nextInt(3) == 0 ? writer : FaultySet.other(writer);
        kill(victim);
        return victim;
    }

    private void otherVersion(String writer) {
        String volume =
                set.status(writer, focus.name()).map(status -> status.getUuid()).orElseThrow();
        String victim = killOneOfTwo(writer);
        Optional<JournalDamage.OtherVersion> changed =
                JournalDamage.otherVersion(set.replica(victim, focus.name()), UUID.fromString(volume));
        tell("another version at " + victim + ": " + changed);
        set.start(victim);
        rest(2_000 + chance.nextInt(2_000));
        String serving = focus.oneCopyIsEnough() ? set.awaitWriter(focus.name()) : FaultySet.other(victim);
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
        boolean quiet = chance.nextBoolean() || resting;
        if (quiet) {
            volumes.forEach(WatchedVolume::stop);
        }
        tell("healing, clients " + (quiet ? "rest" : "write on"));
        set.network().heal();
        for (String agent : FaultySet.AGENTS) {
            if (set.disks().canFill()) {
                set.freeDisk(agent);
            }
            set.signal(agent, "CONT");
        }
        set.signal(FaultySet.LOCKMGR, "CONT");
        set.startMissing();
        if (!quiet) {
            volumes.forEach(volume -> volume.awaitAcknowledged(50));
        }
        set.awaitInSync();
    }

    private void rest() {
        resting = true;
        volumes.forEach(WatchedVolume::stop);
        volumes.forEach(WatchedVolume::awaitQuiet);
    }

    private void audit() {
        rest();
        guests.forEach(Guest::leave);
        volumes.forEach(WatchedVolume::auditContent);
        guests.forEach(Guest::comeBack);
        guests.forEach(Guest::leave);
        set.awaitApplied();
        volumes.forEach(WatchedVolume::auditJournals);
        compareImages("");
        checkLogs();
        set.forgetRescued();
        audits++;
        tell("all is well, " + acknowledged() + " writes acknowledged");
    }

    private void compareImages(String when) {
        for (FaultySet.Volume volume : set.volumes()) {
            long mismatch = set.mismatch(volume.name());
            if (mismatch >= 0) {
                throw new AssertionError("the images of " + volume.name() + " differ at offset " + mismatch + when);
            }
        }
    }

    private void stopAndStart() {
        tell("stop in order");
        rest();
        guests.forEach(Guest::leave);
        set.stopInOrder();
        compareImages(" after a clean stop");
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
        tell("cycle " + cycles + ": clients with at most " + pace + " requests a second each");
        resting = false;
        volumes.forEach(volume -> volume.resume(pace, false));
        guests.forEach(Guest::resume);
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
