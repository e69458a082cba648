package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class TableTest {

    @Test
    void columnsAreAsWideAsTheirWidestCell() {
        Table table = new Table("NAME", "N").row("a", "1").row("longer", "22");

        assertThat(table.lines()).containsExactly("NAME    N", "a       1", "longer  22");
    }

    @Test
    void coloursTakeNoRoom() {
        Table table = new Table("A", "B").row("\u001b[31mred\u001b[0m", "x");

        assertThat(table.lines()).containsExactly("A    B", "\u001b[31mred\u001b[0m  x");
    }

    @Test
    void aRowOfAnotherLengthIsAMistake() {
        assertThatThrownBy(() -> new Table("A", "B").row("x")).hasMessageContaining("1 cells in a table of 2 columns");
    }
}
