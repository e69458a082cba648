package io.terminus.lockmgr.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Passes TCP connections on. Fault: {@link #muteConnections} makes those that are open swallow every byte, both ways, without being
 * closed, as a partition does; connections made later work.
 */
final class MutableProxy implements AutoCloseable {

    private final ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final int target;
    private final List<Socket> sockets = new ArrayList<>();
    private AtomicBoolean muted = new AtomicBoolean();

    MutableProxy(int target) throws IOException {
        this.target = target;
        Thread.ofPlatform().daemon().start(this::accept);
    }

    int port() {
        return listening.getLocalPort();
    }

    synchronized void muteConnections() {
        muted.set(true);
        muted = new AtomicBoolean();
    }

    private void accept() {
        try {
            while (true) {
                join(listening.accept(), new Socket(InetAddress.getLoopbackAddress(), target));
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private synchronized void join(Socket client, Socket server) {
        AtomicBoolean mute = muted;
        sockets.add(client);
        sockets.add(server);
        Thread.ofPlatform().daemon().start(() -> pump(client, server, mute));
        Thread.ofPlatform().daemon().start(() -> pump(server, client, mute));
    }

    private static void pump(Socket from, Socket to, AtomicBoolean mute) {
        byte[] buffer = new byte[8192];
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int length = in.read(buffer); length >= 0; length = in.read(buffer)) {
                if (!mute.get()) {
                    out.write(buffer, 0, length);
                }
            }
        } catch (IOException closed) {
            // One side went away: try closes the other.
        }
    }

    @Override
    public synchronized void close() throws IOException {
        listening.close();
        for (Socket socket : sockets) {
            socket.close();
        }
    }
}
