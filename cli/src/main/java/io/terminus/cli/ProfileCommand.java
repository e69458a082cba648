package io.terminus.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code terminus profile}: where the running services spend their time, in one table. */
@Command(
        name = "profile",
        description = {
            "Record the services of a set while they run, and show where the time went.",
            "WALL: the sum of what a stage took, of the time recorded; stages that run beside each other add up. CPU: of"
                    + " the CPU time that was sampled, which the last line of each process gives."
        })
final class ProfileCommand implements Callable<Integer> {

    private static final int MOST_SECONDS = 600;
    private static final int BAR = 30;

    private final Terminus terminus;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "10",
            description = "How long to record (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--agent", paramLabel = "AGENT", description = "This agent and the lock manager (default: all).")
    private @Nullable String agent;

    @Option(names = "--json", description = "For scripts: the fields are a contract.")
    private boolean json;

    @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP)
    private @Nullable Path dir;

    ProfileCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Override
    public Integer call() {
        if (seconds < 1 || seconds > MOST_SECONDS) {
            throw new Failure("--seconds of " + seconds + " breaks the rule 1 to " + MOST_SECONDS);
        }
        SetMember one = agent == null ? null : SetMember.agent(agent);
        ServiceSet set = terminus.services(dir);
        Map<SetMember, Long> pids = new TreeMap<>();
        for (SetMember member : set.state().members()) {
            Optional<ProcessHandle> process = set.running(member);
            if (process.isPresent() && (one == null || member == one || !member.isAgent())) {
                pids.put(member, process.get().pid());
            }
        }
        if (pids.isEmpty() || (one != null && !pids.containsKey(one))) {
            throw new Failure((one == null ? "no service" : "agent " + one.title())
                    + " runs: 'terminus up' starts what does not run");
        }
        Path place = temporary();
        try {
            return profile(set, pids, place);
        } finally {
            delete(place);
        }
    }

    private int profile(ServiceSet set, Map<SetMember, Long> pids, Path place) {
        Path jcmd = Path.of(set.state().java()).resolveSibling("jcmd");
        Map<SetMember, FlightRecording> recordings = new TreeMap<>();
        List<ProfileReport> reports = new ArrayList<>();
        try {
            pids.forEach((member, pid) ->
                    recordings.put(member, FlightRecording.start(jcmd, pid, place.resolve(member.title() + ".jfr"))));
            record(recordings.keySet().stream().map(SetMember::title).toList());
            recordings.forEach((member, recording) -> {
                FlightRecording.Result result = recording.stop();
                reports.add(ProfileReport.read(member.title(), result.file(), result.nanos()));
            });
        } finally {
            recordings.values().forEach(FlightRecording::discard);
        }
        if (json) {
            terminus.screen().line(Json.write(reports));
        } else {
            terminus.screen().lines(ProfileReport.table(reports));
        }
        return 0;
    }

    private void record(List<String> who) {
        Screen screen = terminus.screen();
        String names = String.join(", ", who);
        if (!json && !screen.isTerminal()) {
            screen.line("Recording " + names + " for " + seconds + " s.");
        }
        try {
            for (int done = 0; done < seconds; done++) {
                draw(names, done);
                Thread.sleep(1_000);
            }
            draw(names, seconds);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }

    private void draw(String names, int done) {
        if (!json && terminus.screen().isTerminal()) {
            int full = BAR * done / seconds;
            terminus.screen()
                    .redraw(List.of("Recording " + names + " [" + "#".repeat(full) + " ".repeat(BAR - full) + "] "
                            + done + " of " + seconds + " s"));
        }
    }

    private static Path temporary() {
        try {
            return Files.createTempDirectory("terminus-profile");
        } catch (IOException e) {
            throw new Failure("cannot make a directory for the recordings: " + SetDirectory.reason(e), e);
        }
    }

    private static void delete(Path place) {
        try (var files = Files.list(place)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
            Files.delete(place);
        } catch (IOException e) {
            throw new Failure("cannot delete the recordings in " + place + ": " + SetDirectory.reason(e), e);
        }
    }
}
