package io.terminus.agent.volume;

import io.terminus.agent.journal.BadRecordException.Rule;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalReader;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.journal.RecordView;
import io.terminus.agent.journal.Recovery;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * Shows what a replica's directory holds ({@code inspect}), and what a start would make of it ({@code verify}). A program of its own in
 * the agent's jar, run by {@code terminus journal}: it needs the formats and nothing else of the agent, so it starts at once. Reads
 * only and takes no lock, and so also works beside a running agent.
 *
 * <pre>
 *   inspect DIR [--from POSITION] [--limit N] [--json] [--progress]
 *   verify DIR [--json] [--progress]
 * </pre>
 *
 * <p>Ends with 0; with 1 if there is damage, or a start would not use the replica, or the directory is none; with 2 if it was called
 * wrongly.
 */
public final class JournalTool {

    private static final int DAMAGED = 1;
    private static final int WRONG_USE = 2;

    /** Beside an agent that writes no two looks are alike: after so many the last one counts. */
    private static final int LOOKS = 10;

    private static final long BETWEEN_LOOKS_NANOS = 100_000_000;

    private static final String JOURNAL_DIR = "journal";

    /** What cannot be gone on with, in one sentence. */
    private static final class RefusedToLookException extends Exception {
        RefusedToLookException(String message) {
            super(message);
        }
    }

    /** How the whole is meant to be called. */
    private static final class WrongUseException extends Exception {
        WrongUseException(String message) {
            super(message);
        }
    }

    private record Options(String verb, Path dir, long from, long limit, boolean json, boolean progress) {

        static Options parse(List<String> arguments) throws WrongUseException {
            String verb = arguments.isEmpty() ? "" : arguments.getFirst();
            if (!verb.equals("inspect") && !verb.equals("verify")) {
                throw new WrongUseException("inspect or verify, and a replica's directory");
            }
            String dir = null;
            long from = -1;
            long limit = 0;
            boolean json = false;
            boolean progress = false;
            for (int i = 1; i < arguments.size(); i++) {
                switch (arguments.get(i)) {
                    case "--json" -> json = true;
                    case "--progress" -> progress = true;
                    case "--from" -> from = number("--from", arguments, ++i);
                    case "--limit" -> limit = number("--limit", arguments, ++i);
                    default -> {
                        if (dir != null) {
                            throw new WrongUseException("one directory, not also " + arguments.get(i));
                        }
                        dir = arguments.get(i);
                    }
                }
            }
            if (dir == null) {
                throw new WrongUseException("a replica's directory is missing");
            }
            return new Options(verb, Path.of(dir), from, limit, json, progress);
        }

        private static long number(String option, List<String> arguments, int at) throws WrongUseException {
            String text = at < arguments.size() ? arguments.get(at) : "";
            if (!text.matches("[0-9]{1,18}")) {
                throw new WrongUseException(option + " '" + text + "' is not a number");
            }
            return Long.parseLong(text);
        }
    }

    /** What the superblock says, and where the journal lies. */
    private record Replicated(Path dir, Superblock superblock, VolumeConfig config) {

        static Replicated in(Path dir) throws IOException, RefusedToLookException {
            if (!Files.isDirectory(dir)) {
                throw new RefusedToLookException(dir + " is not a directory");
            }
            if (!Files.exists(dir.resolve(Superblock.FILE)) || !Files.isDirectory(dir.resolve(JOURNAL_DIR))) {
                throw new RefusedToLookException(
                        dir + " is no replica: it has no superblock and journal. " + hint(dir));
            }
            Superblock superblock = Superblock.read(dir);
            try {
                return new Replicated(
                        dir, superblock, VolumeConfig.decode(superblock.seen().config()));
            } catch (VolumeConfig.UnreadableConfigException e) {
                throw new RefusedToLookException(dir + ": " + e.getMessage());
            }
        }

