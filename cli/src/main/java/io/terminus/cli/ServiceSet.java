package io.terminus.cli;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The processes of a set: starts, finds and stops them. The caller holds the directory's lock for {@link #start} and
 * {@link #stop}.
 *
 * <p>Each process gets a session of its own, so that a Ctrl-C in the terminal reaches the command alone, which then stops
 * the set in order. Where there is no {@code setsid} the services hear the Ctrl-C themselves and stop in no order.
 */
final class ServiceSet {

    private static final Duration POLL = Duration.ofMillis(50);
    private static final int LAST_LINES = 8;
    /** The end of a log that is looked at for its last lines. */
    private static final int TAIL_BYTES = 16 * 1024;

    private final Installation installation;
    private final SetDirectory directory;
    private SetState state;

    ServiceSet(Installation installation, SetDirectory directory, SetState state) {
        this.installation = installation;
        this.directory = directory;
        this.state = state;
    }

    SetState state() {
        return state;
    }

    Optional<ProcessHandle> running(SetMember member) {
        String mark = ProcessIdentity.mark(state.id(), member);
        return state.process(member).flatMap(identity -> identity.find(mark));
    }

    /** As {@link #running}, and takes in one that an interrupted start left without a note. Costs a walk over all processes. */
    Optional<ProcessHandle> runningOrStray(SetMember member) {
        Optional<ProcessHandle> known = running(member);
        if (known.isPresent()) {
            return known;
        }
        Optional<ProcessHandle> stray = ProcessIdentity.search(ProcessIdentity.mark(state.id(), member));
        stray.ifPresent(process -> keep(state.with(member, ProcessIdentity.of(process))));
        return stray;
    }

    ProcessHandle start(SetMember member) {
        Path log = directory.log(member);
        List<String> command = new ArrayList<>(setsid());
        command.addAll(installation.command(member, state, directory));
        try {
            if (Files.exists(log)) {
                Files.move(log, log.resolveSibling(log.getFileName() + ".1"), StandardCopyOption.REPLACE_EXISTING);
            }
            Files.createDirectories(directory.data(member));
            Process process = new ProcessBuilder(command)
                    .directory(directory.path().toFile())
                    .redirectInput(new File("/dev/null"))
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            keep(state.with(member, ProcessIdentity.of(process.toHandle())));
            return process.toHandle();
        } catch (IOException e) {
            throw new Failure("cannot start " + member.title() + ": " + SetDirectory.reason(e), e);
        }
    }

    /**
     * Asks each in turn to end and waits for it; one that does not is killed.
     *
     * @return whether all ended by themselves
     */
    boolean stop(List<SetMember> members, Consumer<String> say) {
        boolean clean = true;
        for (SetMember member : members) {
            Optional<ProcessHandle> process = runningOrStray(member);
            if (process.isPresent()) {
                say.accept("Stopping " + member.title() + ".");
                clean &= end(member, process.get(), say);
            }
            keep(state.without(member));
        }
        return clean;
    }

    /** What a process wrote last, for the person who wants to know why it is gone. */
    String lastWords(SetMember member) {
        Path log = directory.log(member);
        try {
            byte[] bytes = Files.readAllBytes(log);
            int from = Math.max(0, bytes.length - TAIL_BYTES);
            List<String> lines = new String(bytes, from, bytes.length - from, StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> !line.isBlank())
                    .toList();
            if (lines.isEmpty()) {
                return "It said nothing in " + log;
            }
            return "The end of " + log + ":\n  "
                    + String.join("\n  ", lines.subList(Math.max(0, lines.size() - LAST_LINES), lines.size()));
        } catch (IOException e) {
            return "Its log cannot be read: " + SetDirectory.reason(e);
        }
    }

    private boolean end(SetMember member, ProcessHandle process, Consumer<String> say) {
        process.destroy();
        if (awaitEnd(process)) {
            return true;
        }
        say.accept("Warning: " + member.title() + " (pid " + process.pid() + ") did not stop within "
                + installation.stopPatience().toSeconds() + " s and is killed.");
        process.destroyForcibly();
        awaitEnd(process);
        return false;
    }

    /** Polls, because {@link ProcessHandle#onExit} never fires for the zombie of a parent that does not reap. */
    private boolean awaitEnd(ProcessHandle process) {
        long deadlineNanos = System.nanoTime() + installation.stopPatience().toNanos();
        while (ProcessIdentity.isAlive(process)) {
            if (System.nanoTime() - deadlineNanos > 0) {
                return false;
            }
            try {
                Thread.sleep(POLL);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new Failure("interrupted while waiting for pid " + process.pid() + " to end", e);
            }
        }
        return true;
    }

    private void keep(SetState changed) {
        if (!changed.equals(state)) {
            directory.save(changed);
            state = changed;
        }
    }

    private static List<String> setsid() {
        for (String folder : List.of("/usr/bin", "/bin", "/usr/local/bin")) {
            Path program = Path.of(folder, "setsid");
            if (Files.isExecutable(program)) {
                return List.of(program.toString());
            }
        }
        return List.of();
    }
}
