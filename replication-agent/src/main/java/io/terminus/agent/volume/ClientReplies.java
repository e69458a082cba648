package io.terminus.agent.volume;

/** Where a writer's client hears what became of its requests. Any thread calls it; it never blocks. */
public interface ClientReplies {

    /** Why a request was not done. Nothing of it is in the volume, or will be. */
    enum Failure {
        NO_SPACE,
        IO_ERROR,
        SHUTDOWN
    }

    void done(long cookie);

    void failed(long cookie, Failure why);

    /** Sends what was collected. */
    void flush();

    /** The outcome of what is open is unknown: no more replies. */
    void disconnect(String why);
}
