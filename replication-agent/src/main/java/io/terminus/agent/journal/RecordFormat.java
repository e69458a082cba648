package io.terminus.agent.journal;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * The layout of a record, the same on disk and on the wire. Little endian; every record starts at a multiple of 128, so a damaged length
 * never hides what follows, and no end of a segment is too small for a header.
 *
 * <pre>
 *   0                4        5        6                 8
 *  +----------------+--------+--------+-----------------+--------------------------------+
 *  | magic "TRMJ"   | version| kind   | flags           | position                       |
 *  +----------------+--------+--------+-----------------+--------------------------------+
 *   16                               24
 *  +---------------------------------+----------------------------------------------------+
 *  | term                            | origin: first 8 bytes of SHA-256(agent's name)      |
 *  +---------------------------------+----------------------------------------------------+
 *   32                               40
 *  +---------------------------------+----------------------------------------------------+
 *  | fencing token                   | offset on the volume                                |
 *  +---------------------------------+----------------------------------------------------+
 *   48                               56                60
 *  +---------------------------------+----------------+-----------------------------------+
 *  | length on the volume            | payload length | CRC32C of the payload             |
 *  +---------------------------------+----------------+-----------------------------------+
 *   64                               72
 *  +---------------------------------+----------------------------------------------------+
 *  | committed position at capture   | position synced by the writer at capture           |
 *  +---------------------------------+----------------------------------------------------+
 *   80                               88                                  124         128
 *  +---------------------------------+-----------------------------------+--------------+
 *  | wall clock, ns since 1970       | reserved, zero                    | header CRC32C|
 *  +---------------------------------+-----------------------------------+--------------+
 *   128
 *  +------------------------------------------------------ - - -+ - - - - - - - - - - - -
 *  | payload                                                     | zeros up to the next 128
 *  +------------------------------------------------------ - - -+ - - - - - - - - - - - -
 * </pre>
 *
 * <p>Both checksums start over (volume uuid, 16 bytes as in its text; origin, 8; term, 8), the payload's then over the position, 8;
 * so a record of another volume, agent, term, lap or place never passes, whatever segment it is found in.
 *
 * <pre>
 *  kind          offset, length       payload
 *  WRITE         where it goes        length bytes, 1 to the volume's maximum
 *  WRITE_ZEROES  1 .. 2^31-1 bytes    none
 *  TERM          0, 0                 the whole lineage, this term last
 *  PAD           0, 0                 a multiple of 128 bytes of anything, not checksummed
 * </pre>
 *
 * <p>A record is of the term in force at its position. The one exception is a PAD that fills a segment to its end because the TERM
 * record of a new term did not fit: it is of the new term already, and counts only together with that TERM record. Otherwise it
 * would be a record of the old term that the old term's writer never wrote.
 */
final class RecordFormat {

    static final int ALIGNMENT = 128;
    static final int HEADER_BYTES = 128;
    static final int MAX_PAYLOAD_BYTES = 1 << 20;
    static final long MAX_ZEROES_BYTES = Integer.MAX_VALUE;

    static final int MAGIC = 'T' | 'R' << 8 | 'M' << 16 | 'J' << 24;
    static final byte VERSION = 1;
    static final int KNOWN_FLAGS = Journal.FUA | Journal.MAY_PUNCH;

    static final int MAGIC_AT = 0;
    static final int VERSION_AT = 4;
    static final int KIND_AT = 5;
    static final int FLAGS_AT = 6;
    static final int POSITION_AT = 8;
    static final int TERM_AT = 16;
    static final int ORIGIN_AT = 24;
    static final int TOKEN_AT = 32;
    static final int OFFSET_AT = 40;
    static final int LENGTH_AT = 48;
    static final int PAYLOAD_LENGTH_AT = 56;
    static final int PAYLOAD_CHECKSUM_AT = 60;
    static final int COMMITTED_AT = 64;
    static final int SYNCED_AT = 72;
    static final int TIME_AT = 80;
    static final int RESERVED_AT = 88;
    static final int HEADER_CHECKSUM_AT = 124;

    private RecordFormat() {}

    /** Bytes that a record with that payload takes in the journal. */
    static int recordBytes(int payloadBytes) {
        return HEADER_BYTES + (payloadBytes + ALIGNMENT - 1 & -ALIGNMENT);
    }

    /** What stands for an agent in a record; the lineage names it in full. */
    static long originHash(String agent) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(agent.getBytes(StandardCharsets.UTF_8));
            return ByteBuffer.wrap(hash).getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
