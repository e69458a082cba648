package io.terminus.lockmgr.grpc;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.ServerMessage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Writes a {@link ServerMessage} field by field, in the protobuf format, into one growing buffer. Grants and the answer
 * Done, of which there are hundreds of thousands a second, never become message objects on their way; everything else is
 * built as a message and copied in.
 *
 * <pre>
 *   ServerMessage   1a LEN              Answer     08 request_id   12 LEN               Granted     (a grant)
 *   (an answer)                                                    22 00                Done        (done)
 *
 *   Granted         08 lock_id  12 LEN volume  1a LEN volume_uuid  [22 LEN requested]  2a LEN range  30 mode  38 token
 *   Range           08 start    10 end
 * </pre>
 *
 * <p>Numbers are base-128 varints of 1 to 10 bytes. Not for use by several threads.
 */
final class ServerMessageWriter {

    private static final int FIRST_CAPACITY = 1024;
    private static final int MAX_VARINT32 = 5;
    /** Whatever an Answer around a Granted needs besides its names. */
    private static final int MAX_GRANT_BYTES = 160;

    private static final int LENGTH_DELIMITED = 2;

    private byte[] buffer = new byte[FIRST_CAPACITY];
    private int length;

    /** Fields 2 and 3 of a Granted for the volume of the last grant: most grants follow one on the same volume. */
    private byte[] volumeFields = {};

    private String volumeOfFields = "";
    private String uuidOfFields = "";

    int length() {
        return length;
    }

    /** What was written since the last time, as a message of its own. */
    byte[] take() {
        byte[] message = Arrays.copyOf(buffer, length);
        length = 0;
        if (buffer.length > SessionStream.MESSAGE_BYTES * 2) {
            buffer = new byte[FIRST_CAPACITY]; // a welcome with many locks leaves no trace
        }
        return message;
    }

    void field(int number, MessageLite message) {
        int size = message.getSerializedSize();
        ensure(2 * MAX_VARINT32 + size);
        varint(tag(number, LENGTH_DELIMITED));
        varint(size);
        CodedOutputStream out = CodedOutputStream.newInstance(buffer, length, size);
        try {
            message.writeTo(out);
        } catch (IOException e) {
            throw new UncheckedIOException("a buffer of the right size is full", e);
        }
        length += size;
    }

    /** The fields of a message, without a tag. */
    void message(MessageLite message) {
        byte[] bytes = message.toByteArray();
        ensure(bytes.length);
        System.arraycopy(bytes, 0, buffer, length, bytes.length);
        length += bytes.length;
    }

    void field(int number, ServerMessageWriter message) {
        ensure(2 * MAX_VARINT32 + message.length);
        varint(tag(number, LENGTH_DELIMITED));
        varint(message.length);
        System.arraycopy(message.buffer, 0, buffer, length, message.length);
        length += message.length;
    }

    void done(long requestId) {
        ensure(32);
        varint(tag(ServerMessage.ANSWERS_FIELD_NUMBER, LENGTH_DELIMITED));
        varint(1 + size(requestId) + 2);
        varint(tag(Answer.REQUEST_ID_FIELD_NUMBER, 0));
        varint(requestId);
        varint(tag(Answer.DONE_FIELD_NUMBER, LENGTH_DELIMITED));
        varint(0);
    }

    void granted(Notice.Granted grant) {
        name(grant);
        ensure(MAX_GRANT_BYTES + volumeFields.length);
        int size = grantedSize(grant);
        varint(tag(ServerMessage.ANSWERS_FIELD_NUMBER, LENGTH_DELIMITED));
        varint(1 + size(grant.requestId()) + 1 + size(size) + size);
        varint(tag(Answer.REQUEST_ID_FIELD_NUMBER, 0));
        varint(grant.requestId());
        varint(tag(Answer.GRANTED_FIELD_NUMBER, LENGTH_DELIMITED));
        granted(grant, size);
    }

