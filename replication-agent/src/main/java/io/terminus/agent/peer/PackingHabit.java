package io.terminus.agent.peer;

/**
 * Whether it is worth trying to compress the next bytes. Runs that do not shrink come in long stretches (encrypted or
 * compressed files), and each try costs more than the send: so after one that failed the next bytes go as they are, more of
 * them after each failure in a row, until a try succeeds.
 */
final class PackingHabit {

    /** Shrunk to more than this of itself a run goes as it is: the other side has work with it too. */
    private static final int WORTH_OF_8 = 7;

    private static final long FIRST_REST_BYTES = 1 << 20;
    static final long LONGEST_REST_BYTES = 64 << 20;

    /** A record's header does not fill this; the frame would be longer than what it saves. */
    static final int LEAST_BYTES = 512;

    private long restBytes;
    private long nextRestBytes = FIRST_REST_BYTES;

    boolean tries(long bytes) {
        return bytes >= LEAST_BYTES && restBytes == 0;
    }

    /** Bytes went as they are, without a try. */
    void wentRaw(long bytes) {
        restBytes = Math.max(0, restBytes - bytes);
    }

    /** A try; returns whether it is worth sending. */
    boolean tried(long before, long after) {
        if (after <= before * WORTH_OF_8 / 8) {
            nextRestBytes = FIRST_REST_BYTES;
            return true;
        }
        restBytes = nextRestBytes;
        nextRestBytes = Math.min(LONGEST_REST_BYTES, 2 * nextRestBytes);
        return false;
    }
}
