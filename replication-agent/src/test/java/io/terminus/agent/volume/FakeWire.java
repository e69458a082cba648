package io.terminus.agent.volume;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;

/**
 * The way to one agent's peer server, over loopback.
 *
 * <p>Faults: the wire may be cut, which closes what runs over it and takes no more until it is joined again; and it may be
 * held, towards the server: bytes stay unread, in sockets that hold little, until it is let go; or it is slow in that direction.
 * Not modelled: bytes that change or come twice, cuts of one direction.
 */
final class FakeWire implements AutoCloseable {

    private static final int SOCKET_BYTES = 16 << 10;

    private final ServerSocket server = new ServerSocket();
    private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
    private volatile int target;
    private boolean cut;
    private boolean held;
    private volatile long nanosPerByte;
    private long carried;

    FakeWire() throws IOException {
        server.setReceiveBufferSize(SOCKET_BYTES);
        server.bind(new java.net.InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        Thread.ofPlatform().daemon().name("wire").start(this::acceptAll);
    }

    String address() {
        return "127.0.0.1:" + server.getLocalPort();
    }

    void leadsTo(int port) {
        target = port;
    }

    synchronized void cut() {
        cut = true;
        notifyAll();
        closeSockets();
    }

    synchronized void join() {
        cut = false;
    }

    synchronized void hold() {
        held = true;
    }

    /** From now on so many bytes a second go towards the server, until the wire is let go. */
    void slowTo(int bytesPerSecond) {
        nanosPerByte = 1_000_000_000 / bytesPerSecond;
    }

    synchronized void letGo() {
        held = false;
        nanosPerByte = 0;
        notifyAll();
    }

    /** Bytes that went towards the server. */
    synchronized long carried() {
        return carried;
    }

    @Override
    public void close() throws IOException {
        server.close();
        cut();
    }

    private void closeSockets() {
        sockets.forEach(FakeWire::closeQuietly);
        sockets.clear();
    }

    private void acceptAll() {
        while (!server.isClosed()) {
            try {
                Socket in = server.accept();
                Socket out = new Socket();
                synchronized (this) {
                    sockets.add(in);
                    sockets.add(out);
                    if (cut) {
                        closeSockets();
                        continue;
                    }
                }
                out.connect(new java.net.InetSocketAddress(InetAddress.getLoopbackAddress(), target));
                Thread.ofPlatform().daemon().name("wire-to").start(() -> carry(in, out, true));
                Thread.ofPlatform().daemon().name("wire-from").start(() -> carry(out, in, false));
            } catch (IOException e) {
                // A connection that could not be made is a cut one.
            }
        }
    }

    private void carry(Socket from, Socket to, boolean towardsServer) {
        byte[] bytes = new byte[SOCKET_BYTES];
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            while (true) {
                if (towardsServer) {
                    waitWhileHeld();
                }
                int n = in.read(bytes);
                if (n < 0) {
                    return;
                }
                if (towardsServer) {
                    waitWhileHeld(); // what was read while it was held already, by who had begun before
                }
                out.write(bytes, 0, n);
                if (towardsServer) {
                    LockSupport.parkNanos(n * nanosPerByte);
                    count(n);
                }
            }
        } catch (IOException | UncheckedIOException e) {
            // Cut, by one side or by the test.
        }
    }

    private synchronized void count(int bytes) {
        carried += bytes;
    }

    private synchronized void waitWhileHeld() {
        while (held && !cut) {
            try {
                wait();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // It is gone either way.
        }
    }
}
