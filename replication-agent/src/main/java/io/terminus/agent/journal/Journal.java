package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
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
 * <p>Capture reserves a place under a short lock, fills it without one, and publishes in the order of the places. A place whose filling
 * fails becomes a PAD record, so that nobody waits behind it.
 *
 * <p>A disk failure is final, see {@link JournalFailedException}. Positions before {@link #release} belong to nobody: it is the caller who
 * knows that no one reads or sends there any more.
 */
public final class Journal implements AutoCloseable {

    /** Record flag: the client wants this write durable before it is answered. */
    public static final int FUA = 1;

    /** Record flag of WRITE_ZEROES: the range may become a hole. */
    public static final int MAY_PUNCH = 2;

    /** Captures under way at once; one more waits until the oldest is published. */
    static final int MAX_CAPTURES = 64;

    /** What is written at once; a record larger than this is, too. */
    private static final int TOGETHER_BYTES = 256 << 10;

    private static final int MIN_SCRATCH_BYTES = 16 << 10;
    private static final ThreadLocal<@Nullable ByteBuffer> SCRATCH = new ThreadLocal<>();

    /** The largest landing. */
    private static final int LANDING_BYTES = 1 << 20;

    /** How long a capture or a landing waits for a segment before it is refused. */
    private static final long MAX_WAIT_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final Path directory;
    private final JournalSpec spec;
    private final int segmentBytes;
    private final int segmentShift;
    private final Disk disk;
    private final LongSupplier wallClockNanos;
    private final long maxWaitNanos;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition segmentsChanged = lock.newCondition();
    private final Condition published = lock.newCondition();
    private final SegmentStore store;

    /** Records below it are published: complete, checked, in order. */
    private volatile long end;

    private volatile long durable;
    private volatile long oldest;
    private volatile Lineage lineage;
    private volatile Recovery recovery;
    private volatile @Nullable JournalFailedException failure;
    private volatile boolean closed;

    // Capture, guarded by the lock. Places are numbered from 0; those in [published, reserved) are under way.
    private final Capture[] captures = new Capture[MAX_CAPTURES];
    private long capturesReserved;
    private long capturesPublished;
    private long reservedEnd;
    private boolean termOpening;
    private boolean termOpen;
    private long term;
    private long origin;

    // Receiving, one thread.
    private final RecordChain chain;
    private long landedEnd;
    private int landingBytes;
    private @Nullable ByteBuffer landing;

    /** What lies before it was never looked at: the checkpoint that this journal was opened from. */
    private volatile long checkedFrom;

    /** Up to here bytes that are not zeros may lie behind the end; only grows until a cut or reset. Guarded by the lock. */
    private long touchedEnd;

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
        this.directory = directory;
        this.spec = spec;
        this.segmentBytes = spec.segmentBytes();
        this.segmentShift = Integer.numberOfTrailingZeros(segmentBytes);
        this.disk = disk;
        this.wallClockNanos = wallClockNanos;
        this.maxWaitNanos = maxWaitNanos;
        this.store = new SegmentStore(directory, spec, disk, lock, segmentsChanged, windowLength);
        this.lineage = Lineage.EMPTY;
        this.chain = new RecordChain(spec.volume(), Lineage.EMPTY);
        for (int i = 0; i < captures.length; i++) {
            captures[i] = new Capture(new RecordCodec(spec.volume()));
        }
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
        requireAligned(firstPosition);
        Files.createDirectories(directory);
        disk.syncDirectory(directory.toAbsolutePath().resolveSibling("."));
        if (!SegmentStore.list(directory, spec.segmentBytes()).isEmpty()) {
            throw new IOException(directory + " holds segments already: a journal is created once");
        }
        Journal journal =
                new Journal(directory, spec, spec.maxSegments() + 1, firstPosition, disk, wallClockNanos, maxWaitNanos);
        journal.store.find(new TreeMap<>(), journal.number(firstPosition), journal.number(firstPosition));
        journal.lock.lock();
        try {
            long first = journal.number(firstPosition);
            journal.awaitSegments(first, first + 1, System.nanoTime() + maxWaitNanos);
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
        requireAligned(oldest);
        requireAligned(from);
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
        journal.oldest = Math.max(oldest, Math.min(from, firstHeld * spec.segmentBytes()));
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

    /** Whether opening found an end that may have been further on, had nothing been missing from this position on; see {@link
     * MissingBytes}. */
    public boolean mayHaveReached(long missing) {
        boolean clean = recovery.verdict() instanceof Recovery.Clean;
        if (number(recovery.end()) == number(missing)) {
            return !clean || recovery.end() > missing - RecordFormat.HEADER_BYTES;
        }
        // What leads from one segment into the next may count only together with the record that begins there.
        return at(missing) == 0 && number(recovery.end()) == number(missing) - 1 && !clean;
    }

    /** The terms of the records before {@link #end}. */
    public Lineage lineage() {
        return lineage;
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
            if (closed) {
                return;
            }
            termOpen = false;
            awaitCaptures();
            closed = true;
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
        Capture capture;
        lock.lock();
        try {
            checkUsable();
            requireIdle();
            if (term <= lineage.lastTerm()) {
                throw new IllegalArgumentException(
                        "term " + term + " behind term " + lineage.lastTerm() + ": terms strictly rise");
            }
            reservedEnd = end;
            this.term = term;
            this.origin = originHash(origin);
            termOpening = true;
            // Its length does not depend on where the term starts, and that is known only when the place is.
            capture = reserve(opening(term, origin, end), 0, true, term, token, committed);
            capture.opens = lineage.plus(new TermStart(term, origin, capture.start));
            capture.batch = opening(term, origin, capture.start);
        } finally {
            termOpening = false;
            lock.unlock();
        }
        long recordEnd = capture.end;
        fill(capture);
        return recordEnd;
    }

    private RecordBatch opening(long term, String origin, long firstPosition) {
        return RecordBatch.ofTerm(
                lineage.plus(new TermStart(term, origin, firstPosition)).encode());
    }

    /** Ends writing in this process; captures under way are published, later ones are refused. */
    public void closeTerm() {
        lock.lock();
        try {
            termOpen = false;
            awaitCaptures();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Captures all records of a batch. Waits while no segment is ready. The bytes are copied once, here, and not kept. Nothing else
     * comes between records of a batch, unless they cross a segment or are more than {@link #TOGETHER_BYTES}.
     *
     * @param ofTerm the term that the records belong to: they are in no later one, however long they wait
     * @param committed what is known to be committed; stored in the records
     * @throws TermClosedException that term is not open (any more)
     * @throws JournalException the first {@link RecordBatch#captured} records are published, the others never will be
     */
    public void capture(RecordBatch batch, long ofTerm, long token, long committed) throws JournalException {
        requireFittingPayloads(batch);
        while (batch.captured() < batch.count()) {
            Capture capture;
            lock.lock();
            try {
                capture = reserve(batch, batch.captured(), false, ofTerm, token, committed);
            } finally {
                lock.unlock();
            }
            int behind = capture.behind;
            long position = capture.position;
            fill(capture);
            batch.captured(behind, position);
        }
    }

    /** Captures a single write, see {@link RecordBatch#write}; returns the end of its record, which is published. */
    public long write(long offset, ByteBuffer payload, int flags, long token, long committed) throws JournalException {
        RecordBatch batch = new RecordBatch();
        batch.write(offset, payload, flags);
        capture(batch, currentTerm(), token, committed);
        return batch.end(0);
    }

    /** Captures a single one, see {@link RecordBatch#zeroes}; returns the end of its record, which is published. */
    public long zeroes(long offset, long length, int flags, long token, long committed) throws JournalException {
        RecordBatch batch = new RecordBatch();
        batch.zeroes(offset, length, flags);
        capture(batch, currentTerm(), token, committed);
        return batch.end(0);
    }

    private long currentTerm() {
        lock.lock();
        try {
            return term;
        } finally {
            lock.unlock();
        }
    }

    private void requireFittingPayloads(RecordBatch batch) {
        for (int i = 0; i < batch.count(); i++) {
            int payloadBytes = batch.draft(i).payloadBytes();
            if (payloadBytes > spec.maxPayloadBytes()) {
                throw new IllegalArgumentException(
                        "a payload of " + payloadBytes + " bytes: a record has 1 to " + spec.maxPayloadBytes());
            }
        }
    }

    /**
     * Takes the next place for records of a batch from {@code first} on, as many as lie next to each other, behind a PAD if not one of them
     * fits into the segment; waits for segments and for a free capture. The caller holds the lock, which is given up while waiting,
     * and must fill what it gets.
     */
    private Capture reserve(RecordBatch batch, int first, boolean opens, long ofTerm, long token, long committed)
            throws JournalException {
        int least = batch.draft(first).recordBytes();
        long deadline = System.nanoTime() + maxWaitNanos;
        while (true) {
            checkUsable();
            // Asked again after each wait: meanwhile the term may have been closed, and bytes received in this place,
            // or the
            // next one opened.
            if (term != ofTerm || !(opens ? termOpening : termOpen)) {
                throw new TermClosedException();
            }
            long start = reservedEnd;
            int rest = segmentBytes - at(start);
            long position = least <= rest ? start : start + rest;
            if (committed < 0 || committed > position) {
                throw new IllegalArgumentException(
                        "committed position " + committed + " of a record at " + position + ": never behind itself");
            }
            if (capturesReserved - capturesPublished == MAX_CAPTURES) {
                published.awaitUninterruptibly();
            } else if (store.get(number(start)) == null || store.get(number(position)) == null) {
                awaitSegments(number(start), number(position) + 1, deadline);
            } else {
                Capture capture = captures[(int) (capturesReserved % MAX_CAPTURES)];
                capture.sequence = capturesReserved++;
                capture.start = start;
                capture.position = position;
                int room = Math.min(segmentBytes - at(position), Math.max(least, TOGETHER_BYTES));
                capture.batch = batch;
                capture.first = first;
                capture.behind = batch.within(first, room);
                capture.end = position + batch.bytes(first, capture.behind);
                capture.term = ofTerm;
                capture.origin = origin;
                capture.token = token;
                capture.committed = committed;
                capture.synced = durable;
                capture.timeNanos = wallClockNanos.getAsLong();
                capture.opens = null;
                capture.filled = false;
                reservedEnd = capture.end;
                touchedEnd = Math.max(touchedEnd, reservedEnd);
                // One segment ahead is prepared while this one fills.
                store.want(number(position) + 2);
                return capture;
            }
        }
    }

    /** Fills a reserved place and returns when it is published. */
    private void fill(Capture capture) throws JournalException {
        try {
            if (capture.position != capture.start) {
                capture.pad(capture.start, capture.position);
            }
            capture.records();
        } catch (IOException e) {
            fail("a record cannot be written", e);
        } catch (RuntimeException | Error e) {
            // A payload's own failure, such as its memory being closed: whoever waits behind this place must not wait
            // for ever.
            if (capture.opens != null) {
                fail("a TERM record could not be written", e);
            } else {
                try {
                    capture.pad(capture.position, capture.end);
                } catch (IOException again) {
                    fail("a record cannot be written", again);
                }
            }
            finish(capture);
            throw e;
        }
        finish(capture);
    }

    /** Publishes what is filled without a gap, and waits until this capture is. */
    private void finish(Capture capture) throws JournalException {
        lock.lock();
        try {
            long sequence = capture.sequence;
            capture.filled = true;
            boolean moved = false;
            while (failure == null && capturesPublished < capturesReserved) {
                Capture next = captures[(int) (capturesPublished % MAX_CAPTURES)];
                if (!next.filled) {
                    break;
                }
                if (next.opens != null) {
                    lineage = next.opens;
                    termOpen = true;
                }
                end = next.end;
                capturesPublished++;
                moved = true;
            }
            if (moved) {
                published.signalAll();
            }
            while (capturesPublished <= sequence) {
                checkUsable();
                published.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
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
        if (atMost < 1) {
            throw new IllegalArgumentException("a landing of " + atMost + " bytes");
        }
        lock.lock();
        try {
            checkUsable();
            requireIdle();
            if (position == end) {
                landedEnd = end;
                adoptWhatWasWritten();
            } else if (position != landedEnd || landedEnd < end) {
                throw new IllegalArgumentException("landing at " + position + ": bytes landed up to " + landed()
                        + ", records are published up to " + end);
            }
            awaitSegments(number(position), number(position) + 1, System.nanoTime() + maxWaitNanos);
            store.want(number(position) + 2);
            int at = at(position);
            landingBytes = Math.min(Math.min(atMost, segmentBytes - at), LANDING_BYTES);
            touchedEnd = Math.max(touchedEnd, position + landingBytes);
            ByteBuffer buffer = landing;
            if (buffer == null) {
                buffer = ByteBuffer.allocateDirect(LANDING_BYTES);
                landing = buffer;
            }
            return buffer.clear().slice(0, landingBytes);
        } finally {
            lock.unlock();
        }
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
        if (bytes < 0 || bytes > landingBytes) {
            throw new IllegalArgumentException(bytes + " bytes filled of a landing of " + landingBytes);
        }
        checkUsable();
        land(bytes);
        chain.unsettle();
        long position = end;
        try {
            while (position < landedEnd) {
                int at = at(position);
                int available = (int) Math.min(landedEnd - position, segmentBytes - at);
                int taken = chain.check(segment(position).bytes, at, available, position);
                if (taken == RecordChain.INCOMPLETE) {
                    break;
                }
                if (taken < 0) {
                    landedEnd = end;
                    throw new BadRecordException(position, RecordChain.rule(taken));
                }
                position += taken;
                if (chain.settled()) {
                    lineage = chain.lineage();
                    end = position;
                }
            }
        } catch (InternalError e) {
            throw fail("a page of the journal cannot be read", e);
        }
        return end;
    }

    /** Into the segment first: an incomplete record's bytes have to be somewhere until the rest comes. */
    private void land(int bytes) throws JournalException {
        landingBytes = 0;
        ByteBuffer filled = landing;
        if (bytes == 0 || filled == null) {
            return;
        }
        try {
            segment(landedEnd).write(at(landedEnd), filled.slice(0, bytes));
        } catch (IOException e) {
            throw fail("received bytes cannot be written", e);
        }
        landedEnd += bytes;
    }

    /** The last landing is still in somebody's hands who must not be listened to any more: the next one is another buffer. */
    public void abandonLanding() {
        lock.lock();
        try {
            landing = null;
            landingBytes = 0;
        } finally {
            lock.unlock();
        }
    }

    /** Up to where bytes have landed; {@link #end} or behind it. */
    public long landed() {
        return Math.max(landedEnd, end);
    }

    /** Up to where a landing, or a capture, finds its segment ready: landing space to give credit for. */
    public long readyEnd() {
        lock.lock();
        try {
            return store.readyEnd() << segmentShift;
        } finally {
            lock.unlock();
        }
    }

    private void adoptWhatWasWritten() {
        if (!chain.lineage().equals(lineage)) {
            chain.adopt(lineage);
        }
    }

    // ---- Sending and reading

    /** Every record before it is published. */
    public long end() {
        return end;
    }

    /** The oldest position that may be read. */
    public long oldest() {
        return oldest;
    }

    /** Where the segment that holds {@code position} ends. */
    public long segmentEnd(long position) {
        return (number(position) + 1) << segmentShift;
    }

    /**
     * Sends the published bytes [from, to), as far as they lie in one segment, by file region.
     *
     * @return bytes sent; fewer, also 0, if a non-blocking channel takes no more
     */
    public long send(long from, long to, WritableByteChannel target) throws IOException {
        requireReadable(from, to);
        if (from == to) {
            return 0;
        }
        int count = (int) (Math.min(to, segmentEnd(from)) - from);
        return segment(from).send(at(from), count, target);
    }

    /** The published bytes [from, to) of one segment, read-only, good until they are released. */
    public ByteBuffer bytes(long from, long to) {
        requireReadable(from, to);
        return segment(from).bytes.slice(at(from), (int) (to - from)).asReadOnlyBuffer();
    }

    /**
     * Shows the records from {@code from} to {@code to}, both record boundaries, to a visitor until it wants no more. Headers are checked,
     * payloads on request.
     *
     * @return the position behind the last record visited
     */
    public <X extends Exception> long forEach(long from, long to, RecordVisitor<X> visitor) throws JournalException, X {
        requireReadable(from, to);
        RecordView view = new RecordView(spec.volume());
        long position = from;
        boolean more = true;
        while (more && position < to) {
            moveTo(view, position);
            position = view.endPosition();
            more = visitor.visit(view);
        }
        return position;
    }

    /** The first record that begins between {@code from}, a record boundary, and {@code to}, and is not as it was captured; -1: all are. */
    public long firstDamaged(long from, long to) throws JournalException {
        long[] damaged = {-1};
        try {
            forEach(from, to, view -> {
                if (!view.payloadIntact()) {
                    damaged[0] = view.position();
                }
                return damaged[0] < 0;
            });
            return damaged[0];
        } catch (BadRecordException e) {
            return e.position();
        }
    }

    /** The payload of the record at {@code position}: the mapped bytes, read-only, good until it is released. */
    public ByteBuffer payload(long position) throws JournalException {
        requireReadable(position, end);
        RecordView view = new RecordView(spec.volume());
        moveTo(view, position);
        return view.payload();
    }

    private void moveTo(RecordView view, long position) throws JournalException {
        try {
            view.moveTo(segment(position).bytes, at(position), position);
        } catch (InternalError e) {
            throw fail("a page of the journal cannot be read", e);
        }
    }

    // ---- Durability and space

    /**
     * fdatasync of what was published when it was called. Calls from several threads share one sync where they can.
     *
     * @return {@link #durable}
     */
    public long sync() throws JournalException {
        long wanted = end;
        synchronized (syncing) {
            checkUsable();
            if (durable >= wanted) {
                return durable;
            }
            long target = end;
            force(durable, target);
            durable = target;
            return target;
        }
    }

    /** Everything before it is on the disk. After opening, this is the checkpoint until the first {@link #sync}. */
    public long durable() {
        return durable;
    }

    /** Gives the segments before {@code upTo} back for reuse; nobody reads or sends from them any more. */
    public void release(long upTo) {
        lock.lock();
        try {
            if (upTo > durable) {
                throw new IllegalArgumentException("release up to " + upTo + " of a journal durable up to " + durable);
            }
            if (upTo > oldest) {
                oldest = upTo;
                store.release(number(upTo));
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
            checkUsable();
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
            long tail = Math.max(reservedEnd, end);
            return (store.budgetEnd() << segmentShift) - tail;
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
                checkUsable();
                requireIdle();
                requireBoundary(position);
                long saved = Math.max(0, touchedEnd - position);
                if (saved > 0) {
                    rescue(position, rescueFile);
                    overwrite(position, touchedEnd);
                }
                end = position;
                durable = Math.min(durable, position);
                lineage = lineage.upTo(position);
                landedEnd = position;
                landingBytes = 0;
                touchedEnd = position;
                chain.adopt(lineage);
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
        requireAligned(firstPosition);
        synchronized (syncing) {
            lock.lock();
            try {
                checkUsable();
                requireIdle();
                store.reset(number(firstPosition), emptying);
                recovery = startAt(firstPosition, lineage.upTo(firstPosition));
            } catch (JournalException e) {
                throw e;
            } catch (IOException e) {
                throw fail("the journal's files cannot be removed", e);
            } finally {
                lock.unlock();
            }
        }
    }

    private void requireIdle() {
        if (termOpening || termOpen || capturesPublished != capturesReserved) {
            throw new IllegalStateException("term " + term + " is open for writing: closeTerm comes first");
        }
    }

    private void requireBoundary(long position) throws JournalException {
        requireReadable(position, end);
        if (position < checkedFrom) {
            return; // what lies there may be damaged, and is needed for nothing here: the image has it
        }
        long start = Math.max(Math.max(oldest, checkedFrom), position & -(long) segmentBytes);
        long boundary = forEach(start, position, view -> true);
        if (boundary != position) {
            throw new IllegalArgumentException("position " + position + " lies within a record");
        }
        if (position < end) {
            RecordView view = new RecordView(spec.volume());
            moveTo(view, position);
            if (view.kind() == RecordKind.TERM
                    && Lineage.decode(view.payload()).last().firstPosition() != position) {
                throw new IllegalArgumentException(
                        "position " + position + " lies between the PAD that begins a term and its TERM record");
            }
        }
    }

    private void rescue(long from, Path file) throws IOException {
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (long position = from; position < touchedEnd; ) {
                int at = at(position);
                int count = (int) Math.min(touchedEnd - position, segmentBytes - at);
                ByteBuffer bytes = segment(position).bytes.slice(at, count);
                while (bytes.hasRemaining()) {
                    out.write(bytes);
                }
                position += count;
            }
            disk.force(out);
        }
        disk.syncDirectory(file.toAbsolutePath().resolveSibling("."));
    }

    private void overwrite(long from, long to) throws JournalException {
        ByteBuffer zeros = ByteBuffer.allocateDirect(1 << 16);
        try {
            for (long position = from; position < to; ) {
                int at = at(position);
                int count = (int) Math.min(Math.min(to - position, segmentBytes - at), zeros.capacity());
                segment(position).write(at, zeros.slice(0, count));
                position += count;
            }
        } catch (IOException e) {
            throw fail("what was cut cannot be overwritten", e);
        }
        force(from, to);
    }

    // ---- Recovery

    private Recovery startAt(long position, Lineage terms) {
        lineage = terms;
        chain.adopt(terms);
        reservedEnd = position;
        landedEnd = position;
        landingBytes = 0;
        touchedEnd = position;
        durable = position;
        oldest = position;
        checkedFrom = position;
        end = position;
        return new Recovery(position, terms, 0, 0, 0, position, new Recovery.Clean());
    }

    private void recover(long from, Lineage known, long knownSafe) throws JournalException {
        RecoveryScan scan = new RecoveryScan(spec.volume(), segmentBytes, this::segmentBytes, known);
        try {
            scan.run(from, knownSafe);
        } catch (InternalError e) {
            throw fail("a page of the journal cannot be read", e);
        }
        Recovery found = scan.result();
        startAt(from, found.lineage());
        end = found.end();
        reservedEnd = end;
        landedEnd = end;
        touchedEnd = scan.touchedEnd();
        recovery = found;
    }

    private @Nullable ByteBuffer segmentBytes(long number) {
        Segment segment = store.get(number);
        return segment == null ? null : segment.bytes;
    }

    // ---- Shared by the above

    private void awaitSegments(long from, long to, long deadline) throws JournalException {
        boolean asked = false;
        boolean interrupted = false;
        try {
            while (!haveSegments(from, to)) {
                checkUsable();
                if (!asked) {
                    store.want(to);
                    asked = true;
                }
                IOException refusal = store.refusal();
                if (refusal != null && !(refusal instanceof JournalNoSpaceException)) {
                    throw fail("a segment could not be prepared", refusal);
                }
                long waitNanos = deadline - System.nanoTime();
                if (refusal != null && (waitNanos <= 0 || !store.releaseWouldHelp())) {
                    throw new JournalNoSpaceException(String.valueOf(refusal.getMessage()), refusal);
                }
                if (waitNanos <= 0) {
                    throw new JournalNoSpaceException(
                            "all " + spec.maxSegments() + " segments are in use, nothing before " + oldest
                                    + " is released, for " + TimeUnit.NANOSECONDS.toMillis(maxWaitNanos) + " ms");
                }
                try {
                    segmentsChanged.awaitNanos(waitNanos);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private boolean haveSegments(long from, long to) {
        for (long number = from; number < to; number++) {
            if (store.get(number) == null) {
                return false;
            }
        }
        return true;
    }

    private void awaitCaptures() {
        while (capturesPublished != capturesReserved && failure == null) {
            published.awaitUninterruptibly();
        }
    }

    private void force(long from, long to) throws JournalException {
        try {
            for (long position = from; position < to; position = segmentEnd(position)) {
                segment(position).force(disk);
            }
        } catch (IOException e) {
            if (closed) {
                throw new JournalClosedException();
            }
            throw fail("fdatasync of the journal failed", e);
        }
    }

    private JournalFailedException fail(String what, Throwable cause) {
        lock.lock();
        try {
            JournalFailedException first = failure;
            if (first == null) {
                first = new JournalFailedException(
                        what + " at agent " + spec.self() + " in " + directory + ": " + cause.getMessage(), cause);
                failure = first;
                published.signalAll();
                segmentsChanged.signalAll();
            }
            return first;
        } finally {
            lock.unlock();
        }
    }

    private void checkUsable() throws JournalException {
        JournalFailedException failed = failure;
        if (failed != null) {
            throw new JournalFailedException(String.valueOf(failed.getMessage()), failed);
        }
        if (closed) {
            throw new JournalClosedException();
        }
    }

    private void requireReadable(long from, long to) {
        if (from < oldest || to > end || from > to) {
            throw new IllegalArgumentException(
                    "[" + from + ", " + to + ") of a journal that holds [" + oldest + ", " + end + ")");
        }
    }

    private static void requireAligned(long position) {
        if (position < 0 || position % ALIGNMENT != 0) {
            throw new IllegalArgumentException("position " + position + ": records start at multiples of " + ALIGNMENT);
        }
    }

    private Segment segment(long position) {
        Segment segment = store.get(number(position));
        if (segment == null) {
            throw new IllegalArgumentException(
                    "position " + position + " of a journal that holds [" + oldest + ", " + end + ")");
        }
        return segment;
    }

    private long number(long position) {
        return position >>> segmentShift;
    }

    private int at(long position) {
        return (int) position & segmentBytes - 1;
    }

    private static long nowNanos() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }

    /** Where this thread makes its records; kept, because a fresh direct buffer costs more than the record. */
    private static ByteBuffer scratch(int bytes) {
        ByteBuffer buffer = SCRATCH.get();
        if (buffer == null || buffer.capacity() < bytes) {
            int capacity = Math.max(MIN_SCRATCH_BYTES, Integer.highestOneBit(bytes - 1) << 1);
            buffer = ByteBuffer.allocateDirect(capacity).order(ByteOrder.LITTLE_ENDIAN);
            SCRATCH.set(buffer);
        }
        return buffer.clear().limit(bytes);
    }

    /** A place that was reserved: [start, position) becomes a PAD if there is any, [position, end) the records. */
    private final class Capture {

        private final RecordCodec codec;
        private long sequence;
        private long start;
        private long position;
        private long end;
        private long term;
        private long origin;
        private long token;
        private long committed;
        private long synced;
        private long timeNanos;
        private @Nullable Lineage opens;
        private RecordBatch batch = new RecordBatch();
        private int first;
        private int behind;
        private boolean filled;

        private Capture(RecordCodec codec) {
            this.codec = codec;
        }

        private void records() throws IOException {
            RecordBatch.Draft draft = batch.draft(first);
            ByteBuffer payload = draft.payload();
            if (behind - first == 1 && payload != null && draft.goesApart()) {
                apart(draft, payload);
            } else {
                together();
            }
        }

        /** A copy of the payload beside its header would cost more than the second call. */
        private void apart(RecordBatch.Draft draft, ByteBuffer payload) throws IOException {
            int payloadBytes = payload.remaining();
            int checksum = codec.payloadChecksum(payload, origin, term, position);
            segment(position).write(at(position) + HEADER_BYTES, payload.duplicate());
            ByteBuffer bytes = scratch(HEADER_BYTES);
            int rest = draft.recordBytes() - HEADER_BYTES - payloadBytes;
            if (rest > 0) {
                segment(position).write(at(position) + HEADER_BYTES + payloadBytes, zeros(bytes, rest));
                bytes.clear().limit(HEADER_BYTES);
            }
            header(bytes, 0, position, draft, checksum);
            segment(position).write(at(position), bytes);
        }

        private static ByteBuffer zeros(ByteBuffer into, int count) {
            for (int i = 0; i < count; i++) {
                into.put(i, (byte) 0);
            }
            return into.limit(count);
        }

        /** All records of this place, by one write. */
        private void together() throws IOException {
            ByteBuffer bytes = scratch((int) (end - position));
            for (int i = first, at = 0; i < behind; i++) {
                RecordBatch.Draft draft = batch.draft(i);
                int payloadBytes = draft.payloadBytes();
                int recordBytes = draft.recordBytes();
                ByteBuffer payload = draft.payload();
                if (payload != null) {
                    bytes.put(at + HEADER_BYTES, payload, payload.position(), payloadBytes);
                    for (int b = at + HEADER_BYTES + payloadBytes; b < at + recordBytes; b++) {
                        bytes.put(b, (byte) 0);
                    }
                }
                // Of what was copied, not of the caller's bytes, which may change meanwhile.
                int checksum = codec.payloadChecksum(bytes, at, payloadBytes, origin, term, position + at);
                header(bytes, at, position + at, draft, checksum);
                at += recordBytes;
            }
            segment(position).write(at(position), bytes);
        }

        private void pad(long from, long to) throws IOException {
            ByteBuffer header = scratch(HEADER_BYTES);
            header(header, 0, from, RecordKind.PAD, 0, 0, 0, (int) (to - from) - HEADER_BYTES, 0);
            segment(from).write(at(from), header);
        }

        private void header(ByteBuffer into, int at, long position, RecordBatch.Draft draft, int checksum) {
            header(
                    into,
                    at,
                    position,
                    draft.kind(),
                    draft.flags(),
                    draft.offset(),
                    draft.length(),
                    draft.payloadBytes(),
                    checksum);
        }

        private void header(
                ByteBuffer into,
                int at,
                long recordPosition,
                RecordKind kind,
                int flags,
                long offset,
                long length,
                int payloadLength,
                int checksum) {
            codec.writeHeader(
                    into,
                    at,
                    kind,
                    flags,
                    recordPosition,
                    term,
                    origin,
                    token,
                    offset,
                    length,
                    payloadLength,
                    checksum,
                    Math.min(committed, recordPosition),
                    Math.min(synced, recordPosition),
                    timeNanos);
        }
    }
}
