package io.terminus.agent.nbd;

import io.terminus.agent.net.CannotListenException;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.Listener;
import java.io.IOException;
import java.net.SocketAddress;
import java.nio.channels.SocketChannel;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Serves {@link Exports} to NBD clients, each by a reader thread of its own. Any thread may call. */
public final class NbdServer implements AutoCloseable {

    private static final long WATCH_MILLIS = 500;

    private final Exports exports;
    private final Limits limits;
    private final LargeRequests largeRequests;
    private final List<Listener> listeners = new CopyOnWriteArrayList<>();
    private final ConcurrentHashMap<Connection, Listener.Place> connections = new ConcurrentHashMap<>();
    private final CountDownLatch allEnded = new CountDownLatch(1);
    private volatile boolean closing;

    private NbdServer(Exports exports, Limits limits) {
        this.exports = exports;
        this.limits = limits;
        this.largeRequests = new LargeRequests(limits.largeRequests());
    }

    /** Listens without TLS: see {@link #start(SocketAddress, Security, Exports, Limits)}. */
    public static NbdServer start(SocketAddress at, Exports exports, Limits limits) throws IOException {
        return start(at, Security.plain(), exports, limits);
    }

    /**
     * Listens on a TCP port (0: any) or a unix domain socket.
     *
     * @throws CannotListenException if the address is taken
     */
    public static NbdServer start(SocketAddress at, Security security, Exports exports, Limits limits)
            throws IOException {
        NbdServer server = new NbdServer(exports, limits);
        server.listen(at, security);
        return server;
    }

    /**
     * Listens on one more address.
     *
     * @return the address bound, with the real port where 0 was asked for
     * @throws CannotListenException if the address is taken; the others are still served
     */
    public SocketAddress listen(SocketAddress at, Security security) throws IOException {
        Listener listener = Listener.bind(at, "NBD server", limits.connections(), limits.connectionsOfOneAddress());
        listeners.add(listener);
        if (listeners.size() == 1) {
            Thread.ofVirtual().name("NBD relays").start(this::watchWriters);
        }
        listener.start(new Listener.Acceptor() {
            @Override
            public void accepted(SocketChannel channel, Listener.Place place) throws IOException {
                serve(channel, place, security, exports);
            }

            @Override
            public void refused(SocketChannel channel, Listener.Place place, String why) throws IOException {
                serve(channel, place, security, new NoExports(why));
            }
        });
        return listener.address();
    }

    /** The first address bound, with the real port where 0 was asked for. */
    public SocketAddress address() {
        return listeners.getFirst().address();
    }

    /** Memory held for clients: what they have sent and was not taken yet, and answers they have not read; about now. */
    public long bufferBytes() {
        return connections.keySet().stream().mapToLong(Connection::bufferBytes).sum();
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

    /** Requests to this export that are not answered yet, of all its clients. */
    public int requestsInFlight(String exportName) {
        return connections.keySet().stream()
                .filter(connection -> connection.exportName().equals(exportName))
                .mapToInt(Connection::requestsInFlight)
                .sum();
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
        listeners.forEach(Listener::close);
        connections.keySet().forEach(Connection::shutDown);
        if (!allEndedWithin(limits.shutdown().toNanos())) {
            connections.keySet().forEach(connection -> connection.disconnect("server has shut down"));
            allEndedWithin(limits.shutdown().toNanos()); // readers that are stuck in a device are left behind
        }
    }

    /** A writer that is cut off does not end its connections, so those relayed to it are ended here. */
    private void watchWriters() {
        try {
            while (!closing) {
                Thread.sleep(WATCH_MILLIS);
                connections.keySet().forEach(Connection::checkWriter);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void serve(SocketChannel channel, Listener.Place place, Security security, Exports exports)
            throws IOException {
        DuplexSocket socket =
                new DuplexSocket(channel, "NBD client " + channel.getRemoteAddress(), Connection.QUEUE_LIMIT_BYTES);
        Connection connection = new Connection(this, socket, exports, security, limits, largeRequests);
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
