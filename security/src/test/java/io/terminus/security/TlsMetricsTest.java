package io.terminus.security;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TlsMetricsTest {

    private static final Instant NOW = Instant.now().truncatedTo(ChronoUnit.SECONDS);

    @TempDir
    private Path directory;

    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

    @Test
    void whatIsLeftIsThatOfTheCertificateInForceAndOfTheAuthority() throws Exception {
        CertificateAuthority authority = CertificateAuthority.create(directory, "ours", NOW.plus(Duration.ofDays(100)));
        TlsFiles files = authority.issue("a", List.of(), List.of("localhost"), NOW.plus(Duration.ofDays(10)));
        try (TlsKeys keys = TlsKeys.load("agent.tls", files)) {
            TlsMetrics.show(registry, keys, InstantSource.fixed(NOW));

            authority.issue("a", List.of(), List.of("localhost"), NOW.plus(Duration.ofDays(20)));
            double before = left("own");
            double authorityLeft = left("authority");
            keys.reload();

            assertThat(before).isIn(days(10), days(20)); // the keys' own thread may have been faster
            assertThat(left("own")).isEqualTo(days(20));
            assertThat(authorityLeft).isEqualTo(days(100));
            assertThat(registry.get("terminus.tls.lifetime")
                            .tag("certificate", "own")
                            .gauge()
                            .value())
                    .isGreaterThanOrEqualTo(days(20));
        }
    }

    /** Right after the end it is not zero for ever, or none at all: the alert has to go on. */
    @Test
    void whatIsOverIsNegative() throws Exception {
        CertificateAuthority authority = CertificateAuthority.create(directory, "ours", NOW.plus(Duration.ofDays(100)));
        TlsFiles files = authority.issue("a", List.of(), List.of("localhost"), NOW.plus(Duration.ofDays(10)));
        try (TlsKeys keys = TlsKeys.load("agent.tls", files)) {

            TlsMetrics.show(registry, keys, InstantSource.fixed(NOW.plus(Duration.ofDays(12))));

            assertThat(left("own")).isEqualTo(-days(2));
        }
    }

    @Test
    void whereThereAreNoKeysThereIsNothingToExpire() {
        TlsMetrics.show(registry, null);

        assertThat(registry.getMeters()).isEmpty();
    }

    private double left(String certificate) {
        return registry.get("terminus.tls.expires.in")
                .tag("setting", "agent.tls")
                .tag("certificate", certificate)
                .gauge()
                .value();
    }

    private static double days(int days) {
        return Duration.ofDays(days).toSeconds();
    }
}
