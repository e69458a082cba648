package io.terminus.lockmgr.fencing;

import io.terminus.ranges.BlockRange;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/**
 * What one volume's storage keeps to refuse stale writers: for every byte the highest token that was announced for it. A writer that slept
 * past its lease still believes nothing wrong when it wakes up in the middle of a write; only whoever stores the data can stop it.
 *
 * <pre>{@code
 * fences.fence(granted, token);                    // a new holder announces itself, before it reads or writes
 * store(fences.toBytes());                         // fsync, and only then answer it
 * ...
 * if (fences.admit(written, token) instanceof Refused older) refuse(older);
 * }</pre>
 *
 * <p>A fence is raised for the whole granted range, by the holder's announcement, and never by writes: a new holder that has written
 * one block is to be safe from its predecessor in all the others as well. Equal tokens pass, for a holder may announce itself again.
 *
 * <p><b>Bound.</b> At most {@code maxFences} ranges are kept, neighbours with one token counting as one. When that is not enough, the
 * older half of them gives way to a <em>floor</em>: nothing with an older token than the newest of that half is admitted anywhere. That
 * only ever refuses more: a holder that has had its lock for longer than that many newer ones came and went has to get it anew.
 *
 * <p>O(log n) each; making room costs O(n log n), once in n / 2 fences. Not for several threads: what is admitted has to be written
 * before a later fence is answered, so the storage needs a lock around both anyway.
 */
public final class FencingChecker {

    /** May it be written? */
    public sealed interface Verdict {}

    public record Admitted() implements Verdict {}

    /** No: {@code fencedBy} is newer, and holds at {@code offset}, the first such byte. */
    public record Refused(long fencedBy, long offset) implements Verdict {}

    /** One announcement, or what later ones have left of it. */
    public record Fence(BlockRange range, long token) {}

    /** The bytes are not what {@link #toBytes} made. */
    public static final class DamagedException extends RuntimeException {
        DamagedException(String message) {
            super(message);
        }
    }

    public static final int DEFAULT_MAX_FENCES = 65_536;

    private static final long MAGIC = 0x5452_4d46_454e_4345L; // TRMFENCE
    private static final int FORMAT = 1;
    private static final int HEADER_BYTES = 32;
    private static final int FENCE_BYTES = 24;
    private static final int CRC_OFFSET = 12;
    private static final Verdict ADMITTED = new Admitted();

    private record Until(long end, long token) {}

    private final int maxFences;
    /** By their starts; they do not overlap. */
    private final TreeMap<Long, Until> fences = new TreeMap<>();

    private long floor;

    public FencingChecker() {
        this(DEFAULT_MAX_FENCES);
    }

    /** @param maxFences at least 4 */
    public FencingChecker(int maxFences) {
        if (maxFences < 4) {
            throw new IllegalArgumentException("maxFences " + maxFences + " is less than 4");
        }
        this.maxFences = maxFences;
    }

    /** May the holder of {@code token} write {@code range}? Changes nothing. */
    public Verdict admit(BlockRange range, long token) {
        if (token < floor) {
            return new Refused(floor, range.start());
        }
        Map.Entry<Long, Until> before = fences.floorEntry(range.start());
        if (before != null && before.getValue().end > range.start() && before.getValue().token > token) {
            return new Refused(before.getValue().token, range.start());
        }
        for (Map.Entry<Long, Until> fence :
                fences.subMap(range.start(), false, range.end(), false).entrySet()) {
            if (fence.getValue().token > token) {
                return new Refused(fence.getValue().token, fence.getKey());
            }
        }
        return ADMITTED;
    }

    /**
     * From now on nothing older than {@code token} is admitted anywhere in {@code range}. Where a newer token was announced already,
     * that stays. To be made durable before whoever announced it is answered.
     *
     * @return as {@link #admit}: refused means that a part of the range, at least, belongs to a newer holder
     */
    public Verdict fence(BlockRange range, long token) {
        Verdict verdict = admit(range, token);
        if (token <= floor) {
            return verdict;
        }
        splitAt(range.start());
        splitAt(range.end());
        long gapStart = range.start();
        List<Fence> raised = new ArrayList<>();
        for (Map.Entry<Long, Until> fence :
                fences.subMap(range.start(), true, range.end(), false).entrySet()) {
            if (gapStart < fence.getKey()) {
                raised.add(new Fence(new BlockRange(gapStart, fence.getKey()), token));
            }
            gapStart = fence.getValue().end;
            raised.add(new Fence(new BlockRange(fence.getKey(), gapStart), Math.max(token, fence.getValue().token)));
        }
        if (gapStart < range.end()) {
            raised.add(new Fence(new BlockRange(gapStart, range.end()), token));
        }
        fences.subMap(range.start(), true, range.end(), false).clear();
        for (Fence fence : raised) {
            append(fence.range.start(), fence.range.end(), fence.token);
        }
        joinAt(range.end());
        if (fences.size() > maxFences) {
            makeRoom();
        }
        return verdict;
    }

