package io.terminus.security;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.time.Duration;
import java.time.InstantSource;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * When keys have to have been replaced, of those that are in force, whatever the files hold: new files that are not used yet do not hide it.
 * Negative when that is over.
 *
 * <p>Beside what is left stands how long the certificate holds in all, because a week before the end is late for one of three months, and
 * much for one of a day.
 */
public final class TlsMetrics {

    private TlsMetrics() {}

    /** @param keys null: there are none, and nothing is shown */
    public static void show(MeterRegistry registry, @Nullable TlsKeys keys) {
        show(registry, keys, InstantSource.system());
    }

    static void show(MeterRegistry registry, @Nullable TlsKeys keys, InstantSource clock) {
        if (keys != null) {
            show(registry, keys.setting(), "own", keys::validity, clock);
            show(registry, keys.setting(), "authority", keys::authorities, clock);
        }
    }

    private static void show(
            MeterRegistry registry,
            String setting,
            String certificate,
            Supplier<TlsKeys.Validity> validity,
            InstantSource clock) {
        gauge(
                        "terminus.tls.expires.in",
                        setting,
                        certificate,
                        () -> seconds(
                                Duration.between(clock.instant(), validity.get().end())))
                .description("Until the certificate ends that is in force")
                .register(registry);
        gauge(
                        "terminus.tls.lifetime",
                        setting,
                        certificate,
                        () -> seconds(Duration.between(
                                validity.get().begin(), validity.get().end())))
                .description("From the beginning to the end of that certificate")
                .register(registry);
    }

    private static Gauge.Builder<Supplier<Number>> gauge(
            String name, String setting, String certificate, Supplier<Number> seconds) {
        return Gauge.builder(name, seconds)
                .baseUnit("seconds")
                .tag("setting", setting)
                .tag("certificate", certificate);
    }

    private static double seconds(Duration duration) {
        return duration.toMillis() / 1e3;
    }
}
