package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** Landing what another process wrote, from one thread, beside no capture. See {@link Journal}, which shows all of it. */
final class Receiving {

    /** The largest landing. */
    private static final int LANDING_BYTES = 1 << 20;

    private final Contents contents;
    private final Capturing capturing;
    private final ReentrantLock lock;
    private final RecordChain chain;
    private long landedEnd;
    private int landingBytes;
    private @Nullable ByteBuffer landing;

    Receiving(Contents contents, Capturing capturing, ReentrantLock lock) {
        this.contents = contents;
        this.capturing = capturing;
        this.lock = lock;
        this.chain = new RecordChain(contents.spec.volume(), Lineage.EMPTY);
    }

    /** What comes next belongs at {@code position}, where the terms so far are those. */
    void startAt(long position, Lineage terms) {
        landedEnd = position;
        landingBytes = 0;
        chain.adopt(terms);
    }

    /** As {@link Journal#landing}. */
    ByteBuffer landing(long position, int atMost) throws JournalException {
        if (atMost < 1) {
            throw new IllegalArgumentException("a landing of " + atMost + " bytes");
        }
        lock.lock();
        try {
            contents.health.checkUsable();
            capturing.requireIdle();
            if (position == contents.end) {
                landedEnd = contents.end;
                adoptWhatWasWritten();
            } else if (position != landedEnd || landedEnd < contents.end) {
                throw new IllegalArgumentException("landing at " + position + ": bytes landed up to " + landed()
                        + ", records are published up to " + contents.end);
            }
            contents.awaitSegments(contents.number(position), contents.number(position) + 1, contents.deadline());
            contents.store.want(contents.number(position) + 2);
            int at = contents.at(position);
            landingBytes = Math.min(Math.min(atMost, contents.segmentBytes - at), LANDING_BYTES);
            contents.touchedEnd = Math.max(contents.touchedEnd, position + landingBytes);
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

    /** As {@link Journal#publish}. */
    long publish(int bytes) throws JournalException {
        if (bytes < 0 || bytes > landingBytes) {
            throw new IllegalArgumentException(bytes + " bytes filled of a landing of " + landingBytes);
        }
        contents.health.checkUsable();
        land(bytes);
        chain.unsettle();
        long position = contents.end;
        try {
            while (position < landedEnd) {
                int at = contents.at(position);
                int available = (int) Math.min(landedEnd - position, contents.segmentBytes - at);
                int taken = chain.check(contents.segment(position).bytes, at, available, position);
                if (taken == RecordChain.INCOMPLETE) {
                    break;
                }
                if (taken < 0) {
                    landedEnd = contents.end;
                    throw new BadRecordException(position, RecordChain.rule(taken));
                }
                position += taken;
                if (chain.settled()) {
                    contents.lineage = chain.lineage();
                    contents.end = position;
                }
            }
        } catch (InternalError e) {
            throw contents.health.fail("a page of the journal cannot be read", e);
        }
        return contents.end;
    }

    /** Into the segment first: an incomplete record's bytes have to be somewhere until the rest comes. */
    private void land(int bytes) throws JournalException {
        landingBytes = 0;
        ByteBuffer filled = landing;
        if (bytes == 0 || filled == null) {
            return;
        }
        try {
            contents.segment(landedEnd).write(contents.at(landedEnd), filled.slice(0, bytes));
        } catch (IOException e) {
            throw contents.health.fail("received bytes cannot be written", e);
        }
        landedEnd += bytes;
    }

    /** As {@link Journal#abandonLanding}. */
    void abandonLanding() {
        lock.lock();
        try {
            landing = null;
            landingBytes = 0;
        } finally {
            lock.unlock();
        }
    }

    /** As {@link Journal#landed}. */
    long landed() {
        return Math.max(landedEnd, contents.end);
    }

    private void adoptWhatWasWritten() {
        if (!chain.lineage().equals(contents.lineage)) {
            chain.adopt(contents.lineage);
        }
    }
}
