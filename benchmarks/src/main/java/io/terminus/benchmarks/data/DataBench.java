package io.terminus.benchmarks.data;

import io.terminus.benchmarks.BenchCommand;
import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.Failover;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.ToDoubleBiFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * {@code terminus bench data}: a volume with two replicas as {@code terminus up} runs it, one without a second replica, and what can be had
 * without Terminus: qemu-nbd, and QEMU's quorum of two images, one of them behind a second qemu-nbd. Clients are fio, qemu-img and nbdcopy. Everything
 * runs on this machine, on plain files.
 */
@Command(name = "data", description = "Volumes as their clients find them, beside qemu-nbd and QEMU's quorum.")
public final class DataBench extends BenchCommand {

    enum Part {
        QD1,
        QD32,
        CONNECTIONS,
        SEQUENTIAL,
        FLUSH,
        READ,
        META,
        COPY,
        SENDER,
        REBUILD,
        FAILOVER,
        RESENT,
        IDLE
    }

    private static final Set<Part> ON_VOLUMES = EnumSet.range(Part.QD1, Part.COPY);

    static final String OURS = "terminus";
    static final String ALONE = "terminus-alone";
    static final String DURABLE = "terminus-durable";
    static final String QEMU = "qemu-nbd";
    static final String QUORUM = "quorum";

    private static final Map<String, String> PROGRAMS = Map.of(
            "fio", "fio",
            "qemu-nbd", "qemu-utils",
            "qemu-img", "qemu-utils",
            "qemu-storage-daemon", "qemu-system-common",
            "nbdcopy", "libnbd-bin",
            "nbdinfo", "libnbd-bin");

    private static final Pattern BENCH_SECONDS = Pattern.compile("Run completed in ([0-9.]+) seconds");
    private static final int SEGMENT_BYTES = 64 << 20;

    @Option(
            names = "--only",
            split = ",",
            paramLabel = "PART",
            description = "Only these of ${COMPLETION-CANDIDATES}, in any case.")
    private Set<Part> only = EnumSet.allOf(Part.class);

