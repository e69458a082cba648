package io.terminus.agent.nbd;

/**
 * The requests of one connection that are not answered yet, and the bound on them.
 *
 * <p>Clients choose their cookies freely, also the same one twice; so sessions get handles of our own: the slot of a
 * fixed table in the low 16 bits, above it the slot's use count, so that an answer given twice is noticed and does not
 * answer a later request. Not thread-safe.
 */
final class InFlight {

    private static final int SLOT_BITS = 16;

    static final int MOST_REQUESTS = 1 << SLOT_BITS;

    private final long mostBytes;
    private final long[] clientCookies;
    private final long[] offsets;
    private final int[] payloadBytes;
    private final long[] uses;
    private final int[] free;
    private int freeCount;
    private long bytes;

    InFlight(int mostRequests, long mostBytes) {
        this.mostBytes = mostBytes;
        clientCookies = new long[mostRequests];
        offsets = new long[mostRequests];
        payloadBytes = new int[mostRequests];
        uses = new long[mostRequests];
        free = new int[mostRequests];
        for (int i = 0; i < mostRequests; i++) {
            free[i] = mostRequests - 1 - i;
        }
        freeCount = mostRequests;
    }

    /** A single request larger than the bound is admitted when it is alone. */
    boolean admits(int payload) {
        return freeCount > 0 && (bytes == 0 || bytes + payload <= mostBytes);
    }

    /** Returns the handle. {@code offset}: what the client's request had, for it may have to be given back. */
    long add(long clientCookie, long offset, int payload) {
        if (freeCount == 0) {
            throw new IllegalStateException("All " + free.length + " requests are in flight");
        }
        int slot = free[--freeCount];
        clientCookies[slot] = clientCookie;
        offsets[slot] = offset;
        payloadBytes[slot] = payload;
        bytes += payload;
        // Odd while in flight: the handle of an idle slot matches nothing.
        uses[slot]++;
        return uses[slot] << SLOT_BITS | slot;
    }

    /** Ends a request and returns the client's cookie. */
    long remove(long handle) {
        int slot = (int) (handle & MOST_REQUESTS - 1);
        if (slot >= uses.length || handle >>> SLOT_BITS != uses[slot] || (uses[slot] & 1) == 0) {
            throw new IllegalStateException("Cookie " + handle + " is not in flight: answered twice, or never given");
        }
        uses[slot]++;
        bytes -= payloadBytes[slot];
        free[freeCount++] = slot;
        return clientCookies[slot];
    }

    /** The offset of the request that {@link #remove} has just ended, or of one in flight. */
    long offset(long handle) {
        return offsets[(int) (handle & MOST_REQUESTS - 1)];
    }

    int count() {
        return free.length - freeCount;
    }

    long bytes() {
        return bytes;
    }
}
