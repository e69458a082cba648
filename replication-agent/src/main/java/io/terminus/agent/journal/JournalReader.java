package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import io.terminus.agent.journal.BadRecordException.Rule;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Looks into a journal's files, for people and without the agent: opens nothing for writing and takes no lock. It may run beside an agent
 * that writes: what it sees is then of several moments. Segments that are recycled meanwhile look like ones that hold nothing of this
 * journal. One thread.
 */
public final class JournalReader {

    /** A list of files may be out of date at once, beside an agent. */
    private static final int LISTINGS = 10;

    /** What is found, in the order of positions. Each answers whether it wants more. */
    public interface Visitor<X extends Exception> {

        /** A record whose header holds for its place; {@link RecordView#payloadIntact} tells about the rest. */
        boolean record(RecordView record) throws X, IOException;

        /**
         * No header in [from, to) holds for its place.
         *
         * @param broken the rule that the bytes at {@code from} break; null: there is no file
         */
        boolean nothing(long from, long to, @Nullable Rule broken) throws X, IOException;
    }

    private final Path directory;
    private final UUID volume;
    private final int segmentBytes;
    private final RecordCodec codec;
    private long openNumber = -1;
    private @Nullable ByteBuffer openBytes;

    public JournalReader(Path directory, UUID volume, int segmentBytes) {
        this.directory = directory;
        this.volume = volume;
        this.segmentBytes = segmentBytes;
        this.codec = new RecordCodec(volume);
    }

    /** The numbers of the segment files, ascending; some may hold nothing any more. A file of another size is refused. */
    public List<Long> segments() throws IOException {
        for (int again = 1; ; again++) {
            try {
                return new ArrayList<>(
                        SegmentStore.list(directory, segmentBytes).keySet());
            } catch (NoSuchFileException e) {
                if (again == LISTINGS || e.getFile().equals(directory.toString())) {
                    throw e;
                }
            }
        }
    }

    /**
     * What {@link Journal#open} would find, see there.
     *
     * @param progress is told positions that were reached
     */
    public Recovery recover(long from, Lineage known, long knownSafe, LongConsumer progress) throws IOException {
        RecoveryScan scan = new RecoveryScan(
                volume,
                segmentBytes,
                number -> {
                    progress.accept(number * segmentBytes);
                    return bytes(number);
                },
                known);
        try {
            scan.run(from, knownSafe);
        } catch (UnreadableFileException e) {
            throw e.why;
        } catch (InternalError e) {
            throw unreadable(e);
        }
        return scan.result();
    }

    /** Shows what stands in [from, to). */
    public <X extends Exception> void visit(long from, long to, Visitor<X> visitor) throws IOException, X {
        if (from < 0 || from % ALIGNMENT != 0) {
            throw new IllegalArgumentException("position " + from + ": records start at multiples of " + ALIGNMENT);
        }
        RecordView view = new RecordView(volume);
        long nothingFrom = -1;
        Rule broken = null;
        boolean more = true;
        try {
            for (long position = from; position < to && more; ) {
                ByteBuffer bytes = bytes(position / segmentBytes);
                int at = (int) (position & segmentBytes - 1);
                Rule rule = bytes == null ? null : codec.checkHeader(bytes, at, position);
                if (bytes != null && rule == null) {
                    if (nothingFrom >= 0) {
                        more = visitor.nothing(nothingFrom, position, broken);
                        nothingFrom = -1;
                    }
                    if (more) {
                        view.moveTo(bytes, at, position);
                        position = view.endPosition();
                        more = visitor.record(view);
                    }
                    continue;
                }
                if (nothingFrom < 0) {
                    nothingFrom = position;
                    broken = rule;
                }
                position += bytes == null ? segmentBytes - at : ALIGNMENT;
            }
        } catch (UnreadableFileException e) {
            throw e.why;
        } catch (InternalError e) {
            throw unreadable(e);
        }
        if (nothingFrom >= 0 && more) {
            visitor.nothing(nothingFrom, to, broken);
        }
    }

    /** The scan knows no files; what fails with one passes through it. */
    private static final class UnreadableFileException extends RuntimeException {
        private final IOException why;

        private UnreadableFileException(IOException why) {
            super(why);
            this.why = why;
        }
    }

    /** How Java reports that the disk failed under a mapping. */
    private IOException unreadable(InternalError e) {
        return new IOException("a page of the journal in " + directory + " cannot be read", e);
    }

    private @Nullable ByteBuffer bytes(long number) {
        if (number != openNumber) {
            openNumber = number;
            openBytes = map(number);
        }
        return openBytes;
    }

    private @Nullable ByteBuffer map(long number) {
        Path file = directory.resolve(Segment.fileName(number));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            if (channel.size() != segmentBytes) {
                throw new IOException(
                        file + " has " + channel.size() + " bytes: a segment of this volume has " + segmentBytes);
            }
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, segmentBytes).order(ByteOrder.LITTLE_ENDIAN);
        } catch (NoSuchFileException e) {
            return null;
        } catch (IOException e) {
            throw new UnreadableFileException(e);
        }
    }
}
