package io.terminus.cli;

import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.Standing;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Brings a set up: starts what does not run, waits until it serves, makes the volume that comes with it, waits until that
 * can be used.
 *
 * <p>Whoever starts a whole set in the foreground owns it: Ctrl-C or SIGTERM stops it all. While it is starting, a failure
 * or Ctrl-C stops what this call started and nothing else.
 */
final class Up {

    static final String VOLUME = "demo";
    static final long DEFAULT_SIZE_BYTES = 1L << 30;

    private static final Duration CALL_DEADLINE = Duration.ofSeconds(2);
    /** Creating a volume writes its first journal segment at every replica. */
    private static final Duration CREATE_DEADLINE = Duration.ofSeconds(60);

    private static final Duration POLL = Duration.ofMillis(100);
    private static final Duration REDRAW = Duration.ofSeconds(1);
    private static final Duration PLAIN_LINE = Duration.ofSeconds(5);
    private static final int INTERRUPTED = 130;

    /**
     * @param size null: as it is, or 1 GiB for a new set
     * @param portBase null: as it is, or the default for a new set
     * @param lockManagers null: as it is, or one for a new set
     * @param lockManagerGroups null: as it is, or one for a new set
     * @param patience how long the set may take until its volume can be used
     * @param tls a new set has TLS on all ports, with certificates of its own
     */
    record Options(
            boolean detach,
            @Nullable ByteSize size,
            @Nullable Integer portBase,
            @Nullable Integer lockManagers,
            @Nullable Integer lockManagerGroups,
            Duration patience,
            boolean tls) {}

    private enum Phase {
        STARTING,
        OWNING,
        DONE
    }

    private final Installation installation;
    private final SetDirectory directory;
    private final Screen screen;
    private final Options options;

    private final AtomicReference<Phase> phase = new AtomicReference<>(Phase.STARTING);
    /** Guards starting against the shutdown hook: once that runs, nothing more is started. */
    private final Object starting = new Object();

    private final List<SetMember> started = new ArrayList<>();
    private volatile boolean interrupted;

    Up(Installation installation, SetDirectory directory, Screen screen, Options options) {
        this.installation = installation;
        this.directory = directory;
        this.screen = screen;
        this.options = options;
    }

    /** @return the exit code */
    int run() {
        directory.create();
        boolean usable;
        ServiceSet set;
        try (SetDirectory.Hold hold = directory.hold(screen::line)) {
            Objects.requireNonNull(hold);
            Optional<SetState> known = directory.load();
            SetState state = known.map(this::checked).orElseGet(this::fresh);
            set = new ServiceSet(
                    installation, directory, state.withJava(installation.java().toString()));
            List<SetMember> missing = missing(set, known.isPresent());
            if (missing.isEmpty()) {
                screen.line("The set in " + directory.path() + " is running.");
                phase.set(Phase.DONE);
                show(set);
                return 0;
            }
            checkPorts(set, missing);
            Thread hook = new Thread(() -> atShutdown(set), "stop-set");
            Runtime.getRuntime().addShutdownHook(hook);
            boolean volumeExists = false;
            try {
                start(set, missing);
                awaitServing(set);
                volumeExists = true;
                usable = awaitVolume(set);
            } catch (RuntimeException e) {
                abandon(set, known.isEmpty() && !volumeExists);
                throw e;
            }
            if (options.detach() || missing.size() < set.state().members().size()) {
                phase.set(Phase.DONE);
                show(set);
                return usable ? 0 : 1;
            }
        }
        // Only now: the shutdown hook of an owner takes the directory's lock itself.
        phase.set(Phase.OWNING);
        screen.line("The set in " + directory.path() + " is up. Ctrl-C stops it.");
        return watch(set);
    }

    private SetState fresh() {
        ByteSize size = options.size();
        Integer portBase = options.portBase();
        Integer lockManagers = options.lockManagers();
        Integer groups = options.lockManagerGroups();
        if (groups != null && groups > 1 && (lockManagers == null || lockManagers == 1)) {
            throw new Failure("--lock-manager-groups of " + groups + " needs --lock-managers 3 or 5");
        }
        return new SetState(
                SetState.VERSION,
                UUID.randomUUID().toString(),
                portBase == null ? PortPlan.DEFAULT_BASE : portBase,
                size == null ? DEFAULT_SIZE_BYTES : size.bytes(),
                options.lockManagers(),
                options.lockManagerGroups(),
                installation.java().toString(),
                Map.of(),
                options.tls() ? SetCertificates.make(directory) : null);
    }

