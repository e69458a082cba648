package io.terminus.agent.nbd;

/**
 * Collects what a context says about a range: neighbours that say the same become one, at most {@link #MOST} are kept, and
 * nothing beyond the range. One thread.
 */
final class Extents implements StatusVisitor {

    /** Of one answer: a client asks on from where it ends. */
    static final int MOST = 512;

    private final long[] lengths = new long[MOST];
    private final int[] flags = new int[MOST];
    private int count;
    private int most;
    private long left;

    /** Forgets everything, and will take at most {@code most} extents of a range of {@code lengthBytes}. */
    void start(long lengthBytes, int most) {
        count = 0;
        left = lengthBytes;
        this.most = most;
    }

    @Override
    public boolean extent(long lengthBytes, int says) {
        if (lengthBytes <= 0 || left <= 0) {
            return left > 0;
        }
        long taken = Math.min(lengthBytes, left);
        if (count > 0 && flags[count - 1] == says) {
            lengths[count - 1] += taken;
        } else if (count == most) {
            left = 0;
            return false;
        } else {
            lengths[count] = taken;
            flags[count++] = says;
        }
        left -= taken;
        return left > 0;
    }

    int count() {
        return count;
    }

    long lengthBytes(int index) {
        return lengths[index];
    }

    int flags(int index) {
        return flags[index];
    }
}
