package io.terminus.cli.acceptance;

import io.terminus.cli.acceptance.Relay.Lane;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Each process in a network namespace of its own, all on a bridge. A cut is an entry in the sender's table of neighbours that
 * leads nowhere: frames go out, and nobody takes them; the kernel of neither side has a reason to complain. Where bits are to be
 * flipped, which no checksum of the network may notice, each agent is known to the other by a second address of its namespace,
 * where a relay passes everything on. Needs root.
 */
final class Namespaces implements Network {

    private static final List<String> PROCESSES = List.of("a", "b", "lockmgr");
    private static final String NOBODY = "02:00:00:00:00:99";

    private record Cut(String from, String to) {}

    private final Path folder;
    private static final int NUMBERS_TRIED = 20;
    /** O_RDONLY and CLONE_NEWNET. */
    private static final int READ_ONLY = 0;

    private static final int NETWORK = 0x40000000;

    private final int number;
    private final boolean relayed;
    private final Map<String, Lane> lanes = new HashMap<>();
    private final List<Relay> relays = new ArrayList<>();
    /** What is taken down again, and nothing else: another run may have what is called like this. */
    private final List<String> links = new ArrayList<>();

    private final List<String> namespaces = new ArrayList<>();
    private final List<Cut> cuts = new ArrayList<>();
    private final List<String> slowed = new ArrayList<>();

    private Namespaces(Path folder, int number, boolean relayed) {
        this.folder = folder;
        this.number = number;
        this.relayed = relayed;
    }

    /** Skips the test where this kernel or this user cannot. */
    static Namespaces make(Path folder) throws IOException {
        return make(folder, false);
    }

    /** With bits that can be flipped between agents. */
    static Namespaces makeWithRelays(Path folder) throws IOException {
        return make(folder, true);
    }

    private static Namespaces make(Path folder, boolean relayed) throws IOException {
        String what = "processes in networks of their own";
        Machine.needsRoot(what);
        for (String program : List.of("ip", "tc", "nsenter")) {
            Machine.needs(
                    Machine.has(program), what, program + " is not installed (apt-get install iproute2 util-linux)");
        }
        for (int tried = 0; tried < NUMBERS_TRIED; tried++) {
            Namespaces network =
                    new Namespaces(folder, ThreadLocalRandom.current().nextInt(1, 250), relayed);
            boolean made = false;
            try {
                made = network.build();
            } finally {
                if (!made) {
                    network.close();
                }
            }
            if (made) {
                return network;
            }
        }
        Machine.needs(false, what, "network namespaces cannot be made here");
        throw new AssertionError("not reached");
    }

    private boolean build() {
        boolean made = link(bridge(), "type", "bridge")
                && ip("addr", "add", address(254) + "/24", "dev", bridge())
                && ip("link", "set", bridge(), "up");
        for (String process : PROCESSES) {
            String namespace = namespace(process);
            made = made
                    && namespace(namespace, process)
                    && link(port(process), "type", "veth", "peer", "name", "eth0", "netns", namespace)
                    && ip("link", "set", port(process), "master", bridge(), "up")
                    && ip("-n", namespace, "addr", "add", host(process) + "/24", "dev", "eth0")
                    && ip("-n", namespace, "link", "set", "eth0", "up")
                    && ip("-n", namespace, "link", "set", "lo", "up")
                    && (!isRelayed(process) || relay(process));
        }
        return made;
    }

    private boolean link(String name, String... kind) {
        List<String> arguments = new ArrayList<>(List.of("link", "add", name));
        arguments.addAll(List.of(kind));
        boolean made = ip(arguments.toArray(String[]::new));
        if (made) {
            links.add(name);
        }
        return made;
    }

    private boolean namespace(String name, String process) {
        boolean made = ip("netns", "add", name);
        if (made) {
            namespaces.add(process);
        }
        return made;
    }

    private boolean isRelayed(String process) {
        return relayed && FaultySet.AGENTS.contains(process);
    }

