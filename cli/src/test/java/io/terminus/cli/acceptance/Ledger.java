package io.terminus.cli.acceptance;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A database of SQLite that syncs all it can. Each transaction enters a row, takes an old one out, and counts both in another
 * table; one that was committed is there for ever. Needs the program sqlite3.
 */
final class Ledger implements MountedGuest.Tenant {

    private static final int ROWS = 500;
    private static final int WORDS = 50;
    private static final String DURABLE = "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA;\n";

    private final Path folder;
    private long committed;
    private long begun;
    private long transactions;
    private long checks;
    private volatile boolean working;
    private @Nullable Process program;
    private @Nullable Thread worker;

    Ledger(Path folder) {
        this.folder = folder;
    }

    @Override
    public void begin(Path directory) {
        try {
            Process started = new ProcessBuilder("sqlite3", "-batch", "-bail", database(directory))
                    .redirectError(ProcessBuilder.Redirect.appendTo(
                            folder.resolve("sqlite3.log").toFile()))
                    .start();
            program = started;
            working = true;
            worker = Thread.ofPlatform().daemon().name("ledger").start(() -> work(started));
        } catch (IOException e) {
            throw new AssertionError("cannot run sqlite3", e);
        }
    }

    /** As a power loss would: the program is killed wherever it is. */
    @Override
    public void end() {
        working = false;
        Process running = program;
        Thread works = worker;
        if (running != null && works != null) {
            running.destroyForcibly();
            FaultySet.awaitEnd(running);
            try {
                works.join(LiveSet.PATIENCE.toMillis());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            program = null;
            worker = null;
        }
    }

    @Override
    public void verify(Path directory) {
        String said = Program.run(
                        folder,
                        "sqlite3",
                        "-batch",
                        "-bail",
                        database(directory),
                        schema()
                                + "PRAGMA integrity_check; SELECT coalesce(max(id), 0), count(*), coalesce(min(id), 1) FROM ledger;"
                                + " SELECT n FROM tally; SELECT count(*) FROM ledger WHERE what <> "
                                + what("printf('%08x', id)")
                                + ";")
                .strip();
        List<String> lines = said.lines().toList();
        List<String> rows = lines.size() == 4 ? List.of(lines.get(1).split("\\|", -1)) : List.of();
        if (rows.size() != 3 || !lines.getFirst().equals("ok")) {
            throw new AssertionError("the database is damaged:\n" + said);
        }
        long last = Long.parseLong(rows.getFirst());
        long expected = Math.min(last, ROWS);
        if (last < committed
                || last > begun
                || Long.parseLong(rows.get(1)) != expected
                || Long.parseLong(rows.get(2)) != last - expected + 1
                || Long.parseLong(lines.get(2)) != last
                || !lines.get(3).equals("0")) {
            throw new AssertionError("transaction " + committed + " was committed, " + begun
                    + " the last one begun, and the database holds:\n" + said);
        }
        committed = last;
        begun = last;
        checks++;
    }

    @Override
    public String summary() {
        return transactions + " transactions committed, the database checked " + checks + " times";
    }

    private void work(Process running) {
        try (BufferedWriter in =
                        new BufferedWriter(new OutputStreamWriter(running.getOutputStream(), StandardCharsets.UTF_8));
                BufferedReader out =
                        new BufferedReader(new InputStreamReader(running.getInputStream(), StandardCharsets.UTF_8))) {
            in.write(DURABLE + schema() + "SELECT 'ready';\n");
            in.flush();
            String line = out.readLine();
            while (line != null && !line.equals("ready")) {
                line = out.readLine();
            }
            while (working && line != null) {
                long id = ++begun;
                in.write(String.format(
                        Locale.ROOT,
                        "BEGIN IMMEDIATE; INSERT INTO ledger VALUES (%d, %s); DELETE FROM ledger WHERE id = %d;"
                                + " UPDATE tally SET n = n + 1; COMMIT; SELECT 'done';\n",
                        id,
                        what("'" + String.format(Locale.ROOT, "%08x", id) + "'"),
                        id - ROWS));
                in.flush();
                line = out.readLine();
                if ("done".equals(line)) {
                    committed = id;
                    transactions++;
                }
            }
        } catch (IOException gone) {
            // So is the volume, or this has ended.
        }
    }

    private static String database(Path directory) {
        return directory.resolve("ledger.db").toString();
    }

    private static String schema() {
        return "CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY, what TEXT NOT NULL);\n"
                + "CREATE TABLE IF NOT EXISTS tally (n INTEGER NOT NULL);\n"
                + "INSERT INTO tally SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM tally);\n";
    }

    private static String what(String word) {
        return "replace(hex(zeroblob(" + WORDS + ")), '00', " + word + ")";
    }
}
