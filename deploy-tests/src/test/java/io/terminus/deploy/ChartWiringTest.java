package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the services of a release are told of each other and which keys they are given, for groups of lock managers and for TLS. */
class ChartWiringTest {

    private static final Path GROUP = Repository.CHART.resolve("ci/cluster.yaml");
    private static final String DOMAIN = "storage.svc.cluster.local";

    @Test
    void everyMemberKnowsAllPodsOfItsSetByTheirStableNamesAndAgentsKnowThemToo() {
        List<Tree> objects = Chart.objects(GROUP);
        List<String> pods = List.of("prod-terminus-lockmgr-0", "prod-terminus-lockmgr-1", "prod-terminus-lockmgr-2");

        Map<String, String> member = arguments(set(objects, "lockmgr"));
        Map<String, String> agent = arguments(set(objects, "agents"));

        assertThat(set(objects, "lockmgr").at("spec").number("replicas")).isEqualTo(pods.size());
        assertThat(member)
                .containsEntry("lockmgr.mode", "cluster")
                .containsEntry("lockmgr.cluster.node", "$(POD_NAME)");
        assertThat(member.getOrDefault("lockmgr.cluster.members", "").split(","))
                .containsExactlyElementsOf(pods.stream()
                        .map(pod -> "%s=%s:10821/%s:10811".formatted(pod, lockManagerHost(pod), lockManagerHost(pod)))
                        .toList());
        assertThat(agent.getOrDefault("agent.lock-manager", "").split(","))
                .containsExactlyElementsOf(pods.stream()
                        .map(pod -> lockManagerHost(pod) + ":10811")
                        .toList());
    }

    /** The group is formed when all members have answered, and none is ready before: one after the other none would ever be. */
    @Test
    void membersStartTogetherAreFoundBeforeTheyAreReadyAndGoOneAtATime() {
        List<Tree> objects = Chart.objects(GROUP);

        Tree names = named(objects, "Service", "prod-terminus-lockmgr-pods").at("spec");
        Tree budget =
                named(objects, "PodDisruptionBudget", "prod-terminus-lockmgr").at("spec");

        assertThat(set(objects, "lockmgr").at("spec").text("podManagementPolicy"))
                .isEqualTo("Parallel");
        assertThat(names.map()).containsEntry("publishNotReadyAddresses", true).containsEntry("clusterIP", "None");
        assertThat(names.list("ports")).anyMatch(port -> port.number("port") == 10821);
        assertThat(budget.map())
                .containsEntry("maxUnavailable", 1)
                .containsEntry("unhealthyPodEvictionPolicy", "IfHealthyBudget");
    }

    @ParameterizedTest
    @ValueSource(strings = {"lockmgr", "agents"})
    void twoPodsOfAKindDoNotShareANode(String kind) {
        Tree pod = set(Chart.objects(GROUP), kind).at("spec", "template");

        List<Tree> apart =
                pod.at("spec", "affinity", "podAntiAffinity").list("requiredDuringSchedulingIgnoredDuringExecution");

        assertThat(apart).singleElement().satisfies(term -> {
            assertThat(term.text("topologyKey")).isEqualTo("kubernetes.io/hostname");
            assertThat(pod.at("metadata", "labels").map().entrySet())
                    .containsAll(term.at("labelSelector", "matchLabels").map().entrySet());
        });
        assertThat(pod.at("spec").list("topologySpreadConstraints")).hasSize(1);
    }

    @Test
    void oneLockManagerIsNoGroup() {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("values.yaml"));

