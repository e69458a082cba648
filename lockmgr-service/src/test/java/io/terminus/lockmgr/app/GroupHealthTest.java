package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.health.contributor.Health;

class GroupHealthTest {

    @TempDir
    private Path directory;

    @Test
    void membersAreReadyWhileTheyKnowWhoLeadsAndOneWithoutTheOthersIsNot() {
        try (TestGroup group = TestGroup.start(directory, 3, 1_000)) {
            List<String> followers = group.followers();
            String last = followers.getFirst();
            for (String member : List.of("a", "b", "c")) {
                await().atMost(TestGroup.PATIENCE)
                        .untilAsserted(() -> assertThat(health(group, member))
                                .isEqualTo(Health.up().build()));
            }

            assertThat(group.gauge(last, "terminus.group.lag")).isNotNegative();
            group.stop(followers.getLast());
            group.stop(group.leader());

            await().atMost(TestGroup.PATIENCE)
                    .untilAsserted(() -> assertThat(health(group, last))
                            .isEqualTo(Health.outOfService()
                                    .withDetail("why", "no member is known to lead the group")
                                    .build()));
        }
    }

    private static Health health(TestGroup group, String member) {
        return new GroupHealth(group.node(member)::whyNotReady).health();
    }
}
