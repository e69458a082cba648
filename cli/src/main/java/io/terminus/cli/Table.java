package io.terminus.cli;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;

/** Rows under a heading, each column as wide as its widest cell. Colour codes in cells take no room. */
final class Table {

    private static final Pattern COLOUR = Pattern.compile("\u001b\\[[0-9;]*m");
    private static final String GAP = "  ";

    private final List<List<String>> rows = new ArrayList<>();

    Table(String... heading) {
        rows.add(List.of(heading));
    }

    Table row(String... cells) {
        if (cells.length != rows.getFirst().size()) {
            throw new IllegalArgumentException("a row of " + cells.length + " cells in a table of "
                    + rows.getFirst().size() + " columns");
        }
        rows.add(List.of(cells));
        return this;
    }

    List<String> lines() {
        int[] widths = new int[rows.getFirst().size()];
        for (List<String> row : rows) {
            for (int column = 0; column < widths.length; column++) {
                widths[column] = Math.max(widths[column], width(row.get(column)));
            }
        }
        return rows.stream().map(row -> line(row, widths)).toList();
    }

    private static String line(List<String> row, int[] widths) {
        StringBuilder line = new StringBuilder();
        for (int column = 0; column < widths.length; column++) {
            String cell = row.get(column);
            line.append(cell);
            if (column < widths.length - 1) {
                char[] padding = new char[widths[column] - width(cell)];
                Arrays.fill(padding, ' ');
                line.append(padding).append(GAP);
            }
        }
        return line.toString().stripTrailing();
    }

    private static int width(String cell) {
        return COLOUR.matcher(cell).replaceAll("").length();
    }
}
