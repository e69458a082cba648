package io.terminus.lockmgr.grpc;

import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import java.util.function.BooleanSupplier;

/** What the gRPC face needs of the table and of who runs its turns: one thread at a time, the owner of that turn. */
public interface LockLoop {

    /** Queues a step and sees to it that it runs. Steps of one caller run in its order. Waits while too many are queued. */
    void submit(Step step);

    /**
     * Queues a step and never waits: for callers that bound by themselves how many of theirs are queued, on threads that
     * must not wait. It runs with the next {@link #turn}, or at the latest with the loop's own.
     */
    void enqueue(Step step);

    /**
     * Runs what is queued, here and now, unless somebody else is at it. Syncs nothing and stops at what is heavy: that is left to
     * the loop's own thread.
     */
    void turn();

    /** Runs in a turn, together with others. */
    interface Step {
        void run(Turn turn);

        /** How much it is: what more than enough of has come together is done in several turns. */
        default int operations() {
            return 1;
        }

        /** It alone may take long, so that only the loop's own thread runs it. */
        default boolean heavy() {
            return false;
        }

        /** The loop has ended; the step was never run. Any thread. */
        default void refused() {}

        /**
         * The step has run, and what it wanted to say was not said: the turn was not committed, so whether what it did is done is not
         * known. By the owner of the turn, behind the end of all streams.
         *
         * @param why the end of the loop, half a sentence
         */
        default void unknown(String why) {}
    }

    /**
     * What a step may do. What it wants to say, it says in {@link #afterwards}: that runs in the order of
     * the steps, between the notices of their commands, when all that this turn changed is as durable as it must be.
     */
    interface Turn {
        LockTable table();

        LockTable.Decision apply(Command command);

        void afterwards(Runnable saying);

        /** Runs behind all that is said, and says nothing of the table to anybody, so that it need not wait for a commit. */
        void aside(Runnable task);

        /**
         * A renewal that came in on a stream. It may be gathered with others and come to the table a little later, if its
         * stream still speaks for the session by then.
         */
        void renew(Command.Renew command, BooleanSupplier current);

        long nowNanos();
    }
}
