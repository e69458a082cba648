package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

class BootClockTest {

    @Test
    void neverRunsBackwards() {
        BootClock clock = new BootClock();

        long before = clock.getAsLong();
        for (int i = 0; i < 100_000; i++) {
            long now = clock.getAsLong();
            assertThat(now).isGreaterThanOrEqualTo(before);
            before = now;
        }
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void countsFromTheStartOfTheMachineAsProcUptimeDoes() throws IOException {
        BootClock clock = new BootClock();

        long before = clock.getAsLong();
        double uptimeSeconds =
                Double.parseDouble(Files.readString(Path.of("/proc/uptime")).split(" ")[0]);
        long after = clock.getAsLong();

        // /proc/uptime counts in hundredths.
        assertThat(uptimeSeconds).isBetween(before / 1e9 - 0.02, after / 1e9 + 0.02);
    }
}
