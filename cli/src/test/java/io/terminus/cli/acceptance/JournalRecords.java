package io.terminus.cli.acceptance;

import java.io.IOException;
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

    private static void read(Path segment, List<Entry> into) throws IOException {
        try (FileChannel file = FileChannel.open(segment)) {
            ByteBuffer bytes =
                    file.map(FileChannel.MapMode.READ_ONLY, 0, file.size()).order(ByteOrder.LITTLE_ENDIAN);
            String digits = segment.getFileName().toString().replace(".seg", "");
            long first = Long.parseLong(digits, 16) * file.size();
            for (int at = 0; at + HEADER_BYTES <= bytes.limit(); ) {
                if (bytes.getInt(at) != MAGIC || bytes.getLong(at + 8) != first + at) {
                    return;
                }
                into.add(new Entry(first + at, bytes.getLong(at + 16)));
                int payload = bytes.getInt(at + 56);
                at += HEADER_BYTES + (payload + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
            }
        }
    }
}
