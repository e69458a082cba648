package io.terminus.agent.volume;

import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalNoSpaceException;
import io.terminus.agent.journal.RecordBatch;
import io.terminus.agent.journal.TermClosedException;
import io.terminus.agent.trace.TracedWrites;
import io.terminus.agent.volume.ClientReplies.Failure;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One client's requests to a writer, in the order in which they came. Writes, zeroes, flushes and reads are called by
 * one thread, the client's; replies leave from whichever thread finds that a request is done.
 *
 * <p>A write is captured when its batch ends, next to the others of the batch, and answered when it is committed; with FUA,
 * and for a flush, when that position is durable in q copies. The number of open requests is bounded by the caller.
 */
public final class VolumeClient implements AutoCloseable {

    /** The outcome is unknown: the connection is to be dropped without a reply. */
    public static final class LostGrantException extends Exception {
        LostGrantException(String message) {
            super(message);
        }
    }

    /** One record's zeroes, at most; a multiple of any block size. */
    private static final long ZEROES_BYTES = 1L << 30;

    /** So much is captured together; what comes behind it may be long in coming. */
    private static final long MOST_DRAFTED_BYTES = 1 << 20;

    /**
     * @param beganNanos when the first request of its batch came
     * @param traced null: this one is not
     */
    private record Open(long position, long cookie, long beganNanos, TracedWrites.@Nullable Traced traced) {}

    /** @param drafts how many records there are up to its last one */
    private record Request(long cookie, boolean durable, int drafts) {}

    private final Writer writer;
    private final ClientReplies replies;
    private final ArrayDeque<Open> untilCommitted = new ArrayDeque<>();
    private final ArrayDeque<Open> untilDurable = new ArrayDeque<>();
    private volatile boolean capturing;
    private long durableWanted;

    // Not captured yet: the records, and which requests they are of. The client's thread.
    private final RecordBatch drafts = new RecordBatch();
    private final List<Request> requests = new ArrayList<>();
    private long draftedBytes;

    // What the batch at hand holds; the client's thread.
    private boolean inBatch;
    private long batchAtNanos;
    private int batchReads;
    private long batchReadBytes;
    private int batchCaptures;
    private long batchBytes;
    private StageEvents.@Nullable Capture recorded;

    VolumeClient(Writer writer, ClientReplies replies) {
        this.writer = writer;
        this.replies = replies;
    }

    /**
     * A record's worth of zeros becomes a record without a payload, here and at every replica, and may become a hole in their images: as
     * {@link #zero} that may punch. The payload must not change before {@link #endOfBatch} returns.
     */
    public void write(long cookie, long offset, ByteBuffer payload, boolean fua) {
        draft(cookie, fua, () -> {
            int part = writer.journal().maxPayloadBytes();
            List<@Nullable ByteBuffer> parts = new ArrayList<>(1);
            // All space first: a write that is refused for want of it has captured nothing.
            for (int done = 0; done < payload.remaining(); done += part) {
                ByteBuffer bytes = payload.slice(payload.position() + done, Math.min(payload.remaining() - done, part));
                boolean zeros = Zeros.only(bytes);
                if (!zeros) {
                    writer.secure(offset + done, bytes.remaining());
                }
                parts.add(zeros ? null : bytes);
            }
            int flags = fua ? Journal.FUA : 0;
            long at = offset;
            for (ByteBuffer bytes : parts) {
                long length = Math.min(part, offset + payload.remaining() - at);
                if (bytes == null) {
                    drafts.zeroes(at, length, flags | Journal.MAY_PUNCH);
                } else {
                    drafts.write(at, bytes, flags);
                }
                at += length;
            }
            draftedBytes += payload.remaining();
            batchBytes += payload.remaining();
        });
    }

    public void zero(long cookie, long offset, long length, boolean fua, boolean mayPunch) {
        draft(cookie, fua, () -> {
            if (!mayPunch) {
                writer.secure(offset, length);
            }
            int flags = (fua ? Journal.FUA : 0) | (mayPunch ? Journal.MAY_PUNCH : 0);
            for (long done = 0, part; done < length; done += part) {
                part = Math.min(length - done, ZEROES_BYTES);
                drafts.zeroes(offset + done, part, flags);
            }
        });
    }