    @Option(
            names = "--rounds",
            paramLabel = "N",
            description = "Rounds that are measured (default: 5; with --quick 1).")
    private int rounds;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            description = "How long one turn of one contender takes (default: 4; with --quick 0.8).")
    private double seconds;

    @Option(
            names = "--front",
            defaultValue = "tcp",
            paramLabel = "KIND",
            description =
                    "How clients come, to all contenders alike: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}).")
    private Front front = Front.TCP;

    @Option(
            names = "--quorum-link",
            defaultValue = "tcp",
            paramLabel = "KIND",
            description =
                    "How quorum reaches its second copy: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}, as ours"
                            + " does; by a unix socket no second machine could be reached).")
    private Front quorumLink = Front.TCP;

    @Option(
            names = "--dir",
            paramLabel = "DIR",
            description = "Where images and journals are, a few GiB, while they are measured (default: under target).")
    private Path directory = home().resolve("target");

    @Override
    protected void measure(Report report) throws Exception {
        requirePrograms();
        rounds = rounds > 0 ? rounds : quick() ? 1 : 5;
        seconds = seconds > 0 ? seconds : quick() ? 0.8 : 4;
        try (Workshop workshop = Workshop.open(directory, home())) {
            report.progress("everything is in %s", workshop.directory());
            Terminus terminus = Terminus.start(workshop, home());
            Volumes volumes = new Volumes(report, workshop, terminus);
            if (only.stream().anyMatch(ON_VOLUMES::contains)) {
                volumes.measure();
            }
            if (only.contains(Part.SENDER)) {
                part(report, Part.SENDER, () -> Sender.measure(report, workshop, home(), volumes.journal(), quick()));
            }
            volumes.stop();
            if (only.contains(Part.REBUILD)) {
                part(
                        report,
                        Part.REBUILD,
                        () -> Rebuild.measure(report, workshop, terminus, front, rounds, seconds, quick()));
            }
            if (only.contains(Part.FAILOVER)) {
                part(report, Part.FAILOVER, () -> Takeover.measure(report, workshop, terminus, quick() ? 1 : 5));
            }
            if (only.contains(Part.RESENT)) {
                part(report, Part.RESENT, () -> SentAgain.measure(report, workshop, terminus, front, quick() ? 1 : 5));
            }
            if (only.contains(Part.IDLE)) {
                part(report, Part.IDLE, () -> IdleVolumes.measure(report, terminus, quick()));
            }
            report.note("Clients come by " + front.name().toLowerCase(Locale.ROOT) + " on this machine. Between the two"
                    + " copies: ours by tcp, quorum by "
                    + quorumLink.name().toLowerCase(Locale.ROOT) + ". TCP congestion control: " + congestionControl()
                    + ". Ours with the heap and the settings of 'terminus up', all on one disk with the others; "
                    + rounds + " rounds of " + seconds + " s a turn"
                    + (quick() ? "." : ", behind one that is not counted."));
            report.listing(
                    "Exact commands (DIR: " + workshop.directory() + ", HOME: " + home() + ")", workshop.commands());
        }
    }

    private interface Measuring {
        void measure() throws Exception;
    }

    /** One that fails must not take the other parts' figures with it. */
    private static void part(Report report, Part part, Measuring measuring) throws InterruptedException {
        try {
            measuring.measure();
        } catch (InterruptedException e) {
            throw e;
        } catch (Exception e) {
            report.progress("%s failed: %s", part, e);
            report.note(part + " FAILED: " + e.getMessage());
        }
    }

    private static void requirePrograms() throws IOException {
        for (Map.Entry<String, String> program : PROGRAMS.entrySet()) {
            if (Workshop.find(program.getKey()).isEmpty()) {
                throw new IOException(program.getKey() + " is not on the PATH; on Debian it is in " + program.getValue()
                        + ", all that is needed: apt-get install fio qemu-utils qemu-system-common libnbd-bin");
            }
        }
    }

    private static String congestionControl() {
        try {
            return Files.readString(Path.of("/proc/sys/net/ipv4/tcp_congestion_control"))
                    .strip();
        } catch (IOException e) {
            return "unknown";
        }
    }

    /** The parts that compare block devices. */
    private final class Volumes {

        private final Report report;
        private final Workshop workshop;
        private final Terminus terminus;
        private final Fio fio;
        private final String export = "v" + ProcessHandle.current().pid();
        private final String exportDurable = export + "-durable";
        private final long sizeBytes = quick() ? 128L << 20 : 1L << 30;
        private final Map<String, Contender> contenders = new LinkedHashMap<>();
        private final List<Terminus.Agent> agents = new ArrayList<>();

        Volumes(Report report, Workshop workshop, Terminus terminus) {
            this.report = report;
            this.workshop = workshop;
            this.terminus = terminus;
            this.fio = new Fio(workshop);
        }

        void measure() throws IOException, InterruptedException {
            start();
            List<Workload> workloads = all().stream()
                    .filter(workload -> only.contains(workload.part()))
                    .toList();
            Rounds turns = new Rounds(report, contenders, this::settle);
            cold(turns);
            warmUp();
            // A round that does not count, for what warming up does not reach; a rough look does without.
            for (int round = quick() ? 0 : -1; round < rounds; round++) {
                turns.round(round, workloads, seconds);
            }
            goals(turns, workloads);
            turns.tell(workloads);
        }

        private void start() throws IOException, InterruptedException {
            Terminus.Agent a = agent("a");
            Terminus.Agent b = agent("b");
            Terminus.Agent c = agent("c");
            for (Terminus.Agent agent : agents) {
                Terminus.awaitServing(agent);
            }
            Terminus.create(a, export, sizeBytes, AckLevel.RECEIVED, Failover.MANUAL, 0, b);
            Terminus.create(c, export + "-alone", sizeBytes, AckLevel.RECEIVED, Failover.MANUAL, 0);
            contenders.put(
                    OURS,
                    new Contender(
                            OURS, a.uri(front, export), List.of(a.process(), b.process(), terminus.lockManager())));
            contenders.put(
                    ALONE,
                    new Contender(
                            ALONE, c.uri(front, export + "-alone"), List.of(c.process(), terminus.lockManager())));
            if (only.contains(Part.FLUSH)) {
                Terminus.create(a, exportDurable, sizeBytes, AckLevel.DURABLE, Failover.MANUAL, 0, b);
                contenders.put(
                        DURABLE,
                        new Contender(
                                DURABLE,
                                a.uri(front, exportDurable),
                                List.of(a.process(), b.process(), terminus.lockManager())));
            }
            contenders.put(QEMU, Peers.qemuNbd(workshop, QEMU, front, export, sizeBytes));
            contenders.put(QUORUM, Peers.quorum(workshop, front, quorumLink, export, sizeBytes));
        }

        private Terminus.Agent agent(String name) throws IOException {
            Terminus.Agent agent = terminus.agent(name);
            agents.add(agent);
            return agent;
        }

        /** Journal segments of the replicated volume's writer, full of records: made here if no other part has done so. */
        List<Path> journal() throws IOException, InterruptedException {
            if (agents.isEmpty()) {
                start();
                Contender ours = java.util.Objects.requireNonNull(contenders.get(OURS));
                var unused = fio.run(ours, "--rw=write", "--bs=1m", "--iodepth=4", "--size=" + sizeBytes);
                settle(ours);
            }
            try (var files = Files.list(agents.getFirst().journal(export))) {
                return files.filter(file -> file.toString().endsWith(".seg"))
                        .filter(file -> file.toFile().length() == SEGMENT_BYTES)
                        .sorted()
                        .toList();
            }
        }

        void stop() throws InterruptedException {
            for (Terminus.Agent agent : agents) {
                Terminus.kill(agent);
            }
        }

        private void settle(Contender contender) throws IOException, InterruptedException {
            Terminus.Agent a = agents.getFirst();
            switch (contender.name()) {
                case OURS -> Terminus.awaitApplied(a, export);
                case DURABLE -> Terminus.awaitApplied(a, exportDurable);
                case ALONE -> Terminus.awaitApplied(agents.getLast(), export + "-alone");
                default -> {
                    // It has done what it has acknowledged.
                }
            }
            var unused = workshop.run(List.of("sync", "-f", workshop.directory().toString()));
        }

        /** What the first client finds: code that has never run, images that hold nothing. */
        private void cold(Rounds turns) throws IOException, InterruptedException {
            Workload first = fioWorkload(
                    "cold.randwrite-4k-qd32",
                    Part.QD32,
                    List.of(OURS, ALONE, QEMU, QUORUM),
                    "--rw=randwrite",
                    "--bs=4k",
                    "--iodepth=32");
            for (String name : first.contenders()) {
                Contender contender = java.util.Objects.requireNonNull(contenders.get(name));
                Rounds.Window window = turns.window(first, contender, quick() ? 0.5 : 2);
                report.figure(first.name() + "." + name, window.result().perSecond(), "IOPS");
            }
        }

        /** Every image is written once, so that nobody allocates later; our code is run until most of it is compiled. */
        private void warmUp() throws IOException, InterruptedException {
            for (Contender contender : contenders.values()) {
                var unused = fio.run(contender, "--rw=write", "--bs=1m", "--iodepth=4", "--size=" + sizeBytes);
                settle(contender);
            }
            for (String name : List.of(OURS, ALONE, DURABLE)) {
                Contender contender = contenders.get(name);
                if (contender != null) {
                    var unused = fio.run(
                            contender,
                            "--rw=randwrite",
                            "--bs=4k",
                            "--iodepth=32",
                            "--size=" + sizeBytes,
                            "--norandommap",
                            "--time_based",
                            "--runtime=" + (quick() ? 2 : 8));
                    settle(contender);
                }
            }
        }

        private List<Workload> all() {
            // The rate without a second copy has a goal at one depth only.
            List<String> four = quick() ? List.of(OURS, QUORUM, QEMU) : List.of(OURS, QUORUM, QEMU, ALONE);
            return List.of(
                    fioWorkload("randwrite-4k-qd1", Part.QD1, four, "--rw=randwrite", "--bs=4k", "--iodepth=1"),
                    fioWorkload(
                            "randwrite-4k-qd32",
                            Part.QD32,
                            List.of(OURS, QUORUM, QEMU, ALONE),
                            "--rw=randwrite",
                            "--bs=4k",
                            "--iodepth=32"),
                    fioWorkload(
                            "randwrite-4k-qd32x4",
                            Part.CONNECTIONS,
                            four,
                            "--rw=randwrite",
                            "--bs=4k",
                            "--iodepth=32",
                            "--numjobs=4"),
                    fioWorkload("write-1m", Part.SEQUENTIAL, four, "--rw=write", "--bs=1m", "--iodepth=4"),
                    fioWorkload(
                            "fsync-4k",
                            Part.FLUSH,
                            List.of(DURABLE, QUORUM, QEMU),
                            "--rw=randwrite",
                            "--bs=4k",
                            "--iodepth=1",
                            "--fsync=1"),
                    new Workload("fua-4k", Part.FLUSH, List.of(DURABLE, QUORUM, QEMU), false, this::fua),
                    fioWorkload(
                            "randread-4k-qd32",
                            Part.READ,
                            List.of(OURS, QEMU),
                            "--rw=randread",
                            "--bs=4k",
                            "--iodepth=32"),
                    new Workload("meta-2010", Part.META, List.of(OURS, QUORUM, QEMU), false, this::meta),
                    new Workload("nbdcopy", Part.COPY, List.of(OURS, QUORUM, QEMU), true, this::copy));
        }

        private Workload fioWorkload(String name, Part part, List<String> those, String... options) {
            boolean stream = part == Part.SEQUENTIAL;
            return new Workload(name, part, those, stream, (contender, time) -> {
                List<String> all = new ArrayList<>(List.of(options));
                all.addAll(List.of(
                        "--size=" + sizeBytes,
                        "--norandommap",
                        "--time_based",
                        "--runtime=" + Math.round(time * 1000) + "ms"));
                return fio.run(contender, all.toArray(String[]::new));
            });
        }

        /** The job of a published comparison from 2010: each of two jobs writes its part from the start, then reads and verifies it. */
        private Fio.Result meta(Contender contender, double time) throws IOException, InterruptedException {
            long each = quick() ? 8L << 20 : 32L << 20;
            return fio.run(
                    contender,
                    "--rw=write",
                    "--bs=4k",
                    "--iodepth=8",
                    "--numjobs=2",
                    "--direct=1",
                    "--verify=meta",
                    "--size=" + each,
                    "--offset_increment=" + each);
        }

        /** With the cache mode writethrough qemu's block layer sends every write with FUA. */
        private Fio.Result fua(Contender contender, double time) throws IOException, InterruptedException {
            int count = (int) Math.max(500, 1500 * time);
            List<String> command = List.of(
                    "qemu-img",
                    "bench",
                    "-f",
                    "raw",
                    "-t",
                    "writethrough",
                    "-w",
                    "-c",
                    String.valueOf(count),
                    "-d",
                    "1",
                    "-s",
                    "4096",
                    contender.uri());
            noteWithoutUri(command);
            Matcher said = BENCH_SECONDS.matcher(workshop.run(command));
            if (!said.find()) {
                throw new IOException("qemu-img bench did not say how long it took");
            }
            double took = Double.parseDouble(said.group(1));
            return new Fio.Result(count, count * 4096.0, took, Double.NaN, Double.NaN, 0);
        }

        private Fio.Result copy(Contender contender, double time) throws IOException, InterruptedException {
            String source = source().toString();
            return NbdCopy.run(workshop, source, source, contender.uri(), sizeBytes);
        }

        private void noteWithoutUri(List<String> command) {
            List<String> shown = new ArrayList<>(command);
            shown.set(shown.size() - 1, "URI");
            workshop.note(shown);
        }

        /** A file without holes or zeros, which copying programs would make less of. */
        private Path source() throws IOException {
            Path source = workshop.directory().resolve("source.img");
            if (Files.notExists(source)) {
                java.util.Random random = new java.util.Random(1);
                byte[] bytes = new byte[1 << 20];
                try (var out = Files.newOutputStream(source)) {
                    for (long at = 0; at < sizeBytes; at += bytes.length) {
                        random.nextBytes(bytes);
                        out.write(bytes);
                    }
                }
            }
            return source;
        }

        private void ratio(
                Rounds turns,
                Workload workload,
                String what,
                String other,
                ToDoubleBiFunction<Workload, Rounds.Window> of,
                Goal goal) {
            report.figure(workload.name() + what, turns.ratio(workload, OURS, other, of), "x", goal);
        }

        private void goals(Rounds turns, List<Workload> workloads) {
            for (Workload w : workloads) {
                switch (w.part()) {
                    case QD1 -> {
                        report.figure(
                                w.name() + ".p50",
                                turns.median(w, OURS, x -> x.result().p50Nanos() / 1e3),
                                "us");
                        ratio(turns, w, ".p50-to-quorum", QUORUM, Rounds.P50, Goal.atMost(0.45));
                        ratio(turns, w, ".p50-to-qemu-nbd", QEMU, Rounds.P50, Goal.atMost(0.8));
                    }
                    case QD32 -> {
                        ratio(turns, w, ".to-quorum", QUORUM, Rounds.RATE, Goal.atLeast(5));
                        ratio(turns, w, ".to-qemu-nbd", QEMU, Rounds.RATE, Goal.atLeast(2));
                        ratio(turns, w, ".to-own-alone", ALONE, Rounds.RATE, Goal.atLeast(0.8));
                    }
                    case CONNECTIONS -> {
                        ratio(turns, w, ".to-quorum", QUORUM, Rounds.RATE, Goal.atLeast(6));
                        ratio(turns, w, ".p99-to-quorum", QUORUM, Rounds.P99, Goal.atMost(0.4));
                    }
                    case SEQUENTIAL -> {
                        ratio(turns, w, ".to-quorum", QUORUM, Rounds.RATE, Goal.atLeast(2));
                        report.figure(
                                w.name() + ".to-qemu-nbd", turns.ratio(w, OURS, QEMU, Rounds.RATE), "x (stretch: 1)");
                    }
                    case FLUSH ->
                        report.figure(
                                w.name() + ".to-quorum",
                                turns.ratio(w, DURABLE, QUORUM, Rounds.RATE),
                                "x",
                                Goal.atLeast(2));
                    case READ -> ratio(turns, w, ".to-qemu-nbd", QEMU, Rounds.RATE, Goal.atLeast(1));
                    case META -> ratio(turns, w, ".to-quorum", QUORUM, Rounds.RATE, Goal.atLeast(4));
                    case COPY -> report.figure(w.name() + ".to-quorum", turns.ratio(w, OURS, QUORUM, Rounds.RATE), "x");
                    case SENDER, REBUILD, FAILOVER, RESENT, IDLE -> throw new IllegalStateException(w.name());
                }
            }
        }
    }
}
