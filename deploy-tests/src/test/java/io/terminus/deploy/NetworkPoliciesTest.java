package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Who reaches whom, as a cluster reads the policies: what they do not let out of the one and into the other does not pass. */
class NetworkPoliciesTest {

    private static final Path GROUP = Repository.CHART.resolve("ci/cluster.yaml");
    private static final Path ALONE = Repository.CHART.resolve("ci/standalone.yaml");

    @ParameterizedTest
    @CsvSource(textBlock = """
            agent, agent, peer
            agent, agent, grpc
            # One that does not write a volume relays its clients to the one that does.
            agent, agent, nbd
            agent, lockmgr, grpc
            # What the console shows of volumes it asks the agents.
            lockmgr, agent, grpc
            tools, agent, grpc
            tools, agent, rest
            tools, agent, nbd
            """)
    void whatThePartsSayToEachOtherPasses(String from, String to, String port) {
        assertThat(passes(GROUP, from, to, port)).isTrue();
        assertThat(passes(ALONE, from, to, port)).isTrue();
    }

    /** It is there only where it was asked for. */
    @ParameterizedTest
    @CsvSource({"lockmgr, grpc", "lockmgr, rest", "agent, grpc", "agent, rest", "agent, nbd"})
    void peopleInTheToolboxReachWhatTheyAdminister(String to, String port) {
        assertThat(passes(GROUP, "toolbox", to, port)).isTrue();
        assertThat(allows(rules(ALONE, to, "ingress"), "from", "toolbox", port)).isFalse();
    }

    @ParameterizedTest
    @CsvSource({"raft", "grpc"})
    void membersOfAGroupReachEachOtherAndOneAloneReachesNobodyLikeIt(String port) {
        assertThat(passes(GROUP, "lockmgr", "lockmgr", port)).isTrue();
        assertThat(passes(ALONE, "lockmgr", "lockmgr", port)).isFalse();
    }

    @ParameterizedTest
    @CsvSource({
        "agent, lockmgr, raft",
        "tools, lockmgr, raft",
        "tools, lockmgr, grpc",
        "toolbox, lockmgr, raft",
        "toolbox, agent, peer",
        "agent, toolbox, grpc",
        "lockmgr, agent, peer",
        "lockmgr, agent, nbd",
        "lockmgr, tools, grpc",
        "agent, lockmgr, rest"
    })
    void whatNobodyNeedsDoesNotPass(String from, String to, String port) {
        assertThat(passes(GROUP, from, to, port)).isFalse();
    }

    /** Without names nobody finds anybody. */
    @ParameterizedTest
    @CsvSource({"agent", "lockmgr", "tools", "toolbox"})
    void everyPartMayAskForNames(String from) {
        assertThat(rules(GROUP, from, "egress"))
                .anyMatch(rule -> !rule.map().containsKey("to")
                        && rule.list("ports").stream()
                                .anyMatch(port -> port.text("port").equals("53")));
    }

    private static boolean passes(Path values, String from, String to, String port) {
        return allows(rules(values, from, "egress"), "to", to, port)
                && allows(rules(values, to, "ingress"), "from", from, port);
    }

    private static boolean allows(List<Tree> rules, String side, String component, String port) {
        return rules.stream()
                .anyMatch(rule -> rule.list("ports").stream()
                                .anyMatch(one -> one.text("port").equals(port))
                        && rule.list(side).stream().anyMatch(peer -> selects(peer, component)));
    }

    /** Clients and monitoring are pods of somebody else: an empty selector does not count as one of ours here. */
    private static boolean selects(Tree peer, String component) {
        return peer.at("podSelector", "matchLabels").map().equals(labels(component));
    }

    private static List<Tree> rules(Path values, String component, String direction) {
        List<Tree> policies = Chart.objects(values).stream()
                .filter(object -> object.text("kind").equals("NetworkPolicy"))
                .filter(policy ->
                        policy.at("spec", "podSelector", "matchLabels").map().equals(labels(component)))
                .toList();
        assertThat(policies).as("policies of %s", component).hasSize(1);
        return policies.getFirst().at("spec").list(direction);
    }

    private static Map<String, Object> labels(String component) {
        return Map.of(
                "app.kubernetes.io/name", "terminus",
                "app.kubernetes.io/instance", "prod",
                "app.kubernetes.io/component", component);
    }
}