    /** Answered when everything published by now is durable in q copies, whoever wrote it. */
    public void flush(long cookie) {
        captureDrafts();
        capturing = true;
        batched();
        batchCaptures++;
        if (writer.admits()) {
            opened(writer.journal().end(), cookie, true, null);
        } else {
            replies.failed(cookie, Failure.SHUTDOWN);
        }
        capturing = false;
    }

    /** The committed state. The guard is asked after the data was taken. */
    public void read(long offset, ByteBuffer into) throws IOException, LostGrantException {
        forwardDrafts();
        batched();
        batchReads++;
        batchReadBytes += into.remaining();
        writer.read(offset, into);
        requireBelieved();
    }

    private void requireBelieved() throws LostGrantException {
        if (!writer.believes()) {
            throw new LostGrantException("the volume's lock is not known to be held any more");
        }
    }

    /** What the committed state of a range holds, as far as the visitor wants, at least an extent. The guard is asked last. */
    public void allocation(long offset, long length, AllocationVisitor visitor) throws IOException, LostGrantException {
        forwardDrafts();
        writer.allocation(offset, length, visitor);
        requireBelieved();
    }

    /** Who has the newest writes to a range, captured ones included, as far as the visitor wants. The guard is asked last. */
    public void replication(long offset, long length, ReplicationVisitor visitor)
            throws IOException, LostGrantException {
        writer.replication(offset, length, visitor);
        requireBelieved();
    }

    /** The range will be read soon: a hint, which waits for no disk. */
    public void willNeed(long offset, long length) throws IOException {
        writer.willNeed(offset, length);
    }

    /** The caller has handed over all it had at hand: it is captured, and forwarded. */
    public void endOfBatch() {
        captureDrafts();
        captured();
        long sync = durableWanted;
        durableWanted = 0;
        long now = writer.forward(inBatch ? batchAtNanos : 0, sync, sync > 0 && waitsForOne());
        if (inBatch) {
            measured(now);
        }
        complete(now);
    }

    /** The client has one request open, which is to become durable: it is likely to send nothing until that is answered. */
    private synchronized boolean waitsForOne() {
        return untilCommitted.isEmpty() && untilDurable.size() == 1;
    }

    /** Before the disk is waited for: what came before need not. */
    private void forwardDrafts() {
        if (!requests.isEmpty()) {
            captureDrafts();
            long sync = durableWanted;
            durableWanted = 0;
            writer.forward(batchAtNanos, sync, false);
        }
    }

    /** The one reading of the clock that a batch costs. */
    private void batched() {
        if (!inBatch) {
            inBatch = true;
            batchAtNanos = System.nanoTime();
            if (StageEvents.capturesRecorded()) {
                StageEvents.Capture event = new StageEvents.Capture();
                event.begin();
                recorded = event;
            }
        }
    }

    private void measured(long now) {
        VolumeMeasures measures = writer.measures();
        if (batchCaptures > 0) {
            measures.capture().record(now - batchAtNanos);
            measures.written(batchBytes);
        }
        if (batchReads > 0) {
            measures.read().record(now - batchAtNanos, batchReads);
            measures.wasRead(batchReadBytes);
        }
        inBatch = false;
        batchReads = 0;
        batchReadBytes = 0;
        batchCaptures = 0;
        batchBytes = 0;
    }

    /** The batch's records are published, and not sent yet. */
    private void captured() {
        StageEvents.Capture event = recorded;
        recorded = null;
        if (event != null && batchCaptures > 0) {
            event.end();
            if (event.shouldCommit()) {
                event.volume = writer.config().name();
                event.requests = batchCaptures;
                event.bytes = batchBytes;
                event.commit();
            }
        }
    }

    /** The client is gone; what it had open goes on, unanswered. */
    @Override
    public void close() {
        writer.detach(this);
    }

    private interface Drafting {
        void run() throws IOException;
    }

