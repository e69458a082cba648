package io.terminus.simulation;

import io.terminus.simulation.kernel.Fault;
import io.terminus.simulation.kernel.Scenario;
import io.terminus.simulation.kernel.World;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Runs, one at a time. */
public final class Runs {

    static final List<String> WORLDS = List.of("locks", "agents");

    private static final Map<String, String> SCENARIOS = Map.of(
            "locks", "io.terminus.simulation.world.LocksWorld", "agents", "io.terminus.simulation.world.AgentsWorld");

    /** How often a failing run is tried again with fewer faults. */
    private static final int MOST_TRIES = 60;

    /**
     * @param violation which rule was broken; null if none was
     * @param counts what happened how often: a run in which nothing did shows nothing
     * @param digest the same for two runs that did the same
     */
    public record Result(
            String world,
            long seed,
            @Nullable String violation,
            long digest,
            long steps,
            long nanos,
            List<String> story,
            List<Fault> faults,
            SortedSet<Integer> without,
            SortedMap<String, Long> counts) {

        String command() {
            return "./terminus sim --world " + world + " --seed " + seed
                    + (without.isEmpty()
                            ? ""
                            : " --without "
                                    + without.stream().map(String::valueOf).collect(Collectors.joining(",")));
        }

        String summary() {
            return "%s %d: %s; %d steps, %.1f s of its time, %d faults, digest %016x"
                    .formatted(
                            world,
                            seed,
                            violation == null ? "held" : "BROKEN: " + violation,
                            steps,
                            nanos / 1e9,
                            faults.size() - without.size(),
                            digest);
        }
    }

    private Runs() {}

    public static Result run(String world, long seed, boolean tells, SortedSet<Integer> without) {
        return run(world, seed, tells, without, SimLoader.get());
    }

    static Result run(String world, long seed, boolean tells, SortedSet<Integer> without, SimLoader product) {
        Scenario scenario = scenario(world, product);
        World w = new World(seed, tells);
        List<Fault> faults = scenario.faults(w);
        scenario.begin(w);
        for (int i = 0; i < faults.size(); i++) {
            Fault fault = faults.get(i);
            if (!without.contains(i)) {
                w.after(fault.atNanos(), () -> {
                    w.say("FAULT", fault.toString());
                    scenario.strike(w, fault);
                });
            }
        }
        w.run();
        return new Result(
                world,
                seed,
                w.violation(),
                w.digest(),
                w.steps(),
                w.nowNanos(),
                w.story(),
                faults,
                without,
                w.counts());
    }

    /** The same run with as few faults as still break a rule. */
    static Result shrunk(String world, long seed) {
        SortedSet<Integer> without = new TreeSet<>();
        Result best = run(world, seed, false, without);
        int count = best.faults().size();
        int tries = 0;
        for (int chunk = Math.max(1, count / 2); chunk >= 1 && tries < MOST_TRIES; chunk /= 2) {
            for (int at = 0; at < count && tries < MOST_TRIES; at += chunk) {
                SortedSet<Integer> fewer = new TreeSet<>(without);
                for (int i = at; i < Math.min(count, at + chunk); i++) {
                    fewer.add(i);
                }
                if (fewer.size() > without.size()) {
                    tries++;
                    Result r = run(world, seed, false, fewer);
                    if (r.violation() != null) {
                        without = fewer;
                        best = r;
                    }
                }
            }
        }
        return best;
    }

    private static Scenario scenario(String world, SimLoader product) {
        String name = SCENARIOS.get(world);
        if (name == null) {
            throw new IllegalArgumentException("no world \"" + world + "\": " + new ArrayList<>(WORLDS));
        }
        try {
            return (Scenario) product.loadClass(name).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
