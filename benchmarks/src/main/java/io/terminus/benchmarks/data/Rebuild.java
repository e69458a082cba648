package io.terminus.benchmarks.data;

import static java.util.Objects.requireNonNull;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.AddReplicaRequest;
import io.terminus.proto.agent.v1.DeleteReplicaRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.RemoveReplicaRequest;
import io.terminus.proto.agent.v1.ReplicaStatus;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A replica is taken from its volume, deleted, and added again, empty: how fast it is copied to until it is in sync, beside nbdcopy from one
 * qemu-nbd to another, whose image is one hole again; and what clients notice meanwhile. Every block holds random bytes.
 *
 * <p>Clients write with the writer's copy alone in both cases that are compared, so that what differs is the copying.
 */
final class Rebuild {

    private static final String OURS = "terminus";
    private static final String NBDCOPY = "nbdcopy";

    /** What clients do while a replica is made anew. */
    private record Foreground(String name, List<String> options) {}

    private static final List<Foreground> FOREGROUNDS = List.of(
            new Foreground("at-2000", List.of("--iodepth=32", "--rate_iops=2000")),
            new Foreground("at-full-speed", List.of("--iodepth=32")));

    private final Report report;
    private final Workshop workshop;
    private final Fio fio;
    private final int rounds;
    private final double seconds;
    private final String volume = "r" + ProcessHandle.current().pid();
    private final long sizeBytes;
    private final Terminus.Agent writer;
    private final Terminus.Agent replica;
    private final Contender ours;

    private Rebuild(
            Report report, Workshop workshop, Terminus terminus, Front front, int rounds, double seconds, boolean quick)
            throws IOException, InterruptedException {
        this.report = report;
        this.workshop = workshop;
        this.fio = new Fio(workshop);
        this.rounds = rounds;
        this.seconds = seconds;
        this.sizeBytes = quick ? 256L << 20 : 1L << 30;
        this.writer = terminus.agent("rebuild-writer");
        this.replica = terminus.agent("rebuild-replica");
        Terminus.awaitServing(writer);
        Terminus.awaitServing(replica);
        Terminus.create(writer, volume, sizeBytes, AckLevel.RECEIVED, Failover.MANUAL, 0, replica);
        this.ours = new Contender(OURS, writer.uri(front, volume), List.of(writer.process(), replica.process()));
    }

    /** @param seconds how long clients write, with and without a copy */
    static void measure(
            Report report, Workshop workshop, Terminus terminus, Front front, int rounds, double seconds, boolean quick)
            throws IOException, InterruptedException {
        Rebuild rebuild = new Rebuild(report, workshop, terminus, front, rounds, seconds, quick);
        try {
            rebuild.fill();
            rebuild.copies(front);
            for (Foreground foreground : FOREGROUNDS) {
                rebuild.foreground(foreground);
            }
        } finally {
            Terminus.kill(rebuild.writer);
            Terminus.kill(rebuild.replica);
        }
    }

    private void fill() throws IOException, InterruptedException {
        write(ours);
        Terminus.awaitApplied(writer, volume);
    }

    /** fio's buffers are random, and new for each block. */
    private void write(Contender contender) throws IOException, InterruptedException {
        var unused =
                fio.run(contender, "--rw=write", "--bs=1m", "--iodepth=4", "--refill_buffers", "--size=" + sizeBytes);
    }

    // ---- how fast

    private void copies(Front front) throws IOException, InterruptedException {
        Contender source = Peers.qemuNbd(workshop, "rebuild-source", front, volume + "-source", sizeBytes);
        Contender target = Peers.qemuNbd(workshop, "rebuild-target", front, volume + "-target", sizeBytes);
        write(source);
        List<Daemon> both = new ArrayList<>(source.processes());
        both.addAll(target.processes());
        Map<String, Contender> contenders = new LinkedHashMap<>();
        contenders.put(OURS, ours);
        contenders.put(NBDCOPY, new Contender(NBDCOPY, target.uri(), both));
        Workload workload = new Workload(
                "full-copy",
                DataBench.Part.REBUILD,
                List.of(OURS, NBDCOPY),
                true,
                (contender, time) -> contender.equals(ours)
                        ? anew()
                        : NbdCopy.run(workshop, source.uri(), "URI", target.uri(), sizeBytes));
        Rounds turns = new Rounds(report, contenders, contender -> sync());
        for (int round = -1; round < rounds; round++) {
            removed();
            var unused = Peers.image(workshop, "rebuild-target", sizeBytes);
            sync();
            turns.round(round, List.of(workload), seconds);
        }
        report.figure(
                "full-copy-to-nbdcopy",
                turns.ratio(workload, OURS, NBDCOPY, Rounds.RATE),
                "x nbdcopy",
                Goal.atLeast(1));
        turns.tell(List.of(workload));
        for (Daemon process : both) {
            process.kill();
        }
    }

