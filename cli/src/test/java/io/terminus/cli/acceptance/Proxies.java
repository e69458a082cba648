package io.terminus.cli.acceptance;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * All processes on loopback addresses of their own, and between any two a proxy, which every byte passes: it holds bytes back,
 * lets them through slowly, or flips a bit. Needs nothing but Linux.
 */
final class Proxies implements Network {

    private static final int PIECE_BYTES = 1 << 14;
    private static final long SLOW_PIECE_MILLIS = 15;

    /** What becomes of the bytes of one direction. */
    private static final class Lane {
        volatile boolean cut;
        volatile boolean slow;
        volatile boolean flip;
        private final boolean journal;

        Lane(boolean journal) {
            this.journal = journal;
        }
    }

    private record Way(String from, String to) {}

    private final String prefix = "127." + ThreadLocalRandom.current().nextInt(1, 250) + "."
            + ThreadLocalRandom.current().nextInt(1, 250) + ".";
    private final Random chance;
    private final List<ServerSocket> listeners = new ArrayList<>();
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private final Map<Way, List<Lane>> lanes = new ConcurrentHashMap<>();
    private volatile boolean closed;

    Proxies(long seed) throws IOException {
        this.chance = new Random(seed);
        for (String agent : FaultySet.AGENTS) {
            String other = FaultySet.other(agent);
            proxy(agent, FaultySet.LOCKMGR, FaultySet.LOCK_PORT, false);
            proxy(other, agent, FaultySet.CONTROL_PORT, false);
            proxy(other, agent, FaultySet.PEER_PORT, true);
        }
    }

    @Override
    public List<String> place(String process) {
        return List.of();
    }

    @Override
    public String host(String process) {
        return prefix + number(process);
    }

    /** Of the address, all an agent gets to know of another, or of itself, is that of the proxy. */
    @Override
    public String host(String process, String seenBy) {
        return prefix + (100 + 10 * (process.equals(FaultySet.LOCKMGR) ? number(seenBy) : 0) + number(process));
    }

    @Override
    public void cut(String from, String to) {
        lanes(from, to).forEach(lane -> lane.cut = true);
    }

    @Override
    public void slow(String process) {
        lanes.forEach((way, all) -> {
            if (way.to.equals(process)) {
                all.forEach(lane -> lane.slow = true);
            }
        });
    }

    @Override
    public boolean canFlip() {
        return true;
    }

    @Override
    public void flip(String from, String to) {
        lanes(from, to).stream().filter(lane -> lane.journal).forEach(lane -> lane.flip = true);
    }

    @Override
    public void heal() {
        lanes.values()
                .forEach(all -> all.forEach(lane -> {
                    lane.cut = false;
                    lane.slow = false;
                    lane.flip = false;
                }));
    }

    @Override
    public void close() {
        closed = true;
        heal();
        for (ServerSocket listener : listeners) {
            try {
                listener.close();
            } catch (IOException e) {
                throw new AssertionError("cannot close " + listener, e);
            }
        }
        open.forEach(Proxies::end);
    }

    private List<Lane> lanes(String from, String to) {
        return lanes.getOrDefault(new Way(from, to), List.of());
    }

    private Lane lane(String from, String to, boolean journal) {
        Lane lane = new Lane(journal);
        lanes.computeIfAbsent(new Way(from, to), way -> new ArrayList<>()).add(lane);
        return lane;
    }

    private void proxy(String from, String to, int port, boolean journal) throws IOException {
        Lane there = lane(from, to, journal);
        Lane back = lane(to, from, journal);
        ServerSocket listener = new ServerSocket();
        listener.setReuseAddress(true);
        listener.bind(new InetSocketAddress(host(to, from), port));
        listeners.add(listener);
        daemon(() -> {
            while (!closed) {
                Socket near = listener.accept();
                daemon(() -> connect(near, to, port, there, back));
            }
        });
    }

    private void connect(Socket near, String to, int port, Lane there, Lane back) throws IOException {
        open.add(near);
        hold(there);
        hold(back);
        Socket far = new Socket();
        open.add(far);
        try {
            far.connect(new InetSocketAddress(host(to), port));
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

    private static int number(String process) {
        return process.equals(FaultySet.LOCKMGR) ? 3 : 1 + FaultySet.AGENTS.indexOf(process);
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
        Thread.ofPlatform().daemon().name("proxy").start(() -> {
            try {
                work.run();
            } catch (IOException over) {
                // A listener or a connection was closed.
            }
        });
    }
}
