package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumePut;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/**
 * What a lock manager of one process remembers over its own death.
 *
 * <pre>
 *   data directory
 *     LOCK                        locked by the process that uses the directory
 *     decisions-GENERATION.log    see DecisionLog; the newest counts, an older one is about to be deleted
 *     decisions.tmp               a generation being begun
 *     locks.map, sessions.map     see GrantMaps
 *     CLEAN                       "generation sequence" of a store that was closed; removed before it is used again
 * </pre>
 *
 * <p>Order of things: a decision is written to the log ({@link #append}, {@link #flush}), then put into the maps; only then
 * may a notice of it leave. So the log is never behind the maps, and a killed process loses nothing: the start rolls the
 * newest generation onto the maps, which may be done any number of times. Value blocks, volumes, the epoch and all sessions
 * are in the log alone or as well, at the head of each generation, and are synced ({@link #sync}) before the answer, so they
 * also survive power loss.
 *
 * <p>Grants do not. A start under another boot id without a clean close, or with maps that cannot be read, forgets sessions
 * and grants, says so in the log, and asks for a recovery window ({@link #recoveryTtlNanos}) in which nothing may be granted,
 * because holders of before may still believe. The window starts anew if the process dies in it ({@link #recoveryOver}
 * ends it in the log).
 *
 * <p>A {@link StoreFailedException} from any verb is final. The table is then ahead of the disk, or the disk of what was
 * answered: nobody may be told that anything was done, and the process must end; the next start takes what the log has.
 *
 * <p>One owner thread, but for {@link #syncs} and {@link #appends}.
 */
public final class DecisionStore implements AutoCloseable {

    private static final Pattern LOG_NAME = Pattern.compile("decisions-(\\d{1,18})\\.log");
    private static final String NEW_LOG = "decisions.tmp";
    private static final String LOCK = "LOCK";
    private static final String CLEAN = "CLEAN";

    private final StoreSettings settings;
    private final FileChannel lockChannel;
    private final Map<String, VolumePut> volumes = new LinkedHashMap<>();
    private final Map<String, ValuePut> values = new LinkedHashMap<>();

    /** Written to the log, still to be put into the maps. Bounded by what the log lets wait unwritten. */
    private final List<Change> unmapped = new ArrayList<>();

    private GrantMaps maps;
    private DecisionLog log;
    private LogItem.Opening opening;
    private boolean memoryLost;
    private boolean failed;
    private boolean closed;
    /** Length of the newest generation's head; 0 after a start, when it is not known: a new one is begun a little early. */
    private long snapshotBytes;

    private final LongAdder syncs = new LongAdder();
    private final LongAdder appends = new LongAdder();

    /**
     * Opens the directory, makes it if it is not there, and makes the new epoch durable.
     *
     * @throws StoreRefusedException with one sentence for the operator, if the directory cannot be used
     */
    public static DecisionStore open(StoreSettings settings) {
        FileChannel lock = lock(settings.directory());
        try {
            return new DecisionStore(settings, lock);
        } catch (IOException e) {
            closeQuietly(lock);
            throw new StoreRefusedException(
                    "data directory " + settings.directory() + " cannot be opened: " + describe(e), e);
        } catch (RuntimeException | Error e) {
            closeQuietly(lock);
            throw e;
        }
    }

