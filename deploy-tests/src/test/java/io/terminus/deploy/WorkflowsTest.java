package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class WorkflowsTest {

    private static final Pattern SCRIPT = Pattern.compile("(?<![\\w/.])(?:scripts/[a-z-]+|\\.ci/run|\\./mvnw)");

    static List<Path> workflows() {
        return Repository.list(Repository.ROOT.resolve(".github/workflows"));
    }

    @ParameterizedTest
    @MethodSource("workflows")
    void everyJobEndsByItselfAndRunsScriptsThatAreThere(Path file) {
        Tree workflow = Tree.one(Repository.read(file));

        assertThat(workflow.at("jobs").map()).isNotEmpty();
        assertThat(workflow.at("permissions").map()).containsKey("contents");
        for (String name : workflow.at("jobs").map().keySet()) {
            Tree job = workflow.at("jobs", name);
            assertThat(job.number("timeout-minutes")).as("limit of %s", name).isPositive();
            List<String> scripts = job.list("steps").stream()
                    .flatMap(step -> SCRIPT.matcher(step.text("run")).results())
                    .map(found -> found.group())
                    .toList();
            assertThat(scripts).isNotEmpty().allMatch(script -> Files.isExecutable(Repository.ROOT.resolve(script)));
        }
    }

    /** The newest of whatever there is would change under us. */
    @ParameterizedTest
    @MethodSource("workflows")
    void everyActionHasAVersion(Path file) {
        Tree workflow = Tree.one(Repository.read(file));

        for (String name : workflow.at("jobs").map().keySet()) {
            assertThat(workflow.at("jobs", name).list("steps"))
                    .filteredOn(step -> step.map().containsKey("uses"))
                    .isNotEmpty()
                    .allMatch(step -> step.text("uses").matches("[\\w-]+/[\\w-]+@v\\d+"));
        }
    }
}
