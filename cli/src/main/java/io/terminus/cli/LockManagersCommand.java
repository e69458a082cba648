package io.terminus.cli;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
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
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus lockmgr}: the lock managers of a group, and which of them leads. */
@Command(name = "lockmgr", description = "The lock managers of a group: who belongs to it, and who leads.")
final class LockManagersCommand {

    private static final String AT_HELP =
            "Addresses of lock managers, HOST:PORT with commas between them (else TERMINUS_LOCK_MANAGERS; else those of"
                    + " the set).";

    private static final Duration ASK = Duration.ofSeconds(2);
    /** A new member copies what there is before it counts. */
    private static final Duration CHANGE = Duration.ofSeconds(40);
    /** For somebody to be elected, while nobody leads or the lead has just gone elsewhere. */
    private static final Duration ELECTION = Duration.ofSeconds(10);

    private static final Duration PAUSE = Duration.ofMillis(100);

    private static final Pattern MEMBER = Pattern.compile("(?<id>[^=]+)=(?<raft>[^/]+)/(?<client>[^/]+)");

    /** One row of {@code members list --json}; {@code commitIndex} is null where it is not known. */
    record Member(
            String id,
            String groupAddress,
            String clientAddress,
            boolean leads,
            @Nullable Long commitIndex) {}

    /** What {@code lead --json} shows; {@code leader} is null when there is none. */
    record Lead(@Nullable String leader, long term, long epoch, String askedOf) {}

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
            show(new Group(at, dir).view(), json);
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
            show(new Group(at, dir).change(stub -> stub.addMember(request)), json);
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
            Group group = new Group(at, dir);
            List<String> members = group.view().getMembersList().stream()
                    .map(ClusterMember::getId)
                    .toList();
            if (!members.contains(id)) {
                throw new Failure(
                        "'" + id + "' is no member of the group; its members are " + String.join(", ", members));
            }
            show(group.change(stub -> stub.removeMember(request)), json);
            return 0;
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
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--at", paramLabel = "ADDRESSES", description = AT_HELP) @Nullable String at,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        Group group = new Group(at, dir);
        ClusterView view = group.view();
        if (to != null && !to.equals(view.getLeader())) {
            MoveLeadRequest request = MoveLeadRequest.newBuilder().setTo(to).build();
            view = group.change(stub -> stub.moveLead(request));
        }
        String leader = view.getLeader();
        if (json) {
            terminus.screen()
                    .line(LocksCommand.JSON.writeValueAsString(new Lead(
                            leader.isEmpty() ? null : leader, view.getTerm(), view.getEpoch(), view.getNode())));
        } else {
            terminus.screen()
                    .line(
                            leader.isEmpty()
                                    ? "Nobody leads, as far as " + view.getNode() + " knows."
                                    : leader + " leads, in term " + view.getTerm() + ".");
        }
        return leader.isEmpty() ? 1 : 0;
    }

    /** The members that may be asked. */
    private final class Group {
        private final List<String> addresses;
        private final @Nullable TlsFiles keys;

        Group(@Nullable String given, @Nullable Path dir) {
            String at = given == null && dir == null ? System.getenv("TERMINUS_LOCK_MANAGERS") : given;
            if (at == null) {
                PortPlan ports = terminus.ports(dir);
                addresses = List.of(ports.lockManagerTargets().split(","));
                keys = ports.keys();
            } else {
                addresses = List.of(at.split(","));
                keys = terminus.given();
            }
        }

        /** Of the one that leads; if it does not answer, of any that does. */
        ClusterView view() {
            List<String> silent = new ArrayList<>();
            ClusterView best = null;
            for (String address : addresses) {
                try {
                    ClusterView view =
                            on(address, ASK, stub -> stub.describe(DescribeClusterRequest.getDefaultInstance()));
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

        /** Asks the one that leads, and the next one if the lead has gone elsewhere: what is changed twice is as if it were once. */
        ClusterView change(Function<LockClusterBlockingStub, ClusterView> change) {
            long endNanos = System.nanoTime() + ELECTION.toNanos();
            while (true) {
                String leader = leader(view());
                boolean over = System.nanoTime() - endNanos > 0;
                if (leader != null) {
                    try {
                        return on(leader, CHANGE, change);
                    } catch (StatusRuntimeException e) {
                        if (over || e.getStatus().getCode() != Status.Code.UNAVAILABLE) {
                            throw CallFailure.of("the lock manager at " + leader, e);
                        }
                    }
                } else if (over) {
                    throw new Failure("none of the lock managers leads, so the group cannot be changed now");
                }
                pause();
            }
        }

        private static @Nullable String leader(ClusterView view) {
            return view.getMembersList().stream()
                    .filter(one -> one.getId().equals(view.getLeader()))
                    .map(ClusterMember::getClientAddress)
                    .findFirst()
                    .orElse(null);
        }

        private static void pause() {
            try {
                Thread.sleep(PAUSE);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new Failure("interrupted while looking for the lock manager that leads", e);
            }
        }

        private <T> T on(String address, Duration deadline, Function<LockClusterBlockingStub, T> call) {
            try (Connection connection = new Connection("the lock manager", address, deadline, keys)) {
                return call.apply(connection.timed(LockClusterGrpc.newBlockingStub(connection.channel())));
            }
        }
    }
}
