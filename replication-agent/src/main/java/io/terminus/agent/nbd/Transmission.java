package io.terminus.agent.nbd;

import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The server's half of the transmission phase: bytes in, validated requests out, no socket.
 *
 * <pre>
 *   request  0 magic 4 flags 6 command 8 cookie 16 offset 24 length 28 payload of a write ...
 * </pre>
 *
 * A request is handed on whole: the payload of a write is at hand when it is. A write that must be refused is skipped to
 * its end first, because clients do not expect an answer to what they are still sending; so the stream stays readable
 * whatever its length says.
 */
final class Transmission {

    static final int REQUEST_BYTES = 28;

    /** What is to be done. The client's cookie comes with each; ranges are inside the export and not empty. */
    interface Requests {

        /** Whether one more request with so much payload may be in flight. */
        boolean admits(int payloadBytes);

        void write(long clientCookie, long offset, ByteBuffer payload, boolean fua);

        void zero(long clientCookie, long offset, long lengthBytes, boolean fua, boolean mayPunch);

        void flush(long clientCookie);

        void read(long clientCookie, long offset, int lengthBytes);

        /** Answer at once: there is nothing to do. {@code read}: in the form of an answer to a read. */
        void nothing(long clientCookie, boolean read);

        /** Answer at once with an error. */
        void refuse(long clientCookie, boolean read, Failure why);
    }

    /** Why {@link #advance} stopped. */
    enum Progress {
        /** {@link #neededBytes} are not there yet. */
        NEED_MORE,
        /** The next request was not admitted; it is still in the input. */
        BUSY,
        /** The client has said goodbye: what follows is not read. */
        GOODBYE,
        /** This is not the protocol: nothing that follows can be understood. */
        BROKEN
    }

    private final long sizeBytes;
    private final boolean structured;
    private final Requests requests;

    private int needed = REQUEST_BYTES;
    private boolean shuttingDown;

    /** Payload still to be skipped, and what is answered then. */
    private long skipBytes;

    private long skippedCookie;
    private Failure skippedFailure = Failure.INVALID;

    Transmission(long sizeBytes, boolean structured, Requests requests) {
        this.sizeBytes = sizeBytes;
        this.structured = structured;
        this.requests = requests;
    }

    /** From now on requests are refused. */
    void shutDown() {
        shuttingDown = true;
    }

    /** Bytes of input, from the first one not taken, without which the next {@link #advance} does nothing. */
    int neededBytes() {
        return needed;
    }

    /** Takes all whole requests from {@code in}, as far as they are admitted. */
    Progress advance(ByteBuffer in) {
        while (true) {
            if (skipBytes > 0 && !skip(in)) {
                return Progress.NEED_MORE;
            }
            needed = REQUEST_BYTES;
            if (in.remaining() < REQUEST_BYTES) {
                return Progress.NEED_MORE;
            }
            int at = in.position();
            if (in.getInt(at) != Wire.REQUEST_MAGIC) {
                return Progress.BROKEN;
            }
            int flags = Short.toUnsignedInt(in.getShort(at + 4));
            int command = Short.toUnsignedInt(in.getShort(at + 6));
            long cookie = in.getLong(at + 8);
            long offset = in.getLong(at + 16);
            long length = Integer.toUnsignedLong(in.getInt(at + 24));
            if (command == Wire.CMD_DISC) {
                in.position(at + REQUEST_BYTES);
                return Progress.GOODBYE;
            }
            if (command == Wire.CMD_WRITE) {
                Progress stop = write(in, at, flags, cookie, offset, length);
                if (stop != null) {
                    return stop;
                }
                continue;
            }
            if (!requests.admits(0)) {
                return Progress.BUSY;
            }
            in.position(at + REQUEST_BYTES);
            withoutPayload(command, flags, cookie, offset, length);
        }
    }

