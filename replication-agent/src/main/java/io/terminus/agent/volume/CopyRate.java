package io.terminus.agent.volume;

import io.github.resilience4j.ratelimiter.RateLimiter;
import io.github.resilience4j.ratelimiter.RateLimiterConfig;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * How fast this volume's replicas are copied: a limit an operator sets, and what foreground writes leave. Any thread.
 *
 * <p>Copies give way by resting: after each piece of work for a multiple of what it took. The multiple doubles while
 * requests take noticeably longer than they do without copies, on the average or the slowest of a hundred, and falls slowly when they do
 * not.
 */
final class CopyRate {

    private static final Duration REFRESH = Duration.ofMillis(100);
    private static final long REFRESHES_PER_SECOND = 10;
    private static final long LEAST_LIMIT = 40 << 10;

    /** The longest wait for the permits of one piece, which has at most {@link CopyItem#MAX_DATA_BYTES}. */
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private static final double LEAST_REST = 0.25;
    private static final double MOST_REST = 16;
    private static final double SLOWER = 1.5;

    /** How much one request moves what is taken for the slowest of a hundred: so that it settles where one of a hundred is slower. */
    private static final double TAIL_STEP = 0.1;

    private static final double TAIL_SHARE = 0.01;

    /** Without a request for this long nobody is in the way. */
    private static final long QUIET_NANOS = 50_000_000;

    private volatile @Nullable RateLimiter limiter;
    private volatile long limitBytesPerSecond;

    // Guarded by this.
    private double undisturbedNanos;
    private double undisturbedTailNanos;
    private double recentNanos;
    private double recentTailNanos;
    private double rest = 1;
    private int copying;
    private volatile long requestAtNanos = System.nanoTime() - QUIET_NANOS;

    /** 0: no limit. Takes effect with the next piece. */
    void limit(long bytesPerSecond) {
        if (bytesPerSecond != 0 && bytesPerSecond < LEAST_LIMIT) {
            throw new IllegalArgumentException("a copy limit of " + bytesPerSecond + " bytes per second: 0 stands for"
                    + " none, and the least is " + LEAST_LIMIT);
        }
        limitBytesPerSecond = bytesPerSecond;
        if (bytesPerSecond == 0) {
            limiter = null;
            return;
        }
        limiter = RateLimiter.of(
                "copies",
                RateLimiterConfig.custom()
                        .limitForPeriod((int) Math.min(Integer.MAX_VALUE, bytesPerSecond / REFRESHES_PER_SECOND))
                        .limitRefreshPeriod(REFRESH)
                        .timeoutDuration(PATIENCE)
                        .build());
    }

    long limitBytesPerSecond() {
        return limitBytesPerSecond;
    }

    /** Nanoseconds to wait before these bytes may go; 0: now; negative: ask again. */
    long reserve(long bytes) {
        RateLimiter now = limiter;
        if (now == null) {
            return 0;
        }
        // A piece of more bytes than a period has waits for as many periods as it takes.
        return now.reservePermission(Math.toIntExact(bytes));
    }

    /** A request took that long from its capture until it was committed. */
    synchronized void requestTook(long nanos, long nowNanos) {
        requestAtNanos = nowNanos;
        if (copying > 0) {
            recentNanos = recentNanos == 0 ? nanos : recentNanos * 0.8 + nanos * 0.2;
            recentTailNanos = tail(recentTailNanos, nanos);
        } else {
            undisturbedNanos = undisturbedNanos == 0 ? nanos : undisturbedNanos * 0.95 + nanos * 0.05;
            undisturbedTailNanos = tail(undisturbedTailNanos, nanos);
        }
    }

    private static double tail(double soFar, long nanos) {
        if (soFar == 0) {
            return nanos;
        }
        return soFar * (nanos > soFar ? 1 + TAIL_STEP * (1 - TAIL_SHARE) : 1 - TAIL_STEP * TAIL_SHARE);
    }

    /** One copy or comparison more, or one less. */
    synchronized void copying(boolean begins) {
        copying = Math.max(0, copying + (begins ? 1 : -1));
        recentNanos = 0;
        recentTailNanos = 0;
        rest = 1;
    }

    /** How long to rest after work that took {@code workNanos}. */
    synchronized long restNanos(long workNanos, long nowNanos) {
        if (nowNanos - requestAtNanos > QUIET_NANOS) {
            return 0;
        }
        if (undisturbedNanos == 0) {
            undisturbedNanos = recentNanos; // requests began after the copy did
            undisturbedTailNanos = recentTailNanos;
        }
        rest = recentNanos > undisturbedNanos * SLOWER || recentTailNanos > undisturbedTailNanos * SLOWER
                ? Math.min(MOST_REST, rest * 2)
                : Math.max(LEAST_REST, rest * 0.9);
        return (long) (workNanos * rest);
    }
}
