package io.terminus.lockmgr.app;

import java.util.function.LongSupplier;

/**
 * The time of the group: goes on where the leader before left it, at the pace of this machine's clock. Between two leaders it stands still, so
 * that nobody's lease runs out while nobody could have renewed it. Any thread.
 */
final class GroupClock implements LongSupplier {

    private final LongSupplier clock;
    private final long offsetNanos;

    /** @param startNanos what this clock shows now */
    GroupClock(LongSupplier clock, long startNanos) {
        this.clock = clock;
        this.offsetNanos = startNanos - clock.getAsLong();
    }

    @Override
    public long getAsLong() {
        return clock.getAsLong() + offsetNanos;
    }
}
