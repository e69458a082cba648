package io.terminus.lockmgr.grpc;

import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;

/** What the gRPC face needs of the one thread that owns the table. */
public interface LockLoop {

    /** Queues a step; steps of one caller run in its order. Waits while the queue is full. */
    void submit(Step step);

    /** Runs on the owner thread, together with others in one turn. */
    interface Step {
        void run(Turn turn);

        /** The loop has ended; the step was never run. Any thread. */
        default void refused() {}
    }

    /**
     * What a step may do. What it wants to say, it says in {@link #afterwards}: that runs on the owner thread in the order of
     * the steps, between the notices of their commands, when all that this turn changed is as durable as it must be.
     */
    interface Turn {
        LockTable table();

        LockTable.Decision apply(Command command);

        void afterwards(Runnable saying);

        long nowNanos();
    }
}
