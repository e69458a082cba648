package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A set of {@link FakeService}s in a directory of its own, driven through the command line. */
final class FakeSet implements AutoCloseable {

    record Result(int exitCode, String out, String err) {
        JsonNode json() {
            return JsonMapper.shared().readTree(out);
        }
    }

    private static final int PORTS = 10;

    private final Path directory;
    private final int portBase = PortBases.free(PORTS);

    FakeSet(Path directory) {
        this.directory = directory;
    }

    /** Runs the program as a process of its own would: FakeSet DIRECTORY ARGUMENTS. */
    public static void main(String[] arguments) {
        System.exit(Terminus.run(installation(), new Screen(System.out, System.err, false, false), arguments));
    }

    static Installation installation() {
        List<String> service = List.of("-cp", System.getProperty("java.class.path"), FakeService.class.getName());
        return new Installation(
                Path.of("").toAbsolutePath(),
                Path.of(System.getProperty("java.home"), "bin", "java"),
                service,
                service,
                Duration.ofSeconds(3));
    }

    Path directory() {
        return directory;
    }

    int portBase() {
        return portBase;
    }

    Result run(String... arguments) {
        List<String> all = new ArrayList<>(List.of(arguments));
        if (!all.contains("--help")) {
            all.add("--dir");
            all.add(directory.toString());
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Screen screen = new Screen(
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8),
                false,
                false);
        int exitCode = Terminus.run(installation(), screen, all.toArray(String[]::new));
        return new Result(exitCode, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    Result up(String... more) {
        List<String> arguments = new ArrayList<>(List.of("up", "--detach", "--port-base", Integer.toString(portBase)));
        arguments.addAll(List.of(more));
        return run(arguments.toArray(String[]::new));
    }

    /** The same for stories that begin with a set that is up. */
    void isUp(String... more) {
        Result up = up(more);
        assertThat(up.exitCode()).as(up.err()).isZero();
    }

    /** The same in the foreground of a process of its own. */
    Process foreground(Path output) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        FakeSet.class.getName(),
                        "up",
                        "--dir",
                        directory.toString(),
                        "--port-base",
                        Integer.toString(portBase))
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
    }

    void fault(SetMember member, String name, String content) throws IOException {
        Path data = directory.resolve(member.title());
        Files.createDirectories(data);
        Files.writeString(data.resolve(name), content);
    }

    ProcessHandle process(SetMember member) {
        SetState state = new SetDirectory(directory).loadExisting();
        return state.process(member)
                .flatMap(identity -> identity.find(ProcessIdentity.mark(state.id(), member)))
                .orElseThrow(() -> new AssertionError(member + " does not run"));
    }

    long living() {
        return new SetDirectory(directory)
                .load()
                .map(state -> SetMember.of(1).stream()
                        .filter(member -> ProcessIdentity.search(ProcessIdentity.mark(state.id(), member))
                                .isPresent())
                        .count())
                .orElse(0L);
    }

    @Override
    public void close() {
        run("down");
    }
}
