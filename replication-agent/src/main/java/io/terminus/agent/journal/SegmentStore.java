package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The segments of a journal, a window of consecutive numbers. One background thread prepares the next before it is needed:
 *
 * <pre>
 *   (no file) --write zeros, fsync, rename, fsync directory--> ready --> holds records --> released
 *                                                                ^                            |
 *                                                                +--rename, fsync directory---+
 * </pre>
 *
 * <p>A file is full length and on the disk before it is used, so that writing a record allocates nothing: it cannot run out of
 * space, and fdatasync has no metadata to write. A recycled file keeps the bytes of its earlier lap; their records name other
 * positions and pass nowhere. Files are made only up to the budget, and recycled in preference.
 *
 * <p>The journal's lock guards everything that changes; looking up a segment takes none.
 */
final class SegmentStore {

    private static final Logger LOG = LoggerFactory.getLogger(SegmentStore.class);

    private static final String SUFFIX = ".seg";
    private static final String BEING_PREPARED = "prepare.tmp";
    static final String BEING_GIVEN_BACK = "give-back.tmp";

    /** One is being written, one made ready, one being applied. */
    private static final int GOES_ROUND_WITH = 3;

    private final Path directory;
    private final int segmentBytes;
    private final int maxSegments;
    private final Disk disk;
    private final ReentrantLock lock;

    /** Signalled when a segment became ready, and when preparing one failed. */
    private final Condition changed;

    private final Condition work;

    /** Segment n at n % length; long enough for the window. */
    private final AtomicReferenceArray<@Nullable Segment> window;

    // From here on guarded by the lock.

    private long first;

    /** The number behind the last ready segment. */
    private long next;

    /** Files from before a restart that hold nothing any more. */
    private final Deque<Path> spare = new ArrayDeque<>();

    /** The number up to which segments are wanted, exclusive. */
    private long wanted;

    /** Segments below it may be reused. */
    private long releasedSegments;

    /** Why the last attempt to prepare a segment failed. */
    private @Nullable IOException refusal;

    private boolean preparing;

    private Journal.Reach reach = position -> {};

    private boolean stopped;

    private @Nullable Thread preparer;

    /** An empty window that starts at a segment number; {@link #find} may fill it with what is there. */
    SegmentStore(Path directory, JournalSpec spec, Disk disk, ReentrantLock lock, Condition changed, int windowLength) {
        this.directory = directory;
        this.segmentBytes = spec.segmentBytes();
        this.maxSegments = spec.maxSegments();
        this.disk = disk;
        this.lock = lock;
        this.changed = changed;
        this.work = lock.newCondition();
        this.window = new AtomicReferenceArray<>(windowLength);
    }

    /** The segment files of a directory by number; a file of another size is refused. */
    static TreeMap<Long, Path> list(Path directory, int segmentBytes) throws IOException {
        TreeMap<Long, Path> files = list(directory);
        for (Path file : files.values()) {
            if (Files.size(file) != segmentBytes) {
                throw new IOException(
                        file + " has " + Files.size(file) + " bytes: a segment of this volume has " + segmentBytes);
            }
        }
        return files;
    }

    /** The segment files of a directory by number, of whatever size. */
    static TreeMap<Long, Path> list(Path directory) throws IOException {
        TreeMap<Long, Path> files = new TreeMap<>();
        try (DirectoryStream<Path> found = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
            for (Path file : found) {
                String name = file.getFileName().toString();
                String digits = name.substring(0, name.length() - SUFFIX.length());
                if (!digits.matches("[0-7][0-9a-f]{15}")) {
                    throw new IOException(file + " is no segment: its name is not a number of 16 hex digits");
                }
                files.put(Long.parseLong(digits, 16), file);
            }
        }
        return files;
    }

    /** Opens the files [from, to) as the window; all others are spare. Changes nothing on disk. */
    void find(TreeMap<Long, Path> files, long from, long to) throws IOException {
        Collection<Path> unused = new TreeMap<>(files).values();
        lock.lock();
        try {
            first = from;
            next = from;
            releasedSegments = from;
            for (; next < to; next++) {
                window.set(slot(next), Segment.open(next, directory, segmentBytes));
                unused.remove(files.get(next));
            }
            spare.addAll(unused);
        } finally {
            lock.unlock();
        }
    }

    /** The segment of that number, or null if it is not, or no longer, or not yet in the window. */
    @Nullable
    Segment get(long number) {
        Segment segment = window.get(slot(number));
        return segment != null && segment.number == number ? segment : null;
    }

    /** Asks for all segments below {@code end} and forgets that the disk was full; the caller holds the lock. */
    void want(long end) {
        if (end > wanted) {
            wanted = end;
        }
        if (next < wanted && !stopped) {
            refusal = null;
            if (preparer == null) {
                preparer = Thread.ofPlatform()
                        .daemon()
                        .name("journal-prepare " + directory.getFileName())
                        .start(this::prepareAll);
            }
            work.signal();
        }
    }

    /** Who hears of a segment before it is used; the caller holds the lock. */
    void beforeUse(Journal.Reach hears) {
        reach = hears;
    }

    /** Why the last attempt to prepare a segment failed, null if it did not; the caller holds the lock. */
    @Nullable
    IOException refusal() {
        return refusal;
    }

    /** Whether there is a segment that may be released although another one is being written; the caller holds the lock. */
    boolean releaseWouldHelp() {
        return next - first > 1;
    }

    /** The number behind the last segment that can be had without a release; the caller holds the lock. */
    long budgetEnd() {
        return Math.max(next, Math.max(first, Math.min(releasedSegments, next)) + maxSegments);
    }

    /** The number behind the last ready segment; the caller holds the lock. */
    long readyEnd() {
        return next;
    }

