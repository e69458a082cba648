package io.terminus.cli;

import io.terminus.proto.agent.v1.AgentInfo;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.SetVolumeRequest;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.security.TlsFiles;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Makes the volumes that are declared and are not there, and gives those that are there what they lack: room, replicas,
 * another rule for acknowledgements. Takes nothing away: who declares less than there is is refused (size), or told
 * (replicas); so is another failover, which cannot be changed. Each step may be repeated, so a run that was cut off is begun anew.
 */
final class VolumeApply implements AutoCloseable {

    /** Making a volume writes its first journal segment at every replica; growing waits for a change of the value block. */
    private static final Duration CALL_DEADLINE = Duration.ofSeconds(90);

    private static final Duration RETRY = Duration.ofMillis(500);

    private final Declaration declaration;
    private final Screen screen;
    private final Duration timeout;
    private final @Nullable TlsFiles keys;
    private final long deadlineNanos;
    private final Map<String, Agent> agents = new LinkedHashMap<>();

    /**
     * What was found or done.
     *
     * @param outcome {@code created}, {@code changed} or {@code unchanged}
     * @param writer the agent that serves it
     */
    record Applied(String volume, String outcome, String writer) {}

    private record Agent(AgentInfo info, String endpoint, AgentClient client) {

        ReplicaAddress address() {
            return ReplicaAddress.newBuilder()
                    .setAgent(info.getAgent())
                    .setControl(endpoint)
                    .setPeer(info.getPeerEndpoint())
                    .build();
        }
    }

    /**
     * @param timeout for all of it; who does not answer yet is asked again until then
     * @param keys with which agents are asked; null: without TLS
     */
    VolumeApply(Declaration declaration, Screen screen, Duration timeout, @Nullable TlsFiles keys) {
        this.keys = keys;
        this.declaration = declaration;
        this.screen = screen;
        this.timeout = timeout;
        this.deadlineNanos = System.nanoTime() + timeout.toNanos();
    }

    List<Applied> run() {
        for (String endpoint : declaration.agents()) {
            AgentClient client = new AgentClient(endpoint, CALL_DEADLINE, keys);
            try {
                AgentInfo info = patiently(client::info);
                Agent other = agents.putIfAbsent(info.getAgent(), new Agent(info, endpoint, client));
                if (other != null) {
                    client.close();
                    throw new Failure("the agents at " + other.endpoint() + " and " + endpoint + " are both called "
                            + info.getAgent() + ": each needs a name of its own");
                }
            } catch (RuntimeException e) {
                client.close();
                throw e;
            }
        }
        return declaration.volumes().stream().map(this::one).toList();
    }

    @Override
    public void close() {
        agents.values().forEach(agent -> agent.client().close());
    }

    private Applied one(Declaration.Volume wanted) {
        for (String replica : wanted.replicas()) {
            agent(replica, wanted.name());
        }
        if (patiently(() -> views(wanted.name())).isEmpty()) {
            return new Applied(wanted.name(), "created", create(wanted));
        }
        Agent writer = patiently(() -> writer(wanted.name()));
        VolumeStatus now = patiently(() -> writer.client().requireVolume(wanted.name()));
        requireFailover(wanted, now);
        boolean changed = grow(wanted, writer, now) | set(wanted, writer, now) | addReplicas(wanted, writer, now);
        if (!changed) {
            screen.line(wanted.name() + " is as declared; agent " + now.getWriter() + " serves it.");
        }
        return new Applied(wanted.name(), changed ? "changed" : "unchanged", now.getWriter());
    }

    /** Returns who writes first. */
    private String create(Declaration.Volume wanted) {
        Agent writer = agent(wanted.replicas().getFirst(), wanted.name());
        CreateVolumeRequest.Builder request = CreateVolumeRequest.newBuilder()
                .setName(wanted.name())
                .setSizeBytes(wanted.size().bytes())
                .setAckLevel(
                        VolumeCommand.level(Objects.requireNonNullElse(wanted.ackLevel(), VolumeCommand.Ack.RECEIVED)))
                .setCopies(Objects.requireNonNullElse(wanted.copies(), 0))
                .setMinCopies(Objects.requireNonNullElse(wanted.minCopies(), 1))
                .setFailover(VolumeCommand.failover(
                        Objects.requireNonNullElse(wanted.failover(), VolumeCommand.FailoverChoice.MANUAL)));
        for (String peer : wanted.replicas().subList(1, wanted.replicas().size())) {
            request.addPeers(agent(peer, wanted.name()).address());
        }
        VolumeStatus made = patiently(() -> writer.client().create(request.build()));
        String first = writer.info().getAgent();
        screen.line("The volume " + made.getName() + " of " + new ByteSize(made.getSizeBytes()) + " exists; agent "
                + first + " writes first.");
        return first;
    }

