package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Whether what the panels ask for is exported is asked of a running set, by the acceptance tests of the command line. */
class DashboardTest {

    /** JSON is YAML. */
    private final Tree dashboard = Tree.one(Repository.read(Repository.DASHBOARD));

    @Test
    void everyPanelAsksPrometheusForSomethingAndSaysWhatItIs() {
        List<Tree> panels = panels();

        assertThat(panels).hasSizeGreaterThan(10);
        assertThat(panels).allSatisfy(panel -> {
            assertThat(panel.text("title")).isNotBlank();
            assertThat(panel.at("datasource").text("uid")).isEqualTo("${datasource}");
            assertThat(panel.list("targets"))
                    .isNotEmpty()
                    .allSatisfy(target ->
                            assertThat(target.text("expr")).containsPattern("terminus_[a-z_]+|\\bup\\b|jvm_|process_"));
            assertThat(panel.at("fieldConfig", "defaults").text("unit")).isNotEqualTo("null");
        });
    }

    @Test
    void panelsHaveIdsOfTheirOwnAndDoNotOverlap() {
        Set<Object> ids = new HashSet<>();
        Set<String> cells = new HashSet<>();
        for (Tree panel : dashboard.list("panels")) {
            assertThat(ids.add(panel.map().get("id")))
                    .as("id of %s", panel.text("title"))
                    .isTrue();
            Tree place = panel.at("gridPos");
            for (int x = number(place, "x"); x < number(place, "x") + number(place, "w"); x++) {
                for (int y = number(place, "y"); y < number(place, "y") + number(place, "h"); y++) {
                    assertThat(x).isLessThan(24);
                    assertThat(cells.add(x + "," + y))
                            .as("place of %s", panel.text("title"))
                            .isTrue();
                }
            }
        }
    }

    @Test
    void variablesThatPanelsUseAreThere() {
        Set<String> known = new HashSet<>(Set.of("__rate_interval"));
        dashboard.at("templating").list("list").forEach(variable -> known.add(variable.text("name")));
        Pattern use = Pattern.compile("\\$\\{?([a-z_]+)");

        List<String> used = new ArrayList<>();
        panels().forEach(panel -> panel.list("targets")
                .forEach(target -> use.matcher(target.text("expr")).results().forEach(m -> used.add(m.group(1)))));

        assertThat(used).contains("volume");
        assertThat(known).containsAll(used);
    }

    private List<Tree> panels() {
        return dashboard.list("panels").stream()
                .filter(panel -> !panel.text("type").equals("row"))
                .toList();
    }

    private static int number(Tree place, String key) {
        return place.number(key);
    }
}