        private static String hint(Path dir) throws IOException {
            Path volumes = dir.resolve("volumes");
            if (!Files.isDirectory(volumes)) {
                return "A replica's directory is volumes/NAME in the data directory of an agent";
            }
            TreeSet<String> found = new TreeSet<>();
            try (DirectoryStream<Path> dirs = Files.newDirectoryStream(volumes, Files::isDirectory)) {
                dirs.forEach(d -> found.add(d.toString()));
            }
            return found.isEmpty()
                    ? "It is the data directory of an agent without replicas"
                    : "It is the data directory of an agent, whose replicas are " + String.join(", ", found);
        }

        Superblock.Checkpoint checkpoint() {
            return superblock.checkpoint();
        }

        JournalReader journal() {
            return new JournalReader(dir.resolve(JOURNAL_DIR), config.uuid(), config.segmentBytes());
        }
    }

    /** A place where bytes are missing that should be there. */
    private record Damage(long position, String what) {}

    /** @param history what is damaged before the checkpoint: not needed by a start, but by replicas that are behind */
    private record Findings(
            Replicated replica, List<Long> segments, Recovery recovery, long records, List<Damage> history) {

        private boolean sameAs(@Nullable Findings earlier) {
            return earlier != null
                    && recovery.equals(earlier.recovery)
                    && history.equals(earlier.history)
                    && replica.checkpoint().equals(earlier.replica.checkpoint());
        }

        private boolean quiet() {
            return recovery.verdict() instanceof Recovery.Clean && history.isEmpty();
        }
    }

    private final Options options;
    private final PrintStream out;
    private final PrintStream err;
    private long percentShown = -1;

