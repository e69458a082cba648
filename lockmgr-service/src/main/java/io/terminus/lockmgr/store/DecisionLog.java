package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.terminus.lockmgr.lock.Change;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * One generation of the log: a file that only grows. What is flushed together is one record, with one checksum and one
 * write: whole decisions, so a crash leaves all of each or nothing. Everything is big-endian.
 *
 * <pre>
 *   file header                                   record, at once behind the header or the record before
 *   offset  length                                offset  length
 *        0       8  "TERMLOCK"                         0       4  length n of the payload, at least 1
 *        8       4  format version, 2                  4       4  CRC32C of bytes 0..3 and 8..23+n
 *       12       4  CRC32C of bytes 0..11, 16..31      8       8  sequence, one more than the record before,
 *       16       8  generation                                    also over generations
 *       24       8  sequence of the first record      16       8  bytes of this file known to be synced when this
 *                                                                 record was made
 *                                                     24       n  items, see LogItemCodec
 * </pre>
 *
 * <p>A generation ends where the next one says that it begins. The end of the newest has to be told from a damaged log. A
 * killed process leaves a prefix of what it was writing, so under the same kernel only a record that the file is too short
 * for is a torn end. After a power loss anything behind the last sync may be missing or zero, and is a torn end unless a
 * good record further on says that it had been synced. A torn end is left out: nothing in it was acknowledged as synced, and
 * after a power loss what was not synced is given up anyway. All else is damage and refused. What cannot be told is damage
 * to the length of the very last record; agents notice that by the version of the value block they remember.
 *
 * <p>A generation is synced only after the one before it, so one with anything synced follows one that is synced whole.
 *
 * <p>One owner thread appends and flushes; {@link #sync} and the lengths are for any thread. A failed write or sync leaves
 * the log unusable.
 */
final class DecisionLog implements AutoCloseable {

    static final int VERSION = 2;
    static final int FILE_HEADER_BYTES = 32;
    static final int RECORD_HEADER_BYTES = 24;

    static final String TEMPORARY = ".tmp";

    private static final byte[] MAGIC = "TERMLOCK".getBytes(US_ASCII);

    /** What was appended is written when so many bytes wait, at the latest by {@link #flush}. */
    private static final int FLUSH_AT_BYTES = 1 << 20;

    private final StoreDisk disk;
    private final Path file;
    private final LogFile open;
    private final long generation;
    private final LogItemWriter waiting;
    private final CRC32C crc = new CRC32C();
    private long sequence;
    private volatile long writtenBytes;
    /** Changed under this object's monitor, as are the next three. */
    private volatile long syncedBytes;

    /** The generation before this one, until it is known to be synced. */
    private @Nullable DecisionLog before;

    private boolean nameSynced;
    /** The kernel tells of bytes that it could not write once, drops them, and calls the next sync a success. */
    private @Nullable IOException syncFailure;

    private volatile boolean appeared;

    /**
     * What a file holds.
     *
     * @param firstSequence the first record there is or would be
     * @param lastSequence one less if there is none
     * @param endBytes where its good records end
     * @param torn something lies behind them
     * @param syncedBytes what its records know to be synced
     * @param bootId of the last start it tells of; empty for none
     */
    record Scan(
            long generation,
            long firstSequence,
            long lastSequence,
            long endBytes,
            boolean torn,
            long syncedBytes,
            String bootId) {}

    /**
     * A new file that begins with one record, all of it written, nothing synced, not yet under its name.
     *
     * @param before the generation before it, if that may not be synced yet
     * @param writer the buffer to write with; empty
     */
    static DecisionLog create(
            StoreDisk disk,
            Path file,
            long generation,
            long lastSequence,
            LogItem first,
            @Nullable DecisionLog before,
            LogItemWriter writer)
            throws IOException {
        LogFile open = disk.create(temporary(file));
        try {
            writer.clear(FILE_HEADER_BYTES);
            ByteBuffer header = writer.buffer();
            header.put(0, MAGIC).putInt(8, VERSION).putLong(16, generation).putLong(24, lastSequence + 1);
            header.putInt(12, headerChecksum(header));
            disk.write(open, header.flip());
            writer.clear(RECORD_HEADER_BYTES);
            DecisionLog log = new DecisionLog(disk, file, open, generation, before, writer, lastSequence);
            log.append(first);
            log.flush();
            return log;
        } catch (IOException | RuntimeException e) {
            open.close();
            throw e;
        }
    }

    /** The file gets its name, in place of another of that name. */
    void appear() throws IOException {
        disk.rename(temporary(file), file);
        appeared = true;
    }

    /** The file gets its name when all that was flushed is on disk: after a power loss too it is whole or not there. */
    void appearSynced() throws IOException {
        sync();
        appear();
        syncName();
    }

    private synchronized void syncName() throws IOException {
        disk.syncDirectory(Objects.requireNonNull(file.getParent()));
        nameSynced = true;
    }

    private static Path temporary(Path file) {
        return file.resolveSibling(file.getFileName() + TEMPORARY);
    }

    /** A buffer for {@link #create}. */
    static LogItemWriter writer() {
        return new LogItemWriter(FLUSH_AT_BYTES + (64 << 10));
    }

    private DecisionLog(
            StoreDisk disk,
            Path file,
            LogFile open,
            long generation,
            @Nullable DecisionLog before,
            LogItemWriter waiting,
            long lastSequence) {
        this.disk = disk;
        this.file = file;
        this.open = open;
        this.generation = generation;
        this.before = before;
        this.waiting = waiting;
        this.sequence = lastSequence;
        this.writtenBytes = FILE_HEADER_BYTES;
    }

    Path file() {
        return file;
    }

    long generation() {
        return generation;
    }

    /** Of the last record that was flushed. */
    long lastSequence() {
        return sequence;
    }

    LogItemWriter lendWriter() {
        return waiting;
    }

    long writtenBytes() {
        return writtenBytes;
    }

    /** What the file will be as long as when what was appended is flushed. */
    long comingBytes() {
        return writtenBytes + waiting.position();
    }

    long unsyncedBytes() {
        return writtenBytes - syncedBytes;
    }

    boolean synced() {
        return waiting.position() == RECORD_HEADER_BYTES && syncedBytes == writtenBytes;
    }

    /** One decision. It is in the page cache after {@link #flush}, on disk after {@link #sync} behind that. */
    void append(List<Change> decision) throws IOException {
        for (int i = 0; i < decision.size(); i++) {
            waiting.write(decision.get(i));
        }
        flushIfLong();
    }

    void append(LogItem item) throws IOException {
        waiting.write(item);
        flushIfLong();
    }

    private void flushIfLong() throws IOException {
        if (waiting.position() >= FLUSH_AT_BYTES) {
            flush();
        }
    }

    /** Writes what was appended: one record, one write where the kernel takes it all. */
    void flush() throws IOException {
        ByteBuffer record = waiting.buffer();
        int length = record.position() - RECORD_HEADER_BYTES;
        if (length == 0) {
            return;
        }
        sequence++;
        record.putInt(0, length).putLong(8, sequence).putLong(16, syncedBytes);
        record.putInt(4, recordChecksum(crc, record, 0, length));
        long end = writtenBytes + RECORD_HEADER_BYTES + length;
        disk.write(open, record.flip());
        writtenBytes = end;
        waiting.clear(RECORD_HEADER_BYTES);
    }

    /** Puts on disk what was flushed, and that under its name. Any thread; who comes second waits for the first. */
    synchronized void sync() throws IOException {
        IOException failure = syncFailure;
        if (failure != null) {
            throw new IOException("an earlier sync of " + file + " failed: " + failure.getMessage(), failure);
        }
        long upTo = writtenBytes;
        if (syncedBytes == upTo) {
            return;
        }
        try {
            if (before != null) {
                before.sync();
                before = null;
            }
            disk.sync(open);
            if (appeared && !nameSynced) {
                syncName();
            }
        } catch (IOException e) {
            syncFailure = e;
            throw e;
        }
        syncedBytes = upTo;
    }

    /** Does not flush or sync: after a failure that would be wrong. */
    @Override
    public void close() throws IOException {
        open.close();
    }

    /** Sequence of the first record of a file, or -1 if its header is not one. */
    static long firstSequence(Path file) throws IOException {
        return reading(file, bytes -> headerFault(file, bytes) == null ? bytes.getLong(24) : -1);
    }

    /**
     * Finds the end of the good records, or of those before sequence {@code end}.
     *
     * @param bootId of the running kernel
     * @param lastBootId of the last start before this file, as far as is known
     * @throws StoreRefusedException if the file is of another version or damaged
     */
    static Scan scan(Path file, long end, String bootId, String lastBootId) throws IOException {
        return reading(file, bytes -> scan(file, bytes, end, bootId, lastBootId));
    }

    /** Hands over every item of the good records, in order. */
    static void replay(Path file, Scan scan, LogItemCodec.Taker to) throws IOException {
        reading(file, bytes -> {
            int at = FILE_HEADER_BYTES;
            while (at < scan.endBytes()) {
                int length = bytes.getInt(at);
                LogItemCodec.readAll(bytes.slice(at + RECORD_HEADER_BYTES, length), to);
                at += RECORD_HEADER_BYTES + length;
            }
            return at;
        });
    }

    private static Scan scan(Path file, ByteBuffer bytes, long end, String bootId, String lastBootId) {
        String fault = headerFault(file, bytes);
        if (fault != null) {
            throw new StoreRefusedException(fault);
        }
        CRC32C crc = new CRC32C();
        long first = bytes.getLong(24);
        long last = first - 1;
        long synced = 0;
        String lastBoot = lastBootId;
        int at = FILE_HEADER_BYTES;
        while (last + 1 < end && goodRecord(crc, bytes, at) && bytes.getLong(at + 8) == last + 1) {
            if (decode(file, bytes, at) instanceof LogItem.Opening opening) {
                lastBoot = opening.bootId();
            }
            last++;
            synced = bytes.getLong(at + 16);
            at += RECORD_HEADER_BYTES + bytes.getInt(at);
        }
        boolean torn = at < bytes.limit();
        if (torn && last + 1 < end) {
            refuseDamage(file, bytes, at, last, bootId.equals(lastBoot));
        }
        return new Scan(bytes.getLong(16), first, last, at, torn, synced, lastBoot);
    }

    private static @Nullable String headerFault(Path file, ByteBuffer bytes) {
        byte[] magic = new byte[MAGIC.length];
        if (bytes.limit() >= FILE_HEADER_BYTES) {
            bytes.get(0, magic);
        }
        if (!Arrays.equals(magic, MAGIC)) {
            return "data directory damaged: " + file + " is not a decision log";
        }
        int version = bytes.getInt(8);
        if (version != VERSION) {
            return "data directory of another version: " + file + " has format " + version
                    + ", this program reads format " + VERSION;
        }
        if (bytes.getInt(12) != headerChecksum(bytes)) {
            return "data directory damaged: the header of " + file + " fails its checksum";
        }
        return null;
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
        CRC32C crc = new CRC32C();
        boolean tooShort = bytes.limit() - bad < RECORD_HEADER_BYTES
                || bytes.getInt(bad) > bytes.limit() - bad - RECORD_HEADER_BYTES;
        boolean damaged = sameBoot && !tooShort;
        long mostRecords = ((long) bytes.limit() - bad) / (RECORD_HEADER_BYTES + 1);
        for (int at = bad + 1; at <= bytes.limit() - RECORD_HEADER_BYTES && !damaged; at++) {
            long ahead = bytes.getLong(at + 8) - lastSequence;
            if (ahead > 1 && ahead <= mostRecords + 1 && goodRecord(crc, bytes, at)) {
                damaged = sameBoot || bytes.getLong(at + 16) > bad;
            }
        }
        if (damaged) {
            throw new StoreRefusedException("data directory damaged: record " + (lastSequence + 1) + " at byte " + bad
                    + " of " + file + " fails its checksum and is not a torn end;"
                    + " put back a copy of the directory and raise lockmgr.epoch-at-least");
        }
    }

    private static boolean goodRecord(CRC32C crc, ByteBuffer bytes, int at) {
        if (bytes.limit() - at < RECORD_HEADER_BYTES) {
            return false;
        }
        int length = bytes.getInt(at);
        return length >= 1
                && length <= bytes.limit() - at - RECORD_HEADER_BYTES
                && bytes.getInt(at + 4) == recordChecksum(crc, bytes, at, length);
    }

    private static int recordChecksum(CRC32C crc, ByteBuffer bytes, int at, int length) {
        crc.reset();
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

    private interface Reader<T> {
        T read(ByteBuffer bytes);
    }

    private static <T> T reading(Path file, Reader<T> reader) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return reader.read(channel.map(MapMode.READ_ONLY, 0, Files.size(file)));
        }
    }
}
