package io.terminus.cli;

import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.SetVolumeRequest;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus volume}: what is asked of the agents. */
@Command(name = "volume", description = "List, create, change and delete volumes.")
final class VolumeCommand {

    /** Creating a volume writes its first journal segment at every replica. */
    private static final Duration CREATE_DEADLINE = Duration.ofSeconds(60);

    /** Beyond what a hand-over and a change of the value block may take at the agent. */
    private static final Duration CHANGE_DEADLINE = Duration.ofSeconds(90);

    enum Ack {
        LOCAL,
        RECEIVED,
        DURABLE
    }

    enum FailoverChoice {
        MANUAL,
        AUTOMATIC
    }

    private final Terminus terminus;

    VolumeCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Command(name = "list", description = "The volumes of a set, one line each.")
    int list(
            @Option(names = "--json", description = "The volumes as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        StatusReport report = terminus.report(dir);
        if (json) {
            terminus.screen().line(new StatusReport(List.of(), report.volumes()).toJson());
        } else {
            terminus.screen().lines(new StatusView(terminus.screen()).volumes(report.volumes()));
        }
        return 0;
    }

    @Command(name = "status", description = "One volume and its replicas.")
    int status(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        List<StatusReport.Volume> named = terminus.volume(name, dir);
        if (json) {
            terminus.screen().line(new StatusReport(List.of(), named).toJson());
        } else {
            terminus.screen().lines(new StatusView(terminus.screen()).volumesAndReplicas(named));
        }
        return named.getFirst().nbd() == null ? 1 : 0;
    }

    @Command(
            name = "create",
            description = "Make a volume. The agent that is named writes first; the peers hold replicas.")
    int create(
            @Parameters(paramLabel = "NAME", description = "1 to 128 characters of [A-Za-z0-9._-].") String name,
            @Option(names = "--size", required = true, paramLabel = "SIZE", description = "A multiple of 4096 bytes.")
                    ByteSize size,
            @Option(
                            names = "--ack-level",
                            paramLabel = "LEVEL",
                            defaultValue = "received",
                            description = "local, received or durable (default: ${DEFAULT-VALUE}).")
                    Ack ackLevel,
            @Option(
                            names = "--copies",
                            paramLabel = "N",
                            defaultValue = "0",
                            description = "Copies an acknowledgement needs, the writer's included; 0: all in sync.")
                    int copies,
            @Option(
                            names = "--min-copies",
                            paramLabel = "N",
                            defaultValue = "1",
                            description = "Writes wait while fewer are in sync (default: ${DEFAULT-VALUE}).")
                    int minCopies,
            @Option(
                            names = "--agent",
                            paramLabel = "AGENT",
                            defaultValue = "a",
                            description = "Who writes first (default: ${DEFAULT-VALUE}).")
                    String agent,
            @Option(names = "--peer", paramLabel = "AGENT", description = "Holds a replica (default: the other agent).")
                    @Nullable
                    List<String> peers,
            @Option(
                            names = "--failover",
                            paramLabel = "HOW",
                            defaultValue = "manual",
                            description = "manual or automatic (default: ${DEFAULT-VALUE}).")
                    FailoverChoice failover,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        Terminus.checkVolumeSize(size);
        PortPlan ports = terminus.ports(dir);
        SetMember writer = SetMember.agent(agent);
        CreateVolumeRequest.Builder request = CreateVolumeRequest.newBuilder()
                .setName(name)
                .setSizeBytes(size.bytes())
                .setAckLevel(level(ackLevel))
                .setCopies(copies)
                .setMinCopies(minCopies)
                .setFailover(failover(failover));
        for (SetMember peer : peers(writer, peers)) {
            request.addPeers(Up.replicaAddress(peer.title(), ports.endpoints(peer)));
        }
        VolumeStatus made;
        try (AgentClient client = new AgentClient(writer, ports, CREATE_DEADLINE)) {
            made = client.create(request.build());
        }
        say(
                json,
                name,
                dir,
                "The volume " + made.getName() + " of " + new ByteSize(made.getSizeBytes())
                        + " exists; its ack level is " + VolumeViews.name(made.getAckLevel()) + ".");
        return 0;
    }

    @Command(
            name = "apply",
            description = {
                "Make the volumes that a file declares, and give those that are there the size, replicas and",
                "acknowledgements that it declares. Takes nothing away; may be repeated. The file may name agents on",
                "other machines."
            })
    int apply(
            @Parameters(paramLabel = "FILE", description = "JSON; docs/operations.md describes it.") Path file,
            @Option(
                            names = "--timeout",
                            paramLabel = "TIME",
                            defaultValue = "120s",
                            description =
                                    "How long to wait for agents that do not answer yet (default: ${DEFAULT-VALUE}).")
                    Duration timeout,
            @Option(names = "--json", description = "One object for each volume, with what was done.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        Declaration declaration = Declaration.read(file);
        if (declaration.agents().isEmpty()) {
            PortPlan ports = terminus.ports(dir);
            declaration = new Declaration(
                    SetMember.AGENTS.stream()
                            .map(agent -> ports.endpoints(agent).grpc())
                            .toList(),
                    declaration.volumes());
        }
        Screen story = json ? terminus.screen().aside() : terminus.screen();
        try (VolumeApply apply = new VolumeApply(declaration, story, timeout, terminus.given())) {
            List<VolumeApply.Applied> applied = apply.run();
            if (json) {
                terminus.screen().line(Json.write(applied));
            }
        }
        return 0;
    }

    @Command(
            name = "promote",
            description = {
                "Make an agent the writer of a volume; returns when it serves the volume.",
                "Without --force the present writer is asked to hand over."
            })
    int promote(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Option(names = "--agent", required = true, paramLabel = "AGENT", description = "The new writer.")
                    String agent,
            @Option(
                            names = "--force",
                            description = "Take the lock from the writer; still waits until it knows, or its lease has"
                                    + " ended.")
                    boolean force,
            @Option(
                            names = "--accept-data-loss",
                            description = "Go on without the replicas the election asks for. What may be missing is"
                                    + " named.")
                    boolean acceptDataLoss,
            @Option(
                            names = "--timeout",
                            paramLabel = "TIME",
                            defaultValue = "60s",
                            description = "Give up after this time (default: ${DEFAULT-VALUE}).")
                    Duration timeout,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        SetMember candidate = SetMember.agent(agent);
        PromoteRequest request = PromoteRequest.newBuilder()
                .setName(name)
                .setForce(force)
                .setAcceptDataLoss(acceptDataLoss)
                .setTimeoutMillis(timeout.toMillis())
                .build();
        Screen story = json ? terminus.screen().aside() : terminus.screen();
        VolumeStatus served;
        try (AgentClient client = new AgentClient(candidate, terminus.ports(dir), timeout)) {
            served = client.promote(request, story::line);
        }
        say(
                json,
                name,
                dir,
                "Agent " + served.getWriter() + " writes " + name + " in term " + served.getTerm()
                        + " and serves it at " + served.getNbdUri());
        return 0;
    }

    @Command(
            name = "demote",
            description = {
                "Stop serving a volume, in good order: clients are dropped when everything is committed.",
                "Nobody serves it then, not even with failover automatic, until an agent is promoted."
            })
    int demote(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        String writer;
        try (AgentClient client = terminus.writerOf(name, dir, CHANGE_DEADLINE)) {
            writer = client.demote(name).getWriter();
        }
        say(
                json,
                name,
                dir,
                name + " is served by nobody now; agent " + writer
                        + " wrote it last. 'volume promote' serves it again.");
        return 0;
    }

    @Command(
            name = "delete",
            description = {
                "Delete a volume for good, with the replicas and all their data. The name is free then.",
                "Refused while clients use it. An agent that is away deletes its replica when it is back."
            })
    int delete(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Option(
                            names = "--force",
                            description = "Also while clients use it, and if nobody knows whether an agent serves it.")
                    boolean force,
            @Option(names = "--json", description = "What was deleted, and where not yet.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        List<String> unreached;
        try (AgentClient client = holderOf(name, dir)) {
            unreached = client.deleteVolume(name, force);
        }
        if (json) {
            terminus.screen().line(Json.write(new Deleted(name, unreached)));
        } else {
            terminus.screen()
                    .line(
                            unreached.isEmpty()
                                    ? name + " is deleted."
                                    : name
                                            + " is deleted. Not reached, and to delete their replicas when they are back: "
                                            + String.join(", ", unreached) + ".");
        }
        return 0;
    }

    /** @param unreached agents that are to delete their replicas when they are back */
    record Deleted(String deleted, List<String> unreached) {}

    @Command(
            name = "resize",
            description = {
                "Give a volume more room while clients go on. They see it when they connect anew.",
                "A volume only grows."
            })
    int resize(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Parameters(paramLabel = "SIZE", description = "The new size, a multiple of 4096 bytes.") ByteSize size,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        Terminus.checkVolumeSize(size);
        try (AgentClient client = terminus.writerOf(name, dir, CHANGE_DEADLINE)) {
            client.resize(name, size);
        }
        say(json, name, dir, name + " has " + size + " now; clients see it when they connect anew.");
        return 0;
    }

    @Command(
            name = "set",
            description = {
                "Change what an acknowledgement asks for, while clients go on.",
                "Returns when the new rule is in force; until then acknowledgements satisfy both."
            })
    int set(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Option(names = "--ack-level", paramLabel = "LEVEL", description = "local, received or durable.") @Nullable
                    Ack ackLevel,
            @Option(
                            names = "--copies",
                            paramLabel = "N",
                            description = "Copies an acknowledgement needs, the writer's included; 0: all in sync.")
                    @Nullable
                    Integer copies,
            @Option(names = "--min-copies", paramLabel = "N", description = "Writes wait while fewer are in sync.")
                    @Nullable
                    Integer minCopies,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        if (ackLevel == null && copies == null && minCopies == null) {
            throw new Failure("nothing to set: name at least one of --ack-level, --copies, --min-copies");
        }
        SetVolumeRequest.Builder request = SetVolumeRequest.newBuilder().setName(name);
        if (ackLevel != null) {
            request.setAckLevel(level(ackLevel));
        }
        if (copies != null) {
            request.setCopies(copies);
        }
        if (minCopies != null) {
            request.setMinCopies(minCopies);
        }
        VolumeStatus now;
        try (AgentClient client = terminus.writerOf(name, dir, CHANGE_DEADLINE)) {
            now = client.set(request.build());
        }
        say(
                json,
                name,
                dir,
                name + " is acknowledged at level " + VolumeViews.name(now.getAckLevel()) + " by "
                        + (now.getCopies() == 0 ? "all in sync" : now.getCopies() + " copies")
                        + "; writes wait while fewer than " + now.getMinCopies() + " are in sync.");
        return 0;
    }

    static Failover failover(FailoverChoice failover) {
        return switch (failover) {
            case MANUAL -> Failover.MANUAL;
            case AUTOMATIC -> Failover.AUTOMATIC;
        };
    }

    static AckLevel level(Ack ackLevel) {
        return switch (ackLevel) {
            case LOCAL -> AckLevel.LOCAL;
            case RECEIVED -> AckLevel.RECEIVED;
            case DURABLE -> AckLevel.DURABLE;
        };
    }

    /** Who serves it; if nobody does, somebody who has a replica. */
    private AgentClient holderOf(String name, @Nullable Path dir) {
        StatusReport.Volume volume = terminus.volume(name, dir).getFirst();
        if (volume.nbd() != null) {
            return terminus.writerOf(name, dir, CHANGE_DEADLINE);
        }
        for (SetMember agent : SetMember.AGENTS) {
            AgentClient client = new AgentClient(agent, terminus.ports(dir), CHANGE_DEADLINE);
            try {
                if (client.volume(name).isPresent()) {
                    return client;
                }
            } catch (CallFailure e) {
                terminus.screen().complain(String.valueOf(e.getMessage()));
            }
            client.close();
        }
        throw new Failure("no agent that answers has a replica of " + name);
    }

    private void say(boolean json, String name, @Nullable Path dir, String words) {
        if (json) {
            terminus.screen().line(new StatusReport(List.of(), terminus.volume(name, dir)).toJson());
        } else {
            terminus.screen().line(words);
        }
    }

    private static List<SetMember> peers(SetMember writer, @Nullable List<String> named) {
        if (named == null) {
            return SetMember.AGENTS.stream().filter(agent -> agent != writer).toList();
        }
        List<SetMember> peers = named.stream().map(SetMember::agent).toList();
        if (peers.contains(writer)) {
            throw new Failure("agent " + writer.title() + " is to write and cannot be its own peer");
        }
        return peers;
    }
}
