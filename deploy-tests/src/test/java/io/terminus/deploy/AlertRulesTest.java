package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class AlertRulesTest {

    /** In the words of promtool; beside it the rules themselves are named. */
    private static final Path STORIES = Path.of("src/test/resources/rules.test.yaml");

    @Test
    void prometheusTakesTheRules() throws Exception {
        promtool("check", "rules", Repository.RULES.toString());
    }

    @Test
    void everyAlertFiresInItsStoryAndNoneWhenAllIsWell() throws Exception {
        promtool("test", "rules", STORIES.toString());
    }

    @Test
    void everyAlertHasAStoryInWhichItFires() {
        Set<String> fired = Tree.one(Repository.read(STORIES)).list("tests").stream()
                .flatMap(test -> test.list("alert_rule_test").stream())
                .filter(expected -> !expected.list("exp_alerts").isEmpty())
                .map(expected -> expected.text("alertname"))
                .collect(Collectors.toCollection(TreeSet::new));

        assertThat(fired).isEqualTo(names());
    }

    @Test
    void aStoryInWhichAllIsWellAsksForEveryAlert() {
        Tree well = Tree.one(Repository.read(STORIES)).list("tests").getFirst();

        List<Tree> asked = well.list("alert_rule_test");

        assertThat(asked).allMatch(expected -> expected.list("exp_alerts").isEmpty());
        assertThat(asked.stream().map(expected -> expected.text("alertname")).collect(Collectors.toSet()))
                .isEqualTo(names());
    }

    @Test
    void everyAlertSaysHowBadItIsWhatItMeansAndWhereItsRunbookIs() {
        List<String> headings = Repository.read(Repository.ROOT.resolve("docs/operations.md"))
                .lines()
                .filter(line -> line.startsWith("#"))
                .map(line -> line.replaceFirst("^#+ ", "").toLowerCase(Locale.ROOT))
                .toList();

        assertThat(rules()).hasSizeGreaterThanOrEqualTo(10).allSatisfy(rule -> {
            assertThat(rule.at("labels").text("severity")).isIn("critical", "warning");
            Tree annotations = rule.at("annotations");
            assertThat(annotations.map()).containsKeys("summary", "description");
            assertThat(annotations.text("runbook_url")).startsWith("docs/operations.md#");
            assertThat(headings).contains(annotations.text("runbook_url").substring("docs/operations.md#".length()));
        });
    }

    private static List<Tree> rules() {
        return Tree.one(Repository.read(Repository.RULES)).list("groups").stream()
                .flatMap(group -> group.list("rules").stream())
                .toList();
    }

    private static Set<String> names() {
        return rules().stream().map(rule -> rule.text("alert")).collect(Collectors.toCollection(TreeSet::new));
    }

    private static void promtool(String... arguments) throws IOException, InterruptedException {
        List<String> command = new java.util.ArrayList<>(List.of("promtool"));
        command.addAll(List.of(arguments));
        Process process;
        try {
            process = new ProcessBuilder(command).redirectErrorStream(true).start();
        } catch (IOException notThere) {
            if ("required".equals(System.getenv("TERMINUS_REAL_CLIENTS"))) {
                throw new AssertionError("promtool is required and not there: apt-get install prometheus", notThere);
            }
            assumeTrue(false, "promtool is not there: apt-get install prometheus");
            return;
        }
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as("%s said:%n%s", command, said).isZero();
    }
}