    /** Replicas know each other by address and a volume cannot be resized, so neither may change under a set. */
    private SetState checked(SetState known) {
        Integer portBase = options.portBase();
        if (portBase != null && portBase != known.portBase()) {
            throw new Failure("the set in " + directory.path() + " uses ports from " + known.portBase()
                    + " on, not from " + portBase + ": leave --port-base away, or name another --dir");
        }
        ByteSize size = options.size();
        if (size != null && size.bytes() != known.sizeBytes()) {
            throw new Failure("the volume " + VOLUME + " in " + directory.path() + " has "
                    + new ByteSize(known.sizeBytes()) + ", not " + size
                    + ": leave --size away, or name another --dir");
        }
        Integer lockManagers = options.lockManagers();
        if (lockManagers != null && lockManagers != known.lockManagerCount()) {
            throw new Failure("the set in " + directory.path() + " has " + known.lockManagerCount()
                    + " lock managers, not " + lockManagers + ": leave --lock-managers away, or name another --dir");
        }
        Integer groups = options.lockManagerGroups();
        if (groups != null && groups != known.lockManagerGroupCount()) {
            throw new Failure("the lock managers of the set in " + directory.path() + " have "
                    + known.lockManagerGroupCount() + " groups, not " + groups
                    + ": leave --lock-manager-groups away, or name another --dir");
        }
        if (options.tls() && known.tls() == null) {
            throw new Failure("the set in " + directory.path()
                    + " was made without TLS: leave --tls away, or name another --dir");
        }
        return known;
    }

    private static List<SetMember> missing(ServiceSet set, boolean mayRun) {
        List<SetMember> missing = new ArrayList<>();
        for (SetMember member : set.state().members()) {
            if (!mayRun || set.runningOrStray(member).isEmpty()) {
                missing.add(member);
            }
        }
        return missing;
    }

