package io.terminus.agent.peer;

import java.nio.ByteBuffer;

/** One way to compress a run, between direct buffers. One caller at a time. */
interface RunCodec extends AutoCloseable {

    /** What was to be unpacked is not what this packs. */
    final class MalformedException extends Exception {
        MalformedException(RuntimeException cause) {
            super(cause.getMessage(), cause);
        }
    }

    /** It would have become longer. */
    int NO_SHORTER = -1;

    /** Packs the first {@code bytes} bytes of {@code plain} to the begin of {@code into}; returns how many they are, or {@link #NO_SHORTER}. */
    int pack(ByteBuffer plain, int bytes, ByteBuffer into);

    /** Unpacks what remains of {@code packed} to the begin of {@code into}, never more than {@code atMost} bytes; returns how many. */
    int unpack(ByteBuffer packed, ByteBuffer into, int atMost) throws MalformedException;

    @Override
    void close();
}
