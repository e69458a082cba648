package io.terminus.cli;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.terminus.security.TlsFiles;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where the processes of a set listen: ten ports in a row from one base, so that one number moves a whole set. A group of lock managers
 * takes one more for the first of them, and three more for each other.
 *
 * <pre>
 *   base + 0  a        nbd          base + 5  a        rest
 *   base + 1  b        nbd          base + 6  a        peer
 *   base + 2  lockmgr  grpc         base + 7  b        grpc
 *   base + 3  lockmgr  rest         base + 8  b        rest
 *   base + 4  a        grpc         base + 9  b        peer
 *   base + 10 lockmgr  group
 *   base + 11 lockmgr-2 grpc, + 12 rest, + 13 group;   + 14 to 16 lockmgr-3;   and so on
 * </pre>
 *
 * @param keys with which they are asked under TLS; null: without
 */
record PortPlan(int base, int lockManagers, @Nullable TlsFiles keys) {

    static final int DEFAULT_BASE = 10809;
    private static final int COUNT = 10;
    private static final int GROUP_STEP = 3;

    /** Host and port of each service of a process; null where it has none. */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Endpoints(
            String grpc,
            String rest,
            @Nullable String nbd,
            @Nullable String peer) {}

    /** One port and what it is for. */
    record Use(int port, String purpose) {}

    PortPlan {
        int highest = 65536 - count(lockManagers);
        if (base < 1 || base > highest) {
            throw new IllegalArgumentException("port base " + base + " is outside 1 to " + highest + ": a set uses "
                    + count(lockManagers) + " ports in a row");
        }
    }

    PortPlan(int base) {
        this(base, 1, null);
    }

    /** How many ports a set with so many lock managers uses. */
    static int count(int lockManagers) {
        return lockManagers == 1 ? COUNT : COUNT + 1 + GROUP_STEP * (lockManagers - 1);
    }

    List<SetMember> lockManagerMembers() {
        return SetMember.LOCK_MANAGERS.subList(0, lockManagers);
    }

    /** Where lock managers of a group meet each other. */
    int group(SetMember lockManager) {
        return base + COUNT + GROUP_STEP * SetMember.LOCK_MANAGERS.indexOf(lockManager);
    }

    /** Where a client reaches the lock manager, whichever leads. */
    String lockManagerTargets() {
        return String.join(
                ",",
                lockManagerMembers().stream()
                        .map(member -> endpoints(member).grpc())
                        .toList());
    }

    /** As the lock managers' settings name each other. */
    String groupMembers() {
        return String.join(
                ",",
                lockManagerMembers().stream()
                        .map(member -> member.title() + "=" + local(group(member)) + "/"
                                + endpoints(member).grpc())
                        .toList());
    }

    int grpc(SetMember member) {
        return base
                + switch (member) {
                    case LOCKMGR -> 2;
                    case LOCKMGR_2, LOCKMGR_3, LOCKMGR_4, LOCKMGR_5 ->
                        COUNT + 1 + GROUP_STEP * (SetMember.LOCK_MANAGERS.indexOf(member) - 1);
                    case A -> 4;
                    case B -> 7;
                };
    }

    int rest(SetMember member) {
        return grpc(member) + 1;
    }

    int nbd(SetMember agent) {
        return switch (agent) {
            case A -> base;
            case B -> base + 1;
            case LOCKMGR, LOCKMGR_2, LOCKMGR_3, LOCKMGR_4, LOCKMGR_5 ->
                throw new IllegalArgumentException("the lock manager serves no volumes");
        };
    }

    int peer(SetMember agent) {
        if (!agent.isAgent()) {
            throw new IllegalArgumentException("the lock manager has no peers");
        }
        return grpc(agent) + 2;
    }

    Endpoints endpoints(SetMember member) {
        return new Endpoints(
                local(grpc(member)),
                local(rest(member)),
                member.isAgent() ? local(nbd(member)) : null,
                member.isAgent() ? local(peer(member)) : null);
    }

    List<Use> uses(SetMember member) {
        List<Use> uses = new ArrayList<>();
        uses.add(new Use(grpc(member), member.title() + " gRPC"));
        uses.add(new Use(rest(member), member.title() + " REST"));
        if (!member.isAgent() && lockManagers > 1) {
            uses.add(new Use(group(member), member.title() + " group"));
        }
        if (member.isAgent()) {
            uses.add(new Use(nbd(member), member.title() + " NBD"));
            uses.add(new Use(peer(member), member.title() + " peer"));
        }
        return uses;
    }

    private static String local(int port) {
        return "localhost:" + port;
    }
}
