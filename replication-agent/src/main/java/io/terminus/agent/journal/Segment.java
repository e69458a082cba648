package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * One file of a journal, pre-written. Bytes go in by positional writes and are read through a read-only mapping; on Linux both, and
 * sendfile, and fdatasync, work on the same page cache. Stores through a writable mapping would fault once a page after every
 * write-back, which costs several times the copy (docs/decisions/0001-journal-landing.md).
 *
 * <p>The mapping is left to the garbage collector: a slice that someone still holds then never points at memory that is gone.
 *
 * <p>Java closes a file channel under a thread that is interrupted. So writing and syncing share one channel, sending has another, and a
 * closed one is replaced.
 */
final class Segment {

    /** Covers the positions [number * size, (number + 1) * size). */
    final long number;

    /** All its bytes, read-only, little endian; only absolute access, because all threads share it. */
    final ByteBuffer bytes;

    private final Path file;
    private FileChannel forSync;
    private FileChannel forSend;
    private boolean closed;

    private Segment(long number, Path file, ByteBuffer bytes, FileChannel forSync, FileChannel forSend) {
        this.number = number;
        this.file = file;
        this.bytes = bytes;
        this.forSync = forSync;
        this.forSend = forSend;
    }

    static String fileName(long number) {
        return "%016x.seg".formatted(number);
    }

    static Segment open(long number, Path directory, int segmentBytes) throws IOException {
        Path file = directory.resolve(fileName(number));
        FileChannel forSync = channel(file);
        try {
            FileChannel forSend = channel(file);
            ByteBuffer bytes =
                    forSync.map(FileChannel.MapMode.READ_ONLY, 0, segmentBytes).order(ByteOrder.LITTLE_ENDIAN);
            return new Segment(number, file, bytes, forSync, forSend);
        } catch (IOException | RuntimeException e) {
            forSync.close();
            throw e;
        }
    }

    private static FileChannel channel(Path file) throws IOException {
        return FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
    }

    /** The same file and mapping under its next number; the file has been renamed. */
    Segment renumbered(long next, Path directory) {
        return new Segment(next, directory.resolve(fileName(next)), bytes, forSync, forSend);
    }

    Path file() {
        return file;
    }

    /** Writes all that remains of {@code source} at {@code at}. Any number of threads, at places of their own. */
    void write(int at, ByteBuffer source) throws IOException {
        int base = at - source.position();
        boolean interrupted = Thread.interrupted();
        try {
            while (source.hasRemaining()) {
                FileChannel channel = writeChannel();
                try {
                    channel.write(source, base + source.position());
                } catch (ClosedChannelException e) {
                    // An interrupt, of this thread or of another one that used the channel.
                    interrupted |= Thread.interrupted();
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    long send(int from, int count, WritableByteChannel target) throws IOException {
        return sendChannel().transferTo(from, count, target);
    }

    /**
     * fdatasync. An interrupt closes the channel and may hide an error behind it; the other channel, open all the while, then
     * reports the same error, because Linux reports a failed write-back once to every open descriptor.
     */
    void force(Disk disk) throws IOException {
        boolean interrupted = Thread.interrupted();
        try {
            while (true) {
                try {
                    disk.force(forSync);
                    return;
                } catch (ClosedByInterruptException e) {
                    interrupted |= Thread.interrupted();
                    swapChannels();
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    synchronized void close() throws IOException {
        closed = true;
        forSync.close();
        forSend.close();
    }

    private synchronized FileChannel writeChannel() throws IOException {
        if (!forSync.isOpen()) {
            requireOpen();
            swapChannels();
        }
        return forSync;
    }

    private synchronized FileChannel sendChannel() throws IOException {
        if (!forSend.isOpen()) {
            requireOpen();
            forSend = channel(file);
        }
        return forSend;
    }

    private synchronized void swapChannels() throws IOException {
        requireOpen();
        if (forSync.isOpen()) {
            return; // another thread has done it
        }
        FileChannel other = forSend;
        forSend = channel(file);
        forSync = other.isOpen() ? other : forSend;
    }

    private void requireOpen() throws IOException {
        if (closed) {
            throw new IOException(file + " is closed");
        }
    }
}
