package io.terminus.lockmgr.ha;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ClaimTest {

    private final Claim claim = new Claim();

    @Test
    void nothingIsAskedForTwiceNorBesideALeadership() {
        boolean first = claim.ask("a#1");
        boolean beside = claim.ask("a#2");
        boolean ours = claim.opened("a#1", 5);
        boolean besideALeadership = claim.ask("a#3");

        assertThat(first).isTrue();
        assertThat(beside).isFalse();
        assertThat(ours).isTrue();
        assertThat(besideALeadership).isFalse();
        assertThat(claim.epoch()).isEqualTo(5);
    }

    @Test
    void anOpeningThatIsAppliedAfterTheElectionWasLostIsNobodys() {
        claim.ask("a#1");
        claim.lost();

        boolean ours = claim.opened("a#1", 5);

        assertThat(ours).isFalse();
        assertThat(claim.epoch()).isZero();
        assertThat(claim.ask("a#2")).isTrue();
    }

    @Test
    void theOpeningOfAnotherEndsALeadershipAndNotWhatIsAskedForSince() {
        claim.ask("a#1");
        claim.opened("a#1", 5);

        boolean ours = claim.opened("b#1", 6);
        boolean again = claim.ask("a#2");
        claim.opened("b#2", 7);

        assertThat(ours).isFalse();
        assertThat(again).isTrue();
        assertThat(claim.opened("a#2", 8)).isTrue();
    }

    @Test
    void aWordAboutALeadershipOfBeforeEndsNoOther() {
        claim.ask("a#1");
        claim.opened("a#1", 5);

        claim.ended(4);
        claim.failed("a#0");

        assertThat(claim.epoch()).isEqualTo(5);
    }

    @Test
    void whatWasGivenUpMayBeClaimedAnew() {
        claim.ask("a#1");
        claim.failed("a#1");
        boolean afterAFailure = claim.ask("a#2");
        claim.opened("a#2", 5);
        claim.ended(5);

        assertThat(afterAFailure).isTrue();
        assertThat(claim.ask("a#3")).isTrue();
    }
}