    /** A grant as an element of a list of them, such as those of a Welcome. */
    void granted(int number, Notice.Granted grant) {
        name(grant);
        ensure(MAX_GRANT_BYTES + volumeFields.length);
        varint(tag(number, LENGTH_DELIMITED));
        granted(grant, grantedSize(grant));
    }

    private void granted(Notice.Granted grant, int size) {
        varint(size);
        varint(tag(Granted.LOCK_ID_FIELD_NUMBER, 0));
        varint(grant.lockId());
        System.arraycopy(volumeFields, 0, buffer, length, volumeFields.length);
        length += volumeFields.length;
        if (hasRequested(grant)) {
            range(Granted.REQUESTED_FIELD_NUMBER, grant.requestedStart(), grant.requestedEnd());
        }
        range(Granted.RANGE_FIELD_NUMBER, grant.start(), grant.end());
        varint(tag(Granted.MODE_FIELD_NUMBER, 0));
        varint(Wire.mode(grant.mode()).getNumber());
        varint(tag(Granted.TOKEN_FIELD_NUMBER, 0));
        varint(grant.token());
    }

    private void range(int number, long start, long end) {
        varint(tag(number, LENGTH_DELIMITED));
        varint(rangeSize(start, end));
        varint(tag(Range.START_FIELD_NUMBER, 0));
        varint(start);
        varint(tag(Range.END_FIELD_NUMBER, 0));
        varint(end);
    }

    private int grantedSize(Notice.Granted grant) {
        return 1
                + size(grant.lockId())
                + volumeFields.length
                + (hasRequested(grant) ? 2 + rangeSize(grant.requestedStart(), grant.requestedEnd()) : 0)
                + 2
                + rangeSize(grant.start(), grant.end())
                + 2
                + 1
                + size(grant.token());
    }

    private static boolean hasRequested(Notice.Granted grant) {
        return grant.requestedStart() != grant.start() || grant.requestedEnd() != grant.end();
    }

    private static int rangeSize(long start, long end) {
        return 2 + size(start) + size(end);
    }

    private void name(Notice.Granted grant) {
        if (grant.volume().equals(volumeOfFields) && grant.volumeUuid().equals(uuidOfFields)) {
            return;
        }
        byte[] volume = grant.volume().getBytes(StandardCharsets.UTF_8);
        byte[] uuid = grant.volumeUuid().getBytes(StandardCharsets.UTF_8);
        int before = length;
        ensure(4 * MAX_VARINT32 + volume.length + uuid.length);
        bytes(Granted.VOLUME_FIELD_NUMBER, volume);
        bytes(Granted.VOLUME_UUID_FIELD_NUMBER, uuid);
        volumeFields = Arrays.copyOfRange(buffer, before, length);
        length = before;
        volumeOfFields = grant.volume();
        uuidOfFields = grant.volumeUuid();
    }

    private void bytes(int number, byte[] bytes) {
        varint(tag(number, LENGTH_DELIMITED));
        varint(bytes.length);
        System.arraycopy(bytes, 0, buffer, length, bytes.length);
        length += bytes.length;
    }

    private void ensure(int more) {
        if (buffer.length - length < more) {
            buffer = Arrays.copyOf(buffer, Math.max(Math.addExact(length, more), buffer.length + (buffer.length >> 1)));
        }
    }

    private void varint(long value) {
        byte[] to = buffer;
        int at = length;
        long left = value;
        while ((left & ~0x7fL) != 0) {
            to[at++] = (byte) (left | 0x80);
            left >>>= 7;
        }
        to[at++] = (byte) left;
        length = at;
    }

    private static int tag(int number, int wireType) {
        return number << 3 | wireType;
    }

    /** Bytes of a varint: one for each 7 bits begun. */
    private static int size(long value) {
        return (9 * (64 - Long.numberOfLeadingZeros(value | 1)) + 64) / 64;
    }
}
