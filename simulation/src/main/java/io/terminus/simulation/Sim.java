package io.terminus.simulation;

import io.terminus.simulation.kernel.Fault;
import java.io.IOException;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code terminus sim}: runs of the simulator. Ends with 1 if a run broke a rule. */
@Command(
        name = "sim",
        mixinStandardHelpOptions = true,
        description = "Runs the services on one thread, under a seed, with everything that can go wrong.")
public final class Sim implements Callable<Integer> {

    @Option(names = "--seed", description = "Replays this run, and tells its story.")
    private @Nullable Long seed;

    @Option(names = "--seeds", description = "Runs FROM-TO, both included.", paramLabel = "FROM-TO")
    private @Nullable String seeds;

    @Option(names = "--step", description = "Of those, every so manieth.", defaultValue = "1", hidden = true)
    private int step;

    @Option(
            names = "--jobs",
            description = "So many processes share the seeds; as many as there are cores are worth it.",
            defaultValue = "1")
    private int jobs;

    @Option(names = "--world", description = "locks or agents; else both.")
    private @Nullable String world;

    @Option(names = "--without", split = ",", description = "Faults that do not happen in this run, by number.")
    private List<Integer> without = List.of();

    @Option(names = "--quiet", description = "Only how it ended.")
    private boolean quiet;

    @Option(names = "--tail", description = "Of the story only so many lines.", defaultValue = "2147483647")
    private int tail;

    public static void main(String[] args) {
        System.exit(new CommandLine(new Sim())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    private List<String> worlds() {
        return world == null ? Runs.WORLDS : List.of(world);
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (seed != null) {
            return one(seed);
        }
        if (seeds != null) {
            return batch(seeds);
        }
        System.err.println("say --seed N or --seeds FROM-TO");
        return 2;
    }

    private int one(long seed) {
        boolean broken = false;
        for (String w : worlds()) {
            Runs.Result r = Runs.run(w, seed, !quiet, new TreeSet<>(without));
            if (!quiet) {
                System.out.println("World " + w + ", seed " + seed + ". What goes wrong:");
                List<Fault> faults = r.faults();
                IntStream.range(0, faults.size())
                        .forEach(i -> System.out.println(
                                "  " + (without.contains(i) ? "(not) " : "") + i + ". " + faults.get(i)));
                List<String> story = r.story();
                story.subList(Math.max(0, story.size() - tail), story.size()).forEach(System.out::println);
            }
            System.out.println(r.summary());
            System.out.println(Jobs.seen(r.counts()));
            broken |= r.violation() != null;
        }
        return broken ? 1 : 0;
    }

    private int batch(String seeds) throws IOException, InterruptedException {
        String[] ends = seeds.split("-");
        long from = Long.parseLong(ends[0]);
        long to = Long.parseLong(ends[ends.length - 1]);
        if (jobs > 1) {
            return Jobs.run(world == null ? List.of() : List.of("--world", world), from, to, jobs);
        }
        long began = System.nanoTime();
        long runs = 0;
        int broken = 0;
        SortedMap<String, Long> counts = new TreeMap<>();
        for (long s = from; s <= to; s += step) {
            for (String w : worlds()) {
                Runs.Result r = Runs.run(w, s, false, new TreeSet<>());
                runs++;
                r.counts().forEach((what, times) -> counts.merge(what, times, Long::sum));
                if (r.violation() != null) {
                    broken++;
                    System.out.println(r.summary());
                    System.out.println("  shrunk: " + Runs.shrunk(w, s).command());
                }
            }
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        System.out.println(Jobs.seen(counts));
        System.out.printf(Jobs.TALLY, runs, seconds, runs / seconds * 60, broken);
        return broken > 0 ? 1 : 0;
    }
}
