package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A volume's journal: one sequence of positions over all its terms, in bytes from 0, cut into segments. A record is written once, into its
 * segment, and those very bytes are what is synced, sent to peers and landed at the same position of their journals.
 *
 * <p>Either this process writes ({@link #openTerm} until {@link #closeTerm}), from any number of threads; or it receives, from one thread
 * ({@link #landing}, {@link #publish}). Reading, sending, syncing and releasing go on beside both, from any thread. Everything
 * before {@link #end} is complete and checked; nothing behind it counts.
 *
 * <p>This is the face of it: {@link Contents} is what the parts share, {@link Capturing} and {@link Receiving} add to it, {@link
 * PublishedRecords} is how it is read and sent, {@link Cutting} takes an end away, {@link RecoveryScan} finds the end at a start.
 *
 * <p>A disk failure is final, see {@link JournalFailedException}. Positions before {@link #release} belong to nobody: it is the caller who
 * knows that no one reads or sends there any more.
 */
public final class Journal implements AutoCloseable {

    /** Record flag: the client wants this write durable before it is answered. */
    public static final int FUA = 1;

    /** Record flag of WRITE_ZEROES: the range may become a hole. */
    public static final int MAY_PUNCH = 2;

    /** How long a capture or a landing waits for a segment before it is refused. */
    private static final long MAX_WAIT_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final JournalSpec spec;
    private final ReentrantLock lock = new ReentrantLock();
    private final Health health;
    private final SegmentStore store;
    private final Contents contents;
    private final PublishedRecords records;
    private final Capturing capturing;
    private final Receiving receiving;
    private final Cutting cutting;
    private volatile Recovery recovery;

    /** Written by {@link #open} alone. */
    private long syncedHere;

    /** Signalled, too, by the store. */
    private final Condition segmentsChanged = lock.newCondition();

    /** One sync at a time; the next one finds its work done. */
    private final Object syncing = new Object();

    private Journal(
            Path directory,
            JournalSpec spec,
            int windowLength,
            long firstPosition,
            Disk disk,
            LongSupplier wallClockNanos,
            long maxWaitNanos) {
        this.spec = spec;
        Condition published = lock.newCondition();
        this.health = new Health(spec, directory, lock, published, segmentsChanged);
        this.store = new SegmentStore(directory, spec, disk, lock, segmentsChanged, windowLength);
        this.contents = new Contents(spec, store, disk, health, segmentsChanged, maxWaitNanos);
        this.records = new PublishedRecords(contents);
        this.capturing = new Capturing(contents, wallClockNanos, lock, published);
        this.receiving = new Receiving(contents, capturing, lock);
        this.cutting = new Cutting(contents, records);
        this.recovery = startAt(firstPosition, Lineage.EMPTY);
    }

    // ---- Life

    /**
     * A new, empty journal in a directory without one, whose first record will lie at {@code firstPosition}. Its first segment is on the
     * disk when this returns.
     */
    public static Journal create(Path directory, JournalSpec spec, long firstPosition) throws IOException {
        return create(directory, spec, firstPosition, new Disk(), Journal::nowNanos, MAX_WAIT_NANOS);
    }

    static Journal create(
            Path directory,
            JournalSpec spec,
            long firstPosition,
            Disk disk,
            LongSupplier wallClockNanos,
            long maxWaitNanos)
            throws IOException {
        Contents.requireAligned(firstPosition);
        Files.createDirectories(directory);
        disk.syncDirectory(directory.toAbsolutePath().resolveSibling("."));
        if (!SegmentStore.list(directory, spec.segmentBytes()).isEmpty()) {
            throw new IOException(directory + " holds segments already: a journal is created once");
        }
        Journal journal =
                new Journal(directory, spec, spec.maxSegments() + 1, firstPosition, disk, wallClockNanos, maxWaitNanos);
        long first = journal.contents.number(firstPosition);
        journal.store.find(new TreeMap<>(), first, first);
        journal.lock.lock();
        try {
            journal.contents.awaitSegments(first, first + 1, journal.contents.deadline());
        } catch (IOException e) {
            journal.close();
            throw e;
        } finally {
            journal.lock.unlock();
        }
        return journal;
    }

    /**
     * Opens what {@link #create} made, reads it from a checkpoint on and tells in {@link #recovery} where it ends and why. Changes no
     * file: what lies behind the end stays there until {@link #cut}, {@link #reset} or new records take its place. A journal that holds
     * records of a version this program does not know is not opened.
     *
     * @param oldest the oldest position still wanted, a record boundary: what {@link #oldest} was, or {@code from}
     * @param from the checkpoint, a record boundary; what lies before it is taken as it is
     * @param known the lineage at {@code from}, or a newer one: its later terms are not taken as this journal's, but claims in
     *     their records count
     * @param knownSafe a position that is known, from a checkpoint or another replica, to have been committed or synced
     */
    public static Journal open(Path directory, JournalSpec spec, long oldest, long from, Lineage known, long knownSafe)
            throws IOException {
        return open(directory, spec, oldest, from, known, knownSafe, new Disk(), Journal::nowNanos, MAX_WAIT_NANOS);
    }

    static Journal open(
            Path directory,
            JournalSpec spec,
            long oldest,
            long from,
            Lineage known,
            long knownSafe,
            Disk disk,
            LongSupplier wallClockNanos,
            long maxWaitNanos)
            throws IOException {
        Contents.requireAligned(oldest);
        Contents.requireAligned(from);
        if (oldest > from) {
            throw new IllegalArgumentException("oldest " + oldest + " is behind the checkpoint " + from);
        }
        TreeMap<Long, Path> files = SegmentStore.list(directory, spec.segmentBytes());
        long fromNumber = from / spec.segmentBytes();
        long firstHeld = fromNumber;
        while (firstHeld > oldest / spec.segmentBytes() && files.containsKey(firstHeld - 1)) {
            firstHeld--;
        }
        long behindHeld = fromNumber;
        while (files.containsKey(behindHeld)) {
            behindHeld++;
        }
        int windowLength = Math.toIntExact(Math.max(spec.maxSegments(), behindHeld - firstHeld) + 1);
        Journal journal = new Journal(directory, spec, windowLength, from, disk, wallClockNanos, maxWaitNanos);
        journal.store.find(files, firstHeld, behindHeld);
        try {
            journal.recover(from, known, knownSafe);
        } catch (IOException e) {
            journal.close();
            throw e;
        }
        // A segment's start is a record boundary, so a gap in the files moves the oldest position to one.
        journal.contents.oldest = Math.max(oldest, Math.min(from, firstHeld * spec.segmentBytes()));
        return journal;
    }

    /** Hears, before a segment is used, up to which position there are files. */
    @FunctionalInterface
    public interface Reach {
        /** Nothing lands in the last of them before this returns. */
        void reaches(long position) throws IOException;
    }

    /** Who is to hear it: once, before anything is captured or landed. */
    public void beforeUse(Reach reach) {
        lock.lock();
        try {
            store.beforeUse(reach);
        } finally {
            lock.unlock();
        }
    }

    /** What opening found; after {@link #create} and {@link #reset} a clean, empty journal. */
    public Recovery recovery() {
        return recovery;
    }

    /** Where opening found it in a valid record: up to here this agent had synced the journal when it was its writer. */
    public long syncedHere() {
        return syncedHere;
    }

    /** Whether opening found an end that may have been further on, had nothing been missing from this position on; see {@link
     * MissingBytes}. */
    public boolean mayHaveReached(long missing) {
        boolean clean = recovery.verdict() instanceof Recovery.Clean;
        if (contents.number(recovery.end()) == contents.number(missing)) {
            return !clean || recovery.end() > missing - RecordFormat.HEADER_BYTES;
        }
        // What leads from one segment into the next may count only together with the record that begins there.
        return contents.at(missing) == 0 && contents.number(recovery.end()) == contents.number(missing) - 1 && !clean;
    }

    /** The terms of the records before {@link #end}. */
    public Lineage lineage() {
        return contents.lineage;
    }

    /** The largest payload one record may have. */
    public int maxPayloadBytes() {
        return spec.maxPayloadBytes();
    }

    /**
     * Waits for captures under way, refuses later ones, closes the files. Syncs nothing. Slices handed out stay readable.
     */
    @Override
    public void close() throws IOException {
        lock.lock();
        try {
            if (health.closed()) {
                return;
            }
            capturing.closeTerm();
            health.close();
            segmentsChanged.signalAll();
            store.close();
        } finally {
            lock.unlock();
        }
    }

    // ---- Capture

    /**
     * Begins a term with a TERM record and opens it for writing by this process. Received bytes that make no whole record yet are
     * dropped.
     *
     * @param committed what is known to be committed; stored in the record
     * @return the end of the TERM record: the term may be served when that is committed
     */
    public long openTerm(long term, String origin, long token, long committed) throws JournalException {
        return capturing.openTerm(term, origin, token, committed);
    }

    /** Ends writing in this process; captures under way are published, later ones are refused. */
    public void closeTerm() {
        capturing.closeTerm();
    }

    /**
     * Captures all records of a batch. Waits while no segment is ready. The bytes are copied once, here, and not kept. Nothing else
     * comes between records of a batch, unless they cross a segment or are more than is written at once, 256 KiB.
     *
     * @param ofTerm the term that the records belong to: they are in no later one, however long they wait
     * @param committed what is known to be committed; stored in the records
     * @throws TermClosedException that term is not open (any more)
     * @throws JournalException the first {@link RecordBatch#captured} records are published, the others never will be
     */
    public void capture(RecordBatch batch, long ofTerm, long token, long committed) throws JournalException {
        capturing.capture(batch, ofTerm, token, committed);
    }

    /** Captures a single write, see {@link RecordBatch#write}; returns the end of its record, which is published. */
    public long write(long offset, ByteBuffer payload, int flags, long token, long committed) throws JournalException {
        RecordBatch batch = new RecordBatch();
        batch.write(offset, payload, flags);
        capturing.capture(batch, capturing.currentTerm(), token, committed);
        return batch.end(0);
    }

    /** Captures a single one, see {@link RecordBatch#zeroes}; returns the end of its record, which is published. */
    public long zeroes(long offset, long length, int flags, long token, long committed) throws JournalException {
        RecordBatch batch = new RecordBatch();
        batch.zeroes(offset, length, flags);
        capturing.capture(batch, capturing.currentTerm(), token, committed);
        return batch.end(0);
    }

    // ---- Receiving

    /**
     * Where the next received bytes go: a direct buffer for those from {@code position} on, at most {@code atMost} of them, not beyond
     * the segment. It belongs to the caller until {@link #publish} or the next landing.
     * Waits while the segment is not ready; {@link #readyEnd} tells how far it will not wait.
     *
     * @param position {@link #landed}; or {@link #end}, which drops what landed behind it and made no whole record
     */
    public ByteBuffer landing(long position, int atMost) throws JournalException {
        return receiving.landing(position, atMost);
    }

    /**
     * Checks and publishes the whole records among the landed bytes. The bytes of an incomplete one stay landed, the next landing goes on
     * behind them. So does a PAD that announces a new term, until its TERM record is there.
     *
     * @param bytes how many of the last landing's bytes were filled
     * @return {@link #end}
     * @throws BadRecordException what was published before the bad record stands; nothing is landed any more
     */
    public long publish(int bytes) throws JournalException {
        return receiving.publish(bytes);
    }

    /** The last landing is still in somebody's hands who must not be listened to any more: the next one is another buffer. */
    public void abandonLanding() {
        receiving.abandonLanding();
    }

    /** Up to where bytes have landed; {@link #end} or behind it. */
    public long landed() {
        return receiving.landed();
    }

    /** Up to where a landing, or a capture, finds its segment ready: landing space to give credit for. */
    public long readyEnd() {
        lock.lock();
        try {
            return contents.start(store.readyEnd());
        } finally {
            lock.unlock();
        }
    }

    // ---- Sending and reading

    /** Every record before it is published. */
    public long end() {
        return contents.end;
    }

    /** The oldest position that may be read. */
    public long oldest() {
        return contents.oldest;
    }

    /** Where the segment that holds {@code position} ends. */
    public long segmentEnd(long position) {
        return contents.segmentEnd(position);
    }

    /**
     * Sends the published bytes [from, to), as far as they lie in one segment, by file region.
     *
     * @return bytes sent; fewer, also 0, if a non-blocking channel takes no more
     */
    public long send(long from, long to, WritableByteChannel target) throws IOException {
        return records.send(from, to, target);
    }

    /** The published bytes [from, to) of one segment, read-only, good until they are released. */
    public ByteBuffer bytes(long from, long to) {
        return records.bytes(from, to);
    }

    /**
     * Shows the records from {@code from} to {@code to}, both record boundaries, to a visitor until it wants no more. Headers are checked,
     * payloads on request.
     *
     * @return the position behind the last record visited
     */
    public <X extends Exception> long forEach(long from, long to, RecordVisitor<X> visitor) throws JournalException, X {
        return records.forEach(from, to, visitor);
    }

    /** The first record that begins between {@code from}, a record boundary, and {@code to}, and is not as it was captured; -1: all are. */
    public long firstDamaged(long from, long to) throws JournalException {
        return records.firstDamaged(from, to);
    }

    /** The payload of the record at {@code position}: the mapped bytes, read-only, good until it is released. */
    public ByteBuffer payload(long position) throws JournalException {
        return records.payload(position);
    }

    // ---- Durability and space

    /**
     * fdatasync of what was published when it was called. Calls from several threads share one sync where they can.
     *
     * @return {@link #durable}
     */
    public long sync() throws JournalException {
        long wanted = contents.end;
        synchronized (syncing) {
            health.checkUsable();
            long before = contents.durable;
            if (before >= wanted) {
                return before;
            }
            long target = contents.end;
            contents.force(before, target);
            contents.durable = target;
            return target;
        }
    }

    /** Everything before it is on the disk. After opening, this is the checkpoint until the first {@link #sync}. */
    public long durable() {
        return contents.durable;
    }

    /** Gives the segments before {@code upTo} back for reuse; nobody reads or sends from them any more. */
    public void release(long upTo) {
        lock.lock();
        try {
            if (upTo > contents.durable) {
                throw new IllegalArgumentException(
                        "release up to " + upTo + " of a journal durable up to " + contents.durable);
            }
            if (upTo > contents.oldest) {
                contents.oldest = upTo;
                store.release(contents.number(upTo));
            }
        } finally {
            lock.unlock();
        }
    }

    /** Whether the disk had no room for the next segment when it was last tried: only a release helps. */
    public boolean outOfSpace() {
        lock.lock();
        try {
            return store.refusal() instanceof JournalNoSpaceException;
        } finally {
            lock.unlock();
        }
    }

    /** Takes a file's bytes off the disk, though it may be mapped: from then on they read as zeros. */
    @FunctionalInterface
    public interface Emptying {
        void empty(Path file, int bytes) throws IOException;
    }

    /**
     * Gives disk space back: files of segments that are released, or were never used, but for as many as a journal needs to go round.
     *
     * @return whether there may be more to give back once more is released
     */
    public boolean giveBack(Emptying emptying) throws IOException {
        lock.lock();
        try {
            health.checkUsable();
            store.giveBack(emptying);
            return store.hasMoreThanItNeeds();
        } finally {
            lock.unlock();
        }
    }

    /** Bytes, PADs included, that fit into the budget before something must be released. */
    public long room() {
        lock.lock();
        try {
            long tail = Math.max(capturing.reservedEnd(), contents.end);
            return contents.start(store.budgetEnd()) - tail;
        } finally {
            lock.unlock();
        }
    }

    // ---- Cutting

    /**
     * Makes {@code position} the end of the journal, durably: what lies behind it, valid records beyond a bad one included, is saved to a new
     * file, if there is anything, and then overwritten with zeros, so that it cannot be taken for a part of the journal later.
     *
     * @param position a record boundary in [{@link #oldest}, {@link #end}]; a journal whose common end with the others lies
     *     before that is {@link #reset} instead
     * @param rescueFile must not exist
     * @return bytes saved
     */
    public long cut(long position, Path rescueFile) throws IOException {
        synchronized (syncing) {
            lock.lock();
            try {
                health.checkUsable();
                capturing.requireIdle();
                long saved = cutting.cut(position, rescueFile);
                receiving.startAt(position, contents.lineage);
                return saved;
            } finally {
                lock.unlock();
            }
        }
    }

    /**
     * Empties the journal so that it starts over at {@code firstPosition}, where another replica's lineage is {@code lineage}. All
     * files are emptied and deleted: bytes of a history that this replica gave up must not be found at their old places, nor take the
     * space that the new one needs. A crash in the middle leaves some of them: the caller notes before, durably, that none counts.
     */
    public void reset(long firstPosition, Lineage lineage, Emptying emptying) throws JournalException {
        Contents.requireAligned(firstPosition);
        synchronized (syncing) {
            lock.lock();
            try {
                health.checkUsable();
                capturing.requireIdle();
                store.reset(contents.number(firstPosition), emptying);
                recovery = startAt(firstPosition, lineage.upTo(firstPosition));
            } catch (JournalException e) {
                throw e;
            } catch (IOException e) {
                throw health.fail("the journal's files cannot be removed", e);
            } finally {
                lock.unlock();
            }
        }
    }

    // ---- Recovery

    private Recovery startAt(long position, Lineage terms) {
        receiving.startAt(position, terms);
        capturing.startAt(position);
        contents.startAt(position, terms);
        return new Recovery(position, terms, 0, 0, 0, position, new Recovery.Clean());
    }

    private void recover(long from, Lineage known, long knownSafe) throws JournalException {
        RecoveryScan scan = new RecoveryScan(spec.volume(), contents.segmentBytes, this::segmentBytes, known);
        try {
            scan.run(from, knownSafe);
        } catch (InternalError e) {
            throw health.fail("a page of the journal cannot be read", e);
        }
        Recovery found = scan.result();
        startAt(from, found.lineage());
        contents.end = found.end();
        capturing.startAt(found.end());
        receiving.startAt(found.end(), found.lineage());
        contents.touchedEnd = scan.touchedEnd();
        recovery = found;
        syncedHere = scan.syncedBy(spec.self());
    }

    private @Nullable ByteBuffer segmentBytes(long number) {
        Segment segment = store.get(number);
        return segment == null ? null : segment.bytes;
    }

    private static long nowNanos() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }
}
