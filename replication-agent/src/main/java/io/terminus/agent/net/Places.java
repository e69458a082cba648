package io.terminus.agent.net;

import java.net.InetAddress;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Who may have a connection: so many in all, and so many of them from one address, so that whoever leaves its connections open locks
 * out itself first. Connections that have no address, those of a unix domain socket, count among all only. Any thread.
 */
final class Places {

    private final int most;
    private final int mostOfOneAddress;
    private final Map<InetAddress, Integer> byAddress = new HashMap<>();
    private int taken;

    Places(int most, int mostOfOneAddress) {
        this.most = most;
        this.mostOfOneAddress = mostOfOneAddress;
    }

    /** Takes a place, to be {@link #release}d. Returns why there is none, or null. */
    synchronized @Nullable String take(@Nullable InetAddress from) {
        if (taken >= most) {
            return "all " + most + " connections that this port takes are in use";
        }
        int own = from == null ? 0 : byAddress.getOrDefault(from, 0);
        if (from != null && own >= mostOfOneAddress) {
            return own + " connections come from " + from.getHostAddress() + " already, and " + mostOfOneAddress
                    + " is the most from one address";
        }
        taken++;
        if (from != null) {
            byAddress.put(from, own + 1);
        }
        return null;
    }

    synchronized void release(@Nullable InetAddress from) {
        taken--;
        if (from != null) {
            byAddress.computeIfPresent(from, (address, own) -> own == 1 ? null : own - 1);
        }
    }
}
