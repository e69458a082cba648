package io.terminus.ranges;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Blocks of one size, of longs and if wanted of references, named by numbers. They lie side by side in chunks of {@value
 * #CHUNK_BLOCKS}, so that there is one object to find, check and collect for so many blocks, and so that growth never
 * copies more than part of the first chunk: a pool of a few gigabytes grows by one chunk of some hundred KiB at a time.
 *
 * <p>The first chunk begins with one block and doubles, because most volumes have few locks. Blocks that are given back
 * are handed out again from the lowest chunk that has any; a chunk that is all given back goes, except for one spare, so
 * that a pool that hovers around a chunk's end does not allocate and drop it again and again.
 *
 * <p>{@link #allocate} may replace an array: those from {@link #longs} are not to be kept over it.
 */
final class Blocks {

    static final int NONE = -1;

    static final int CHUNK_SHIFT = 8;
    static final int CHUNK_BLOCKS = 1 << CHUNK_SHIFT;
    private static final int IN_CHUNK = CHUNK_BLOCKS - 1;

    /** What is known of a chunk besides its blocks. */
    private static final class Chunk {
        int capacityBlocks;
        int usedBlocks;
        /** Blocks from here on were never handed out since the chunk was made. */
        int fresh;
        /** The block that was given back last; its first long names the one before. */
        int givenBack = NONE;

        boolean isFull() {
            return usedBlocks == CHUNK_BLOCKS;
        }

        boolean isAbsent() {
            return capacityBlocks == 0;
        }
    }

    private static final long[] NO_LONGS = {};
    private static final Object[] NO_REFERENCES = {};

    private final int blockLongs;
    private final int blockReferences;

    // By chunk. An absent one has empty arrays.
    private long[][] longs = {NO_LONGS};
    private @Nullable Object[][] references = {NO_REFERENCES};
    private Chunk[] chunks = {new Chunk()};

    /** All chunks below are full. */
    private int lowestRoomy;

    private int spares;

    Blocks(int blockLongs, int blockReferences) {
        this.blockLongs = blockLongs;
        this.blockReferences = blockReferences;
    }

    /** The array that a block's longs are in, from {@link #base}. */
    long[] longs(int block) {
        return longs[block >>> CHUNK_SHIFT];
    }

    int base(int block) {
        return (block & IN_CHUNK) * blockLongs;
    }

    /** The array that a block's references are in, from {@link #referenceBase}. */
    @Nullable
    Object[] references(int block) {
        return references[block >>> CHUNK_SHIFT];
    }

    int referenceBase(int block) {
        return (block & IN_CHUNK) * blockReferences;
    }

    /** Hands out a block. Its longs hold anything, its references null. */
    int allocate() {
        int number = lowestRoomy;
        while (number < chunks.length && chunks[number].isFull()) {
            number++;
        }
        lowestRoomy = number;
        if (number == chunks.length) {
            longs = Arrays.copyOf(longs, 2 * number);
            references = Arrays.copyOf(references, 2 * number);
            chunks = Arrays.copyOf(chunks, 2 * number);
            for (int i = number; i < chunks.length; i++) {
                longs[i] = NO_LONGS;
                references[i] = NO_REFERENCES;
                chunks[i] = new Chunk();
            }
        }
        Chunk chunk = chunks[number];
        if (chunk.isAbsent()) {
            resize(number, number == 0 ? 1 : CHUNK_BLOCKS);
        } else if (chunk.usedBlocks == 0) {
            spares--;
        }
        chunk.usedBlocks++;
        int block = chunk.givenBack;
        if (block != NONE) {
            chunk.givenBack = (int) longs(block)[base(block)];
            return block;
        }
        if (chunk.fresh == chunk.capacityBlocks) {
            resize(number, 2 * chunk.capacityBlocks);
        }
        return number << CHUNK_SHIFT | chunk.fresh++;
    }

    /** Takes a block back. Its references must be null. */
    void giveBack(int block) {
        int number = block >>> CHUNK_SHIFT;
        Chunk chunk = chunks[number];
        longs(block)[base(block)] = chunk.givenBack;
        chunk.givenBack = block;
        chunk.usedBlocks--;
        lowestRoomy = Math.min(lowestRoomy, number);
        if (chunk.usedBlocks == 0) {
            if (spares == 0) {
                spares = 1;
            } else {
                longs[number] = NO_LONGS;
                references[number] = NO_REFERENCES;
                chunks[number] = new Chunk();
            }
        }
    }

    /** How many blocks there is memory for. */
    int capacityBlocks() {
        int capacity = 0;
        for (Chunk chunk : chunks) {
            capacity += chunk.capacityBlocks;
        }
        return capacity;
    }

    int usedBlocks() {
        int used = 0;
        for (Chunk chunk : chunks) {
            used += chunk.usedBlocks;
        }
        return used;
    }

    /** Bytes of heap, with references of four bytes. */
    long heapBytes() {
        long bytes = 0;
        for (int i = 0; i < chunks.length; i++) {
            bytes += 3 * 4 + 32 + 16 + 8L * longs[i].length + 16 + 4L * references[i].length;
        }
        return bytes;
    }

    private void resize(int number, int capacityBlocks) {
        longs[number] = Arrays.copyOf(longs[number], capacityBlocks * blockLongs);
        references[number] = Arrays.copyOf(references[number], capacityBlocks * blockReferences);
        chunks[number].capacityBlocks = capacityBlocks;
    }
}
