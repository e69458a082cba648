package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumePut;
import io.terminus.lockmgr.lock.Mode;
import java.nio.ByteBuffer;

/**
 * Items as bytes, big-endian, one behind the other. A text is two bytes of length and its UTF-8.
 *
 * <pre>
 *   kind (1 byte)      fields
 *   1 Opening          epoch 8, max ttl 8, flags 1 (1 forgets, 2 recovering), boot id text
 *   2 RecoveryOver
 *   3 SessionOpened    ttl 8, session text, owner text
 *   4 SessionClosed    session text
 *   5 VolumePut        lock delay 8, volume text, uuid text
 *   6 LockPut          lock 8, request 8, last request 8, requested start 8, requested end 8, start 8,
 *                      end 8, token 8, mode 1 (0 NL .. 5 EX), revoked 1, session text, volume text
 *   7 LockGone         lock 8
 *   8 ValuePut         version 8, request 8, length 4, value, volume text, session text
 * </pre>
 *
 * The maps keep LockPut and SessionOpened in this form too. Any thread.
 */
final class LogItemCodec {

    private static final byte OPENING = 1;
    private static final byte RECOVERY_OVER = 2;
    private static final byte SESSION_OPENED = 3;
    private static final byte SESSION_CLOSED = 4;
    private static final byte VOLUME_PUT = 5;
    private static final byte LOCK_PUT = 6;
    private static final byte LOCK_GONE = 7;
    private static final byte VALUE_PUT = 8;

    private static final int FORGETS = 1;
    private static final int RECOVERING = 2;

    /** Fixed fields of the longest item, with room to spare. Texts and values come on top. */
    private static final int FIXED_BYTES = 80;

    private static final Mode[] MODES = Mode.values();

    private LogItemCodec() {}

    /** Writes at the position of {@code to}; returns it, or a larger copy if it was too small. */
    static ByteBuffer write(ByteBuffer to, LogItem item) {
        return switch (item) {
            case LogItem.Opening o -> {
                byte[] bootId = o.bootId().getBytes(UTF_8);
                ByteBuffer b = room(to, FIXED_BYTES + bootId.length);
                b.put(OPENING).putLong(o.epoch()).putLong(o.maxTtlNanos());
                b.put((byte) ((o.forgets() ? FORGETS : 0) | (o.recovering() ? RECOVERING : 0)));
                yield text(b, bootId);
            }
            case LogItem.RecoveryOver r -> room(to, FIXED_BYTES).put(RECOVERY_OVER);
            case LogItem.Changed c -> write(to, c.change());
        };
    }

    static ByteBuffer write(ByteBuffer to, Change change) {
        return switch (change) {
            case SessionOpened s -> {
                byte[] session = s.sessionId().getBytes(UTF_8);
                byte[] owner = s.owner().getBytes(UTF_8);
                ByteBuffer b = room(to, FIXED_BYTES + session.length + owner.length);
                b.put(SESSION_OPENED).putLong(s.ttlNanos());
                yield text(text(b, session), owner);
            }
            case SessionClosed s -> {
                byte[] session = s.sessionId().getBytes(UTF_8);
                yield text(room(to, FIXED_BYTES + session.length).put(SESSION_CLOSED), session);
            }
            case VolumePut v -> {
                byte[] volume = v.volume().getBytes(UTF_8);
                byte[] uuid = v.uuid().getBytes(UTF_8);
                ByteBuffer b = room(to, FIXED_BYTES + volume.length + uuid.length);
                b.put(VOLUME_PUT).putLong(v.lockDelayNanos());
                yield text(text(b, volume), uuid);
            }
            case LockPut l -> {
                byte[] session = l.sessionId().getBytes(UTF_8);
                byte[] volume = l.volume().getBytes(UTF_8);
                ByteBuffer b = room(to, FIXED_BYTES + session.length + volume.length);
                b.put(LOCK_PUT).putLong(l.lockId()).putLong(l.requestId()).putLong(l.lastRequestId());
                b.putLong(l.requestedStart()).putLong(l.requestedEnd());
                b.putLong(l.start()).putLong(l.end()).putLong(l.token());
                b.put((byte) l.mode().ordinal()).put((byte) (l.revoked() ? 1 : 0));
                yield text(text(b, session), volume);
            }
            case LockGone l -> room(to, FIXED_BYTES).put(LOCK_GONE).putLong(l.lockId());
            case ValuePut v -> {
                byte[] session = v.sessionId().getBytes(UTF_8);
                byte[] volume = v.volume().getBytes(UTF_8);
                ByteBuffer b = room(to, FIXED_BYTES + session.length + volume.length + v.value().length);
                b.put(VALUE_PUT).putLong(v.version()).putLong(v.requestId());
                b.putInt(v.value().length).put(v.value());
                yield text(text(b, volume), session);
            }
        };
    }