    /** Before anything is changed. An agent of before does not tell, and is believed to have what is declared. */
    private static void requireFailover(Declaration.Volume wanted, VolumeStatus now) {
        VolumeCommand.FailoverChoice declared = wanted.failover();
        if (declared != null
                && now.getFailover() != Failover.FAILOVER_UNSPECIFIED
                && now.getFailover() != VolumeCommand.failover(declared)) {
            throw new Failure("volume " + wanted.name() + " has failover "
                    + now.getFailover().name().toLowerCase(Locale.ROOT) + ", and "
                    + declared.name().toLowerCase(Locale.ROOT)
                    + " is declared: that is chosen when a volume is created, and cannot be changed");
        }
    }

    private boolean grow(Declaration.Volume wanted, Agent writer, VolumeStatus now) {
        if (now.getSizeBytes() > wanted.size().bytes()) {
            throw new Failure("volume " + wanted.name() + " has " + new ByteSize(now.getSizeBytes())
                    + ", more than the " + wanted.size() + " that are declared: a volume does not shrink");
        }
        if (now.getSizeBytes() == wanted.size().bytes()) {
            return false;
        }
        patiently(() -> writer.client().resize(wanted.name(), wanted.size()));
        screen.line(wanted.name() + " has " + wanted.size() + " now; clients see it when they connect anew.");
        return true;
    }

    private boolean set(Declaration.Volume wanted, Agent writer, VolumeStatus now) {
        SetVolumeRequest.Builder request = SetVolumeRequest.newBuilder().setName(wanted.name());
        VolumeCommand.Ack ack = wanted.ackLevel();
        if (ack != null && VolumeCommand.level(ack) != now.getAckLevel()) {
            request.setAckLevel(VolumeCommand.level(ack));
        }
        Integer copies = wanted.copies();
        if (copies != null && copies != now.getCopies()) {
            request.setCopies(copies);
        }
        Integer minCopies = wanted.minCopies();
        if (minCopies != null && minCopies != now.getMinCopies()) {
            request.setMinCopies(minCopies);
        }
        if (request.build()
                .equals(SetVolumeRequest.newBuilder().setName(wanted.name()).build())) {
            return false;
        }
        patiently(() -> writer.client().set(request.build()));
        screen.line(wanted.name() + " is acknowledged as declared now.");
        return true;
    }

    private boolean addReplicas(Declaration.Volume wanted, Agent writer, VolumeStatus now) {
        Set<String> there = new HashSet<>();
        for (ReplicaStatus replica : now.getReplicasList()) {
            there.add(replica.getAgent());
        }
        boolean added = false;
        for (String replica : wanted.replicas()) {
            if (there.add(replica)) {
                Agent agent = agent(replica, wanted.name());
                patiently(() -> writer.client().addReplica(wanted.name(), agent.address()));
                screen.line(wanted.name() + " has a replica at agent " + replica + " now; it is copied to.");
                added = true;
            }
        }
        there.removeAll(wanted.replicas());
        if (!there.isEmpty()) {
            screen.complain("volume " + wanted.name() + " has replicas at " + there
                    + " that are not declared; they stay until 'peer remove'");
        }
        return added;
    }

    private Agent agent(String name, String volume) {
        return Optional.ofNullable(agents.get(name))
                .orElseThrow(() -> new Failure("volume " + volume + " names agent '" + name
                        + "', and those that are declared call themselves " + agents.keySet()));
    }

    private List<VolumeStatus> views(String volume) {
        return agents.values().stream()
                .flatMap(agent -> agent.client().volume(volume).stream())
                .toList();
    }

    /** Who serves it. One that calls itself writer and is not any more is told by its term. */
    private Agent writer(String volume) {
        Agent writer = null;
        long term = -1;
        String detail = "no agent knows it";
        for (Agent agent : agents.values()) {
            VolumeStatus view = agent.client().volume(volume).orElse(null);
            if (view == null) {
                continue;
            }
            if (Up.isServed(view) && view.getTerm() > term) {
                writer = agent;
                term = view.getTerm();
            } else if (writer == null) {
                detail = view.getDetail();
            }
        }
        if (writer == null) {
            throw new NotServed("volume " + volume + " is not served: " + detail);
        }
        return writer;
    }

    /** A volume whose writer is being elected; asked again. */
    private static final class NotServed extends RuntimeException {
        NotServed(String message) {
            super(message);
        }
    }

    private <T> T patiently(java.util.function.Supplier<T> call) {
        boolean told = false;
        while (true) {
            RuntimeException failure;
            try {
                return call.get();
            } catch (NotServed e) {
                failure = e;
            } catch (CallFailure e) {
                if (!e.mayPass()) {
                    throw e;
                }
                failure = e;
            }
            if (System.nanoTime() - deadlineNanos > 0) {
                throw new Failure("not done within " + timeout.toSeconds() + " s: " + failure.getMessage(), failure);
            }
            if (!told) {
                screen.line("Waiting: " + failure.getMessage());
                told = true;
            }
            try {
                Thread.sleep(RETRY);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new Failure("interrupted: " + failure.getMessage(), failure);
            }
        }
    }
}
