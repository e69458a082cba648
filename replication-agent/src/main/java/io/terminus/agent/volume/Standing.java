package io.terminus.agent.volume;

/** What an operator wants with a volume; in its value block, so that everybody knows. */
public enum Standing {
    IN_USE,
    /** Served by nobody until an agent is promoted. */
    DEMOTED,
    /** Gone for good: every replica deletes its files, and the name is free. */
    DELETED
}
