package io.terminus.cli;

import io.terminus.proto.agent.v1.VolumeStatus;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus peer}: which agents hold replicas of a volume, and how fast they are copied to. */
@Command(name = "peer", description = "Give a volume a replica more or less; limit how fast replicas are copied.")
final class PeerCommand {

    /** Adding writes a journal segment at the peer, and either waits for the others to hold everything. */
    private static final Duration CHANGE_DEADLINE = Duration.ofSeconds(60);

    private static final Duration DEADLINE = Duration.ofSeconds(5);
    private static final String NO_LIMIT = "off";

    private final Terminus terminus;

    PeerCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Command(
            name = "add",
            description = {
                "Give a volume a replica at one more agent.",
                "It is empty at first, is copied to, and joins the in-sync set by itself; 'resync' shows how far it is."
            })
    int add(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Parameters(paramLabel = "AGENT", description = "Who is to hold a replica.") String agent,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        SetMember peer = SetMember.agent(agent);
        PortPlan ports = terminus.ports(dir);
        try (AgentClient writer = terminus.writerOf(name, dir, CHANGE_DEADLINE)) {
            writer.addReplica(name, Up.replicaAddress(agent, ports.endpoints(peer)));
        }
        say(json, name, dir, "Agent " + agent + " holds a replica of " + name + " now; it is copied to.");
        return 0;
    }

    @Command(
            name = "remove",
            description = {
                "Take a replica from a volume, as soon as the others hold everything that was acknowledged.",
                "Its files stay, unless --delete is given."
            })
    int remove(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Parameters(paramLabel = "AGENT", description = "Whose replica.") String agent,
            @Option(names = "--delete", description = "Delete its files, too. The agent has to run.") boolean delete,
            @Option(names = "--json", description = "The volume as in 'status --json'.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        SetMember peer = SetMember.agent(agent);
        try (AgentClient writer = terminus.writerOf(name, dir, CHANGE_DEADLINE)) {
            writer.removeReplica(name, agent);
        }
        if (delete) {
            try (AgentClient holder = new AgentClient(peer, terminus.ports(dir), CHANGE_DEADLINE)) {
                holder.deleteReplica(name);
            }
        }
        say(
                json,
                name,
                dir,
                "The replica of " + name + " at " + agent
                        + (delete ? " is gone." : " is none any more; its files stay."));
        return 0;
    }

    @Command(
            name = "throttle",
            description = {
                "Limit how fast replicas of a volume are copied, at every agent that runs.",
                "Without a rate: show it. An agent that starts anew has no limit."
            })
    int throttle(
            @Parameters(paramLabel = "NAME", description = "The volume.") String name,
            @Parameters(
                            paramLabel = "RATE",
                            arity = "0..1",
                            description = "Bytes per second, from 40KiB on, as in 20MiB; or off.")
                    @Nullable
                    String rate,
            @Option(names = "--json", description = "One object for each agent.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        PortPlan ports = terminus.ports(dir);
        List<Limit> limits = new ArrayList<>();
        List<String> silent = new ArrayList<>();
        for (SetMember agent : SetMember.AGENTS) {
            try (AgentClient client = new AgentClient(agent, ports, DEADLINE)) {
                limits.add(new Limit(agent.title(), limit(client, name, rate)));
            } catch (CallFailure e) {
                silent.add(e.getMessage());
            }
        }
        if (limits.isEmpty()) {
            throw new Failure(String.join("; ", silent));
        }
        silent.forEach(terminus.screen()::complain);
        if (json) {
            terminus.screen().line(Json.write(limits));
        } else {
            limits.forEach(limit -> terminus.screen().line(limit.words(name)));
        }
        return 0;
    }

    /** @param bytesPerSecond 0: no limit */
    record Limit(String agent, long bytesPerSecond) {
        String words(String volume) {
            return "Agent " + agent + " copies " + volume
                    + (bytesPerSecond == 0
                            ? " without a limit."
                            : " at no more than " + new ByteSize(bytesPerSecond) + "/s.");
        }
    }

    private static long limit(AgentClient client, String name, @Nullable String rate) {
        VolumeStatus now = rate == null ? client.requireVolume(name) : client.setCopyLimit(name, bytesPerSecond(rate));
        return now.getCopyLimit();
    }

    private static long bytesPerSecond(String rate) {
        if (rate.equals(NO_LIMIT)) {
            return 0;
        }
        try {
            return ByteSize.parse(rate).bytes();
        } catch (IllegalArgumentException e) {
            throw new Failure(e.getMessage() + ", or off", e);
        }
    }

    private void say(boolean json, String name, @Nullable Path dir, String words) {
        if (json) {
            terminus.screen().line(new StatusReport(List.of(), terminus.volume(name, dir)).toJson());
        } else {
            terminus.screen().line(words);
        }
    }
}
