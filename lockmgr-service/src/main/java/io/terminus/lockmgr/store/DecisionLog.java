package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/**
 * One generation of the log: a file that only grows. One decision is one record, so a crash leaves all of it or nothing.
 * Everything is big-endian.
 *
 * <pre>
 *   file header                                   record, at once behind the header or the record before
 *   offset  length                                offset  length
 *        0       8  "TERMLOCK"                         0       4  length n of the payload, at least 1
 *        8       4  format version, 1                  4       4  CRC32C of bytes 0..3 and 8..23+n
 *       12       4  CRC32C of bytes 0..11, 16..31      8       8  sequence, one more than the record before,
 *       16       8  generation                                    also over generations
 *       24       8  sequence of the first record      16       8  bytes of this file known to be synced when this
 *                                                                 record was made
 *                                                     24       n  items, see LogItemCodec
 * </pre>
 *
 * <p>Where a record is bad, the end of the log has to be told from a damaged log. A killed process leaves a prefix of what
 * it was writing, so under the same kernel only a record that the file is too short for is a torn end. After a power loss
 * anything behind the last sync may be missing or zero, and is a torn end unless a good record further on says that it had
 * been synced. A torn end is cut: nothing in it was acknowledged as synced, and after a power loss what was not synced is
 * given up anyway. All else is damage and refused. What cannot be told is damage to the length of the very last record;
 * agents notice that by the version of the value block they remember.
 *
 * <p>One owner thread. A failed write or sync leaves the log unusable.
 */
final class DecisionLog implements AutoCloseable {

    static final int VERSION = 1;
    static final int FILE_HEADER_BYTES = 32;
    static final int RECORD_HEADER_BYTES = 24;

    private static final byte[] MAGIC = "TERMLOCK".getBytes(US_ASCII);

    /** Appended records are written when so many bytes wait, at the latest by {@link #flush}. */
    private static final int FLUSH_AT_BYTES = 1 << 20;

    private final FileChannel channel;
    private final long generation;
    private ByteBuffer waiting = ByteBuffer.allocate(FLUSH_AT_BYTES + (64 << 10));
    private long sequence;
    private long writtenBytes;
    private long syncedBytes;

    /** What a file holds. {@code endBytes} is where its good records end; what lies behind is a torn end. */
    record Scan(long generation, long lastSequence, long endBytes, boolean torn) {}

