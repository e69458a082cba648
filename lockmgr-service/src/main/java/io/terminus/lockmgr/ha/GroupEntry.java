package io.terminus.lockmgr.ha;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;

/**
 * An entry of the group's log, big-endian.
 *
 * <pre>
 *    0  version                          1, from 1 to {@value #NEWEST}
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
 * The leader writes the newest version that all members read. One that a member does not know stops it, as a member that was away while the
 * others were upgraded.
 */
sealed interface GroupEntry {

    int NEWEST = 1;

    byte OPENING = 1;
    byte DECISION = 2;
    byte PART = 3;
    int ITEMS_AT = 34;

    record Opening(String leadership) implements GroupEntry {}

    record Decision(long epoch, long number, long timeNanos, long digest, boolean last, ByteBuffer items)
            implements GroupEntry {}

    static ByteBuffer opening(int version, String leadership) {
        byte[] id = leadership.getBytes(UTF_8);
        return ByteBuffer.allocate(2 + id.length)
                .put((byte) version)
                .put(OPENING)
                .put(id)
                .flip();
    }

    static ByteBuffer decision(
            int version, long epoch, long number, long timeNanos, long digest, boolean last, byte[] items) {
        return ByteBuffer.allocate(ITEMS_AT + items.length)
                .put((byte) version)
                .put(last ? DECISION : PART)
                .putLong(epoch)
                .putLong(number)
                .putLong(timeNanos)
                .putLong(digest)
                .put(items)
                .flip();
    }

    static int version(ByteBuffer entry) {
        return entry.get(entry.position());
    }

    /**
     * @param newest version that is known
     * @throws IllegalArgumentException if its version or kind is not known
     */
    static GroupEntry read(ByteBuffer from, int newest) {
        byte version = from.get();
        if (version < 1 || version > newest) {
            throw new IllegalArgumentException("an entry of version " + version + ", known are those to " + newest);
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
