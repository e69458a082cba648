package io.terminus.lockmgr.app;

import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;

/**
 * Whether the table of locks gets on: its time is told to it every 50 ms, and where that has not happened for as long as the
 * shortest lease lasts, holders lose what they hold because nobody answers their renewals.
 */
final class TableHealth implements HealthIndicator {

    private final LongSupplier nanosSinceTick;
    private final long shortestLeaseNanos;

    TableHealth(LongSupplier nanosSinceTick, long shortestLeaseNanos) {
        this.nanosSinceTick = nanosSinceTick;
        this.shortestLeaseNanos = shortestLeaseNanos;
    }

    @Override
    public Health health() {
        long nanos = nanosSinceTick.getAsLong();
        long millis = TimeUnit.NANOSECONDS.toMillis(nanos);
        Health.Builder health = nanos <= shortestLeaseNanos
                ? Health.up()
                : Health.down()
                        .withDetail(
                                "why",
                                "the table of locks has not got on for " + millis
                                        + " ms; the shortest lease is "
                                        + TimeUnit.NANOSECONDS.toMillis(shortestLeaseNanos) + " ms");
        return health.withDetail("millisSinceTick", millis).build();
    }
}
