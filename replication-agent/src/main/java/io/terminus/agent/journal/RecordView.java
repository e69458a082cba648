package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import java.nio.ByteBuffer;
import java.util.UUID;

/**
 * Shows one record of a journal; moved from record to record, so a visitor copies what it wants to keep. One thread at a time.
 */
public final class RecordView {

    private final RecordCodec codec;
    private ByteBuffer segment = ByteBuffer.allocate(0);
    private int at;

    RecordView(UUID volume) {
        this.codec = new RecordCodec(volume);
    }

    /** Moves to a record and checks its header, because a page that left memory may come back from the disk damaged. */
    void moveTo(ByteBuffer bytes, int recordAt, long position) throws BadRecordException {
        BadRecordException.Rule broken = codec.checkHeader(bytes, recordAt, position);
        if (broken != null) {
            throw new BadRecordException(position, broken);
        }
        segment = bytes;
        at = recordAt;
    }

    public RecordKind kind() {
        return RecordKind.of(segment.get(at + KIND_AT));
    }

    public long position() {
        return segment.getLong(at + POSITION_AT);
    }

    /** The position behind the record, where the next one starts. */
    public long endPosition() {
        return position() + recordBytes(payloadLength());
    }

    public long term() {
        return segment.getLong(at + TERM_AT);
    }

    public long token() {
        return segment.getLong(at + TOKEN_AT);
    }

    /** {@link Journal#FUA} and {@link Journal#MAY_PUNCH}. */
    public int flags() {
        return Short.toUnsignedInt(segment.getShort(at + FLAGS_AT));
    }

    /** Where on the volume; 0 for TERM and PAD. */
    public long offset() {
        return segment.getLong(at + OFFSET_AT);
    }

    /** Bytes on the volume; 0 for TERM and PAD. */
    public long length() {
        return segment.getLong(at + LENGTH_AT);
    }

    public int payloadLength() {
        return segment.getInt(at + PAYLOAD_LENGTH_AT);
    }

    /** What the writer knew to be committed when it captured the record. */
    public long committed() {
        return segment.getLong(at + COMMITTED_AT);
    }

    /** What the writer had synced when it captured the record. */
    public long synced() {
        return segment.getLong(at + SYNCED_AT);
    }

    /** The writer's wall clock at capture, nanoseconds since 1970. */
    public long timeNanos() {
        return segment.getLong(at + TIME_AT);
    }

    /** The mapped bytes themselves, read-only; valid until the record is released. */
    public ByteBuffer payload() {
        return segment.slice(at + HEADER_BYTES, payloadLength()).asReadOnlyBuffer();
    }

    /** Whether the payload still matches its checksum. */
    public boolean payloadIntact() {
        return codec.payloadIntact(segment, at);
    }
}
