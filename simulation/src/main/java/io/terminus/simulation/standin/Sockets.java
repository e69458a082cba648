package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.Host;
import io.terminus.simulation.kernel.Net;
import io.terminus.simulation.kernel.Rng;
import io.terminus.simulation.kernel.WaitQueue;
import io.terminus.simulation.kernel.World;
import java.io.IOException;
import java.net.BindException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketException;
import java.net.SocketImpl;
import java.net.SocketOption;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.channels.spi.AbstractSelectableChannel;
import java.nio.channels.spi.AbstractSelectionKey;
import java.nio.channels.spi.AbstractSelector;
import java.nio.channels.spi.SelectorProvider;
import java.util.ArrayDeque;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Stand in for sockets and selectors, over {@link Net}. A write takes what the window has room for, and is received in pieces of
 * any size; the window opens when the other side has read.
 */
public final class Sockets {

    private static final int WINDOW_BYTES = 256 << 10;

    private Sockets() {}

    public static SocketChannel open() {
        return new Channel();
    }

    public static SocketChannel open(ProtocolFamily family) {
        throw new UnsupportedOperationException("a socket of " + family + " has no stand-in");
    }

    // ---- stand in for methods that are final, or reach the system

    public static ServerSocketChannel openServer() {
        return new Server();
    }

    public static Selector openSelector() {
        return new Select();
    }

    /** A machine's address is its name. */
    static InetSocketAddress address(String host, int port) {
        byte[] bytes = {10, 0, 0, (byte) (Math.floorMod(host.hashCode(), 250) + 1)};
        try {
            return new InetSocketAddress(InetAddress.getByAddress(host, bytes), port);
        } catch (UnknownHostException e) {
            throw new IllegalStateException(e);
        }
    }

    /** No resolver is asked. */
    public static class Address extends InetSocketAddress {
        public Address(String host, int port) {
            super(address(host, port).getAddress(), port);
        }
    }

    private record Chance(Rng rng) {}

    private static Rng rng() {
        World w = World.current();
        return w.attic(Chance.class, () -> new Chance(w.rng("sockets"))).rng();
    }

    static final class Channel extends SocketChannel implements Net.Receiver {
        private final Host.Process process = World.here().process();
        private Net.Connection connection;
        private int side;
        private Channel other;
        private final ArrayDeque<ByteBuffer> in = new ArrayDeque<>();
        private long outstanding;
        private boolean ended;
        private String resetBy;
        private boolean shut;
        private Select selector;

        Channel() {
            super(SelectorProvider.provider());
        }

        void connected(Net.Connection connection, int side) {
            this.connection = connection;
            this.side = side;
        }

        @Override
        public void received(Object what) {
            ByteBuffer bytes = (ByteBuffer) what;
            in.add(bytes);
            changed();
        }

        @Override
        public void ended() {
            ended = true;
            changed();
        }

        @Override
        public void reset(String why) {
            resetBy = why;
            in.clear();
            changed();
        }

        private void changed() {
            if (selector != null) {
                selector.changed();
            }
        }

        int readyOps() {
            int ops = 0;
            if (!in.isEmpty() || ended || resetBy != null) {
                ops |= SelectionKey.OP_READ;
            }
            if (outstanding < WINDOW_BYTES || resetBy != null) {
                ops |= SelectionKey.OP_WRITE;
            }
            return ops;
        }

        private void requireUsable() throws IOException {
            if (!isOpen()) {
                throw new ClosedChannelException();
            }
            if (connection == null) {
                throw new java.nio.channels.NotYetConnectedException();
            }
            if (resetBy != null) {
                throw new SocketException(resetBy);
            }
        }

        @Override
        public int read(ByteBuffer dst) throws IOException {
            requireUsable();
            World.point();
            if (in.isEmpty()) {
                return ended ? -1 : 0;
            }
            int got = 0;
            while (!in.isEmpty() && dst.hasRemaining()) {
                ByteBuffer head = in.peek();
                int count = Math.min(head.remaining(), dst.remaining());
                dst.put(head.slice().limit(count));
                head.position(head.position() + count);
                got += count;
                if (!head.hasRemaining()) {
                    in.remove();
                }
                if (rng().perMille(50)) {
                    break;
                }
            }
            int taken = got;
            Channel writer = other;
            if (writer != null) {
                connection.signal(side, () -> writer.roomAgain(taken));
            }
            return got;
        }

        private void roomAgain(int bytes) {
            outstanding -= bytes;
            changed();
        }

