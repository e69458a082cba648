package io.terminus.agent.app;

import static io.terminus.security.Role.AGENT;
import static io.terminus.security.Role.LOCKMGR;
import static io.terminus.security.Role.OPERATOR;
import static io.terminus.security.Role.READER;

import io.terminus.security.Audit;
import io.terminus.security.Role;
import io.terminus.security.grpc.Access;
import io.terminus.security.rest.RestAccess;
import java.util.List;

/**
 * Which role may call what of an agent; docs/security.md shows it as a table. Which agent may speak for which volume is asked by the peer
 * services themselves, which know the replicas.
 */
final class AgentRoles {

    private static final String CONTROL = "terminus.agent.v1.AgentControl/";

    /** What deletes data needs an admin. */
    static final List<RestAccess.Rule> REST = List.of(new RestAccess.Rule("DELETE", "/api/v1/volumes/", Role.ADMIN));

    private AgentRoles() {}

    static Access access(Audit audit) {
        return Access.builder()
                .reads(CONTROL + "GetAgent, ListVolumes, WatchVolumes, GetVolume", READER, AGENT, LOCKMGR)
                .changes(
                        CONTROL
                                + "CreateVolume, AddReplica, RemoveReplica, SetCopyLimit, RecreateReplica,"
                                + " ResizeVolume, SetVolume",
                        OPERATOR)
                // The console's, which the lock manager passes on when it has seen that an operator asks.
                .changes(CONTROL + "Promote, Demote, Verify", OPERATOR, LOCKMGR)
                .changes(CONTROL + "DeleteReplica, DeleteVolume", Role.ADMIN)
                .changes("terminus.agent.v1.PeerControl/CreateReplica, Seal, BuryReplica", AGENT)
                .reads("terminus.agent.v1.PeerControl/CanHold, ReadBlocks", AGENT)
                .anyone("grpc.health.v1.Health/*")
                .reads("grpc.reflection.v1.ServerReflection/*", READER)
                .build(audit);
    }
}