    /** From the request to the replica's place in the in-sync set. */
    private Fio.Result anew() throws IOException, InterruptedException {
        long start = System.nanoTime();
        add();
        Terminus.awaitInSync(writer, volume);
        return NbdCopy.whole(sizeBytes, System.nanoTime() - start);
    }

    private void sync() throws IOException, InterruptedException {
        var unused = workshop.run(List.of("sync", "-f", workshop.directory().toString()));
    }

    // ---- what clients notice

    private void foreground(Foreground foreground) throws IOException, InterruptedException {
        double[] without = new double[rounds];
        double[] meanwhile = new double[rounds];
        double[] ratios = new double[rounds];
        int outlasted = 0;
        for (int round = -1; round < rounds; round++) {
            removed();
            sync();
            Fio.Result alone = write(foreground);
            Terminus.awaitApplied(writer, volume);
            sync();
            add();
            Terminus.await(writer.process(), "the copy to begin", () -> there().hasCopy() && leftBytes() > 0);
            Fio.Result copying = write(foreground);
            boolean still = there().hasCopy();
            report.progress(
                    "round %d, rebuild, %s: p99 %,.0f us without, %,.0f us meanwhile (%.0f and %.0f IOPS)%s",
                    round,
                    foreground.name(),
                    alone.p99Nanos() / 1e3,
                    copying.p99Nanos() / 1e3,
                    alone.perSecond(),
                    copying.perSecond(),
                    still ? "" : "; the copy ended before the writes");
            Terminus.awaitInSync(writer, volume);
            if (round >= 0) {
                without[round] = alone.p99Nanos() / 1e3;
                meanwhile[round] = copying.p99Nanos() / 1e3;
                ratios[round] = meanwhile[round] / without[round];
                outlasted += still ? 0 : 1;
            }
        }
        String name = "rebuild.foreground-p99." + foreground.name();
        report.figure(name + ".without", Rounds.median(without), "us");
        report.figure(name + ".meanwhile", Rounds.median(meanwhile), "us");
        report.figure(name, Rounds.median(ratios), "x", Goal.atMost(2));
        if (outlasted > 0) {
            report.note(String.format(
                    Locale.ROOT,
                    "%s: in %d of %d rounds the copy ended before the writes: they were disturbed for a part of the time only.",
                    name,
                    outlasted,
                    rounds));
        }
    }

    private Fio.Result write(Foreground foreground) throws IOException, InterruptedException {
        List<String> options = new ArrayList<>(List.of("--rw=randwrite", "--bs=4k", "--norandommap", "--time_based"));
        options.addAll(foreground.options());
        options.add("--size=" + sizeBytes);
        options.add("--runtime=" + Math.round(seconds * 1000) + "ms");
        return fio.run(ours, options.toArray(String[]::new));
    }

    // ---- the replica

    private void add() {
        var unused = writer.control()
                .addReplica(AddReplicaRequest.newBuilder()
                        .setName(volume)
                        .setReplica(replica.address())
                        .build());
    }

    /** The volume has the writer's copy alone, and nothing of another is left. */
    private void removed() {
        var unusedAnswer = writer.control()
                .removeReplica(RemoveReplicaRequest.newBuilder()
                        .setName(volume)
                        .setAgent(replica.name())
                        .build());
        var unusedToo = replica.control()
                .deleteReplica(DeleteReplicaRequest.newBuilder().setName(volume).build());
    }

    private long leftBytes() {
        return there().getCopy().getLeftBytes();
    }

    private ReplicaStatus there() {
        return requireNonNull(Terminus.volume(writer, volume).getReplicasList().stream()
                .filter(one -> one.getAgent().equals(replica.name()))
                .findFirst()
                .orElse(ReplicaStatus.getDefaultInstance()));
    }
}
