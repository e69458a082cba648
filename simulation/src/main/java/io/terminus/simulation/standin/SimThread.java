package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.Task;
import io.terminus.simulation.kernel.WaitQueue;
import io.terminus.simulation.kernel.World;

/** What a product's thread is here: never started itself, it stands for a task. */
public class SimThread extends Thread implements World.Ending {

    private final Task task;
    private final WaitQueue joiners = new WaitQueue();
    private boolean begun;

    public SimThread(Runnable body) {
        this(body, "thread");
    }

    public SimThread(Runnable body, String name) {
        super(null, null, name, 0, false);
        this.task = World.unstarted(name, body);
        task.facade = this;
    }

    Task task() {
        return task;
    }

    @Override
    public void start() {
        if (begun) {
            throw new IllegalThreadStateException();
        }
        begun = true;
        World.start(task);
        World.point();
    }

    boolean alive() {
        return begun && !task.over();
    }

    boolean begun() {
        return begun;
    }

    @Override
    public void ended() {
        joiners.wakeAll();
    }

    void awaitEnd() {
        while (alive()) {
            joiners.await();
        }
    }

    @Override
    public void interrupt() {
        task.interrupted = true;
        task.permit = true;
        World.wake(task);
    }
}
