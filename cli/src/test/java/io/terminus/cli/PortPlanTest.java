package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PortPlanTest {

    @Test
    void aGroupOfLockManagersUsesPortsOfItsOwnBehindTheTen() {
        PortPlan ports = new PortPlan(100, 3, null);

        List<Integer> used = SetMember.of(3).stream()
                .flatMap(member -> ports.uses(member).stream())
                .map(PortPlan.Use::port)
                .sorted()
                .toList();

        assertThat(used)
                .isEqualTo(IntStream.range(100, 100 + PortPlan.count(3)).boxed().toList());
        assertThat(ports.lockManagerTargets()).isEqualTo("localhost:102,localhost:111,localhost:114");
        assertThat(ports.groupMembers())
                .isEqualTo("lockmgr=localhost:110/localhost:102,lockmgr-2=localhost:113/localhost:111,"
                        + "lockmgr-3=localhost:116/localhost:114");
    }

    @Test
    void theTenPortsAreThoseOfThePlan() {
        PortPlan ports = new PortPlan(10809);

        PortPlan.Endpoints lockManager = ports.endpoints(SetMember.LOCKMGR);
        PortPlan.Endpoints a = ports.endpoints(SetMember.A);
        PortPlan.Endpoints b = ports.endpoints(SetMember.B);

        assertThat(lockManager).isEqualTo(new PortPlan.Endpoints("localhost:10811", "localhost:10812", null, null));
        assertThat(a)
                .isEqualTo(new PortPlan.Endpoints(
                        "localhost:10813", "localhost:10814", "localhost:10809", "localhost:10815"));
        assertThat(b)
                .isEqualTo(new PortPlan.Endpoints(
                        "localhost:10816", "localhost:10817", "localhost:10810", "localhost:10818"));
    }

    @Test
    void everyPortHasOneUse() {
        PortPlan ports = new PortPlan(100);

        Stream<Integer> used = SetMember.of(1).stream()
                .flatMap(member -> ports.uses(member).stream())
                .map(PortPlan.Use::port);

        assertThat(used).containsExactlyInAnyOrder(100, 101, 102, 103, 104, 105, 106, 107, 108, 109);
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 0, 65527, 70000})
    void aBaseWithoutRoomForTenPortsIsRefused(int base) {
        assertThatThrownBy(() -> new PortPlan(base))
                .hasMessageContaining("port base " + base + " is outside 1 to 65526");
    }

    @Test
    void theHighestBaseEndsAtTheLastPort() {
        assertThat(new PortPlan(65526).peer(SetMember.B)).isEqualTo(65535);
    }
}
