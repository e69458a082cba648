package io.terminus.agent.nbd;

import java.nio.ByteBuffer;

/**
 * What a connection has read and not decoded yet. It grows as bytes really come, by doubling, so that a client which
 * announces 32 MiB and stalls costs what it has sent; and it shrinks back. Used by the connection's reader only.
 *
 * <pre>
 *   0 ...... start ...... position ...... capacity
 *     taken        staged           room
 * </pre>
 */
final class Staging implements AutoCloseable {

    private final ElasticBuffer elastic;
    private int start;

    Staging(int baseBytes) {
        elastic = new ElasticBuffer(baseBytes, baseBytes);
    }

    /** Where the next bytes go, with room for at least one. {@code neededBytes}: of the request that is staged in part. */
    ByteBuffer room(int neededBytes) {
        if (start == elastic.buffer().position()) {
            start = 0;
            elastic.clear();
        }
        ByteBuffer buffer = elastic.buffer();
        if (buffer.capacity() - start < neededBytes || !buffer.hasRemaining()) {
            moveToFront(buffer);
        }
        if (!buffer.hasRemaining()) {
            // Full, and still not a whole request.
            elastic.grow(Math.max(buffer.capacity() + 1, Math.min(neededBytes, 2 * buffer.capacity())), 0);
        }
        return elastic.buffer();
    }

    /** What is staged, from the first byte not taken. */
    ByteBuffer staged() {
        return elastic.buffer().duplicate().flip().position(start);
    }

    /** Says how far {@link #staged} was read. */
    void taken(ByteBuffer staged) {
        start = staged.position();
    }

    /** Shrinks a buffer that is too large to be kept, if what is staged allows it; returns whether it is small enough now. */
    boolean shrink() {
        if (elastic.shrink(start)) {
            start = 0;
        }
        return elastic.buffer().capacity() <= ElasticBuffer.KEPT_BYTES;
    }

    int capacityBytes() {
        return elastic.buffer().capacity();
    }

    @Override
    public void close() {
        elastic.close();
    }

    private void moveToFront(ByteBuffer buffer) {
        if (start > 0) {
            buffer.flip().position(start);
            buffer.compact();
            start = 0;
        }
    }
}
