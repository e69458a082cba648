package io.terminus.benchmarks.data;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A directory of its own, and every process that this benchmark starts. Both are gone when it ends, however it ends: {@link #close} in good
 * order, a shutdown hook on Ctrl-C and SIGTERM, and where there is {@code setpriv} the kernel kills the processes when this one is killed;
 * the directory is then removed by the next run.
 *
 * <p>Processes are started by one thread that lives as long as the benchmark: the kernel would take the end of the starting thread for the end
 * of the parent.
 */
final class Workshop implements AutoCloseable {

    private static final String PREFIX = "bench-data-";
    private static final int STEP_SECONDS = 170;

    private final Path directory;
    private final Path home;
    private final List<String> guard;
    private final List<Process> processes = new ArrayList<>();
    private final Set<String> commands = new LinkedHashSet<>();
    private final Thread hook = new Thread(this::clear, "bench-data-clear");
    private boolean closed;
    private int logs;

    private Workshop(Path directory, Path home) {
        this.directory = directory;
        this.home = home;
        this.guard = find("setpriv")
                .map(p -> List.of(p.toString(), "--pdeathsig", "KILL", "--"))
                .orElse(List.of());
    }

    /**
     * @param parent what earlier runs left in it that were killed is removed
     * @param home of the programs, for {@link #commands}
     */
    static Workshop open(Path parent, Path home) throws IOException {
        Files.createDirectories(parent);
        try (Stream<Path> files = Files.list(parent)) {
            for (Path file : files.filter(Workshop::isLeftOver).toList()) {
                delete(file);
            }
        }
        Path directory =
                parent.toAbsolutePath().resolve(PREFIX + ProcessHandle.current().pid());
        Workshop workshop = new Workshop(Files.createDirectory(directory), home);
        Runtime.getRuntime().addShutdownHook(workshop.hook);
        return workshop;
    }

    Path directory() {
        return directory;
    }

    /** Where a program lies, looked for on PATH. */
    static java.util.Optional<Path> find(String program) {
        return Stream.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator))
                .filter(folder -> !folder.isEmpty())
                .map(folder -> Path.of(folder, program))
                .filter(Files::isExecutable)
                .findFirst();
    }

    Daemon start(String name, List<String> command) throws IOException {
        Path log = directory.resolve(name + "-" + logs++ + ".log");
        return new Daemon(name, launch(command, log, log), log);
    }

    /** Runs it to its end and gives back what it printed. Ends with an exception if the program fails. */
    String run(List<String> command) throws IOException, InterruptedException {
        Path out = directory.resolve("out");
        Path err = directory.resolve("err");
        Process process = launch(command, out, err);
        try {
            if (!process.waitFor(STEP_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException(shown(command) + " has not ended after " + STEP_SECONDS + " s");
            }
        } finally {
            process.destroyForcibly();
            forget(process);
        }
        String said = Files.readString(out, StandardCharsets.UTF_8);
        if (process.exitValue() != 0) {
            throw new IOException(shown(command) + " ended with " + process.exitValue() + ": "
                    + Files.readString(err).strip() + said.lines().limit(5).reduce("", (a, b) -> a + " / " + b));
        }
        return said;
    }

    /** Every different command line so far, as a shell would take it; {@code DIR} stands for the directory, {@code HOME} for that of the programs. */
    synchronized List<String> commands() {
        return List.copyOf(commands);
    }

    void note(List<String> command) {
        synchronized (this) {
            commands.add(shown(command));
        }
    }

    @Override
    public void close() {
        clear();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // It runs already, and has done the same.
        }
    }

    private synchronized Process launch(List<String> command, Path out, Path err) throws IOException {
        if (closed) {
            throw new IOException("the benchmark is being ended");
        }
        List<String> guarded = new ArrayList<>(guard);
        guarded.addAll(command);
        ProcessBuilder builder = new ProcessBuilder(guarded)
                .directory(directory.toFile())
                .redirectInput(new File("/dev/null"))
                .redirectOutput(out.toFile());
        if (out.equals(err)) {
            builder.redirectErrorStream(true);
        } else {
            builder.redirectError(err.toFile());
        }
        Process process = builder.start();
        processes.removeIf(earlier -> !earlier.isAlive());
        processes.add(process);
        return process;
    }

    private synchronized void forget(Process process) {
        processes.remove(process);
    }

    /** Their data goes too, so nobody has to be asked to end in good order. */
    private synchronized void clear() {
        if (closed) {
            return;
        }
        closed = true;
        for (Process process : processes) {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
        }
        for (Process process : processes) {
            process.onExit().join();
        }
        try {
            delete(directory);
        } catch (IOException | UncheckedIOException e) {
            System.err.println(directory + " could not be removed: " + e);
        }
    }

    private String shown(List<String> command) {
        return String.join(
                " ",
                command.stream()
                        .map(word -> word.replace(directory.toString(), "DIR").replace(home.toString(), "HOME"))
                        .map(word -> word.matches("[A-Za-z0-9_./:=,%+@-]+") ? word : "'" + word + "'")
                        .toList());
    }

    private static boolean isLeftOver(Path file) {
        String name = String.valueOf(file.getFileName());
        if (!name.matches(PREFIX + "\\d+")) {
            return false;
        }
        return ProcessHandle.of(Long.parseLong(name.substring(PREFIX.length()))).isEmpty();
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }
}
