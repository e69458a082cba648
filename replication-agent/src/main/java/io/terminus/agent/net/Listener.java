package io.terminus.agent.net;

import java.io.IOException;
import java.net.BindException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.SocketException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Accepts connections on one address, at most a given number at a time, and of one client's address. Beyond that a connection ends as
 * soon as it is made: a client that is told at once can go elsewhere, one that waits in a backlog cannot. A few at a time are told why, if
 * their protocol has words for it.
 */
public final class Listener implements AutoCloseable {

    /** Called by the listener's thread; must not block. An exception closes that connection only. */
    public interface Acceptor {
        void accepted(SocketChannel channel, Place place) throws IOException;

        /**
         * There is no place for it: to be told so, and closed. The place is one of {@link #TOLD_AT_A_TIME}.
         *
         * @throws IOException it cannot be told, and is closed
         */
        default void refused(SocketChannel channel, Place place, String why) throws IOException {
            throw new IOException(why);
        }
    }

    /** Connections that are being told that there is no place for them; more are closed without a word. */
    static final int TOLD_AT_A_TIME = 16;

    /** One connection's place among those allowed. To be closed when the connection has ended; idempotent. */
    public static final class Place implements AutoCloseable {
        private final Places of;
        private final @Nullable InetAddress from;
        private final AtomicBoolean given = new AtomicBoolean();

        private Place(Places of, @Nullable InetAddress from) {
            this.of = of;
            this.from = from;
        }

        @Override
        public void close() {
            if (given.compareAndSet(false, true)) {
                of.release(from);
            }
        }
    }

    /** How long to leave a system alone that has no descriptor left to accept with. */
    private static final long PAUSE_MILLIS = 100;

    private static final int BACKLOG = 128;

    private final ServerSocketChannel server;
    private final SocketAddress address;

    /** Of a unix domain socket: whether the file is still the one made here. */
    private final @Nullable Object fileKey;

    private final String name;
    private final Places places;
    private final Places told = new Places(TOLD_AT_A_TIME, TOLD_AT_A_TIME);
    private final AtomicLong turnedAway = new AtomicLong();
    private final CountDownLatch closed = new CountDownLatch(1);

    private Listener(ServerSocketChannel server, String name, Places places, SocketAddress asked) throws IOException {
        this.server = server;
        this.address = asked instanceof UnixDomainSocketAddress ? asked : server.getLocalAddress();
        this.fileKey = asked instanceof UnixDomainSocketAddress unix ? fileKey(unix.getPath()) : null;
        this.name = name;
        this.places = places;
    }

    /**
     * Binds the address; nothing is accepted before {@link #start}. A unix domain socket is for its owner and group (mode
     * 0660) from its first moment; one that a killed process left behind is replaced, any other file is left alone.
     *
     * @param name what errors and the thread are named after, such as "NBD server"
     * @throws CannotListenException if the address is taken, or not ours
     */
    public static Listener bind(SocketAddress at, String name, int mostConnections) throws IOException {
        return bind(at, name, mostConnections, mostConnections);
    }

    /**
     * The same.
     *
     * @param mostOfOneAddress of the connections, how many may come from one address
     */
    public static Listener bind(SocketAddress at, String name, int mostConnections, int mostOfOneAddress)
            throws IOException {
        ServerSocketChannel server = at instanceof UnixDomainSocketAddress
                ? ServerSocketChannel.open(StandardProtocolFamily.UNIX)
                : ServerSocketChannel.open();
        try {
            if (at instanceof UnixDomainSocketAddress unix) {
                removeStale(unix);
            }
            if (at instanceof UnixDomainSocketAddress unix) {
                bindPrivately(server, unix);
            } else {
                server.bind(at, BACKLOG);
            }
            return new Listener(server, name, new Places(mostConnections, mostOfOneAddress), at);
        } catch (BindException | FileAlreadyExistsException e) {
            server.close();
            throw new CannotListenException(name, at, e);
        } catch (SocketException e) {
            server.close(); // no permission for this port
            throw new CannotListenException(name, at, e);
        } catch (IOException | RuntimeException e) {
            server.close();
            throw e;
        }
    }

