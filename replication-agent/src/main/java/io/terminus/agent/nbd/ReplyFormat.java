package io.terminus.agent.nbd;

import java.nio.ByteBuffer;

/**
 * How answers are laid out in each {@link Dialect}.
 *
 * <pre>
 *   simple     0 magic 4 error 8 cookie 16 data ...
 *   structured 0 magic 4 flags 6 type 8 cookie 16 length 20 payload ...
 *   extended   0 magic 4 flags 6 type 8 cookie 16 offset of the request 24 length 32 payload ...
 *
 *   payload of none          -
 *              data          0 offset 8 data ...
 *              hole          0 offset 8 length 12
 *              status        0 context 4 { length 4 flags 4 } ...
 *              status, long  0 context 4 count 8 { length 8 flags 8 } ...
 *              error         0 error 4 length of message 6
 * </pre>
 */
final class ReplyFormat {

    /** The longest of all that is not data of the volume or a list of extents. */
    static final int MOST_HEADER_BYTES = 32 + 12;

    /** Of one extent in an answer about blocks. */
    static final int MOST_EXTENT_BYTES = 16;

    private final Dialect dialect;

    ReplyFormat(Dialect dialect) {
        this.dialect = dialect;
    }

    /** Whether an answer to a read or to a question about blocks comes in chunks. */
    boolean chunked() {
        return dialect != Dialect.SIMPLE;
    }

    /** The whole answer. {@code chunked}: to a read, or to a question about blocks. */
    void done(ByteBuffer to, long cookie, long offset, boolean chunked) {
        if (inChunks(chunked)) {
            chunk(to, cookie, offset, Wire.REPLY_TYPE_NONE, 0, true);
        } else {
            simple(to, cookie, 0);
        }
    }

    /** The whole answer, or the last chunk of it. */
    void failed(ByteBuffer to, long cookie, long offset, Failure why, boolean chunked) {
        if (inChunks(chunked)) {
            chunk(to, cookie, offset, Wire.REPLY_TYPE_ERROR, 6, true);
            to.putInt(why.errno()).putShort((short) 0);
        } else {
            simple(to, cookie, why.errno());
        }
    }

    /** What goes before {@code lengthBytes} of data; in a simple reply that is all there is. */
    void data(ByteBuffer to, long cookie, long offset, long dataOffset, int lengthBytes, boolean last) {
        if (chunked()) {
            chunk(to, cookie, offset, Wire.REPLY_TYPE_OFFSET_DATA, 8 + lengthBytes, last);
            to.putLong(dataOffset);
        } else {
            simple(to, cookie, 0);
        }
    }

    void hole(ByteBuffer to, long cookie, long offset, long holeOffset, int lengthBytes, boolean last) {
        chunk(to, cookie, offset, Wire.REPLY_TYPE_OFFSET_HOLE, 12, last);
        to.putLong(holeOffset).putInt(lengthBytes);
    }

    void status(ByteBuffer to, long cookie, long offset, int context, Extents extents, boolean last) {
        int count = extents.count();
        if (dialect == Dialect.EXTENDED) {
            chunk(to, cookie, offset, Wire.REPLY_TYPE_BLOCK_STATUS_EXT, 8 + 16 * count, last);
            to.putInt(context).putInt(count);
            for (int i = 0; i < count; i++) {
                to.putLong(extents.lengthBytes(i)).putLong(extents.flags(i));
            }
        } else {
            chunk(to, cookie, offset, Wire.REPLY_TYPE_BLOCK_STATUS, 4 + 8 * count, last);
            to.putInt(context);
            for (int i = 0; i < count; i++) {
                // Fits: it is part of a request whose length has 32 bits.
                to.putInt((int) extents.lengthBytes(i)).putInt(extents.flags(i));
            }
        }
    }

    private boolean inChunks(boolean chunked) {
        return switch (dialect) {
            case SIMPLE -> false;
            case STRUCTURED -> chunked;
            case EXTENDED -> true;
        };
    }

    private static void simple(ByteBuffer to, long cookie, int errno) {
        to.putInt(Wire.SIMPLE_REPLY_MAGIC).putInt(errno).putLong(cookie);
    }

    private void chunk(ByteBuffer to, long cookie, long offset, int type, int lengthBytes, boolean last) {
        boolean extended = dialect == Dialect.EXTENDED;
        to.putInt(extended ? Wire.EXTENDED_REPLY_MAGIC : Wire.STRUCTURED_REPLY_MAGIC)
                .putShort((short) (last ? Wire.REPLY_FLAG_DONE : 0))
                .putShort((short) type)
                .putLong(cookie);
        if (extended) {
            to.putLong(offset).putLong(lengthBytes);
        } else {
            to.putInt(lengthBytes);
        }
    }
}
