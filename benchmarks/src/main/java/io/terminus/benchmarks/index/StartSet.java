package io.terminus.benchmarks.index;

import java.util.Arrays;

/**
 * The least that any index has to do, to compare with: a set of starts, which can answer no question about overlaps. Open
 * addressing, linear probing, half full at most; the bits of a start are mixed well (the finalizer of MurmurHash3), because
 * starts are multiples of a block size and would cluster otherwise.
 */
final class StartSet {

    private static final long FREE = -1;

    private long[] table = new long[16];
    private int mask = table.length - 1;
    private int size;

    StartSet() {
        Arrays.fill(table, FREE);
    }

    int size() {
        return size;
    }

    /** Returns false if it was there already. */
    boolean add(long start) {
        int at = place(start);
        while (table[at] != FREE) {
            if (table[at] == start) {
                return false;
            }
            at = at + 1 & mask;
        }
        table[at] = start;
        if (++size > table.length / 2) {
            grow();
        }
        return true;
    }

    boolean remove(long start) {
        int at = place(start);
        while (table[at] != start) {
            if (table[at] == FREE) {
                return false;
            }
            at = at + 1 & mask;
        }
        // Those behind that would no longer be found move up.
        int hole = at;
        for (int next = hole + 1 & mask; table[next] != FREE; next = next + 1 & mask) {
            int home = place(table[next]);
            if ((next - home & mask) >= (next - hole & mask)) {
                table[hole] = table[next];
                hole = next;
            }
        }
        table[hole] = FREE;
        size--;
        return true;
    }

    boolean contains(long start) {
        int at = place(start);
        while (table[at] != FREE) {
            if (table[at] == start) {
                return true;
            }
            at = at + 1 & mask;
        }
        return false;
    }

    private int place(long start) {
        long hash = start;
        hash = (hash ^ hash >>> 33) * 0xff51afd7ed558ccdL;
        hash = (hash ^ hash >>> 33) * 0xc4ceb9fe1a85ec53L;
        return (int) (hash ^ hash >>> 33) & mask;
    }

    private void grow() {
        long[] old = table;
        table = new long[2 * old.length];
        mask = table.length - 1;
        Arrays.fill(table, FREE);
        for (long start : old) {
            if (start != FREE) {
                int at = place(start);
                while (table[at] != FREE) {
                    at = at + 1 & mask;
                }
                table[at] = start;
            }
        }
    }
}
