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
import java.util.UUID;
import java.util.zip.CRC32C;

/**
 * What a replica must know about itself before it reads its journal. Replaced as a whole: written beside, fsynced,
 * renamed, directory fsynced; so a crash leaves the one or the other.
 *
 * <pre>
 *   0  magic    u64  "TRMSUPER"
 *   8  format   u32  4; read, too: 1, which ends before the rebuild, 2, which ends before the doubt, and 3, before the reach
 *  12  length   u32  of the body
 *  16  crc32c   u32  of the body
 *  20  body          fields in the order of this record, big endian, strings as modified UTF-8
 * </pre>
 *
 * @param seen the newest value block this replica has seen: an older one read later means that the lock manager went back
 *     in time
 * @param fence records, seals and acks of lower terms are refused
 * @param checkpoint what is in the image and durable there
 * @param life what may have been lost, and whether this replica works at all
 * @param rebuild whether the image is a mixture that only copies can make whole
 * @param doubt whether the image was found to differ from the writer's
 * @param reach from the checkpoint's on the journal has files up to this position, at least: of those that are gone something is
 *     missing; 0: not known
 */
record Superblock(Seen seen, Fence fence, Checkpoint checkpoint, Life life, Rebuild rebuild, Doubt doubt, long reach) {

    /** A value block, encoded; version 0 is the one the replica was made with, which no lock manager has confirmed. */
    record Seen(byte[] config, long version) {}

    record Fence(long term, long token) {}

    /**
     * @param position everything before it is in the image, synced
     * @param oldest the journal may be read from here on, for peers that are behind
     * @param lineage which term owns which positions before {@code position}
     * @param committed the highest position known to be committed
     */
    record Checkpoint(long position, long oldest, Lineage lineage, long committed) {}

    /**
     * @param bootId kernel boot id under which the journal was last open
     * @param incarnation what the in-sync set knows this replica by; another one after every loss
     * @param clean closed in good order, so nothing was unsynced
     * @param memoryLost unsynced journal bytes may have been lost since this incarnation's predecessor was in sync
     * @param damaged synced journal bytes were found damaged
     * @param failed why this replica stopped for good; empty: it did not
     */
    record Life(String bootId, String incarnation, boolean clean, boolean memoryLost, boolean damaged, String failed) {}

    /**
     * While copies come in, the image holds blocks of many positions, and the replica neither votes nor serves.
     *
     * @param copy whose: the writer that began it and every start over have another name; empty: the image is whole
     * @param since the image was whole at that position, and lacks only what was written behind it; -1: it never was, or
     *     that is no part of the volume's history
     * @param journalGoes the journal is to start over, empty, at the checkpoint: done at the next start if not before
     */
    record Rebuild(String copy, long since, boolean journalGoes) {
        static final Rebuild NONE = new Rebuild("", -1, false);

        boolean underWay() {
            return !copy.isEmpty();
        }
    }

    /**
     * What the last comparison with a writer's image has left.
     *
     * @param blocks that differ; 0: none that anybody knows of
     * @param position at which that was found; -1: nothing was
     */
    record Doubt(long blocks, long position) {
        static final Doubt NONE = new Doubt(0, -1);
    }

    static final int FORMAT = 4;
    private static final int FORMAT_BEFORE_REACH = 3;
    private static final int FORMAT_BEFORE_DOUBTS = 2;
    private static final int FORMAT_BEFORE_REBUILDS = 1;
    private static final long MAGIC = 0x54524d5355504552L;
    private static final int HEADER_BYTES = 20;
    static final String FILE = "superblock";

    /** The directory holds no superblock that this version can act on. */
    static final class UnreadableException extends IOException {
        UnreadableException(String message) {
            super(message);
        }
    }

    /** One that nobody has reason to doubt. */
    Superblock(Seen seen, Fence fence, Checkpoint checkpoint, Life life, Rebuild rebuild) {
        this(seen, fence, checkpoint, life, rebuild, Doubt.NONE, 0);
    }

    /** Whether there is one, readable or not. It is the last file that the creation of a replica makes. */
    static boolean isIn(Path dir) {
        return Files.exists(dir.resolve(FILE));
    }