    /** Returns why to stop, or null to go on. */
    private @Nullable Progress write(ByteBuffer in, int at, int flags, long cookie, long offset, long length) {
        Failure wrong = shuttingDown
                ? Failure.SHUTDOWN
                : (flags & ~Wire.CMD_FLAG_FUA) != 0 || length > Wire.MOST_PAYLOAD_BYTES
                        ? Failure.INVALID
                        : outside(offset, length) ? Failure.NO_SPACE : null;
        if (wrong != null) {
            in.position(at + REQUEST_BYTES);
            if (length == 0) {
                requests.refuse(cookie, false, wrong);
            } else {
                skipBytes = length;
                skippedCookie = cookie;
                skippedFailure = wrong;
            }
            return null;
        }
        int payload = (int) length;
        if (in.remaining() < REQUEST_BYTES + payload) {
            needed = REQUEST_BYTES + payload;
            return Progress.NEED_MORE;
        }
        if (!requests.admits(payload)) {
            return Progress.BUSY;
        }
        in.position(at + REQUEST_BYTES + payload);
        if (payload == 0) {
            requests.nothing(cookie, false);
        } else {
            requests.write(cookie, offset, in.slice(at + REQUEST_BYTES, payload), (flags & Wire.CMD_FLAG_FUA) != 0);
        }
        return null;
    }

    private void withoutPayload(int command, int flags, long cookie, long offset, long length) {
        boolean fua = (flags & Wire.CMD_FLAG_FUA) != 0;
        boolean read = command == Wire.CMD_READ;
        if (shuttingDown) {
            requests.refuse(cookie, read, Failure.SHUTDOWN);
        } else if ((flags & ~allowedFlags(command)) != 0) {
            requests.refuse(cookie, read, Failure.INVALID);
        } else {
            switch (command) {
                case Wire.CMD_READ -> {
                    if (length > Wire.MOST_PAYLOAD_BYTES || outside(offset, length)) {
                        requests.refuse(cookie, true, Failure.INVALID);
                    } else if (length == 0) {
                        requests.nothing(cookie, true);
                    } else {
                        requests.read(cookie, offset, (int) length);
                    }
                }
                case Wire.CMD_FLUSH -> {
                    if (offset != 0 || length != 0) {
                        requests.refuse(cookie, false, Failure.INVALID);
                    } else {
                        requests.flush(cookie);
                    }
                }
                case Wire.CMD_TRIM -> {
                    if (outside(offset, length)) {
                        requests.refuse(cookie, false, Failure.INVALID);
                    } else {
                        zero(cookie, offset, length, fua, true);
                    }
                }
                case Wire.CMD_WRITE_ZEROES -> {
                    boolean mayPunch = (flags & Wire.CMD_FLAG_NO_HOLE) == 0;
                    if (outside(offset, length)) {
                        requests.refuse(cookie, false, Failure.NO_SPACE);
                    } else if (!mayPunch && (flags & Wire.CMD_FLAG_FAST_ZERO) != 0) {
                        // Zeros are recorded without a payload, which is fast; allocating their space is not.
                        requests.refuse(cookie, false, Failure.UNSUPPORTED);
                    } else {
                        zero(cookie, offset, length, fua, mayPunch);
                    }
                }
                // The command is the client's number: not known here, and then it has no payload.
                default -> requests.refuse(cookie, false, Failure.INVALID);
            }
        }
    }

    private void zero(long cookie, long offset, long length, boolean fua, boolean mayPunch) {
        if (length == 0) {
            requests.nothing(cookie, false);
        } else {
            requests.zero(cookie, offset, length, fua, mayPunch);
        }
    }

    /** FUA is valid everywhere, by the protocol, and ignored where nothing is written. */
    private int allowedFlags(int command) {
        return Wire.CMD_FLAG_FUA
                | switch (command) {
                    case Wire.CMD_READ -> structured ? Wire.CMD_FLAG_DF : 0;
                    case Wire.CMD_WRITE_ZEROES -> Wire.CMD_FLAG_NO_HOLE | Wire.CMD_FLAG_FAST_ZERO;
                    default -> 0;
                };
    }

    private boolean skip(ByteBuffer in) {
        int now = (int) Math.min(skipBytes, in.remaining());
        in.position(in.position() + now);
        skipBytes -= now;
        if (skipBytes > 0) {
            needed = 1;
            return false;
        }
        requests.refuse(skippedCookie, false, skippedFailure);
        return true;
    }

    /** Offsets are unsigned on the wire: those past 2^63 are negative here, and outside of every export. */
    private boolean outside(long offset, long length) {
        return offset < 0 || offset > sizeBytes || length > sizeBytes - offset;
    }
}
