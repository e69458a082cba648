package io.terminus.simulation.kernel;

import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * One thread of a simulated process. It has a virtual thread of its own to keep its stack on, which runs only while it is
 * this task's turn: one of all tasks runs at any moment. A task whose process died is never given its turn again, which is
 * what {@code kill -9} does to a thread; its virtual thread is garbage then.
 */
public final class Task {

    private final Host.Process process;
    private final String name;
    final int id;
    private final Thread carrier;
    private boolean started;
    private volatile boolean turn;

    /** Moves on with each block, so that a timer of an earlier one does not end a later one. */
    long blocks;

    boolean blocked;
    private boolean over;

    /** Of {@code LockSupport}: a park that finds it does not wait. */
    public boolean permit;

    public boolean interrupted;

    /** What the stand-in of Thread keeps here: the object the product sees. */
    public @Nullable Object facade;

    Task(World world, Host.Process process, String name, int id, Runnable body) {
        this.process = process;
        this.name = name;
        this.id = id;
        this.carrier = Thread.ofVirtual().unstarted(() -> {
            awaitTurn();
            try {
                body.run();
            } catch (Throwable e) {
                world.died(this, e);
            }
            over = true;
            world.ended(this);
        });
    }

    public String name() {
        return name;
    }

    public Host.Process process() {
        return process;
    }

    public boolean over() {
        return over;
    }

    void go() {
        turn = true;
        if (started) {
            LockSupport.unpark(carrier);
        } else {
            started = true;
            carrier.start();
        }
    }

    void awaitTurn() {
        while (!turn) {
            LockSupport.park();
        }
        turn = false;
    }

    /** For something real, though it is its turn; a machine that is busy with others is no reason. */
    boolean waits() {
        Thread.State state = carrier.getState();
        return state == Thread.State.BLOCKED || state == Thread.State.WAITING || state == Thread.State.TIMED_WAITING;
    }

    /** Where it stands. */
    String stack() {
        return Arrays.stream(carrier.getStackTrace())
                .limit(30)
                .map(f -> "\n    at " + f)
                .collect(Collectors.joining());
    }

    @Override
    public String toString() {
        return process.host().name() + "/" + name;
    }
}
