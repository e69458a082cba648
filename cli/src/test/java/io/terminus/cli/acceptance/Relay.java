package io.terminus.cli.acceptance;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** Passes the bytes of connections on, and does to them what is said of their direction. */
final class Relay implements AutoCloseable {

    private static final int PIECE_BYTES = 1 << 14;
    private static final long SLOW_PIECE_MILLIS = 15;

    /** What becomes of the bytes of one direction. For many threads. */
    static final class Lane {
        volatile boolean cut;
        volatile boolean slow;
        /** Of the next bytes, and then no more. */
        volatile boolean flip;

        void heal() {
            cut = false;
            slow = false;
            flip = false;
        }
    }

    private final InetSocketAddress to;
    private final Lane there;
    private final Lane back;
    private final Random chance;
    private final Runnable enter;
    private final ServerSocket listener;
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private volatile boolean closed;

    private Relay(InetSocketAddress at, InetSocketAddress to, Lane there, Lane back, Random chance, Runnable enter)
            throws IOException {
        this.to = to;
        this.there = there;
        this.back = back;
        this.chance = chance;
        this.enter = enter;
        this.listener = new ServerSocket();
        listener.setReuseAddress(true);
        listener.bind(at);
    }

    /** @param enter what a thread does before it makes a socket */
    static Relay open(
            InetSocketAddress at, InetSocketAddress to, Lane there, Lane back, Random chance, Runnable enter) {
        CompletableFuture<Relay> opened = new CompletableFuture<>();
        daemon(() -> {
            Relay relay;
            try {
                enter.run();
                relay = new Relay(at, to, there, back, chance, enter);
            } catch (IOException | RuntimeException e) {
                opened.completeExceptionally(e);
                return;
            }
            opened.complete(relay);
            relay.accept();
        });
        return opened.join();
    }

    @Override
    public void close() {
        closed = true;
        there.heal();
        back.heal();
        try {
            listener.close();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot close " + listener, e);
        }
        open.forEach(Relay::end);
    }

    private void accept() throws IOException {
        while (!closed) {
            Socket near = listener.accept();
            daemon(() -> connect(near));
        }
    }

    private void connect(Socket near) throws IOException {
        enter.run();
        open.add(near);
        hold(there);
        hold(back);
        Socket far = new Socket();
        open.add(far);
        try {
            far.connect(to);
        } catch (IOException refused) {
            end(near);
            end(far);
            open.remove(near);
            open.remove(far);
            return;
        }
        near.setTcpNoDelay(true);
        far.setTcpNoDelay(true);
        daemon(() -> pump(near, far, there));
        daemon(() -> pump(far, near, back));
    }

    private void pump(Socket from, Socket to, Lane lane) {
        byte[] piece = new byte[PIECE_BYTES];
        try {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            while (true) {
                int length = in.read(piece);
                hold(lane);
                if (length < 0) {
                    to.shutdownOutput();
                    break;
                }
                if (lane.flip) {
                    lane.flip = false;
                    int bit = chance.nextInt(length * 8);
                    piece[bit / 8] ^= (byte) (1 << bit % 8);
                }
                if (lane.slow) {
                    rest(SLOW_PIECE_MILLIS);
                }
                out.write(piece, 0, length);
            }
        } catch (IOException e) {
            end(from);
            end(to);
        }
        if (from.isOutputShutdown() && to.isOutputShutdown()) {
            end(from);
            end(to);
        }
        if (from.isClosed() && to.isClosed()) {
            open.remove(from);
            open.remove(to);
        }
    }

    private void hold(Lane lane) {
        while (lane.cut && !closed) {
            rest(10);
        }
    }

    /** A reset: who is at the other end knows at once. */
    private static void end(Socket socket) {
        try {
            socket.setSoLinger(true, 0);
            socket.close();
        } catch (IOException alreadyGone) {
            // As it should be.
        }
    }

    private static void rest(long millis) {
        try {
            TimeUnit.MILLISECONDS.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private interface Work {
        void run() throws IOException;
    }

    private static void daemon(Work work) {
        Thread.ofPlatform().daemon().name("relay").start(() -> {
            try {
                work.run();
            } catch (IOException over) {
                // A listener or a connection was closed.
            }
        });
    }
}