    private boolean relay(String agent) {
        if (!ip("-n", namespace(agent), "addr", "add", host(agent, "") + "/24", "dev", "eth0")) {
            return false;
        }
        Lane journal = lanes.computeIfAbsent(agent, unused -> new Lane());
        for (int port : List.of(FaultySet.NBD_PORT, FaultySet.CONTROL_PORT, FaultySet.PEER_PORT)) {
            relays.add(Relay.open(
                    new InetSocketAddress(host(agent, ""), port),
                    new InetSocketAddress(host(agent), port),
                    port == FaultySet.PEER_PORT ? journal : new Lane(),
                    new Lane(),
                    new Random(number),
                    () -> enter(Path.of("/run/netns", namespace(agent)))));
        }
        return true;
    }

    /** The sockets that this thread makes from now on are of this namespace. */
    @SuppressWarnings("restricted") // Where it is used, the JVM is started with --enable-native-access.
    private static void enter(Path namespace) {
        Linker linker = Linker.nativeLinker();
        try (Arena arena = Arena.ofConfined()) {
            var open = linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("open"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
                    Linker.Option.firstVariadicArg(2));
            var setns = linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("setns"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
            var close = linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("close"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
            MemorySegment path = arena.allocateFrom(namespace.toString());
            int file = (int) open.invokeExact(path, READ_ONLY);
            int entered = (int) setns.invokeExact(file, NETWORK);
            int unused = (int) close.invokeExact(file);
            if (entered != 0) {
                throw new IllegalStateException("cannot enter the network namespace " + namespace);
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("cannot enter the network namespace " + namespace, e);
        }
    }

    @Override
    public List<String> place(String process) {
        return List.of("nsenter", "--net=/run/netns/" + namespace(process));
    }

    @Override
    public String host(String process) {
        return address(1 + PROCESSES.indexOf(process));
    }

    @Override
    public String host(String process, String seenBy) {
        return isRelayed(process) ? address(101 + PROCESSES.indexOf(process)) : host(process);
    }

    @Override
    public void cut(String from, String to) {
        cuts.add(new Cut(from, to));
        hosts(to).forEach(host -> cutAddress(namespace(from), host));
    }

    /** All addresses of a process. */
    private List<String> hosts(String process) {
        return isRelayed(process) ? List.of(host(process), host(process, "")) : List.of(host(process));
    }

    private void cutAddress(String namespace, String host) {
        must(ip("-n", namespace, "neigh", "replace", host, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0"));
    }

    @Override
    public void slow(String process) {
        slowed.add(process);
        must(run(
                "tc",
                "qdisc",
                "replace",
                "dev",
                port(process),
                "root",
                "tbf",
                "rate",
                "8mbit",
                "burst",
                "32kbit",
                "latency",
                "200ms"));
    }

    @Override
    public boolean canFlip() {
        return relayed;
    }

    @Override
    public void flip(String from, String to) {
        Lane lane = lanes.get(to);
        if (lane != null) {
            lane.flip = true;
        }
    }

    @Override
    public void heal() {
        for (Cut cut : cuts) {
            // Two cuts of one direction are one entry.
            for (String host : hosts(cut.to)) {
                ip("-n", namespace(cut.from), "neigh", "del", host, "dev", "eth0");
            }
        }
        lanes.values().forEach(Lane::heal);
        cuts.clear();
        for (String process : slowed) {
            run("tc", "qdisc", "del", "dev", port(process), "root");
        }
        slowed.clear();
    }

    @Override
    public void close() {
        relays.forEach(Relay::close);
        relays.clear();
        links.reversed().forEach(link -> ip("link", "del", link));
        namespaces.forEach(process -> ip("netns", "del", namespace(process)));
    }

    private String address(int host) {
        return "10.213." + number + "." + host;
    }

    private String bridge() {
        return "tm" + number + "br";
    }

    private String port(String process) {
        return "tm" + number + process.charAt(0);
    }

    private String namespace(String process) {
        return "tm" + number + "-" + process;
    }

    private boolean ip(String... arguments) {
        List<String> command = new ArrayList<>(List.of("ip"));
        command.addAll(List.of(arguments));
        return run(command.toArray(String[]::new));
    }

    private boolean run(String... command) {
        return Machine.succeeds(folder, command);
    }

    private static void must(boolean succeeded) {
        if (!succeeded) {
            throw new AssertionError("the network could not be changed");
        }
    }
}