    /** Tokens below this are admitted nowhere; 0 until there was no room. */
    public long floor() {
        return floor;
    }

    /** In the order of their starts, no two overlap, and neighbours that touch have different tokens. */
    public List<Fence> fences() {
        List<Fence> all = new ArrayList<>(fences.size());
        fences.forEach((start, until) -> all.add(new Fence(new BlockRange(start, until.end), until.token)));
        return all;
    }

    private void splitAt(long offset) {
        Map.Entry<Long, Until> around = fences.lowerEntry(offset);
        if (around != null && around.getValue().end > offset) {
            fences.put(around.getKey(), new Until(offset, around.getValue().token));
            fences.put(offset, around.getValue());
        }
    }

    /** Adds a fence where there is none, and makes one of it and its left neighbour if they are alike. */
    private void append(long start, long end, long token) {
        fences.put(start, new Until(end, token));
        joinAt(start);
    }

    private void joinAt(long offset) {
        Map.Entry<Long, Until> left = fences.lowerEntry(offset);
        Until right = fences.get(offset);
        if (left != null && right != null && left.getValue().end == offset && left.getValue().token == right.token) {
            fences.remove(offset);
            fences.put(left.getKey(), new Until(right.end, right.token));
        }
    }

    private void makeRoom() {
        long[] tokens = new long[fences.size()];
        int n = 0;
        for (Until until : fences.values()) {
            tokens[n++] = until.token;
        }
        Arrays.sort(tokens);
        floor = tokens[tokens.length / 2];
        fences.values().removeIf(until -> until.token <= floor);
    }

    /**
     * All of it, for a file.
     *
     * <pre>
     *   0  magic   u64  "TRMFENCE"
     *   8  format  u32  1
     *  12  crc32c  u32  of everything, this field taken as 0
     *  16  count   u32  of the fences
     *  20          u32  0
     *  24  floor   s64
     *  32  fences       count times: start s64, end s64, token s64; in the order of their starts
     * </pre>
     *
     * Big endian.
     */
    public byte[] toBytes() {
        ByteBuffer bytes = ByteBuffer.allocate(HEADER_BYTES + fences.size() * FENCE_BYTES);
        bytes.putLong(MAGIC)
                .putInt(FORMAT)
                .putInt(0)
                .putInt(fences.size())
                .putInt(0)
                .putLong(floor);
        fences.forEach((start, until) -> bytes.putLong(start).putLong(until.end).putLong(until.token));
        bytes.putInt(CRC_OFFSET, crc(bytes.array()));
        return bytes.array();
    }

    /**
     * @param maxFences may differ from that of the writer
     * @throws DamagedException if these are not bytes of {@link #toBytes}: storage must then admit nobody
     */
    public static FencingChecker of(byte[] stored, int maxFences) {
        FencingChecker checker = new FencingChecker(maxFences);
        byte[] copy = stored.clone();
        ByteBuffer bytes = ByteBuffer.wrap(copy);
        if (copy.length < HEADER_BYTES || bytes.getLong() != MAGIC) {
            throw new DamagedException(stored.length + " bytes are no fences");
        }
        int format = bytes.getInt();
        if (format != FORMAT) {
            throw new DamagedException(
                    "fences of format " + format + "; this version reads format " + FORMAT + " only");
        }
        int crc = bytes.getInt();
        bytes.putInt(CRC_OFFSET, 0);
        int count = bytes.getInt();
        bytes.getInt();
        if (crc != crc(copy) || copy.length != HEADER_BYTES + (long) count * FENCE_BYTES) {
            throw new DamagedException("fences are damaged: their checksum does not match");
        }
        checker.floor = bytes.getLong();
        for (int i = 0; i < count; i++) {
            BlockRange range = new BlockRange(bytes.getLong(), bytes.getLong());
            checker.append(range.start(), range.end(), bytes.getLong());
        }
        if (checker.fences.size() > maxFences) {
            checker.makeRoom();
        }
        return checker;
    }

    private static int crc(byte[] all) {
        CRC32C crc = new CRC32C();
        crc.update(all);
        return (int) crc.getValue();
    }
}
