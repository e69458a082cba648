package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumeGone;
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
 *   9 Through          sequence 8
 *  10 VolumeGone       volume text
 *  11 Renewed          time 8, session text; in the log of a group only
 * </pre>
 *
 * The map of grants keeps each LockPut in this form too. Written by LogItemWriter. Any thread.
 */
final class LogItemCodec {

    static final byte OPENING = 1;
    static final byte RECOVERY_OVER = 2;
    static final byte SESSION_OPENED = 3;
    static final byte SESSION_CLOSED = 4;
    static final byte VOLUME_PUT = 5;
    static final byte LOCK_PUT = 6;
    static final byte LOCK_GONE = 7;
    static final byte VALUE_PUT = 8;
    static final byte THROUGH = 9;
    static final byte VOLUME_GONE = 10;
    static final byte RENEWED = 11;

    static final int FORGETS = 1;
    static final int RECOVERING = 2;

    static final int LONGEST_TEXT_BYTES = 0xFFFF;

    private static final int LOCK_ID_AT = 1;
    private static final int LOCK_PUT_TEXTS_AT = 67;
    private static final int LOCK_GONE_BYTES = 9;

    private static final Mode[] MODES = Mode.values();

    private LogItemCodec() {}

    /** Who takes items. Locks are most of them by far, and are moved, not read: they come as the bytes they are. */
    interface Taker {
        void take(LogItem item);

        void takeLock(long lockId, byte[] lockPut);

        void takeLockGone(long lockId);
    }

    /** Hands over all items of {@code from}, in order. */
    static void readAll(ByteBuffer from, Taker to) {
        while (from.hasRemaining()) {
            int at = from.position();
            switch (from.get(at)) {
                case LOCK_PUT -> {
                    int volumeAt = at + LOCK_PUT_TEXTS_AT + 2 + (from.getShort(at + LOCK_PUT_TEXTS_AT) & 0xFFFF);
                    byte[] lockPut = new byte[volumeAt + 2 + (from.getShort(volumeAt) & 0xFFFF) - at];
                    from.get(lockPut);
                    to.takeLock(from.getLong(at + LOCK_ID_AT), lockPut);
                }
                case LOCK_GONE -> {
                    to.takeLockGone(from.getLong(at + LOCK_ID_AT));
                    from.position(at + LOCK_GONE_BYTES);
                }
                default -> to.take(read(from));
            }
        }
    }

    static LockPut readLock(byte[] lockPut) {
        if (read(ByteBuffer.wrap(lockPut)) instanceof LogItem.Changed item && item.change() instanceof LockPut lock) {
            return lock;
        }
        throw new IllegalArgumentException("item of kind " + lockPut[0] + " among the grants");
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
            case THROUGH -> new LogItem.Through(from.getLong());
            case VOLUME_GONE -> new LogItem.Changed(new VolumeGone(text(from)));
            case RENEWED -> {
                long timeNanos = from.getLong();
                yield new LogItem.Renewed(text(from), timeNanos);
            }
            default -> throw new IllegalArgumentException("item of kind " + kind + ", known are 1 to 11");
        };
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
}
