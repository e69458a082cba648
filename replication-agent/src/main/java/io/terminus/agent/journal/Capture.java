package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.HEADER_BYTES;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * A place that was reserved: [start, position) becomes a PAD if there is any, [position, end) the records. {@link Capturing} has a fixed
 * number of them, which it uses again and again; it sets the fields with the lock, and one thread fills the place without.
 */
final class Capture {

    private static final int MIN_SCRATCH_BYTES = 16 << 10;
    private static final ThreadLocal<@Nullable ByteBuffer> SCRATCH = new ThreadLocal<>();

    private final Contents contents;
    private final RecordCodec codec;
    long sequence;
    long start;
    long position;
    long end;
    long term;
    long origin;
    long token;
    long committed;
    long synced;
    long timeNanos;

    @Nullable
    Lineage opens;

    RecordBatch batch = new RecordBatch();
    int first;
    int behind;
    boolean filled;

    Capture(Contents contents) {
        this.contents = contents;
        this.codec = new RecordCodec(contents.spec.volume());
    }

    void records() throws IOException {
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
        contents.segment(position).write(contents.at(position) + HEADER_BYTES, payload.duplicate());
        ByteBuffer bytes = scratch(HEADER_BYTES);
        int rest = draft.recordBytes() - HEADER_BYTES - payloadBytes;
        if (rest > 0) {
            contents.segment(position).write(contents.at(position) + HEADER_BYTES + payloadBytes, zeros(bytes, rest));
            bytes.clear().limit(HEADER_BYTES);
        }
        header(bytes, 0, position, draft, checksum);
        contents.segment(position).write(contents.at(position), bytes);
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
        contents.segment(position).write(contents.at(position), bytes);
    }

    void pad(long from, long to) throws IOException {
        ByteBuffer header = scratch(HEADER_BYTES);
        header(header, 0, from, RecordKind.PAD, 0, 0, 0, (int) (to - from) - HEADER_BYTES, 0);
        contents.segment(from).write(contents.at(from), header);
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
}
