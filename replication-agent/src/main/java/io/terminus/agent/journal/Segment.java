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
 * One file of a journal, pre-written, mapped for as long as anything refers to its bytes. On Linux a mapping and a descriptor of one
 * file share the page cache, so what is stored through the mapping is what sendfile sends and fdatasync writes.
 *
 * <p>The mapping is left to the garbage collector: a slice that someone still holds then never points at memory that is gone.
 *
 * <p>Java closes a file channel under a thread that is interrupted. So sending and syncing have a channel each, and a closed one is
 * replaced.
 */
final class Segment {

    /** Covers the positions [number * size, (number + 1) * size). */
    final long number;

    /** All its bytes, little endian; only absolute access, because all threads share it. */
    final ByteBuffer bytes;

    private final Path file;
    private FileChannel forSync;
    private FileChannel forSend;

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
        FileChannel forSync = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            FileChannel forSend = FileChannel.open(file, StandardOpenOption.READ);
            ByteBuffer bytes =
                    forSync.map(FileChannel.MapMode.READ_WRITE, 0, segmentBytes).order(ByteOrder.LITTLE_ENDIAN);
            return new Segment(number, file, bytes, forSync, forSend);
        } catch (IOException | RuntimeException e) {
            forSync.close();
            throw e;
        }
    }

    /** The same file and mapping under its next number; the file has been renamed. */
    Segment renumbered(long next, Path directory) {
        return new Segment(next, directory.resolve(fileName(next)), bytes, forSync, forSend);
    }

    Path file() {
        return file;
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
        forSync.close();
        forSend.close();
    }

    private synchronized FileChannel sendChannel() throws IOException {
        if (!forSend.isOpen()) {
            if (!forSync.isOpen()) {
                throw new ClosedChannelException();
            }
            forSend = FileChannel.open(file, StandardOpenOption.READ);
        }
        return forSend;
    }

    private synchronized void swapChannels() throws IOException {
        FileChannel other = forSend;
        forSend = FileChannel.open(file, StandardOpenOption.READ);
        forSync = other.isOpen() ? other : forSend;
    }
}
