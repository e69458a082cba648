package io.terminus.cli;

import io.terminus.proto.agent.v1.VerifyProgress;
import io.terminus.proto.agent.v1.VerifyRequest;
import io.terminus.proto.agent.v1.VerifyStatus;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus verify}: are the replicas what the writer has? */
@Command(
        name = "verify",
        description = {
            "Compare the replicas of a volume with the writer's image, block by block, while clients go on.",
            "Exit code 0 when all was compared and nothing differs, or all of it was mended; else 1. Ctrl-C stops it."
        })
final class VerifyCommand implements Callable<Integer> {

    private static final Duration DEADLINE = Duration.ofSeconds(5);
    private static final Duration PLAIN_LINE = Duration.ofSeconds(5);

    private final Terminus terminus;

    @Parameters(paramLabel = "NAME", description = "The volume.")
    private String name = "";

    @Option(names = "--peer", paramLabel = "AGENT", description = "Only the replica there (default: all).")
    private @Nullable String peer;

    @Option(
            names = "--repair",
            description = "Replace the blocks that differ by what the writer has. Nobody knows by itself who is right:"
                    + " if it is the replica, promote that first.")
    private boolean repair;

    @Option(names = "--json", description = "One object a line for each replica, the last ones with the result.")
    private boolean json;

    @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP)
    private @Nullable Path dir;

    private long shownAtNanos;

    VerifyCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    /**
     * One replica. Fields may be added, none is renamed or removed.
     *
     * @param phase waiting, comparing, ending, complete or given_up
     * @param remainingSeconds null when nothing moves
     * @param differingBlocks of 4 KiB, those that were mended among them
     * @param differing the first 64 ranges
     */
    record Result(
            String volume,
            String agent,
            String phase,
            long comparedBytes,
            long totalBytes,
            long bytesPerSecond,
            @Nullable Long remainingSeconds,
            boolean repairs,
            long differingBlocks,
            long mendedBlocks,
            List<Range> differing,
            String detail) {

        /** A part of the volume, in bytes. */
        record Range(long offset, long length) {}

        static Result of(String volume, VerifyProgress.Replica replica) {
            VerifyStatus v = replica.getVerify();
            return new Result(
                    volume,
                    replica.getAgent(),
                    v.getPhase().name().toLowerCase(Locale.ROOT),
                    v.getComparedBytes(),
                    v.getTotalBytes(),
                    v.getBytesPerSecond(),
                    v.getRemainingSeconds() < 0 ? null : v.getRemainingSeconds(),
                    v.getRepairs(),
                    v.getDifferingBlocks(),
                    v.getMendedBlocks(),
                    v.getDifferingList().stream()
                            .map(d -> new Range(d.getOffset(), d.getLength()))
                            .toList(),
                    v.getDetail());
        }

        boolean isGood() {
            return phase.equals("complete") && differingBlocks == mendedBlocks;
        }

        /** {@code demo at b: [####----] comparing, 34 % of 256 MiB, 12.3 MiB/s, 14 s left}. */
        String bar() {
            String found = differingBlocks == 0 ? "" : "; " + found();
            return volume + " at " + agent + ": "
                    + CopyView.bar(new StatusReport.Copy(
                            phase, totalBytes, totalBytes - comparedBytes, bytesPerSecond, remainingSeconds))
                    + found + (detail.isBlank() ? "" : ": " + detail);
        }

        private String found() {
            return differingBlocks
                    + (differingBlocks == 1 ? " block differs" : " blocks differ")
                    + (mendedBlocks == 0 ? "" : ", " + mendedBlocks + " mended");
        }

        List<String> words() {
            List<String> lines = new ArrayList<>();
            String found = differingBlocks == 0 ? "nothing differs" : found();
            if (phase.equals("complete")) {
                lines.add(volume + " at " + agent + ": " + new ByteSize(totalBytes) + " compared; " + found + ".");
            } else if (comparedBytes == 0 && differingBlocks == 0) {
                lines.add(volume + " at " + agent + ": given up, and nothing was compared: " + detail);
            } else {
                lines.add(volume + " at " + agent + ": given up after " + new ByteSize(comparedBytes) + " of "
                        + new ByteSize(totalBytes) + ": " + detail + "; in that part " + found + ".");
            }
            for (Range range : differing) {
                lines.add("  offset " + range.offset() + ", " + range.length() + " bytes");
            }
            long shown = differing.stream().mapToLong(Range::length).sum() / 4096;
            if (shown < differingBlocks) {
                lines.add("  and " + (differingBlocks - shown) + " blocks more");
            }
            return lines;
        }
    }

    @Override
    public Integer call() {
        VerifyRequest request = VerifyRequest.newBuilder()
                .setName(name)
                .setAgent(peer == null ? "" : peer)
                .setRepair(repair)
                .build();
        try (AgentClient writer = terminus.writerOf(name, dir, DEADLINE)) {
            List<Result> results = results(writer.verify(request, this::show));
            results.forEach(this::tell);
            if (!json) {
                overlaps(results).forEach(terminus.screen()::complain);
            }
            return results.stream().allMatch(Result::isGood) ? 0 : 1;
        }
    }

    private List<Result> results(VerifyProgress progress) {
        return progress.getReplicasList().stream()
                .map(replica -> Result.of(name, replica))
                .toList();
    }

    private void show(VerifyProgress progress) {
        List<Result> now = results(progress);
        if (terminus.screen().isTerminal() && !json) {
            terminus.screen().redraw(now.stream().map(Result::bar).toList());
        } else if (System.nanoTime() - shownAtNanos > PLAIN_LINE.toNanos()
                && now.stream().noneMatch(Result::isGood)) {
            shownAtNanos = System.nanoTime();
            now.forEach(result -> terminus.screen().line(json ? Json.write(result) : result.bar()));
        }
    }

    private void tell(Result result) {
        if (json) {
            terminus.screen().line(Json.write(result));
        } else {
            result.words().forEach(terminus.screen()::line);
        }
    }

    /** Where more than one replica differs from the writer, it may be the writer that is wrong. */
    static List<String> overlaps(List<Result> results) {
        List<String> said = new ArrayList<>();
        for (int i = 0; i < results.size(); i++) {
            for (int j = i + 1; j < results.size(); j++) {
                Result one = results.get(i);
                Result other = results.get(j);
                one.differing().stream()
                        .filter(r -> other.differing().stream()
                                .anyMatch(o ->
                                        r.offset() < o.offset() + o.length() && o.offset() < r.offset() + r.length()))
                        .findFirst()
                        .ifPresent(r -> said.add("both " + one.agent() + " and " + other.agent()
                                + " differ from the writer at offset " + r.offset()
                                + ": there it may be the writer that is wrong"));
            }
        }
        return said;
    }
}
