package io.terminus.lockmgr.agents;

/** What was asked of an agent is not done, or, where {@link Why} says so, perhaps done. The message says why. */
public final class AgentRefusedException extends Exception {

    /** What the caller may believe. */
    public enum Why {
        /** The volume has no such agent, or the agent no such volume. */
        UNKNOWN,
        /** A value breaks a rule; nothing was done. */
        INVALID,
        /** The volume is in no state for it; nothing was done. */
        NOT_NOW,
        /** The agent was not reached, or is not ready. Only if the connection broke on the way it may still happen. */
        UNREACHABLE,
        /** The time was over, or the agent knows no better: it may still happen. */
        OUTCOME_UNKNOWN
    }

    private final Why why;

    AgentRefusedException(Why why, String message) {
        super(message);
        this.why = why;
    }

    public Why why() {
        return why;
    }
}
