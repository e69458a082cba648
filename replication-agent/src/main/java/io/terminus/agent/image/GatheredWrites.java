package io.terminus.agent.image;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Writes that come one after the other and are to reach the image together: what was written over meanwhile is never written, and what
 * lies next to each other within a piece of the image ({@link Image#PIECE_BYTES}, aligned) is one call of the kernel.
 *
 * <pre>
 *   in order of time         |  piece 0        |  piece 1        |
 *     1  ####                   ####                                a call
 *     2              ####                        ####
 *     3                ####                        ####             one call, with 2
 * </pre>
 *
 * <p>Of a piece that got several writes, which 512-byte sectors they cover fits into one long. A piece with a write that does not end on
 * sectors, which hardly any client makes, is written write by write, in their order.
 *
 * <p>Nothing is in the image before {@link #flush}. Of one that fails any part may be: the image then is at no single point of the
 * sequence until all of it, or more, was gathered and flushed again. So space is asked for first. For one thread.
 */
public final class GatheredWrites {

    /** Where they go; {@link Image}'s own. */
    interface Target {
        void secure(long offset, long length) throws IOException;

        void write(ByteBuffer source, long offset) throws IOException;
    }

    /** Parts of writes, each within a piece, held at most; the caller flushes when there are no more. */
    static final int MOST_PARTS = 1 << 14;

    private static final int PIECE_SHIFT = Integer.numberOfTrailingZeros(Image.PIECE_BYTES);
    private static final int PART_SHIFT = Integer.numberOfTrailingZeros(MOST_PARTS);
    private static final int SECTOR_SHIFT = Integer.numberOfTrailingZeros(Image.PIECE_BYTES / Long.SIZE);
    private static final int SECTOR_BYTES = 1 << SECTOR_SHIFT;

    private final Target target;
    private final List<ByteBuffer> parts = new ArrayList<>();
    private long[] offsets = new long[256];

    /** A piece and a part in it: sorted, they are the pieces in order of the image, and their parts in order of time. */
    private long[] order = new long[256];

    private final ByteBuffer piece = ByteBuffer.allocateDirect(Image.PIECE_BYTES);

    public GatheredWrites(Image image) {
        this(new Target() {
            @Override
            public void secure(long offset, long length) throws IOException {
                image.secure(offset, length);
            }

            @Override
            public void write(ByteBuffer source, long offset) throws IOException {
                image.write(source, offset);
            }
        });
    }

    GatheredWrites(Target target) {
        this.target = target;
    }

    /** Is there room for a write of so many bytes? If not, {@link #flush} makes it; an empty one takes anything a record can hold. */
    public boolean takes(int bytes) {
        return parts.isEmpty() || parts.size() + (bytes >> PIECE_SHIFT) + 2 <= MOST_PARTS;
    }

    /** {@code bytes} are to stay as they are until {@link #flush} returns. */
    public void add(long offset, ByteBuffer bytes) {
        for (int at = 0, count; at < bytes.remaining(); at += count) {
            long from = offset + at;
            int left = Image.PIECE_BYTES - (int) (from & Image.PIECE_BYTES - 1);
            count = Math.min(left, bytes.remaining() - at);
            int part = parts.size();
            if (part == MOST_PARTS) {
                throw new IllegalStateException("more than " + MOST_PARTS + " parts: takes() said so");
            }
            if (part == order.length) {
                order = Arrays.copyOf(order, 2 * part);
                offsets = Arrays.copyOf(offsets, 2 * part);
            }
            order[part] = from >>> PIECE_SHIFT << PART_SHIFT | part;
            offsets[part] = from;
            parts.add(bytes.slice(bytes.position() + at, count));
        }
    }

    /** Everything gathered is in the image, and nothing is gathered any more; after a failure neither is so. */
    public void flush() throws IOException {
        int count = parts.size();
        for (int i = 0; i < count; i++) {
            target.secure(offsets[i], parts.get(i).remaining());
        }
        Arrays.sort(order, 0, count);
        for (int from = 0, to; from < count; from = to) {
            to = from + 1;
            while (to < count && order[to] >>> PART_SHIFT == order[from] >>> PART_SHIFT) {
                to++;
            }
            writePiece(from, to);
        }
        clear();
    }

    public void clear() {
        parts.clear();
    }

    private void writePiece(int from, int to) throws IOException {
        if (to - from == 1 || !onSectors(from, to)) {
            for (int i = from; i < to; i++) {
                target.write(part(i).duplicate(), offset(i));
            }
            return;
        }
        long covered = 0;
        for (int i = from; i < to; i++) {
            ByteBuffer part = part(i);
            int at = (int) (offset(i) & Image.PIECE_BYTES - 1);
            piece.put(at, part, part.position(), part.remaining());
            covered |= -1L >>> Long.SIZE - (part.remaining() >>> SECTOR_SHIFT) << (at >>> SECTOR_SHIFT);
        }
        long start = offset(from) & -(long) Image.PIECE_BYTES;
        while (covered != 0) {
            int first = Long.numberOfTrailingZeros(covered);
            int sectors = Long.numberOfTrailingZeros(~(covered >>> first));
            int at = first << SECTOR_SHIFT;
            target.write(piece.slice(at, sectors << SECTOR_SHIFT), start + at);
            covered = sectors + first == Long.SIZE ? 0 : covered >>> first + sectors << first + sectors;
        }
    }

    private boolean onSectors(int from, int to) {
        for (int i = from; i < to; i++) {
            if (((offset(i) | part(i).remaining()) & SECTOR_BYTES - 1) != 0) {
                return false;
            }
        }
        return true;
    }

    private ByteBuffer part(int i) {
        return parts.get((int) order[i] & MOST_PARTS - 1);
    }

    private long offset(int i) {
        return offsets[(int) order[i] & MOST_PARTS - 1];
    }
}
