package io.terminus.agent.peer;

import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import java.nio.ByteBuffer;

/**
 * Unpacks the runs of one connection into one direct buffer. It has the size of the largest run and takes no more than the
 * frame announced, so what a few bytes pretend to be never costs more than that. The connection's thread only.
 */
final class RunUnpacker implements AutoCloseable {

    private final RunCodec codec;
    private final ByteBuffer plain = ByteBuffer.allocateDirect(RunPacker.MAX_RUN_BYTES);

    RunUnpacker(RunCodec codec) {
        this.codec = codec;
    }

    /** Returns the run, good until the next call. */
    ByteBuffer unpack(ByteBuffer packed, int runBytes) throws RefusedException {
        if (runBytes > RunPacker.MAX_RUN_BYTES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "a packed run of " + runBytes + " bytes; at most " + RunPacker.MAX_RUN_BYTES + " are allowed");
        }
        int got;
        try {
            got = codec.unpack(packed, plain.clear(), runBytes);
        } catch (RunCodec.MalformedException e) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "a packed run of " + runBytes + " bytes in " + packed.remaining() + " cannot be unpacked: "
                            + e.getMessage());
        }
        if (got != runBytes) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "a packed run has " + got + " bytes, and its frame says " + runBytes);
        }
        return plain.limit(runBytes);
    }

    @Override
    public void close() {
        codec.close();
    }
}
