package io.terminus.agent.peer;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** {@code host:port}, as value blocks, agents' answers and command lines carry it. */
public final class Addresses {

    private static final int MOST_PORT = 65_535;
    private static final Pattern HOST_AND_PORT = Pattern.compile("\\S+:([0-9]{1,5})");

    private Addresses() {}

    /**
     * The address, resolved if its host is known now.
     *
     * @throws IOException if it is none: what was written down elsewhere is no reason for a thread here to end
     */
    public static InetSocketAddress parse(String hostAndPort) throws IOException {
        require(hostAndPort);
        int colon = hostAndPort.lastIndexOf(':');
        return new InetSocketAddress(
                hostAndPort.substring(0, colon), Integer.parseInt(hostAndPort.substring(colon + 1)));
    }

    /** Whether it is one; looks nothing up. */
    public static void require(String hostAndPort) throws IOException {
        Matcher parts = HOST_AND_PORT.matcher(hostAndPort);
        int port = parts.matches() ? Integer.parseInt(parts.group(1)) : 0;
        if (port < 1 || port > MOST_PORT) {
            throw new IOException(
                    "the address \"" + hostAndPort + "\" is not host:port, with a port from 1 to " + MOST_PORT);
        }
    }
}
