package io.terminus.agent.volume;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import net.openhft.chronicle.map.ChronicleMap;
import net.openhft.chronicle.map.ChronicleMapBuilder;
import org.jspecify.annotations.Nullable;

/**
 * Marked blocks by extent, off-heap in a memory-mapped file. Not safe against a kill while it changes: whoever finds it
 * not closed in good order deletes it.
 *
 * <pre>
 *   key    i64  number of the extent
 *   value   0   blocks    4 x i64  bit b: block b of the extent's 256 is marked
 *          32   position  i64      the newest position that marked one
 * </pre>
 *
 * <p>One thread at a time.
 */
final class ExtentMap implements AutoCloseable {

    static final int EXTENT_BYTES = 1 << 20;
    static final int BLOCK_BYTES = 4 << 10;
    static final int BLOCKS = EXTENT_BYTES / BLOCK_BYTES;

    /** Bits of an extent's blocks. */
    static final int WORDS = BLOCKS / Long.SIZE;

    private static final int POSITION_AT = WORDS * Long.BYTES;
    private static final int VALUE_BYTES = POSITION_AT + Long.BYTES;

    /** The library lays files out for at least a few entries. */
    private static final long LEAST_ENTRIES = 64;

    static {
        // Read once, when the library's first class is loaded: it would report its use over the network otherwise.
        System.setProperty("chronicle.analytics.disable", "true");
        System.setProperty("chronicle.announcer.disable", "true");
    }

    private final Path file;
    private final ChronicleMap<Long, byte[]> map;
    private final byte[] value = new byte[VALUE_BYTES];
    private final ByteBuffer fields = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN);

    private ExtentMap(Path file, ChronicleMap<Long, byte[]> map) {
        this.file = file;
        this.map = map;
    }

    /** Opens what {@link #close} left, or makes an empty one. */
    static ExtentMap open(Path file, long extents) throws IOException {
        try {
            return new ExtentMap(
                    file,
                    ChronicleMapBuilder.of(Long.class, byte[].class)
                            .name("marks")
                            .entries(Math.max(LEAST_ENTRIES, extents))
                            .constantValueSizeBySample(new byte[VALUE_BYTES])
                            .putReturnsNull(true)
                            .removeReturnsNull(true)
                            .createPersistedTo(file.toFile()));
        } catch (RuntimeException | LinkageError e) {
            throw new IOException("the marks in " + file + " cannot be opened: " + e.getMessage(), e);
        }
    }

    /** Marks blocks [from, to) of an extent; returns how many were not marked before. */
    int mark(long extent, int from, int to, long position) {
        if (!load(extent)) {
            Arrays.fill(value, (byte) 0);
        }
        int fresh = 0;
        for (int block = from; block < to; block++) {
            int at = block / Long.SIZE * Long.BYTES;
            long word = fields.getLong(at);
            long bit = 1L << block;
            if ((word & bit) == 0) {
                fields.putLong(at, word | bit);
                fresh++;
            }
        }
        fields.putLong(POSITION_AT, Math.max(fields.getLong(POSITION_AT), position));
        map.put(extent, value);
        return fresh;
    }

    /** The marked blocks of an extent as {@link #WORDS} words of bits, or null. */
    long @Nullable [] blocks(long extent) {
        if (!load(extent)) {
            return null;
        }
        long[] words = new long[WORDS];
        for (int i = 0; i < WORDS; i++) {
            words[i] = fields.getLong(i * Long.BYTES);
        }
        return words;
    }

    /**
     * Forgets those blocks of an extent, unless any of its blocks was marked at {@code position} or behind; returns how
     * many that were.
     */
    int clear(long extent, long[] blocks, long position) {
        if (!load(extent) || fields.getLong(POSITION_AT) >= position) {
            return 0;
        }
        int cleared = 0;
        boolean left = false;
        for (int i = 0; i < WORDS; i++) {
            long word = fields.getLong(i * Long.BYTES);
            cleared += Long.bitCount(word & blocks[i]);
            fields.putLong(i * Long.BYTES, word & ~blocks[i]);
            left |= (word & ~blocks[i]) != 0;
        }
        if (left) {
            map.put(extent, value);
        } else {
            map.remove(extent);
        }
        return cleared;
    }

    /** Marked blocks in all. Looks at every entry. */
    long countBlocks() {
        long[] marked = {0};
        map.forEach((extent, bytes) -> {
            ByteBuffer words = ByteBuffer.wrap(bytes);
            for (int i = 0; i < WORDS; i++) {
                marked[0] += Long.bitCount(words.getLong(i * Long.BYTES));
            }
        });
        return marked[0];
    }

    /** Everything marked is on the disk. */
    void sync() throws IOException {
        try (FileChannel pages = FileChannel.open(file, StandardOpenOption.WRITE)) {
            pages.force(true); // the mapping's pages are the file's
        }
    }

    @Override
    public void close() {
        map.close();
    }

    void closeAndDelete() throws IOException {
        map.close();
        Files.deleteIfExists(file);
    }

    private boolean load(long extent) {
        byte[] found = map.getUsing(extent, value);
        if (found != null) {
            System.arraycopy(found, 0, value, 0, VALUE_BYTES);
        }
        return found != null;
    }
}
