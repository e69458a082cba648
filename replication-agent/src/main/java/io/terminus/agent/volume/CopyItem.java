package io.terminus.agent.volume;

import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * One item of a copy, on its way between the runs of a peer's stream. What it says holds at exactly {@code position}: the
 * replica acts on it when it has applied everything before that and nothing behind.
 *
 * @param sequence counts from 1 on each stream
 * @param bytes what {@link Kind#DATA} writes, or {@link Kind#DIGESTS} compares; the receiver's own
 */
public record CopyItem(
        long sequence,
        Kind kind,
        long position,
        long offset,
        long length,
        @Nullable ByteBuffer bytes) {

    /** Bytes of one {@link Kind#DATA}, or that {@link Kind#DIGESTS} stand for, at most: 16 blocks. */
    public static final int MAX_DATA_BYTES = 64 << 10;

    /** Of its range, each with a bit of what {@link Kind#DIGESTS} are answered with. */
    public static final int MAX_BLOCKS = MAX_DATA_BYTES / ExtentMap.BLOCK_BYTES;

    /** Sent and not yet written at the replica, at most; the replica takes twice that. */
    public static final long WINDOW_BYTES = 8L << 20;

    public enum Kind {
        /** The range holds these bytes. */
        DATA(1),
        /** The range reads as zeros, and may be a hole. */
        ZEROES(2),
        /** No copy will be of an older position: records before it may be applied. */
        HORIZON(3),
        /** Everything is copied: with this position applied the replica is whole. */
        END(4),
        /** The bytes are {@link BlockDigests} of the range's blocks: the replica says which of its own differ. */
        DIGESTS(5),
        /**
         * A whole replica is compared from now on: it applies nothing behind what it has applied by now, or is told later.
         * Holds at no position: it is acted on as soon as the image is the volume at one, which after a start may take a moment.
         */
        HOLD(6),
        /** The comparison is over, and apply goes on freely. Offset 1: all was compared; length: blocks left that differ. */
        RELEASE(7);

        private static final Kind[] BY_CODE = {null, DATA, ZEROES, HORIZON, END, DIGESTS, HOLD, RELEASE};
        private final int code;

        Kind(int code) {
            this.code = code;
        }

        public int code() {
            return code;
        }

        /** Null if there is no such kind. */
        public static @Nullable Kind of(int code) {
            return code < 1 || code >= BY_CODE.length ? null : BY_CODE[code];
        }
    }

    /** How many bytes an item of that kind and length has. */
    public static long bytesOf(Kind kind, long length) {
        return switch (kind) {
            case DATA -> length;
            case DIGESTS -> BlockDigests.bytesFor(length);
            case ZEROES, HORIZON, END, HOLD, RELEASE -> 0;
        };
    }

    /** What it counts for in windows: its bytes, or, without any, a block. */
    long weight() {
        return bytes == null ? ExtentMap.BLOCK_BYTES : length;
    }
}
