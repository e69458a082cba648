package io.terminus.agent.nbd;

import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The server's half of the transmission phase: bytes in, validated requests out, no socket.
 *
 * <pre>
 *   request   0 magic 4 flags 6 command 8 cookie 16 offset 24 length 28 payload of a write ...
 *   extended  0 magic 4 flags 6 command 8 cookie 16 offset 24 length 32 payload ...
 * </pre>
 *
 * A request is handed on whole: the payload of a write is at hand when it is. A request whose payload is of no use is
 * skipped to its end before it is refused, because clients do not expect an answer to what they are still sending; so the
 * stream stays readable whatever its length says. With extended headers a flag says that a payload follows, whatever the
 * command; without them only writes have one.
 */
final class Transmission {

    /** No honest client sends a payload beyond this: it is not worth reading to its end. */
    private static final long MOST_SKIPPED_BYTES = 0xffff_ffffL;

    /**
     * What is to be done. The client's cookie and offset come with each, to be given back in the answer; ranges are inside
     * the export and not empty. {@code chunked}: the answer has the form of one to a read.
     */
    interface Requests {

        /** Whether one more request with so much payload may be in flight. */
        boolean admits(int payloadBytes);

        void write(long clientCookie, long offset, ByteBuffer payload, boolean fua);

        void zero(long clientCookie, long offset, long lengthBytes, boolean fua, boolean mayPunch);

        void flush(long clientCookie);

        /** {@code whole}: the data is to come in one chunk. */
        void read(long clientCookie, long offset, int lengthBytes, boolean whole);

        /** {@code one}: a single extent is asked for. */
        void status(long clientCookie, long offset, long lengthBytes, boolean one);

        void cache(long clientCookie, long offset, long lengthBytes);

        /** Answer at once: there is nothing to do. */
        void nothing(long clientCookie, long offset, boolean chunked);

        /** Answer at once with an error. */
        void refuse(long clientCookie, long offset, boolean chunked, Failure why);
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
    private final boolean readOnly;
    private final Dialect dialect;
    private final boolean contexts;
    private final Requests requests;
    private final int headerBytes;

    private int needed;
    private boolean shuttingDown;

    /** Payload still to be skipped, and what is answered then. */
    private long skipBytes;

    private long skippedCookie;
    private long skippedOffset;
    private boolean skippedChunked;
    private Failure skippedFailure = Failure.INVALID;

    /** @param contexts whether the client has selected a metadata context, so that it may ask about blocks */
    Transmission(long sizeBytes, Dialect dialect, boolean contexts, Requests requests) {
        this(sizeBytes, false, dialect, contexts, requests);
    }

