package io.terminus.lockmgr.ha;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes an entry out of Ratis's log of which only the beginning is there. Ratis lays its files out with zeros before it writes, so what a
 * power loss leaves of an entry has zeros behind it; Ratis takes that for damage and does not start, on all members of a group at once if
 * they lost their power together. Nobody was told of such an entry: that comes behind the sync.
 *
 * <p>What is damaged otherwise is left as it is, for Ratis to refuse: entries that count may be behind it.
 *
 * <pre>
 *   "RaftLog1"   8
 *   entries, each: length n, as protobuf's varint; n bytes; CRC32C of both, 4, big-endian
 *   zeros to the end of the file
 * </pre>
 */
final class TornTail {

    private static final Logger LOG = LoggerFactory.getLogger(TornTail.class);

    private static final String OPEN = "log_inprogress_";
    private static final int HEADER_BYTES = 8;
    private static final int CHECKSUM_BYTES = 4;
    private static final int VARINT_BYTES = 5;
    private static final int LONG_VARINT_BYTES = 10;

    /** Tags of the fields of Ratis's LogEntryProto. */
    private static final int TERM = 0x08;

    private static final int INDEX = 0x10;
    private static final int MESSAGE_3 = 0x1a;
    private static final int MESSAGE_4 = 0x22;
    private static final int MESSAGE_5 = 0x2a;

    private TornTail() {}

    /** @param directory of the group in the storage directory of its member; need not be there */
    static void takeOut(Path directory) throws IOException {
        Path current = directory.resolve("current");
        if (!Files.isDirectory(current)) {
            return;
        }
        List<Path> open;
        try (Stream<Path> files = Files.list(current)) {
            open = files.filter(file -> file.getFileName().toString().startsWith(OPEN))
                    .toList();
        }
        for (Path log : open) {
            byte[] bytes = Files.readAllBytes(log);
            int torn = find(bytes);
            if (torn >= 0) {
                LOG.warn("{}: of the entry at byte {} only the beginning was written; it is taken out", log, torn);
                try (FileChannel file = FileChannel.open(log, StandardOpenOption.WRITE)) {
                    file.truncate(torn);
                    file.force(true);
                }
            }
        }
    }

    /** Where an entry begins of which the beginning alone is there; -1: nowhere. */
    static int find(byte[] log) {
        int at = HEADER_BYTES;
        while (at < log.length && log[at] != 0) {
            long length = 0;
            int body = at;
            do {
                length |= (long) (log[body] & 0x7f) << (7 * (body - at));
            } while (log[body++] < 0 && body < log.length && body - at < VARINT_BYTES);
            long end = body + length + CHECKSUM_BYTES;
            if (end > log.length) {
                return -1; // Ratis does without what the file's end cuts off.
            }
            int checksumAt = (int) end - CHECKSUM_BYTES;
            byte[] checksum = checksum(log, at, checksumAt);
            int right = 0;
            while (right < CHECKSUM_BYTES && log[checksumAt + right] == checksum[right]) {
                right++;
            }
            if (right < CHECKSUM_BYTES) {
                // As far as it was written it is right, and nothing was written behind.
                return isZero(log, checksumAt + right) && isAsLong(log, body, checksumAt) ? at : -1;
            }
            at = (int) end;
        }
        return -1;
    }

    /**
     * Whether the entry's own fields say its length as well, as far as they are there. A damaged length may lead to the zeros behind whole
     * entries, and those count.
     *
     * <pre>
     *   LogEntryProto: term (field 1), index (2), each a varint, absent if zero; then one message (3, 4 or 5) to the end
     * </pre>
     */
    private static boolean isAsLong(byte[] log, int body, int end) {
        int written = log.length;
        while (written > 0 && log[written - 1] == 0) {
            written--;
        }
        int at = body;
        while (at < end) {
            if (at >= written) {
                return true;
            }
            int tag = log[at++];
            long value = 0;
            int from = at;
            do {
                if (at >= end || at - from >= LONG_VARINT_BYTES) {
                    return at >= written;
                }
                value |= (long) (log[at] & 0x7f) << (7 * (at - from));
            } while (log[at++] < 0);
            if (tag == MESSAGE_3 || tag == MESSAGE_4 || tag == MESSAGE_5) {
                return at >= written || at + value == end;
            }
            if (tag != TERM && tag != INDEX) {
                return false;
            }
        }
        return false;
    }

    private static byte[] checksum(byte[] log, int from, int to) {
        CRC32C sum = new CRC32C();
        sum.update(log, from, to - from);
        return ByteBuffer.allocate(CHECKSUM_BYTES).putInt((int) sum.getValue()).array();
    }

    private static boolean isZero(byte[] log, int from) {
        for (int i = from; i < log.length; i++) {
            if (log[i] != 0) {
                return false;
            }
        }
        return true;
    }
}