    private DecisionStore(StoreSettings settings, FileChannel lockChannel) throws IOException {
        this.settings = settings;
        this.lockChannel = lockChannel;
        Path directory = settings.directory();
        List<Path> generations = generations(directory);
        if (generations.isEmpty()) {
            refuseForeign(directory);
            this.opening = new LogItem.Opening(
                    Math.max(1, settings.epochAtLeast()), settings.bootId(), settings.maxTtlNanos(), false, false);
            // The log comes first: maps without a log always mean that a log was lost.
            this.log = beginGeneration(1, 0, List.of());
            try {
                this.maps = GrantMaps.open(settings, true);
            } catch (IOException | RuntimeException | Error e) {
                log.close();
                throw e;
            }
            return;
        }

        Path newest = generations.removeLast();
        DecisionLog.Scan scan = DecisionLog.scan(newest, settings.bootId());
        boolean clean = takeCleanMark(directory, scan);
        // A process that died at its very first start may have left no maps; there is nothing to lose then.
        boolean readable = scan.lastSequence() <= 1 || GrantMaps.present(directory);
        GrantMaps opened;
        try {
            opened = GrantMaps.open(settings, clean);
        } catch (RuntimeException e) {
            // What is in the files makes no sense. A failure of the disk (IOException) is no reason to forget grants.
            System.getLogger(DecisionStore.class.getName())
                    .log(System.Logger.Level.WARNING, "maps cannot be read, grants are forgotten: " + e);
            readable = false;
            GrantMaps.delete(directory);
            opened = GrantMaps.open(settings, true);
        }
        this.maps = opened;
        try {
            Roll roll = new Roll(opened);
            DecisionLog.replay(newest, scan, roll::take);
            LogItem.Opening last = roll.last();
            boolean otherBoot = !last.bootId().equals(settings.bootId());
            this.memoryLost = !readable || (otherBoot && !clean);
            if (memoryLost) {
                maps.clear();
            }
            this.opening = new LogItem.Opening(
                    Math.max(last.epoch() + 1, settings.epochAtLeast()),
                    settings.bootId(),
                    Math.max(last.maxTtlNanos(), settings.maxTtlNanos()),
                    memoryLost,
                    memoryLost || last.recovering());
            this.log = DecisionLog.reopen(newest, scan);
            log.append(List.of(opening));
            log.sync();
            syncs.increment();
            for (Path older : generations) {
                Files.delete(older);
            }
            Files.deleteIfExists(directory.resolve(NEW_LOG));
        } catch (IOException | RuntimeException | Error e) {
            maps.closeUnsynced();
            throw e;
        }
    }

    /** The epoch of this start: synced, and higher than any before. */
    public long epoch() {
        return opening.epoch();
    }

    /** Sessions and grants of before were forgotten at this start. */
    public boolean memoryLost() {
        return memoryLost;
    }

    /** 0, or the longest lease somebody may still believe in although it was forgotten: grant nothing for that long (plus margin). */
    public long recoveryTtlNanos() {
        return opening.recovering() ? opening.maxTtlNanos() : 0;
    }

    /** What is remembered, in an order in which each change finds what it refers to. To be read once, before the first append. */
    public Iterable<Change> restored() {
        Stream<Change> known = Stream.of(
                        StreamSupport.stream(maps.sessions().spliterator(), false),
                        volumes.values().stream().map(Change.class::cast),
                        values.values().stream().map(Change.class::cast),
                        StreamSupport.stream(maps.locks().spliterator(), false))
                .flatMap(s -> s);
        Iterator<Change> once = known.iterator();
        return () -> once;
    }

    /** One decision, all of it or nothing. Nothing of it may be told to anybody before {@link #flush} or {@link #sync}. */
    public void append(List<Change> changes) {
        if (changes.isEmpty()) {
            return;
        }
        List<LogItem> items = new ArrayList<>(changes.size());
        for (Change change : changes) {
            items.add(new LogItem.Changed(change));
        }
        attempt("append to", () -> log.append(items));
        appends.increment();
        unmapped.addAll(changes);
    }

    /** After this a kill of the process loses nothing of what was appended. */
    public void flush() {
        attempt("write", log::flush);
        putUnmapped();
        if (log.lengthBytes() - snapshotBytes > settings.compactAfterBytes()) {
            attempt("begin a new generation of", this::compact);
        }
    }

    /** After this a power loss loses nothing of what was appended. One fsync for all. */
    public void sync() {
        if (!log.synced()) {
            attempt("sync", log::sync);
            syncs.increment();
        }
        flush();
    }

    /** Does this decision have to be synced before its answer? */
    public static boolean mustBeSynced(List<Change> changes) {
        for (Change change : changes) {
            // A session that is not known to have existed could not be waited for after a power loss.
            if (change.mustBeSynced() || change instanceof SessionOpened) {
                return true;
            }
        }
        return false;
    }

