package io.terminus.simulation.world;

import io.terminus.simulation.kernel.Fault;
import io.terminus.simulation.kernel.Host;
import io.terminus.simulation.kernel.Rng;
import io.terminus.simulation.kernel.World;

/** What goes wrong in every world alike: with clocks, processes that stop for a while, and links that are cut. */
final class Faults {

    private Faults() {}

    /** Of a machine's clock: as wrong as the lock manager reckons with, 1 % between any two. */
    static double rate(Rng shape) {
        return 1.0 + (shape.below(9_000) - 4_500) / 1e6;
    }

    static void strike(World world, Fault f) {
        switch (f.kind()) {
            case "pause" -> {
                Host.Process process = world.host(f.at()).process();
                process.pause();
                world.after(f.lastsNanos(), process::resume);
            }
            case "cut" -> {
                world.net().cut(f.at(), f.other());
                world.after(f.lastsNanos(), () -> world.net().join(f.at(), f.other()));
            }
            case "part" -> part(world, f.at(), f.other(), f.lastsNanos());
            case "alone" ->
                world.hosts().stream()
                        .map(Host::name)
                        .filter(h -> !h.equals(f.at()))
                        .forEach(h -> part(world, f.at(), h, f.lastsNanos()));
            default -> throw new IllegalArgumentException(f.kind());
        }
    }

    private static void part(World world, String one, String other, long lastsNanos) {
        world.net().cut(one, other);
        world.net().cut(other, one);
        world.after(lastsNanos, () -> {
            world.net().join(one, other);
            world.net().join(other, one);
        });
    }
}
