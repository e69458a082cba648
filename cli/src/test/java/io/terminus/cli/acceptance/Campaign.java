package io.terminus.cli.acceptance;

import io.terminus.cli.acceptance.FaultCampaign.Fault;
import io.terminus.proto.agent.v1.AckLevel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@link FaultCampaign} with everything there is, for as long as is wanted: what scripts/campaign runs. */
@Command(
        name = "scripts/campaign",
        description = {
            "Runs a lock manager and two agents as processes, lets clients, a file system and a database use volumes of"
                    + " different acknowledgement, makes things go wrong at random, makes all whole again, and looks whether"
                    + " everything that was promised is there. As root.",
            "Ends with 0 if everything held, 1 if something did not, 2 if it could not run."
        },
        sortOptions = false)
final class Campaign implements Callable<Integer>, AutoCloseable {

    private static final int HELD = 0;
    private static final int VIOLATED = 1;
    private static final int COULD_NOT_RUN = 2;

    private static final long VOLUME_BYTES = 16 << 20;
    private static final long GUEST_BYTES = 64 << 20;
    private static final String GUEST = "guest";
    private static final String FILE_SYSTEM = "filesystem";
    private static final String DATABASE = "database";
    private static final long LIE_MILLIS = 2_000;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli looks at the option
    private boolean help;

    @Option(names = "--minutes", paramLabel = "N", description = "for so long; 5 if neither this nor --cycles is given")
    private int minutes;

