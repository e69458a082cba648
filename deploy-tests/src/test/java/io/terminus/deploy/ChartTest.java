package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.marcnuri.helm.LintResult;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class ChartTest {

    @TempDir
    Path scratch;

    static List<Path> valueSets() {
        List<Path> sets = new ArrayList<>(Repository.list(Repository.CHART.resolve("ci")));
        sets.add(Repository.CHART.resolve("values.yaml"));
        return sets;
    }

    @Test
    void helmHasNothingToSayAgainstIt() {
        LintResult result = Chart.lint();

        assertThat(result.isFailed()).as("%s", result.getMessages()).isFalse();
        assertThat(result.getMessages()).noneMatch(message -> message.contains("WARNING") || message.contains("ERROR"));
    }

    @ParameterizedTest
    @MethodSource("valueSets")
    void everyObjectIsOneThatKubernetesKnows(Path values) {
        List<Tree> objects = Chart.objects(values);

        assertThat(objects).hasSizeGreaterThan(5);
        assertThat(objects)
                .allSatisfy(object -> assertThat(KubernetesSchema.complaint(object))
                        .as("%s %s", object.text("kind"), object.at("metadata").text("name"))
                        .isNull());
    }

    /** So that the test above can fail: what a cluster would refuse is refused here. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {port: [{port: 1}]}}                                                     | `port` in the JSON
            {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{name: x}]}}                                                    | `port` is not found
            {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, readinessProbe: {httpGet: {porch: 1, port: 2}}}]}}   | `porch`
            {apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: many, selector: {}, template: {}}}                   | many
            {apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}}                                                                         | not known here
            {apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: a}, spec: {endpoints: [{portt: a}]}}                  | portt
            {apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: a}, spec: {groups: [{name: a, rules: [{alarm: b}]}]}} | alarm
            {apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: a}, spec: {secretNames: a}}                                    | secretNames
            """)
    void whatAClusterWouldRefuseIsRefused(String object, String why) {
        String complaint = KubernetesSchema.complaint(Tree.one(object));

        assertThat(complaint).isNotNull().contains(why);
    }

    @ParameterizedTest
    @MethodSource("valueSets")
    void everyPodPassesTheRestrictedStandard(Path values) {
        List<Tree> pods = Chart.objects(values).stream()
                .map(ChartTest::podSpec)
                .filter(pod -> !pod.map().isEmpty())
                .toList();

        assertThat(pods).hasSizeGreaterThanOrEqualTo(2);
        assertThat(pods).allSatisfy(pod -> {
            assertThat(pod.map()).doesNotContainKeys("hostNetwork", "hostPID", "hostIPC");
            assertThat(pod.map()).containsEntry("automountServiceAccountToken", false);
            Tree context = pod.at("securityContext");
            assertThat(context.map()).containsEntry("runAsNonRoot", true);
            assertThat(context.at("seccompProfile").map()).containsEntry("type", "RuntimeDefault");
            for (Tree volume : pod.list("volumes")) {
                assertThat(Set.of("configMap", "emptyDir", "secret", "projected", "csi", "persistentVolumeClaim"))
                        .containsAnyElementsOf(volume.map().keySet());
            }
            for (Tree container : pod.list("containers")) {
                Tree own = container.at("securityContext");
                assertThat(own.map())
                        .containsEntry("allowPrivilegeEscalation", false)
                        .containsEntry("readOnlyRootFilesystem", true);
                assertThat(own.at("capabilities").texts("drop")).containsExactly("ALL");
                assertThat(container.at("resources", "limits").map()).containsKey("memory");
                assertThat(container.list("ports")).noneMatch(port -> port.map().containsKey("hostPort"));
            }
        });
    }

    /** Names that objects call each other by: the cluster finds none of these mistakes until something does not work. */
    @ParameterizedTest
    @MethodSource("valueSets")
    void whatIsNamedIsThere(Path values) {
        List<Tree> objects = Chart.objects(values);
        Map<String, Set<String>> names = new HashMap<>();
        Set<Map<String, Object>> podLabels = new HashSet<>();
        Set<String> portNames = new TreeSet<>();
        for (Tree object : objects) {
            names.computeIfAbsent(object.text("kind"), kind -> new TreeSet<>())
                    .add(object.at("metadata").text("name"));
            if (!podSpec(object).map().isEmpty()) {
                podLabels.add(podLabels(object));
                podSpec(object)
                        .list("containers")
                        .forEach(
                                container -> container.list("ports").forEach(port -> portNames.add(port.text("name"))));
            }
        }
        Tree given = Tree.one(Repository.read(values));
        Set<String> secrets = new HashSet<>(Set.of(given.at("nbd", "tls").text("existingSecret")));
        Tree keys = given.at("tls", "existingSecrets");
        keys.map().keySet().forEach(who -> secrets.add(keys.text(who)));
        for (int agent = 0; agent < 8; agent++) {
            secrets.add(keys.text("agents") + "-" + agent);
        }
        objects.stream()
                .filter(object -> object.text("kind").equals("Certificate"))
                .forEach(object -> secrets.add(object.at("spec").text("secretName")));

        assertThat(objects).allSatisfy(object -> {
            Tree spec = object.at("spec");
            switch (object.text("kind")) {
                case "Service" -> assertThat(podLabels).anyMatch(selectedBy(spec.at("selector")));
                case "PodDisruptionBudget" ->
                    assertThat(podLabels).anyMatch(selectedBy(spec.at("selector", "matchLabels")));
                case "StatefulSet" -> {
                    assertThat(names.get("Service")).contains(spec.text("serviceName"));
                    assertThat(selectedBy(spec.at("selector", "matchLabels"))).accepts(podLabels(object));
                }
                case "Deployment" ->
                    assertThat(selectedBy(spec.at("selector", "matchLabels"))).accepts(podLabels(object));
                case "ServiceMonitor" ->
                    assertThat(objects).anySatisfy(service -> {
                        assertThat(service.text("kind")).isEqualTo("Service");
                        assertThat(selectedBy(spec.at("selector", "matchLabels")))
                                .accepts(service.at("metadata", "labels").map());
                        assertThat(service.at("spec").list("ports"))
                                .anyMatch(port -> port.text("name").equals("rest"));
                        for (Tree endpoint : spec.list("endpoints")) {
                            Tree tls = endpoint.at("tlsConfig");
                            if (!tls.map().isEmpty()) {
                                assertThat(secrets)
                                        .contains(
                                                tls.at("keySecret").text("name"),
                                                tls.at("cert", "secret").text("name"),
                                                tls.at("ca", "secret").text("name"));
                            }
                        }
                    });
                case "NetworkPolicy" -> {
                    for (String direction : List.of("ingress", "egress")) {
                        for (Tree rule : spec.list(direction)) {
                            assertThat(rule.list("ports"))
                                    .allMatch(port -> port.value("port") instanceof Integer
                                            || portNames.contains(port.text("port")));
                        }
                    }
                }
                default -> {}
            }
            Tree pod = podSpec(object);
            for (Tree volume : pod.list("volumes")) {
                if (volume.map().containsKey("configMap")) {
                    assertThat(names.get("ConfigMap"))
                            .contains(volume.at("configMap").text("name"));
                }
                if (volume.map().containsKey("secret")) {
                    assertThat(secrets).contains(volume.at("secret").text("secretName"));
                }
                for (Tree source : volume.at("projected").list("sources")) {
                    assertThat(secrets).contains(source.at("secret").text("name"));
                }
            }
            List<String> volumes = new ArrayList<>(pod.list("volumes").stream()
                    .map(volume -> volume.text("name"))
                    .toList());
            spec.list("volumeClaimTemplates")
                    .forEach(claim -> volumes.add(claim.at("metadata").text("name")));
            for (Tree container : pod.list("containers")) {
                assertThat(container.list("volumeMounts")).allMatch(mount -> volumes.contains(mount.text("name")));
            }
        });
    }

    @ParameterizedTest
    @MethodSource("valueSets")
    void servicesAreGivenSettingsThatTheyHave(Path values) {
        Set<String> known = ConfigurationReference.keys();

        List<String> given = Chart.objects(values).stream()
                .flatMap(object -> podSpec(object).list("containers").stream())
                .flatMap(container -> container.texts("args").stream())
                .filter(argument -> argument.startsWith("--"))
                .map(argument -> argument.substring(2).split("=", 2)[0])
                .toList();

        assertThat(given).contains("agent.name", "lockmgr.bind-address");
        assertThat(known).containsAll(given);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            agents: {replica: 3}                                                                     | replica
            agents: {replicas: 0}                                                                    | replicas
            lockManager: {replicas: 2}                                                               | replicas
            lockManager: {settings: {cluster.node: x}}                                               | invalid propertyName 'cluster.node'
            tls: {enabled: true}                                                                     | tls.existingSecrets.tools is needed
            tls: {enabled: true, existingSecrets: {tools: t, agents: a}}                             | tls.existingSecrets.lockManager is needed
            tls: {enabled: true, existingSecrets: {tools: t, lockManager: l}}                        | tls.existingSecrets.agents is needed
            tls: {enabled: true, certManager: {enabled: true}}                                       | tls.certManager.issuerRef.name is needed
            tls: {enabled: true, certManager: {enabled: true, csiDriver: true}}                      | tls.certManager.issuerRef.name is needed
            {tls: {enabled: true, existingSecrets: {tools: t, lockManager: l, agents: a}}, tools: {toolbox: {enabled: true}}} | tls.existingSecrets.toolbox is needed
            tools: {toolbox: {role: client}}                                                         | role
            agents: {antiAffinity: sometimes}                                                        | antiAffinity
            agents: {settings: {name: x}}                                                            | invalid propertyName 'name'
            agents: {storage: {size: much}}                                                          | size
            volumes: [{name: a b, size: 1GiB, replicas: [0]}]                                        | name
            volumes: [{name: a, size: 1GiB, replicas: [0, 0]}]                                       | replicas
            volumes: [{name: a, size: 1GiB, replicas: [0, 3]}]                                       | volume a names agent 3, and there are 3: 0 to 2
            nbd: {tls: {enabled: true}}                                                              | nbd.tls.existingSecret is needed
            nbd: {tls: {enabled: true, certManager: {enabled: true}}}                                | issuerRef.name is needed
            tracing: {enabled: true}                                                                 | tracing.endpoint is needed
            tracing: {share: 12}                                                                     | share
            monitoring: {prometheusRule: {disable: [x]}}                                             | disable
            """)
    void valuesThatBreakARuleAreRefusedByName(String values, String named) {
        assertThatThrownBy(() -> Chart.objectsOf(scratch, values)).hasMessageContaining(named);
    }

    @Test
    void anAlertThatIsDisabledIsLeftOutAndTheOthersLinkToTheirRunbook() {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/standalone.yaml"));

        List<Tree> rules = objects.stream()
                .filter(object -> object.text("kind").equals("PrometheusRule"))
                .flatMap(object -> object.at("spec").list("groups").stream())
                .flatMap(group -> group.list("rules").stream())
                .toList();

        assertThat(rules)
                .extracting(rule -> rule.text("alert"))
                .contains("TerminusVolumeNotServed")
                .doesNotContain("TerminusDeadlocks");
        assertThat(rules)
                .allSatisfy(rule -> assertThat(rule.at("annotations").text("runbook_url"))
                        .startsWith("https://example.org/terminus/operations#terminus"));
    }

    @Test
    void aStopHasMoreTimeThanTheServiceTakesForIt() {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("values.yaml"));

        assertThat(objects)
                .filteredOn(object -> object.text("kind").equals("StatefulSet"))
                .hasSize(2)
                .allSatisfy(object -> {
                    String service = object.at("metadata").text("name").endsWith("-agents")
                            ? "replication-agent"
                            : "lockmgr-service";
                    int phase = shutdownPhaseSeconds(service);
                    assertThat(podSpec(object).number("terminationGracePeriodSeconds"))
                            .isGreaterThan(2 * phase);
                });
    }

    private static int shutdownPhaseSeconds(String service) {
        return Repository.read(Repository.ROOT.resolve(service + "/src/main/resources/application.properties"))
                .lines()
                .filter(line -> line.startsWith("spring.lifecycle.timeout-per-shutdown-phase="))
                .map(line -> Integer.parseInt(line.replaceAll("[^0-9]", "")))
                .findFirst()
                .orElseThrow();
    }

    private static java.util.function.Predicate<Map<String, Object>> selectedBy(Tree selector) {
        return labels -> !selector.map().isEmpty()
                && labels.entrySet().containsAll(selector.map().entrySet());
    }

    private static Map<String, Object> podLabels(Tree object) {
        Tree template = object.text("kind").equals("Pod") ? object : object.at("spec", "template");
        return template.at("metadata", "labels").map();
    }

    private static Tree podSpec(Tree object) {
        return switch (object.text("kind")) {
            case "Pod" -> object.at("spec");
            case "StatefulSet", "Deployment", "Job" -> object.at("spec", "template", "spec");
            default -> new Tree(Map.of());
        };
    }
}