    /** Every lease of before the memory loss has ended. */
    public void recoveryOver() {
        if (!opening.recovering()) {
            return;
        }
        attempt("append to", () -> log.append(List.of(new LogItem.RecoveryOver())));
        opening =
                new LogItem.Opening(opening.epoch(), opening.bootId(), opening.maxTtlNanos(), opening.forgets(), false);
        sync();
    }

    /** Number of fsyncs of the log since the start. Any thread. */
    public long syncs() {
        return syncs.sum();
    }

    /** Number of decisions appended since the start. Any thread. */
    public long appends() {
        return appends.sum();
    }

    /** Leaves a mark, if nothing failed, with which the next start also trusts the maps after a restart of the machine. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try (lockChannel;
                DecisionLog closing = log) {
            if (failed) {
                maps.closeUnsynced();
                return;
            }
            closing.sync();
            putUnmapped();
            maps.close();
            leaveCleanMark(closing);
        } catch (IOException e) {
            throw failure("close", e);
        }
    }

    /** As a kill would: nothing more is written. */
    void abandon() throws IOException {
        closed = true;
        maps.closeUnsynced();
        log.close();
        lockChannel.close();
    }

    /** Puts the newest generation over the maps. */
    private final class Roll {
        private final GrantMaps onto;
        private LogItem.@Nullable Opening last;

        Roll(GrantMaps onto) {
            this.onto = onto;
        }

        void take(LogItem item) {
            switch (item) {
                case LogItem.Opening o -> {
                    if (o.forgets()) {
                        onto.clear();
                    }
                    last = o;
                }
                case LogItem.RecoveryOver r -> {
                    LogItem.Opening o = last();
                    last = new LogItem.Opening(o.epoch(), o.bootId(), o.maxTtlNanos(), o.forgets(), false);
                }
                case LogItem.Changed c -> {
                    note(c.change());
                    onto.put(c.change());
                }
            }
        }

        LogItem.Opening last() {
            if (last == null) {
                throw new StoreRefusedException("data directory damaged: the newest log in " + settings.directory()
                        + " names no epoch; put back a copy of the directory and raise lockmgr.epoch-at-least");
            }
            return last;
        }
    }

    private void putUnmapped() {
        try {
            for (Change change : unmapped) {
                note(change);
                maps.put(change);
            }
        } catch (RuntimeException e) {
            throw failure("put a change into the maps of", e);
        }
        unmapped.clear();
    }

    private void note(Change change) {
        switch (change) {
            case VolumePut v -> volumes.put(v.volume(), v);
            case ValuePut v -> values.put(v.volume(), v);
            case SessionOpened s -> {}
            case SessionClosed s -> {}
            case LockPut l -> {}
            case Change.LockGone l -> {}
        }
    }

    private void compact() throws IOException {
        log.sync();
        DecisionLog old = log;
        log = beginGeneration(old.generation() + 1, old.lastSequence(), maps.sessions());
        old.close();
        Files.delete(logFile(old.generation()));
    }

    /** The file appears under its name only when all of it is on disk, so the newest generation is always whole. */
    private DecisionLog beginGeneration(long generation, long lastSequence, Iterable<Change> sessions)
            throws IOException {
        Path directory = settings.directory();
        Path temporary = directory.resolve(NEW_LOG);
        DecisionLog begun = DecisionLog.create(temporary, generation, lastSequence);
        try {
            begun.append(List.of(new LogItem.Opening(
                    opening.epoch(), opening.bootId(), opening.maxTtlNanos(), false, opening.recovering())));
            for (Iterable<? extends Change> changes : List.of(sessions, volumes.values(), values.values())) {
                for (Change change : changes) {
                    begun.append(List.of(new LogItem.Changed(change)));
                }
            }
            begun.sync();
            Files.move(temporary, logFile(generation), StandardCopyOption.ATOMIC_MOVE);
            syncDirectory(directory);
        } catch (IOException | RuntimeException e) {
            begun.close();
            throw e;
        }
        snapshotBytes = begun.lengthBytes();
        syncs.increment();
        return begun;
    }

    private interface Attempt {
        void run() throws IOException;
    }

    private void attempt(String verb, Attempt attempt) {
        if (failed || closed) {
            throw new StoreFailedException("the store has " + (failed ? "failed" : "been closed") + " before");
        }
        try {
            attempt.run();
        } catch (IOException | RuntimeException e) {
            throw failure(verb, e);
        }
    }

