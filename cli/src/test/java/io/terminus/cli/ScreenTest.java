package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class ScreenTest {

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    private Screen screen(boolean colours) {
        PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
        return new Screen(stream, stream, true, colours);
    }

    @Test
    void aSecondDrawingCoversTheFirst() {
        Screen screen = screen(false);
        screen.redraw(List.of("one", "two", "three"));
        out.reset();

        screen.redraw(List.of("uno", "due"));

        assertThat(out.toString(StandardCharsets.UTF_8))
                .isEqualTo("\u001b[?7l\u001b[3A\runo\u001b[K\n\rdue\u001b[K\n\u001b[J\u001b[?7h");
    }

    @Test
    void whatWasSaidInBetweenIsNotCovered() {
        Screen screen = screen(false);
        screen.redraw(List.of("one"));
        screen.line("Stopping a.");
        out.reset();

        screen.redraw(List.of("uno"));

        assertThat(out.toString(StandardCharsets.UTF_8)).doesNotContain("\u001b[1A");
    }

    @Test
    void coloursAreLeftAwayWhereNotWanted() {
        assertThat(screen(false).bad("no")).isEqualTo("no");
        assertThat(screen(true).bad("no")).isEqualTo("\u001b[31mno\u001b[0m");
    }
}