        @Override
        public int write(ByteBuffer src) throws IOException {
            requireUsable();
            World.point();
            requireUsable();
            int count = (int) Math.min(src.remaining(), WINDOW_BYTES - outstanding);
            if (count <= 0) {
                return 0;
            }
            ByteBuffer copy = ByteBuffer.allocate(count);
            copy.put(src.slice().limit(count)).flip();
            src.position(src.position() + count);
            outstanding += count;
            int cut = rng().perMille(100) && count > 1 ? 1 + rng().below(count - 1) : count;
            connection.send(side, copy.slice(0, cut));
            if (cut < count) {
                connection.send(side, copy.slice(cut, count - cut));
            }
            return count;
        }

        @Override
        public long read(ByteBuffer[] dsts, int offset, int length) {
            throw new UnsupportedOperationException("a scattering read has no stand-in");
        }

        @Override
        public long write(ByteBuffer[] srcs, int offset, int length) throws IOException {
            long sum = 0;
            for (int i = offset; i < offset + length; i++) {
                while (srcs[i].hasRemaining()) {
                    int written = write(srcs[i]);
                    if (written == 0) {
                        return sum;
                    }
                    sum += written;
                }
            }
            return sum;
        }

        @Override
        protected void implCloseSelectableChannel() {
            shut = true;
            if (connection != null) {
                connection.close(side);
            }
            changed();
        }

        @Override
        protected void implConfigureBlocking(boolean block) {}

        @Override
        public boolean connect(SocketAddress to) throws IOException {
            connect(to, Long.MAX_VALUE / 4);
            return true;
        }

        void connect(SocketAddress to, long nanos) throws IOException {
            InetSocketAddress at = (InetSocketAddress) to;
            String[] refused = {null};
            boolean[] done = {false};
            WaitQueue waits = new WaitQueue();
            World.current()
                    .net()
                    .connect(
                            at.getHostString(),
                            at.getPort(),
                            c -> {
                                done[0] = true;
                                if (shut) {
                                    c.reset(0, "closed meanwhile");
                                    return;
                                }
                                connected(c, 0);
                                c.receiver(0, this);
                                pair(c, this);
                                waits.wakeAll();
                            },
                            () -> {
                                done[0] = true;
                                refused[0] = "Connection refused";
                                waits.wakeAll();
                            });
            long until = World.here().nanoTime() + nanos;
            while (!done[0]) {
                long left = until - World.here().nanoTime();
                if (left <= 0) {
                    shut = true;
                    throw new SocketTimeoutException("Connect timed out");
                }
                waits.await(left);
            }
            if (refused[0] != null) {
                throw new ConnectException(refused[0]);
            }
        }

