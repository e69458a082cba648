package io.terminus.simulation.kernel;

import java.util.ArrayList;

/** Tasks that wait for something to change, and look again when it may have. */
public final class WaitQueue {

    private final ArrayList<Task> waiting = new ArrayList<>();

    public void await() {
        Task self = World.self();
        waiting.add(self);
        World.block();
        waiting.remove(self);
    }

    /** For so long by the machine's clock; false if nobody woke it. */
    public boolean await(long localNanos) {
        Task self = World.self();
        waiting.add(self);
        boolean woken = World.block(localNanos);
        waiting.remove(self);
        return woken;
    }

    public void wakeAll() {
        if (!waiting.isEmpty()) {
            ArrayList<Task> all = new ArrayList<>(waiting);
            waiting.clear();
            all.forEach(World::wake);
        }
    }

    public void wakeOne() {
        if (!waiting.isEmpty()) {
            World.wake(waiting.removeFirst());
        }
    }

    public boolean isEmpty() {
        return waiting.isEmpty();
    }
}
