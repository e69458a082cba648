package io.terminus.agent.nbd;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;

/**
 * A connection's direct buffer between its socket and what reads from it. It grows as bytes really come, by doubling,
 * so that a client which announces 32 MiB and stalls costs what it has sent; and it shrinks back: at once if it was
 * large, after a while if it was not. Used by the connection's reader only; the memory is given back at once, not by a
 * garbage collection some day.
 *
 * <pre>
 *   0 ...... start ...... filled ...... capacity
 *     taken        staged         room
 * </pre>
 */
final class Staging implements AutoCloseable {

    static final int BASE_BYTES = 512 << 10;

    /** Above this a buffer is not kept for the next request. */
    private static final int KEPT_BYTES = 4 << 20;

    /** So many times in a row a larger buffer must have been idle and not needed before it shrinks. */
    private static final int PATIENCE = 256;

    private Arena arena = Arena.ofShared();
    private ByteBuffer buffer;
    private int start;
    private int notNeeded;

    Staging() {
        buffer = allocate(BASE_BYTES);
    }

    /** Where the next bytes go, with room for at least one. {@code neededBytes}: of the request that is staged in part. */
    ByteBuffer room(int neededBytes) {
        if (start == buffer.position()) {
            start = 0;
            buffer.clear();
            shrink(neededBytes);
        } else if (buffer.capacity() - start < neededBytes) {
            moveToFront();
        }
        if (!buffer.hasRemaining()) {
            moveToFront();
        }
        if (!buffer.hasRemaining()) {
            // Full, and still not a whole request.
            resize(Math.max(buffer.capacity() + 1, Math.min(neededBytes, 2 * buffer.capacity())));
        }
        return buffer;
    }

    /** What is staged, from the first byte not taken. */
    ByteBuffer staged() {
        return buffer.duplicate().flip().position(start);
    }

    /** Says how far {@link #staged} was read. */
    void taken(ByteBuffer staged) {
        start = staged.position();
    }

    boolean isEmpty() {
        return start == buffer.position();
    }

    int capacityBytes() {
        return buffer.capacity();
    }

    @Override
    public void close() {
        arena.close();
    }

    private void shrink(int neededBytes) {
        if (buffer.capacity() == BASE_BYTES) {
            return;
        }
        notNeeded++;
        if (buffer.capacity() > KEPT_BYTES || notNeeded > PATIENCE) {
            resize(BASE_BYTES);
        } else if (neededBytes > BASE_BYTES) {
            notNeeded = 0;
        }
    }

    private void moveToFront() {
        if (start > 0) {
            ByteBuffer staged = staged();
            buffer.clear();
            buffer.put(staged);
            start = 0;
        }
    }

    private void resize(int capacity) {
        Arena old = arena;
        ByteBuffer staged = staged();
        arena = Arena.ofShared();
        buffer = allocate(capacity);
        buffer.put(staged);
        start = 0;
        notNeeded = 0;
        old.close();
    }

    private ByteBuffer allocate(int capacity) {
        return arena.allocate(capacity, 4096).asByteBuffer();
    }
}
