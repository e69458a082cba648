package io.terminus.lockmgr.client;

import java.util.Arrays;

/**
 * Which waiting request is to be given up next: a binary heap in an array. Each request knows its slot, so that taking it out, which is
 * what nearly always happens, needs no search and no allocation. Not for several threads.
 */
final class Deadlines {

    private Pending.Waiting[] heap = new Pending.Waiting[64];
    private int size;

    long firstNanos() {
        return size == 0 ? Pending.NEVER : heap[0].deadlineNanos;
    }

    Pending.Waiting first() {
        return heap[0];
    }

    void add(Pending.Waiting request, long deadlineNanos) {
        request.deadlineNanos = deadlineNanos;
        if (deadlineNanos == Pending.NEVER) {
            return;
        }
        if (size == heap.length) {
            heap = Arrays.copyOf(heap, 2 * size);
        }
        up(request, size++);
    }

    /** Nothing happens if it is not there. */
    void remove(Pending.Waiting request) {
        int slot = request.deadlineSlot;
        if (slot < 0) {
            return;
        }
        request.deadlineSlot = -1;
        Pending.Waiting last = heap[--size];
        if (slot < size) {
            if (slot > 0 && heap[(slot - 1) / 2].deadlineNanos > last.deadlineNanos) {
                up(last, slot);
            } else {
                down(last, slot);
            }
        }
        clear(size);
    }

    @SuppressWarnings("NullAway") // What lies behind size is nobody's.
    private void clear(int slot) {
        heap[slot] = null;
    }

    private void up(Pending.Waiting request, int from) {
        int slot = from;
        while (slot > 0) {
            int parent = (slot - 1) / 2;
            if (heap[parent].deadlineNanos <= request.deadlineNanos) {
                break;
            }
            put(heap[parent], slot);
            slot = parent;
        }
        put(request, slot);
    }

    private void down(Pending.Waiting request, int from) {
        int slot = from;
        while (2 * slot + 1 < size) {
            int child = 2 * slot + 1;
            if (child + 1 < size && heap[child + 1].deadlineNanos < heap[child].deadlineNanos) {
                child++;
            }
            if (heap[child].deadlineNanos >= request.deadlineNanos) {
                break;
            }
            put(heap[child], slot);
            slot = child;
        }
        put(request, slot);
    }

    private void put(Pending.Waiting request, int slot) {
        heap[slot] = request;
        request.deadlineSlot = slot;
    }
}