    /** The item at the position of {@code from}. Throws IllegalArgumentException for a kind or mode that is not known. */
    static LogItem read(ByteBuffer from) {
        byte kind = from.get();
        return switch (kind) {
            case OPENING -> {
                long epoch = from.getLong();
                long maxTtlNanos = from.getLong();
                int flags = from.get();
                yield new LogItem.Opening(
                        epoch, text(from), maxTtlNanos, (flags & FORGETS) != 0, (flags & RECOVERING) != 0);
            }
            case RECOVERY_OVER -> new LogItem.RecoveryOver();
            case SESSION_OPENED -> {
                long ttlNanos = from.getLong();
                String session = text(from);
                yield new LogItem.Changed(new SessionOpened(session, text(from), ttlNanos));
            }
            case SESSION_CLOSED -> new LogItem.Changed(new SessionClosed(text(from)));
            case VOLUME_PUT -> {
                long lockDelayNanos = from.getLong();
                String volume = text(from);
                yield new LogItem.Changed(new VolumePut(volume, text(from), lockDelayNanos));
            }
            case LOCK_PUT -> {
                long lockId = from.getLong();
                long requestId = from.getLong();
                long lastRequestId = from.getLong();
                long requestedStart = from.getLong();
                long requestedEnd = from.getLong();
                long start = from.getLong();
                long end = from.getLong();
                long token = from.getLong();
                Mode mode = mode(from.get());
                boolean revoked = from.get() != 0;
                String session = text(from);
                String volume = text(from);
                yield new LogItem.Changed(new LockPut(
                        lockId,
                        session,
                        requestId,
                        lastRequestId,
                        volume,
                        requestedStart,
                        requestedEnd,
                        start,
                        end,
                        mode,
                        token,
                        revoked));
            }
            case LOCK_GONE -> new LogItem.Changed(new LockGone(from.getLong()));
            case VALUE_PUT -> {
                long version = from.getLong();
                long requestId = from.getLong();
                byte[] value = new byte[from.getInt()];
                from.get(value);
                String volume = text(from);
                yield new LogItem.Changed(new ValuePut(volume, version, value, text(from), requestId));
            }
            default -> throw new IllegalArgumentException("item of kind " + kind + ", known are 1 to 8");
        };
    }

    private static ByteBuffer text(ByteBuffer to, byte[] utf8) {
        if (utf8.length > 0xFFFF) {
            throw new IllegalArgumentException("text of " + utf8.length + " bytes, at most 65535 fit");
        }
        return to.putShort((short) utf8.length).put(utf8);
    }

    private static String text(ByteBuffer from) {
        byte[] utf8 = new byte[from.getShort() & 0xFFFF];
        from.get(utf8);
        return new String(utf8, UTF_8);
    }

    private static Mode mode(int ordinal) {
        if (ordinal < 0 || ordinal >= MODES.length) {
            throw new IllegalArgumentException("mode " + ordinal + ", known are 0 to " + (MODES.length - 1));
        }
        return MODES[ordinal];
    }

    private static ByteBuffer room(ByteBuffer buffer, int bytes) {
        if (buffer.remaining() >= bytes) {
            return buffer;
        }
        int needed = Math.addExact(buffer.position(), bytes);
        ByteBuffer larger = ByteBuffer.allocate(Math.max(needed, (int) Math.min(2L * buffer.capacity(), 1 << 30)));
        return larger.put(buffer.flip());
    }
}
