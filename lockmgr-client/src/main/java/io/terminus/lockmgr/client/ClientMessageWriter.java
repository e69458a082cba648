package io.terminus.lockmgr.client;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Renew;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;

/**
 * Writes a {@link ClientMessage} in the protobuf format into one growing buffer. Acquires of one range and releases, which nearly all
 * operations are, never become message objects; everything else is built as a message and copied in.
 *
 * <pre>
 *   ClientMessage   12 LEN Operation ...   [1a LEN Renew]
 *   Operation       08 request_id          12 LEN Acquire  |  22 LEN Release
 *   Acquire         0a LEN volume   12 LEN Range   18 mode   20 wait_millis   [28 01 standby]
 *   Range           08 start   10 end
 *   Release         08 lock_id
 * </pre>
 *
 * <p>Not for several threads.
 */
final class ClientMessageWriter {

    private static final int FIRST_CAPACITY = 1024;
    private static final int MAX_VARINT32 = 5;
    /** Whatever an Operation around an Acquire needs besides the volume's name. */
    private static final int MAX_ACQUIRE_BYTES = 100;

    private byte[] buffer = new byte[FIRST_CAPACITY];
    private int length;
    private int operations;

    /** Of the last acquire: most follow one on the same volume. */
    private String volume = "";

    private byte[] volumeUtf8 = {};

    int operations() {
        return operations;
    }

    /** What was written since the last time, as a message of its own. */
    byte[] take() {
        byte[] message = Arrays.copyOf(buffer, length);
        length = 0;
        operations = 0;
        return message;
    }

    void acquire(long requestId, String name, LockRange range, LockMode mode, long waitMillis, boolean standby) {
        if (!name.equals(volume)) {
            volume = name;
            volumeUtf8 = name.getBytes(UTF_8);
        }
        int rangeSize = 2 + size(range.startInclusive()) + size(range.endExclusive());
        int acquireSize = 1
                + size(volumeUtf8.length)
                + volumeUtf8.length
                + 2
                + rangeSize
                + 2
                + 1
                + size(waitMillis)
                + (standby ? 2 : 0);
        ensure(MAX_ACQUIRE_BYTES + volumeUtf8.length);
        operation(requestId, acquireSize);
        put(0x12);
        varint(acquireSize);
        put(0x0a);
        varint(volumeUtf8.length);
        System.arraycopy(volumeUtf8, 0, buffer, length, volumeUtf8.length);
        length += volumeUtf8.length;
        put(0x12);
        varint(rangeSize);
        put(0x08);
        varint(range.startInclusive());
        put(0x10);
        varint(range.endExclusive());
        put(0x18);
        varint(mode.toProto().getNumber());
        put(0x20);
        varint(waitMillis);
        if (standby) {
            put(0x28);
            put(1);
        }
    }

    void release(long requestId, long lockId) {
        int releaseSize = 1 + size(lockId);
        ensure(MAX_ACQUIRE_BYTES);
        operation(requestId, releaseSize);
        put(0x22);
        varint(releaseSize);
        put(0x08);
        varint(lockId);
    }

    void operation(Operation operation) {
        operations++;
        message(ClientMessage.OPERATIONS_FIELD_NUMBER, operation);
    }

    void renew(long sequence) {
        message(
                ClientMessage.RENEW_FIELD_NUMBER,
                Renew.newBuilder().setSequence(sequence).build());
    }

    /** The head of an operation whose kind takes so many bytes. */
    private void operation(long requestId, int kindSize) {
        operations++;
        put(0x12);
        varint(1 + size(requestId) + 1 + size(kindSize) + kindSize);
        put(0x08);
        varint(requestId);
    }

    private void message(int field, MessageLite message) {
        int size = message.getSerializedSize();
        ensure(2 * MAX_VARINT32 + size);
        varint(field << 3 | 2);
        varint(size);
        CodedOutputStream out = CodedOutputStream.newInstance(buffer, length, size);
        try {
            message.writeTo(out);
        } catch (IOException e) {
            throw new UncheckedIOException("a buffer of the right size is full", e);
        }
        length += size;
    }

    private void ensure(int more) {
        if (buffer.length - length < more) {
            buffer = Arrays.copyOf(buffer, Math.max(length + more, buffer.length + (buffer.length >> 1)));
        }
    }

    private void put(int value) {
        buffer[length++] = (byte) value;
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

    /** Bytes of a varint: one for each 7 bits begun. */
    private static int size(long value) {
        return (9 * (64 - Long.numberOfLeadingZeros(value | 1)) + 64) / 64;
    }
}