    private StoreFailedException failure(String verb, Exception e) {
        failed = true;
        return new StoreFailedException(
                "could not " + verb + " the decision log in " + settings.directory() + ": " + describe(e), e);
    }

    private Path logFile(long generation) {
        return settings.directory().resolve("decisions-%012d.log".formatted(generation));
    }

    private static FileChannel lock(Path directory) {
        FileChannel channel = null;
        try {
            Files.createDirectories(directory);
            channel = FileChannel.open(directory.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return channel;
            }
            channel.close();
        } catch (OverlappingFileLockException e) {
            closeQuietly(channel);
        } catch (IOException e) {
            closeQuietly(channel);
            throw new StoreRefusedException("data directory " + directory + " cannot be used: " + describe(e), e);
        }
        throw new StoreRefusedException(
                "data directory " + directory + " is in use by another process; each lock manager needs its own");
    }

    /** Oldest first. */
    private static List<Path> generations(Path directory) throws IOException {
        List<Path> found = new ArrayList<>();
        try (Stream<Path> files = Files.list(directory)) {
            files.filter(f -> LOG_NAME.matcher(f.getFileName().toString()).matches())
                    .sorted((a, b) -> Long.compare(generation(a), generation(b)))
                    .forEach(found::add);
        }
        return found;
    }

    private static long generation(Path log) {
        Matcher name = LOG_NAME.matcher(log.getFileName().toString());
        return name.matches() ? Long.parseLong(name.group(1)) : 0;
    }

    /** Maps without a log: somebody lost the part that matters. An epoch must not start again at 1 there. */
    private static void refuseForeign(Path directory) {
        for (String file : List.of(GrantMaps.LOCKS_FILE, GrantMaps.SESSIONS_FILE, CLEAN)) {
            if (Files.exists(directory.resolve(file))) {
                throw new StoreRefusedException("data directory damaged: " + directory + " has " + file
                        + " but no decisions-*.log; empty it and set lockmgr.epoch-at-least above the last epoch");
            }
        }
    }

    private static boolean takeCleanMark(Path directory, DecisionLog.Scan scan) throws IOException {
        Path mark = directory.resolve(CLEAN);
        try {
            boolean matches = Files.readString(mark, UTF_8).equals(cleanMark(scan.generation(), scan.lastSequence()));
            Files.delete(mark);
            syncDirectory(directory);
            return matches && !scan.torn();
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private void leaveCleanMark(DecisionLog closing) throws IOException {
        Path directory = settings.directory();
        Path temporary = directory.resolve(CLEAN + ".tmp");
        Files.writeString(
                temporary,
                cleanMark(closing.generation(), closing.lastSequence()),
                UTF_8,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE,
                StandardOpenOption.SYNC);
        Files.move(temporary, directory.resolve(CLEAN), StandardCopyOption.ATOMIC_MOVE);
        syncDirectory(directory);
    }

    private static String cleanMark(long generation, long sequence) {
        return generation + " " + sequence + "\n";
    }

    private static void syncDirectory(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    private static void closeQuietly(@Nullable FileChannel channel) {
        try {
            if (channel != null) {
                channel.close();
            }
        } catch (IOException e) {
            // The directory is being refused already; its reason counts.
        }
    }

    /** For people: the messages of the file system name the file and, often, not what is wrong with it. */
    private static String describe(Exception e) {
        if (e instanceof AccessDeniedException) {
            return "permission denied on " + e.getMessage();
        }
        if (e instanceof NoSuchFileException) {
            return "no such file or directory: " + e.getMessage();
        }
        return e.getClass().getSimpleName() + ": " + e.getMessage();
    }

    /** The boot id of the running kernel, or a name for "not known", which never matches another. */
    public static String kernelBootId() {
        Supplier<String> unknown = () -> "unknown-" + java.util.UUID.randomUUID();
        try {
            String id = Files.readString(Path.of("/proc/sys/kernel/random/boot_id"), UTF_8)
                    .strip();
            return id.isEmpty() ? unknown.get() : id;
        } catch (IOException e) {
            return unknown.get();
        }
    }
}
