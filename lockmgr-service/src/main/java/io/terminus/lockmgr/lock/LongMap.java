package io.terminus.lockmgr.lock;

import org.agrona.collections.Long2ObjectHashMap;
import org.jspecify.annotations.Nullable;

/**
 * A hash map from longs. A small one is one table; a large one is cut into {@value #PARTS} that grow one at a time, because
 * to rehash a million entries at once would stop every lock of every volume for tens of milliseconds.
 */
final class LongMap<V> {

    private static final int PARTS = 256;
    private static final int CUT_AT = 4096;

    private Long2ObjectHashMap<V> only = new Long2ObjectHashMap<>();
    /** Null while {@link #only} has everything. */
    private Long2ObjectHashMap<V> @Nullable [] parts;

    @Nullable
    V get(long key) {
        return partOf(key).get(key);
    }

    void put(long key, V value) {
        partOf(key).put(key, value);
        if (parts == null && only.size() > CUT_AT) {
            cut();
        }
    }

    void remove(long key) {
        partOf(key).remove(key);
    }

    private Long2ObjectHashMap<V> partOf(long key) {
        Long2ObjectHashMap<V>[] all = parts;
        return all == null ? only : all[(int) (key * 0x9E3779B97F4A7C15L >>> 56)];
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private void cut() {
        Long2ObjectHashMap<V>[] all = new Long2ObjectHashMap[PARTS];
        for (int i = 0; i < PARTS; i++) {
            all[i] = new Long2ObjectHashMap<>();
        }
        parts = all;
        only.forEachLong((key, value) -> partOf(key).put(key, value));
        only = new Long2ObjectHashMap<>();
    }
}
