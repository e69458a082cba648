package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/** A client that writes at random and keeps book of what was acknowledged; see {@code acked_writes.py}. */
final class AckedWrites implements AutoCloseable {

    private final LiveSet set;
    private final Path book;
    private final Path stop;
    private final Program writer;

    private AckedWrites(LiveSet set, Path book, Path stop, Program writer) {
        this.set = set;
        this.book = book;
        this.stop = stop;
        this.writer = writer;
    }

    /** Returns when the first thousand writes are acknowledged. */
    static AckedWrites start(LiveSet set) {
        try {
            Path folder = Files.createTempDirectory(set.folder(), "acked");
            Path book = folder.resolve("book");
            Program writer =
                    Program.start(folder, List.of("/usr/bin/python3", script(), "write", set.uri(), book.toString()));
            AckedWrites writes = new AckedWrites(set, book, folder.resolve("STOP"), writer);
            writes.awaitMore(1000);
            return writes;
        } catch (IOException e) {
            throw new AssertionError("cannot make a directory for a book", e);
        }
    }

    long acknowledged() {
        try {
            return Files.exists(book)
                    ? Files.readAllLines(book).stream()
                            .filter(line -> line.startsWith("A "))
                            .count()
                    : 0;
        } catch (IOException e) {
            throw new AssertionError("cannot read " + book, e);
        }
    }

    void awaitMore(long writes) {
        long goal = acknowledged() + writes;
        await().atMost(LiveSet.PATIENCE).until(() -> {
            assertThat(writer.isRunning() || acknowledged() >= goal)
                    .as("the writer runs; it said: %s", writer.output())
                    .isTrue();
            return acknowledged() >= goal;
        });
    }

    /** Waits until the connection has broken. */
    void awaitBreak() {
        writer.succeed();
        assertThat(writer.output()).contains("the connection broke");
    }

    void stop() {
        try {
            Files.createFile(stop);
        } catch (IOException e) {
            throw new AssertionError("cannot make " + stop, e);
        }
        writer.succeed();
        assertThat(writer.output()).doesNotContain("the connection broke");
    }

    /** Everything that was acknowledged is there. */
    void check() {
        Program.run(set.folder(), "/usr/bin/python3", script(), "check", set.uri(), book.toString());
    }

    @Override
    public void close() {
        writer.close();
    }

    private static String script() {
        try {
            return Path.of(Objects.requireNonNull(AckedWrites.class.getResource("/acked_writes.py"))
                            .toURI())
                    .toString();
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }
}
