package io.terminus.agent.volume;

import java.util.function.LongSupplier;

/**
 * After how many applied bytes a checkpoint is taken. Its cost is the sync of the image's scattered pages, which is less the rarer it
 * comes: pages written twice in between are synced once, and the disk gets more of them at a time. What it costs to wait is journal on the
 * disk, which on a small one is the volume's space, and time to replay it at a start after a crash. So a disk with room gets few
 * checkpoints, and one that fills up gets more of them, by and by:
 *
 * <pre>
 *   1/32 of what is free on the disk, from 64 MiB to 1 GiB; never more than a quarter of the journal's budget
 * </pre>
 *
 * <p>The free space is asked for now and then only. The apply thread, and whoever greets a writer; a lost update costs a question.
 */
final class CheckpointPace {

    static final long LEAST_BYTES = 64L << 20;
    static final long MOST_BYTES = 1L << 30;
    static final int PART_OF_FREE = 32;
    static final int PART_OF_BUDGET = 4;

    /** So long an answer of the file system is good: a fast disk takes less than the least interval in it. */
    static final long ASKED_NANOS = 50_000_000;

    private final long budgetBytes;
    private final LongSupplier freeBytes;
    private volatile long knownBytes;
    private volatile long askedAtNanos;
    private volatile boolean asked;

    /** @param freeBytes of the disk; 0 if it is not known */
    CheckpointPace(long budgetBytes, LongSupplier freeBytes) {
        this.budgetBytes = budgetBytes;
        this.freeBytes = freeBytes;
    }

    /** Is one due, with so many bytes applied since the last? Asks the disk only if there is something to be decided by that. */
    boolean isDue(long appliedBytes, long nowNanos) {
        return appliedBytes >= Math.min(LEAST_BYTES, budgetBytes / PART_OF_BUDGET)
                && appliedBytes >= intervalBytes(nowNanos);
    }

    /** A journal whose usual part between two checkpoints is the present interval. */
    long journalBytes(long nowNanos) {
        return Math.min(budgetBytes, PART_OF_BUDGET * intervalBytes(nowNanos));
    }

    private long intervalBytes(long nowNanos) {
        if (!asked || nowNanos - askedAtNanos > ASKED_NANOS) {
            askedAtNanos = nowNanos;
            knownBytes = freeBytes.getAsLong();
            asked = true;
        }
        long byRoom = Math.clamp(knownBytes / PART_OF_FREE, LEAST_BYTES, MOST_BYTES);
        return Math.min(byRoom, budgetBytes / PART_OF_BUDGET);
    }
}
