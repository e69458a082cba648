package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What a lock manager of one process remembers over its own death.
 *
 * <pre>
 *   data directory
 *     LOCK                        locked by the process that uses the directory
 *     decisions-GENERATION.log    see DecisionLog; the newest is written, older ones wait to be rolled up
 *     snapshot                    see Snapshot: what deleted generations said, but for locks
 *     locks.map                   see GrantMap: what they said of locks
 *     CLEAN                       "generation sequence" of a store that was closed; removed before it is used again
 *     *.tmp                       a file being begun
 * </pre>
 *
 * <p>Order of things: a decision is written to the log ({@link #append}, {@link #flush}); only then may a notice of it leave.
 * Nothing else is done on the owner's thread. When the log has grown by {@link StoreSettings#compactAfterBytes}, the owner
 * begins a new generation, and another thread rolls the old one up: syncs it, puts what is left of its locks into the map,
 * writes a new snapshot, and deletes it. So snapshot and map always hold what deleted generations said; the map may be ahead
 * of the snapshot, never of the log. A start puts all generations that are left over both, which may be done any number of
 * times. At most {@value #MOST_WAITING} generations wait; then the owner waits too, so a start never has more to read.
 *
 * <p>Value blocks, volumes, the epoch and all sessions are synced ({@link #sync}) before the answer, so they also survive
 * power loss. To keep that wait short, the other thread syncs the log whenever {@value #SYNC_BEHIND_BYTES} bytes of it are
 * not.
 *
 * <p>Grants do not survive power loss. A start under another boot id without a clean close, or with a map that cannot be
 * read, forgets sessions and grants, says so in the log, and asks for a recovery window ({@link #recoveryTtlNanos}) in which
 * nothing may be granted, because holders of before may still believe. The window starts anew if the process dies in it
 * ({@link #recoveryOver} ends it in the log).
 *
 * <p>A {@link StoreFailedException} from any verb is final. The table is then ahead of the disk, or the disk of what was
 * answered: nobody may be told that anything was done, and the process must end; the next start takes what the log has. A
 * failure of the other thread is thrown by the next verb.
 *
 * <p>One owner thread, but for {@link #syncs} and {@link #appends}.
 */
public final class DecisionStore implements AutoCloseable {

    /** Generations that may wait to be rolled up. */
    private static final int MOST_WAITING = 3;

    private static final long SYNC_BEHIND_BYTES = 8 << 20;

    private static final String LOCK = "LOCK";
    private static final String CLEAN = "CLEAN";

    private final StoreSettings settings;
    private final StoreDisk disk;
    private final Executor background;
    private final FileChannel lockChannel;
    private final boolean memoryLost;
    private LogItem.Opening opening;
    private volatile DecisionLog log;
    private boolean failed;
    private boolean closed;

    // Only before the first append and in the background
    private final GrantMap map;
    private final Remembered remembered;
    private final LogItemWriter snapshotWriter;

    // Between the owner and the background
    private final Object rolled = new Object();
    private int waitingGenerations;
    private volatile @Nullable Throwable backgroundFailure;
    private volatile boolean abandoned;
    private final AtomicBoolean syncBehindQueued = new AtomicBoolean();

    private final LongAdder syncs = new LongAdder();
    private final LongAdder appends = new LongAdder();

    /**
     * Opens the directory, makes it if it is not there, and makes the new epoch durable.
     *
     * @throws StoreRefusedException with one sentence for the operator, if the directory cannot be used
     */
    public static DecisionStore open(StoreSettings settings) {
        ExecutorService background = Executors.newSingleThreadExecutor(
                Thread.ofPlatform().name("store-roll").daemon().factory());
        try {
            return open(settings, new StoreDisk(), background);
        } catch (RuntimeException | Error e) {
            background.shutdown();
            throw e;
        }
    }

    /** @param background one thread at a time; closed with the store if it can be */
    static DecisionStore open(StoreSettings settings, StoreDisk disk, Executor background) {
        FileChannel lock = lock(settings.directory());
        try {
            return new DecisionStore(settings, disk, background, lock);
        } catch (IOException e) {
            closeQuietly(lock);
            throw new StoreRefusedException(
                    "data directory " + settings.directory() + " cannot be opened: " + describe(e), e);
        } catch (RuntimeException | Error e) {
            closeQuietly(lock);
            throw e;
        }
    }

    private DecisionStore(StoreSettings settings, StoreDisk disk, Executor background, FileChannel lockChannel)
            throws IOException {
        this.settings = settings;
        this.disk = disk;
        this.background = background;
        this.lockChannel = lockChannel;
        this.remembered = new Remembered();
        this.snapshotWriter = DecisionLog.writer();
        Path directory = settings.directory();
        Snapshot.Covers snapshot = Snapshot.read(directory, remembered);
        if (snapshot == null && LogChain.generations(directory).isEmpty()) {
            refuseForeign(directory);
            this.memoryLost = false;
            this.opening = new LogItem.Opening(
                    Math.max(1, settings.epochAtLeast()), settings.bootId(), settings.maxTtlNanos(), false, false);
            // The log comes first: a map without a log always means that a log was lost.
            this.log = create(1, 0, null, DecisionLog.writer());
            try {
                log.appearSynced();
                this.map = GrantMap.open(disk, settings);
            } catch (IOException | RuntimeException | Error e) {
                log.close();
                throw e;
            }
            remembered.take(opening);
            return;
        }

        String snapshotBootId = snapshot == null ? "" : remembered.opening().bootId();
        LogChain chain = LogChain.find(directory, snapshot, settings.bootId(), snapshotBootId);
        DecisionLog.Scan newest = chain.last();
        boolean clean = takeCleanMark(directory, newest);
        boolean otherBoot = !newest.bootId().equals(settings.bootId());
        GrantMap opened = otherBoot && !clean ? null : openMap(newest);
        try {
            // What is forgotten needs no map, but what else the log says is wanted.
            LogItemCodec.Taker roll =
                    opened == null ? new Remembering(remembered) : new GrantRoll(opened, remembered, () -> {});
            for (LogChain.Part part : chain.parts()) {
                DecisionLog.replay(part.file(), part.scan(), roll);
            }
            if (roll instanceof GrantRoll grants) {
                grants.finish();
            }
            if (!remembered.hasOpening()) {
                throw new StoreRefusedException("data directory damaged: the log in " + directory
                        + " names no epoch; put back a copy of the directory and raise lockmgr.epoch-at-least");
            }
            LogItem.Opening last = remembered.opening();
            this.memoryLost = opened == null;
            this.opening = new LogItem.Opening(
                    Math.max(last.epoch() + 1, settings.epochAtLeast()),
                    settings.bootId(),
                    Math.max(last.maxTtlNanos(), settings.maxTtlNanos()),
                    memoryLost,
                    memoryLost || last.recovering());
            for (Path lost : chain.lost().reversed()) {
                disk.delete(lost);
            }
            // From here on the log says that grants are forgotten, if they are: a map may be made anew.
            this.log = create(newest.generation() + 1, newest.lastSequence(), null, DecisionLog.writer());
            try {
                log.appearSynced();
                syncs.increment();
                if (opened == null) {
                    GrantMap.delete(directory);
                    opened = GrantMap.open(disk, settings);
                }
                this.map = opened;
                remembered.take(opening);
                writeSnapshot(newest.generation(), newest.lastSequence());
                for (Path covered : chain.covered()) {
                    disk.delete(covered);
                }
                for (LogChain.Part part : chain.parts()) {
                    disk.delete(part.file());
                }
                deleteTemporary(directory);
            } catch (IOException | RuntimeException | Error e) {
                log.close();
                throw e;
            }
        } catch (IOException | RuntimeException | Error e) {
            if (opened != null) {
                opened.closeUnsynced();
            }
            throw e;
        }
    }

    /** Null if grants have to be forgotten. */
    private @Nullable GrantMap openMap(DecisionLog.Scan newest) throws IOException {
        // A process that died at its very first start may have left no map, or half of one; there is nothing to lose
        // then.
        boolean nothingToLose = newest.lastSequence() <= 1;
        if (!nothingToLose && !GrantMap.present(settings.directory())) {
            return null;
        }
        try {
            return GrantMap.open(disk, settings);
        } catch (RuntimeException e) {
            // What is in the file makes no sense. A failure of the disk (IOException) is no reason to forget grants.
            System.getLogger(DecisionStore.class.getName())
                    .log(System.Logger.Level.WARNING, "the map of grants cannot be read: " + e);
            if (!nothingToLose) {
                return null;
            }
            GrantMap.delete(settings.directory());
            return GrantMap.open(disk, settings);
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
        Iterator<Change> known = remembered.changes().iterator();
        Iterator<Change> locks = map.locks();
        Iterator<Change> once = new Iterator<>() {
            @Override
            public boolean hasNext() {
                return known.hasNext() || locks.hasNext();
            }

            @Override
            public Change next() {
                return known.hasNext() ? known.next() : locks.next();
            }
        };
        return () -> once;
    }

    /** One decision, all of it or nothing. Nothing of it may be told to anybody before {@link #flush} or {@link #sync}. */
    public void append(List<Change> changes) {
        if (changes.isEmpty()) {
            return;
        }
        requireUsable();
        try {
            log.append(changes);
        } catch (IOException | RuntimeException | Error e) {
            throw failure("append to", e);
        }
        appends.increment();
    }

    /** After this a kill of the process loses nothing of what was appended. */
    public void flush() {
        requireUsable();
        try {
            log.flush();
            if (log.writtenBytes() > settings.compactAfterBytes()) {
                beginGeneration();
            } else if (log.unsyncedBytes() > SYNC_BEHIND_BYTES && syncBehindQueued.compareAndSet(false, true)) {
                background.execute(this::syncBehind);
            }
        } catch (IOException | RuntimeException | Error e) {
            throw failure("write", e);
        }
    }

    /** Will {@link #flush} do more than one write, and perhaps wait for the other thread? */
    public boolean flushMayWait() {
        return log.comingBytes() > settings.compactAfterBytes();
    }

    /** After this a power loss loses nothing of what was appended. One fsync for all. */
    public void sync() {
        requireUsable();
        try {
            log.flush();
            if (!log.synced()) {
                log.sync();
                syncs.increment();
            }
        } catch (IOException | RuntimeException | Error e) {
            throw failure("sync", e);
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
        requireUsable();
        try {
            log.append(new LogItem.RecoveryOver());
        } catch (IOException | RuntimeException | Error e) {
            throw failure("append to", e);
        }
        opening =
                new LogItem.Opening(opening.epoch(), opening.bootId(), opening.maxTtlNanos(), opening.forgets(), false);
        sync();
    }

    /** More locks than this must not be held at a time: they might not fit into the map, and the store would fail. */
    public long mostLocks() {
        return map.mostLocks();
    }

    /** Number of times somebody had to wait for an fsync of the log since the start. Any thread. */
    public long syncs() {
        return syncs.sum();
    }

    /** Number of decisions appended since the start. Any thread. */
    public long appends() {
        return appends.sum();
    }

    /** Leaves a mark, if nothing failed, with which the next start also trusts the map after a restart of the machine. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        endBackground();
        try (lockChannel;
                DecisionLog closing = log) {
            if (failed || backgroundFailure != null) {
                closed = true;
                map.closeUnsynced();
                return;
            }
            closing.flush();
            closing.sync();
            map.close();
            leaveCleanMark(closing);
        } catch (IOException | RuntimeException | Error e) {
            throw failure("close", e);
        } finally {
            closed = true;
        }
    }

    /** As a kill would: nothing more is written. */
    void abandon() throws IOException {
        abandoned = true;
        closed = true;
        endBackground();
        map.closeUnsynced();
        log.close();
        lockChannel.close();
    }

    /** What is queued is done first, unless this store was abandoned. */
    private void endBackground() {
        if (background instanceof ExecutorService service) {
            service.close();
        }
    }

    private void requireUsable() {
        if (failed || closed) {
            throw new StoreFailedException("the store has " + (failed ? "failed" : "been closed") + " before");
        }
        Throwable behind = backgroundFailure;
        if (behind != null) {
            throw failure("roll up", behind);
        }
    }

    private StoreFailedException failure(String verb, Throwable e) {
        failed = true;
        return new StoreFailedException(
                "could not " + verb + " the decision log in " + settings.directory() + ": " + describe(e), e);
    }

    // Generations

    /** The owner goes on in a new file at once; the old one is left to the background. */
    private void beginGeneration() throws IOException {
        synchronized (rolled) {
            boolean interrupted = false;
            while (waitingGenerations >= MOST_WAITING && backgroundFailure == null) {
                try {
                    rolled.wait();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
            waitingGenerations++;
        }
        DecisionLog old = log;
        log = create(old.generation() + 1, old.lastSequence(), old, old.lendWriter());
        log.appear();
        background.execute(() -> rollUp(old));
    }

    private DecisionLog create(long generation, long lastSequence, @Nullable DecisionLog before, LogItemWriter writer)
            throws IOException {
        LogItem first = before == null
                ? opening
                : new LogItem.Opening(
                        opening.epoch(), opening.bootId(), opening.maxTtlNanos(), false, opening.recovering());
        return DecisionLog.create(
                disk, LogChain.file(settings.directory(), generation), generation, lastSequence, first, before, writer);
    }

    /** In the background. A crash at any step leaves what a start can do again. */
    private void rollUp(DecisionLog old) {
        if (abandoned || backgroundFailure != null) {
            return;
        }
        try {
            old.sync();
            DecisionLog.Scan scan = DecisionLog.scan(old.file(), old.lastSequence() + 1, "", settings.bootId());
            if (scan.lastSequence() != old.lastSequence()) {
                throw new IOException(
                        old.file() + " holds " + scan.lastSequence() + " instead of " + old.lastSequence());
            }
            GrantRoll roll = new GrantRoll(map, remembered, this::syncBehindIfLong);
            DecisionLog.replay(old.file(), scan, roll);
            roll.finish();
            // The old one may go only when the new one is sure to be there, with a header and the epoch.
            log.sync();
            writeSnapshot(old.generation(), old.lastSequence());
            old.close();
            disk.delete(old.file());
            synchronized (rolled) {
                waitingGenerations--;
                rolled.notifyAll();
            }
        } catch (Throwable e) {
            backgroundFailed(e);
        }
    }

    private void writeSnapshot(long generation, long lastSequence) throws IOException {
        Snapshot.write(
                disk, settings.directory(), new Snapshot.Covers(generation, lastSequence), remembered, snapshotWriter);
    }

    private void syncBehind() {
        syncBehindQueued.set(false);
        try {
            syncBehindIfLong();
        } catch (Throwable e) {
            backgroundFailed(e);
        }
    }

    private void syncBehindIfLong() {
        DecisionLog current = log;
        if (current.unsyncedBytes() > SYNC_BEHIND_BYTES && !abandoned) {
            try {
                current.sync();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private void backgroundFailed(Throwable e) {
        synchronized (rolled) {
            backgroundFailure = e;
            rolled.notifyAll();
        }
    }

    /** Takes what is not about locks. */
    private record Remembering(Remembered remembered) implements LogItemCodec.Taker {
        @Override
        public void take(LogItem item) {
            remembered.take(item);
        }

        @Override
        public void takeLock(long lockId, byte[] lockPut) {}

        @Override
        public void takeLockGone(long lockId) {}
    }

    // The directory

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

    /** A map without a log: somebody lost the part that matters. An epoch must not start again at 1 there. */
    private static void refuseForeign(Path directory) {
        for (String file : List.of(GrantMap.FILE, CLEAN)) {
            if (Files.exists(directory.resolve(file))) {
                throw new StoreRefusedException("data directory damaged: " + directory + " has " + file
                        + " but no decisions-*.log; empty it and set lockmgr.epoch-at-least above the last epoch");
            }
        }
    }

    private boolean takeCleanMark(Path directory, DecisionLog.Scan scan) throws IOException {
        Path mark = directory.resolve(CLEAN);
        try {
            boolean matches = Files.readString(mark, UTF_8).equals(cleanMark(scan.generation(), scan.lastSequence()));
            Files.delete(mark);
            disk.syncDirectory(directory);
            return matches && !scan.torn();
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private void leaveCleanMark(DecisionLog closing) throws IOException {
        Path directory = settings.directory();
        Path temporary = directory.resolve(CLEAN + DecisionLog.TEMPORARY);
        Files.writeString(
                temporary,
                cleanMark(closing.generation(), closing.lastSequence()),
                UTF_8,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE,
                StandardOpenOption.SYNC);
        disk.rename(temporary, directory.resolve(CLEAN));
        disk.syncDirectory(directory);
    }

    private static String cleanMark(long generation, long sequence) {
        return generation + " " + sequence + "\n";
    }

    private void deleteTemporary(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                if (file.getFileName().toString().endsWith(DecisionLog.TEMPORARY)) {
                    disk.delete(file);
                }
            }
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
    private static String describe(Throwable e) {
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
