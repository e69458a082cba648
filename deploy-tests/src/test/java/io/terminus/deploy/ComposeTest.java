package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ComposeTest {

    private final Tree compose = Tree.one(Repository.read(Repository.ROOT.resolve("docker-compose.yml")));

    @Test
    void nothingIsReachedFromOtherMachines() {
        List<String> published = services().stream()
                .flatMap(service -> service.texts("ports").stream())
                .toList();

        assertThat(published).isNotEmpty().allMatch(port -> port.startsWith("127.0.0.1:"));
        assertThat(published).doesNotHaveDuplicates();
    }

    @Test
    void servicesAreGivenSettingsThatTheyHave() {
        List<String> given = services().stream()
                .flatMap(service -> service.at("environment").map().keySet().stream())
                .filter(variable -> variable.startsWith("AGENT_") || variable.startsWith("LOCKMGR_"))
                .toList();

        assertThat(given).contains("AGENT_NAME", "LOCKMGR_DATADIR");
        assertThat(ConfigurationReference.variables()).containsAll(given);
    }

    @Test
    void whatIsMountedAndBuiltFromIsInTheRepository() {
        for (Tree service : services()) {
            for (String mount : service.texts("volumes")) {
                String source = mount.split(":")[0];
                if (source.startsWith("./")) {
                    assertThat(Repository.ROOT.resolve(source)).exists();
                    assertThat(mount).endsWith(":ro");
                } else {
                    assertThat(compose.at("volumes").map()).containsKey(source);
                }
            }
            Tree build = service.at("build");
            if (!build.map().isEmpty()) {
                assertThat(Repository.ROOT.resolve(build.text("dockerfile"))).exists();
            }
        }
    }

    @Test
    void ourContainersCanWriteNothingButTheirDataAndHaveNoPrivileges() {
        List<Tree> ours = services().stream()
                .filter(service -> service.text("image").startsWith("terminus/"))
                .toList();

        assertThat(ours).hasSize(7).allSatisfy(service -> {
            assertThat(service.map()).containsEntry("read_only", true).containsKey("mem_limit");
            assertThat(service.texts("cap_drop")).containsExactly("ALL");
            assertThat(service.texts("security_opt")).containsExactly("no-new-privileges:true");
        });
    }

    @Test
    void prometheusScrapesEveryServiceUnderTheJobsThatTheRulesGoBy() {
        Tree prometheus = Tree.one(Repository.read(Repository.ROOT.resolve("docker/prometheus.yml")));

        Map<String, List<String>> targets = prometheus.list("scrape_configs").stream()
                .collect(java.util.stream.Collectors.toMap(
                        job -> job.text("job_name"),
                        job -> job.list("static_configs").getFirst().texts("targets")));

        assertThat(targets)
                .containsOnlyKeys("terminus-agent", "terminus-lockmgr")
                .containsEntry("terminus-agent", List.of("a:10814", "b:10814", "c:10814"))
                .containsEntry("terminus-lockmgr", List.of("lockmgr-1:10812", "lockmgr-2:10812", "lockmgr-3:10812"));
        assertThat(compose.at("services").map()).containsKeys("a", "b", "c", "lockmgr-1", "lockmgr-2", "lockmgr-3");
    }

    @Test
    void theLockManagersAreOneGroupOfWhichEveryAgentKnowsAllMembers() {
        List<String> names = List.of("lockmgr-1", "lockmgr-2", "lockmgr-3");

        for (String name : names) {
            Tree environment = compose.at("services", name, "environment");
            assertThat(environment.map())
                    .containsEntry("LOCKMGR_MODE", "cluster")
                    .containsEntry("LOCKMGR_CLUSTER_NODE", name);
            assertThat(environment.text("LOCKMGR_CLUSTER_MEMBERS").split(","))
                    .containsExactlyElementsOf(names.stream()
                            .map(one -> one + "=" + one + ":10821/" + one + ":10811")
                            .toList());
            assertThat(compose.at("services", name).texts("volumes")).containsExactly(name + ":/var/lib/terminus");
        }
        for (String agent : List.of("a", "b", "c")) {
            Tree service = compose.at("services", agent);
            assertThat(service.at("environment").text("AGENT_LOCKMANAGER").split(","))
                    .containsExactlyElementsOf(
                            names.stream().map(one -> one + ":10811").toList());
            assertThat(service.at("depends_on").map()).containsOnlyKeys(names.toArray(String[]::new));
        }
    }

    /** Both images start their service by a script of this repository, with the flags that the launcher uses. */
    @Test
    void theImageRunsAServiceAsTheLauncherDoes() throws java.io.IOException {
        String run = Repository.read(Repository.ROOT.resolve("docker/run"));
        String launcher =
                Repository.read(Repository.ROOT.resolve("cli/src/main/java/io/terminus/cli/Installation.java"));

        for (String flag : List.of(
                "-XX:+UseSerialGC",
                "-XX:+ExitOnOutOfMemoryError",
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=ALL-UNNAMED")) {
            assertThat(launcher).contains('"' + flag + '"');
            assertThat(run).contains(flag);
        }
        for (String program : List.of("run", "healthy", "terminus")) {
            assertThat(Files.isExecutable(Repository.ROOT.resolve("docker/" + program)))
                    .isTrue();
        }
    }

    private List<Tree> services() {
        return compose.at("services").map().keySet().stream()
                .map(name -> compose.at("services", name))
                .toList();
    }
}
