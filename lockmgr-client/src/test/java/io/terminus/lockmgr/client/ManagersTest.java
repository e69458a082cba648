package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ManagersTest {

    private Managers managers = of("h:1");

    @AfterEach
    void shutDown() {
        managers.shutdownNow();
    }

    @Test
    void aSingleOneIsAskedAgainAfterAPause() {
        boolean atOnce = managers.moveOn(refusal(""));

        assertThat(atOnce).isFalse();
        assertThat(asked()).isEqualTo("h:1");
    }

    @Test
    void membersAreAskedInTurnAndAfterAllOfThemComesAPause() {
        managers = of("h:1, h:2,h:3");

        assertThat(managers.moveOn(refusal(""))).isTrue();
        assertThat(asked()).isEqualTo("h:2");
        assertThat(managers.moveOn(null)).isTrue();
        assertThat(asked()).isEqualTo("h:3");
        assertThat(managers.moveOn(refusal(""))).isTrue();
        assertThat(asked()).isEqualTo("h:1");
        assertThat(managers.moveOn(refusal(""))).isFalse();
    }

    @Test
    void whoIsNamedAsTheLeaderIsAskedNextAlsoIfItIsNoneOfTheTargets() {
        managers = of("h:1,h:2,h:3");

        boolean atOnce = managers.moveOn(refusal("h:3"));
        String third = asked();
        managers.moveOn(refusal("new:4"));

        assertThat(atOnce).isTrue();
        assertThat(third).isEqualTo("h:3");
        assertThat(asked()).isEqualTo("new:4");
    }

    @Test
    void twoThatNameEachOtherAreNotAskedWithoutEnd() {
        managers = of("h:1,h:2");

        assertThat(managers.moveOn(refusal("h:2"))).isTrue();
        assertThat(managers.moveOn(refusal("h:1"))).isTrue();
        assertThat(managers.moveOn(refusal("h:2"))).isFalse();
    }

    @Test
    void aWelcomeEndsTheSearch() {
        managers = of("h:1,h:2");
        managers.moveOn(null);
        managers.moveOn(null);

        managers.welcomed();

        assertThat(managers.moveOn(null)).isTrue();
    }

    private String asked() {
        return managers.channel().authority();
    }

    private static Managers of(String targets) {
        return new Managers(targets, 0, ManagersTest::channel);
    }

    private static ManagedChannel channel(String target) {
        return ManagedChannelBuilder.forTarget(target).usePlaintext().build();
    }

    private static StatusRuntimeException refusal(String leader) {
        Metadata trailers = new Metadata();
        if (!leader.isEmpty()) {
            trailers.put(Metadata.Key.of("terminus-leader", Metadata.ASCII_STRING_MARSHALLER), leader);
        }
        return Status.UNAVAILABLE.asRuntimeException(trailers);
    }
}
