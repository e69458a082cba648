package io.terminus.benchmarks.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A server this benchmark has started. Its output is in a file. */
final class Daemon {

    private static final int LAST_LINES = 6;

    private final String name;
    private final Process process;
    private final Path log;

    Daemon(String name, Process process, Path log) {
        this.name = name;
        this.process = process;
        this.log = log;
    }

    String name() {
        return name;
    }

    long pid() {
        return process.pid();
    }

    /** What answers on a port need not be what was started to answer there: it is only if that still runs. */
    void requireAlive() throws IOException {
        if (!process.isAlive()) {
            throw new IOException(name + " ended with " + process.exitValue() + "; it said: " + lastWords());
        }
    }

    String lastWords() throws IOException {
        List<String> lines = Files.readAllLines(log);
        return String.join(" / ", lines.subList(Math.max(0, lines.size() - LAST_LINES), lines.size()));
    }

    /** It stands still until {@link #resume}. */
    void pause() throws IOException, InterruptedException {
        signal("STOP");
    }

    void resume() throws IOException, InterruptedException {
        signal("CONT");
    }

    private void signal(String name) throws IOException, InterruptedException {
        int said = new ProcessBuilder("kill", "-" + name, String.valueOf(pid()))
                .inheritIO()
                .start()
                .waitFor();
        if (said != 0) {
            throw new IOException("kill -" + name + " of " + this.name + ", pid " + pid() + ", ended with " + said);
        }
    }

    /** {@code kill -9}. Returns when it is gone. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }
}
