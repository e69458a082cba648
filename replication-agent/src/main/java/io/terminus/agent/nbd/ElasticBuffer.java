package io.terminus.agent.nbd;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;

/**
 * A direct buffer that grows when it must and shrinks back when it need not be large: at once from above 2 MiB, else
 * when it was not needed so large for a while. Its memory is given back at once, not by a garbage collection some day.
 * One thread only.
 */
final class ElasticBuffer implements AutoCloseable {

    /** Above this, which holds a request of 2 MiB as qemu-img sends them, a buffer is not kept for the next one. */
    static final int KEPT_BYTES = (2 << 20) + 4096;

    /** So many times in a row the base size must have been enough. */
    private static final int PATIENCE = 256;

    private final int baseBytes;
    private Arena arena = Arena.ofShared();
    private ByteBuffer buffer;
    private int baseWasEnough;

    /** {@code firstBytes}: 0 where it may never be needed. */
    ElasticBuffer(int firstBytes, int baseBytes) {
        this.baseBytes = baseBytes;
        this.buffer = allocate(firstBytes);
    }

    /** The buffer: valid until the next call that may resize it. */
    ByteBuffer buffer() {
        return buffer;
    }

    /** Makes the capacity at least so large; what is in the buffer from {@code start} to its position moves to its front. */
    void grow(int capacityBytes, int start) {
        if (capacityBytes > buffer.capacity()) {
            baseWasEnough = 0;
            resize(capacityBytes, start);
        }
    }

    /** Empties the buffer, which may shrink. */
    void clear() {
        baseWasEnough = buffer.position() > baseBytes ? 0 : baseWasEnough + 1;
        buffer.clear();
        if (buffer.capacity() > KEPT_BYTES || (buffer.capacity() > baseBytes && baseWasEnough > PATIENCE)) {
            resize(baseBytes, 0);
        }
    }

    /** Brings a buffer that would not be kept back to its base size, if what it holds from {@code start} on fits there. */
    boolean shrink(int start) {
        if (buffer.capacity() <= KEPT_BYTES || buffer.position() - start > baseBytes) {
            return false;
        }
        resize(baseBytes, start);
        return true;
    }

    @Override
    public void close() {
        arena.close();
    }

    private void resize(int capacityBytes, int start) {
        Arena old = arena;
        ByteBuffer content = buffer.flip().position(start);
        arena = Arena.ofShared();
        buffer = allocate(capacityBytes).put(content);
        old.close();
    }

    private ByteBuffer allocate(int capacityBytes) {
        return arena.allocate(capacityBytes, 4096).asByteBuffer();
    }
}
