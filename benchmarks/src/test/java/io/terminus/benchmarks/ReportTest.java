package io.terminus.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class ReportTest {

    private final ByteArrayOutputStream progress = new ByteArrayOutputStream();
    private final Report report =
            new Report("terminus bench test", new PrintStream(progress, true, StandardCharsets.UTF_8));

    @Test
    void eachFigureStandsBesideItsGoalAndSaysByHowMuchItIsMissed() {
        report.figure("pairs", 240_000, "pairs/s", Goal.atLeast(300_000));
        report.figure("ratio", 1.17, "x", Goal.atMost(1.3));
        report.figure("cpu", 12.34, "CPU-s/M");

        String table = report.table();

        assertThat(table).containsPattern("pairs +240,000 +pairs/s +>= 300,000 +MISSED by 20 %\n");
        assertThat(table).containsPattern("ratio +1\\.17 +x +<= 1\\.30 +met\n");
        assertThat(table).containsPattern("cpu +12\\.3 +CPU-s/M\n");
        assertThat(table).contains("load average").contains("cores");
        assertThat(report.allMet()).isFalse();
    }

    @Test
    void jsonHasNameValueUnitGoalAndMet() {
        report.figure("pairs", 240_000, "pairs/s", Goal.atLeast(300_000));
        report.figure("cpu", 12.5, "CPU-s/M");

        JsonNode json = JsonMapper.builder().build().readTree(report.json());

        assertThat(json.size()).isEqualTo(2);
        assertThat(json.get(0).get("name").stringValue()).isEqualTo("pairs");
        assertThat(json.get(0).get("value").doubleValue()).isEqualTo(240_000);
        assertThat(json.get(0).get("unit").stringValue()).isEqualTo("pairs/s");
        assertThat(json.get(0).get("goal").doubleValue()).isEqualTo(300_000);
        assertThat(json.get(0).get("met").booleanValue()).isFalse();
        assertThat(json.get(1).get("goal").isNull()).isTrue();
        assertThat(json.get(1).get("met").isNull()).isTrue();
    }

    @Test
    void whatCouldNotBeMeasuredIsNeitherMetNorMissed() {
        report.notMeasured("copy", "x", Goal.atLeast(1), "there is nothing to copy with");

        JsonNode json = JsonMapper.builder().build().readTree(report.json());

        assertThat(report.table())
                .containsPattern("copy +not measured +x +>= 1\\.00\n")
                .contains("nothing to copy with");
        assertThat(json.get(0).get("value").isNull()).isTrue();
        assertThat(json.get(0).get("met").isNull()).isTrue();
        assertThat(report.allMet()).isTrue();
    }

    @Test
    void aNameIsUsedOnce() {
        report.figure("pairs", 1, "pairs/s");

        assertThatThrownBy(() -> report.figure("pairs", 2, "pairs/s"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("pairs");
    }

    @Test
    void progressIsToldWhileTheBenchmarkRuns() {
        report.figure("pairs", 240_000, "pairs/s", Goal.atLeast(300_000));

        assertThat(progress.toString(StandardCharsets.UTF_8)).contains("pairs: 240,000 pairs/s (goal >= 300,000)");
    }

    @Test
    void thePlotIsOnePngWithAllCharts(@TempDir Path directory) throws IOException {
        report.figure("pairs", 240_000, "pairs/s", Goal.atLeast(300_000));
        report.line("latency", "percentile", "us", "unary", new double[] {50, 99}, new double[] {100, 900});
        Path file = directory.resolve("made/plot.png");

        report.plot(file);

        var image = ImageIO.read(file.toFile());
        assertThat(image.getWidth()).isEqualTo(900);
        assertThat(image.getHeight()).isEqualTo(2 * 560);
    }
}
