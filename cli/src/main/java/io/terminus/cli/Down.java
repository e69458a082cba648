package io.terminus.cli;

import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * Stops a set: the agent that writes first, so that its replica can take what is still under way, then the other one, then
 * the lock manager, which both need until the end to give their locks back.
 */
final class Down {

    private static final Duration CALL_DEADLINE = Duration.ofSeconds(2);

    private Down() {}

    /** @return the exit code: 1 when a process had to be killed */
    static int stopSet(Installation installation, SetDirectory directory, Screen screen) {
        if (!Files.isDirectory(directory.path())) {
            screen.line("There is no set in " + directory.path() + ".");
            return 0;
        }
        try (SetDirectory.Hold hold = directory.hold(screen::line)) {
            Objects.requireNonNull(hold);
            Optional<SetState> state = directory.load();
            if (state.isEmpty()) {
                screen.line("There is no set in " + directory.path() + ".");
                return 0;
            }
            ServiceSet set = new ServiceSet(installation, directory, state.get());
            boolean anything = state.get().members().stream()
                    .anyMatch(member -> set.runningOrStray(member).isPresent());
            if (!anything) {
                set.stop(state.get().members(), screen::line);
                screen.line("The set in " + directory.path() + " is not running.");
                return 0;
            }
            List<SetMember> order = new ArrayList<>(agentsWriterFirst(set));
            order.addAll(state.get().ports().lockManagerMembers());
            boolean clean = set.stop(order, screen::line);
            screen.line("The set in " + directory.path() + " is stopped; its data stays there.");
            return clean ? 0 : 1;
        }
    }

    private static List<SetMember> agentsWriterFirst(ServiceSet set) {
        List<SetMember> agents = new ArrayList<>(SetMember.AGENTS);
        List<SetMember> writers =
                agents.stream().filter(agent -> isWriter(set, agent)).toList();
        agents.sort(Comparator.comparing(agent -> !writers.contains(agent)));
        return agents;
    }

    private static boolean isWriter(ServiceSet set, SetMember agent) {
        if (set.running(agent).isEmpty()) {
            return false;
        }
        try (AgentClient client = new AgentClient(agent, set.state().ports(), CALL_DEADLINE)) {
            return client.volumes().stream().map(VolumeStatus::getRole).anyMatch(role -> role == Role.WRITER);
        } catch (CallFailure unknown) {
            return false;
        }
    }
}
