package io.terminus.cli;

import java.util.ArrayList;
import java.util.List;

/** The processes of a set, in the order in which they are started. Most sets have one lock manager. */
enum SetMember {
    LOCKMGR("lockmgr", "lock-manager"),
    LOCKMGR_2("lockmgr-2", "lock-manager"),
    LOCKMGR_3("lockmgr-3", "lock-manager"),
    LOCKMGR_4("lockmgr-4", "lock-manager"),
    LOCKMGR_5("lockmgr-5", "lock-manager"),
    A("a", "agent"),
    B("b", "agent");

    static final List<SetMember> AGENTS = List.of(A, B);
    static final List<SetMember> LOCK_MANAGERS = List.of(LOCKMGR, LOCKMGR_2, LOCKMGR_3, LOCKMGR_4, LOCKMGR_5);

    private final String title;
    private final String role;

    SetMember(String title, String role) {
        this.title = title;
        this.role = role;
    }

    /** Those of a set with so many lock managers. */
    static List<SetMember> of(int lockManagers) {
        List<SetMember> members = new ArrayList<>(LOCK_MANAGERS.subList(0, lockManagers));
        members.addAll(AGENTS);
        return members;
    }

    /** Its name in files, on command lines and in JSON. */
    String title() {
        return title;
    }

    String role() {
        return role;
    }

    boolean isAgent() {
        return this == A || this == B;
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
