package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import io.terminus.agent.journal.BadRecordException.Rule;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.UUID;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Writes and checks single records in a segment's bytes. Keeps its scratch memory, so that neither allocates; therefore one thread
 * at a time.
 */
final class RecordCodec {

    private static final int SEED_TERM_AT = 24;
    private static final int SEED_POSITION_AT = 32;
    private static final int HEADER_SEED_BYTES = 32;
    private static final int PAYLOAD_SEED_BYTES = 40;

    private final CRC32C crc = new CRC32C();
    private final byte[] seed = new byte[PAYLOAD_SEED_BYTES];
    private final ByteBuffer seedFields = ByteBuffer.wrap(seed).order(ByteOrder.LITTLE_ENDIAN);
    private final byte[] header = new byte[HEADER_BYTES];
    private final ByteBuffer headerFields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
    private @Nullable ByteBuffer viewed;
    private @Nullable ByteBuffer view;

    RecordCodec(UUID volume) {
        ByteBuffer.wrap(seed).putLong(volume.getMostSignificantBits()).putLong(volume.getLeastSignificantBits());
    }

    /** Writes a header into {@code segment} at {@code at}, in one piece; the payload is there already. */
    void writeHeader(
            ByteBuffer segment,
            int at,
            RecordKind kind,
            int flags,
            long position,
            long term,
            long origin,
            long token,
            long offset,
            long length,
            int payloadLength,
            int payloadChecksum,
            long committed,
            long synced,
            long timeNanos) {
        headerFields
                .putInt(MAGIC_AT, MAGIC)
                .put(VERSION_AT, VERSION)
                .put(KIND_AT, kind.code)
                .putShort(FLAGS_AT, (short) flags)
                .putLong(POSITION_AT, position)
                .putLong(TERM_AT, term)
                .putLong(ORIGIN_AT, origin)
                .putLong(TOKEN_AT, token)
                .putLong(OFFSET_AT, offset)
                .putLong(LENGTH_AT, length)
                .putInt(PAYLOAD_LENGTH_AT, payloadLength)
                .putInt(PAYLOAD_CHECKSUM_AT, payloadChecksum)
                .putLong(COMMITTED_AT, committed)
                .putLong(SYNCED_AT, synced)
                .putLong(TIME_AT, timeNanos)
                .putInt(HEADER_CHECKSUM_AT, headerChecksum(origin, term));
        segment.put(at, header);
    }

    /** The checksum of a payload that lies behind the header place {@code at}. */
    int payloadChecksum(ByteBuffer segment, int at, int payloadLength, long origin, long term, long position) {
        seedFields.putLong(16, origin).putLong(SEED_TERM_AT, term).putLong(SEED_POSITION_AT, position);
        crc.reset();
        crc.update(seed, 0, PAYLOAD_SEED_BYTES);
        ByteBuffer bytes = viewOf(segment);
        bytes.limit(at + HEADER_BYTES + payloadLength).position(at + HEADER_BYTES);
        crc.update(bytes);
        return (int) crc.getValue();
    }

    /** The checksum of a payload that lies anywhere, of what remains of it. */
    int payloadChecksum(ByteBuffer payload, long origin, long term, long position) {
        seedFields.putLong(16, origin).putLong(SEED_TERM_AT, term).putLong(SEED_POSITION_AT, position);
        crc.reset();
        crc.update(seed, 0, PAYLOAD_SEED_BYTES);
        crc.update(payload.duplicate());
        return (int) crc.getValue();
    }

    /**
     * The first rule that the header at {@code at} breaks, by itself: nothing is known of terms, and the payload is not looked
     * at. A header that passes can be read field by field, and the record lies within its segment.
     */
    @Nullable
    Rule checkHeader(ByteBuffer segment, int at, long position) {
        if (segment.getInt(at + MAGIC_AT) != MAGIC) {
            return Rule.MAGIC;
        }
        segment.get(at, header);
        ByteBuffer fields = headerFields;
        if (fields.get(VERSION_AT) != VERSION) {
            return Rule.VERSION;
        }
        if (fields.getLong(POSITION_AT) != position) {
            return Rule.POSITION;
        }
        if (fields.getInt(HEADER_CHECKSUM_AT) != headerChecksum(fields.getLong(ORIGIN_AT), fields.getLong(TERM_AT))) {
            return Rule.HEADER_CHECKSUM;
        }
        if (!RecordKind.known(fields.get(KIND_AT))
                || (fields.getShort(FLAGS_AT) & ~KNOWN_FLAGS) != 0
                || !reservedIsZero(fields)) {
            return Rule.FIELDS;
        }
        if (!lengthsFit(fields, segment.capacity() - at)) {
            return Rule.LENGTH;
        }
        long committed = fields.getLong(COMMITTED_AT);
        long synced = fields.getLong(SYNCED_AT);
        if (committed < 0 || committed > position || synced < 0 || synced > position) {
            return Rule.CLAIMS;
        }
        return null;
    }

