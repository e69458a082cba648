package io.terminus.agent.volume;

/** What this agent is for a volume. */
public enum Role {
    /** Keeps a copy and waits to be fed. */
    REPLICA,
    /** The same, and waits for the volume's lock. */
    STANDBY,
    /** Holds the lock and looks for the tail of the last term. */
    CANDIDATE,
    /** Serves the volume. */
    WRITER,
    /** Stopped for good, see the reason: a stopped replica is better than a wrong one. */
    FAILED
}
