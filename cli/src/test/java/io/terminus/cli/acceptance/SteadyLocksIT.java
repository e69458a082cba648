package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Stories in which no lock may move. Leases are long, so that none ends while a slow machine starts a process; recalls are
 * short of patience.
 */
@ExtendWith(TellsTime.class)
class SteadyLocksIT {

    private static final double RECALL_DEADLINE_SECONDS = 0.3;

    @RegisterExtension
    static final SharedSet SET =
            new SharedSet("64MiB", Map.of("AGENT_LEASETTL", "60s", "LOCKMGR_RECALLDEADLINE", "300ms"));

    @Test
    @NeedsClients("python3-libnbd")
    void aKilledLockManagerComesBackKnowingItsGrants() {
        LiveSet set = SET.get();
        try (AckedWrites writes = AckedWrites.start(set)) {
            long term = set.volume().path("term").asLong();
            String locks = set.terminus("locks", "list", "demo", "--json");

            set.kill("lockmgr");
            set.terminus("up", "--detach");
            writes.awaitMore(2000);
            writes.stop();

            assertThat(set.terminus("locks", "list", "demo", "--json")).isEqualTo(locks);
            assertThat(set.volume().path("term").asLong()).isEqualTo(term);
            writes.check();
            set.compareImages();
        }
    }

    @Test
    void aStandbyCausesNotOneRecall() {
        LiveSet set = SET.get();
        set.terminus("volume", "create", "auto", "--size", "8MiB", "--failover", "automatic");
        await().atMost(LiveSet.PATIENCE)
                .until(() -> set.volume("auto").path("locksWaiting").asLong() == 1
                        && set.volume("auto").path("nbd").isString());
        String writer = set.volume("auto").path("writer").asString();
        long term = set.volume("auto").path("term").asLong();
        String began = set.metrics("lockmgr");

        // The lock manager's own clock says when ten deadlines have passed.
        await().atMost(LiveSet.PATIENCE)
                .until(() -> metric(set.metrics("lockmgr"), "process_uptime_seconds")
                                - metric(began, "process_uptime_seconds")
                        > 10 * RECALL_DEADLINE_SECONDS);

        assertThat(metric(set.metrics("lockmgr"), "terminus_lock_recalls_total"))
                .isZero();
        assertThat(set.volume("auto").path("locksWaiting").asLong()).isEqualTo(1);
        assertThat(set.volume("auto").path("writer").asString()).isEqualTo(writer);
        assertThat(set.volume("auto").path("term").asLong()).isEqualTo(term);
    }

    private static double metric(String metrics, String name) {
        Matcher line = Pattern.compile("^" + name + "(?:\\{[^}]*})? (\\S+)$", Pattern.MULTILINE)
                .matcher(metrics);
        assertThat(line.find()).as("%s in%n%s", name, metrics).isTrue();
        return Double.parseDouble(line.group(1));
    }
}
