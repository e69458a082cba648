package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;

class TableHealthTest {

    private final AtomicLong sinceTick = new AtomicLong();
    private final TableHealth health = new TableHealth(sinceTick::get, 1_000_000_000);

    @Test
    void aTableThatGetsOnIsUp() {
        sinceTick.set(50_000_000);

        assertThat(health.health().getStatus()).isEqualTo(Status.UP);
    }

    @Test
    void aTableThatStandsLongerThanTheShortestLeaseIsDownAndSaysWhy() {
        sinceTick.set(4_000_000_000L);

        Health found = health.health();

        assertThat(found.getStatus()).isEqualTo(Status.DOWN);
        assertThat(found.getDetails().get("why"))
                .isEqualTo("the table of locks has not got on for 4000 ms; the shortest lease is 1000 ms");
    }
}
