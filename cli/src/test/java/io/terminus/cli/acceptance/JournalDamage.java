package io.terminus.cli.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

/**
 * What disks, and people, do to the journal of an agent that is not running. By docs/journal-format.md, and nothing of the
 * product.
 */
final class JournalDamage {

    private static final int HEADER_BYTES = 128;
    private static final int MAGIC = 0x4a4d5254; // "TRMJ", little endian
    private static final int VERSION_AT = 4;
    private static final int TERM_AT = 16;
    private static final int ORIGIN_AT = 24;
    private static final int PAYLOAD_LENGTH_AT = 56;
    private static final int CHECKSUM_AT = 124;

    /** One record of another version, which can be made what it was. */
    record OtherVersion(Path segment, long at, byte[] header) {

        void undo() {
            write(segment, at, header);
        }

        @Override
        public String toString() {
            return segment.getFileName() + " at " + at;
        }
    }

    private JournalDamage() {}

    /** One byte, anywhere. Says where. */
    static String flip(Path replica, Random chance) {
        Path segment = any(replica, chance);
        try (FileChannel file = FileChannel.open(segment, StandardOpenOption.READ)) {
            return flipAt(
                    segment, chance.nextLong(Math.max(1, chance.nextBoolean() ? used(file) : file.size())), chance);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** One byte of the records in [from, to), positions. Says where. */
    static String flip(Path replica, long from, long to, Random chance) {
        List<Path> segments = segments(replica);
        try {
            long segmentBytes = Files.size(segments.getFirst());
            long position = from + chance.nextLong(to - from);
            Path segment = replica.resolve("journal")
                    .resolve(String.format(Locale.ROOT, "%016x.seg", position / segmentBytes));
            return flipAt(segment, position % segmentBytes, chance) + ", position " + position;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String flipAt(Path segment, long at, Random chance) throws IOException {
        try (FileChannel file = FileChannel.open(segment, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            ByteBuffer one = ByteBuffer.allocate(1);
            file.read(one, at);
            byte was = one.get(0);
            byte is = (byte) (was ^ 1 + chance.nextInt(255));
            file.write(ByteBuffer.wrap(new byte[] {is}), at);
            return segment.getFileName() + " at " + at + ": " + was + " became " + is;
        }
    }

    /** Says to what. */
    static String cutShort(Path replica, Random chance) {
        Path segment = any(replica, chance);
        try (FileChannel file = FileChannel.open(segment, StandardOpenOption.WRITE)) {
            long length = chance.nextLong(file.size());
            file.truncate(length);
            return segment.getFileName() + " to " + length + " bytes";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The newest record of all becomes a genuine one of a version that nobody knows. */
    static Optional<OtherVersion> otherVersion(Path replica, UUID volume) {
        List<Path> segments = segments(replica);
        for (Path segment : segments.reversed()) {
            try (FileChannel file = FileChannel.open(segment, StandardOpenOption.READ)) {
                long last = lastRecord(file, segment);
                if (last >= 0) {
                    ByteBuffer header = ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
                    file.read(header, last);
                    byte[] was = header.array().clone();
                    header.put(VERSION_AT, (byte) 2);
                    header.putInt(CHECKSUM_AT, checksum(volume, header));
                    write(segment, last, header.array());
                    return Optional.of(new OtherVersion(segment, last, was));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        return Optional.empty();
    }

    private static int checksum(UUID volume, ByteBuffer header) {
        ByteBuffer seed = ByteBuffer.allocate(32)
                .putLong(volume.getMostSignificantBits())
                .putLong(volume.getLeastSignificantBits())
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.getLong(ORIGIN_AT))
                .putLong(header.getLong(TERM_AT));
        CRC32C checksum = new CRC32C();
        checksum.update(seed.array());
        checksum.update(header.array(), 0, CHECKSUM_AT);
        return (int) checksum.getValue();
    }

    /** Where the records end that stand at their own positions. */
    private static long used(FileChannel file) throws IOException {
        long at = 0;
        ByteBuffer header = ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        while (at + HEADER_BYTES <= file.size()) {
            file.read(header.clear(), at);
            if (header.getInt(0) != MAGIC) {
                break;
            }
            at += lengthOf(header);
        }
        return at;
    }

    private static long lastRecord(FileChannel file, Path segment) throws IOException {
        long first = Long.parseLong(segment.getFileName().toString().replace(".seg", ""), 16) * file.size();
        long last = -1;
        long at = 0;
        ByteBuffer header = ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        while (at + HEADER_BYTES <= file.size()) {
            file.read(header.clear(), at);
            if (header.getInt(0) != MAGIC || header.getLong(8) != first + at) {
                break;
            }
            last = at;
            at += lengthOf(header);
        }
        return last;
    }

    private static long lengthOf(ByteBuffer header) {
        int payload = header.getInt(PAYLOAD_LENGTH_AT);
        return HEADER_BYTES + (payload + HEADER_BYTES - 1) / HEADER_BYTES * (long) HEADER_BYTES;
    }

    private static Path any(Path replica, Random chance) {
        List<Path> segments = segments(replica);
        return segments.get(chance.nextInt(segments.size()));
    }

    private static List<Path> segments(Path replica) {
        try (Stream<Path> files = Files.list(replica.resolve("journal"))) {
            return files.filter(file -> file.toString().endsWith(".seg"))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void write(Path segment, long at, byte[] bytes) {
        try (FileChannel file = FileChannel.open(segment, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(bytes), at);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
