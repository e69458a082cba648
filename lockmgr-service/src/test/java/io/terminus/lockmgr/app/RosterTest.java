package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.ha.Member;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class RosterTest {

    @Test
    void everyHostBehindANameComesToTheSameMembers() {
        LockManagerProperties.Cluster cluster = cluster("", List.of(), "locks.prod.svc:10821/10811", 3);

        List<Member> seenByFirst = Roster.members(cluster, "lockmgr-0");
        List<Member> seenByLast = Roster.members(cluster, "lockmgr-2");

        assertThat(seenByFirst)
                .isEqualTo(seenByLast)
                .containsExactly(
                        Member.parse("lockmgr-0=lockmgr-0.locks.prod.svc:10821/lockmgr-0.locks.prod.svc:10811"),
                        Member.parse("lockmgr-1=lockmgr-1.locks.prod.svc:10821/lockmgr-1.locks.prod.svc:10811"),
                        Member.parse("lockmgr-2=lockmgr-2.locks.prod.svc:10821/lockmgr-2.locks.prod.svc:10811"));
        assertThat(Roster.node(cluster, "lockmgr-2")).isEqualTo("lockmgr-2");
    }

    @Test
    void aNodeThatIsNamedComesBeforeTheHostsName() {
        LockManagerProperties.Cluster cluster = cluster("lm-1", List.of(), "locks:1/2", 2);

        assertThat(Roster.node(cluster, "host")).isEqualTo("lm-1");
        assertThat(Roster.members(cluster, "host")).extracting(Member::id).containsExactly("lm-0", "lm-1");
    }

    @Test
    void whatSaysNotWhoTheyAreIsRefusedWithTheRule() {
        assertThatThrownBy(() -> Roster.members(cluster("", List.of(), "locks", 3), "lockmgr-0"))
                .hasMessageContaining("lockmgr.cluster.service of 'locks' is not NAME:PORT/PORT");
        assertThatThrownBy(() -> Roster.members(cluster("", List.of(), "locks:1/2", 3), "lockmgr-3"))
                .hasMessageContaining("members are called NAME-0 to NAME-2, and this one is 'lockmgr-3'");
        assertThatThrownBy(() -> Roster.members(cluster("", List.of(), "locks:1/2", 3), "laptop"))
                .hasMessageContaining("this one is 'laptop'");
        assertThatThrownBy(() -> cluster("", List.of("a=h:1/h:2"), "locks:1/2", 3))
                .hasMessageContaining("are both set");
    }

    private static LockManagerProperties.Cluster cluster(String node, List<String> members, String service, int size) {
        return new LockManagerProperties.Cluster(
                node, members, service, size, "lockmgr", Duration.ofMillis(500), 100, 10);
    }
}