    static Superblock read(Path dir) throws IOException {
        byte[] all = Files.readAllBytes(dir.resolve(FILE));
        ByteBuffer b = ByteBuffer.wrap(all);
        if (all.length < HEADER_BYTES || b.getLong() != MAGIC) {
            throw new UnreadableException(dir.resolve(FILE) + " is not a superblock");
        }
        int format = b.getInt();
        if (format < FORMAT_BEFORE_REBUILDS || format > FORMAT) {
            throw new UnreadableException(dir.resolve(FILE) + " has format " + format + "; this version reads formats "
                    + FORMAT_BEFORE_REBUILDS + " to " + FORMAT + " only");
        }
        int length = b.getInt();
        int crc = b.getInt();
        if (length != all.length - HEADER_BYTES || crc != crc(all, HEADER_BYTES, length)) {
            throw new UnreadableException(dir.resolve(FILE) + " is damaged: its checksum does not match");
        }
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(all, HEADER_BYTES, length))) {
            Seen seen = new Seen(in.readNBytes(in.readInt()), in.readLong());
            Fence fence = new Fence(in.readLong(), in.readLong());
            Checkpoint checkpoint = new Checkpoint(in.readLong(), in.readLong(), readLineage(in), in.readLong());
            Life life = new Life(
                    in.readUTF(), in.readUTF(), in.readBoolean(), in.readBoolean(), in.readBoolean(), in.readUTF());
            Rebuild rebuild = format == FORMAT_BEFORE_REBUILDS
                    ? Rebuild.NONE
                    : new Rebuild(in.readUTF(), in.readLong(), in.readBoolean());
            Doubt doubt = format <= FORMAT_BEFORE_DOUBTS ? Doubt.NONE : new Doubt(in.readLong(), in.readLong());
            long reach = format <= FORMAT_BEFORE_REACH ? 0 : in.readLong();
            if (in.available() > 0) {
                throw new UnreadableException(dir.resolve(FILE) + " is damaged: it has " + in.available()
                        + " bytes more than format " + format);
            }
            return new Superblock(seen, fence, checkpoint, life, rebuild, doubt, reach);
        }
    }

    private static Lineage readLineage(DataInputStream in) throws IOException {
        List<TermStart> terms = new ArrayList<>();
        for (int n = in.readInt(); n > 0; n--) {
            terms.add(new TermStart(in.readLong(), in.readUTF(), in.readLong()));
        }
        return new Lineage(terms);
    }

    void write(Path dir) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeInt(seen.config.length);
            out.write(seen.config);
            out.writeLong(seen.version);
            out.writeLong(fence.term);
            out.writeLong(fence.token);
            out.writeLong(checkpoint.position);
            out.writeLong(checkpoint.oldest);
            out.writeInt(checkpoint.lineage.starts().size());
            for (TermStart t : checkpoint.lineage.starts()) {
                out.writeLong(t.term());
                out.writeUTF(t.origin());
                out.writeLong(t.firstPosition());
            }
            out.writeLong(checkpoint.committed);
            out.writeUTF(life.bootId);
            out.writeUTF(life.incarnation);
            out.writeBoolean(life.clean);
            out.writeBoolean(life.memoryLost);
            out.writeBoolean(life.damaged);
            out.writeUTF(life.failed);
            out.writeUTF(rebuild.copy);
            out.writeLong(rebuild.since);
            out.writeBoolean(rebuild.journalGoes);
            out.writeLong(doubt.blocks);
            out.writeLong(doubt.position);
            out.writeLong(reach);
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

    Superblock with(Seen newer) {
        return new Superblock(newer, fence, checkpoint, life, rebuild, doubt, reach);
    }

    Superblock with(Fence higher) {
        return new Superblock(seen, higher, checkpoint, life, rebuild, doubt, reach);
    }

    Superblock with(Checkpoint later) {
        return new Superblock(seen, fence, later, life, rebuild, doubt, reach);
    }

    Superblock with(Life now) {
        return new Superblock(seen, fence, checkpoint, now, rebuild, doubt, reach);
    }

    Superblock with(Rebuild now) {
        return new Superblock(seen, fence, checkpoint, life, now, doubt, reach);
    }

    Superblock with(Doubt now) {
        return new Superblock(seen, fence, checkpoint, life, rebuild, now, reach);
    }

    Superblock reaching(long now) {
        return new Superblock(seen, fence, checkpoint, life, rebuild, doubt, now);
    }

    /** Opened under this boot id. After a loss the in-sync set has to take this replica in anew, under another name. */
    Superblock opened(String bootId, boolean found) {
        boolean lost = !life.clean && !life.bootId.equals(bootId);
        String name = lost || found ? bootId + "/" + UUID.randomUUID() : life.incarnation;
        return with(new Life(bootId, name, false, life.memoryLost || lost, life.damaged || found, life.failed));
    }

    Superblock closedCleanly() {
        return with(new Life(life.bootId, life.incarnation, true, life.memoryLost, life.damaged, life.failed));
    }

    /** The in-sync set has taken this incarnation in: it holds everything again. */
    Superblock vouched() {
        return with(new Life(life.bootId, life.incarnation, life.clean, false, false, life.failed));
    }

    Superblock failedBecause(String why) {
        return with(new Life(life.bootId, life.incarnation, false, life.memoryLost, life.damaged, why));
    }

    private static int crc(byte[] bytes, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, from, length);
        return (int) crc.getValue();
    }
}
