package io.terminus.cli;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;

/** Ports for sets of tests, below the range from which outgoing connections take theirs. */
public final class PortBases {

    private static final int STEP = 20;

    /** Stories run beside each other: two may not find the same ports free before either has started anything. */
    private static final Set<Integer> GIVEN = ConcurrentHashMap.newKeySet();

    private PortBases() {}

    /**
     * The first of some in a row that nobody uses now or was given before.
     *
     * @param ports at most 20
     */
    public static int free(int ports) {
        while (true) {
            int base = STEP * ThreadLocalRandom.current().nextInt(12_000 / STEP, 30_000 / STEP);
            if (GIVEN.add(base) && allFree(base, ports)) {
                return base;
            }
        }
    }

    private static boolean allFree(int base, int ports) {
        for (int port = base; port < base + ports; port++) {
            try (ServerSocket socket = new ServerSocket()) {
                socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            } catch (IOException taken) {
                return false;
            }
        }
        return true;
    }
}