    /** Asked before anything is started, because three processes that fail over one port say it less clearly. */
    private static void checkPorts(ServiceSet set, List<SetMember> members) {
        for (SetMember member : members) {
            for (PortPlan.Use use : set.state().ports().uses(member)) {
                try (ServerSocket socket = new ServerSocket()) {
                    socket.setReuseAddress(true);
                    socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), use.port()));
                } catch (IOException e) {
                    throw new Failure(
                            "port " + use.port() + " (" + use.purpose() + ") cannot be used: " + SetDirectory.reason(e)
                                    + "; --port-base moves a new set to other ports",
                            e);
                }
            }
        }
    }

    private void start(ServiceSet set, List<SetMember> members) {
        for (SetMember member : members) {
            synchronized (starting) {
                if (interrupted) {
                    throw new Failure("interrupted");
                }
                screen.line("Starting " + member.title() + ", log in " + directory.log(member));
                set.start(member);
                started.add(member);
            }
        }
    }

    private void awaitServing(ServiceSet set) {
        long deadlineNanos = System.nanoTime() + options.patience().toNanos();
        Map<SetMember, Connection> waiting = new EnumMap<>(SetMember.class);
        try {
            for (SetMember member : set.state().members()) {
                waiting.put(member, new Connection(member, set.state().ports(), CALL_DEADLINE));
            }
            while (true) {
                checkStarted(set);
                waiting.values().removeIf(connection -> {
                    boolean serving = connection.isServing();
                    if (serving) {
                        connection.close();
                    }
                    return serving;
                });
                if (waiting.isEmpty()) {
                    break;
                }
                if (System.nanoTime() - deadlineNanos > 0) {
                    SetMember late = waiting.keySet().iterator().next();
                    throw new Failure(late.title() + " does not serve after "
                            + options.patience().toSeconds() + " s. " + set.lastWords(late));
                }
                pause(POLL);
            }
            // What answers on a port need not be what was started: only now, with everything alive, it is.
            checkStarted(set);
        } finally {
            waiting.values().forEach(Connection::close);
        }
    }

    private void checkStarted(ServiceSet set) {
        for (SetMember member : started) {
            if (set.running(member).isEmpty()) {
                throw new Failure(member.title() + " stopped while it was starting. " + set.lastWords(member));
            }
        }
    }

    /** @return false when time ran out; the reason has been said */
    private boolean awaitVolume(ServiceSet set) {
        long deadlineNanos = System.nanoTime() + options.patience().toNanos();
        PortPlan ports = set.state().ports();
        String said = "";
        try (AgentClient a = new AgentClient(SetMember.A, ports, CALL_DEADLINE);
                AgentClient b = new AgentClient(SetMember.B, ports, CALL_DEADLINE)) {
            while (true) {
                String waitingFor;
                try {
                    List<VolumeStatus> seen = new ArrayList<>(a.volumes());
                    seen.addAll(b.volumes());
                    List<VolumeStatus> ours = seen.stream()
                            .filter(v -> v.getName().equals(VOLUME))
                            .toList();
                    if (ours.isEmpty()) {
                        screen.line("Creating the volume " + VOLUME + " of "
                                + new ByteSize(set.state().sizeBytes()) + ".");
                        create(set.state());
                        continue;
                    }
                    ours.forEach(v -> checkSize(v, set.state()));
                    Optional<VolumeStatus> unserved = unserved(seen);
                    if (unserved.isEmpty()) {
                        return true;
                    }
                    waitingFor = unserved.get().getName() + ": " + waitingFor(unserved.get());
                } catch (CallFailure e) {
                    if (!e.mayPass()) {
                        throw e;
                    }
                    waitingFor = String.valueOf(e.getMessage());
                }
                checkStarted(set);
                if (System.nanoTime() - deadlineNanos > 0) {
                    screen.complain("not every volume can be used after "
                            + options.patience().toSeconds() + " s: "
                            + waitingFor
                            + ". The processes are left running: 'terminus status' shows what they do");
                    return false;
                }
                if (!waitingFor.equals(said)) {
                    screen.line("Waiting for " + waitingFor);
                    said = waitingFor;
                }
                pause(POLL);
            }
        }
    }

    /** Of the volumes in use the first that no agent serves, as its writer to be sees it. */
    static Optional<VolumeStatus> unserved(List<VolumeStatus> seen) {
        Map<String, VolumeStatus> unserved = new TreeMap<>();
        for (VolumeStatus v : seen) {
            if (v.getStanding() != Standing.DEMOTED && v.getStanding() != Standing.DELETED) {
                unserved.merge(
                        v.getName(), v, (one, other) -> one.getRole().compareTo(other.getRole()) >= 0 ? one : other);
            }
        }
        seen.stream().filter(Up::isServed).forEach(v -> unserved.remove(v.getName()));
        return unserved.values().stream().findFirst();
    }

    private static void create(SetState state) {
        PortPlan.Endpoints b = state.ports().endpoints(SetMember.B);
        CreateVolumeRequest request = CreateVolumeRequest.newBuilder()
                .setName(VOLUME)
                .setSizeBytes(state.sizeBytes())
                .setAckLevel(AckLevel.RECEIVED)
                .setCopies(0)
                .setMinCopies(1)
                .setFailover(Failover.MANUAL)
                .addPeers(replicaAddress(SetMember.B.title(), b))
                .build();
        try (AgentClient a = new AgentClient(SetMember.A, state.ports(), CREATE_DEADLINE)) {
            a.create(request);
        }
    }

    static ReplicaAddress replicaAddress(String agent, PortPlan.Endpoints endpoints) {
        return ReplicaAddress.newBuilder()
                .setAgent(agent)
                .setPeer(Objects.requireNonNull(endpoints.peer(), "an agent has a peer endpoint"))
                .setControl(endpoints.grpc())
                .build();
    }

    static boolean isServed(VolumeStatus volume) {
        return volume.getRole() == Role.WRITER && !volume.getNbdUri().isEmpty();
    }

    private void checkSize(VolumeStatus volume, SetState state) {
        if (volume.getSizeBytes() != state.sizeBytes()) {
            throw new Failure("the volume " + VOLUME + " in " + directory.path() + " has "
                    + new ByteSize(volume.getSizeBytes()) + ", not " + new ByteSize(state.sizeBytes()));
        }
    }

    private static String waitingFor(VolumeStatus volume) {
        return volume.getDetail().isBlank() ? "its writer is not ready" : volume.getDetail();
    }

    /** The start failed: stops what this call started, and forgets a set that never held a volume. */
    private void abandon(ServiceSet set, boolean forget) {
        synchronized (starting) {
            if (interrupted) {
                return;
            }
            phase.set(Phase.DONE);
            set.stop(started.reversed(), screen::line);
            if (forget) {
                directory.forget();
            }
        }
    }

    private void show(ServiceSet set) {
        try (StatusProbe probe =
                new StatusProbe(installation, directory, set.state().ports())) {
            screen.lines(new StatusView(screen).lines(probe.report()));
        }
    }

    private int watch(ServiceSet set) {
        StatusView view = new StatusView(screen);
        try (StatusProbe probe =
                new StatusProbe(installation, directory, set.state().ports())) {
            StatusReport report = probe.report();
            screen.lines(screen.isTerminal() ? List.of() : view.lines(report));
            while (report.anyRunning() && !interrupted) {
                if (screen.isTerminal()) {
                    screen.redraw(view.lines(report));
                    pause(REDRAW);
                } else {
                    screen.line(view.summary(report));
                    pause(PLAIN_LINE);
                }
                report = probe.report();
            }
        }
        synchronized (starting) {
            // Not reached once the shutdown hook has begun: it ends the program while it holds this.
            phase.set(Phase.DONE);
        }
        boolean stoppedByCommand = directory.loadExisting().processes().isEmpty();
        if (stoppedByCommand) {
            screen.line("The set was stopped.");
            return 0;
        }
        screen.complain("every process of the set is gone; their logs are in "
                + directory.log(SetMember.A).getParent());
        return 1;
    }

    /** Ctrl-C and SIGTERM end here. Ends the program itself, so that a clean stop has exit code 0. */
    private void atShutdown(ServiceSet set) {
        synchronized (starting) {
            interrupted = true;
            Phase reached = phase.get();
            if (reached == Phase.DONE) {
                return;
            }
            screen.line("");
            int exitCode = INTERRUPTED;
            try {
                if (reached == Phase.OWNING) {
                    exitCode = Down.stopSet(installation, directory, screen);
                } else {
                    // The main thread of this program holds the directory.
                    set.stop(started.reversed(), screen::line);
                }
            } catch (Failure e) {
                screen.complain(String.valueOf(e.getMessage()));
                exitCode = 1;
            }
            Runtime.getRuntime().halt(exitCode);
        }
    }

    private static void pause(Duration time) {
        try {
            Thread.sleep(time);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }
}
