package io.terminus.cli.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/**
 * A disk with a cache that a loss of power empties. What was written since the last flush is on the medium or not, each piece of
 * 1 KiB by itself, in no order, and sometimes each block of 4 KiB; of a piece that was written several times any of the versions
 * may be. (Smaller pieces no file system stands: ext4 relies on its superblock, of 1 KiB, being written whole.) A flush puts
 * everything on the medium. The cache is bounded: what is over goes to the medium, the oldest first.
 *
 * <p>One that lies answers a flush and keeps nothing: what was flushed within the last while is lost with what was not. It loses
 * in order, so that file systems stay whole, and only what was flushed is missing.
 *
 * <p>For many threads. Offsets and lengths are multiples of 512.
 */
final class VolatileDisk {

    static final int SECTOR_BYTES = 512;
    private static final int PIECE_SECTORS = 2;
    private static final int BLOCK_SECTORS = 8;

    /** What a loss of power did to the cache. */
    record Lost(long sectors, long kept) {}

    /** What was written between two flushes, oldest first. */
    private record Generation(long flushedNanos, Map<Long, byte[]> sectors) {}

    private final FileChannel medium;
    private final long sizeBytes;
    private final long boundSectors;
    private final long lieNanos;
    private final Random chance;

    /** The newest version of all that is not on the medium. */
    private final Map<Long, byte[]> cache = new HashMap<>();
    /** Answered as flushed, and not kept; empty on an honest disk. */
    private final Deque<Generation> pretended = new ArrayDeque<>();

    private Map<Long, byte[]> unflushed = new LinkedHashMap<>();

    /**
     * @param boundBytes of the cache
     * @param lieNanos so long what was flushed is not kept; 0: an honest disk
     */
    VolatileDisk(FileChannel medium, long sizeBytes, long boundBytes, long lieNanos, Random chance) {
        this.medium = medium;
        this.sizeBytes = sizeBytes;
        this.boundSectors = boundBytes / SECTOR_BYTES;
        this.lieNanos = lieNanos;
        this.chance = chance;
    }

    long sizeBytes() {
        return sizeBytes;
    }

    synchronized long cachedSectors() {
        return cache.size();
    }

    synchronized byte[] read(long offset, int lengthBytes) {
        check(offset, lengthBytes);
        byte[] data = new byte[lengthBytes];
        try {
            // Behind its end a sparse medium holds zeros.
            ByteBuffer into = ByteBuffer.wrap(data);
            while (into.hasRemaining() && medium.read(into, offset + into.position()) >= 0) {
                // Until all is there.
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        for (int at = 0; at < lengthBytes; at += SECTOR_BYTES) {
            byte[] cached = cache.get((offset + at) / SECTOR_BYTES);
            if (cached != null) {
                System.arraycopy(cached, 0, data, at, SECTOR_BYTES);
            }
        }
        return data;
    }

    synchronized void write(long offset, byte[] data) {
        check(offset, data.length);
        boolean outAlready = false;
        for (int at = 0; at < data.length; at += SECTOR_BYTES) {
            long sector = (offset + at) / SECTOR_BYTES;
            byte[] bytes = new byte[SECTOR_BYTES];
            System.arraycopy(data, at, bytes, 0, SECTOR_BYTES);
            byte[] older = unflushed.remove(sector);
            outAlready = at == 0 || sector % PIECE_SECTORS == 0 ? chance.nextInt(4) == 0 : outAlready;
            if (older != null && lieNanos == 0 && outAlready) {
                put(sector, older);
            }
            unflushed.put(sector, bytes);
            cache.put(sector, bytes);
        }
        while (cache.size() > boundSectors) {
            makeRoom();
        }
    }

    synchronized void flush(long nowNanos) {
        pretended.addLast(new Generation(nowNanos, unflushed));
        unflushed = new LinkedHashMap<>();
        while (!pretended.isEmpty() && nowNanos - pretended.getFirst().flushedNanos >= lieNanos) {
            pretended.removeFirst().sectors.forEach(this::keep);
        }
    }

    /** Empties the cache. What the medium holds now is what there is. */
    synchronized Lost losePower() {
        long sectors = cache.size();
        long kept = 0;
        if (lieNanos == 0) {
            int share = chance.nextInt(4); // quarters that had reached the medium
            int unit = chance.nextBoolean() ? BLOCK_SECTORS : PIECE_SECTORS;
            Map<Long, Boolean> verdicts = new HashMap<>();
            for (Map.Entry<Long, byte[]> entry : unflushed.entrySet()) {
                boolean keep = verdicts.computeIfAbsent(entry.getKey() / unit, one -> chance.nextInt(4) < share);
                if (keep) {
                    put(entry.getKey(), entry.getValue());
                    kept++;
                }
            }
        }
        cache.clear();
        pretended.clear();
        unflushed = new LinkedHashMap<>();
        return new Lost(sectors - kept, kept);
    }

    private void makeRoom() {
        if (!pretended.isEmpty()) {
            pretended.removeFirst().sectors.forEach(this::keep);
        } else {
            long piece = unflushed.keySet().iterator().next() / PIECE_SECTORS;
            for (long sector = piece * PIECE_SECTORS; sector < (piece + 1) * PIECE_SECTORS; sector++) {
                byte[] bytes = unflushed.remove(sector);
                if (bytes != null) {
                    keep(sector, bytes);
                }
            }
        }
    }

    private void keep(long sector, byte[] bytes) {
        put(sector, bytes);
        cache.remove(sector, bytes); // unless there is a newer one: arrays are equal only to themselves
    }

    private void put(long sector, byte[] bytes) {
        try {
            ByteBuffer from = ByteBuffer.wrap(bytes);
            while (from.hasRemaining()) {
                medium.write(from, sector * SECTOR_BYTES + from.position());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void check(long offset, int lengthBytes) {
        if (offset < 0
                || lengthBytes < 0
                || offset % SECTOR_BYTES != 0
                || lengthBytes % SECTOR_BYTES != 0
                || offset > sizeBytes - lengthBytes) {
            throw new IllegalArgumentException("[" + offset + ", " + (offset + lengthBytes)
                    + ") is not a range of sectors of a disk of " + sizeBytes + " bytes");
        }
    }
}
