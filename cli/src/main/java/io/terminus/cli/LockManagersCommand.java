package io.terminus.cli;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.AddMemberRequest;
import io.terminus.proto.lock.v1.ClusterMember;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.LockClusterGrpc.LockClusterBlockingStub;
import io.terminus.proto.lock.v1.MoveLeadRequest;
import io.terminus.proto.lock.v1.RemoveMemberRequest;
import io.terminus.security.TlsFiles;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus lockmgr}: the lock managers of a group, and which of them leads. */
@Command(name = "lockmgr", description = "The lock managers of a group: who belongs to it, and who leads.")
final class LockManagersCommand {

    private static final String AT_HELP =
            "Addresses of lock managers, HOST:PORT with commas between them (default: those of the set).";

    private static final Duration ASK = Duration.ofSeconds(2);
    /** A new member copies what there is before it counts. */
    private static final Duration CHANGE = Duration.ofSeconds(40);

    private static final Pattern MEMBER = Pattern.compile("(?<id>[^=]+)=(?<raft>[^/]+)/(?<client>[^/]+)");

    /** One row of {@code members list --json}; {@code commitIndex} is null where it is not known. */
    record Member(
            String id,
            String groupAddress,
            String clientAddress,
            boolean leads,
            @Nullable Long commitIndex) {}

    /** The same where there are several groups: those that it belongs to, and those of them that it leads. */
    record MemberOfSeveral(
            String id, String groupAddress, String clientAddress, List<Integer> groups, List<Integer> leads) {}

    /** What {@code lead --json} shows; {@code leader} is null when there is none. */
    record Lead(@Nullable String leader, long term, long epoch, String askedOf) {}

    /** The same where there are several groups, in a list with one for each. */
    record LeadOfGroup(int group, @Nullable String leader, long term, long epoch, String askedOf) {}

    private final Terminus terminus;

    LockManagersCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    /** {@code terminus lockmgr members}. */
    @Command(name = "members", description = "Who belongs to the group.")
    final class Members {

        @Command(name = "list", description = "The members, as the one that leads sees them, or any that answers.")
        int list(
                @Option(names = "--json", description = "For scripts.") boolean json,
                @Option(names = "--at", paramLabel = "ADDRESSES", description = AT_HELP) @Nullable String at,
                @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
            show(new Cluster(at, dir).views(), json);
            return 0;
        }

        @Command(
                name = "add",
                description = {
                    "Take a member in: a lock manager that runs, with the settings of the group and an empty directory.",
                    "Returns when it has caught up and counts."
                })
        int add(
                @Parameters(
                                paramLabel = "MEMBER",
                                description = "ID=HOST:PORT/HOST:PORT, where members and where clients reach it.")
                        String member,
                @Option(names = "--json", description = "For scripts.") boolean json,
                @Option(names = "--at", paramLabel = "ADDRESSES", description = AT_HELP) @Nullable String at,
                @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
            Matcher parts = MEMBER.matcher(member);
            if (!parts.matches()) {
                throw new Failure(
                        "member '" + member + "' is not ID=HOST:PORT/HOST:PORT, for the group and for clients");
            }
            AddMemberRequest request = AddMemberRequest.newBuilder()
                    .setMember(ClusterMember.newBuilder()
                            .setId(parts.group("id"))
                            .setRaftAddress(parts.group("raft"))
                            .setClientAddress(parts.group("client")))
                    .build();
            Cluster cluster = new Cluster(at, dir);
            List<ClusterView> after = new ArrayList<>();
            for (ClusterView group : cluster.views()) {
                // Of a command that was broken off the groups that are done need nothing more.
                boolean done = cluster.several() && isMember(request.getMember(), group);
                after.add(done ? group : cluster.change(group, stub -> stub.addMember(request)));
            }
            show(after, json);
            return 0;
        }

