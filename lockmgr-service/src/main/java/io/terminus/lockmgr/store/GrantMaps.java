package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumeCreated;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.function.Function;
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
            case VolumeCreated v -> {} // the log keeps volumes and values: they must outlive power loss
            case ValuePut v -> {}
        }
    }

    void clear() {
        locks.clear();
        sessions.clear();
    }

    Iterable<Change> sessions() {
        return () -> changes(sessions.values().iterator());
    }

    Iterable<Change> locks() {
        return () -> changes(locks.values().iterator());
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

    private static <K> ChronicleMap<K, byte[]> open(ChronicleMapBuilder<K, byte[]> builder, Path path, boolean clean)
            throws IOException {
        File file = path.toFile();
        boolean recover = !clean && Files.exists(path);
        return recover ? builder.recoverPersistedTo(file, true) : builder.createPersistedTo(file);
    }

    private byte[] bytes(Change change) {
        scratch = LogItemCodec.write(scratch.clear(), change);
        byte[] bytes = new byte[scratch.position()];
        scratch.get(0, bytes);
        return bytes;
    }

    private static Iterator<Change> changes(Iterator<byte[]> values) {
        Function<byte[], Change> change = bytes -> switch (LogItemCodec.read(ByteBuffer.wrap(bytes))) {
            case LogItem.Changed c -> c.change();
            case LogItem.Opening o -> throw new IllegalStateException("a start among the grants: " + o);
            case LogItem.RecoveryOver r -> throw new IllegalStateException("an end of recovery among the grants");
        };
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return values.hasNext();
            }

            @Override
            public Change next() {
                return change.apply(values.next());
            }
        };
    }
}
