package io.terminus.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * {@code terminus journal}: looks into a replica's directory, whether its agent runs or not. The formats are the agent's, so this
 * starts the program for it that lies in the agent's jar: the command line needs nothing of the agent to be built or to run.
 */
@Command(
        name = "journal",
        description = {
            "Look into the journal of a replica, read-only, with or without a running agent.",
            "A replica's directory is volumes/NAME in the data directory of an agent, so .terminus/a/volumes/demo."
        })
final class JournalCommand {

    private static final String TOOL = "io.terminus.agent.volume.JournalTool";

    private final Terminus terminus;

    JournalCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Command(
            name = "inspect",
            description = {
                "Show what a replica knows of itself, and the records of its journal.",
                "Exit code 1 if a damaged record is among those shown."
            })
    int inspect(
            @Parameters(paramLabel = "DIR", arity = "0..1", description = "The replica's directory.") @Nullable
                    Path dir,
            @Option(names = "--replica", paramLabel = "DIR", description = "The same, by name.") @Nullable Path replica,
            @Option(
                            names = "--from",
                            paramLabel = "POSITION",
                            description = "Begin there, a multiple of 128 (default: the oldest position held).")
                    @Nullable
                    Long from,
            @Option(
                            names = "--limit",
                            paramLabel = "N",
                            defaultValue = "100",
                            description = "Show so many records, 0: all (default: ${DEFAULT-VALUE}).")
                    long limit,
            @Option(
                            names = "--json",
                            description =
                                    "One object a line: the replica, then its records. The fields are a contract.")
                    boolean json) {
        List<String> arguments = new ArrayList<>(List.of("inspect", directory(dir, replica), "--limit", limit + ""));
        if (from != null) {
            arguments.addAll(List.of("--from", from.toString()));
        }
        return run(arguments, json);
    }

    @Command(
            name = "verify",
            description = {
                "Read all of a replica's journal, check every checksum, and say what a start would do with it.",
                "Exit code 0 if the replica has everything that it must have; 1 if it is damaged or would not be used."
            })
    int verify(
            @Parameters(paramLabel = "DIR", arity = "0..1", description = "The replica's directory.") @Nullable
                    Path dir,
            @Option(names = "--replica", paramLabel = "DIR", description = "The same, by name.") @Nullable Path replica,
            @Option(names = "--json", description = "For scripts: the fields are a contract.") boolean json) {
        return run(new ArrayList<>(List.of("verify", directory(dir, replica))), json);
    }

    private static String directory(@Nullable Path dir, @Nullable Path replica) {
        Path meant = dir != null ? dir : replica;
        if (meant == null || (dir != null && replica != null)) {
            throw new Failure("which replica? Name its directory once: volumes/NAME in the data directory of an agent");
        }
        return meant.toAbsolutePath().normalize().toString();
    }

    /** The tool writes to our own output and error output: nothing is between it and a pipe. */
    private int run(List<String> arguments, boolean json) {
        Installation installation = terminus.installation();
        Path jar = installation.agentJar();
        if (!Files.exists(jar)) {
            throw new Failure(jar + " is not built: it holds the program that reads journals; 'terminus up' builds it");
        }
        List<String> command = new ArrayList<>(List.of(
                installation.java().toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xmx256m",
                "-cp",
                jar.toString(),
                TOOL));
        command.addAll(arguments);
        if (json) {
            command.add("--json");
        }
        if (terminus.screen().isTerminal()) {
            command.add("--progress");
        }
        try {
            return new ProcessBuilder(command).inheritIO().start().waitFor();
        } catch (IOException e) {
            throw new Failure("cannot run " + installation.java() + ": " + SetDirectory.reason(e), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }
}
