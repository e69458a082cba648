package io.terminus.cli;

import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Asks every process of a set how it is, all at once and each for at most two seconds: a stopped process, which takes
 * connections and never answers, makes a report late but never hangs it.
 *
 * <p>Keeps its connections, so that a status that is shown again and again costs little. One thread at a time.
 */
final class StatusProbe implements AutoCloseable {

    private static final Duration DEADLINE = Duration.ofSeconds(2);

    private final Installation installation;
    private final SetDirectory directory;
    private final PortPlan ports;
    private final LockManagerClient lockManager;
    private final Map<SetMember, Connection> lockManagers = new EnumMap<>(SetMember.class);
    private final Map<SetMember, AgentClient> agents = new EnumMap<>(SetMember.class);
    private final ExecutorService calls = Executors.newVirtualThreadPerTaskExecutor();

    StatusProbe(Installation installation, SetDirectory directory, PortPlan ports) {
        this.installation = installation;
        this.directory = directory;
        this.ports = ports;
        this.lockManager = new LockManagerClient(ports, DEADLINE);
        for (SetMember member : ports.lockManagerMembers()) {
            lockManagers.put(member, new Connection(member, ports, DEADLINE));
        }
        for (SetMember agent : SetMember.AGENTS) {
            agents.put(agent, new AgentClient(agent, ports, DEADLINE));
        }
    }

    StatusReport report() {
        // Read each time: another command may have started a process anew.
        ServiceSet set = new ServiceSet(installation, directory, directory.loadExisting());
        Map<SetMember, Optional<ProcessHandle>> processes = new EnumMap<>(SetMember.class);
        Map<SetMember, Future<Boolean>> health = new EnumMap<>(SetMember.class);
        Map<SetMember, Future<List<VolumeStatus>>> volumes = new EnumMap<>(SetMember.class);
        Optional<Future<List<VolumeInfo>>> locks = Optional.empty();
        for (SetMember member : set.state().members()) {
            Optional<ProcessHandle> process = set.running(member);
            processes.put(member, process);
            // Whoever answers on the port of a process that is gone is somebody else.
            if (process.isEmpty()) {
                continue;
            }
            AgentClient agent = agents.get(member);
            Connection connection = lockManagers.get(member);
            if (connection != null) {
                health.put(member, calls.submit(connection::isServing));
                if (locks.isEmpty()) {
                    locks = Optional.of(calls.submit(lockManager::volumes));
                }
            } else if (agent != null) {
                health.put(member, calls.submit(() -> agent.connection().isServing()));
                volumes.put(member, calls.submit(volumesOf(agent)));
            }
        }
        List<StatusReport.ProcessStatus> states = new ArrayList<>();
        for (SetMember member : set.state().members()) {
            Future<Boolean> answer = health.get(member);
            states.add(StatusReport.ProcessStatus.of(
                    member,
                    directory,
                    ports,
                    processes.getOrDefault(member, Optional.empty()),
                    answer != null && result(answer).orElse(false)));
        }
        Map<String, List<VolumeStatus>> views = new TreeMap<>();
        volumes.forEach((agent, answer) -> result(answer).ifPresent(seen -> views.put(agent.title(), seen)));
        return new StatusReport(states, VolumeViews.merge(views, locks.flatMap(StatusProbe::result)));
    }

    private static Callable<List<VolumeStatus>> volumesOf(AgentClient agent) {
        return agent::volumes;
    }

    /** Empty when the process did not answer. */
    private static <T> Optional<T> result(Future<T> answer) {
        try {
            return Optional.of(answer.get());
        } catch (ExecutionException e) {
            if (e.getCause() instanceof CallFailure) {
                return Optional.empty();
            }
            throw new IllegalStateException("asking a process for its state failed", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted while asking for the state of the set", e);
        }
    }

    @Override
    public void close() {
        calls.shutdownNow();
        lockManager.close();
        lockManagers.values().forEach(Connection::close);
        agents.values().forEach(AgentClient::close);
    }
}
