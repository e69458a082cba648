package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.RecordKind;
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
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What one replica that is not in sync misses, as far as the journal here does not tell it any more.
 *
 * <p>The promise: take the replica in any state that its {@link #reaches} accepts, add the marked blocks, and all records
 * of this journal from {@link #upTo} on; then it is the volume. Three things keep it true. Records are marked before
 * their segment goes. What the replica itself reports as durable need not be marked, but then no earlier state of it is
 * accepted any more: {@code base} moves along. And a mark goes only for a copy that the replica has durable.
 *
 * <p>From {@code wholeFrom} on every block counts as marked. With 0 that is always a true statement, whatever was lost
 * here, and it is where everything that goes wrong ends: it costs a whole copy, never a wrong one.
 *
 * <p>The state is one small file, replaced as a whole; it says whether the map beside it is in use, and a map in use at a
 * start was not closed in good order.
 *
 * <pre>
 *   0  magic     u64  "TRMMARKS"
 *   8  crc32c    u32  of the rest
 *  12  base      i64  states from this position on are accepted
 *  20  up to     i64  records from here on are in the journal
 *  28  whole     i64  every block from this offset on is marked
 *  36  map       u8   0 there is none, 1 closed, 2 in use
 *  37  copy      utf  the copy under way, empty: none
 * </pre>
 *
 * <p>Any thread; every verb is short but {@link #cover}.
 */
final class PeerMarks {

    private static final Logger LOG = LoggerFactory.getLogger(PeerMarks.class);
    private static final long MAGIC = 0x54524d4d41524b53L;
    private static final int HEADER_BYTES = 12;
    private static final byte MAP_NONE = 0;
    private static final byte MAP_CLOSED = 1;
    private static final byte MAP_IN_USE = 2;

    /** How far a whole copy may get before that is written down. */
    private static final long WHOLE_STEP_BYTES = 64L << 20;

    /** What is marked of one extent: which of its blocks. */
    record Marked(long extent, long[] blocks) {
        static Marked all(long extent) {
            return new Marked(extent, new long[] {-1, -1, -1, -1});
        }

        /** As large as an extent is, whether or not the volume's last one is. */
        boolean all() {
            return (blocks[0] & blocks[1] & blocks[2] & blocks[3]) == -1;
        }

        boolean block(int number) {
            return (blocks[number / Long.SIZE] & 1L << number) != 0;
        }

        /** The first marked block from that one on, or {@code behind}. */
        int next(int from, int behind) {
            int number = from;
            while (number < behind && !block(number)) {
                number++;
            }
            return number;
        }
    }

    private final Path stateFile;
    private final Path mapFile;
    private long sizeBytes;
    private @Nullable ExtentMap map;
    private boolean mapThere;
    private long base;
    private volatile long upTo;
    private long wholeFrom;
    private long wholeFromSaved;

    /** What was read for a copy before this may be on its way still, and does not count against {@code wholeFrom}. */
    private long wholeSince;

    private String copy = "";
    private long markedBlocks;
    private boolean following;
    private boolean closed;

    private PeerMarks(Path stateFile, long sizeBytes, long oldest) {
        this.stateFile = stateFile;
        this.mapFile = stateFile.resolveSibling(stateFile.getFileName() + ".map");
        this.sizeBytes = sizeBytes;
        this.base = oldest;
        this.upTo = oldest;
        this.wholeFrom = sizeBytes;
    }

    /** The marks kept in {@code stateFile}, or none yet: then the journal, from {@code oldest} on, is all there is. */
    static PeerMarks open(Path stateFile, long sizeBytes, long oldest) throws IOException {
        PeerMarks marks = new PeerMarks(stateFile, sizeBytes, oldest);
        boolean good = marks.load();
        if (!good || marks.upTo < oldest) {
            // The state itself is not believed, or the journal behind it is gone.
            marks.dropMap();
            marks.copy = "";
            marks.everything(oldest);
        }
        marks.save();
        return marks;
    }

    /** Does what is known here bring the replica back from that state? */
    synchronized boolean reaches(long position, String copyThere) {
        return wholeFrom == 0 || (position >= base && copy.equals(copyThere));
    }

    /** Records from here on are in the journal; those before it are marked, or the replica has them. */
    long upTo() {
        return upTo;
    }

    /** Of a replica that was taken away, or taken into the set, there is nothing to say any more. */
    synchronized boolean isEmpty() {
        return !closed && wholeFrom >= sizeBytes && markedBlocks == 0;
    }

    synchronized long markedBytes() {
        // What is marked as a whole may have marks of its own, too.
        long whole = sizeBytes - Math.min(wholeFrom, sizeBytes);
        return Math.min(sizeBytes, whole + markedBlocks * ExtentMap.BLOCK_BYTES);
    }

    /** Is this replica fed by a stream from here, so that only what the stream cannot have needs marking? */
    synchronized boolean following() {
        return following;
    }

    /** Marks what the journal holds before {@code to}, durably: that may be released when this returns. */
    void cover(Journal journal, long to) {
        while (true) {
            synchronized (this) {
                // Looked up anew each time: a stream that begins may have set it back, or the replica's word forth.
                long from = upTo;
                if (closed || from >= to) {
                    return;
                }
                coverStep(journal, from, Math.min(to, journal.segmentEnd(from)));
            }
        }
    }

    private void coverStep(Journal journal, long from, long to) {
        try {
            long[] reached = {from};
            journal.forEach(from, to, r -> {
                if (r.kind() == RecordKind.WRITE || r.kind() == RecordKind.WRITE_ZEROES) {
                    mark(r.offset(), r.length(), r.position());
                }
                reached[0] = r.endPosition();
                return true;
            });
            if (map != null) {
                map.sync();
            }
            upTo = reached[0];
            save();
        } catch (IOException | RuntimeException | Error e) {
            // An Error as well: a mapped page that finds no room on the disk is an InternalError.
            LOG.warn("marks in {}: everything counts as marked from now on: {}", stateFile, e.toString());
            giveUp(to);
        }
    }

    /** The model's step: one record, before its position is covered. */
    synchronized void mark(long offset, long length, long position) throws IOException {
        if (closed) {
            return; // deleted under a copy: the replica was taken away
        }
        // While a copy is under way, what is marked as a whole goes by extents that were read before this record.
        long end = copy.isEmpty() ? Math.min(offset + length, wholeFrom) : offset + length;
        for (long at = offset; at < end; ) {
            long extent = at / ExtentMap.EXTENT_BYTES;
            long start = extent * ExtentMap.EXTENT_BYTES;
            long stop = Math.min(end, start + ExtentMap.EXTENT_BYTES);
            int first = (int) ((at - start) / ExtentMap.BLOCK_BYTES);
            int behind = (int) ((stop - start + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES);
            markedBlocks += mapInUse().mark(extent, first, behind, position);
            at = stop;
        }
    }

    /** The replica has everything before {@code position} durable: that needs no mark, but no older state will do. */
    synchronized void held(long position) {
        base = Math.max(base, position);
        upTo = Math.max(upTo, position);
    }

    /** A stream feeds the replica, or no longer. */
    synchronized void following(boolean now) {
        following = now;
    }

    /** The replica is complete at {@code position}, and the journal has what follows. */
    synchronized void complete(long position) {
        try {
            dropMap();
            wholeFrom = sizeBytes;
            wholeFromSaved = sizeBytes;
            copy = "";
            base = position;
            upTo = position;
            save();
        } catch (IOException e) {
            giveUp(position);
        }
    }

    /** The volume has grown. What is new reads as zeros at every replica, and needs no mark. */
    synchronized void grow(long newSizeBytes) {
        boolean some = map != null || wholeFrom < sizeBytes;
        sizeBytes = newSizeBytes;
        if (closed) {
            return;
        }
        if (some) {
            giveUp(upTo); // the map has places for as many extents as there were
        } else {
            wholeFrom = newSizeBytes;
            wholeFromSaved = newSizeBytes;
            trySave();
        }
    }

    /** Everything counts as marked: whatever state the replica is in, it can be brought back. */
    synchronized void markAll() {
        try {
            dropMap();
        } catch (IOException e) {
            LOG.warn("{} cannot be deleted: {}", mapFile, e.getMessage());
        }
        copy = "";
        everything(upTo);
        trySave();
    }

    /** From now on what is marked is what the replica lacks in that copy, at {@code position} or later. */
    synchronized void begin(String newCopy, long position) {
        copy = newCopy;
        base = position;
        upTo = Math.max(upTo, position);
        trySave();
    }

    synchronized String copyUnderWay() {
        return copy;
    }

    synchronized boolean isClosed() {
        return closed;
    }

    /** The copy is through: the replica is complete, and was so at {@code position}. False if nobody here knows that. */
    synchronized boolean ended(long position) {
        if (closed) {
            return false;
        }
        copy = "";
        base = Math.max(base, position);
        upTo = Math.max(upTo, position);
        trySave();
        return true;
    }

    /** The next extent with a mark, {@code from} or behind it, or null. */
    synchronized @Nullable Marked next(long from) {
        long behind = extents();
        long firstWhole = wholeFrom < sizeBytes ? wholeFrom / ExtentMap.EXTENT_BYTES : behind;
        ExtentMap there = map;
        if (there != null && markedBlocks > 0) {
            for (long extent = from; extent < Math.min(firstWhole, behind); extent++) {
                long[] blocks = there.blocks(extent);
                if (blocks != null) {
                    return new Marked(extent, blocks);
                }
            }
        }
        long extent = Math.max(from, firstWhole);
        return wholeFrom < sizeBytes && extent < behind ? Marked.all(extent) : null;
    }

    /** The offset from which everything is marked; the volume's size if nothing is. */
    synchronized long wholeFrom() {
        return wholeFrom;
    }

    /**
     * What was marked there was read at {@code position} or behind it, and is durable at the replica. Only what was looked
     * at then: a block marked since, though for an older record, was not copied. Copies come in order, so of what is
     * marked as a whole the beginning goes.
     */
    synchronized void copied(Marked there, long position) {
        base = Math.max(base, position);
        upTo = Math.max(upTo, position);
        ExtentMap extents = map;
        if (extents != null && markedBlocks > 0) {
            markedBlocks -= extents.clear(there.extent(), there.blocks(), position);
        }
        passWhole(there, position);
    }

    private void passWhole(Marked there, long position) {
        long start = there.extent() * ExtentMap.EXTENT_BYTES;
        long end = Math.min(start + ExtentMap.EXTENT_BYTES, sizeBytes);
        if (start <= wholeFrom && end > wholeFrom && there.all() && position >= wholeSince) {
            wholeFrom = end;
            if (end - wholeFromSaved >= WHOLE_STEP_BYTES || end == sizeBytes) {
                trySave();
            }
        }
    }

    /**
     * What the replica holds was compared with what stood here at {@code position}, and these blocks of the range differ:
     * a copy of them from that position on is wanted. Told before {@link #compared} is told of their extent.
     */
    synchronized void differ(long offset, long length, long blocks, long position) throws IOException {
        for (long left = blocks; left != 0; left &= left - 1) {
            long at = (long) Long.numberOfTrailingZeros(left) * ExtentMap.BLOCK_BYTES;
            mark(offset + at, Math.min(ExtentMap.BLOCK_BYTES, length - at), position - 1);
        }
    }

    /**
     * All of that extent was compared with what stood here at {@code position} or behind it, what differs is marked, and
     * what does not is durable at the replica: as a whole the extent is not marked any more.
     */
    synchronized void compared(Marked there, long position) {
        base = Math.max(base, position);
        upTo = Math.max(upTo, position);
        passWhole(there, position);
    }

    synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        ExtentMap there = map;
        map = null;
        if (there != null) {
            there.close();
        }
        try {
            if (there != null) {
                try (FileChannel pages = FileChannel.open(mapFile, StandardOpenOption.WRITE)) {
                    pages.force(true);
                }
            }
            save();
        } catch (IOException e) {
            LOG.warn("marks in {}: the next start will not believe them: {}", stateFile, e.getMessage());
        }
    }

    /** The replica is in sync, or no replica any more. */
    synchronized void delete() throws IOException {
        closed = true;
        dropMap();
        Files.deleteIfExists(stateFile);
    }

    private long extents() {
        return (sizeBytes + ExtentMap.EXTENT_BYTES - 1) / ExtentMap.EXTENT_BYTES;
    }

    private void giveUp(long position) {
        try {
            dropMap();
        } catch (IOException | RuntimeException e) {
            LOG.warn("{} cannot be deleted: {}", mapFile, e.toString());
        }
        everything(position);
        trySave();
    }

    private void everything(long position) {
        wholeFrom = 0;
        wholeFromSaved = 0;
        wholeSince = position;
        markedBlocks = 0;
        base = position;
        upTo = Math.max(upTo, position);
    }

    private ExtentMap mapInUse() throws IOException {
        ExtentMap there = map;
        if (there == null) {
            there = ExtentMap.open(mapFile, extents());
            map = there;
            mapThere = true;
            save(); // before it changes: a kill from here on leaves it not believed
        }
        return there;
    }

    private void dropMap() throws IOException {
        ExtentMap there = map;
        map = null;
        mapThere = false;
        markedBlocks = 0;
        if (there != null) {
            there.closeAndDelete();
        } else {
            Files.deleteIfExists(mapFile);
        }
    }

    /** False if there is something that is not to be believed. */
    private boolean load() {
        if (!Files.exists(stateFile)) {
            return !Files.exists(mapFile);
        }
        try {
            byte[] all = Files.readAllBytes(stateFile);
            ByteBuffer header = ByteBuffer.wrap(all);
            if (all.length < HEADER_BYTES
                    || header.getLong() != MAGIC
                    || header.getInt() != crc(all, all.length - HEADER_BYTES)) {
                return false;
            }
            byte mapState;
            try (DataInputStream in =
                    new DataInputStream(new ByteArrayInputStream(all, HEADER_BYTES, all.length - HEADER_BYTES))) {
                base = in.readLong();
                upTo = in.readLong();
                wholeFrom = in.readLong();
                wholeFromSaved = wholeFrom;
                mapState = in.readByte();
                copy = in.readUTF();
            }
            if (wholeFrom < 0 || wholeFrom > sizeBytes || mapState == MAP_IN_USE) {
                return false;
            }
            if (mapState == MAP_CLOSED) {
                if (!Files.exists(mapFile)) {
                    return false;
                }
                ExtentMap there = ExtentMap.open(mapFile, extents());
                map = there;
                mapThere = true;
                markedBlocks = there.countBlocks();
            }
            return true;
        } catch (IOException e) {
            LOG.warn("marks in {} are not believed: {}", stateFile, e.getMessage());
            return false;
        }
    }

    private void trySave() {
        if (closed) {
            return;
        }
        try {
            save();
        } catch (IOException e) {
            // What stands there is older, and older is true, too; but for the marks themselves.
            LOG.warn("marks in {} are not saved: {}", stateFile, e.getMessage());
        }
    }

    private void save() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeLong(base);
            out.writeLong(upTo);
            out.writeLong(wholeFrom);
            out.writeByte(!mapThere ? MAP_NONE : map == null ? MAP_CLOSED : MAP_IN_USE);
            out.writeUTF(copy);
        }
        byte[] body = bytes.toByteArray();
        ByteBuffer all = ByteBuffer.allocate(HEADER_BYTES + body.length);
        byte[] array = all.array();
        all.putLong(MAGIC).putInt(0).put(body);
        all.putInt(8, crc(array, body.length)).flip();
        Path next = stateFile.resolveSibling(stateFile.getFileName() + ".next");
        try (FileChannel out = FileChannel.open(
                next, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            while (all.hasRemaining()) {
                out.write(all);
            }
            out.force(true);
        }
        Files.move(next, stateFile, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        try (FileChannel directory =
                FileChannel.open(stateFile.toAbsolutePath().resolveSibling("."), StandardOpenOption.READ)) {
            directory.force(true);
        }
        wholeFromSaved = wholeFrom;
    }

    private static int crc(byte[] bytes, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, HEADER_BYTES, length);
        return (int) crc.getValue();
    }
}
