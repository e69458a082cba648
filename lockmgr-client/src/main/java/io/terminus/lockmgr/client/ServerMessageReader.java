package io.terminus.lockmgr.client;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ServerMessage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Reads a {@link ServerMessage} in the protobuf format, and of its answers the two that nearly all are without message objects:
 *
 * <pre>
 *   ServerMessage   1a LEN Answer ...      [22 LEN RenewalAnswer]
 *   Answer          08 request_id          12 LEN Granted  |  22 00 (Done)
 *   Granted         08 lock_id   12 LEN volume   1a LEN volume_uuid   [22 LEN requested]   2a LEN range   30 mode   38 token
 *   Range           08 start     10 end
 *   RenewalAnswer   08 sequence
 * </pre>
 *
 * <p>An answer that has anything else in it, or says what cannot be, is left to protobuf's own parser, and so is a message.
 *
 * <p>One stream after another, message by message, on one thread at a time.
 */
final class ServerMessageReader {

    private static final int ODD = -1;
    private static final LockMode[] MODES = LockMode.values();

    private byte[] bytes = {};
    private int at;

    /** Of the grant before: most are for one volume. */
    private Name volume = new Name(new byte[0], "");

    private Name uuid = volume;

    private record Name(byte[] utf8, String text) {}

    Received read(byte[] message) throws InvalidProtocolBufferException {
        bytes = message;
        at = 0;
        Received received = null;
        try {
            received = message();
        } catch (IndexOutOfBoundsException e) {
            // A length or number that reaches behind the end: let the parser say what is wrong.
        }
        return received != null ? received : Received.of(ServerMessage.parseFrom(message));
    }

    private @Nullable Received message() throws InvalidProtocolBufferException {
        List<Reply> replies = new ArrayList<>();
        boolean renews = false;
        long renewal = 0;
        while (at < bytes.length) {
            int tag = bytes[at++];
            int end = end(bytes.length);
            if (end == ODD) {
                return null;
            }
            if (tag == 0x1a) {
                replies.add(reply(end));
            } else if (tag == 0x22 && !renews && at < end && bytes[at++] == 0x08) {
                renews = true;
                renewal = varint();
            } else {
                return null;
            }
            if (at != end) {
                return null;
            }
        }
        return new Received(null, List.of(), replies, renews, renewal);
    }

    private Reply reply(int end) throws InvalidProtocolBufferException {
        int start = at;
        Reply reply = plain(end);
        if (reply == null) {
            at = end;
            return new Reply.Other(Answer.parser().parseFrom(bytes, start, end - start));
        }
        return reply;
    }

    private @Nullable Reply plain(int end) {
        if (bytes[at++] != 0x08) {
            return null;
        }
        long requestId = varint();
        int kind = at < end ? bytes[at++] : ODD;
        if ((kind != 0x12 && kind != 0x22) || end(end) != end) {
            return null;
        }
        if (kind == 0x12) {
            return granted(requestId, end);
        }
        return at == end ? new Reply.Done(requestId) : null;
    }

    private Reply.@Nullable Granted granted(long requestId, int end) {
        long lockId = 0;
        long token = 0;
        int mode = 0;
        LockRange range = null;
        LockRange requested = null;
        String volumeText = "";
        String uuidText = "";
        int seen = 0;
        while (at < end) {
            int tag = bytes[at++];
            int field = 1 << (tag >> 3);
            if ((seen & field) != 0) {
                return null;
            }
            seen |= field;
            switch (tag) {
                case 0x08 -> lockId = varint();
                case 0x12 -> {
                    int nameEnd = end(end);
                    if (nameEnd == ODD) {
                        return null;
                    }
                    volume = name(volume, nameEnd);
                    volumeText = volume.text;
                }
                case 0x1a -> {
                    int nameEnd = end(end);
                    if (nameEnd == ODD) {
                        return null;
                    }
                    uuid = name(uuid, nameEnd);
                    uuidText = uuid.text;
                }
                case 0x22 -> {
                    requested = range(end);
                    if (requested == null) {
                        return null;
                    }
                }
                case 0x2a -> {
                    range = range(end);
                    if (range == null) {
                        return null;
                    }
                }
                case 0x30 -> mode = (int) varint();
                case 0x38 -> token = varint();
                default -> {
                    return null;
                }
            }
        }
        if (at != end || range == null || mode < 1 || mode > MODES.length) {
            return null;
        }
        return new Reply.Granted(requestId, lockId, volumeText, uuidText, requested, range, MODES[mode - 1], token);
    }

    private @Nullable LockRange range(int ofWhole) {
        int end = end(ofWhole);
        long from = 0;
        long to = 0;
        while (at < end) {
            int tag = bytes[at++];
            if (tag == 0x08) {
                from = varint();
            } else if (tag == 0x10) {
                to = varint();
            } else {
                return null;
            }
        }
        return at == end && from >= 0 && from < to ? new LockRange(from, to) : null;
    }

    private Name name(Name before, int to) {
        int from = at;
        at = to;
        return Arrays.equals(before.utf8, 0, before.utf8.length, bytes, from, to)
                ? before
                : new Name(Arrays.copyOfRange(bytes, from, to), new String(bytes, from, to - from, UTF_8));
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
}
