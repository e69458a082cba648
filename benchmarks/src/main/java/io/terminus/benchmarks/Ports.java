package io.terminus.benchmarks;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.atomic.AtomicInteger;

/** Ports for the processes that are measured. */
public final class Ports {

    private static final int LOWEST = 12_000;
    private static final int COUNT = 20_000;

    /** Two benchmarks that run at once begin at different places. */
    private static final AtomicInteger NEXT =
            new AtomicInteger((int) (ProcessHandle.current().pid() * 61 % COUNT));

    private Ports() {}

    /**
     * A free port of the loopback address, which nobody else here is given. It lies below those that the kernel gives to clients: else a
     * connection may have it by the time its process begins to listen, or while that is killed and started again.
     */
    public static int free() throws IOException {
        for (int i = 0; i < COUNT; i++) {
            int port = LOWEST + Math.floorMod(NEXT.getAndIncrement(), COUNT);
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException taken) {
                // another one
            }
        }
        throw new IOException("no port of 127.0.0.1 from " + LOWEST + " to " + (LOWEST + COUNT) + " is free");
    }
}
