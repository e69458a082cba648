package io.terminus.cli;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Where a command writes: lines for people to the output, complaints to the error output. Colours and redrawing only on a
 * terminal; NO_COLOR (no-color.org) turns the colours off.
 */
final class Screen {

    private static final String RESET = "\u001b[0m";
    private static final String RED = "\u001b[31m";
    private static final String GREEN = "\u001b[32m";
    private static final String YELLOW = "\u001b[33m";
    private static final String BOLD = "\u001b[1m";
    /** A line that is too long for the terminal is cut, not wrapped: a wrapped one would break the count of lines. */
    private static final String WRAP_OFF = "\u001b[?7l";

    private static final String WRAP_ON = "\u001b[?7h";
    private static final String CLEAR_TO_END_OF_LINE = "\u001b[K";
    private static final String CLEAR_TO_END_OF_SCREEN = "\u001b[J";

    private final PrintStream out;
    private final PrintStream err;
    private final boolean terminal;
    private final boolean colours;
    private int drawnLines;

    Screen(PrintStream out, PrintStream err, boolean terminal, boolean colours) {
        this.out = out;
        this.err = err;
        this.terminal = terminal;
        this.colours = colours;
    }

    /** The launcher has looked whether the output is a terminal; Java's own console wants the input to be one too. */
    static Screen ofProcess() {
        boolean terminal = Boolean.getBoolean("terminus.terminal");
        String noColour = System.getenv("NO_COLOR");
        return new Screen(System.out, System.err, terminal, terminal && (noColour == null || noColour.isEmpty()));
    }

    /** The same with all lines at the error output, for a command whose output is one object for scripts. */
    Screen aside() {
        return new Screen(err, err, false, colours);
    }

    /** For help and complaints about the command line itself. */
    PrintWriter outWriter() {
        return new PrintWriter(out, true, StandardCharsets.UTF_8);
    }

    PrintWriter errWriter() {
        return new PrintWriter(err, true, StandardCharsets.UTF_8);
    }

    boolean isTerminal() {
        return terminal;
    }

    synchronized void line(String text) {
        drawnLines = 0;
        out.println(text);
        out.flush();
    }

    /** Whoever read the output has gone: nothing that is written arrives anywhere. */
    boolean isUnread() {
        return out.checkError();
    }

    void lines(List<String> texts) {
        texts.forEach(this::line);
    }

    synchronized void complain(String text) {
        drawnLines = 0;
        err.println("terminus: " + text);
        err.flush();
    }

    /** Draws over what the last call drew, if nothing else was written since. */
    synchronized void redraw(List<String> texts) {
        StringBuilder frame = new StringBuilder(WRAP_OFF);
        if (drawnLines > 0) {
            frame.append("\u001b[").append(drawnLines).append('A');
        }
        for (String text : texts) {
            frame.append('\r').append(text).append(CLEAR_TO_END_OF_LINE).append('\n');
        }
        out.print(frame.append(CLEAR_TO_END_OF_SCREEN).append(WRAP_ON));
        out.flush();
        drawnLines = texts.size();
    }

    String good(String text) {
        return coloured(GREEN, text);
    }

    String warning(String text) {
        return coloured(YELLOW, text);
    }

    String bad(String text) {
        return coloured(RED, text);
    }

    String strong(String text) {
        return coloured(BOLD, text);
    }

    private String coloured(String colour, String text) {
        return colours ? colour + text + RESET : text;
    }
}
