package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.ha.Member;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class ClusterServiceTest {

    private static final Member B = Member.parse("b=h:1/h:2");

    @Test
    void whoAsksForAChangeWhileAnotherIsElectedIsToldWhomToAskAgain() {
        StatusRuntimeException told = ClusterService.failed("move-lead c", "DIFFERENT_LEADER", true, Optional.of(B));

        Metadata trailers = told.getTrailers();
        assertThat(told.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(told.getStatus().getDescription())
                .isEqualTo("move-lead c is not known to be done: b was elected meanwhile; ask again");
        assertThat(trailers).isNotNull();
        assertThat(trailers.get(NotLeading.LEADER)).isEqualTo("h:2");
    }

    @Test
    void whoAsksWhileNobodyLeadsYetIsToldToAskAgain() {
        StatusRuntimeException told = ClusterService.failed("move-lead c", "no leader", true, Optional.empty());

        assertThat(told.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(told.getStatus().getDescription()).contains("the lead was lost meanwhile; ask again");
    }

    @Test
    void whatFailsWithoutAnElectionIsNotAskedForAgainByItself() {
        StatusRuntimeException told = ClusterService.failed("add-member d", "d does not answer", false, Optional.of(B));

        assertThat(told.getStatus().getCode()).isEqualTo(Status.Code.ABORTED);
        assertThat(told.getStatus().getDescription())
                .isEqualTo("add-member d is not known to be done: d does not answer");
    }
}
