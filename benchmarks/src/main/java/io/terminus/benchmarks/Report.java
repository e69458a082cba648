package io.terminus.benchmarks;

import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.CategorySeries.CategorySeriesRenderStyle;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.style.Styler.LegendPosition;
import tools.jackson.databind.json.JsonMapper;

/**
 * The figures of one run, each beside its goal, with what the machine was doing meanwhile. Figures come in while the benchmark runs; the table, the
 * JSON and the plot are made at the end. One thread.
 */
public final class Report {

    private static final int CHART_WIDTH = 900;
    private static final int CHART_HEIGHT = 560;

    private final String title;
    private final PrintStream progress;
    private final double loadBefore = Machine.load();
    private final double busyBefore = Machine.busySeconds();
    private final long startedNanos = System.nanoTime();
    private final List<Figure> figures = new ArrayList<>();
    private final List<String> notes = new ArrayList<>();
    private final Map<String, XYChart> charts = new LinkedHashMap<>();

    Report(String title, PrintStream progress) {
        this.title = title;
        this.progress = progress;
    }

    /** A figure of which nothing is expected. */
    public void figure(String name, double value, String unit) {
        add(new Figure(name, value, unit, null));
    }

    public void figure(String name, double value, String unit, Goal goal) {
        add(new Figure(name, value, unit, goal));
    }

    /** Something that has a goal and could not be measured: it stays in the table, so that nobody takes it for met. */
    public void notMeasured(String name, String unit, Goal goal, String why) {
        add(new Figure(name, Double.NaN, unit, goal));
        note(name + " was not measured: " + why);
    }

    /** A sentence under the table: how a figure was taken, or what to think of it. */
    public void note(String sentence) {
        notes.add(sentence);
    }

    /** A table or a listing under the figures, as it stands. */
    public void listing(String heading, List<String> lines) {
        notes.add(heading + "\n    " + String.join("\n    ", lines));
    }

    /** A line in the chart of that name, which comes into being with its first line. */
    public void line(String chart, String xLabel, String yLabel, String name, double[] xs, double[] ys) {
        if (xs.length == 0) {
            return;
        }
        charts.computeIfAbsent(
                        chart,
                        missing -> new XYChartBuilder()
                                .width(CHART_WIDTH)
                                .height(CHART_HEIGHT)
                                .title(chart)
                                .xAxisTitle(xLabel)
                                .yAxisTitle(yLabel)
                                .build())
                .addSeries(name, xs, ys);
    }

    /** For charts whose values span decades. */
    public void logarithmic(String chart) {
        XYChart known = charts.get(chart);
        if (known != null) {
            known.getStyler().setYAxisLogarithmic(true);
        }
    }

    /** Tells on the error stream what is being done, so that a long run is not mistaken for a hanging one. */
    public void progress(String format, Object... arguments) {
        double seconds = (System.nanoTime() - startedNanos) / 1e9;
        progress.printf(Locale.ROOT, "%6.1f s  %s%n", seconds, String.format(Locale.ROOT, format, arguments));
        progress.flush();
    }

    public List<Figure> figures() {
        return List.copyOf(figures);
    }

    private void add(Figure figure) {
        if (figures.stream().anyMatch(earlier -> earlier.name().equals(figure.name()))) {
            throw new IllegalArgumentException("figure " + figure.name() + " is there already");
        }
        figures.add(figure);
        progress(
                "%s: %s %s%s",
                figure.name(),
                figure.shown(),
                figure.unit(),
                figure.goal() == null ? "" : " (goal " + figure.goal() + ")");
    }

    // How it is shown.