    /** @param readOnly whoever writes all the same is refused */
    Transmission(long sizeBytes, boolean readOnly, Dialect dialect, boolean contexts, Requests requests) {
        this.readOnly = readOnly;
        this.sizeBytes = sizeBytes;
        this.dialect = dialect;
        this.contexts = contexts;
        this.requests = requests;
        this.headerBytes = dialect.requestBytes();
        this.needed = headerBytes;
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
        boolean extended = dialect == Dialect.EXTENDED;
        int magic = extended ? Wire.EXTENDED_REQUEST_MAGIC : Wire.REQUEST_MAGIC;
        while (true) {
            if (skipBytes > 0 && !skip(in)) {
                return Progress.NEED_MORE;
            }
            needed = headerBytes;
            if (in.remaining() < headerBytes) {
                return Progress.NEED_MORE;
            }
            int at = in.position();
            if (in.getInt(at) != magic) {
                return Progress.BROKEN;
            }
            int flags = Short.toUnsignedInt(in.getShort(at + 4));
            int command = Short.toUnsignedInt(in.getShort(at + 6));
            long cookie = in.getLong(at + 8);
            long offset = in.getLong(at + 16);
            long length = extended ? in.getLong(at + 24) : Integer.toUnsignedLong(in.getInt(at + 24));
            boolean hasPayload =
                    command == Wire.CMD_WRITE || (extended && (flags & Wire.CMD_FLAG_PAYLOAD_LEN) != 0 && length != 0);
            if (hasPayload && (length < 0 || length > MOST_SKIPPED_BYTES)) {
                return Progress.BROKEN;
            }
            if (command == Wire.CMD_DISC && !hasPayload) {
                in.position(at + headerBytes);
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
            in.position(at + headerBytes);
            if (hasPayload) {
                // For a command that takes none, or that is not known.
                skipped(cookie, offset, length, chunked(command), Failure.INVALID);
            } else {
                withoutPayload(command, flags, cookie, offset, length);
            }
        }
    }

    /** Returns why to stop, or null to go on. */
    private @Nullable Progress write(ByteBuffer in, int at, int flags, long cookie, long offset, long length) {
        Failure wrong = shuttingDown
                ? Failure.SHUTDOWN
                : (flags & ~allowedFlags(Wire.CMD_WRITE)) != 0 || length > Wire.MOST_PAYLOAD_BYTES
                        ? Failure.INVALID
                        : readOnly ? Failure.NOT_PERMITTED : outside(offset, length) ? Failure.NO_SPACE : null;
        if (wrong != null) {
            if (!requests.admits(0)) {
                return Progress.BUSY;
            }
            in.position(at + headerBytes);
            skipped(cookie, offset, length, false, wrong);
            return null;
        }
        int payload = (int) length;
        if (in.remaining() < headerBytes + payload) {
            needed = headerBytes + payload;
            return Progress.NEED_MORE;
        }
        if (!requests.admits(payload)) {
            return Progress.BUSY;
        }
        in.position(at + headerBytes + payload);
        if (payload == 0) {
            requests.nothing(cookie, offset, false);
        } else {
            requests.write(cookie, offset, in.slice(at + headerBytes, payload), (flags & Wire.CMD_FLAG_FUA) != 0);
        }
        return null;
    }

    private void withoutPayload(int command, int flags, long cookie, long offset, long length) {
        boolean fua = (flags & Wire.CMD_FLAG_FUA) != 0;
        boolean chunked = chunked(command);
        if (shuttingDown) {
            requests.refuse(cookie, offset, chunked, Failure.SHUTDOWN);
        } else if ((flags & ~allowedFlags(command)) != 0) {
            requests.refuse(cookie, offset, chunked, Failure.INVALID);
        } else if (readOnly && (command == Wire.CMD_TRIM || command == Wire.CMD_WRITE_ZEROES)) {
            requests.refuse(cookie, offset, false, Failure.NOT_PERMITTED);
        } else {
            switch (command) {
                case Wire.CMD_READ -> {
                    if (length > Wire.MOST_PAYLOAD_BYTES || outside(offset, length)) {
                        requests.refuse(cookie, offset, true, Failure.INVALID);
                    } else if (length == 0) {
                        requests.nothing(cookie, offset, true);
                    } else {
                        requests.read(cookie, offset, (int) length, (flags & Wire.CMD_FLAG_DF) != 0);
                    }
                }
                case Wire.CMD_FLUSH -> {
                    if (offset != 0 || length != 0) {
                        requests.refuse(cookie, offset, false, Failure.INVALID);
                    } else {
                        requests.flush(cookie);
                    }
                }
                case Wire.CMD_TRIM -> {
                    if (outside(offset, length)) {
                        requests.refuse(cookie, offset, false, Failure.INVALID);
                    } else {
                        zero(cookie, offset, length, fua, true);
                    }
                }
                case Wire.CMD_CACHE -> {
                    if (outside(offset, length)) {
                        requests.refuse(cookie, offset, false, Failure.INVALID);
                    } else if (length == 0) {
                        requests.nothing(cookie, offset, false);
                    } else {
                        requests.cache(cookie, offset, length);
                    }
                }
                case Wire.CMD_WRITE_ZEROES -> {
                    boolean mayPunch = (flags & Wire.CMD_FLAG_NO_HOLE) == 0;
                    if (outside(offset, length)) {
                        requests.refuse(cookie, offset, false, Failure.NO_SPACE);
                    } else if (!mayPunch && (flags & Wire.CMD_FLAG_FAST_ZERO) != 0) {
                        // Zeros are recorded without a payload, which is fast; allocating their space is not.
                        requests.refuse(cookie, offset, false, Failure.UNSUPPORTED);
                    } else {
                        zero(cookie, offset, length, fua, mayPunch);
                    }
                }
                case Wire.CMD_BLOCK_STATUS -> {
                    if (!contexts || length == 0 || outside(offset, length)) {
                        requests.refuse(cookie, offset, true, Failure.INVALID);
                    } else {
                        requests.status(cookie, offset, length, (flags & Wire.CMD_FLAG_REQ_ONE) != 0);
                    }
                }
                // The command is the client's number: not known here, and then it has no payload.
                default -> requests.refuse(cookie, offset, false, Failure.INVALID);
            }
        }
    }

    private void zero(long cookie, long offset, long length, boolean fua, boolean mayPunch) {
        if (length == 0) {
            requests.nothing(cookie, offset, false);
        } else {
            requests.zero(cookie, offset, length, fua, mayPunch);
        }
    }

    private static boolean chunked(int command) {
        return command == Wire.CMD_READ || command == Wire.CMD_BLOCK_STATUS;
    }

    /** FUA is valid everywhere, by the protocol, and ignored where nothing is written. */
    private int allowedFlags(int command) {
        return Wire.CMD_FLAG_FUA
                | switch (command) {
                    case Wire.CMD_READ -> dialect == Dialect.SIMPLE ? 0 : Wire.CMD_FLAG_DF;
                    case Wire.CMD_WRITE -> dialect == Dialect.EXTENDED ? Wire.CMD_FLAG_PAYLOAD_LEN : 0;
                    case Wire.CMD_WRITE_ZEROES -> Wire.CMD_FLAG_NO_HOLE | Wire.CMD_FLAG_FAST_ZERO;
                    case Wire.CMD_BLOCK_STATUS -> Wire.CMD_FLAG_REQ_ONE;
                    default -> 0;
                };
    }

    /** Refused once its payload, if there is any, has passed. */
    private void skipped(long cookie, long offset, long payload, boolean chunked, Failure why) {
        if (payload == 0) {
            requests.refuse(cookie, offset, chunked, why);
            return;
        }
        skipBytes = payload;
        skippedCookie = cookie;
        skippedOffset = offset;
        skippedChunked = chunked;
        skippedFailure = why;
    }

    private boolean skip(ByteBuffer in) {
        int now = (int) Math.min(skipBytes, in.remaining());
        in.position(in.position() + now);
        skipBytes -= now;
        if (skipBytes > 0) {
            needed = 1;
            return false;
        }
        requests.refuse(skippedCookie, skippedOffset, skippedChunked, skippedFailure);
        return true;
    }

    /** Offsets and lengths are unsigned on the wire: those past 2^63 are negative here, and outside of every export. */
    private boolean outside(long offset, long length) {
        return offset < 0 || length < 0 || offset > sizeBytes || length > sizeBytes - offset;
    }
}
