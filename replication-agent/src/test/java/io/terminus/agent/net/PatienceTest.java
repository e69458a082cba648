package io.terminus.agent.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class PatienceTest {

    private final Patience patience = new Patience();

    @BeforeEach
    void whereTwoCanRunAtOnce() {
        assumeTrue(Runtime.getRuntime().availableProcessors() > 1, "on one processor nobody looks");
    }

    @Test
    void looksEachTimeAsLongAsBytesCome() {
        for (int i = 0; i < 100; i++) {
            assertThat(patience.nanos()).isPositive();
            patience.came();
        }
    }

    @Test
    void looksEverMoreSeldomWhereBytesDoNotCome() {
        int looks = 0;

        for (int i = 0; i < 100_000; i++) {
            if (patience.nanos() > 0) {
                looks++;
                patience.didNotCome();
            }
        }

        assertThat(looks).isBetween(90, 120); // one of 1,024, after the first few
    }

    @Test
    void looksAgainEachTimeOnceBytesCame() {
        patience.nanos();
        patience.didNotCome();
        while (patience.nanos() == 0) {}

        patience.came();

        assertThat(patience.nanos()).isPositive();
    }
}