        @Command(
                name = "remove",
                description = {
                    "Let a member go, whether it runs or not.",
                    "One that leads has to give the lead to another first."
                })
        int remove(
                @Parameters(paramLabel = "ID", description = "The member's name in the group.") String id,
                @Option(names = "--json", description = "For scripts.") boolean json,
                @Option(names = "--at", paramLabel = "ADDRESSES", description = AT_HELP) @Nullable String at,
                @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
            RemoveMemberRequest request =
                    RemoveMemberRequest.newBuilder().setId(id).build();
            Cluster cluster = new Cluster(at, dir);
            List<ClusterView> groups = cluster.views();
            List<String> members = groups.stream()
                    .flatMap(view -> view.getMembersList().stream())
                    .map(ClusterMember::getId)
                    .distinct()
                    .toList();
            if (!members.contains(id)) {
                throw new Failure(
                        "'" + id + "' is no member of the group; its members are " + String.join(", ", members));
            }
            for (ClusterView group : groups) {
                if (cluster.several() && group.getLeader().equals(id)) {
                    throw new Failure("member " + id + " leads group " + group.getGroup()
                            + ": move the lead first, with 'terminus lockmgr lead --to'");
                }
            }
            List<ClusterView> after = new ArrayList<>();
            for (ClusterView group : groups) {
                boolean there = group.getMembersList().stream()
                        .anyMatch(one -> one.getId().equals(id));
                after.add(there ? cluster.change(group, stub -> stub.removeMember(request)) : group);
            }
            show(after, json);
            return 0;
        }

        private static boolean isMember(ClusterMember wanted, ClusterView group) {
            return group.getMembersList().stream()
                    .anyMatch(one -> one.getId().equals(wanted.getId())
                            && one.getRaftAddress().equals(wanted.getRaftAddress())
                            && one.getClientAddress().equals(wanted.getClientAddress()));
        }

        private void show(List<ClusterView> groups, boolean json) {
            if (groups.size() == 1) {
                show(groups.getFirst(), json);
                return;
            }
            Map<String, MemberOfSeveral> members = new TreeMap<>();
            for (ClusterView group : groups) {
                for (ClusterMember one : group.getMembersList()) {
                    MemberOfSeveral member = members.computeIfAbsent(
                            one.getId(),
                            id -> new MemberOfSeveral(
                                    id,
                                    one.getRaftAddress(),
                                    one.getClientAddress(),
                                    new ArrayList<>(),
                                    new ArrayList<>()));
                    member.groups().add(group.getGroup());
                    if (one.getId().equals(group.getLeader())) {
                        member.leads().add(group.getGroup());
                    }
                }
            }
            if (json) {
                terminus.screen().line(LocksCommand.JSON.writeValueAsString(members.values()));
                return;
            }
            Table table = new Table("ID", "LEADS", "CLIENTS AT", "GROUPS AT", "BELONGS TO");
            members.values()
                    .forEach(one -> table.row(
                            one.id(),
                            numbers(one.leads()),
                            one.clientAddress(),
                            one.groupAddress(),
                            numbers(one.groups())));
            terminus.screen().lines(table.lines());
        }

        private static String numbers(List<Integer> groups) {
            return groups.stream().map(String::valueOf).collect(Collectors.joining(" "));
        }

        private void show(ClusterView view, boolean json) {
            List<Member> members = view.getMembersList().stream()
                    .map(one -> new Member(
                            one.getId(),
                            one.getRaftAddress(),
                            one.getClientAddress(),
                            one.getId().equals(view.getLeader()),
                            one.getCommitIndex() < 0 ? null : one.getCommitIndex()))
                    .toList();
            if (json) {
                terminus.screen().line(LocksCommand.JSON.writeValueAsString(members));
                return;
            }
            Table table = new Table("ID", "LEADS", "CLIENTS AT", "GROUP AT", "COMMITTED");
            members.forEach(one -> table.row(
                    one.id(),
                    one.leads() ? "yes" : "",
                    one.clientAddress(),
                    one.groupAddress(),
                    one.commitIndex() == null ? "-" : String.valueOf(one.commitIndex())));
            terminus.screen().lines(table.lines());
        }
    }

