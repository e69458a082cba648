package io.terminus.simulation.kernel;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The network: links between machines, each direction for itself, and connections over them.
 *
 * <p>Fault model. What is sent arrives after the link's delay, which differs from packet to packet. A packet that is dropped
 * is sent again by the kernel, so on a connection it is late, and with it all that was sent behind it: a connection delivers
 * in order, once, or not at all. Two connections pass each other freely, so messages of different connections are
 * reordered. A direction that is cut delivers nothing; when it is joined again, what was sent meanwhile arrives. A process
 * that is killed resets its connections, and what it had sent in the last moment may be lost with them. A machine without
 * power says nothing; one that is back resets connections it does not know. A connection attempt to a port where nobody
 * listens is refused; to a machine without power it stays without an answer. What reaches a process twice is what clients
 * send again. A bit of what a connection brings may flip and pass TCP's checksum.
 */
public final class Net {

    /** Somebody who may be connected to. */
    public interface Acceptor {
        /** @return false to refuse */
        boolean accepted(Connection connection);
    }

    /** How one direction of a link behaves now. */
    private static final class Link {
        boolean cut;
        long delayNanos;
        long jitterNanos;
        int lossPerMille;
        boolean garbles;
    }

    private record Port(Host.Process process, Acceptor acceptor) {}

    private record Pair(String from, String to) {}

    /** A lost packet is sent again after so long. */
    private static final long RESEND_NANOS = 200_000_000;

    private final World world;
    private final Rng rng;
    private final Map<Pair, Link> links = new HashMap<>();
    private final Map<String, Port> ports = new HashMap<>();
    private final Set<Connection> open = new LinkedHashSet<>();
    private int ephemeral = 30_000;

    Net(World world) {
        this.world = world;
        this.rng = world.rng("net");
    }

    // ---- faults

    /** Of every link that is not told otherwise. */
    private long delayNanos = 100_000;

    private long jitterNanos = 100_000;
    private int lossPerMille;

    public void weather(long delayNanos, long jitterNanos, int lossPerMille) {
        this.delayNanos = delayNanos;
        this.jitterNanos = jitterNanos;
        this.lossPerMille = lossPerMille;
        links.values().forEach(l -> {
            l.delayNanos = delayNanos;
            l.jitterNanos = jitterNanos;
            l.lossPerMille = lossPerMille;
        });
    }

    public void cut(String from, String to) {
        link(from, to).cut = true;
    }

    public void join(String from, String to) {
        Link link = link(from, to);
        if (link.cut) {
            link.cut = false;
            new ArrayList<>(open).forEach(c -> c.flowsAgain(from, to));
        }
    }

    public void slow(String from, String to, long delayNanos, int lossPerMille) {
        Link link = link(from, to);
        link.delayNanos = delayNanos;
        link.jitterNanos = delayNanos;
        link.lossPerMille = lossPerMille;
    }

    /** Of the next bytes that a connection brings that way one bit is another one. */
    public void garble(String from, String to) {
        link(from, to).garbles = true;
    }

    public boolean isCut(String from, String to) {
        return link(from, to).cut;
    }

    private Link link(String from, String to) {
        return links.computeIfAbsent(new Pair(from, to), p -> {
            Link link = new Link();
            link.delayNanos = delayNanos;
            link.jitterNanos = jitterNanos;
            link.lossPerMille = lossPerMille;
            return link;
        });
    }

    private long delay(Link link) {
        long delay = link.delayNanos + rng.below(link.jitterNanos + 1);
        while (rng.perMille(link.lossPerMille)) {
            delay += RESEND_NANOS;
        }
        return delay;
    }

    // ---- ports

    /** @return false if the port is taken */
    public boolean listen(String host, int port, Acceptor acceptor) {
        String at = host + ":" + port;
        Port there = ports.get(at);
        if (there != null && !there.process.dead()) {
            return false;
        }
        ports.put(at, new Port(World.here().process(), acceptor));
        return true;
    }

    public void unlisten(String host, int port) {
        ports.remove(host + ":" + port);
    }

    int ephemeralPort() {
        return ++ephemeral;
    }

    void processDied(Host.Process process, boolean tellsPeers) {
        ports.values().removeIf(p -> p.process.equals(process));
        for (Connection c : new ArrayList<>(open)) {
            c.processDied(process, tellsPeers);
        }
    }

    void close() {
        open.clear();
        ports.clear();
    }

    // ---- connections

    /** What a connection tells whoever holds one of its ends. In an event: must not wait. */
    public interface Receiver {
        void received(Object what);

        /** The other side will send no more. */
        void ended();

        void reset(String why);
    }

    /**
     * Begins to connect; one of the two is called in an event later, or neither if the other machine does not answer.
     */
    public void connect(
            String toHost, int toPort, java.util.function.Consumer<Connection> connected, Runnable refused) {
        Host.Process me = World.here().process();
        String from = me.host().name();
        Link out = link(from, toHost);
        world.after(delay(out), () -> {
            if (me.dead() || out.cut || !world.host(toHost).up()) {
                return; // no answer
            }
            Port port = ports.get(toHost + ":" + toPort);
            Link back = link(toHost, from);
            Connection c = port == null ? null : new Connection(me, port.process, ephemeralPort(), toPort, out, back);
            Connection taken = port != null && c != null && accepts(port, c) ? c : null;
            if (taken != null) {
                open.add(taken);
            }
            world.after(delay(back), () -> {
                if (me.dead() || back.cut) {
                    return;
                }
                world.as(me.host(), () -> {
                    if (taken != null) {
                        connected.accept(taken);
                    } else {
                        refused.run();
                    }
                    return null;
                });
            });
        });
    }

