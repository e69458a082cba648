package io.terminus.ranges;

import java.util.Random;
import java.util.function.Consumer;

/** Runs a random test over many seeds and says which one failed. */
final class Seeds {

    private Seeds() {}

    static void forEach(int count, Consumer<Random> test) {
        long first = Long.getLong("terminus.seed", 1);
        int seeds = Integer.getInteger("terminus.seeds", count);
        for (long seed = first; seed < first + seeds; seed++) {
            try {
                test.accept(new Random(seed));
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError("failed with -Dterminus.seed=" + seed + " -Dterminus.seeds=1", e);
            }
        }
    }
}
