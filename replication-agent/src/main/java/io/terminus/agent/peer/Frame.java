package io.terminus.agent.peer;

import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * The frames of the peer protocol, little endian.
 *
 * <pre>
 *   0        4      5      6      8            12         16
 *  +--------+------+------+------+------------+----------+---- - -
 *  | "TRP1" | type | vers | 0    | body bytes | crc32c   | body
 *  +--------+------+------+------+------------+----------+---- - -
 *   the checksum covers bytes 0..11 and the body
 *
 *  RUN     from i64 | run bytes i32 | 0 i32 | committed i64 | sync up to i64 | floor i64, then that many journal bytes:
 *          within one segment, protected by their records' own checksums; a run may begin and end inside a record
 *  STATUS  end i64 | committed i64 | sync up to i64 | floor i64          what a RUN says, when there is nothing to send
 *  PACKED  from i64 | run bytes i32 | packed bytes i32 | committed i64 | sync up to i64 | floor i64 | packed bytes
 *          a RUN's bytes as one zstd frame or LZ4 block, in the body; only where both sides have that feature
 *  ACK     received i64 | durable i64 | applied i64                      cumulative; answers every RUN and STATUS
 *          | copies written i64 | copies durable i64                     cumulative; 0 where none are under way
 *          | counted i64 | lands up to i64                              bytes of this connection so far, and what its
 *                                                                        journal has room for; with the feature
 *  CONFIG  version i64 | value block
 *  COPY    sequence i64 | position i64 | offset i64 | length i64 | committed i64 | kind i32 | 0 i32 | bytes
 *  COMPARED  sequence i64 | blocks i64                                  bit b: block b of that item's range differs
 *  HELLO, ACCEPTED, REFUSED, FETCH, NEEDS, REBUILD   messages of terminus.agent.v1
 * </pre>
 */
enum Frame {
    HELLO(1),
    ACCEPTED(2),
    REFUSED(3),
    RUN(4),
    STATUS(5),
    ACK(6),
    CONFIG(7),
    FETCH(8),
    NEEDS(9),
    REBUILD(10),
    COPY(11),
    COMPARED(12),
    PACKED(13);

    static final int HEADER_BYTES = 16;
    static final int RUN_BODY_BYTES = 40;
    static final int STATUS_BODY_BYTES = 32;
    static final int ACK_BODY_BYTES = 40;
    static final int CREDIT_ACK_BODY_BYTES = 56;

    /** From agents that know of no copies. */
    static final int SHORT_ACK_BODY_BYTES = 24;

    static final int COPY_LEAST_BYTES = 48;
    static final int COMPARED_BODY_BYTES = 16;
    private static final int CONFIG_LEAST_BYTES = 8;

    /** A lineage of 512 terms with long names fits; nothing longer is a frame of ours. */
    static final int MAX_BODY_BYTES = 256 << 10;

    private static final int MAGIC = 0x31505254; // "TRP1"
    private static final byte VERSION = 1;
    private static final Frame[] BY_CODE = {
        null, HELLO, ACCEPTED, REFUSED, RUN, STATUS, ACK, CONFIG, FETCH, NEEDS, REBUILD, COPY, COMPARED, PACKED
    };

    private final byte code;

    Frame(int code) {
        this.code = (byte) code;
    }

    /** A head whose body goes on in {@code rest}: put what is before that, then {@link #seal(ByteBuffer, ByteBuffer)}. */
    ByteBuffer beginHead(ByteBuffer b, int headBytes, int restBytes) {
        return begin(b, headBytes + restBytes);
    }

    /** Seals a head whose body's rest is elsewhere. */
    static ByteBuffer seal(ByteBuffer head, ByteBuffer rest) {
        head.flip();
        CRC32C crc = new CRC32C();
        crc.update(head.slice(0, 12));
        crc.update(head.slice(HEADER_BYTES, head.limit() - HEADER_BYTES));
        crc.update(rest.duplicate());
        return head.putInt(12, (int) crc.getValue());
    }

