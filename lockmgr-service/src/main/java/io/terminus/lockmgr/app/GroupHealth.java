package io.terminus.lockmgr.app;

import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;

/**
 * Whether this lock manager can be counted on: one alone always, one of a group when it belongs to it and knows who leads. Readiness alone
 * asks for it, so that of a group the next member is not taken out of service before the one before is back. It is no sign of life: a
 * member of a group without a leader must not be restarted, for it is one of those that are to elect one.
 */
final class GroupHealth implements HealthIndicator {

    private final Supplier<@Nullable String> whyNotReady;

    GroupHealth(Supplier<@Nullable String> whyNotReady) {
        this.whyNotReady = whyNotReady;
    }

    @Override
    public Health health() {
        String why = whyNotReady.get();
        return why == null
                ? Health.up().build()
                : Health.outOfService().withDetail("why", why).build();
    }
}
