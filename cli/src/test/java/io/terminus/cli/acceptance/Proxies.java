package io.terminus.cli.acceptance;

import io.terminus.cli.acceptance.Relay.Lane;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;

/**
 * All processes on loopback addresses of their own, and between any two a proxy, which every byte passes: it holds bytes back,
 * lets them through slowly, or flips a bit. Needs nothing but Linux.
 */
final class Proxies implements Network {

    private record Way(String from, String to) {}

    private final String prefix = "127." + ThreadLocalRandom.current().nextInt(1, 250) + "."
            + ThreadLocalRandom.current().nextInt(1, 250) + ".";
    private final Random chance;
    private final List<Relay> relays = new ArrayList<>();
    private final Map<Way, List<Lane>> lanes = new ConcurrentHashMap<>();
    /** Of the peer ports: the only ones on which bits are flipped, for there they have to be noticed. */
    private final List<Lane> journals = new ArrayList<>();

    Proxies(long seed) {
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
        lanes(from, to).stream().filter(journals::contains).forEach(lane -> lane.flip = true);
    }

    @Override
    public void heal() {
        lanes.values().forEach(all -> all.forEach(Lane::heal));
    }

    @Override
    public void close() {
        relays.forEach(Relay::close);
    }

    private List<Lane> lanes(String from, String to) {
        return lanes.getOrDefault(new Way(from, to), List.of());
    }

    private Lane lane(String from, String to, boolean journal) {
        Lane lane = new Lane();
        lanes.computeIfAbsent(new Way(from, to), way -> new ArrayList<>()).add(lane);
        if (journal) {
            journals.add(lane);
        }
        return lane;
    }

    private void proxy(String from, String to, int port, boolean journal) {
        Lane there = lane(from, to, journal);
        Lane back = lane(to, from, journal);
        relays.add(Relay.open(
                new InetSocketAddress(host(to, from), port),
                new InetSocketAddress(host(to), port),
                there,
                back,
                chance,
                () -> {}));
    }

    private static int number(String process) {
        return process.equals(FaultySet.LOCKMGR) ? 3 : 1 + FaultySet.AGENTS.indexOf(process);
    }
}
