package io.terminus.lockmgr.lock;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ModeTest {

    @Test
    void modesStandTogetherAsTheMatrixSays() {
        String[] matrix = {
            "yes yes yes yes yes yes", // NL
            "yes yes yes yes yes -", // CR
            "yes yes yes - - -", // CW
            "yes yes - yes - -", // PR
            "yes yes - - - -", // PW
            "yes - - - - -", // EX
        };

        for (Mode row : Mode.values()) {
            String[] cells = matrix[row.ordinal()].split(" ");
            for (Mode column : Mode.values()) {
                assertThat(row.compatibleWith(column))
                        .as(row + " beside " + column)
                        .isEqualTo(cells[column.ordinal()].equals("yes"));
            }
        }
    }

    @Test
    void onlyProtectedWriteAndExclusiveMayWriteTheValueBlock() {
        assertThat(Mode.values()).filteredOn(Mode::writes).containsExactly(Mode.PW, Mode.EX);
    }

    @Test
    void aModeIsAtMostAnotherIfItStandsWithAllThatTheOtherStandsWith() {
        assertThat(Mode.values()).filteredOn(mode -> mode.atMost(Mode.PR)).containsExactly(Mode.NL, Mode.CR, Mode.PR);
        assertThat(Mode.values()).filteredOn(mode -> mode.atMost(Mode.CW)).containsExactly(Mode.NL, Mode.CR, Mode.CW);
        assertThat(Mode.values()).allMatch(mode -> mode.atMost(Mode.EX) && Mode.NL.atMost(mode));
    }
}
