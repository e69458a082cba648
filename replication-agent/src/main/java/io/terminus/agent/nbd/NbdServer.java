package io.terminus.agent.nbd;

import io.terminus.agent.net.CannotListenException;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.Listener;
import java.io.IOException;
import java.net.SocketAddress;
import java.nio.channels.SocketChannel;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Serves {@link Exports} to NBD clients, each by a reader thread of its own. Any thread may call. */
public final class NbdServer implements AutoCloseable {

    private final Exports exports;
    private final Limits limits;
    private final Listener listener;
    private final ConcurrentHashMap<Connection, Listener.Place> connections = new ConcurrentHashMap<>();
    private final CountDownLatch allEnded = new CountDownLatch(1);
    private volatile boolean closing;

    private NbdServer(Exports exports, Limits limits, Listener listener) {
        this.exports = exports;
        this.limits = limits;
        this.listener = listener;
    }

    /**
     * Listens on a TCP port (0: any) or a unix domain socket.
     *
     * @throws CannotListenException if the address is taken
     */
    public static NbdServer start(SocketAddress at, Exports exports, Limits limits) throws IOException {
        Listener listener = Listener.bind(at, "NBD server", limits.connections());
        NbdServer server = new NbdServer(exports, limits, listener);
        listener.start(server::accepted);
        return server;
    }

    /** The address bound, with the real port where 0 was asked for. */
    public SocketAddress address() {
        return listener.address();
    }

    /** Clients connected, those in the handshake included. */
    public int connections() {
        return connections.size();
    }

    /** Clients that use this export. */
    public int connections(String exportName) {
        return (int) connections.keySet().stream()
                .filter(connection -> connection.exportName().equals(exportName))
                .count();
    }

    /** Closes every connection to an export without another answer: what is in flight has an unknown outcome. */
    public void disconnectAll(String exportName, String why) {
        for (Connection connection : connections.keySet()) {
            if (connection.exportName().equals(exportName)) {
                connection.disconnect(why);
            }
        }
    }

    /**
     * Stops accepting, answers what is in flight, refuses what comes after as ESHUTDOWN, and disconnects everyone; waits
     * {@link Limits#shutdown} for the last answers, then cuts, and waits as long again for the readers to end.
     */
    @Override
    public void close() {
        closing = true;
        listener.close();
        connections.keySet().forEach(Connection::shutDown);
        if (!allEndedWithin(limits.shutdown().toNanos())) {
            connections.keySet().forEach(connection -> connection.disconnect("server has shut down"));
            allEndedWithin(limits.shutdown().toNanos()); // readers that are stuck in a device are left behind
        }
    }

    private void accepted(SocketChannel channel, Listener.Place place) throws IOException {
        DuplexSocket socket =
                new DuplexSocket(channel, "NBD client " + channel.getRemoteAddress(), Connection.QUEUE_LIMIT_BYTES);
        Connection connection = new Connection(this, socket, exports, limits);
        connections.put(connection, place);
        try {
            socket.start(connection);
        } catch (RuntimeException | OutOfMemoryError e) {
            socket.fail(e); // no thread to be had
            connection.closed("no thread for it", e);
            throw e;
        }
        if (closing) {
            connection.shutDown();
        }
    }

    /** Called by a connection when it is over. */
    void ended(Connection connection) {
        Listener.Place place = connections.remove(connection);
        if (place != null) {
            place.close();
        }
        if (closing && connections.isEmpty()) {
            allEnded.countDown();
        }
    }

    private boolean allEndedWithin(long nanos) {
        if (connections.isEmpty()) {
            return true;
        }
        try {
            return allEnded.await(nanos, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}
