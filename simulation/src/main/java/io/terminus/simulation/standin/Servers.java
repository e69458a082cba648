package io.terminus.simulation.standin;

import java.nio.channels.ServerSocketChannel;

/** {@code ServerSocketChannel.open}, whose name another stand-in of the same shape has already. */
public final class Servers {

    private Servers() {}

    public static ServerSocketChannel open() {
        return Sockets.openServer();
    }
}
