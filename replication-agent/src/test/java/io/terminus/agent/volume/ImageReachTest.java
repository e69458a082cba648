package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ImageReachTest {

    @Test
    void anImageIsWholeOnceEverythingItMayHoldIsApplied() {
        ImageReach reach = new ImageReach(1_024);

        assertThat(reach.isWholeAt(896)).isFalse();
        assertThat(reach.isWholeAt(1_024)).isTrue();
        reach.mayHold(2_048);

        assertThat(reach.isWholeAt(1_920)).isFalse();
        assertThat(reach.isWholeAt(2_048)).isTrue();
        assertThat(reach.heldTo()).isEqualTo(2_048);
    }

    @Test
    void whatIsHeldAlreadyChangesNothing() {
        ImageReach reach = new ImageReach(1_024);

        reach.mayHold(512);

        assertThat(reach.heldTo()).isEqualTo(1_024);
        assertThat(reach.isWholeAt(512)).isFalse();
    }

    @Test
    void whereNothingIsCommittedBehindAPositionTheImageIsWholeThereButAForkMayStillHaveGivenUpWhatItHolds() {
        ImageReach reach = new ImageReach(2_048);

        reach.nothingIsBehind(1_024);
        reach.nothingIsBehind(4_096);

        assertThat(reach.isWholeAt(1_024)).isTrue();
        assertThat(reach.isWholeAt(896)).isFalse();
        assertThat(reach.heldTo()).isEqualTo(2_048);
    }

    @Test
    void anImageThatStartsOverCountsAsOfItsNewPositionAlsoIfThatIsLower() {
        ImageReach reach = new ImageReach(2_048);

        reach.startsOver(128);

        assertThat(reach.isWholeAt(128)).isTrue();
        assertThat(reach.heldTo()).isEqualTo(128);
    }
}