    /** A buffer with room for a frame of this body; put the body, then {@link #seal}. */
    ByteBuffer begin(int bodyBytes) {
        ByteBuffer b = ByteBuffer.allocateDirect(HEADER_BYTES + bodyBytes).order(ByteOrder.LITTLE_ENDIAN);
        return begin(b, bodyBytes);
    }

    /** The same in a buffer of the caller's. */
    ByteBuffer begin(ByteBuffer b, int bodyBytes) {
        b.clear();
        return b.putInt(MAGIC)
                .put(code)
                .put(VERSION)
                .putShort((short) 0)
                .putInt(bodyBytes)
                .putInt(0);
    }

    static ByteBuffer seal(ByteBuffer b) {
        b.flip();
        return b.putInt(12, crc(b, 0, b.limit() - HEADER_BYTES));
    }

    ByteBuffer of(byte[] body) {
        return seal(begin(body.length).put(body));
    }

    /** The body's length that a header announces; the header must be there as a whole. */
    static int bodyBytes(ByteBuffer b, int at) throws RefusedException {
        if (b.getInt(at) != MAGIC) {
            throw new RefusedException(Why.BAD_MESSAGE, "no frame of the peer protocol begins here");
        }
        if (b.get(at + 5) != VERSION) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "a frame of layout " + b.get(at + 5) + "; this agent reads layout " + VERSION
                            + " of the peer protocol's frames");
        }
        int body = b.getInt(at + 8);
        if (body < 0 || body > MAX_BODY_BYTES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "a frame of " + body + " bytes; 0 to " + MAX_BODY_BYTES + " are allowed");
        }
        return body;
    }

    /** The type of a frame that is there as a whole. */
    static Frame check(ByteBuffer b, int at, int bodyBytes) throws RefusedException {
        if (b.getInt(at + 12) != crc(b, at, bodyBytes)) {
            throw new RefusedException(Why.BAD_MESSAGE, "a frame's checksum does not match");
        }
        int type = b.get(at + 4);
        if (type < 1 || type >= BY_CODE.length) {
            throw new RefusedException(Why.BAD_MESSAGE, "unknown frame type " + type);
        }
        Frame frame = BY_CODE[type];
        int fixed = switch (frame) {
            case RUN -> RUN_BODY_BYTES;
            case STATUS -> STATUS_BODY_BYTES;
            case ACK ->
                bodyBytes == SHORT_ACK_BODY_BYTES || bodyBytes == CREDIT_ACK_BODY_BYTES ? bodyBytes : ACK_BODY_BYTES;
            case COMPARED -> COMPARED_BODY_BYTES;
            case HELLO, ACCEPTED, REFUSED, CONFIG, FETCH, NEEDS, REBUILD, COPY, PACKED -> bodyBytes;
        };
        if (frame == CONFIG && bodyBytes < CONFIG_LEAST_BYTES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "CONFIG with a body of " + bodyBytes + " bytes, not even its version");
        }
        if (frame == COPY && bodyBytes < COPY_LEAST_BYTES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "COPY with a body of " + bodyBytes + " bytes, not even its fields");
        }
        if (frame == PACKED && bodyBytes <= RUN_BODY_BYTES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "PACKED with a body of " + bodyBytes + " bytes, no run behind its fields");
        }
        if (bodyBytes != fixed) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    frame + " with a body of " + bodyBytes + " bytes, not "
                            + (frame == ACK
                                    ? SHORT_ACK_BODY_BYTES + ", " + ACK_BODY_BYTES + " or " + CREDIT_ACK_BODY_BYTES
                                    : fixed));
        }
        return frame;
    }

    private static int crc(ByteBuffer b, int at, int bodyBytes) {
        CRC32C crc = new CRC32C();
        crc.update(b.slice(at, 12));
        crc.update(b.slice(at + HEADER_BYTES, bodyBytes));
        return (int) crc.getValue();
    }
}