    private JournalTool(Options options, PrintStream out, PrintStream err) {
        this.options = options;
        this.out = out;
        this.err = err;
    }

    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        int exitCode = run(List.of(arguments), out, System.err);
        out.flush();
        System.exit(exitCode);
    }

    static int run(List<String> arguments, PrintStream out, PrintStream err) {
        try {
            JournalTool tool = new JournalTool(Options.parse(arguments), out, err);
            return tool.options.verb().equals("inspect") ? tool.inspect() : tool.verify();
        } catch (WrongUseException e) {
            err.println("terminus journal: " + e.getMessage());
            return WRONG_USE;
        } catch (RefusedToLookException | IOException e) {
            err.println("terminus journal: " + e.getMessage());
            return DAMAGED;
        }
    }

    // ---- inspect

    private int inspect() throws IOException, RefusedToLookException, WrongUseException {
        Replicated replica = Replicated.in(options.dir());
        JournalReader journal = replica.journal();
        List<Long> segments = journal.segments();
        Recovery recovery = recover(replica, journal, segments);
        long filesEnd = segments.isEmpty() ? 0 : position(replica, segments.getLast() + 1);
        long from = options.from() >= 0 ? options.from() : oldest(replica, segments);
        if (from % 128 != 0) {
            throw new WrongUseException("--from " + from + ": records start at multiples of 128");
        }
        say(facts(replica, segments, recovery));
        if (!options.json()) {
            out.printf(
                    Locale.ROOT,
                    "%n%14s  %-12s %-9s %14s %10s %6s %20s %14s %14s  %s%n",
                    "POSITION",
                    "KIND",
                    "FLAGS",
                    "OFFSET",
                    "LENGTH",
                    "TERM",
                    "TOKEN",
                    "COMMITTED",
                    "SYNCED",
                    "CHECKSUMS");
        }
        long[] shown = {0};
        long[] next = {-1};
        boolean[] damaged = {recovery.verdict() instanceof Recovery.Corrupt};
        journal.visit(from, filesEnd, new JournalReader.Visitor<RuntimeException>() {
            @Override
            public boolean record(RecordView r) {
                if (options.limit() > 0 && shown[0] == options.limit()) {
                    next[0] = r.position();
                    return false;
                }
                shown[0]++;
                boolean intact = r.payloadIntact();
                boolean inJournal = r.position() < recovery.end();
                damaged[0] |= inJournal && !intact;
                show(r, intact, inJournal);
                return !out.checkError();
            }

            @Override
            public boolean nothing(long begin, long end, @Nullable Rule broken) {
                if (begin >= recovery.end() && end == filesEnd) {
                    return false; // the rest was never written in this lap
                }
                show(begin, end, broken);
                damaged[0] |= begin < recovery.end();
                return !out.checkError();
            }
        });
        if (next[0] >= 0 && !options.json()) {
            out.println("More from position " + next[0] + " on: --from " + next[0]);
        }
        return damaged[0] ? DAMAGED : 0;
    }

    private void show(RecordView r, boolean intact, boolean inJournal) {
        String checksums = (intact ? "ok" : "payload damaged") + (inJournal ? "" : ", behind the end");
        if (options.json()) {
            Map<String, Object> json = new LinkedHashMap<>();
            json.put("position", r.position());
            json.put("end", r.endPosition());
            json.put("kind", r.kind().name());
            json.put("flags", flags(r));
            json.put("offset", r.offset());
            json.put("length", r.length());
            json.put("term", r.term());
            json.put("token", r.token());
            json.put("committed", r.committed());
            json.put("synced", r.synced());
            json.put("timeNanos", r.timeNanos());
            json.put("intact", intact);
            json.put("inJournal", inJournal);
            out.println(JsonMapper.shared().writeValueAsString(json));
            return;
        }
        out.printf(
                Locale.ROOT,
                "%14d  %-12s %-9s %14d %10d %6d %20s %14d %14d  %s%n",
                r.position(),
                r.kind(),
                String.join(",", flags(r)),
                r.offset(),
                r.kind() == RecordKind.PAD || r.kind() == RecordKind.TERM ? r.payloadLength() : r.length(),
                r.term(),
                Long.toUnsignedString(r.token()),
                r.committed(),
                r.synced(),
                checksums);
    }

    private static List<String> flags(RecordView r) {
        List<String> flags = new ArrayList<>();
        if ((r.flags() & Journal.FUA) != 0) {
            flags.add("fua");
        }
        if ((r.flags() & Journal.MAY_PUNCH) != 0) {
            flags.add("punch");
        }
        return flags;
    }

    private void show(long begin, long end, @Nullable Rule broken) {
        if (options.json()) {
            Map<String, Object> json = new LinkedHashMap<>();
            json.put("position", begin);
            json.put("end", end);
            json.put("kind", "NONE");
            json.put("broken", broken == null ? "NO_FILE" : broken.name());
            out.println(JsonMapper.shared().writeValueAsString(json));
        } else {
            out.printf(Locale.ROOT, "%14d  no record up to %d: %s%n", begin, end, why(begin, broken));
        }
    }

    private static String why(long position, @Nullable Rule broken) {
        return broken == null ? "there is no file" : "what stands at " + position + " " + broken.text();
    }

    // ---- verify

    private int verify() throws IOException, RefusedToLookException {
        Findings found = look();
        boolean moving = false;
        for (int again = 1; !found.quiet() && again < LOOKS; again++) {
            LockSupport.parkNanos(BETWEEN_LOOKS_NANOS);
            Findings earlier = found;
            found = look();
            moving = !found.sameAs(earlier);
            if (!moving) {
                break;
            }
        }
        clearProgress();
        Superblock superblock = found.replica().superblock();
        List<String> sentences = new ArrayList<>();
        boolean usable = judge(found, moving, sentences);
        if (options.json()) {
            Map<String, Object> json = facts(found.replica(), found.segments(), found.recovery());
            json.put("records", found.records());
            json.put("damagedHistory", found.history());
            json.put("failed", superblock.life().failed());
            json.put("moving", moving);
            json.put("usable", usable);
            json.put("sentences", sentences);
            say(json);
        } else {
            say(facts(found.replica(), found.segments(), found.recovery()));
            out.println();
            sentences.forEach(out::println);
        }
        return usable ? 0 : DAMAGED;
    }

    /** Looks at the superblock first: what it names is not recycled before the next one is written. */
    private Findings look() throws IOException, RefusedToLookException {
        Replicated replica = Replicated.in(options.dir());
        JournalReader journal = replica.journal();
        List<Long> segments = journal.segments();
        Recovery recovery = recover(replica, journal, segments);
        long[] records = {0};
        List<Damage> history = new ArrayList<>();
        long oldest = oldest(replica, segments);
        long checkpoint = replica.checkpoint().position();
        journal.visit(oldest, recovery.end(), new JournalReader.Visitor<RuntimeException>() {
            @Override
            public boolean record(RecordView r) {
                records[0]++;
                progress(segments, replica, r.position());
                if (r.position() < checkpoint && !r.payloadIntact()) {
                    history.add(new Damage(r.position(), "the record at " + r.position() + " has a damaged payload"));
                }
                return true;
            }

            @Override
            public boolean nothing(long begin, long end, @Nullable Rule broken) {
                history.add(
                        new Damage(begin, "no record stands in [" + begin + ", " + end + "): " + why(begin, broken)));
                return true;
            }
        });
        return new Findings(replica, segments, recovery, records[0], history);
    }

    /** Says what a start would do; returns whether it finds everything that it must. */
    private boolean judge(Findings found, boolean moving, List<String> say) {
        Superblock superblock = found.replica().superblock();
        Recovery recovery = found.recovery();
        boolean usable = true;
        if (!superblock.life().failed().isEmpty()) {
            say.add("A start does not use this replica, which stopped for good: "
                    + superblock.life().failed() + ".");
            usable = false;
        }
        if (superblock.rebuild().journalGoes()) {
            say.add("A start empties this journal, which begins anew at "
                    + found.replica().checkpoint().position() + " for a replica that is being copied to.");
            return usable;
        }
        if (superblock.rebuild().underWay()) {
            say.add(
                    "The image is a mixture until the copy that is under way ends: this replica neither votes nor serves.");
        }
        switch (recovery.verdict()) {
            case Recovery.Clean clean ->
                say.add("The journal ends at " + recovery.end() + "; nothing was begun behind it.");
            case Recovery.TornTail torn ->
                say.add("The journal ends at " + torn.at() + ". What was begun behind it"
                        + (recovery.strayEnd() > torn.at()
                                ? ", valid records up to " + recovery.strayEnd() + " among it,"
                                : "")
                        + " was promised to nobody as far as is known here; the election decides what becomes of it.");
            case Recovery.Corrupt corrupt -> {
                say.add("The journal is damaged at " + corrupt.at() + ": everything up to " + corrupt.knownSafe()
                        + " was known to be safe. A start marks this replica as damaged; it vouches for nothing, and the"
                        + " bytes have to come from another replica."
                        + (found.replica().config().ackLevel() == AckLevel.DURABLE
                                ? ""
                                : " If the machine has lost its memory since they were written, this may be but what was not synced"
                                        + " here, and then it is no damage."));
                usable = false;
            }
        }
        int segmentBytes = found.replica().config().segmentBytes();
        for (long number = found.replica().checkpoint().position() / segmentBytes;
                number < superblock.reach() / segmentBytes;
                number++) {
            if (!found.segments().contains(number)) {
                say.add("The file of segment %016x".formatted(number)
                        + ", which was there, is gone. If records may have"
                        + " stood in it a start marks this replica as damaged; it vouches for nothing.");
                usable = false;
            }
        }
        for (Damage damage : found.history()) {
            say.add("Before the checkpoint, not needed by a start but by replicas that are behind: " + damage.what()
                    + ".");
            usable = false;
        }
        if (superblock.life().damaged()) {
            say.add("An earlier start found damage, and the in-sync set has not taken this replica in since.");
        }
        if (superblock.life().memoryLost()) {
            say.add(
                    "Unsynced bytes may have been lost with the machine's memory, and the in-sync set has not taken this"
                            + " replica in since.");
        }
        if (moving) {
            say.add("Files changed while they were read: an agent is running, and this is of several moments.");
        }
        return usable;
    }

    // ---- Shared by both

    private Recovery recover(Replicated replica, JournalReader journal, List<Long> segments) throws IOException {
        Superblock.Checkpoint from = replica.checkpoint();
        return journal.recover(
                from.position(),
                from.lineage(),
                Math.max(from.position(), from.committed()),
                position -> progress(segments, replica, position));
    }

    /** The oldest position that is still there, as a start finds it: without a gap up to the checkpoint. */
    private static long oldest(Replicated replica, List<Long> segments) {
        Superblock.Checkpoint checkpoint = replica.checkpoint();
        long held = checkpoint.position() / replica.config().segmentBytes();
        while (segments.contains(held - 1)) {
            held--;
        }
        return Math.max(checkpoint.oldest(), Math.min(checkpoint.position(), position(replica, held)));
    }

    private static long position(Replicated replica, long segment) {
        return segment * replica.config().segmentBytes();
    }

    private static Map<String, Object> facts(Replicated replica, List<Long> segments, Recovery recovery) {
        Superblock superblock = replica.superblock();
        VolumeConfig config = replica.config();
        Superblock.Checkpoint checkpoint = superblock.checkpoint();
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("replica", replica.dir().toString());
        facts.put("volume", config.name());
        facts.put("uuid", config.uuid().toString());
        facts.put("sizeBytes", config.sizeBytes());
        facts.put("segmentBytes", config.segmentBytes());
        facts.put("configVersion", superblock.seen().version());
        facts.put("term", config.term());
        facts.put("writer", config.writer());
        facts.put(
                "inSync",
                config.inSync().stream().map(VolumeConfig.Member::agent).toList());
        facts.put("fenceTerm", superblock.fence().term());
        facts.put("fenceToken", superblock.fence().token());
        facts.put("incarnation", superblock.life().incarnation());
        facts.put("closedCleanly", superblock.life().clean());
        facts.put("segments", segments.size());
        facts.put("firstSegment", segments.isEmpty() ? "" : "%016x".formatted(segments.getFirst()));
        facts.put("lastSegment", segments.isEmpty() ? "" : "%016x".formatted(segments.getLast()));
        facts.put("oldest", checkpoint.oldest());
        facts.put("checkpoint", checkpoint.position());
        facts.put("end", recovery.end());
        facts.put("strayEnd", recovery.strayEnd());
        facts.put("knownSafe", recovery.knownSafe());
        facts.put("committed", Math.max(recovery.committed(), checkpoint.committed()));
        facts.put("synced", recovery.synced());
        facts.put("lineage", lineage(recovery.lineage()));
        facts.put(
                "verdict",
                switch (recovery.verdict()) {
                    case Recovery.Clean clean -> "clean";
                    case Recovery.TornTail torn -> "torn tail";
                    case Recovery.Corrupt corrupt -> "damaged";
                });
        return facts;
    }

    private static List<Map<String, Object>> lineage(Lineage lineage) {
        return lineage.starts().stream()
                .map(start -> {
                    Map<String, Object> entry = new LinkedHashMap<>();
                    entry.put("term", start.term());
                    entry.put("origin", start.origin());
                    entry.put("firstPosition", start.firstPosition());
                    return entry;
                })
                .toList();
    }

    private void say(Map<String, Object> facts) {
        clearProgress();
        if (options.json()) {
            out.println(JsonMapper.shared().writeValueAsString(facts));
            return;
        }
        facts.forEach((name, value) -> {
            if (value instanceof List<?> list) {
                out.printf(Locale.ROOT, "%-14s %s%n", name, list.isEmpty() ? "-" : words(list));
            } else {
                out.printf(Locale.ROOT, "%-14s %s%n", name, value);
            }
        });
    }

    private static String words(List<?> list) {
        return String.join(
                ", ",
                list.stream()
                        .map(each -> each instanceof Map<?, ?> map
                                ? map.get("term") + ":" + map.get("origin") + "@" + map.get("firstPosition")
                                : Objects.toString(each))
                        .toList());
    }

    private void progress(List<Long> segments, Replicated replica, long position) {
        if (!options.progress() || segments.isEmpty()) {
            return;
        }
        long begin = position(replica, segments.getFirst());
        long end = position(replica, segments.getLast() + 1);
        long percent = Math.clamp(100 * (position - begin) / (end - begin), 0, 100);
        if (percent != percentShown) {
            percentShown = percent;
            err.printf(Locale.ROOT, "\rreading the journal: %d %%", percent);
            err.flush();
        }
    }

    private void clearProgress() {
        if (percentShown >= 0) {
            percentShown = -1;
            err.print("\r\u001b[K");
            err.flush();
        }
    }
}
