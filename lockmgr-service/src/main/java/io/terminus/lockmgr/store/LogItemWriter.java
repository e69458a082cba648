package io.terminus.lockmgr.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumeGone;
import io.terminus.lockmgr.lock.Change.VolumePut;
import java.nio.ByteBuffer;

/**
 * Writes items one behind the other into a buffer of its own, in the form that {@link LogItemCodec} describes. What grants
 * are made of is written without allocation: the names of a session and a volume come again and again, so their UTF-8 is
 * kept for the {@value #KEPT_TEXTS} that came last.
 *
 * <p>The buffer grows for one long decision and goes back to its first size at {@link #clear}. One owner thread.
 */
final class LogItemWriter {

    private static final int KEPT_TEXTS = 4096;

    /** Longer ones are boot ids and the like, and not kept. */
    private static final int LONGEST_KEPT_TEXT = 256;

    /** Fixed fields of the longest item, with room to spare. Texts and values come on top. */
    private static final int FIXED_BYTES = 96;

    private final int firstBytes;
    private final String[] texts = new String[KEPT_TEXTS];
    private final byte[][] encoded = new byte[KEPT_TEXTS][];
    private ByteBuffer buffer;

    /** @param firstBytes size of the buffer when nothing is too long for it */
    LogItemWriter(int firstBytes) {
        this.firstBytes = firstBytes;
        this.buffer = ByteBuffer.allocate(firstBytes);
    }

    /** What was written lies before its position. Another one after the next item. */
    ByteBuffer buffer() {
        return buffer;
    }

    int position() {
        return buffer.position();
    }

    /** Starts over, behind so many bytes that the owner of the buffer fills. */
    void clear(int reservedBytes) {
        if (buffer.capacity() > firstBytes) {
            buffer = ByteBuffer.allocate(firstBytes);
        }
        buffer.clear().position(reservedBytes);
    }

    void write(LogItem item) {
        switch (item) {
            case LogItem.Opening o -> {
                byte[] bootId = utf8(o.bootId());
                ByteBuffer b = room(bootId.length);
                b.put(LogItemCodec.OPENING).putLong(o.epoch()).putLong(o.maxTtlNanos());
                b.put((byte)
                        ((o.forgets() ? LogItemCodec.FORGETS : 0) | (o.recovering() ? LogItemCodec.RECOVERING : 0)));
                text(bootId);
            }
            case LogItem.RecoveryOver r -> room(0).put(LogItemCodec.RECOVERY_OVER);
            case LogItem.Through t -> room(0).put(LogItemCodec.THROUGH).putLong(t.sequence());
            case LogItem.Renewed r -> {
                byte[] session = utf8(r.sessionId());
                room(session.length).put(LogItemCodec.RENEWED).putLong(r.timeNanos());
                text(session);
            }
            case LogItem.Changed c -> write(c.change());
        }
    }

    void write(Change change) {
        switch (change) {
            case LockPut l -> {
                byte[] session = utf8(l.sessionId());
                byte[] volume = utf8(l.volume());
                ByteBuffer b = room(session.length + volume.length);
                b.put(LogItemCodec.LOCK_PUT).putLong(l.lockId()).putLong(l.requestId());
                b.putLong(l.lastRequestId());
                b.putLong(l.requestedStart()).putLong(l.requestedEnd());
                b.putLong(l.start()).putLong(l.end()).putLong(l.token());
                b.put((byte) l.mode().ordinal()).put((byte) (l.revoked() ? 1 : 0));
                text(session);
                text(volume);
            }
            case LockGone l -> room(0).put(LogItemCodec.LOCK_GONE).putLong(l.lockId());
            case SessionOpened s -> {
                byte[] session = utf8(s.sessionId());
                byte[] owner = utf8(s.owner());
                room(session.length + owner.length)
                        .put(LogItemCodec.SESSION_OPENED)
                        .putLong(s.ttlNanos());
                text(session);
                text(owner);
            }
            case SessionClosed s -> {
                byte[] session = utf8(s.sessionId());
                room(session.length).put(LogItemCodec.SESSION_CLOSED);
                text(session);
            }
            case VolumePut v -> {
                byte[] volume = utf8(v.volume());
                byte[] uuid = utf8(v.uuid());
                room(volume.length + uuid.length).put(LogItemCodec.VOLUME_PUT).putLong(v.lockDelayNanos());
                text(volume);
                text(uuid);
            }
            case VolumeGone v -> {
                byte[] volume = utf8(v.volume());
                room(volume.length).put(LogItemCodec.VOLUME_GONE);
                text(volume);
            }
            case ValuePut v -> {
                byte[] session = utf8(v.sessionId());
                byte[] volume = utf8(v.volume());
                ByteBuffer b = room(session.length + volume.length + v.value().length);
                b.put(LogItemCodec.VALUE_PUT).putLong(v.version()).putLong(v.requestId());
                b.putInt(v.value().length).put(v.value());
                text(volume);
                text(session);
            }
        }
    }

    private void text(byte[] utf8) {
        buffer.putShort((short) utf8.length).put(utf8);
    }

    private byte[] utf8(String text) {
        int hash = text.hashCode();
        int slot = (hash ^ hash >>> 16) & KEPT_TEXTS - 1;
        if (text.equals(texts[slot])) {
            return encoded[slot];
        }
        byte[] utf8 = text.getBytes(UTF_8);
        if (utf8.length > LogItemCodec.LONGEST_TEXT_BYTES) {
            throw new IllegalArgumentException(
                    "text of " + utf8.length + " bytes, at most " + LogItemCodec.LONGEST_TEXT_BYTES + " fit");
        }
        if (utf8.length <= LONGEST_KEPT_TEXT) {
            texts[slot] = text;
            encoded[slot] = utf8;
        }
        return utf8;
    }

    private ByteBuffer room(int variableBytes) {
        if (buffer.remaining() < FIXED_BYTES + variableBytes) {
            int needed = Math.addExact(buffer.position(), FIXED_BYTES + variableBytes);
            int doubled = (int) Math.min(2L * buffer.capacity(), 1 << 30);
            buffer = ByteBuffer.allocate(Math.max(needed, doubled)).put(buffer.flip());
        }
        return buffer;
    }
}
