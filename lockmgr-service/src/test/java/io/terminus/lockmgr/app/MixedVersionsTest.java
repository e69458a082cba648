package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.MoveLeadRequest;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Members of two versions in one group, while it is upgraded one by one: format 2 is one that only tests know. */
@Timeout(120)
class MixedVersionsTest {

    private static final Duration WAIT = Duration.ofSeconds(20);

    @TempDir
    Path directory;

    @Test
    void theNewerFormatIsWrittenWhenTheLastMemberReadsItAndFromThenOnWhoDoesNotReadItStaysOut() throws Exception {
        try (TestGroup group = TestGroup.ofTwoVersions(directory);
                LockClient client = group.client("holder")) {
            List<String> all = List.of("a", "b", "c");
            Grant held = client.lock(exclusive("held"));
            // The leaders that know format 2 ask the one that does not, however often they lead.
            for (String leader : List.of("a", "b")) {
                if (!group.leader().equals(leader)) {
                    var unused = group.cluster(group.leader())
                            .moveLead(MoveLeadRequest.newBuilder().setTo(leader).build());
                }
                Formation formation = group.node(leader).groups().getFirst().formation();
                await().atMost(WAIT).until(() -> formation.readByAll() == 1);
                client.lock(exclusive("by-" + leader)).close();
            }

            assertThat(all)
                    .allSatisfy(id -> assertThat(group.view(id).getFormat())
                            .as("written, as %s sees it", id)
                            .isEqualTo(1));
            assertThat(group.failures("c")).isZero();

            group.stop("c");
            group.setNewestFormat("c", 2);
            group.start("c");
            await().atMost(WAIT)
                    .untilAsserted(() -> assertThat(all)
                            .extracting(group::view)
                            .extracting(ClusterView::getFormat)
                            .containsOnly(2));
            client.lock(exclusive("behind")).close();
            group.awaitAgreement();
            assertThat(held.believed()).isTrue();

            group.stop("c");
            group.setNewestFormat("c", 1);
            group.start("c");
            await().atMost(WAIT).until(() -> group.failures("c") == 1);
            held.release().get(20, TimeUnit.SECONDS);
        }
    }

    private static AcquireRequest exclusive(String volume) {
        return AcquireRequest.of(volume, LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, WAIT);
    }
}
