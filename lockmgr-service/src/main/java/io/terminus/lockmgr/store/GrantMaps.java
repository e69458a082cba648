package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumePut;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.function.Function;
import java.util.stream.StreamSupport;
import net.openhft.chronicle.map.ChronicleMap;
import net.openhft.chronicle.map.ChronicleMapBuilder;

/**
 * Locks by id and sessions by id, off-heap in two memory-mapped files. They hold at least every decision of the log
 * generations that were deleted, so that the log stays short with a million locks held; what the newest generation says
 * is put over them at each start.
 *
 * <p>They outlive a killed process, because the pages belong to the kernel. They do not outlive a power loss, except after
 * {@link #close}, which syncs them.
 *
 * <p>One owner thread.
 */
final class GrantMaps {

    static final String LOCKS_FILE = "locks.map";
    static final String SESSIONS_FILE = "sessions.map";

    /** A volume name, a session id and the numbers of {@link LockPut}. */
    private static final int AVERAGE_LOCK_BYTES = 128;

    private static final int AVERAGE_SESSION_BYTES = 80;
    private static final String SESSION_KEY_EXAMPLE = "0123456789abcdef0123456789abcdef";

    /** First byte of the entry about the file; no kind of item. The keys are no ids of locks or sessions. */
    private static final byte LAYOUT = 0;

    private static final long LOCKS_LAYOUT = Long.MIN_VALUE;
    private static final String SESSIONS_LAYOUT = "";

    /** A file of these is never shorter; the library would look for its header for a minute. */
    private static final long SHORTEST_FILE_BYTES = 4096;

    /** So many times more entries than the files were laid out for still fit. */
    private static final double MAX_BLOAT = 10;

    private final Path directory;
    private final ChronicleMap<Long, byte[]> locks;
    private final ChronicleMap<String, byte[]> sessions;
    private ByteBuffer scratch = ByteBuffer.allocate(1024);

    static {
        // Read once, when the library's first class is loaded: it would report its use over the network otherwise.
        System.setProperty("chronicle.analytics.disable", "true");
        System.setProperty("chronicle.announcer.disable", "true");
    }

    private GrantMaps(Path directory, ChronicleMap<Long, byte[]> locks, ChronicleMap<String, byte[]> sessions) {
        this.directory = directory;
        this.locks = locks;
        this.sessions = sessions;
    }

    /**
     * @param clean they were closed by {@link #close}. If not, locks held by the dead process have to be recovered first:
     *     opened as if clean, a map may wait for them for a minute and fail
     * @throws RuntimeException of whatever kind the library has, if a file cannot be read
     */
    static GrantMaps open(StoreSettings settings, boolean clean) throws IOException {
        Path directory = settings.directory();
        ChronicleMap<Long, byte[]> locks = open(
                ChronicleMapBuilder.of(Long.class, byte[].class)
                        .name("locks")
                        .entries(settings.maxLocks())
                        .averageValueSize(AVERAGE_LOCK_BYTES)
                        .maxBloatFactor(MAX_BLOAT)
                        .putReturnsNull(true)
                        .removeReturnsNull(true),
                directory.resolve(LOCKS_FILE),
                LOCKS_LAYOUT,
                clean);
        try {
            ChronicleMap<String, byte[]> sessions = open(
                    ChronicleMapBuilder.of(String.class, byte[].class)
                            .name("sessions")
                            .entries(settings.maxSessions())
                            .averageKey(SESSION_KEY_EXAMPLE)
                            .averageValueSize(AVERAGE_SESSION_BYTES)
                            .maxBloatFactor(MAX_BLOAT)
                            .putReturnsNull(true)
                            .removeReturnsNull(true),
                    directory.resolve(SESSIONS_FILE),
                    SESSIONS_LAYOUT,
                    clean);
            return new GrantMaps(directory, locks, sessions);
        } catch (IOException | RuntimeException | Error e) {
            locks.close();
            throw e;
        }
    }

