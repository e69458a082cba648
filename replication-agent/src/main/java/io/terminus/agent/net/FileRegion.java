package io.terminus.agent.net;

import java.io.EOFException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;

/**
 * The bytes [start, end) of a file, sent by the kernel (sendfile) without a copy through this process. The channel must
 * stay open, and the bytes must not change, until the receiver has acknowledged them: sendfile does not take a
 * snapshot.
 *
 * <p>Below about 16 KiB a copying write is as cheap; from 32 KiB on this wins.
 */
public class FileRegion implements Outbound {

    /** One call moves at most this much, so that the send lock is let go of now and then. */
    private static final long STEP_BYTES = 1 << 20;

    private final FileChannel file;
    private final long end;
    private long next;

    public FileRegion(FileChannel file, long start, long end) {
        if (start < 0 || end < start) {
            throw new IllegalArgumentException("File region [" + start + ", " + end + ") is not 0 <= start <= end");
        }
        this.file = file;
        this.next = start;
        this.end = end;
    }

    @Override
    public long transferTo(SocketChannel to) throws IOException {
        long sent = file.transferTo(next, Math.min(end - next, STEP_BYTES), to);
        // A file that ends early also gives 0: waiting for the socket then would wait for ever.
        if (sent == 0 && next < end && next >= file.size()) {
            throw new EOFException("File ends at " + file.size() + ", before the region's next byte at " + next);
        }
        next += sent;
        return sent;
    }

    @Override
    public long remainingBytes() {
        return end - next;
    }
}
