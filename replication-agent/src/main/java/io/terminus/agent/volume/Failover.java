package io.terminus.agent.volume;

/** Who may become the writer without being told to. */
public enum Failover {
    /** Only the agent that wrote last; another one after {@code promote}. */
    MANUAL,
    /** Every in-sync member waits for the volume's lock as a standby. */
    AUTOMATIC
}
