package io.terminus.agent.nbd;

import io.terminus.agent.net.CannotListenException;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.Listener;
import java.io.IOException;
import java.net.SocketAddress;
import java.nio.channels.SocketChannel;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Serves {@link Exports} to NBD clients, each by a reader thread of its own. Any thread may call. */
public final class NbdServer implements AutoCloseable {

    private final Exports exports;
    private final Limits limits;
    private final Listener listener;
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
    private final CountDownLatch allEnded = new CountDownLatch(1);
    private volatile boolean closing;

    private record Client(DuplexSocket socket, Listener.Place place) {}

    private final ConcurrentHashMap<Connection, Client> clients = new ConcurrentHashMap<>();

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
        return (int) connections.stream()
                .filter(connection -> connection.exportName().equals(exportName))
                .count();
    }

    /** Closes every connection to an export without another answer: what is in flight has an unknown outcome. */
    public void disconnectAll(String exportName, String why) {
        for (Connection connection : connections) {
            if (connection.exportName().equals(exportName)) {
                connection.disconnect(why);
            }
        }
    }

    /**
     * Stops accepting, answers what is in flight, refuses what comes after as ESHUTDOWN, and disconnects everyone; takes
     * at most {@link Limits#shutdown} until the last answers, and then cuts.
     */
    @Override
    public void close() {
        closing = true;
        listener.close();
        connections.forEach(Connection::shutDown);
        if (!allEndedWithin(limits.shutdown().toNanos())) {
            connections.forEach(connection -> connection.disconnect("server has shut down"));
        }
    }

    private void accepted(SocketChannel channel, Listener.Place place) throws IOException {
        DuplexSocket socket =
                new DuplexSocket(channel, "NBD client " + channel.getRemoteAddress(), Connection.QUEUE_LIMIT_BYTES);
        Connection connection = new Connection(this, socket, exports, limits);
        clients.put(connection, new Client(socket, place));
        connections.add(connection);
        socket.start(connection);
        if (closing) {
            connection.shutDown();
        }
    }

    /** Called by a connection when it is over. */
    void ended(Connection connection) {
        connections.remove(connection);
        Client client = clients.remove(connection);
        if (client != null) {
            client.place().close();
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
