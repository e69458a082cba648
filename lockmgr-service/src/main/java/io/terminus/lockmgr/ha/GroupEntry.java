package io.terminus.lockmgr.ha;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;

/**
 * An entry of the group's log, big-endian.
 *
 * <pre>
 *    0  version                          1, {@value #VERSION}
 *    1  kind                             1
 *         1 a leadership begins:    2  its name, UTF-8, to the end: the leader's id, #, and a UUID
 *         2 a decision, 3 a part of one that has more:
 *                                   2  epoch       8
 *                                  10  number      8, from 1 in each leadership
 *                                  18  time (ns)   8
 *                                  26  digest      8, of the leader's state before it
 *                                  34  items, see LogItemCodec
 * </pre>
 *
 * A version that is not known stops the member: a newer one leads, and understands what this one does not.
 */
sealed interface GroupEntry {

    byte VERSION = 1;

    byte OPENING = 1;
    byte DECISION = 2;
    byte PART = 3;
    int ITEMS_AT = 34;

    record Opening(String leadership) implements GroupEntry {}

    record Decision(long epoch, long number, long timeNanos, long digest, boolean last, ByteBuffer items)
            implements GroupEntry {}

    static ByteBuffer opening(String leadership) {
        byte[] id = leadership.getBytes(UTF_8);
        return ByteBuffer.allocate(2 + id.length)
                .put(VERSION)
                .put(OPENING)
                .put(id)
                .flip();
    }

    static ByteBuffer decision(long epoch, long number, long timeNanos, long digest, boolean last, byte[] items) {
        return ByteBuffer.allocate(ITEMS_AT + items.length)
                .put(VERSION)
                .put(last ? DECISION : PART)
                .putLong(epoch)
                .putLong(number)
                .putLong(timeNanos)
                .putLong(digest)
                .put(items)
                .flip();
    }

    /** @throws IllegalArgumentException if its version or kind is not known */
    static GroupEntry read(ByteBuffer from) {
        byte version = from.get();
        if (version != VERSION) {
            throw new IllegalArgumentException("an entry of version " + version + ", known is " + VERSION);
        }
        byte kind = from.get();
        return switch (kind) {
            case OPENING -> new Opening(UTF_8.decode(from).toString());
            case DECISION, PART ->
                new Decision(from.getLong(), from.getLong(), from.getLong(), from.getLong(), kind == DECISION, from);
            default -> throw new IllegalArgumentException("an entry of kind " + kind + ", known are 1 to 3");
        };
    }
}