        assertThat(arguments(set(objects, "lockmgr")).keySet()).noneMatch(key -> key.startsWith("lockmgr.cluster"));
        assertThat(arguments(set(objects, "agents")))
                .containsEntry("agent.lock-manager", "prod-terminus-lockmgr." + DOMAIN + ":10811");
    }

    @ParameterizedTest
    @ValueSource(strings = {"cluster-tls-cert-manager", "cluster-tls-secrets", "tls-cert-manager"})
    void withKeysNoPortIsOpenWithoutThemAndProbesSpeakTls(String values) {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/" + values + ".yaml"));

        for (String kind : List.of("lockmgr", "agents")) {
            Map<String, String> arguments = arguments(set(objects, kind));
            String prefix = kind.equals("agents") ? "agent" : "lockmgr";
            assertThat(arguments)
                    .doesNotContainKey("terminus.insecure")
                    .containsKeys(prefix + ".tls.cert", prefix + ".tls.key", prefix + ".tls.ca");
            Tree container = set(objects, kind)
                    .at("spec", "template", "spec")
                    .list("containers")
                    .getFirst();
            for (String probe : List.of("startupProbe", "readinessProbe", "livenessProbe")) {
                assertThat(container.at(probe, "httpGet").text("scheme")).isEqualTo("HTTPS");
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"standalone", "cluster", "minimal", "restricted", "nbd-tls-secret"})
    void withoutKeysItIsSaidThatPortsAreOpen(String values) {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/" + values + ".yaml"));

        for (String kind : List.of("lockmgr", "agents")) {
            assertThat(arguments(set(objects, kind))).containsEntry("terminus.insecure", "true");
        }
    }

    /** A file that is named and not mounted is found out by the start of a pod only. */
    @ParameterizedTest
    @ValueSource(strings = {"cluster-tls-secrets", "tls-cert-manager"})
    void everyAgentFindsItsKeysBelowItsOwnName(String values) {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/" + values + ".yaml"));
        Tree set = set(objects, "agents");
        String name = set.at("metadata").text("name");

        List<String> mounted = set.at("spec", "template", "spec").list("volumes").stream()
                .filter(volume -> volume.text("name").equals("tls"))
                .flatMap(volume -> volume.at("projected").list("sources").stream())
                .flatMap(source -> source.at("secret").list("items").stream())
                .map(item -> item.text("path"))
                .toList();

        for (int i = 0; i < set.at("spec").number("replicas"); i++) {
            String pod = name + "-" + i;
            for (String key : List.of("cert", "key", "ca")) {
                String file =
                        arguments(set).getOrDefault("agent.tls." + key, "").replace("$(POD_NAME)", pod);
                assertThat(mounted).contains(file.replace("/etc/terminus/tls/", ""));
            }
        }
    }

    /** Whoever connects asks for the host's name, and the service for who the certificate's owner is. */
    @Test
    void certificatesNameTheirOwnersAndTheHostsTheyAreReachedAt() {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/tls-cert-manager.yaml"));

        Tree lockManager = named(objects, "Certificate", "blocks-lockmgr").at("spec");
        Tree tools = named(objects, "Certificate", "blocks-tools").at("spec");

        assertThat(lockManager.texts("uris")).contains("terminus:role/lockmgr");
        assertThat(lockManager.texts("dnsNames"))
                .contains("blocks-lockmgr." + DOMAIN, "*.blocks-lockmgr-pods." + DOMAIN, "blocks-lockmgr");
        assertThat(tools.texts("uris")).containsExactly("terminus:role/admin");
        for (String pod :
                IntStream.range(0, 2).mapToObj(i -> "blocks-agents-" + i).toList()) {
            Tree agent = named(objects, "Certificate", pod).at("spec");
            assertThat(agent.texts("uris")).containsExactly("terminus:agent/" + pod);
            assertThat(agent.texts("dnsNames"))
                    .contains(pod + ".blocks-agents." + DOMAIN, "blocks-nbd", "blocks-agents");
        }
    }

    @Test
    void aDriverMakesEachAgentsKeysInItsPod() {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/cluster-tls-cert-manager.yaml"));

        Tree attributes = set(objects, "agents").at("spec", "template", "spec").list("volumes").stream()
                .filter(volume -> volume.text("name").equals("tls"))
                .findFirst()
                .orElseThrow()
                .at("csi", "volumeAttributes");

        assertThat(attributes.text("csi.cert-manager.io/uri-sans")).isEqualTo("terminus:agent/${POD_NAME}");
        assertThat(attributes.text("csi.cert-manager.io/dns-names").split(","))
                .contains("${POD_NAME}.prod-terminus-agents.${POD_NAMESPACE}.svc.cluster.local");
        assertThat(attributes.map().values()).allMatch(value -> value instanceof String);
        assertThat(objects)
                .filteredOn(object -> object.text("kind").equals("Certificate"))
                .extracting(object -> object.at("metadata").text("name"))
                .containsExactly(
                        "prod-terminus-lockmgr",
                        "prod-terminus-tools",
                        "prod-terminus-toolbox",
                        "prod-terminus-monitoring");
    }

    @Test
    void theToolboxKnowsAllLockManagersAndHasACertificateOfItsOwn() {
        List<Tree> objects = Chart.objects(Repository.CHART.resolve("ci/cluster-tls-cert-manager.yaml"));

        Tree toolbox = named(objects, "Deployment", "prod-terminus-toolbox");
        Tree certificate =
                named(objects, "Certificate", "prod-terminus-toolbox").at("spec");

        assertThat(environment(toolbox)
                        .getOrDefault("TERMINUS_LOCK_MANAGERS", "")
                        .split(","))
                .hasSize(5)
                .contains(lockManagerHost("prod-terminus-lockmgr-4") + ":10811");
        assertThat(environment(toolbox)).containsKeys("TERMINUS_TLS_CERT", "TERMINUS_TLS_KEY", "TERMINUS_TLS_CA");
        assertThat(certificate.texts("uris")).containsExactly("terminus:role/operator");
        assertThat(toolbox.at("spec", "template", "spec").list("volumes"))
                .anyMatch(volume -> volume.at("secret").text("secretName").equals(certificate.text("secretName")));
        assertThat(Chart.objects(Repository.CHART.resolve("values.yaml")))
                .noneMatch(object -> object.text("kind").equals("Deployment"));
    }

    @Test
    void tracesAreAskedForOfBothServicesAndOnlyIfTheyAreWanted() {
        for (String kind : List.of("lockmgr", "agents")) {
            assertThat(environment(set(Chart.objects(GROUP), kind)))
                    .containsEntry("OTEL_TRACES_EXPORTER", "otlp")
                    .containsEntry("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.observability:4318")
                    .containsEntry("OTEL_TRACES_SAMPLER_ARG", "0.01");
            assertThat(environment(set(Chart.objects(Repository.CHART.resolve("values.yaml")), kind))
                            .keySet())
                    .noneMatch(variable -> variable.startsWith("OTEL_"));
        }
    }

    private static Map<String, String> environment(Tree set) {
        Map<String, String> environment = new LinkedHashMap<>();
        set.at("spec", "template", "spec")
                .list("containers")
                .getFirst()
                .list("env")
                .forEach(variable -> environment.put(variable.text("name"), variable.text("value")));
        return environment;
    }

    private static String lockManagerHost(String pod) {
        return pod + ".prod-terminus-lockmgr-pods." + DOMAIN;
    }

    private static Tree set(List<Tree> objects, String kind) {
        return objects.stream()
                .filter(object -> object.text("kind").equals("StatefulSet"))
                .filter(object -> object.at("metadata").text("name").endsWith("-" + kind))
                .findFirst()
                .orElseThrow();
    }

    private static Tree named(List<Tree> objects, String kind, String name) {
        List<Tree> found = new ArrayList<>(objects.stream()
                .filter(object -> object.text("kind").equals(kind))
                .filter(object -> object.at("metadata").text("name").equals(name))
                .toList());
        assertThat(found).as("%s %s", kind, name).hasSize(1);
        return found.getFirst();
    }

    private static Map<String, String> arguments(Tree set) {
        Map<String, String> arguments = new LinkedHashMap<>();
        for (String argument :
                set.at("spec", "template", "spec").list("containers").getFirst().texts("args")) {
            String[] parts = argument.substring(2).split("=", 2);
            assertThat(arguments.put(parts[0], parts[1]))
                    .as("--%s twice", parts[0])
                    .isNull();
        }
        return arguments;
    }
}