    public Listener start(Acceptor acceptor) {
        Thread.ofPlatform().name(name + " listener").daemon().start(() -> acceptAll(acceptor));
        return this;
    }

    /** The address bound, with the real port where 0 was asked for. */
    public SocketAddress address() {
        return address;
    }

    /** Connections ended because a bound was reached, or because the acceptor failed. */
    public long turnedAway() {
        return turnedAway.get();
    }

    /** Stops accepting. Connections already made go on. */
    @Override
    public void close() {
        try {
            server.close();
            if (address instanceof UnixDomainSocketAddress unix
                    && closed.getCount() > 0
                    && fileKey != null
                    && fileKey.equals(fileKey(unix.getPath()))) {
                Files.deleteIfExists(unix.getPath());
            }
        } catch (IOException e) {
            // Nothing is accepted any more, which is what was asked for.
        }
        closed.countDown();
    }

    private void acceptAll(Acceptor acceptor) {
        while (true) {
            SocketChannel channel;
            try {
                channel = server.accept();
            } catch (ClosedChannelException e) {
                return;
            } catch (IOException e) {
                // Out of descriptors, or a connection that died in the backlog: the next may be better, but not at
                // once.
                if (pausedUntilClosed()) {
                    return;
                }
                continue;
            }
            admit(channel, acceptor);
        }
    }

    private void admit(SocketChannel channel, Acceptor acceptor) {
        InetAddress from = null;
        try {
            from = channel.getRemoteAddress() instanceof InetSocketAddress at ? at.getAddress() : null;
        } catch (IOException e) {
            // It is gone, which whoever takes it sees.
        }
        String why = places.take(from);
        if (why != null && told.take(from) != null) {
            turnAway(channel);
            return;
        }
        Place place = new Place(why == null ? places : told, from);
        try {
            if (why == null) {
                acceptor.accepted(channel, place);
            } else {
                acceptor.refused(channel, place, why);
                turnedAway.incrementAndGet();
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            // Also when no thread can be had for it: the listener must outlive that.
            place.close();
            turnAway(channel);
        }
    }

    private void turnAway(SocketChannel channel) {
        turnedAway.incrementAndGet();
        try {
            channel.close();
        } catch (IOException e) {
            // It is gone.
        }
    }

    private boolean pausedUntilClosed() {
        try {
            return closed.await(PAUSE_MILLIS, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return true;
        }
    }

    /** Makes the socket where nobody else can reach it, and moves it to its place when its mode is right. */
    private static void bindPrivately(ServerSocketChannel server, UnixDomainSocketAddress at) throws IOException {
        Path path = at.getPath().toAbsolutePath();
        if (path.getParent() == null || !Files.isDirectory(path.getParent())) {
            throw new BindException("its directory does not exist");
        }
        Path dir = Files.createTempDirectory(path.getParent(), ".s"); // mode 0700
        Path made = dir.resolve("s");
        try {
            server.bind(UnixDomainSocketAddress.of(made), BACKLOG);
            Files.setPosixFilePermissions(made, PosixFilePermissions.fromString("rw-rw----"));
            Files.createLink(path, made); // unlike a move it never replaces what came there meanwhile
        } finally {
            Files.deleteIfExists(made);
            Files.delete(dir);
        }
    }

    /** Deletes the socket's file if nobody answers on it. */
    private static void removeStale(UnixDomainSocketAddress at) throws IOException {
        Path path = at.getPath();
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        boolean socket = Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .isOther();
        if (!socket) {
            throw new BindException("a file is there that is no socket");
        }
        try (SocketChannel probe = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            probe.connect(at);
        } catch (ConnectException e) {
            Files.delete(path);
            return;
        }
        throw new BindException("Address already in use");
    }

    private static @Nullable Object fileKey(Path path) throws IOException {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return null;
        }
        return Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .fileKey();
    }
}
