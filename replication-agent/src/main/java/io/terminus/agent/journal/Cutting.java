package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Takes the end of a journal away, so that no recovery finds it again. */
final class Cutting {

    private final Contents contents;
    private final PublishedRecords records;

    Cutting(Contents contents, PublishedRecords records) {
        this.contents = contents;
        this.records = records;
    }

    /** As {@link Journal#cut}; the caller syncs nothing beside, holds the lock, and captures nothing. */
    long cut(long position, Path rescueFile) throws IOException {
        records.requireBoundary(position);
        long saved = Math.max(0, contents.touchedEnd - position);
        if (saved > 0) {
            rescue(position, rescueFile);
            overwrite(position, contents.touchedEnd);
        }
        contents.end = position;
        contents.durable = Math.min(contents.durable, position);
        contents.lineage = contents.lineage.upTo(position);
        contents.touchedEnd = position;
        return saved;
    }

    private void rescue(long from, Path file) throws IOException {
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (long position = from; position < contents.touchedEnd; ) {
                int at = contents.at(position);
                int count = (int) Math.min(contents.touchedEnd - position, contents.segmentBytes - at);
                ByteBuffer bytes = contents.segment(position).bytes.slice(at, count);
                while (bytes.hasRemaining()) {
                    out.write(bytes);
                }
                position += count;
            }
            contents.disk.force(out);
        }
        contents.disk.syncDirectory(file.toAbsolutePath().resolveSibling("."));
    }

    private void overwrite(long from, long to) throws JournalException {
        ByteBuffer zeros = ByteBuffer.allocateDirect(1 << 16);
        try {
            for (long position = from; position < to; ) {
                int at = contents.at(position);
                int count = (int) Math.min(Math.min(to - position, contents.segmentBytes - at), zeros.capacity());
                contents.segment(position).write(at, zeros.slice(0, count));
                position += count;
            }
        } catch (IOException e) {
            throw contents.health.fail("what was cut cannot be overwritten", e);
        }
        contents.force(from, to);
    }
}