    /** Makes a request's records ready for capture, if it is admitted. */
    private void draft(long cookie, boolean durable, Drafting what) {
        capturing = true; // before it is asked whether requests are admitted: whoever closes the writer waits for it
        if (draftedBytes >= MOST_DRAFTED_BYTES || writer.overfull()) {
            captureDrafts(); // what may be waited for now must not wait with it
            capturing = true;
        }
        batched();
        batchCaptures++;
        try {
            if (writer.admits()) {
                what.run();
                requests.add(new Request(cookie, durable || writer.allDurable(), drafts.count()));
            } else {
                replies.failed(cookie, Failure.SHUTDOWN);
            }
        } catch (NoSpaceException e) {
            refusedForSpace(e);
            replies.failed(cookie, Failure.NO_SPACE);
        } catch (IOException e) {
            writer.captureFailed(e);
            replies.failed(cookie, Failure.IO_ERROR);
        }
    }

    private void refusedForSpace(IOException why) {
        writer.hindrances().refusedForSpace(String.valueOf(why.getMessage()), System.nanoTime());
    }

    /** Captures what was drafted, and answers what cannot be. */
    private void captureDrafts() {
        @Nullable Failure failed = null;
        try {
            if (!requests.isEmpty()) {
                writer.journal().capture(drafts, writer.term(), writer.token(), writer.committed());
                writer.hindrances().captured(System::nanoTime);
            }
        } catch (JournalNoSpaceException e) {
            refusedForSpace(e);
            failed = Failure.NO_SPACE;
        } catch (TermClosedException e) {
            failed = Failure.SHUTDOWN;
        } catch (IOException e) {
            writer.captureFailed(e);
            failed = Failure.IO_ERROR;
        } finally {
            for (Request r : requests) {
                if (r.drafts() <= drafts.captured()) {
                    int last = r.drafts() - 1;
                    long position = drafts.end(last);
                    opened(
                            position,
                            r.cookie(),
                            r.durable(),
                            writer.traced()
                                    .captured(
                                            position,
                                            batchAtNanos,
                                            drafts.offset(last),
                                            drafts.length(last),
                                            r.durable()));
                } else {
                    replies.failed(r.cookie(), failed == null ? Failure.IO_ERROR : failed);
                }
            }
            requests.clear();
            drafts.clear();
            draftedBytes = 0;
            capturing = false;
        }
    }

    /** To be answered when everything before {@code position} is committed, or durable. */
    private void opened(long position, long cookie, boolean durable, TracedWrites.@Nullable Traced traced) {
        synchronized (this) {
            (durable ? untilDurable : untilCommitted).add(new Open(position, cookie, batchAtNanos, traced));
        }
        if (durable) {
            durableWanted = Math.max(durableWanted, position);
        }
    }

    boolean capturing() {
        return capturing;
    }

    /** Answers what is done, at about {@code now}. Any thread. */
    void complete(long now) {
        long committed = writer.committed();
        long durable = writer.durablyCommitted();
        if (!writer.mayAnswer()) {
            return;
        }
        boolean any;
        synchronized (this) {
            any = ready(untilCommitted, committed) || ready(untilDurable, durable);
            if (any) {
                // Asked last: the requests count as done at this moment, even if the process sleeps right behind it.
                if (!writer.believes()) {
                    untilCommitted.clear();
                    untilDurable.clear();
                    replies.disconnect("the volume's lock is not known to be held any more");
                    return;
                }
                answer(untilCommitted, committed, now, writer.measures().write());
                answer(untilDurable, durable, now, writer.measures().durableWrite());
            }
        }
        if (any) {
            writer.hooks().beforeReply();
            replies.flush();
        }
    }

    void drop(String why) {
        synchronized (this) {
            untilCommitted.clear();
            untilDurable.clear();
        }
        replies.disconnect(why);
    }

    synchronized boolean idle() {
        return untilCommitted.isEmpty() && untilDurable.isEmpty();
    }

    private static boolean ready(ArrayDeque<Open> open, long position) {
        @Nullable Open first = open.peek();
        return first != null && first.position() <= position;
    }

    private void answer(ArrayDeque<Open> open, long position, long now, Durations took) {
        long beganNanos = 0;
        int together = 0;
        while (ready(open, position)) {
            Open done = open.remove();
            replies.done(done.cookie());
            writer.traced().answered(done.traced(), now);
            if (together > 0 && done.beganNanos() != beganNanos) {
                took.record(now - beganNanos, together);
                together = 0;
            }
            beganNanos = done.beganNanos();
            together++;
        }
        if (together > 0) {
            took.record(now - beganNanos, together);
        }
    }
}