    @Command(
            name = "lead",
            description = {
                "Show which lock manager leads, or let another one lead.",
                "Clients follow by themselves; what they hold stays theirs."
            })
    int lead(
            @Option(names = "--to", paramLabel = "ID", description = "The member that is to lead.") @Nullable String to,
            @Option(
                            names = "--group",
                            paramLabel = "NUMBER",
                            description = "Of the groups over which volumes are spread, only this one (default: all).")
                    @Nullable
                    Integer group,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--at", paramLabel = "ADDRESSES", description = AT_HELP) @Nullable String at,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        Cluster cluster = new Cluster(at, dir);
        List<ClusterView> views = new ArrayList<>();
        for (ClusterView view : cluster.views()) {
            boolean asked = group == null || group == view.getGroup();
            if (asked && to != null && !to.equals(view.getLeader())) {
                MoveLeadRequest request = MoveLeadRequest.newBuilder().setTo(to).build();
                views.add(cluster.change(view, stub -> stub.moveLead(request)));
            } else if (asked) {
                views.add(view);
            }
        }
        if (views.isEmpty()) {
            throw new Failure("there is no group " + group + ": they are 0 to "
                    + (cluster.views().size() - 1));
        }
        if (json) {
            Object shown = cluster.several()
                    ? views.stream()
                            .map(view -> new LeadOfGroup(
                                    view.getGroup(), leader(view), view.getTerm(), view.getEpoch(), view.getNode()))
                            .toList()
                    : new Lead(
                            leader(views.getFirst()),
                            views.getFirst().getTerm(),
                            views.getFirst().getEpoch(),
                            views.getFirst().getNode());
            terminus.screen().line(LocksCommand.JSON.writeValueAsString(shown));
        } else {
            for (ClusterView view : views) {
                String what = cluster.several() ? " leads group " + view.getGroup() : " leads";
                terminus.screen()
                        .line(
                                leader(view) == null
                                        ? "Nobody" + what + ", as far as " + view.getNode() + " knows."
                                        : leader(view) + what + ", in term " + view.getTerm() + ".");
            }
        }
        return views.stream().allMatch(view -> leader(view) != null) ? 0 : 1;
    }

    private static @Nullable String leader(ClusterView view) {
        return view.getLeader().isEmpty() ? null : view.getLeader();
    }

    /** The members that may be asked. */
    private final class Cluster {
        private final List<String> addresses;
        private final @Nullable TlsFiles keys;
        private boolean several;

        Cluster(@Nullable String at, @Nullable Path dir) {
            if (at == null) {
                PortPlan ports = terminus.ports(dir);
                addresses = List.of(ports.lockManagerTargets().split(","));
                keys = ports.keys();
            } else {
                addresses = List.of(at.split(","));
                keys = terminus.given();
            }
        }

        /** One for each group. */
        List<ClusterView> views() {
            List<ClusterView> views = new ArrayList<>();
            views.add(view(0));
            int groups = Math.max(1, views.getFirst().getGroups());
            several = groups > 1;
            for (int group = 1; group < groups; group++) {
                views.add(view(group));
            }
            return views;
        }

        /** More than one group; known behind {@link #views}. */
        boolean several() {
            return several;
        }

        /** Of the one that leads; if it does not answer, of any that does. */
        private ClusterView view(int group) {
            List<String> silent = new ArrayList<>();
            ClusterView best = null;
            for (String address : addresses) {
                try {
                    ClusterView view =
                            on(address, group, ASK, stub -> stub.describe(DescribeClusterRequest.getDefaultInstance()));
                    if (view.getNode().equals(view.getLeader())) {
                        return view;
                    }
                    best = best == null || view.getTerm() > best.getTerm() ? view : best;
                } catch (StatusRuntimeException e) {
                    if (e.getStatus().getCode() == Status.Code.UNIMPLEMENTED) {
                        throw new Failure("the lock manager at " + address + " is a single one, not one of a group", e);
                    }
                    silent.add(address);
                }
            }
            if (best == null) {
                throw new Failure("none of the lock managers at " + String.join(", ", silent) + " answers");
            }
            return best;
        }

        /** @param seen the group before */
        ClusterView change(ClusterView seen, Function<LockClusterBlockingStub, ClusterView> change) {
            ClusterView view = view(seen.getGroup());
            String leader = view.getMembersList().stream()
                    .filter(one -> one.getId().equals(view.getLeader()))
                    .map(ClusterMember::getClientAddress)
                    .findFirst()
                    .orElseThrow(
                            () -> new Failure("none of the lock managers leads, so the group cannot be changed now"));
            try {
                return on(leader, seen.getGroup(), CHANGE, change);
            } catch (StatusRuntimeException e) {
                throw CallFailure.of("the lock manager at " + leader, e);
            }
        }

        private <T> T on(String address, int group, Duration deadline, Function<LockClusterBlockingStub, T> call) {
            try (Connection connection = new Connection("the lock manager", address, deadline, keys)) {
                return call.apply(connection
                        .timed(LockClusterGrpc.newBlockingStub(connection.channel()))
                        .withInterceptors(Groups.to(group)));
            }
        }
    }
}
