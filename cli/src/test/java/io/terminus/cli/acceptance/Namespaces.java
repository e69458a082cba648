package io.terminus.cli.acceptance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Each process in a network namespace of its own, all on a bridge. A cut is an entry in the sender's table of neighbours that
 * leads nowhere: frames go out, and nobody takes them; the kernel of neither side has a reason to complain. Needs root.
 */
final class Namespaces implements Network {

    private static final List<String> PROCESSES = List.of("a", "b", "lockmgr");
    private static final List<String> PLACES = List.of("/usr/sbin", "/sbin", "/usr/bin", "/bin");
    private static final String NOBODY = "02:00:00:00:00:99";

    private record Cut(String from, String to) {}

    private final Path folder;
    private final int number = ThreadLocalRandom.current().nextInt(1, 250);
    private final List<Cut> cuts = new ArrayList<>();
    private final List<String> slowed = new ArrayList<>();

    private Namespaces(Path folder) {
        this.folder = folder;
    }

    /** Skips the test where this kernel or this user cannot. */
    static Namespaces make(Path folder) throws IOException {
        String what = "processes in networks of their own";
        Machine.needsRoot(what);
        for (String program : List.of("ip", "tc", "nsenter")) {
            Machine.needs(
                    PLACES.stream().anyMatch(place -> Files.isExecutable(Path.of(place, program))),
                    what,
                    program + " is not installed (apt-get install iproute2 util-linux)");
        }
        Namespaces network = new Namespaces(folder);
        boolean made = false;
        try {
            made = network.build();
        } finally {
            if (!made) {
                network.close();
            }
        }
        Machine.needs(made, what, "network namespaces cannot be made here");
        return network;
    }

    private boolean build() {
        boolean made = ip("link", "add", bridge(), "type", "bridge")
                && ip("addr", "add", address(254) + "/24", "dev", bridge())
                && ip("link", "set", bridge(), "up");
        for (String process : PROCESSES) {
            String namespace = namespace(process);
            made = made
                    && ip("netns", "add", namespace)
                    && ip("link", "add", port(process), "type", "veth", "peer", "name", "eth0", "netns", namespace)
                    && ip("link", "set", port(process), "master", bridge(), "up")
                    && ip("-n", namespace, "addr", "add", host(process) + "/24", "dev", "eth0")
                    && ip("-n", namespace, "link", "set", "eth0", "up")
                    && ip("-n", namespace, "link", "set", "lo", "up");
        }
        return made;
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
        return host(process);
    }

    @Override
    public void cut(String from, String to) {
        cuts.add(new Cut(from, to));
        must(ip(
                "-n",
                namespace(from),
                "neigh",
                "replace",
                host(to),
                "lladdr",
                NOBODY,
                "nud",
                "permanent",
                "dev",
                "eth0"));
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
        return false;
    }

    @Override
    public void flip(String from, String to) {
        throw new UnsupportedOperationException("the kernel's checksums would find it");
    }

    @Override
    public void heal() {
        for (Cut cut : cuts) {
            // Two cuts of one direction are one entry.
            ip("-n", namespace(cut.from), "neigh", "del", host(cut.to), "dev", "eth0");
        }
        cuts.clear();
        for (String process : slowed) {
            run("tc", "qdisc", "del", "dev", port(process), "root");
        }
        slowed.clear();
    }

    @Override
    public void close() {
        for (String process : PROCESSES) {
            ip("link", "del", port(process));
            ip("netns", "del", namespace(process));
        }
        ip("link", "del", bridge());
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
