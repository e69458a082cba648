package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.originHash;

import java.io.IOException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;

/**
 * Writing by this process, from any number of threads: a place is reserved under a short lock, filled without one, and published in the order
 * of the places. A place whose filling fails becomes a PAD record, so that nobody waits behind it. See {@link Journal}, which shows all of it.
 */
final class Capturing {

    /** Captures under way at once; one more waits until the oldest is published. */
    static final int MAX_CAPTURES = 64;

    /** What is written at once; a record larger than this is, too. */
    private static final int TOGETHER_BYTES = 256 << 10;

    private final Contents contents;
    private final LongSupplier wallClockNanos;
    private final ReentrantLock lock;

    /** Of the lock: places were published. */
    private final Condition published;

    // Guarded by the lock. Places are numbered from 0; those in [published, reserved) are under way.
    private final Capture[] captures = new Capture[MAX_CAPTURES];
    private long capturesReserved;
    private long capturesPublished;
    private long reservedEnd;
    private boolean termOpening;
    private boolean termOpen;
    private long term;
    private long origin;

    Capturing(Contents contents, LongSupplier wallClockNanos, ReentrantLock lock, Condition published) {
        this.contents = contents;
        this.wallClockNanos = wallClockNanos;
        this.lock = lock;
        this.published = published;
        for (int i = 0; i < captures.length; i++) {
            captures[i] = new Capture(contents);
        }
    }

    /** The journal begins, or goes on, at {@code position}. Beside no capture. */
    void startAt(long position) {
        reservedEnd = position;
    }

    /** Where the last reserved place ends. The caller holds the lock. */
    long reservedEnd() {
        return reservedEnd;
    }

    /** As {@link Journal#openTerm}. */
    long openTerm(long term, String origin, long token, long committed) throws JournalException {
        Capture capture;
        lock.lock();
        try {
            contents.health.checkUsable();
            requireIdle();
            if (term <= contents.lineage.lastTerm()) {
                throw new IllegalArgumentException(
                        "term " + term + " behind term " + contents.lineage.lastTerm() + ": terms strictly rise");
            }
            reservedEnd = contents.end;
            this.term = term;
            this.origin = originHash(origin);
            termOpening = true;
            // Its length does not depend on where the term starts, and that is known only when the place is.
            capture = reserve(opening(term, origin, contents.end), 0, true, term, token, committed);
            capture.opens = contents.lineage.plus(new TermStart(term, origin, capture.start));
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
        return RecordBatch.ofTerm(contents.lineage
                .plus(new TermStart(term, origin, firstPosition))
                .encode());
    }

    /** As {@link Journal#closeTerm}. */
    void closeTerm() {
        lock.lock();
        try {
            termOpen = false;
            awaitCaptures();
        } finally {
            lock.unlock();
        }
    }

    /** As {@link Journal#capture}. */
    void capture(RecordBatch batch, long ofTerm, long token, long committed) throws JournalException {
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

    /** The term that was opened last. */
    long currentTerm() {
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
            if (payloadBytes > contents.spec.maxPayloadBytes()) {
                throw new IllegalArgumentException("a payload of " + payloadBytes + " bytes: a record has 1 to "
                        + contents.spec.maxPayloadBytes());
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
        long deadline = contents.deadline();
        while (true) {
            contents.health.checkUsable();
            // Asked again after each wait: meanwhile the term may have been closed, and bytes received in this place,
            // or
            // the next one opened.
            if (term != ofTerm || !(opens ? termOpening : termOpen)) {
                throw new TermClosedException();
            }
            long start = reservedEnd;
            int rest = contents.segmentBytes - contents.at(start);
            long position = least <= rest ? start : start + rest;
            if (committed < 0 || committed > position) {
                throw new IllegalArgumentException(
                        "committed position " + committed + " of a record at " + position + ": never behind itself");
            }
            if (capturesReserved - capturesPublished == MAX_CAPTURES) {
                published.awaitUninterruptibly();
            } else if (contents.store.get(contents.number(start)) == null
                    || contents.store.get(contents.number(position)) == null) {
                contents.awaitSegments(contents.number(start), contents.number(position) + 1, deadline);
            } else {
                Capture capture = captures[(int) (capturesReserved % MAX_CAPTURES)];
                capture.sequence = capturesReserved++;
                capture.start = start;
                capture.position = position;
                int room = Math.min(contents.segmentBytes - contents.at(position), Math.max(least, TOGETHER_BYTES));
                capture.batch = batch;
                capture.first = first;
                capture.behind = batch.within(first, room);
                capture.end = position + batch.bytes(first, capture.behind);
                capture.term = ofTerm;
                capture.origin = origin;
                capture.token = token;
                capture.committed = committed;
                capture.synced = contents.durable;
                capture.timeNanos = wallClockNanos.getAsLong();
                capture.opens = null;
                capture.filled = false;
                reservedEnd = capture.end;
                contents.touchedEnd = Math.max(contents.touchedEnd, reservedEnd);
                // One segment ahead is prepared while this one fills.
                contents.store.want(contents.number(position) + 2);
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
            contents.health.fail("a record cannot be written", e);
        } catch (RuntimeException | Error e) {
            // A payload's own failure, such as its memory being closed: whoever waits behind this place must not wait
            // for ever.
            if (capture.opens != null) {
                contents.health.fail("a TERM record could not be written", e);
            } else {
                try {
                    capture.pad(capture.position, capture.end);
                } catch (IOException | RuntimeException | Error again) {
                    contents.health.fail("a record cannot be written", again);
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
            while (!contents.health.failed() && capturesPublished < capturesReserved) {
                Capture next = captures[(int) (capturesPublished % MAX_CAPTURES)];
                if (!next.filled) {
                    break;
                }
                if (next.opens != null) {
                    contents.lineage = next.opens;
                    termOpen = true;
                }
                contents.end = next.end;
                capturesPublished++;
                moved = true;
            }
            if (moved) {
                published.signalAll();
            }
            while (capturesPublished <= sequence) {
                contents.health.checkUsable();
                published.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Refuses what must not happen while a term is open for writing. The caller holds the lock. */
    void requireIdle() {
        if (termOpening || termOpen || capturesPublished != capturesReserved) {
            throw new IllegalStateException("term " + term + " is open for writing: closeTerm comes first");
        }
    }

    private void awaitCaptures() {
        while (capturesPublished != capturesReserved && !contents.health.failed()) {
            published.awaitUninterruptibly();
        }
    }
}
