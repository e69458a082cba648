package io.terminus.lockmgr.history;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import org.junit.jupiter.api.Test;

/** The judge is tried before it judges. */
class LockHistoryTest {

    private final LockHistory history = new LockHistory();

    @Test
    void holdsOfModesThatConflictMayNotShareAByteAndAnInstant() {
        held("a", 0, 10, LockMode.EX, 1, 100, 200);
        held("b", 9, 20, LockMode.PR, 2, 199, 300);

        assertThat(history.violations()).hasSize(1).first().asString().contains("held beside");
    }

    @Test
    void holdsThatOnlyTouchInTimeOrPlaceAreRight() {
        held("a", 0, 10, LockMode.EX, 1, 100, 200);
        held("b", 10, 20, LockMode.EX, 2, 150, 250);
        held("c", 0, 10, LockMode.PR, 3, 200, 300);
        held("d", 0, 10, LockMode.PR, 4, 200, 300);

        assertThat(history.violations()).isEmpty();
    }

    @Test
    void aLaterHoldMustHaveTheHigherToken() {
        held("a", 0, 10, LockMode.EX, 5, 100, 200);
        held("b", 0, 20, LockMode.EX, 9, 300, 400);
        held("c", 5, 6, LockMode.PR, 8, 500, 600);

        assertThat(history.violations()).hasSize(1).first().asString().contains("token that is not higher");
    }

    @Test
    void aTryIsRefusedOnlyForSomethingThatMayHaveBeenInItsWay() {
        history.add(new LockHistory.Interest("a", new LockRange(0, 10), LockMode.EX, 100, 200));
        history.add(new LockHistory.RefusedTry("b", new LockRange(0, 1), LockMode.PR, 150, 160));
        assertThat(history.violations()).isEmpty();

        history.add(new LockHistory.RefusedTry("b", new LockRange(0, 1), LockMode.PR, 200, 210));
        assertThat(history.violations()).hasSize(1).first().asString().contains("nothing can have been in its way");
    }

    private void held(String client, long start, long end, LockMode mode, long token, long from, long until) {
        history.add(new LockHistory.Hold(client, new LockRange(start, end), mode, token, from, until));
    }
}
