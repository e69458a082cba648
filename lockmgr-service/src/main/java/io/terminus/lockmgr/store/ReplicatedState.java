package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumeGone;
import io.terminus.lockmgr.lock.Change.VolumePut;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.zip.CRC32C;
import java.util.zip.CheckedInputStream;
import java.util.zip.CheckedOutputStream;
import org.agrona.collections.Long2ObjectHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What the log of a group adds up to: all that the next leader has to know. Every member keeps one and lets it follow the
 * log, entry by entry; none asks a rule of locks, a clock or chance for that, so members of different versions get to the same.
 * Locks are kept as the bytes they came in, some 150 bytes each.
 *
 * <p>A <em>leadership</em> begins with an entry of its own, which gives it the next epoch. Its decisions are numbered from 1. What comes from
 * an earlier leadership, or with a gap before it, was decided by somebody who did not know all that was decided: it is void, everywhere alike.
 *
 * <p>The <em>digest</em> is the sum of the hashes of everything held here, so that it follows each change in the time the change takes. Each
 * decision carries the digest that its leader had before it.
 *
 * <pre>
 *   snapshot
 *      0  "TLMSNAP1"         8, the last digit is the version: that of the newest entry it holds
 *      8  epoch              8
 *     16  sequence           8
 *     24  time (ns)          8
 *     32  digest             8
 *     40  items              4 bytes of length and LogItemCodec's bytes each; length 0 ends them
 *      .  CRC32C             4, of everything before
 * </pre>
 *
 * One thread at a time; {@link #digest}, {@link #epoch}, {@link #sessionCount} and {@link #lockCount} any thread.
 */
public final class ReplicatedState {

    private static final long MAGIC = 0x544C_4D53_4E41_5030L; // and the version
    private static final int LONGEST_ITEM_BYTES = 1 << 20;
    private static final int FIRST_BYTES = 8 << 10;

    /** What became of a decision. */
    public enum Outcome {
        APPLIED,
        /** The part before the last one of a decision too long for one entry. */
        KEPT,
        /** Of a leadership that is over, or behind one that is missing. */
        VOID,
        /** It follows, but the leader's digest is another than ours: one of us is wrong. */
        DIFFERS
    }

    private final Map<String, SessionOpened> sessions = new LinkedHashMap<>();
    private final Map<String, Long> renewed = new LinkedHashMap<>();
    private final Map<String, VolumePut> volumes = new LinkedHashMap<>();
    private final Map<String, ValuePut> values = new LinkedHashMap<>();
    private final Long2ObjectHashMap<byte[]> locks = new Long2ObjectHashMap<>();
    private final LogItemWriter writer = new LogItemWriter(FIRST_BYTES);
    private volatile int format = 1;
    private final Taking taking = new Taking();

    /** The parts of a decision whose last part has not come. */
    private final List<byte[]> parts = new ArrayList<>();

    private volatile long epoch;
    private long sequence;
    private long timeNanos;
    /** The digest, of the thread that takes. */
    private long sum;

    private volatile long digest;
    private volatile int sessionCount;
    private volatile int lockCount;

    /** A leadership begins; returns its epoch. */
    public long open() {
        parts.clear();
        sequence = 0;
        long next = epoch + 1;
        epoch = next;
        return next;
    }

    /**
     * Takes one decision, or a part of it.
     *
     * @param last false: more parts follow, and nothing is done before the last one came
     */
    public Outcome take(long ofEpoch, long number, long nowNanos, long leadersDigest, boolean last, ByteBuffer items) {
        if (ofEpoch != epoch || number != sequence + 1) {
            return Outcome.VOID;
        }
        if (leadersDigest != sum) {
            return Outcome.DIFFERS;
        }
        sequence = number;
        timeNanos = Math.max(timeNanos, nowNanos);
        if (!last) {
            byte[] part = new byte[items.remaining()];
            items.get(part);
            parts.add(part);
            return Outcome.KEPT;
        }
        for (byte[] part : parts) {
            LogItemCodec.readAll(ByteBuffer.wrap(part), taking);
        }
        parts.clear();
        LogItemCodec.readAll(items, taking);
        publish();
        return Outcome.APPLIED;
    }

    private void publish() {
        digest = sum;
        sessionCount = sessions.size();
        lockCount = locks.size();
    }

    public long epoch() {
        return epoch;
    }

    public long digest() {
        return digest;
    }

    public int sessionCount() {
        return sessionCount;
    }

    public int lockCount() {
        return lockCount;
    }

    /** The time of the newest decision. */
    public long timeNanos() {
        return timeNanos;
    }

    /** May a snapshot be written now? Not in the middle of a decision. */
    public boolean whole() {
        return parts.isEmpty();
    }

    /** Everything, in an order in which each change finds what it refers to. */
    public List<Change> changes() {
        List<Change> changes = new ArrayList<>(sessions.size() + volumes.size() + values.size() + locks.size());
        changes.addAll(sessions.values());
        changes.addAll(volumes.values());
        changes.addAll(values.values());
        locks.values().forEach(lock -> changes.add(LogItemCodec.readLock(lock)));
        return changes;
    }

    /** When each session was renewed last. */
    public void forEachRenewal(BiConsumer<String, Long> to) {
        renewed.forEach(to);
    }

    private final class Taking implements LogItemCodec.Taker {
        @Override
        public void take(LogItem item) {
            switch (item) {
                case LogItem.Changed changed -> change(changed.change());
                case LogItem.Renewed renewal -> {
                    if (sessions.containsKey(renewal.sessionId())) {
                        renew(renewal.sessionId(), renewal.timeNanos());
                    }
                }
                case LogItem.Opening opening -> throw foreign(item);
                case LogItem.RecoveryOver over -> throw foreign(item);
                case LogItem.Through through -> throw foreign(item);
            }
        }

        private IllegalArgumentException foreign(LogItem item) {
            return new IllegalArgumentException(
                    "the log of a group holds " + item + ", which belongs to a single one's");
        }

        private void change(Change change) {
            switch (change) {
                case SessionOpened opened -> {
                    replace(sessions.put(opened.sessionId(), opened), opened);
                    renew(opened.sessionId(), timeNanos);
                }
                case SessionClosed closed -> {
                    replace(sessions.remove(closed.sessionId()), null);
                    forgetRenewal(renewed.remove(closed.sessionId()), closed.sessionId());
                }
                case VolumePut put -> replace(volumes.put(put.volume(), put), put);
                case VolumeGone gone -> replace(volumes.remove(gone.volume()), null);
                case ValuePut put -> replace(values.put(put.volume(), put), put);
                case LockPut put -> throw new IllegalStateException("a lock comes as bytes");
                case LockGone gone -> throw new IllegalStateException("a lock comes as bytes");
            }
        }

        private void renew(String sessionId, long atNanos) {
            forgetRenewal(renewed.put(sessionId, atNanos), sessionId);
            sum += hash(new LogItem.Renewed(sessionId, atNanos));
        }

        private void forgetRenewal(@Nullable Long before, String sessionId) {
            if (before != null) {
                sum -= hash(new LogItem.Renewed(sessionId, before));
            }
        }

        private void replace(@Nullable Change before, @Nullable Change after) {
            if (before != null) {
                sum -= hash(new LogItem.Changed(before));
            }
            if (after != null) {
                sum += hash(new LogItem.Changed(after));
            }
        }

        @Override
        public void takeLock(long lockId, byte[] lockPut) {
            forgetLock(locks.put(lockId, lockPut));
            sum += hash(lockPut, lockPut.length);
        }

        @Override
        public void takeLockGone(long lockId) {
            forgetLock(locks.remove(lockId));
        }

        private void forgetLock(byte @Nullable [] before) {
            if (before != null) {
                sum -= hash(before, before.length);
            }
        }
    }

    private long hash(LogItem item) {
        writer.clear(0);
        writer.write(item);
        return hash(writer.buffer().array(), writer.position());
    }

    /** FNV-1a over eight bytes at a time, and a finish that lets every bit count. Finds faults, not forgers. */
    private static long hash(byte[] bytes, int length) {
        ByteBuffer from = ByteBuffer.wrap(bytes, 0, length);
        long h = 0xCBF2_9CE4_8422_2325L ^ length;
        while (from.remaining() >= Long.BYTES) {
            h = (h ^ from.getLong()) * 0x9E37_79B9_7F4A_7C15L;
            h ^= h >>> 29;
        }
        while (from.hasRemaining()) {
            h = (h ^ from.get()) * 0x100_0000_01B3L;
        }
        h ^= h >>> 32;
        h *= 0xD6E8_FEB8_6659_FD93L;
        return h ^ h >>> 32;
    }

    // Snapshots

    /** An entry of this version was applied: who could read it can read a snapshot of that version too. */
    public void applied(int version) {
        format = Math.max(format, version);
    }

    /** The newest version of what was applied, from 1. Any thread. */
    public int format() {
        return format;
    }

    /** Only while {@link #whole}. The caller syncs what it gave. */
    public void writeTo(OutputStream to) throws IOException {
        CRC32C crc = new CRC32C();
        DataOutputStream out = new DataOutputStream(new CheckedOutputStream(to, crc));
        out.writeLong(MAGIC + format);
        out.writeLong(epoch);
        out.writeLong(sequence);
        out.writeLong(timeNanos);
        out.writeLong(digest);
        for (SessionOpened session : sessions.values()) {
            write(out, new LogItem.Changed(session));
        }
        for (Map.Entry<String, Long> renewal : renewed.entrySet()) {
            write(out, new LogItem.Renewed(renewal.getKey(), renewal.getValue()));
        }
        for (VolumePut volume : volumes.values()) {
            write(out, new LogItem.Changed(volume));
        }
        for (ValuePut value : values.values()) {
            write(out, new LogItem.Changed(value));
        }
        for (byte[] lock : locks.values()) {
            out.writeInt(lock.length);
            out.write(lock);
        }
        out.writeInt(0);
        out.writeInt((int) crc.getValue());
        out.flush();
    }

    private void write(DataOutputStream out, LogItem item) throws IOException {
        writer.clear(0);
        writer.write(item);
        out.writeInt(writer.position());
        out.write(writer.buffer().array(), 0, writer.position());
    }

    /**
     * @param newest version that is known, 1 to 9
     * @throws IOException if it cannot be read, is damaged, or is of a newer version; the message says which
     */
    public static ReplicatedState read(InputStream from, int newest) throws IOException {
        CRC32C crc = new CRC32C();
        DataInputStream in = new DataInputStream(new CheckedInputStream(new BufferedInputStream(from, 1 << 16), crc));
        long magic = in.readLong();
        long version = magic - MAGIC;
        if (version < 1 || version > newest) {
            throw new IOException(
                    magic >>> 8 == MAGIC >>> 8
                            ? "it is of version " + (char) (magic & 0xFF) + ", known are those to " + newest
                            : "it is no snapshot of a lock manager");
        }
        ReplicatedState state = new ReplicatedState();
        state.format = (int) version;
        state.epoch = in.readLong();
        state.sequence = in.readLong();
        state.timeNanos = in.readLong();
        long expected = in.readLong();
        for (int length = in.readInt(); length > 0; length = in.readInt()) {
            if (length > LONGEST_ITEM_BYTES) {
                throw new IOException("an item of " + length + " bytes, at most " + LONGEST_ITEM_BYTES + " are one");
            }
            byte[] item = new byte[length];
            in.readFully(item);
            LogItemCodec.readAll(ByteBuffer.wrap(item), state.taking);
        }
        int computed = (int) crc.getValue();
        if (in.readInt() != computed) {
            throw new IOException("its checksum is wrong");
        }
        if (state.sum != expected) {
            throw new IOException(
                    "it adds up to digest " + Long.toHexString(state.sum) + " and says " + Long.toHexString(expected));
        }
        state.publish();
        return state;
    }
}
