package io.terminus.lockmgr.app;

import io.terminus.lockmgr.ha.Member;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.Security;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Who the members are by the settings: a list, or the hosts behind one name.
 *
 * <p>Hosts behind a name are numbered, {@code lockmgr-0.NAME} to {@code lockmgr-2.NAME}, as Kubernetes numbers the pods of a StatefulSet
 * whose service has no address of its own. So which they are is known before they run, and each of them comes to the same list; an answer of
 * the DNS with some of the addresses only, as it gives while they start, would let two halves begin a group each. What the log keeps are
 * the names: whose address changes is found again at the next try to connect.
 */
final class Roster {

    private static final Pattern SERVICE = Pattern.compile("(?<name>[^/:=,]+):(?<raft>\\d{1,5})/(?<client>\\d{1,5})");
    private static final Pattern NUMBERED = Pattern.compile("(?<base>[A-Za-z0-9._-]*[A-Za-z_-])(?<number>\\d+)");

    /** How long the address of a name is believed. A pod that moved has another one at once. */
    private static final String BELIEVED_SECONDS = "1";

    private Roster() {}

    /**
     * Java believes an address for 30 s, and gRPC does not look again sooner: so long a member that came back under another address would not
     * be found. To be called before the first name is looked up.
     */
    static void lookNamesUpAnew() {
        Security.setProperty("networkaddress.cache.ttl", BELIEVED_SECONDS);
        Security.setProperty("networkaddress.cache.negative.ttl", BELIEVED_SECONDS);
        System.setProperty("networkaddress.cache.ttl", BELIEVED_SECONDS); // what gRPC reads, ours and Ratis's
    }

    /** Without its domain; empty if this host does not know. */
    static String hostName() {
        try {
            return InetAddress.getLocalHost().getHostName().split("\\.", 2)[0];
        } catch (UnknownHostException e) {
            return "";
        }
    }

    static String node(LockManagerProperties.Cluster cluster, String hostName) {
        return cluster.node().isEmpty() && !cluster.service().isEmpty() ? hostName : cluster.node();
    }

    /** @throws IllegalArgumentException if the settings do not say who they are */
    static List<Member> members(LockManagerProperties.Cluster cluster, String hostName) {
        if (cluster.service().isEmpty()) {
            return cluster.members().stream().map(Member::parse).toList();
        }
        Matcher service = SERVICE.matcher(cluster.service());
        if (!service.matches()) {
            throw new IllegalArgumentException("lockmgr.cluster.service of '" + cluster.service()
                    + "' is not NAME:PORT/PORT, for the group and for clients");
        }
        String node = node(cluster, hostName);
        Matcher numbered = NUMBERED.matcher(node);
        if (!numbered.matches() || Integer.parseInt(numbered.group("number")) >= cluster.size()) {
            throw new IllegalArgumentException("with lockmgr.cluster.service members are called NAME-0 to NAME-"
                    + (cluster.size() - 1) + ", and this one is '" + node
                    + "': set lockmgr.cluster.node or the host's name, and lockmgr.cluster.size");
        }
        List<Member> members = new ArrayList<>();
        for (int i = 0; i < cluster.size(); i++) {
            String id = numbered.group("base") + i;
            String host = id + "." + service.group("name") + ":";
            members.add(new Member(id, host + service.group("raft"), host + service.group("client")));
        }
        return List.copyOf(members);
    }
}
