package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** What the tests of this package start from. */
final class Given {

    static final UUID VOLUME = UUID.fromString("5ca1ab1e-0000-4000-8000-00000000c0de");
    static final int SEGMENT = 1 << 20;
    static final JournalSpec SPEC = new JournalSpec(VOLUME, SEGMENT, 4, "a");
    static final long WAIT_NANOS = TimeUnit.SECONDS.toNanos(60);
    static final long TIME_NANOS = 1_700_000_000_000_000_000L;

    /** For tests that need many journals and no durability. */
    static final Disk HASTY = new Disk() {
        @Override
        void prewrite(Path file, int bytes) throws IOException {
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                channel.write(ByteBuffer.allocate(1), bytes - 1L);
            }
        }

        @Override
        void force(FileChannel segment) {}

        @Override
        void syncDirectory(Path directory) {}
    };

    private Given() {}

    static Journal journal(Path directory) throws IOException {
        return journal(directory, SPEC, 0);
    }

    static Journal journal(Path directory, JournalSpec spec, long firstPosition) throws IOException {
        return Journal.create(directory, spec, firstPosition, new Disk(), () -> TIME_NANOS, WAIT_NANOS);
    }

    static Journal reopened(Path directory) throws IOException {
        return Journal.open(directory, SPEC, 0, 0, Lineage.EMPTY, 0);
    }

    /** Bytes that tell where they belong. */
    static ByteBuffer payload(long seed, int length) {
        ByteBuffer bytes = ByteBuffer.allocateDirect(length);
        for (int i = 0; i < length; i++) {
            bytes.put(i, (byte) (seed * 31 + i * 7 + (i >>> 8)));
        }
        return bytes;
    }

    static Path segmentFile(Path directory, long number) {
        return directory.resolve(Segment.fileName(number));
    }

    static byte[] read(Path directory, long from, int length) throws IOException {
        try (FileChannel file = FileChannel.open(segmentFile(directory, from / SEGMENT), StandardOpenOption.READ)) {
            ByteBuffer bytes = ByteBuffer.allocate(length);
            while (bytes.hasRemaining() && file.read(bytes, from % SEGMENT + bytes.position()) >= 0) {}
            return bytes.array();
        }
    }

    static void overwrite(Path directory, long at, byte[] bytes) throws IOException {
        try (FileChannel file = FileChannel.open(segmentFile(directory, at / SEGMENT), StandardOpenOption.WRITE)) {
            ByteBuffer source = ByteBuffer.wrap(bytes);
            while (source.hasRemaining()) {
                file.write(source, at % SEGMENT + source.position());
            }
        }
    }

    /** One genuine record of any volume, agent, term and place; its checksums are right. */
    static byte[] record(
            UUID volume, String agent, long term, long position, RecordKind kind, ByteBuffer payload, long committed) {
        int bytes = RecordFormat.recordBytes(payload.remaining());
        ByteBuffer record = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        record.put(RecordFormat.HEADER_BYTES, payload, payload.position(), payload.remaining());
        RecordCodec codec = new RecordCodec(volume);
        long origin = RecordFormat.originHash(agent);
        int checksum = codec.payloadChecksum(record, 0, payload.remaining(), origin, term, position);
        boolean writes = kind == RecordKind.WRITE;
        codec.writeHeader(
                record,
                0,
                kind,
                0,
                position,
                term,
                origin,
                1,
                writes ? 4096 : 0,
                writes ? payload.remaining() : 0,
                payload.remaining(),
                checksum,
                committed,
                0,
                TIME_NANOS);
        return record.array();
    }

    static byte[] write(String agent, long term, long position, int length) {
        return record(VOLUME, agent, term, position, RecordKind.WRITE, payload(position, length), 0);
    }

    static byte[] term(Lineage lineage, long position) {
        TermStart last = lineage.last();
        return record(VOLUME, last.origin(), last.term(), position, RecordKind.TERM, lineage.encode(), 0);
    }

    static byte[] pad(String agent, long term, long position, int length) {
        return record(
                VOLUME,
                agent,
                term,
                position,
                RecordKind.PAD,
                ByteBuffer.allocate(length - RecordFormat.HEADER_BYTES),
                0);
    }

    /** The start positions of a journal's records from its oldest on, and its end. */
    static List<Long> boundaries(Journal journal) throws IOException {
        List<Long> positions = new ArrayList<>();
        journal.forEach(journal.oldest(), journal.end(), view -> positions.add(view.position()));
        positions.add(journal.end());
        return positions;
    }
}
