package io.terminus.simulation.kernel;

import java.util.List;
import java.util.SplittableRandom;

/** A stream of choices of its own, made of the seed and a name: what one part of a run draws does not move what another draws. */
public final class Rng {

    private final SplittableRandom random;

    public Rng(long seed, String name) {
        long mixed = seed * 0x9E3779B97F4A7C15L;
        for (int i = 0; i < name.length(); i++) {
            mixed = (mixed ^ name.charAt(i)) * 0x100000001B3L;
        }
        this.random = new SplittableRandom(mixed);
    }

    /** 0 to bound - 1. */
    public int below(int bound) {
        return bound <= 1 ? 0 : random.nextInt(bound);
    }

    public long below(long bound) {
        return bound <= 1 ? 0 : random.nextLong(bound);
    }

    /** from to to, both included. */
    public long between(long from, long to) {
        return from + below(to - from + 1);
    }

    public boolean perMille(int chances) {
        return chances > 0 && random.nextInt(1000) < chances;
    }

    public boolean coin() {
        return random.nextBoolean();
    }

    public <T> T pick(List<T> from) {
        return from.get(below(from.size()));
    }

    public void fill(byte[] bytes) {
        random.nextBytes(bytes);
    }

    public long nextLong() {
        return random.nextLong();
    }

    public double nextDouble() {
        return random.nextDouble();
    }
}
