package io.terminus.lockmgr;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.ThreadLocalRandom;

/** Ports for processes that come and go in a test. */
public final class TestPorts {

    /** Below those that the kernel gives to clients. */
    private static final int FIRST = 12_000;

    private static final int BEHIND_LAST = 32_000;

    private TestPorts() {}

    /** One that is free, and that no connection gets while the process that has it is away. */
    public static int free() {
        while (true) {
            int port = ThreadLocalRandom.current().nextInt(FIRST, BEHIND_LAST);
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException taken) {
                // another one
            }
        }
    }
}
