package io.terminus.lockmgr.lock;

/**
 * Limits and times of a {@link LockTable}. {@code maxLocksPerSession} and {@code maxLocksPerVolume} count waiters as well,
 * because each of them may become a lock at any time. An atomic request counts once for each of its ranges.
 *
 * @param contentionNanos for so long after an expanded lock had to be asked back, nothing near it is expanded; 0: never so
 * @param maxRangesPerRequest ranges of one atomic acquire, the first one included
 * @param maxLocks locks and waiters of all volumes together: what can be kept over a restart
 */
public record Settings(
        long minTtlNanos,
        long maxTtlNanos,
        long defaultTtlNanos,
        long recallDeadlineNanos,
        long recallCapNanos,
        long maxWaitNanos,
        int maxValueBytes,
        int maxLocksPerSession,
        int maxWaitersPerSession,
        int maxLocksPerVolume,
        int maxWaitersPerVolume,
        int maxSessions,
        int maxVolumes,
        int maxNameLength,
        long contentionNanos,
        int maxRangesPerRequest,
        long maxLocks) {

    private static final long SECOND = 1_000_000_000L;

    /** The longest lock delay a volume may have. */
    public static final long MAX_LOCK_DELAY_NANOS = 60 * SECOND;

    public Settings {
        require(
                0 < minTtlNanos && minTtlNanos <= defaultTtlNanos && defaultTtlNanos <= maxTtlNanos,
                "ttl of " + minTtlNanos + " / " + defaultTtlNanos + " / " + maxTtlNanos
                        + " ns breaks the rule 0 < min <= default <= max");
        require(maxTtlNanos <= 24 * 3600 * SECOND, "max ttl of " + maxTtlNanos + " ns is more than 24 h");
        require(
                0 < recallDeadlineNanos && recallDeadlineNanos <= recallCapNanos,
                "recall times of " + recallDeadlineNanos + " / " + recallCapNanos
                        + " ns break the rule 0 < deadline <= cap");
        require(recallCapNanos <= 24 * 3600 * SECOND, "recall cap of " + recallCapNanos + " ns is more than 24 h");
        require(
                0 < maxWaitNanos && maxWaitNanos <= 366L * 24 * 3600 * SECOND,
                "max wait of " + maxWaitNanos + " ns breaks the rule 0 < wait <= 366 days");
        require(
                0 <= contentionNanos && contentionNanos <= 3600 * SECOND,
                "contention time of " + contentionNanos + " ns breaks the rule 0 <= time <= 1 h");
        requirePositive(maxValueBytes, "max value bytes");
        requirePositive(maxLocksPerSession, "max locks per session");
        requirePositive(maxWaitersPerSession, "max waiters per session");
        requirePositive(maxLocksPerVolume, "max locks per volume");
        requirePositive(maxWaitersPerVolume, "max waiters per volume");
        require(maxLocks > 0, "max locks of " + maxLocks + " must be positive");
        requirePositive(maxSessions, "max sessions");
        requirePositive(maxVolumes, "max volumes");
        requirePositive(maxNameLength, "max name length");
        require(
                1 <= maxRangesPerRequest && maxRangesPerRequest <= 1024,
                "max ranges per request of " + maxRangesPerRequest + " breaks the rule 1 <= ranges <= 1024");
    }

    public static Settings defaults() {
        return new Settings(
                SECOND,
                60 * SECOND,
                6 * SECOND,
                5 * SECOND,
                30 * SECOND,
                24 * 3600 * SECOND,
                4096,
                1 << 21,
                1 << 16,
                1 << 22,
                1 << 17,
                10_000,
                100_000,
                128,
                2 * SECOND,
                64,
                Long.MAX_VALUE);
    }

    public Settings withTtl(long minNanos, long maxNanos, long defaultNanos) {
        return new Settings(
                minNanos,
                maxNanos,
                defaultNanos,
                recallDeadlineNanos,
                recallCapNanos,
                maxWaitNanos,
                maxValueBytes,
                maxLocksPerSession,
                maxWaitersPerSession,
                maxLocksPerVolume,
                maxWaitersPerVolume,
                maxSessions,
                maxVolumes,
                maxNameLength,
                contentionNanos,
                maxRangesPerRequest,
                maxLocks);
    }

    public Settings withRecall(long deadlineNanos, long capNanos) {
        return new Settings(
                minTtlNanos,
                maxTtlNanos,
                defaultTtlNanos,
                deadlineNanos,
                capNanos,
                maxWaitNanos,
                maxValueBytes,
                maxLocksPerSession,
                maxWaitersPerSession,
                maxLocksPerVolume,
                maxWaitersPerVolume,
                maxSessions,
                maxVolumes,
                maxNameLength,
                contentionNanos,
                maxRangesPerRequest,
                maxLocks);
    }

    public Settings withMaxLocks(long most) {
        return new Settings(
                minTtlNanos,
                maxTtlNanos,
                defaultTtlNanos,
                recallDeadlineNanos,
                recallCapNanos,
                maxWaitNanos,
                maxValueBytes,
                maxLocksPerSession,
                maxWaitersPerSession,
                maxLocksPerVolume,
                maxWaitersPerVolume,
                maxSessions,
                maxVolumes,
                maxNameLength,
                contentionNanos,
                maxRangesPerRequest,
                most);
    }

    private static void requirePositive(int value, String name) {
        require(value > 0, name + " of " + value + " must be positive");
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
