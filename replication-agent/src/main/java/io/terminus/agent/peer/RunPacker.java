package io.terminus.agent.peer;

import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Compresses runs for one link, in two direct buffers of its own: {@value #MAX_RUN_BYTES} bytes and a little more, whatever is
 * sent. One caller at a time, the one that sends.
 */
final class RunPacker implements AutoCloseable {

    /** Of a run, so that its frame fits into what a connection reads into; zstd works in pieces of this size itself. */
    static final int MAX_RUN_BYTES = 120 << 10;

    private final RunCodec codec;
    private final ByteBuffer plain = ByteBuffer.allocateDirect(MAX_RUN_BYTES);
    private final ByteBuffer packed = ByteBuffer.allocateDirect(MAX_RUN_BYTES);
    private final PackingHabit habit = new PackingHabit();

    RunPacker(RunCodec codec) {
        this.codec = codec;
    }

    boolean tries(long bytes) {
        return habit.tries(bytes);
    }

    void wentRaw(long bytes) {
        habit.wentRaw(bytes);
    }

    /** A run of at most {@link #MAX_RUN_BYTES}; returns it packed, good until the next call, or null if it is to go as it is. */
    @Nullable
    ByteBuffer pack(ByteBuffer run) {
        int before = run.remaining();
        try {
            // Copied here first: a page of the journal that cannot be read is an error in Java, and the end of the
            // process
            // in native code.
            plain.clear().put(run).flip();
            int after = codec.pack(plain, before, packed.clear());
            return habit.tried(before, after == RunCodec.NO_SHORTER ? before : after) ? packed.limit(after) : null;
        } catch (InternalError e) {
            return null; // sent as it is, it fails where failures of the journal are dealt with
        }
    }

    @Override
    public void close() {
        codec.close();
    }
}
