package io.terminus.agent.volume;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * What a replica must know about itself before it reads its journal. Replaced as a whole: written beside, fsynced,
 * renamed, directory fsynced; so a crash leaves the one or the other.
 *
 * <pre>
 *   0  magic    u64  "TRMSUPER"
 *   8  format   u32  1
 *  12  length   u32  of the body
 *  16  crc32c   u32  of the body
 *  20  body          fields in the order of this record, big endian, strings as modified UTF-8
 * </pre>
 *
 * @param config the newest value block this replica has seen, encoded, and its version: an older one read later means that
 *     the lock manager went back in time
 * @param sealedTerm the fence: records, seals and acks of lower terms are refused
 * @param checkpoint everything before this journal position is in the image and durable there
 * @param oldest the journal may be read from here on, for peers that are behind
 * @param lineage which term owns which positions, as of the checkpoint
 * @param committed the highest position known to be committed
 * @param bootId kernel boot id under which the journal was last open
 * @param clean closed in good order, so nothing was unsynced
 * @param memoryLost unsynced journal bytes may have been lost since this replica entered the in-sync set
 * @param failed why this replica stopped for good; empty: it did not
 */
record Superblock(
        byte[] config,
        long configVersion,
        long sealedTerm,
        long sealedToken,
        long checkpoint,
        long oldest,
        Lineage lineage,
        long committed,
        String bootId,
        boolean clean,
        boolean memoryLost,
        String failed) {

    static final int FORMAT = 1;
    private static final long MAGIC = 0x54524d5355504552L;
    private static final int HEADER_BYTES = 20;
    private static final String FILE = "superblock";

    /** The directory holds no superblock that this version can act on. */
    static final class UnreadableException extends IOException {
        UnreadableException(String message) {
            super(message);
        }
    }

    static Superblock read(Path dir) throws IOException {
        byte[] all = Files.readAllBytes(dir.resolve(FILE));
        ByteBuffer b = ByteBuffer.wrap(all);
        if (all.length < HEADER_BYTES || b.getLong() != MAGIC) {
            throw new UnreadableException(dir.resolve(FILE) + " is not a superblock");
        }
        int format = b.getInt();
        if (format != FORMAT) {
            throw new UnreadableException(
                    dir.resolve(FILE) + " has format " + format + "; this version reads format " + FORMAT + " only");
        }
        int length = b.getInt();
        int crc = b.getInt();
        if (length != all.length - HEADER_BYTES || crc != crc(all, HEADER_BYTES, length)) {
            throw new UnreadableException(dir.resolve(FILE) + " is damaged: its checksum does not match");
        }
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(all, HEADER_BYTES, length))) {
            byte[] config = in.readNBytes(in.readInt());
            long version = in.readLong();
            long sealedTerm = in.readLong();
            long sealedToken = in.readLong();
            long checkpoint = in.readLong();
            long oldest = in.readLong();
            List<TermStart> terms = new ArrayList<>();
            for (int n = in.readInt(); n > 0; n--) {
                terms.add(new TermStart(in.readLong(), in.readUTF(), in.readLong()));
            }
            return new Superblock(
                    config,
                    version,
                    sealedTerm,
                    sealedToken,
                    checkpoint,
                    oldest,
                    new Lineage(terms),
                    in.readLong(),
                    in.readUTF(),
                    in.readBoolean(),
                    in.readBoolean(),
                    in.readUTF());
        }
    }

    void write(Path dir) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeInt(config.length);
            out.write(config);
            out.writeLong(configVersion);
            out.writeLong(sealedTerm);
            out.writeLong(sealedToken);
            out.writeLong(checkpoint);
            out.writeLong(oldest);
            out.writeInt(lineage.starts().size());
            for (TermStart t : lineage.starts()) {
                out.writeLong(t.term());
                out.writeUTF(t.origin());
                out.writeLong(t.firstPosition());
            }
            out.writeLong(committed);
            out.writeUTF(bootId);
            out.writeBoolean(clean);
            out.writeBoolean(memoryLost);
            out.writeUTF(failed);
        }
        byte[] body = bytes.toByteArray();
        ByteBuffer all = ByteBuffer.allocate(HEADER_BYTES + body.length);
        all.putLong(MAGIC).putInt(FORMAT).putInt(body.length).putInt(crc(body, 0, body.length));
        all.put(body).flip();
        Path next = dir.resolve(FILE + ".next");
        try (FileChannel ch = FileChannel.open(
                next, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            while (all.hasRemaining()) {
                ch.write(all);
            }
            ch.force(true);
        }
        Files.move(next, dir.resolve(FILE), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        try (FileChannel d = FileChannel.open(dir, StandardOpenOption.READ)) {
            d.force(true);
        }
    }

    Superblock withConfig(byte[] newer, long version) {
        return new Superblock(
                newer,
                version,
                sealedTerm,
                sealedToken,
                checkpoint,
                oldest,
                lineage,
                committed,
                bootId,
                clean,
                memoryLost,
                failed);
    }

    Superblock sealedBy(long term, long token) {
        return new Superblock(
                config,
                configVersion,
                term,
                token,
                checkpoint,
                oldest,
                lineage,
                committed,
                bootId,
                clean,
                memoryLost,
                failed);
    }

    Superblock checkpointed(long position, long oldestKept, Lineage lineageThere, long committedKnown) {
        return new Superblock(
                config,
                configVersion,
                sealedTerm,
                sealedToken,
                position,
                oldestKept,
                lineageThere,
                committedKnown,
                bootId,
                clean,
                memoryLost,
                failed);
    }

    Superblock opened(String nowBootId, boolean lost) {
        return new Superblock(
                config,
                configVersion,
                sealedTerm,
                sealedToken,
                checkpoint,
                oldest,
                lineage,
                committed,
                nowBootId,
                false,
                lost,
                failed);
    }

    Superblock closedCleanly() {
        return new Superblock(
                config,
                configVersion,
                sealedTerm,
                sealedToken,
                checkpoint,
                oldest,
                lineage,
                committed,
                bootId,
                true,
                memoryLost,
                failed);
    }

    Superblock withMemoryLost(boolean lost) {
        return new Superblock(
                config,
                configVersion,
                sealedTerm,
                sealedToken,
                checkpoint,
                oldest,
                lineage,
                committed,
                bootId,
                clean,
                lost,
                failed);
    }

    Superblock failedBecause(String why) {
        return new Superblock(
                config,
                configVersion,
                sealedTerm,
                sealedToken,
                checkpoint,
                oldest,
                lineage,
                committed,
                bootId,
                false,
                memoryLost,
                why);
    }

    private static int crc(byte[] bytes, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, from, length);
        return (int) crc.getValue();
    }
}