    static boolean present(Path directory) {
        return Files.exists(directory.resolve(LOCKS_FILE)) && Files.exists(directory.resolve(SESSIONS_FILE));
    }

    static void delete(Path directory) throws IOException {
        Files.deleteIfExists(directory.resolve(LOCKS_FILE));
        Files.deleteIfExists(directory.resolve(SESSIONS_FILE));
    }

    void put(Change change) {
        switch (change) {
            case SessionOpened s -> sessions.put(s.sessionId(), bytes(s));
            case SessionClosed s -> sessions.remove(s.sessionId());
            case LockPut l -> locks.put(l.lockId(), bytes(l));
            case LockGone l -> locks.remove(l.lockId());
            case VolumePut v -> {} // the log keeps volumes and values: they must outlive power loss
            case ValuePut v -> {}
        }
    }

    void clear() {
        locks.keySet().removeIf(key -> key != LOCKS_LAYOUT);
        sessions.keySet().removeIf(key -> !key.equals(SESSIONS_LAYOUT));
    }

    Iterable<Change> sessions() {
        return () -> changes(sessions.values());
    }

    Iterable<Change> locks() {
        return () -> changes(locks.values());
    }

    /** Closes and syncs: after this the maps survive power loss too. */
    void close() throws IOException {
        closeUnsynced();
        for (String file : new String[] {LOCKS_FILE, SESSIONS_FILE}) {
            try (FileChannel channel = FileChannel.open(directory.resolve(file), StandardOpenOption.WRITE)) {
                channel.force(true);
            }
        }
    }

    void closeUnsynced() {
        locks.close();
        sessions.close();
    }

    /**
     * Recovery makes an empty map of an emptied file and says nothing. So each map has an entry of its own, made with the
     * file, which says how long the file was then: without it, or with a shorter file, entries may be missing.
     */
    private static <K> ChronicleMap<K, byte[]> open(
            ChronicleMapBuilder<K, byte[]> builder, Path path, K layoutKey, boolean clean) throws IOException {
        File file = path.toFile();
        if (!Files.exists(path)) {
            ChronicleMap<K, byte[]> map = builder.createPersistedTo(file);
            map.put(layoutKey, layout(Files.size(path)));
            return map;
        }
        long lengthBytes = Files.size(path);
        if (lengthBytes < SHORTEST_FILE_BYTES) {
            throw new IllegalStateException(path + " was cut to " + lengthBytes + " bytes");
        }
        ChronicleMap<K, byte[]> map = clean ? builder.createPersistedTo(file) : builder.recoverPersistedTo(file, true);
        byte[] layout = map.get(layoutKey);
        if (layout == null || lengthBytes < ByteBuffer.wrap(layout).getLong(1)) {
            map.close();
            throw new IllegalStateException(path + " is not whole: " + lengthBytes + " bytes");
        }
        return map;
    }

    private static byte[] layout(long lengthBytes) {
        return ByteBuffer.allocate(1 + Long.BYTES)
                .put(LAYOUT)
                .putLong(lengthBytes)
                .array();
    }

    private byte[] bytes(Change change) {
        scratch = LogItemCodec.write(scratch.clear(), change);
        byte[] bytes = new byte[scratch.position()];
        scratch.get(0, bytes);
        return bytes;
    }

    private static Iterator<Change> changes(Iterable<byte[]> values) {
        Function<byte[], Change> change = bytes -> switch (LogItemCodec.read(ByteBuffer.wrap(bytes))) {
            case LogItem.Changed c -> c.change();
            case LogItem.Opening o -> throw new IllegalStateException("a start among the grants: " + o);
            case LogItem.RecoveryOver r -> throw new IllegalStateException("an end of recovery among the grants");
        };
        return StreamSupport.stream(values.spliterator(), false)
                .filter(bytes -> bytes[0] != LAYOUT)
                .map(change)
                .iterator();
    }
}
