package io.terminus.lockmgr.client;

import io.terminus.simulation.kernel.World;
import io.terminus.simulation.standin.Grpc;

/**
 * Where the client library reaches the system. In production its loop runs on the event loop of its connection; here it has a
 * thread of its own, which it can have in production too.
 */
public final class SimulatedClients {

    private SimulatedClients() {}

    public static LockClient connect(LockClient.Config config) {
        return LockClient.connect(config, Grpc.channel(config.target()));
    }

    public static LeaseClock system() {
        return () -> World.here().nanoTime();
    }
}
