package io.terminus.agent.net;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;

/** The address is taken by someone else, or is not ours to listen on. Nothing was opened. */
public final class CannotListenException extends IOException {

    private final transient SocketAddress address;

    CannotListenException(String what, SocketAddress address, IOException cause) {
        super(what + ": cannot listen on " + describe(address) + ": " + cause.getMessage(), cause);
        this.address = address;
    }

    public SocketAddress address() {
        return address;
    }

    private static String describe(SocketAddress address) {
        return switch (address) {
            case InetSocketAddress inet -> "port " + inet.getPort() + " of " + inet.getHostString();
            case UnixDomainSocketAddress unix -> "socket " + unix.getPath();
            case SocketAddress other -> other.toString();
        };
    }
}