    @Option(names = "--cycles", paramLabel = "N", description = "so many times something goes wrong and is made whole")
    private int cycles;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description =
                    "other faults in another order; else one that nobody had. Not the same instants: a failure may need"
                            + " its seed a few times")
    private long seed = new SecureRandom().nextInt(1 << 30);

    @Option(
            names = "--faults",
            paramLabel = "A,B",
            description = "only these of: ${COMPLETION-CANDIDATES}",
            split = ",")
    private List<Fault> faults = List.of();

    @Option(
            names = "--audit-every",
            paramLabel = "N",
            description = "so many cycles everything is read back and compared; else after each")
    private int auditEvery = 1;

    @Option(names = "--dir", paramLabel = "DIR", description = "where data and logs are; else cli/target/acceptance")
    private @Nullable Path dir;

    @Option(
            names = "--with",
            paramLabel = "A,B",
            description = "what uses one more volume: filesystem, database, or none; else both",
            split = ",")
    private List<String> with = List.of(FILE_SYSTEM, DATABASE);

    @Option(
            names = "--other-build",
            paramLabel = "DIR",
            description =
                    "another checkout, built, that upgrades go to and come back from; else processes are replaced by"
                            + " ones of the same build")
    private @Nullable Path otherBuild;

    @Option(names = "--power", description = "every process on a disk that can lose what was not flushed")
    private boolean power;

    @Option(
            names = "--lie",
            description = "disks that lose what was flushed within the last 2 s, too: the campaign has to end with 1")
    private boolean lie;

    /** What is to be taken down, the newest first. */
    private final Deque<AutoCloseable> opened = new ArrayDeque<>();

    private final long beganNanos = System.nanoTime();
    /** Until it was told of. */
    private volatile @Nullable FaultCampaign campaign;

    private final List<Guest> guests = new ArrayList<>();
    private volatile boolean interrupted;

    public static void main(String[] args) {
        Campaign campaign = new Campaign();
        Thread atExit = new Thread(campaign::close);
        Runtime.getRuntime().addShutdownHook(atExit);
        int exitCode = new CommandLine(campaign)
                .setExecutionExceptionHandler((e, line, result) -> {
                    System.err.println("scripts/campaign: could not run: " + e.getMessage());
                    return COULD_NOT_RUN;
                })
                .execute(args);
        // The threads of clients whose volume is gone are daemons.
        System.exit(exitCode);
    }

    @Override
    public Integer call() throws IOException {
        if (lie) {
            power = true;
            faults = faults.isEmpty() ? List.of(Fault.POWER_LOSS_EVERYWHERE) : faults;
        }
        if (minutes <= 0 && cycles <= 0) {
            minutes = 5;
        }
        List<String> missing = missing();
        if (!missing.isEmpty()) {
            System.err.println("scripts/campaign: could not run: " + String.join("; ", missing));
            return COULD_NOT_RUN;
        }
        Path root = dir == null ? LiveSet.module().resolve("target/acceptance") : dir.toAbsolutePath();
        Path folder = Files.createTempDirectory(Files.createDirectories(root), "campaign");
        FaultCampaign running = start(folder);
        int exitCode = HELD;
        try {
            long endNanos =
                    minutes > 0 ? beganNanos + Duration.ofMinutes(minutes).toNanos() : Long.MAX_VALUE;
            while (System.nanoTime() < endNanos && (cycles <= 0 || running.cycles() < cycles)) {
                cycle(running);
            }
        } catch (AssertionError e) {
            if (!interrupted) {
                System.out.println();
                System.out.println("VIOLATED: " + e.getMessage());
                exitCode = VIOLATED;
            }
        }
        if (!interrupted) {
            table(exitCode == HELD ? 0 : 1);
            if (exitCode == HELD && lie) {
                System.out.println("The disks lied, and nobody noticed.");
            }
            campaign = null;
        }
        return exitCode;
    }

    private void cycle(FaultCampaign running) {
        long before = running.acknowledged();
        try {
            running.cycle();
            say(running, before, "held");
        } catch (AssertionError e) {
            if (!interrupted) {
                say(running, before, "VIOLATED");
            }
            throw e;
        }
    }

    private void say(FaultCampaign running, long before, String result) {
        System.out.printf(
                Locale.ROOT,
                "%5d  %s  %6d writes  %-8s  %s%n",
                running.cycles(),
                time(),
                running.acknowledged() - before,
                result,
                running.faults());
    }

    private String time() {
        Duration since = Duration.ofNanos(System.nanoTime() - beganNanos);
        return String.format(
                Locale.ROOT, "%d:%02d:%02d", since.toHours(), since.toMinutesPart(), since.toSecondsPart());
    }

    private FaultCampaign start(Path folder) throws IOException {
        List<FaultySet.Volume> volumes = new ArrayList<>(List.of(
                new FaultySet.Volume("received", VOLUME_BYTES, AckLevel.RECEIVED, 1),
                new FaultySet.Volume("durable", VOLUME_BYTES, AckLevel.DURABLE, 1),
                new FaultySet.Volume("two-copies", VOLUME_BYTES, AckLevel.RECEIVED, 2)));
        boolean guest = with.contains(FILE_SYSTEM) || with.contains(DATABASE);
        if (guest) {
            volumes.add(new FaultySet.Volume(GUEST, GUEST_BYTES, AckLevel.RECEIVED, 1));
        }
        System.out.printf(
                Locale.ROOT,
                "A campaign with --seed %d: volumes %s; disks %s; in %s%n",
                seed,
                volumes.stream().map(FaultySet.Volume::name).collect(Collectors.joining(", ")),
                lie ? "that lie" : power ? "that lose what was not flushed" : "in memory",
                folder);
        Namespaces network = open(Namespaces.makeWithRelays(folder));
        int mebibytes = FaultySet.diskMebibytes(volumes);
        Disks disks = open(
                power
                        ? new PowerDisks(folder, mebibytes, lie ? LIE_MILLIS : 0, seed)
                        : new MemoryDisks(folder, mebibytes));
        Clocks clocks = Machine.has("gcc") ? SteppedClocks.make(folder) : Clocks.ordinary();
        FaultySet set = open(FaultySet.start(folder, network, disks, clocks, volumes));
        if (lie) {
            // The volumes themselves are kept: what is missing later is what was written.
            FaultySet.rest(LIE_MILLIS + 1_000);
        }
        if (guest) {
            List<MountedGuest.Tenant> tenants = new ArrayList<>();
            if (with.contains(FILE_SYSTEM)) {
                tenants.add(new Documents(seed));
            }
            if (with.contains(DATABASE)) {
                tenants.add(new Ledger(folder));
            }
            guests.add(open(new MountedGuest(folder, set, GUEST, tenants)));
        }
        FaultCampaign.Plan plan = new FaultCampaign.Plan(
                Set.copyOf(faults),
                auditEvery,
                Optional.of(otherBuild == null ? LiveSet.home() : otherBuild.toAbsolutePath()),
                power || Machine.has("strace"));
        FaultCampaign made = open(new FaultCampaign(set, folder, seed, plan, guests, Set.of(GUEST)));
        List<Fault> leftOut = Stream.of(Fault.values())
                .filter(fault -> faults.isEmpty() ? fault.weight > 0 && !fault.isPowerLoss() : faults.contains(fault))
                .filter(fault -> !made.can(fault))
                .toList();
        if (!leftOut.isEmpty()) {
            System.out.println("Left out: " + leftOut
                    + " (clock steps need gcc, slow disks strace or --power, losses of power --power)");
        }
        campaign = made;
        return made;
    }

    private synchronized <T extends AutoCloseable> T open(T resource) {
        opened.push(resource);
        return resource;
    }

    /** All of it, whether it has come to its end or was told to stop. */
    @Override
    public synchronized void close() {
        interrupted = true;
        table(0);
        while (!opened.isEmpty()) {
            try {
                opened.pop().close();
            } catch (Exception | AssertionError e) {
                System.err.println("scripts/campaign: " + e.getMessage());
            }
        }
    }

    private void table(int violations) {
        FaultCampaign ran = campaign;
        if (ran == null) {
            return;
        }
        System.out.println();
        row("cycles", Integer.toString(ran.cycles()));
        row("time", time());
        row("seed", Long.toString(seed));
        for (Map.Entry<Fault, Integer> fault : ran.done().entrySet()) {
            row(fault.getKey().name(), fault.getValue().toString());
        }
        for (Map.Entry<String, Integer> killed : ran.kills().entrySet()) {
            row("kill -9 " + killed.getKey(), killed.getValue().toString());
        }
        row(
                "kill -9 in all",
                Integer.toString(ran.kills().values().stream()
                        .mapToInt(Integer::intValue)
                        .sum()));
        for (WatchedVolume volume : ran.volumes()) {
            row(
                    volume.name(),
                    String.format(
                            Locale.ROOT,
                            "%,d writes acknowledged, %,d unknown, %,d flushes, %,d sectors read and checked",
                            volume.acknowledged(),
                            volume.unknown(),
                            volume.flushes(),
                            volume.sectorsChecked()));
        }
        guests.forEach(guest -> row(GUEST, guest.summary()));
        row("audits", Integer.toString(ran.audits()));
        row("violations", Integer.toString(violations));
        if (otherBuild == null && ran.done().containsKey(Fault.UPGRADE)) {
            System.out.println("UPGRADE was to the same build: no --other-build was given.");
        }
    }

    private static void row(String what, String figure) {
        System.out.printf(Locale.ROOT, "  %-36s %s%n", what, figure);
    }

    private List<String> missing() throws IOException {
        List<String> missing = new ArrayList<>();
        if (!Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))) {
            missing.add("it needs root");
        }
        List<String> programs = new ArrayList<>(List.of("ip", "tc", "nsenter", "mount"));
        boolean guest = with.contains(FILE_SYSTEM) || with.contains(DATABASE);
        if (guest || power) {
            programs.addAll(List.of("nbdfuse", "losetup", "mkfs.ext4", "e2fsck", "unshare"));
            if (!Files.exists(Path.of("/dev/fuse"))) {
                missing.add("this kernel has no FUSE");
            }
        }
        if (with.contains(DATABASE)) {
            programs.add("sqlite3");
        }
        programs.stream()
                .filter(program -> !Machine.has(program))
                .forEach(program -> missing.add(program + " is not installed"));
        for (String one : with) {
            if (!List.of(FILE_SYSTEM, DATABASE, "none").contains(one)) {
                missing.add("--with is " + one + ", and knows filesystem, database and none");
            }
        }
        if (auditEvery < 1) {
            missing.add("--audit-every is " + auditEvery + ", and must be at least 1");
        }
        return missing;
    }
}
