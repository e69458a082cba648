package io.terminus.cli;

import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The state of a set as its processes tell it: each of them has two open calls, for its health and its volumes, and says itself when
 * something has changed. Nobody is asked again and again.
 *
 * <p>A process that stands still, as a stopped one does, keeps its connections and says nothing: one that is silent for longer than {@link
 * #SILENCE} does not answer. Threads: two virtual ones for each process; {@link #report} and {@link #awaitChange} are the caller's.
 */
final class StatusWatch implements AutoCloseable {

    /** They say something every second, whether anything has changed or not. */
    private static final Duration SILENCE = Duration.ofSeconds(3);

    /** Calls have no deadline: this is for what is asked once. */
    private static final Duration DEADLINE = Duration.ofSeconds(2);

    private static final Duration AGAIN = Duration.ofMillis(300);

    /** What one process has said. */
    private static final class Said {
        boolean serving;

        /** It has said what volumes there are, or that it is not the one to say so. */
        boolean told;

        @Nullable
        List<VolumeStatus> volumes;

        /** By group, of those that it leads. */
        final Map<Integer, List<VolumeInfo>> locks = new HashMap<>();

        long heardAtNanos;
        boolean heard;

        boolean isFresh(long nowNanos) {
            return heard && nowNanos - heardAtNanos < SILENCE.toNanos();
        }
    }

    private final Installation installation;
    private final SetDirectory directory;
    private final PortPlan ports;
    private final int groups;
    private final Map<SetMember, Said> said = new EnumMap<>(SetMember.class);
    private final LockManagerClient lockManager;
    private final Map<SetMember, AgentClient> agents = new EnumMap<>(SetMember.class);
    private final List<Thread> threads = new ArrayList<>();
    private long changes;
    private volatile boolean closed;

    StatusWatch(Installation installation, SetDirectory directory, PortPlan ports) {
        this.installation = installation;
        this.directory = directory;
        this.ports = ports;
        this.groups = directory.loadExisting().lockManagerGroupCount();
        this.lockManager = new LockManagerClient(ports, DEADLINE);
        for (SetMember member : SetMember.of(ports.lockManagers())) {
            said.put(member, new Said());
            if (member.isAgent()) {
                AgentClient agent = new AgentClient(member, ports, DEADLINE);
                agents.put(member, agent);
                follow(
                        member,
                        () -> agent.connection().watchServing(serving -> hear(member, s -> s.serving = serving)));
                follow(
                        member,
                        () -> agent.watchVolumes(now -> hear(member, s -> {
                            s.volumes = now;
                            s.told = true;
                        })));
            } else {
                Connection connection = lockManager.connection(member);
                follow(member, () -> connection.watchServing(serving -> hear(member, s -> s.serving = serving)));
                for (int group = 0; group < groups; group++) {
                    int of = group;
                    follow(member, () -> watchVolumes(member, of, connection));
                }
            }
        }
    }

    /** As far as is known now. */
    StatusReport report() {
        // Read each time: another command may have started a process anew.
        ServiceSet set = new ServiceSet(installation, directory, directory.loadExisting());
        List<StatusReport.ProcessStatus> states = new ArrayList<>();
        Map<String, List<VolumeStatus>> views = new TreeMap<>();
        Map<Integer, List<VolumeInfo>> locks = new HashMap<>();
        long now = System.nanoTime();
        for (SetMember member : set.state().members()) {
            Optional<ProcessHandle> process = set.running(member);
            synchronized (this) {
                Said its = Objects.requireNonNull(said.get(member));
                // Whoever answers on the port of a process that is gone is somebody else.
                boolean answers = process.isPresent() && its.isFresh(now);
                states.add(StatusReport.ProcessStatus.of(member, directory, ports, process, answers && its.serving));
                List<VolumeStatus> volumes = its.volumes;
                if (answers && volumes != null) {
                    views.put(member.title(), volumes);
                }
                if (answers) {
                    locks.putAll(its.locks);
                }
            }
        }
        Optional<List<VolumeInfo>> all = locks.size() < groups
                ? Optional.empty()
                : Optional.of(locks.values().stream().flatMap(List::stream).toList());
        return new StatusReport(states, VolumeViews.merge(views, all));
    }

    /** Returns when every process that runs has said how it is and what it has, or after a time. */
    void awaitFirst(Duration atMost) {
        long until = System.nanoTime() + atMost.toNanos();
        while (System.nanoTime() - until < 0 && !isComplete()) {
            awaitChange(AGAIN);
        }
    }

    private boolean isComplete() {
        return report().processes().stream()
                .filter(StatusReport.ProcessStatus::running)
                .allMatch(process -> process.healthy() && hasTold(process.name()));
    }

    private synchronized boolean hasTold(String name) {
        return said.entrySet().stream().anyMatch(one -> one.getKey().title().equals(name) && one.getValue().told);
    }

    /** Returns when something was said, or after a time: then processes may have come, gone or fallen silent. */
    synchronized void awaitChange(Duration atMost) {
        long seen = changes;
        long until = System.nanoTime() + atMost.toNanos();
        try {
            for (long left = atMost.toMillis(); changes == seen && left > 0; ) {
                wait(left);
                left = (until - System.nanoTime()) / 1_000_000;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }

    /** Of a group only the one that leads can tell; whether the others are well is asked each time they refuse. */
    private void watchVolumes(SetMember member, int group, Connection connection) {
        try {
            lockManager.watchVolumes(
                    member,
                    group,
                    now -> hear(member, s -> {
                        s.locks.put(group, now);
                        s.told = true;
                    }));
        } catch (CallFailure e) {
            if (!connection.isServing()) {
                throw e;
            }
            hear(member, s -> {
                s.serving = true;
                s.locks.remove(group);
                s.told = true;
            });
        }
    }

    private void follow(SetMember member, Runnable call) {
        threads.add(Thread.ofVirtual().name("watch-" + member.title()).start(() -> {
            while (!closed) {
                try {
                    call.run();
                } catch (CallFailure e) {
                    forget(member);
                }
                pause();
            }
        }));
    }

    private synchronized void hear(SetMember member, Consumer<Said> what) {
        Said its = Objects.requireNonNull(said.get(member));
        what.accept(its);
        its.heardAtNanos = System.nanoTime();
        its.heard = true;
        changes++;
        notifyAll();
    }

    private synchronized void forget(SetMember member) {
        Said its = Objects.requireNonNull(said.get(member));
        if (its.heard) {
            its.heard = false;
            its.serving = false;
            its.told = false;
            its.volumes = null;
            its.locks.clear();
            changes++;
            notifyAll();
        }
    }

    private static void pause() {
        try {
            Thread.sleep(AGAIN);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        closed = true;
        lockManager.close();
        agents.values().forEach(AgentClient::close);
        threads.forEach(Thread::interrupt);
    }
}
