package io.terminus.cli.acceptance;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * What a write puts into a sector: a sector that is read tells which write it is from, and that no bit of it is from another.
 *
 * <pre>
 *   0            8            16           24                                   512
 *  +------------+------------+------------+------------------------------------+
 *  | run        | write      | sector     | 61 numbers that follow from these  |
 *  +------------+------------+------------+------------------------------------+
 * </pre>
 *
 * @param run told from every other run, so that nothing that an earlier one left passes
 */
record Stamp(long run) {

    static final int SECTOR_BYTES = 512;
    /** No sector that was ever written holds this. */
    static final long FOREIGN = -1;
    /** What a sector of zeros is read as. */
    static final long ZEROS = 0;

    private static final int WORDS = SECTOR_BYTES / Long.BYTES;
    private static final long STEP = 0x9e3779b97f4a7c15L;

    /** The payload of a write: positive, unique within the run. */
    byte[] payload(long write, long firstSector, int sectors) {
        ByteBuffer bytes = ByteBuffer.allocate(sectors * SECTOR_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < sectors; i++) {
            bytes.putLong(run).putLong(write).putLong(firstSector + i);
            long word = seed(write, firstSector + i);
            for (int k = 3; k < WORDS; k++) {
                word = word * STEP + k;
                bytes.putLong(word);
            }
        }
        return bytes.array();
    }

    /** Which write each of the sectors is from, or {@link #ZEROS} or {@link #FOREIGN}. */
    long[] read(byte[] data, long firstSector) {
        ByteBuffer bytes = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        long[] writes = new long[data.length / SECTOR_BYTES];
        for (int i = 0; i < writes.length; i++) {
            writes[i] = readOne(bytes, i * SECTOR_BYTES, firstSector + i);
        }
        return writes;
    }

    private long readOne(ByteBuffer bytes, int at, long sector) {
        long write = bytes.getLong(at + 8);
        if (bytes.getLong(at) != run || bytes.getLong(at + 16) != sector || write <= 0) {
            for (int k = 0; k < WORDS; k++) {
                if (bytes.getLong(at + k * Long.BYTES) != 0) {
                    return FOREIGN;
                }
            }
            return ZEROS;
        }
        long word = seed(write, sector);
        for (int k = 3; k < WORDS; k++) {
            word = word * STEP + k;
            if (bytes.getLong(at + k * Long.BYTES) != word) {
                return FOREIGN;
            }
        }
        return write;
    }

    private long seed(long write, long sector) {
        long mixed = (run ^ write * STEP) + sector * 0xff51afd7ed558ccdL;
        return mixed ^ mixed >>> 29;
    }
}
