package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;

class GroupHealthTest {

    @TempDir
    private Path directory;

    @Test
    void membersAreReadyWhileTheyKnowWhoLeadsAndOneWithoutTheOthersIsNot() {
        try (TestGroup group = TestGroup.start(directory, 3, 1_000)) {
            List<String> followers = group.followers();
            String last = followers.getFirst();
            for (String member : List.of("a", "b", "c")) {
                await().atMost(TestGroup.PATIENCE).until(() -> isReady(group, member));
            }

            assertThat(group.gauge(last, "terminus.group.lag")).isNotNegative();
            group.stop(followers.getLast());
            group.stop(group.leader());

            await().atMost(TestGroup.PATIENCE).until(() -> !isReady(group, last));
            Health alone = health(group, last);
            assertThat(alone.getStatus()).isEqualTo(Status.OUT_OF_SERVICE);
            assertThat(alone.getDetails()).containsEntry("why", "no member is known to lead the group");
        }
    }

    private static boolean isReady(TestGroup group, String member) {
        return health(group, member).getStatus().equals(Status.UP);
    }

    private static Health health(TestGroup group, String member) {
        return new GroupHealth(group.node(member)::whyNotReady).health();
    }
}
