package io.terminus.lockmgr.grpc;

import io.terminus.lockmgr.lock.LockTable;
import io.terminus.security.Identity;
import io.terminus.security.Role;
import org.jspecify.annotations.Nullable;

/**
 * Whose sessions a caller may open, come back to and speak for. A session's owner of the form {@code agent/NAME} is the agent of that
 * name, and nobody else; an agent has no other sessions. All other owners are clients'. Ids of sessions are shown in lists, so knowing one
 * proves nothing.
 */
final class SessionOwners {

    private static final String AGENT = "agent/";

    private SessionOwners() {}

    /** Null if a session of this owner may be opened by the caller; else why not. */
    static @Nullable String refusal(Identity who, String owner) {
        if (who.roles().contains(Role.ADMIN)
                || (!who.agent().isEmpty() && owner.equals(AGENT + who.agent()))
                || (who.roles().contains(Role.CLIENT) && !owner.startsWith(AGENT))) {
            return null;
        }
        return "a session of owner '" + owner + "' needs "
                + (owner.startsWith(AGENT)
                        ? "the certificate of agent " + owner.substring(AGENT.length())
                        : "the role client")
                + "; " + who;
    }

    /** As {@link #refusal}, for one that is open. Of one that is not known others say so. */
    static @Nullable String refusal(Identity who, LockTable table, String sessionId) {
        return who.roles().contains(Role.ADMIN)
                ? null
                : table.session(sessionId)
                        .map(session -> refusal(who, session.owner()))
                        .orElse(null);
    }
}