    private boolean accepts(Port port, Connection connection) {
        return !port.process.dead() && world.as(port.process.host(), () -> port.acceptor.accepted(connection));
    }

    /** One connection; side 0 opened it. */
    public final class Connection {
        private final Host.Process[] processes;
        private final int[] portNumbers;
        private final Way[] ways;
        private final Receiver[] receivers = new Receiver[2];
        private final boolean[] closed = new boolean[2];

        /** What came before its receiver was there. */
        private final List<List<Runnable>> early = List.of(new ArrayList<>(), new ArrayList<>());

        Connection(Host.Process client, Host.Process server, int fromPort, int toPort, Link out, Link back) {
            processes = new Host.Process[] {client, server};
            portNumbers = new int[] {fromPort, toPort};
            ways = new Way[] {new Way(0, out), new Way(1, back)};
        }

        public void receiver(int side, Receiver receiver) {
            receivers[side] = receiver;
            List<Runnable> before = List.copyOf(early.get(side));
            early.get(side).clear();
            before.forEach(Runnable::run);
        }

        public String host(int side) {
            return processes[side].host().name();
        }

        public int port(int side) {
            return portNumbers[side];
        }

        public void send(int side, Object what) {
            if (!closed[side]) {
                Link link = ways[side].link;
                if (link.garbles && what instanceof ByteBuffer bytes && bytes.hasRemaining()) {
                    link.garbles = false;
                    int at = bytes.position() + rng.below(bytes.remaining());
                    bytes.put(at, (byte) (bytes.get(at) ^ 1 << rng.below(8)));
                    world.say("net", "a bit flips from " + host(side) + " to " + host(1 - side));
                }
                ways[side].send(() -> tell(1 - side, r -> r.received(what)));
            }
        }

        /** Tells the other side something of the transport, such as that there is room again. */
        public void signal(int side, Runnable what) {
            if (!closed[side]) {
                world.after(delay(ways[side].link), () -> {
                    if (!processes[1 - side].dead() && !closed[1 - side]) {
                        what.run();
                    }
                });
            }
        }

        /** Sends no more, and hears no more. */
        public void close(int side) {
            if (!closed[side]) {
                closed[side] = true;
                ways[side].sendLast(() -> tell(1 - side, Receiver::ended));
                forgetIfOver();
            }
        }

        public void reset(int side, String why) {
            if (!closed[side]) {
                closed[side] = true;
                ways[side].sendLast(() -> tell(1 - side, r -> r.reset(why)));
                forgetIfOver();
            }
        }

        public boolean closed(int side) {
            return closed[side];
        }

        private void tell(int side, java.util.function.Consumer<Receiver> what) {
            if (!processes[side].host().up()) {
                return;
            }
            if (processes[side].dead() || closed[side]) {
                // The kernel there knows no such connection.
                if (!closed[1 - side]) {
                    ways[side].sendLast(() -> {
                        if (!closed[1 - side] && !processes[1 - side].dead()) {
                            tell(1 - side, r -> r.reset("Connection reset by peer"));
                        }
                    });
                }
                return;
            }
            Receiver receiver = receivers[side];
            if (receiver == null) {
                early.get(side).add(() -> what.accept(receivers[side]));
            } else {
                world.as(processes[side].host(), () -> {
                    what.accept(receiver);
                    return null;
                });
            }
        }

        void processDied(Host.Process process, boolean tellsPeer) {
            for (int side = 0; side < 2; side++) {
                if (processes[side].equals(process) && !closed[side]) {
                    closed[side] = true;
                    int other = 1 - side;
                    if (tellsPeer) {
                        if (rng.coin()) {
                            ways[side].dropWhatIsUnderWay();
                        }
                        ways[side].sendLast(() -> tell(other, r -> r.reset("Connection reset by peer")));
                    } else {
                        ways[side].dropWhatIsUnderWay();
                    }
                    forgetIfOver();
                }
            }
        }

        void flowsAgain(String from, String to) {
            for (int side = 0; side < 2; side++) {
                if (host(side).equals(from) && host(1 - side).equals(to)) {
                    ways[side].flowAgain();
                }
            }
        }

        private void forgetIfOver() {
            if (closed[0] && closed[1] && ways[0].items.isEmpty() && ways[1].items.isEmpty()) {
                open.remove(this);
            }
        }

        /** One direction: in order. */
        private final class Way {
            private final Link link;
            private final ArrayDeque<Runnable> items = new ArrayDeque<>();
            private final int side;
            private long lastAtNanos;
            private long generation;

            Way(int side, Link link) {
                this.side = side;
                this.link = link;
            }

            void send(Runnable delivery) {
                items.add(delivery);
                long at = Math.max(lastAtNanos + 1, world.nowNanos() + delay(link));
                lastAtNanos = at;
                long now = generation;
                world.after(at - world.nowNanos(), () -> {
                    if (generation == now && !link.cut) {
                        deliverOne();
                    }
                });
            }

            void sendLast(Runnable delivery) {
                send(delivery);
            }

            private void deliverOne() {
                Runnable first = items.poll();
                if (first != null) {
                    first.run();
                    forgetIfOver();
                }
            }

            void dropWhatIsUnderWay() {
                items.clear();
                generation++;
            }

            /** What waited arrives one after the other. */
            void flowAgain() {
                generation++;
                long now = generation;
                long at = world.nowNanos();
                for (int i = items.size(); i > 0; i--) {
                    at += delay(link) / 2 + 1;
                    world.after(at - world.nowNanos(), () -> {
                        if (generation == now && !link.cut) {
                            deliverOne();
                        }
                    });
                }
                lastAtNanos = Math.max(lastAtNanos, at);
            }

            @Override
            public String toString() {
                return "way " + side;
            }
        }
    }
}
