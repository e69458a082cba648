package io.terminus.agent.volume;

import io.terminus.agent.volume.RefusedException.Why;

/** What this agent is for a volume, and why. Any thread. */
final class RoleState {

    /** One value, so that nobody sees the one without the other. */
    record State(Role role, String why) {}

    private final String agent;
    private volatile State state = new State(Role.REPLICA, "starting");
    private volatile boolean closing;

    RoleState(String agent) {
        this.agent = agent;
    }

    State now() {
        return state;
    }

    Role role() {
        return state.role;
    }

    String why() {
        return state.why;
    }

    /** The one way from role to role. Returns false, and changes nothing, once the replica has failed: that is for good. */
    synchronized boolean become(Role role, String why) {
        if (state.role == Role.FAILED) {
            return false;
        }
        state = new State(role, why);
        return true;
    }

    /** The role is as it was, for another reason. */
    synchronized void say(String what) {
        become(state.role, what);
    }

    /** The agent is stopping: from now on nothing begins. */
    void close() {
        closing = true;
    }

    boolean closing() {
        return closing;
    }

    void requireWorking() throws RefusedException {
        State now = state;
        if (now.role == Role.FAILED) {
            throw new RefusedException(Why.FAILED, "the replica at " + agent + " has failed: " + now.why);
        }
        if (closing) {
            throw new RefusedException(Why.NOT_READY, "agent " + agent + " is stopping");
        }
    }
}
