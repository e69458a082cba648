package io.terminus.cli.acceptance;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What the journal files of a replica hold, read as docs/journal-format.md says and by nothing of the product: a segment is
 * named after its number in hex, and is a chain of records that ends where no record stands at its own position.
 */
final class JournalRecords {

    private static final int MAGIC = 0x4a4d5254; // "TRMJ", little endian
    private static final int HEADER_BYTES = 128;
    private static final byte PAD = 4;

    /** One record: where it stands and which term it is of. */
    record Entry(long position, long term) {}

    private JournalRecords() {}

    /** All records beside this image, by position. */
    static List<Entry> beside(Path image) {
        Path journal = image.resolveSibling("journal");
        List<Entry> entries = new ArrayList<>();
        try (DirectoryStream<Path> segments = Files.newDirectoryStream(journal, "*.seg")) {
            for (Path segment : segments) {
                read(segment, entries);
            }
        } catch (IOException e) {
            throw new AssertionError("cannot read the journal in " + journal, e);
        }
        entries.sort((one, other) -> Long.compare(one.position(), other.position()));
        return entries;
    }

    /**
     * Where a record stands in both journals and is not the same, byte for byte; -1 if there is none.
     *
     * @param from only records from this position on
     */
    static long mismatch(Path replica, Path other, long from) {
        try (DirectoryStream<Path> segments = Files.newDirectoryStream(replica.resolve("journal"), "*.seg")) {
            for (Path segment : segments) {
                Path counterpart = other.resolve("journal").resolve(segment.getFileName());
                if (Files.exists(counterpart)) {
                    long at = mismatchIn(segment, counterpart, from);
                    if (at >= 0) {
                        return at;
                    }
                }
            }
            return -1;
        } catch (IOException e) {
            throw new AssertionError("cannot read the journals in " + replica + " and " + other, e);
        }
    }

    private static long mismatchIn(Path segment, Path counterpart, long from) throws IOException {
        try (Arena arena = Arena.ofConfined();
                FileChannel file = FileChannel.open(segment);
                FileChannel otherFile = FileChannel.open(counterpart)) {
            ByteBuffer bytes = mapped(file, arena);
            ByteBuffer other = mapped(otherFile, arena);
            long first = first(segment, file);
            for (int at = 0; at + HEADER_BYTES <= Math.min(bytes.limit(), other.limit()); ) {
                if (!isRecord(bytes, at, first) || !isRecord(other, at, first)) {
                    return -1;
                }
                // What fills a PAD is anything.
                int length = bytes.get(at + 5) == PAD ? HEADER_BYTES : lengthBytes(bytes, at);
                if (first + at >= from
                        && (at + length > other.limit()
                                || !bytes.slice(at, length).equals(other.slice(at, length)))) {
                    return first + at;
                }
                at += lengthBytes(bytes, at);
            }
            return -1;
        }
    }

    private static void read(Path segment, List<Entry> into) throws IOException {
        try (Arena arena = Arena.ofConfined();
                FileChannel file = FileChannel.open(segment)) {
            ByteBuffer bytes = mapped(file, arena);
            long first = first(segment, file);
            for (int at = 0; at + HEADER_BYTES <= bytes.limit(); at += lengthBytes(bytes, at)) {
                if (!isRecord(bytes, at, first)) {
                    return;
                }
                into.add(new Entry(first + at, bytes.getLong(at + 16)));
            }
        }
    }

    /** Not longer than the arena is open: what is mapped cannot be unmounted. */
    private static ByteBuffer mapped(FileChannel file, Arena arena) throws IOException {
        return file.map(FileChannel.MapMode.READ_ONLY, 0, file.size(), arena)
                .asByteBuffer()
                .order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The position at which a segment begins. */
    private static long first(Path segment, FileChannel file) throws IOException {
        return Long.parseLong(segment.getFileName().toString().replace(".seg", ""), 16) * file.size();
    }

    private static boolean isRecord(ByteBuffer bytes, int at, long first) {
        return bytes.getInt(at) == MAGIC && bytes.getLong(at + 8) == first + at;
    }

    private static int lengthBytes(ByteBuffer bytes, int at) {
        int payload = bytes.getInt(at + 56);
        return HEADER_BYTES + (payload + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
    }
}
