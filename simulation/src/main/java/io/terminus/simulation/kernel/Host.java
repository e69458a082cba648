package io.terminus.simulation.kernel;

import java.util.ArrayList;
import java.util.List;

/**
 * A machine: a name, a clock of its own, a disk, and at most one process at a time.
 *
 * <p>Fault model of the clock: it runs at a rate of its own for the whole run, up to the drift the world allows; it never goes
 * back. CLOCK_BOOTTIME and CLOCK_MONOTONIC are one: a machine is never suspended, only its process is paused.
 */
public final class Host {

    /** So early that no host's nanoTime is negative, whatever a product subtracts. */
    private static final long ORIGIN_NANOS = 1_000_000_000_000L;

    private final World world;
    private final String name;
    private final double rate;
    private final long offsetNanos;
    private final Disk disk;
    private Process process;
    private int boots = 1;
    private boolean up = true;

    Host(World world, String name, double rate, long offsetNanos) {
        this.world = world;
        this.name = name;
        this.rate = rate;
        this.offsetNanos = offsetNanos;
        this.disk = new Disk(world, name);
        this.process = new Process(this);
    }

    public String name() {
        return name;
    }

    public Disk disk() {
        return disk;
    }

    public Process process() {
        return process;
    }

    public boolean up() {
        return up;
    }

    public String bootId() {
        return "boot-" + name + "-" + boots;
    }

    /** What this machine's monotonic clock says. */
    public long nanoTime() {
        return ORIGIN_NANOS + offsetNanos + (long) (world.nowNanos() * rate);
    }

    /** How much true time passes while this clock goes on by so much. */
    long trueNanos(long localNanos) {
        return localNanos <= 0 ? 0 : (long) Math.ceil(localNanos / rate);
    }

    /** {@code kill -9}: nothing of the process runs any more, what it has written stays, its connections are reset. */
    public void kill() {
        process.die();
        disk.processDied();
        world.net().processDied(process, true);
        process = new Process(this);
    }

    /** The power goes: what was not synced is lost as the disk sees fit, and nobody is told. */
    public void losePower() {
        process.die();
        world.net().processDied(process, false);
        disk.losePower();
        up = false;
        boots++;
        process = new Process(this);
    }

    public void powerUp() {
        up = true;
    }

    /** What runs on a machine from its start to its end. */
    public static final class Process {
        private final Host host;
        private boolean dead;
        private boolean paused;
        final List<Task> held = new ArrayList<>();

        Process(Host host) {
            this.host = host;
        }

        public Host host() {
            return host;
        }

        public boolean dead() {
            return dead;
        }

        boolean paused() {
            return paused;
        }

        private void die() {
            dead = true;
            held.clear();
        }

        /** SIGSTOP. The clock goes on, and so does the kernel: connections stay, bytes arrive. */
        public void pause() {
            paused = true;
        }

        /** SIGCONT. */
        public void resume() {
            if (paused) {
                paused = false;
                host.world.ready(held);
                held.clear();
            }
        }
    }
}
