package io.terminus.agent.volume;

import java.nio.ByteBuffer;

/** Finds writes of nothing but zeros, which need no payload in any journal or on any wire. */
final class Zeros {

    private Zeros() {}

    /** Whether what remains of {@code bytes} is zeros alone. For data this is mostly one comparison. */
    static boolean only(ByteBuffer bytes) {
        int from = bytes.position();
        int length = bytes.remaining();
        if (length < Long.BYTES) {
            for (int at = from; at < from + length; at++) {
                if (bytes.get(at) != 0) {
                    return false;
                }
            }
            return true;
        }
        if (bytes.getLong(from) != 0) {
            return false;
        }
        // The first eight are zeros; if all others are what stands eight before them, so are they. The JVM compares
        // vectors.
        int others = length - Long.BYTES;
        return bytes.slice(from, others).mismatch(bytes.slice(from + Long.BYTES, others)) < 0;
    }
}
