package io.terminus.agent.peer;

import java.net.InetSocketAddress;

/** {@code host:port}, as value blocks and command lines carry it. */
final class Addresses {

    private Addresses() {}

    static InetSocketAddress parse(String hostAndPort) {
        int colon = hostAndPort.lastIndexOf(':');
        if (colon <= 0) {
            throw new IllegalArgumentException("\"" + hostAndPort + "\" is not host:port");
        }
        return new InetSocketAddress(
                hostAndPort.substring(0, colon), Integer.parseInt(hostAndPort.substring(colon + 1)));
    }
}
