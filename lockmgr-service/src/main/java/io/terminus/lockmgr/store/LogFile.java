package io.terminus.lockmgr.store;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * A file that is written from its beginning on and synced. A {@link java.nio.channels.FileChannel} would be closed under all of its
 * users by an interrupt of one of them, and the log is written by whatever thread has a turn of the table; this takes no notice.
 *
 * <p>One thread writes; any may sync.
 */
final class LogFile implements AutoCloseable {

    private final RandomAccessFile file;

    /** Empties a file that is there. */
    LogFile(Path path) throws IOException {
        file = new RandomAccessFile(path.toFile(), "rw");
        try {
            file.setLength(0);
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    /** All that remains in a buffer that lies on the heap. */
    void write(ByteBuffer bytes) throws IOException {
        file.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
        bytes.position(bytes.limit());
    }

    void sync() throws IOException {
        file.getFD().sync();
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
