package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.MAX_ZEROES_BYTES;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Records to be captured together, in this order: what one read of a client's socket brought. Next to each other in the journal
 * they cost one call of the kernel, not one each. Payloads stay the caller's, unchanged until the batch is captured. For one thread;
 * to be used again after {@link #clear}.
 */
public final class RecordBatch {

    /** A record before it has a place. */
    record Draft(
            RecordKind kind,
            int flags,
            long offset,
            long length,
            @Nullable ByteBuffer payload) {

        int payloadBytes() {
            return payload == null ? 0 : payload.remaining();
        }

        int recordBytes() {
            return RecordFormat.recordBytes(payloadBytes());
        }

        /** Its payload is written from where it is. A heap buffer's is not: Java would copy it for the call. */
        boolean goesApart() {
            return payload != null && payload.remaining() >= APART_BYTES && payload.isDirect();
        }
    }

    /** From here on to copy a payload costs more than another call of the kernel. */
    static final int APART_BYTES = 128 << 10;

    private final List<Draft> drafts = new ArrayList<>();
    private long[] ends = new long[16];
    private int captured;

    /**
     * A write of what remains of {@code payload}, 1 to {@link Journal#maxPayloadBytes} bytes; a longer write is the caller's to split.
     *
     * @param flags {@link Journal#FUA} or 0
     */
    public void write(long offset, ByteBuffer payload, int flags) {
        int length = payload.remaining();
        if (length < 1) {
            throw new IllegalArgumentException("a payload of 0 bytes: a record has at least 1");
        }
        requireRange(offset, length);
        requireFlags(flags, Journal.FUA);
        drafts.add(new Draft(RecordKind.WRITE, flags, offset, length, payload));
    }

    /**
     * [offset, offset + length) reads as zeros, 1 to 2^31-1 bytes.
     *
     * @param flags any of {@link Journal#FUA} and {@link Journal#MAY_PUNCH}
     */
    public void zeroes(long offset, long length, int flags) {
        if (length < 1 || length > MAX_ZEROES_BYTES) {
            throw new IllegalArgumentException("zeroes of " + length + " bytes: a record has 1 to " + MAX_ZEROES_BYTES);
        }
        requireRange(offset, length);
        requireFlags(flags, Journal.FUA | Journal.MAY_PUNCH);
        drafts.add(new Draft(RecordKind.WRITE_ZEROES, flags, offset, length, null));
    }

    static RecordBatch ofTerm(ByteBuffer lineage) {
        RecordBatch batch = new RecordBatch();
        batch.drafts.add(new Draft(RecordKind.TERM, 0, 0, 0, lineage));
        return batch;
    }

    public int count() {
        return drafts.size();
    }

    /** So many records, the first ones, are published: all, unless capturing the batch failed. */
    public int captured() {
        return captured;
    }

    /** The position behind a captured record. */
    public long end(int index) {
        if (index >= captured) {
            throw new IllegalArgumentException("record " + index + ", and " + captured + " are captured");
        }
        return ends[index];
    }

    /** Where on the volume a record begins. */
    public long offset(int index) {
        return drafts.get(index).offset();
    }

    /** How much of the volume it is about. */
    public long length(int index) {
        return drafts.get(index).length();
    }

    /** Forgets the records. */
    public void clear() {
        drafts.clear();
        captured = 0;
    }

    Draft draft(int index) {
        return drafts.get(index);
    }

    /** The index behind the last record, from {@code first} on, to be written together within so many bytes; one does. */
    int within(int first, int bytes) {
        if (drafts.get(first).goesApart()) {
            return first + 1;
        }
        int behind = first;
        for (int left = bytes; behind < drafts.size(); behind++) {
            left -= drafts.get(behind).recordBytes();
            if (left < 0 || drafts.get(behind).goesApart()) {
                break;
            }
        }
        return behind;
    }

    int bytes(int from, int to) {
        int sum = 0;
        for (int i = from; i < to; i++) {
            sum += drafts.get(i).recordBytes();
        }
        return sum;
    }

    /** The records up to there are published; the first of them began at {@code position}. */
    void captured(int upTo, long position) {
        if (ends.length < drafts.size()) {
            ends = Arrays.copyOf(ends, Math.max(drafts.size(), 2 * ends.length));
        }
        long end = position;
        for (int i = captured; i < upTo; i++) {
            end += drafts.get(i).recordBytes();
            ends[i] = end;
        }
        captured = upTo;
    }

    private static void requireRange(long offset, long length) {
        if (offset < 0 || offset > Long.MAX_VALUE - length) {
            throw new IllegalArgumentException("offset " + offset + " with length " + length + " is on no volume");
        }
    }

    private static void requireFlags(int flags, int allowed) {
        if ((flags & ~allowed) != 0) {
            throw new IllegalArgumentException("flags " + flags + ": only " + allowed + " are known here");
        }
    }
}
