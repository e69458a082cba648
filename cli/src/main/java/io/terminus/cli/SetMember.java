package io.terminus.cli;

import java.util.List;

/** The processes of a set, in the order in which they are started. */
enum SetMember {
    LOCKMGR("lockmgr", "lock-manager"),
    A("a", "agent"),
    B("b", "agent");

    static final List<SetMember> AGENTS = List.of(A, B);

    private final String title;
    private final String role;

    SetMember(String title, String role) {
        this.title = title;
        this.role = role;
    }

    /** Its name in files, on command lines and in JSON. */
    String title() {
        return title;
    }

    String role() {
        return role;
    }

    boolean isAgent() {
        return this != LOCKMGR;
    }

    static SetMember agent(String name) {
        for (SetMember agent : AGENTS) {
            if (agent.title.equals(name)) {
                return agent;
            }
        }
        throw new Failure("there is no agent '" + name + "' in this set; its agents are a and b");
    }
}