    /**
     * Whether a genuine header of another version stands there: whatever else a version changes, magic, version, position, term, origin,
     * the header's length and its checksum stay what and where they are.
     */
    boolean isOfUnknownVersion(ByteBuffer segment, int at, long position) {
        if (segment.getInt(at + MAGIC_AT) != MAGIC
                || segment.get(at + VERSION_AT) == VERSION
                || segment.getLong(at + POSITION_AT) != position) {
            return false;
        }
        segment.get(at, header);
        return headerFields.getInt(HEADER_CHECKSUM_AT)
                == headerChecksum(headerFields.getLong(ORIGIN_AT), headerFields.getLong(TERM_AT));
    }

    /** Whether the payload of the record at {@code at}, whose header was checked, matches its checksum. */
    boolean payloadIntact(ByteBuffer segment, int at) {
        if (segment.get(at + KIND_AT) == RecordKind.PAD.code) {
            return true;
        }
        int expected = segment.getInt(at + PAYLOAD_CHECKSUM_AT);
        return expected
                == payloadChecksum(
                        segment,
                        at,
                        segment.getInt(at + PAYLOAD_LENGTH_AT),
                        segment.getLong(at + ORIGIN_AT),
                        segment.getLong(at + TERM_AT),
                        segment.getLong(at + POSITION_AT));
    }

    /** Of the header in {@link #header}. */
    private int headerChecksum(long origin, long term) {
        seedFields.putLong(16, origin).putLong(SEED_TERM_AT, term);
        crc.reset();
        crc.update(seed, 0, HEADER_SEED_BYTES);
        crc.update(header, 0, HEADER_CHECKSUM_AT);
        return (int) crc.getValue();
    }

    private static boolean reservedIsZero(ByteBuffer fields) {
        return (fields.getLong(RESERVED_AT)
                        | fields.getLong(RESERVED_AT + 8)
                        | fields.getLong(RESERVED_AT + 16)
                        | fields.getLong(RESERVED_AT + 24)
                        | fields.getInt(RESERVED_AT + 32))
                == 0;
    }

    private static boolean lengthsFit(ByteBuffer fields, int segmentRest) {
        RecordKind kind = RecordKind.of(fields.get(KIND_AT));
        long offset = fields.getLong(OFFSET_AT);
        long length = fields.getLong(LENGTH_AT);
        int payload = fields.getInt(PAYLOAD_LENGTH_AT);
        if (payload < 0 || payload > segmentRest - HEADER_BYTES || recordBytes(payload) > segmentRest) {
            return false;
        }
        boolean onVolume = offset >= 0 && length >= 1 && offset <= Long.MAX_VALUE - length;
        boolean nowhere = offset == 0 && length == 0;
        return switch (kind) {
            case WRITE -> onVolume && payload == length && payload <= MAX_PAYLOAD_BYTES;
            case WRITE_ZEROES -> onVolume && payload == 0 && length <= MAX_ZEROES_BYTES;
            case TERM -> nowhere && payload >= 1 && payload <= MAX_PAYLOAD_BYTES;
            case PAD -> nowhere && payload % ALIGNMENT == 0;
        };
    }

    /** A view of the segment's bytes whose position and limit are this codec's own. */
    @SuppressWarnings("ReferenceEquality") // the same segment, not one with the same bytes
    private ByteBuffer viewOf(ByteBuffer segment) {
        ByteBuffer kept = view;
        if (kept == null || viewed != segment) {
            kept = segment.duplicate();
            view = kept;
            viewed = segment;
        }
        return kept.clear();
    }
}
