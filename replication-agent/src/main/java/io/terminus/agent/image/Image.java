package io.terminus.agent.image;

import io.terminus.agent.image.NativeFile.Outcome;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * The blocks of a volume in a sparse file of the volume's size. Any thread, any verb; operations that overlap are the caller's to
 * order.
 *
 * <p>A write must not be acknowledged before {@link #secure} has made sure that there is space for it, because it is applied only later. For
 * each 64 KiB block the image remembers whether it is known to have all its space; punching forgets it. On file systems that copy on
 * write (btrfs, reflinked XFS) even allocated space does not guarantee that an overwrite succeeds.
 *
 * <p>A disk failure is final: every later call is refused. A lack of space is not.
 */
public final class Image implements AutoCloseable {

    private static final int BLOCK_SHIFT = 16;
    private static final int BLOCK_BYTES = 1 << BLOCK_SHIFT;

    /** Up to here zeros are written rather than asked of the file system, whose extents a small range would only split. */
    private static final int SMALL_ZEROES_BYTES = 64 << 10;

    /** What one hint may make the kernel read, and the steps in which Linux takes it. */
    private static final long AHEAD_BYTES = 32 << 20;

    private static final long AHEAD_STEP_BYTES = 128 << 10;

    /**
     * Written at once, and within a multiple of this: Linux keeps what one call writes in page-cache folios of up to that size, and
     * a 4 KiB write into a folio of 1 MiB costs 2.6 times one into a folio of 32 KiB, however much later it comes.
     */
    public static final int PIECE_BYTES = 32 << 10;

    private static final ByteBuffer ZEROS = ByteBuffer.allocateDirect(1 << 20).asReadOnlyBuffer();

    private final Path path;
    private volatile long sizeBytes;
    private final NativeFile file;

    /** A bit per block: all its space is allocated. */
    private volatile AtomicLongArray secured;

    /** Held while bits of {@link #secured} change together with the space they stand for. */
    private final Object securing = new Object();

    private final Object syncing = new Object();

    /** Only for file systems without fallocate: there space is made by writing zeros, and nobody else may write meanwhile. */
    private final ReentrantReadWriteLock filling = new ReentrantReadWriteLock();

    private volatile FileChannel channel;
    private volatile boolean closed;
    private volatile @Nullable ImageFailedException failure;

    private volatile boolean canAllocate = true;
    private volatile boolean canPunch = true;
    private volatile boolean canZeroRange = true;

    private Image(Path path, long sizeBytes, NativeFile file, FileChannel channel) {
        this.path = path;
        this.sizeBytes = sizeBytes;
        this.file = file;
        this.channel = channel;
        this.secured = new AtomicLongArray(words(sizeBytes));
    }

    private static int words(long sizeBytes) {
        long blocks = (sizeBytes + BLOCK_BYTES - 1) >>> BLOCK_SHIFT;
        return Math.toIntExact((blocks + 63) >>> 6);
    }

    /**
     * Opens an image, or makes one that is a single hole. An existing file that is smaller was to grow, and does now; one that
     * is larger is not this volume's.
     */
    public static Image open(Path path, long sizeBytes) throws IOException {
        return open(path, sizeBytes, UnaryOperator.identity());
    }

    static Image open(Path path, long sizeBytes, UnaryOperator<NativeFile> around) throws IOException {
        if (sizeBytes < 1) {
            throw new IllegalArgumentException("an image of " + sizeBytes + " bytes");
        }
        if (Files.notExists(path)) {
            create(path, sizeBytes);
        } else if (Files.size(path) < sizeBytes) {
            extend(path, sizeBytes);
        } else if (Files.size(path) > sizeBytes) {
            throw new IOException(path + " has " + Files.size(path) + " bytes: the volume has " + sizeBytes);
        }
        NativeFile file = around.apply(NativeFile.open(path));
        try {
            Image image = new Image(path, sizeBytes, file, openChannel(path));
            image.findSecured();
            return image;
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** A file under the image's name is always whole: it gets the name when it has its size. */
    private static void create(Path path, long sizeBytes) throws IOException {
        Path fresh = path.resolveSibling(path.getFileName() + ".new");
        Files.deleteIfExists(fresh);
        try (RandomAccessFile created = new RandomAccessFile(fresh.toFile(), "rw")) {
            created.setLength(sizeBytes);
            created.getFD().sync();
        }
        Files.move(fresh, path, StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel directory =
                FileChannel.open(path.toAbsolutePath().resolveSibling("."), StandardOpenOption.READ)) {
            directory.force(true);
        }
    }

    private static void extend(Path path, long sizeBytes) throws IOException {
        try (RandomAccessFile image = new RandomAccessFile(path.toFile(), "rw")) {
            image.setLength(sizeBytes);
            image.getFD().sync();
        }
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    /** Grows, by a hole, durably. A failure changes nothing, and is not final: files have a largest size. */
    public void grow(long newSizeBytes) throws IOException {
        checkUsable();
        synchronized (securing) {
            if (newSizeBytes < sizeBytes) {
                throw new IllegalArgumentException(
                        path + " has " + sizeBytes + " bytes and only grows, not to " + newSizeBytes);
            }
            if (newSizeBytes == sizeBytes) {
                return;
            }
            extend(path, newSizeBytes);
            AtomicLongArray more = new AtomicLongArray(words(newSizeBytes));
            for (int i = 0; i < secured.length(); i++) {
                more.set(i, secured.get(i));
            }
            secured = more;
            if ((sizeBytes & (BLOCK_BYTES - 1)) != 0) {
                setSecured(sizeBytes >>> BLOCK_SHIFT, false); // its rest is new, and has no space
            }
            sizeBytes = newSizeBytes;
        }
    }

    /** Could a file beside this one have that size? A file system may know a largest one. */
    public void requireRoomFor(long newSizeBytes) throws IOException {
        Path trial = path.resolveSibling(path.getFileName() + ".trial");
        try (RandomAccessFile file = new RandomAccessFile(trial.toFile(), "rw")) {
            file.setLength(newSizeBytes);
        } finally {
            Files.deleteIfExists(trial);
        }
    }

    /**
     * Takes the bytes of a file that is about to be deleted off the disk, where the file system can, although it is mapped: deleted
     * alone it would stay until nobody maps it any more. What is mapped reads as zeros.
     */
    public static void empty(Path file, long bytes) throws IOException {
        try (NativeFile emptied = NativeFile.open(file)) {
            emptied.fallocate(NativeFile.FALLOC_FL_PUNCH_HOLE | NativeFile.FALLOC_FL_KEEP_SIZE, 0, bytes);
        }
    }

    /** Fills what remains of {@code target} from {@code offset}. */
    public void read(long offset, ByteBuffer target) throws IOException {
        requireRange(offset, target.remaining());
        int start = target.position();
        while (target.hasRemaining()) {
            try {
                int read = channel().read(target, offset + target.position() - start);
                if (read < 0) {
                    throw new IOException(path + " ends at " + (offset + target.position() - start));
                }
            } catch (ClosedChannelException e) {
                recover(e);
            } catch (IOException e) {
                throw fail("reading at " + offset, e);
            }
        }
    }

    /** Writes what remains of {@code source}, such as a record's mapped payload, at {@code offset}. */
    public void write(ByteBuffer source, long offset) throws IOException {
        requireRange(offset, source.remaining());
        filling.readLock().lock();
        try {
            writeFully(source, offset);
        } finally {
            filling.readLock().unlock();
        }
    }

    /**
     * Makes [offset, offset + length) read as zeros.
     *
     * @param mayPunch whether the space may be given back. It must not be while writes to the range that were acknowledged on the
     *     strength of {@link #secure} are still to be applied: they would find their space gone
     */
    public void zero(long offset, long length, boolean mayPunch) throws IOException {
        requireRange(offset, length);
        if (length == 0) {
            return;
        }
        filling.readLock().lock();
        try {
            if (mayPunch && canPunch) {
                synchronized (securing) {
                    if (punch(offset, length)) {
                        return;
                    }
                }
            }
            if (length > SMALL_ZEROES_BYTES && canZeroRange && zeroRange(offset, length)) {
                return;
            }
            writeZeros(offset, length);
        } finally {
            filling.readLock().unlock();
        }
    }

    /**
     * Makes sure that space for [offset, offset + length) is allocated. Cheap where it is known to be.
     *
     * @throws NoSpaceException a write there must not be acknowledged
     */
    public void secure(long offset, long length) throws IOException {
        requireRange(offset, length);
        long end = offset + length;
        long block = nextUnsecured(offset >>> BLOCK_SHIFT, end);
        if (block << BLOCK_SHIFT >= end) {
            return;
        }
        synchronized (securing) {
            while (true) {
                block = nextUnsecured(block, end);
                long from = block << BLOCK_SHIFT;
                if (from >= end) {
                    return;
                }
                long behind = block + 1;
                while (behind << BLOCK_SHIFT < end && !isSecured(behind)) {
                    behind++;
                }
                allocate(from, Math.min(behind << BLOCK_SHIFT, sizeBytes));
                for (long done = block; done < behind; done++) {
                    setSecured(done, true);
                }
                block = behind;
            }
        }
    }

    /**
     * Shows what of [offset, offset + length) is data and what is a hole, alternating, without gaps. Allocated space that was never
     * written counts as a hole.
     */
    public <X extends Exception> void extents(long offset, long length, ExtentVisitor<X> visitor)
            throws IOException, X {
        requireRange(offset, length);
        long end = offset + length;
        long at = offset;
        while (at < end) {
            long data = seek(at, true);
            long dataStart = data < 0 ? end : Math.min(data, end);
            if (dataStart > at && !visitor.extent(at, dataStart - at, false)) {
                return;
            }
            at = dataStart;
            if (at < end) {
                long hole = Math.min(seek(at, false), end);
                if (hole > at && !visitor.extent(at, hole - at, true)) {
                    return;
                }
                at = hole;
            }
        }
    }

    /** As {@link #extents}, and says of what reads as zeros whether its space is known to be allocated. */
    public <X extends Exception> void space(long offset, long length, SpaceVisitor<X> visitor) throws IOException, X {
        extents(offset, length, (at, count, data) -> {
            if (data) {
                return visitor.extent(at, count, Space.DATA);
            }
            long end = at + count;
            for (long from = at; from < end; ) {
                boolean known = isSecured(from >>> BLOCK_SHIFT);
                long to = Math.min(end, sameFrom(from >>> BLOCK_SHIFT, end, known) << BLOCK_SHIFT);
                if (!visitor.extent(from, to - from, known ? Space.ALLOCATED : Space.HOLE)) {
                    return false;
                }
                from = to;
            }
            return true;
        });
    }

    /** The kernel may read [offset, offset + length) ahead. A hint, of which it takes the first {@link #AHEAD_BYTES}. */
    public void willNeed(long offset, long length) throws IOException {
        requireRange(offset, length);
        checkUsable();
        long end = offset + Math.min(length, AHEAD_BYTES);
        for (long at = offset; at < end; at += AHEAD_STEP_BYTES) {
            file.willNeed(at, Math.min(AHEAD_STEP_BYTES, end - at));
        }
    }

    /**
     * fdatasync: everything written, zeroed and secured before is on the disk. A failure is final. One at a time: Linux reports a
     * failed write-back once, and two syncs under way might take one report for both.
     */
    public void sync() throws IOException {
        synchronized (syncing) {
            checkUsable();
            try {
                file.fdatasync();
            } catch (IOException e) {
                throw fail("fdatasync", e);
            }
        }
    }

    /** Closes the files; the caller has ended all other calls. Syncs nothing. */
    @Override
    public void close() throws IOException {
        synchronized (securing) {
            if (closed) {
                return;
            }
            closed = true;
            channel.close();
            file.close();
        }
    }

    // ---- Space

    private void findSecured() throws IOException {
        extents(0, sizeBytes, (offset, length, data) -> {
            if (data) {
                long end = offset + length;
                long behind = end == sizeBytes ? (end + BLOCK_BYTES - 1) >>> BLOCK_SHIFT : end >>> BLOCK_SHIFT;
                for (long block = (offset + BLOCK_BYTES - 1) >>> BLOCK_SHIFT; block < behind; block++) {
                    setSecured(block, true);
                }
            }
            return true;
        });
    }

    private boolean punch(long offset, long length) throws IOException {
        for (long block = offset >>> BLOCK_SHIFT; block << BLOCK_SHIFT < offset + length; block++) {
            setSecured(block, false);
        }
        int mode = NativeFile.FALLOC_FL_PUNCH_HOLE | NativeFile.FALLOC_FL_KEEP_SIZE;
        return switch (fallocate(mode, offset, length)) {
            case DONE -> true;
            // Splitting an extent may need space for the file's own records of it; zeros can still be written over
            // data.
            case NO_SPACE -> false;
            case UNSUPPORTED -> {
                canPunch = false;
                yield false;
            }
        };
    }

    private boolean zeroRange(long offset, long length) throws IOException {
        int mode = NativeFile.FALLOC_FL_ZERO_RANGE | NativeFile.FALLOC_FL_KEEP_SIZE;
        return switch (fallocate(mode, offset, length)) {
            case DONE -> true;
            case NO_SPACE -> throw noSpace(offset, length);
            case UNSUPPORTED -> {
                canZeroRange = false;
                yield false;
            }
        };
    }

    private void allocate(long from, long to) throws IOException {
        if (canAllocate) {
            switch (fallocate(0, from, to - from)) {
                case DONE -> {
                    return;
                }
                case NO_SPACE -> throw noSpace(from, to - from);
                case UNSUPPORTED -> canAllocate = false;
            }
        }
        filling.writeLock().lock();
        try {
            extents(from, to - from, (offset, length, data) -> {
                if (!data) {
                    writeZeros(offset, length);
                }
                return true;
            });
        } finally {
            filling.writeLock().unlock();
        }
    }

    private long nextUnsecured(long block, long end) {
        long next = block;
        while (next << BLOCK_SHIFT < end && isSecured(next)) {
            next++;
        }
        return next;
    }

    /** The first block behind {@code block} that is not like it, or one at or behind {@code end}. */
    private long sameFrom(long block, long end, boolean known) {
        long next = block + 1;
        while (next << BLOCK_SHIFT < end) {
            boolean word = (next & 63) == 0 && secured.get((int) (next >>> 6)) == (known ? -1L : 0L);
            if (!word && isSecured(next) != known) {
                return next;
            }
            next += word ? 64 : 1;
        }
        return next;
    }

    private boolean isSecured(long block) {
        return (secured.get((int) (block >>> 6)) & 1L << block) != 0;
    }

    private void setSecured(long block, boolean known) {
        int word = (int) (block >>> 6);
        long bit = 1L << block;
        if (known) {
            secured.getAndUpdate(word, bits -> bits | bit);
        } else {
            secured.getAndUpdate(word, bits -> bits & ~bit);
        }
    }

    // ---- Calls

    private void writeZeros(long offset, long length) throws IOException {
        for (long at = offset; at < offset + length; ) {
            ByteBuffer zeros = ZEROS.duplicate();
            zeros.limit((int) Math.min(zeros.capacity(), offset + length - at));
            int count = zeros.remaining();
            writeFully(zeros, at);
            at += count;
        }
    }

    private void writeFully(ByteBuffer source, long offset) throws IOException {
        int start = source.position();
        int end = source.limit();
        boolean askedForSpace = false;
        while (source.position() < end) {
            long at = offset + source.position() - start;
            int piece = PIECE_BYTES - (int) (at & PIECE_BYTES - 1);
            source.limit(Math.min(end, source.position() + piece));
            try {
                if (channel().write(source, at) > 0) {
                    askedForSpace = false;
                }
            } catch (ClosedChannelException e) {
                recover(e);
            } catch (IOException e) {
                // Java does not tell the reason in a form to rely on; asking for the space does.
                if (askedForSpace || !canAllocate) {
                    throw fail("writing at " + at, e);
                }
                askedForSpace = true;
                if (fallocate(0, at, source.remaining()) == Outcome.NO_SPACE) {
                    throw noSpace(at, source.remaining());
                }
            }
        }
    }

    private Outcome fallocate(int mode, long offset, long length) throws IOException {
        checkUsable();
        try {
            return file.fallocate(mode, offset, length);
        } catch (IOException e) {
            throw fail("fallocate", e);
        }
    }

    private long seek(long offset, boolean data) throws IOException {
        checkUsable();
        try {
            return data ? file.nextData(offset) : file.nextHole(offset);
        } catch (IOException e) {
            throw fail("looking for extents", e);
        }
    }

    private FileChannel channel() throws IOException {
        checkUsable();
        return channel;
    }

    /**
     * An interrupted thread closes the channel for all. The interrupted one is told; the others go on with a new channel.
     */
    private void recover(ClosedChannelException e) throws IOException {
        synchronized (securing) {
            if (!closed && !channel.isOpen()) {
                channel = openChannel(path);
            }
        }
        if (closed || e instanceof ClosedByInterruptException) {
            throw e;
        }
    }

    private static FileChannel openChannel(Path path) throws IOException {
        return FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
    }

    private void checkUsable() throws IOException {
        ImageFailedException failed = failure;
        if (failed != null) {
            throw new ImageFailedException(String.valueOf(failed.getMessage()), failed);
        }
        if (closed) {
            throw new ClosedChannelException();
        }
    }

    private ImageFailedException fail(String what, IOException cause) {
        ImageFailedException failed =
                new ImageFailedException(what + " in " + path + " failed: " + cause.getMessage(), cause);
        synchronized (securing) {
            if (failure == null) {
                failure = failed;
            }
        }
        return failed;
    }

    private NoSpaceException noSpace(long offset, long length) {
        return new NoSpaceException("no space for " + length + " bytes at offset " + offset + " of " + path);
    }

    private void requireRange(long offset, long length) {
        if (offset < 0 || length < 0 || offset > sizeBytes - length) {
            throw new IllegalArgumentException(
                    "[" + offset + ", " + offset + "+" + length + ") of an image of " + sizeBytes + " bytes");
        }
    }
}