    /** Segments below {@code number} may be reused; the caller holds the lock. */
    void release(long number) {
        if (number > releasedSegments) {
            releasedSegments = number;
            refusal = null;
            work.signal();
        }
    }

    /** Whether there are more files than a journal needs, the one being prepared among them; the caller holds the lock. */
    boolean hasMoreThanItNeeds() {
        return next - first + spare.size() + (preparing ? 1 : 0) > GOES_ROUND_WITH;
    }

    /** Takes files off the disk that hold nothing any more, while there are more than needed; the caller holds the lock. */
    void giveBack(Journal.Emptying emptying) throws IOException {
        while (!preparing && hasMoreThanItNeeds()) {
            Path file = spare.poll();
            if (file == null) {
                Segment released = first < Math.min(next, releasedSegments) ? get(first) : null;
                if (released == null) {
                    return;
                }
                window.set(slot(first), null);
                first++;
                released.close();
                file = released.file();
            }
            // Under its name it would be history again after a crash.
            Path going = directory.resolve(BEING_GIVEN_BACK);
            disk.rename(file, going);
            disk.syncDirectory(directory);
            emptying.empty(going, segmentBytes); // deleted alone it would stay as long as its mapping does
            Files.delete(going);
        }
    }

    /**
     * Deletes every file and starts an empty window at {@code number}; the caller holds the lock. A crash in the middle leaves any of
     * the files, under their names, as they were or empty: whoever asks for this has noted before that none of them counts.
     */
    void reset(long number, Journal.Emptying emptying) throws IOException {
        while (preparing) {
            changed.awaitUninterruptibly();
        }
        for (; first < next; first++) {
            Segment segment = get(first);
            window.set(slot(first), null);
            if (segment != null) {
                segment.close();
                delete(segment.file(), emptying);
            }
        }
        while (!spare.isEmpty()) {
            delete(spare.remove(), emptying);
        }
        disk.syncDirectory(directory);
        first = number;
        next = number;
        releasedSegments = number;
        wanted = number;
        refusal = null;
    }

    /** Emptied first, or its space would stay taken as long as it is mapped, and the new journal may need that. */
    private void delete(Path file, Journal.Emptying emptying) throws IOException {
        try {
            emptying.empty(file, segmentBytes);
        } catch (IOException e) {
            LOG.debug("{} keeps its space until nobody maps it: {}", file, e.getMessage());
        }
        Files.delete(file);
    }

    /** Ends the thread and closes the files; slices that are still held stay readable. The caller holds the lock. */
    void close() throws IOException {
        stopped = true;
        work.signalAll();
        while (preparing) {
            changed.awaitUninterruptibly();
        }
        for (long number = first; number < next; number++) {
            Segment segment = get(number);
            if (segment != null) {
                segment.close();
            }
        }
    }

    private void prepareAll() {
        lock.lock();
        try {
            while (!stopped) {
                if (next < wanted && refusal == null && canPrepare()) {
                    prepareNext();
                } else {
                    work.awaitUninterruptibly();
                }
            }
        } finally {
            lock.unlock();
        }
    }

    private boolean canPrepare() {
        return first < Math.min(next, releasedSegments) || !spare.isEmpty() || next - first < maxSegments;
    }

    private void prepareNext() {
        preparing = true;
        long number = next;
        Segment released = null;
        Path idle = null;
        Path sameName = directory.resolve(Segment.fileName(number));
        if (spare.remove(sameName)) {
            idle = sameName;
        } else if (first < Math.min(next, releasedSegments)) {
            released = get(first);
            window.set(slot(first), null);
            first++;
        } else {
            idle = spare.poll();
        }
        Segment ready = null;
        IOException failure = null;
        Journal.Reach hears = reach;
        lock.unlock();
        try {
            ready = prepare(number, released, idle);
            hears.reaches((number + 1) * segmentBytes);
        } catch (IOException e) {
            failure = e;
        } catch (RuntimeException | Error e) {
            // Without this thread nobody would get a segment any more, nor hear why; the next who asks has it try
            // again.
            failure = new IOException("no segment could be made: " + e, e);
        } finally {
            lock.lock();
            preparing = false;
            if (ready != null && failure != null) {
                spare.add(sameName); // it has its name, and is not used before that is known
                close(ready);
            } else if (ready != null) {
                window.set(slot(number), ready);
                next = number + 1;
            } else if (idle != null) {
                spare.add(idle);
            } else if (released != null) {
                spare.add(released.file());
            }
            refusal = failure;
            changed.signalAll();
        }
    }

    private static void close(Segment unused) {
        try {
            unused.close();
        } catch (IOException e) {
            LOG.debug("{}: {}", unused.file(), e.getMessage());
        }
    }

    /** Runs without the lock. */
    private Segment prepare(long number, @Nullable Segment released, @Nullable Path idle) throws IOException {
        Path file = directory.resolve(Segment.fileName(number));
        if (released != null) {
            disk.rename(released.file(), file);
            disk.syncDirectory(directory);
            return released.renumbered(number, directory);
        }
        if (idle != null) {
            disk.rename(idle, file);
        } else {
            Path fresh = directory.resolve(BEING_PREPARED);
            try {
                disk.prewrite(fresh, segmentBytes);
            } catch (IOException e) {
                boolean full = disk.isFull(e, directory, segmentBytes);
                Files.deleteIfExists(fresh);
                if (full) {
                    throw new JournalNoSpaceException(
                            "no space on the disk for another segment of " + segmentBytes + " bytes in " + directory,
                            e);
                }
                throw e;
            }
            disk.rename(fresh, file);
        }
        disk.syncDirectory(directory);
        return Segment.open(number, directory, segmentBytes);
    }

    private int slot(long number) {
        return (int) (number % window.length());
    }
}