    /** Goes on behind the good records of {@code scan}; the torn end is cut. */
    static DecisionLog reopen(Path file, Scan scan) throws IOException {
        FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
        try {
            channel.truncate(scan.endBytes());
            channel.position(scan.endBytes());
            return new DecisionLog(channel, scan.generation(), scan.lastSequence(), scan.endBytes(), 0);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /** A new file with a header; nothing of it is synced. */
    static DecisionLog create(Path file, long generation, long lastSequence) throws IOException {
        FileChannel channel = FileChannel.open(
                file, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        try {
            ByteBuffer header = ByteBuffer.allocate(FILE_HEADER_BYTES);
            header.put(MAGIC).putInt(VERSION).putInt(0).putLong(generation).putLong(lastSequence + 1);
            header.putInt(12, headerChecksum(header)).flip();
            writeFully(channel, header);
            return new DecisionLog(channel, generation, lastSequence, FILE_HEADER_BYTES, 0);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    DecisionLog(FileChannel channel, long generation, long lastSequence, long writtenBytes, long syncedBytes) {
        this.channel = channel;
        this.generation = generation;
        this.sequence = lastSequence;
        this.writtenBytes = writtenBytes;
        this.syncedBytes = syncedBytes;
    }

    /**
     * Finds the end of the good records.
     *
     * @param bootId of the running kernel
     * @throws StoreRefusedException if the file is of another version or damaged
     */
    static Scan scan(Path file, String bootId) throws IOException {
        return reading(file, bytes -> scan(file, bytes, bootId));
    }

    /** Hands over every item of the good records, in order. */
    static void replay(Path file, Scan scan, Consumer<LogItem> to) throws IOException {
        reading(file, bytes -> {
            int at = FILE_HEADER_BYTES;
            while (at < scan.endBytes()) {
                int length = bytes.getInt(at);
                ByteBuffer payload = bytes.slice(at + RECORD_HEADER_BYTES, length);
                while (payload.hasRemaining()) {
                    to.accept(LogItemCodec.read(payload));
                }
                at += RECORD_HEADER_BYTES + length;
            }
            return at;
        });
    }

    long generation() {
        return generation;
    }

    long lastSequence() {
        return sequence;
    }

    /** Length of the file once everything appended is written. */
    long lengthBytes() {
        return writtenBytes + waiting.position();
    }

    boolean synced() {
        return syncedBytes == lengthBytes();
    }

    /** One decision. It is in the page cache after {@link #flush}, on disk after {@link #sync}. */
    void append(List<LogItem> items) throws IOException {
        int start = waiting.position();
        waiting = roomForHeader(waiting);
        waiting.position(start + RECORD_HEADER_BYTES);
        for (LogItem item : items) {
            waiting = LogItemCodec.write(waiting, item);
        }
        int length = waiting.position() - start - RECORD_HEADER_BYTES;
        waiting.putInt(start, length).putLong(start + 8, sequence + 1).putLong(start + 16, syncedBytes);
        waiting.putInt(start + 4, recordChecksum(waiting, start, length));
        sequence++;
        if (waiting.position() >= FLUSH_AT_BYTES) {
            flush();
        }
    }

    /** Writes what was appended, with one write where the kernel takes it all. */
    void flush() throws IOException {
        if (waiting.position() == 0) {
            return;
        }
        int length = waiting.position();
        writeFully(channel, waiting.flip());
        waiting.clear();
        writtenBytes += length;
    }

    void sync() throws IOException {
        flush();
        if (syncedBytes < writtenBytes) {
            channel.force(true);
            syncedBytes = writtenBytes;
        }
    }

    /** Does not flush or sync: after a failure that would be wrong. */
    @Override
    public void close() throws IOException {
        channel.close();
    }

    private static Scan scan(Path file, ByteBuffer bytes, String bootId) {
        checkHeader(file, bytes);
        long generation = bytes.getLong(16);
        long lastSequence = bytes.getLong(24) - 1;
        String lastBootId = "";
        int at = FILE_HEADER_BYTES;
        while (at < bytes.limit() && goodRecord(bytes, at) && bytes.getLong(at + 8) == lastSequence + 1) {
            if (decode(file, bytes, at) instanceof LogItem.Opening opening) {
                lastBootId = opening.bootId();
            }
            lastSequence++;
            at += RECORD_HEADER_BYTES + bytes.getInt(at);
        }
        boolean torn = at < bytes.limit();
        if (torn) {
            refuseDamage(file, bytes, at, lastSequence, bootId.equals(lastBootId));
        }
        return new Scan(generation, lastSequence, at, torn);
    }

    private static void checkHeader(Path file, ByteBuffer bytes) {
        byte[] magic = new byte[MAGIC.length];
        if (bytes.limit() >= FILE_HEADER_BYTES) {
            bytes.get(0, magic);
        }
        if (!Arrays.equals(magic, MAGIC)) {
            throw new StoreRefusedException("data directory refused: " + file + " is not a decision log");
        }
        int version = bytes.getInt(8);
        if (version != VERSION) {
            throw new StoreRefusedException("data directory of another version: " + file + " has format " + version
                    + ", this program reads format " + VERSION);
        }
        if (bytes.getInt(12) != headerChecksum(bytes)) {
            throw new StoreRefusedException("data directory damaged: the header of " + file + " fails its checksum");
        }
    }

    /** The first item; a record that passed its checksum and still cannot be read was written by another program. */
    private static LogItem decode(Path file, ByteBuffer bytes, int at) {
        try {
            return LogItemCodec.read(bytes.slice(at + RECORD_HEADER_BYTES, bytes.getInt(at)));
        } catch (RuntimeException e) {
            throw new StoreRefusedException(
                    "data directory of another version: " + file + " at byte " + at + ": " + e.getMessage(), e);
        }
    }

    private static void refuseDamage(Path file, ByteBuffer bytes, int bad, long lastSequence, boolean sameBoot) {
        boolean tooShort = bytes.limit() - bad < RECORD_HEADER_BYTES
                || bytes.getInt(bad) > bytes.limit() - bad - RECORD_HEADER_BYTES;
        boolean damaged = sameBoot && !tooShort;
        long mostRecords = ((long) bytes.limit() - bad) / (RECORD_HEADER_BYTES + 1);
        for (int at = bad + 1; at <= bytes.limit() - RECORD_HEADER_BYTES && !damaged; at++) {
            long ahead = bytes.getLong(at + 8) - lastSequence;
            if (ahead > 1 && ahead <= mostRecords + 1 && goodRecord(bytes, at)) {
                damaged = sameBoot || bytes.getLong(at + 16) > bad;
            }
        }
        if (damaged) {
            throw new StoreRefusedException("data directory damaged: record " + (lastSequence + 1) + " at byte " + bad
                    + " of " + file + " fails its checksum and is not a torn end;"
                    + " put back a copy of the directory and raise lockmgr.epoch-at-least");
        }
    }

    private static boolean goodRecord(ByteBuffer bytes, int at) {
        if (bytes.limit() - at < RECORD_HEADER_BYTES) {
            return false;
        }
        int length = bytes.getInt(at);
        return length >= 1
                && length <= bytes.limit() - at - RECORD_HEADER_BYTES
                && bytes.getInt(at + 4) == recordChecksum(bytes, at, length);
    }

    private static int recordChecksum(ByteBuffer bytes, int at, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes.duplicate().limit(at + 4).position(at));
        crc.update(bytes.duplicate().limit(at + RECORD_HEADER_BYTES + length).position(at + 8));
        return (int) crc.getValue();
    }

    private static int headerChecksum(ByteBuffer bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes.duplicate().limit(12).position(0));
        crc.update(bytes.duplicate().limit(FILE_HEADER_BYTES).position(16));
        return (int) crc.getValue();
    }

    private static ByteBuffer roomForHeader(ByteBuffer buffer) {
        if (buffer.remaining() >= RECORD_HEADER_BYTES) {
            return buffer;
        }
        return ByteBuffer.allocate(2 * buffer.capacity()).put(buffer.flip());
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    private interface Reader<T> {
        T read(ByteBuffer bytes);
    }

    private static <T> T reading(Path file, Reader<T> reader) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return reader.read(channel.map(MapMode.READ_ONLY, 0, channel.size()));
        }
    }
}