    String table() {
        List<String[]> rows = new ArrayList<>();
        rows.add(new String[] {"FIGURE", "VALUE", "UNIT", "GOAL", ""});
        for (Figure figure : figures) {
            Goal goal = figure.goal();
            rows.add(new String[] {
                figure.name(),
                figure.shown(),
                figure.unit(),
                goal == null ? "" : goal.toString(),
                goal == null || !figure.measured() ? "" : goal.verdict(figure.value())
            });
        }
        int[] widths = new int[5];
        for (String[] row : rows) {
            for (int column = 0; column < widths.length; column++) {
                widths[column] = Math.max(widths[column], row[column].length());
            }
        }
        StringBuilder text = new StringBuilder();
        text.append(title).append(", ").append(now()).append('\n');
        text.append(Machine.describe()).append('\n');
        text.append(load()).append("\n\n");
        for (String[] row : rows) {
            String line = String.format(
                    "%-" + widths[0] + "s  %" + widths[1] + "s  %-" + widths[2] + "s  %" + widths[3] + "s  %s",
                    (Object[]) row);
            text.append(line.stripTrailing()).append('\n');
        }
        for (String note : notes) {
            text.append('\n').append(note).append('\n');
        }
        return text.toString();
    }

    private String load() {
        double seconds = (System.nanoTime() - startedNanos) / 1e9;
        double cores = (Machine.busySeconds() - busyBefore) / seconds;
        return String.format(
                Locale.ROOT,
                "load average %.2f before, %.2f after; %.1f cores busy on average over %.0f s",
                loadBefore,
                Machine.load(),
                cores,
                seconds);
    }

    private static String now() {
        return ZonedDateTime.now(ZoneOffset.UTC).format(DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm 'UTC'"));
    }

    /**
     * {@code goal} and {@code met} are null for a figure of which nothing is expected, {@code value} and {@code met} for one that was not
     * measured.
     */
    private record JsonFigure(
            String name,
            @Nullable Double value,
            String unit,
            @Nullable Double goal,
            @Nullable Boolean met) {}

    String json() {
        List<JsonFigure> all = new ArrayList<>();
        for (Figure figure : figures) {
            Goal goal = figure.goal();
            all.add(new JsonFigure(
                    figure.name(),
                    figure.measured() ? figure.value() : null,
                    figure.unit(),
                    goal == null ? null : goal.bound(),
                    goal == null || !figure.measured() ? null : goal.metBy(figure.value())));
        }
        return JsonMapper.builder().build().writerWithDefaultPrettyPrinter().writeValueAsString(all);
    }

    boolean allMet() {
        return figures.stream().allMatch(figure -> {
            Goal goal = figure.goal();
            return goal == null || !figure.measured() || goal.metBy(figure.value());
        });
    }

    /** How every figure stands to its goal, and the charts the benchmark added, one below the other. */
    void plot(Path file) {
        List<Chart<?, ?>> all = new ArrayList<>();
        goalChart(all);
        for (XYChart chart : charts.values()) {
            chart.getStyler().setLegendPosition(LegendPosition.OutsideS).setMarkerSize(5);
            all.add(chart);
        }
        if (all.isEmpty()) {
            return;
        }
        try {
            Path directory = file.toAbsolutePath().getParent();
            if (directory != null) {
                Files.createDirectories(directory);
            }
            // Under this name it is looked for, whatever the encoder thinks of the name's end.
            BitmapEncoder.saveBitmap(all, all.size(), 1, Files.newOutputStream(file), BitmapEncoder.BitmapFormat.PNG);
        } catch (IOException e) {
            throw new UncheckedIOException("the plot could not be written to " + file, e);
        }
    }

    private void goalChart(List<Chart<?, ?>> all) {
        List<String> names = new ArrayList<>();
        List<Double> scores = new ArrayList<>();
        for (Figure figure : figures) {
            Goal goal = figure.goal();
            if (goal != null && figure.measured()) {
                names.add(figure.name());
                scores.add(goal.score(figure.value()));
            }
        }
        if (names.isEmpty()) {
            return;
        }
        CategoryChart chart = new CategoryChartBuilder()
                .width(CHART_WIDTH)
                .height(CHART_HEIGHT)
                .title(title + ": figures against their goals (1 = goal, 2 = twice as good)")
                .build();
        chart.addSeries("figure / goal", names, scores);
        chart.addSeries("goal", names, Collections.nCopies(names.size(), 1.0))
                .setChartCategorySeriesRenderStyle(CategorySeriesRenderStyle.Line);
        chart.getStyler()
                .setAvailableSpaceFill(0.6)
                .setYAxisMin(0.0)
                .setXAxisLabelRotation(40)
                .setLegendVisible(false);
        all.add(chart);
    }
}
