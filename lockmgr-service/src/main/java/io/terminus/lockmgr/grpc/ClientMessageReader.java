package io.terminus.lockmgr.grpc;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Operation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Reads a {@link ClientMessage} in the protobuf format, and of its operations the two that nearly all are without message objects:
 *
 * <pre>
 *   ClientMessage   12 LEN Operation ...   [1a LEN Renew]
 *   Operation       08 request_id          12 LEN Acquire  |  22 LEN Release
 *   Acquire         0a LEN volume   12 LEN Range   18 mode   20 wait_millis       (each at most once, in any order)
 *   Range           08 start   10 end
 *   Release         08 lock_id
 *   Renew           08 sequence
 * </pre>
 *
 * <p>An operation that has anything else in it is read by protobuf's own parser, and so is a message. What is wrong is therefore
 * judged by that parser alone.
 *
 * <p>One message; names of volumes are kept over messages and threads.
 */
final class ClientMessageReader {

    private static final int ODD = -1;
    private static final int KEPT_NAMES = 256;
    private static final int LONGEST_KEPT_NAME = 128;

    /** By a hash of their bytes. Written without a lock: whoever finds no name, or another one, makes it anew. */
    private static final @Nullable Name[] NAMES = new Name[KEPT_NAMES];

    /** What it finds must be whole without a lock, hence a record. */
    private record Name(byte[] utf8, String text) {}

    private final byte[] bytes;
    private int at;

    private ClientMessageReader(byte[] bytes) {
        this.bytes = bytes;
    }

    static SessionMessage read(byte[] bytes) throws InvalidProtocolBufferException {
        SessionMessage message = null;
        try {
            message = new ClientMessageReader(bytes).message();
        } catch (IndexOutOfBoundsException e) {
            // A length or number that reaches behind the end: let the parser say what is wrong.
        }
        return message != null ? message : SessionMessage.of(ClientMessage.parseFrom(bytes));
    }

    /** Null: it has something else in it. */
    private @Nullable SessionMessage message() throws InvalidProtocolBufferException {
        List<SessionMessage.Asked> operations = new ArrayList<>();
        boolean renews = false;
        long renewal = 0;
        while (at < bytes.length) {
            int tag = bytes[at++];
            int end = end(bytes.length);
            if (end == ODD) {
                return null;
            }
            if (tag == 0x12) {
                operations.add(operation(end));
            } else if (tag == 0x1a && !renews && at < end && bytes[at++] == 0x08) {
                renews = true;
                renewal = varint();
            } else {
                return null;
            }
            if (at != end) {
                return null;
            }
        }
        return new SessionMessage(null, operations, renews, renewal);
    }

    private SessionMessage.Asked operation(int end) throws InvalidProtocolBufferException {
        int start = at;
        SessionMessage.Asked asked = plain(end);
        if (asked == null) {
            at = end;
            return new SessionMessage.Other(Operation.parser().parseFrom(bytes, start, end - start));
        }
        return asked;
    }

    private SessionMessage.@Nullable Asked plain(int end) {
        if (bytes[at++] != 0x08) {
            return null;
        }
        long requestId = varint();
        int kind = at < end ? bytes[at++] : ODD;
        if ((kind != 0x12 && kind != 0x22) || end(end) != end) {
            return null;
        }
        return kind == 0x12 ? acquire(requestId, end) : release(requestId, end);
    }

    private SessionMessage.@Nullable Acquire acquire(long requestId, int end) {
        String volume = "";
        long start = 0;
        long rangeEnd = 0;
        int mode = 0;
        long waitMillis = 0;
        int seen = 0;
        while (at < end) {
            int tag = bytes[at++];
            int field = 1 << (tag >> 3);
            if ((seen & field) != 0) {
                return null;
            }
            seen |= field;
            switch (tag) {
                case 0x0a -> {
                    int nameEnd = end(end);
                    if (nameEnd == ODD) {
                        return null;
                    }
                    volume = name(at, nameEnd);
                    at = nameEnd;
                }
                case 0x12 -> {
                    int innerEnd = end(end);
                    while (at < innerEnd) {
                        int inner = bytes[at++];
                        if (inner == 0x08) {
                            start = varint();
                        } else if (inner == 0x10) {
                            rangeEnd = varint();
                        } else {
                            return null;
                        }
                    }
                    if (at != innerEnd) {
                        return null;
                    }
                }
                case 0x18 -> mode = (int) varint();
                case 0x20 -> waitMillis = varint();
                default -> {
                    return null;
                }
            }
        }
        return at == end ? new SessionMessage.Acquire(requestId, volume, start, rangeEnd, mode, waitMillis) : null;
    }

    private SessionMessage.@Nullable Release release(long requestId, int end) {
        if (at == end) {
            return new SessionMessage.Release(requestId, 0);
        }
        if (bytes[at++] != 0x08) {
            return null;
        }
        long lockId = varint();
        return at == end ? new SessionMessage.Release(requestId, lockId) : null;
    }

    /** Behind a tag of something with a length: where that ends; {@link #ODD} if not within what it is part of. */
    private int end(int ofWhole) {
        long length = varint();
        return length >= 0 && length <= ofWhole - at ? at + (int) length : ODD;
    }

    private long varint() {
        byte first = bytes[at++];
        if (first >= 0) {
            return first;
        }
        long value = first & 0x7f;
        for (int shift = 7; shift < 64; shift += 7) {
            byte next = bytes[at++];
            value |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return value;
            }
        }
        throw new IndexOutOfBoundsException("a number of more than 10 bytes");
    }

    private String name(int from, int to) {
        if (to - from > LONGEST_KEPT_NAME) {
            return new String(bytes, from, to - from, UTF_8);
        }
        int hash = to - from;
        for (int i = from; i < to; i++) {
            hash = 31 * hash + bytes[i];
        }
        int slot = (hash ^ hash >>> 16) & KEPT_NAMES - 1;
        Name kept = NAMES[slot];
        if (kept == null || !Arrays.equals(kept.utf8, 0, kept.utf8.length, bytes, from, to)) {
            kept = new Name(Arrays.copyOfRange(bytes, from, to), new String(bytes, from, to - from, UTF_8));
            NAMES[slot] = kept;
        }
        return kept.text;
    }
}
