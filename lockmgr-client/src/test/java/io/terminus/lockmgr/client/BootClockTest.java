package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

class BootClockTest {

    @Test
    void systemClockNeverGoesBackAndIsNeverNegative() {
        LeaseClock clock = LeaseClock.system();
        long last = 0;

        for (int i = 0; i < 100_000; i++) {
            long now = clock.nanos();

            assertThat(now).isGreaterThanOrEqualTo(last);
            last = now;
        }
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void systemClockIsTheOneTheKernelCallsUptime() throws Exception {
        LeaseClock clock = LeaseClock.system();

        long before = clock.nanos();
        String uptime = Files.readString(Path.of("/proc/uptime")).split(" ")[0];
        long after = clock.nanos();

        // The kernel cuts its figure to 10 ms.
        long uptimeNanos = Math.round(Double.parseDouble(uptime) * 1e9);
        assertThat(clock).isInstanceOf(BootClock.class);
        assertThat(uptimeNanos).isBetween(before - 10_000_000, after);
    }
}
