package io.terminus.cli;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * {@code terminus resync}: replicas that fell behind are brought back without anybody's word. This shows how far they are,
 * and throws away one that is not to be brought back.
 */
@Command(
        name = "resync",
        description = {
            "Wait until the replicas of a volume are in sync, and show how far they are.",
            "They come back by themselves; only --anew changes anything."
        })
final class ResyncCommand implements Callable<Integer> {

    private static final Duration RECREATE_DEADLINE = Duration.ofSeconds(60);
    private static final Duration REDRAW = Duration.ofMillis(500);
    private static final Duration PLAIN_LINE = Duration.ofSeconds(5);

    private final Terminus terminus;

    @Parameters(paramLabel = "NAME", description = "The volume.")
    private String name = "";

    @Option(names = "--agent", paramLabel = "AGENT", description = "Only the replica there (default: all).")
    private @Nullable String agent;

    @Option(
            names = "--anew",
            description =
                    "Throw away the replica at --agent first: one that has failed, or is not to be believed. Refused"
                            + " while the in-sync set counts on it.")
    private boolean anew;

    @Option(
            names = "--timeout",
            paramLabel = "TIME",
            description = "Give up waiting after this time, with exit code 1; the copy goes on (default: never).")
    private @Nullable Duration timeout;

    @Option(names = "--json", description = "One object a line, until all are in sync.")
    private boolean json;

    @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP)
    private @Nullable Path dir;

    ResyncCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    /** One replica on its way. */
    record Step(
            String volume,
            String agent,
            boolean inSync,
            boolean connected,
            long lagBytes,
            String detail,
            StatusReport.@Nullable Copy copy) {

        String words() {
            String who = volume + " at " + agent + ": ";
            if (copy != null) {
                return who + CopyView.bar(copy);
            }
            if (inSync) {
                return who + "in sync";
            }
            return who
                    + (detail.isBlank() ? "catching up, " + new ByteSize(Math.max(0, lagBytes)) + " behind" : detail);
        }
    }

    @Override
    public Integer call() {
        if (anew) {
            recreate();
        }
        Duration patience = timeout;
        long began = System.nanoTime();
        long shownAt = 0;
        List<Step> shown = List.of();
        try (StatusProbe probe = terminus.probe(dir)) {
            while (true) {
                List<Step> steps = steps(probe.report());
                boolean done = steps.stream().allMatch(Step::inSync);
                boolean late = patience != null && System.nanoTime() - began > patience.toNanos();
                boolean due = shown.isEmpty() || System.nanoTime() - shownAt > PLAIN_LINE.toNanos();
                if (terminus.screen().isTerminal() && !json) {
                    terminus.screen().redraw(steps.stream().map(Step::words).toList());
                } else if (done || late || (due && !steps.equals(shown))) {
                    steps.forEach(step -> terminus.screen().line(json ? Json.write(step) : step.words()));
                    shownAt = System.nanoTime();
                    shown = steps;
                }
                if (done) {
                    return 0;
                }
                if (patience != null && late) {
                    terminus.screen().complain(name + " is not in sync after " + patience.toSeconds() + " s");
                    return 1;
                }
                Thread.sleep(REDRAW);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }

    private void recreate() {
        if (agent == null) {
            throw new Failure("--anew needs --agent: whose replica is to be thrown away?");
        }
        try (AgentClient holder = new AgentClient(SetMember.agent(agent), terminus.ports(dir), RECREATE_DEADLINE)) {
            holder.recreateReplica(name);
        }
        if (!json) {
            terminus.screen().line("The replica of " + name + " at " + agent + " is empty now.");
        }
    }

    private List<Step> steps(StatusReport report) {
        StatusReport.Volume volume = report.volumes().stream()
                .filter(v -> v.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new Failure("no agent that answers knows a volume '" + name + "'"));
        List<Step> steps = volume.replicas().stream()
                .filter(r -> agent == null || r.agent().equals(agent))
                .filter(r -> !Objects.equals(r.agent(), volume.writer()))
                .map(r -> new Step(
                        name,
                        r.agent(),
                        r.inSync() && volume.nbd() != null,
                        r.connected(),
                        r.lagBytes(),
                        volume.nbd() == null ? name + " is not served: " + volume.detail() : r.detail(),
                        r.copy()))
                .toList();
        if (steps.isEmpty() && agent != null) {
            throw new Failure("agent " + agent + " holds no replica of " + name + " that could fall behind");
        }
        return steps;
    }
}
