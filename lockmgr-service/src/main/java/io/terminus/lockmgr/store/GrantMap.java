package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import net.openhft.chronicle.map.ChronicleMap;
import net.openhft.chronicle.map.ChronicleMapBuilder;

/**
 * Locks by id, off-heap in a memory-mapped file, each as the log has it. It holds what the log generations said that were
 * deleted, so that the log stays short with a million locks held; newer generations are put over it at each start, as
 * often as need be.
 *
 * <p>It outlives a killed process, because the pages belong to the kernel. It does not outlive a power loss, except after
 * {@link #close}, which syncs it.
 *
 * <p>The classes that the library would otherwise compile when a map is opened are made by the build (MapClasses).
 *
 * <p>One thread at a time.
 */
final class GrantMap {

    static final String FILE = "locks.map";

    /** A volume name, a session id and the numbers of a lock. */
    private static final int AVERAGE_LOCK_BYTES = 128;

    /** First byte of the entry about the file; no kind of item. Its key is no id of a lock. */
    private static final byte LAYOUT = 0;

    private static final long LAYOUT_KEY = Long.MIN_VALUE;
    private static final int LAYOUT_BYTES = 1 + 2 * Long.BYTES;

    /** A file is never shorter; the library would look for its header for a minute. */
    private static final long SHORTEST_FILE_BYTES = 4096;

    /** So many times more entries than the file was laid out for still fit, if they are of average size. */
    private static final double MAX_BLOAT = 10;

    /** So many times more do whatever their size: the longest names make entries of two and a half times the average. */
    private static final long SAFE_BLOAT = 3;

    private final StoreDisk disk;
    private final Path file;
    private final ChronicleMap<Long, byte[]> locks;
    private final long laidOutFor;
    /** No entry has a higher id. Until all have been seen that says nothing. */
    private long highestId;

    static {
        // Read once, when the library's first class is loaded: it would report its use over the network otherwise.
        System.setProperty("chronicle.analytics.disable", "true");
        System.setProperty("chronicle.announcer.disable", "true");
    }

    private GrantMap(StoreDisk disk, Path file, ChronicleMap<Long, byte[]> locks, long laidOutFor, long highestId) {
        this.disk = disk;
        this.file = file;
        this.locks = locks;
        this.laidOutFor = laidOutFor;
        this.highestId = highestId;
    }

    /**
     * Recovery makes an empty map of an emptied file and says nothing. So the map has an entry of its own, made with the
     * file, which says how long the file was then: without it, or with a shorter file, entries may be missing. It also says
     * how many locks the file was laid out for, which may be fewer than the settings of today say.
     *
     * <p>Each entry is checked against its checksum, and those that the dead process had locked are unlocked: opened without
     * that, a map may wait for them for a minute and fail.
     *
     * @throws RuntimeException of whatever kind the library has, if the file cannot be read
     */
    static GrantMap open(StoreDisk disk, StoreSettings settings) throws IOException {
        Path path = settings.directory().resolve(FILE);
        File file = path.toFile();
        ChronicleMapBuilder<Long, byte[]> builder = ChronicleMapBuilder.of(Long.class, byte[].class)
                .name("locks")
                .entries(settings.maxLocks())
                .averageValueSize(AVERAGE_LOCK_BYTES)
                .maxBloatFactor(MAX_BLOAT)
                .putReturnsNull(true)
                .removeReturnsNull(true);
        if (!Files.exists(path)) {
            ChronicleMap<Long, byte[]> map = builder.createPersistedTo(file);
            map.put(LAYOUT_KEY, layout(Files.size(path), settings.maxLocks()));
            return new GrantMap(disk, path, map, settings.maxLocks(), LAYOUT_KEY);
        }
        if (Files.exists(beingRecovered(path))) {
            throw new IllegalStateException("recovery of " + path + " was begun and not ended");
        }
        long lengthBytes = Files.size(path);
        if (lengthBytes < SHORTEST_FILE_BYTES) {
            throw new IllegalStateException(path + " was cut to " + lengthBytes + " bytes");
        }
        // What the library finds damaged it takes out, and a later start would not know of it.
        Files.createFile(beingRecovered(path));
        List<String> damages = new ArrayList<>();
        ChronicleMap<Long, byte[]> map =
                builder.recoverPersistedTo(file, true, damage -> damages.add(String.valueOf(damage.message())));
        if (!damages.isEmpty()) {
            map.close();
            throw new IllegalStateException(path + " is damaged: " + damages.getFirst());
        }
        Files.delete(beingRecovered(path));
        byte[] layout = map.get(LAYOUT_KEY);
        if (layout == null
                || layout.length != LAYOUT_BYTES
                || lengthBytes < ByteBuffer.wrap(layout).getLong(1)) {
            map.close();
            throw new IllegalStateException(path + " is not whole: " + lengthBytes + " bytes");
        }
        return new GrantMap(disk, path, map, ByteBuffer.wrap(layout).getLong(1 + Long.BYTES), Long.MAX_VALUE);
    }

    /** So many locks fit for sure. */
    long mostLocks() {
        return SAFE_BLOAT * laidOutFor;
    }

    static boolean present(Path directory) {
        return Files.exists(directory.resolve(FILE));
    }

    static void delete(Path directory) throws IOException {
        Files.deleteIfExists(directory.resolve(FILE));
        Files.deleteIfExists(beingRecovered(directory.resolve(FILE)));
    }

    /** Is there while a file's damages are looked for. */
    private static Path beingRecovered(Path file) {
        return file.resolveSibling(file.getFileName() + ".recovering");
    }

    void put(long lockId, byte[] lockPut) {
        disk.changingMap();
        locks.put(lockId, lockPut);
        highestId = Math.max(highestId, lockId);
    }

    void remove(long lockId) {
        disk.changingMap();
        locks.remove(lockId);
    }

    /** False only if there is certainly no such entry. */
    boolean mayHold(long lockId) {
        return lockId <= highestId;
    }

    void clear() {
        locks.keySet().removeIf(key -> key != LAYOUT_KEY);
    }

    /**
     * All locks, in the order of their ids, which is that of their grants: whoever keeps them in that order then adds each
     * at the end. From now on {@link #mayHold} knows which ids are higher than any.
     */
    Iterator<Change> locks() {
        long[] ids = new long[Math.toIntExact(locks.longSize())];
        int count = 0;
        for (long id : locks.keySet()) {
            if (id != LAYOUT_KEY) {
                ids[count++] = id;
            }
        }
        Arrays.sort(ids, 0, count);
        highestId = count == 0 ? LAYOUT_KEY : ids[count - 1];
        return Arrays.stream(ids, 0, count).mapToObj(this::lock).iterator();
    }

    private Change lock(long id) {
        byte[] lock = locks.get(id);
        if (lock == null) {
            throw new IllegalStateException("lock " + id + " is listed in " + file + " and not there");
        }
        return LogItemCodec.readLock(lock);
    }

    /** Closes and syncs: after this the map survives power loss too. */
    void close() throws IOException {
        closeUnsynced();
        disk.syncMap(file);
    }

    void closeUnsynced() {
        locks.close();
    }

    private static byte[] layout(long lengthBytes, long maxLocks) {
        return ByteBuffer.allocate(LAYOUT_BYTES)
                .put(LAYOUT)
                .putLong(lengthBytes)
                .putLong(maxLocks)
                .array();
    }
}