        @Override
        public Socket socket() {
            try {
                return new ConnectingSocket(this);
            } catch (SocketException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public <T> SocketChannel setOption(SocketOption<T> name, T value) {
            return this;
        }

        @Override
        public <T> T getOption(SocketOption<T> name) {
            return null;
        }

        @Override
        public Set<SocketOption<?>> supportedOptions() {
            return Set.of();
        }

        @Override
        public SocketAddress getLocalAddress() {
            return connection == null
                    ? address(process.host().name(), 0)
                    : address(connection.host(side), connection.port(side));
        }

        @Override
        public SocketAddress getRemoteAddress() {
            return address(connection.host(1 - side), connection.port(1 - side));
        }

        @Override
        public SocketChannel bind(SocketAddress local) {
            return this;
        }

        @Override
        public SocketChannel shutdownInput() {
            throw new UnsupportedOperationException("shutdownInput has no stand-in");
        }

        @Override
        public SocketChannel shutdownOutput() {
            throw new UnsupportedOperationException("shutdownOutput has no stand-in");
        }

        @Override
        public boolean isConnected() {
            return connection != null;
        }

        @Override
        public boolean isConnectionPending() {
            return false;
        }

        @Override
        public boolean finishConnect() {
            return connection != null;
        }
    }

    /** Both ends of a connection, for the window. */
    private static final class Pairs {
        final java.util.Map<Net.Connection, Channel> servers = new java.util.IdentityHashMap<>();
    }

    private static void pair(Net.Connection c, Channel client) {
        Channel server = World.current().attic(Pairs.class, Pairs::new).servers.remove(c);
        client.other = server;
        if (server != null) {
            server.other = client;
        }
    }

    private static final class ConnectingSocket extends Socket {
        private final Channel channel;

        ConnectingSocket(Channel channel) throws SocketException {
            super(unconnected());
            this.channel = channel;
        }

        private static SocketImpl unconnected() {
            return null;
        }

        @Override
        public void connect(SocketAddress to, int timeoutMillis) throws IOException {
            channel.connect(to, timeoutMillis * 1_000_000L);
        }
    }

    static final class Server extends ServerSocketChannel {
        private final ArrayDeque<Channel> backlog = new ArrayDeque<>();
        private final WaitQueue arrivals = new WaitQueue();
        private InetSocketAddress bound;

        Server() {
            super(SelectorProvider.provider());
        }

        @Override
        public ServerSocketChannel bind(SocketAddress local, int most) throws IOException {
            InetSocketAddress at = (InetSocketAddress) local;
            Host host = World.here();
            boolean free = World.current().net().listen(host.name(), at.getPort(), c -> {
                Channel channel = new Channel();
                channel.connected(c, 1);
                c.receiver(1, channel);
                World.current().attic(Pairs.class, Pairs::new).servers.put(c, channel);
                backlog.add(channel);
                arrivals.wakeAll();
                return true;
            });
            if (!free) {
                throw new BindException("Address already in use");
            }
            bound = address(host.name(), at.getPort());
            return this;
        }

        @Override
        public SocketChannel accept() throws IOException {
            while (backlog.isEmpty()) {
                if (!isOpen()) {
                    throw new AsynchronousCloseException();
                }
                arrivals.await();
            }
            return backlog.remove();
        }

        @Override
        protected void implCloseSelectableChannel() {
            if (bound != null) {
                World.current().net().unlisten(bound.getHostString(), bound.getPort());
            }
            arrivals.wakeAll();
        }

        @Override
        protected void implConfigureBlocking(boolean block) {}

        @Override
        public <T> ServerSocketChannel setOption(SocketOption<T> name, T value) {
            return this;
        }

        @Override
        public <T> T getOption(SocketOption<T> name) {
            return null;
        }

        @Override
        public Set<SocketOption<?>> supportedOptions() {
            return Set.of();
        }

        @Override
        public ServerSocket socket() {
            throw new UnsupportedOperationException("the socket of a server channel has no stand-in");
        }

        @Override
        public SocketAddress getLocalAddress() {
            return bound;
        }
    }

    private static final class Key extends AbstractSelectionKey {
        private final Channel channel;
        private final Select selector;
        private int interest;
        private int ready;

        Key(Channel channel, Select selector, int interest) {
            this.channel = channel;
            this.selector = selector;
            this.interest = interest;
        }

        @Override
        public Channel channel() {
            return channel;
        }

        @Override
        public Selector selector() {
            return selector;
        }

        @Override
        public int interestOps() {
            return interest;
        }

        @Override
        public SelectionKey interestOps(int ops) {
            interest = ops;
            return this;
        }

        @Override
        public int readyOps() {
            return ready;
        }
    }

    static final class Select extends AbstractSelector {
        private final Set<SelectionKey> keys = new LinkedHashSet<>();
        private final Set<SelectionKey> selected = new LinkedHashSet<>();
        private final WaitQueue waits = new WaitQueue();
        private boolean woken;

        Select() {
            super(SelectorProvider.provider());
        }

        void changed() {
            waits.wakeAll();
        }

        @Override
        protected SelectionKey register(AbstractSelectableChannel channel, int ops, Object attachment) {
            Key key = new Key((Channel) channel, this, ops);
            key.channel.selector = this;
            keys.add(key);
            return key;
        }

        @Override
        public Set<SelectionKey> keys() {
            return keys;
        }

        @Override
        public Set<SelectionKey> selectedKeys() {
            return selected;
        }

        private int look() {
            int count = 0;
            for (SelectionKey k : keys) {
                Key key = (Key) k;
                key.ready = key.isValid() ? key.channel.readyOps() & key.interest : 0;
                if (key.ready != 0) {
                    selected.add(key);
                    count++;
                }
            }
            return count;
        }

        @Override
        public int selectNow() {
            woken = false;
            return look();
        }

        @Override
        public int select(long millis) {
            return select(millis == 0, millis * 1_000_000);
        }

        @Override
        public int select() {
            return select(true, 0);
        }

        private int select(boolean forEver, long nanos) {
            World.point();
            long until = World.here().nanoTime() + nanos;
            while (true) {
                if (!isOpen()) {
                    throw new ClosedSelectorException();
                }
                keys.removeIf(k -> !k.isValid());
                int count = look();
                if (count > 0 || woken || keys.isEmpty()) {
                    woken = false;
                    return count;
                }
                if (forEver) {
                    waits.await();
                } else {
                    long left = until - World.here().nanoTime();
                    if (left <= 0) {
                        return 0;
                    }
                    waits.await(left);
                }
            }
        }

        @Override
        public Selector wakeup() {
            woken = true;
            waits.wakeAll();
            return this;
        }

        @Override
        protected void implCloseSelector() {
            keys.clear();
            waits.wakeAll();
        }
    }
}
