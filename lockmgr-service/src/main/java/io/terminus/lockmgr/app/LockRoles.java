package io.terminus.lockmgr.app;

import static io.terminus.security.Role.ADMIN;
import static io.terminus.security.Role.AGENT;
import static io.terminus.security.Role.CLIENT;
import static io.terminus.security.Role.LOCKMGR;
import static io.terminus.security.Role.OPERATOR;
import static io.terminus.security.Role.READER;

import io.terminus.security.Audit;
import io.terminus.security.grpc.Access;

/**
 * Which role may call what of the lock manager over gRPC; docs/security.md shows it as a table. Whose session it is, is asked by the
 * lock service itself, which knows the owners.
 */
final class LockRoles {

    private static final String LOCKS = "terminus.lock.v1.LockService/";
    private static final String OPERATORS = "terminus.lock.v1.LockAdmin/";
    private static final String GROUP = "terminus.lock.v1.LockCluster/";

    private LockRoles() {}

    static Access access(Audit audit) {
        return Access.builder()
                .changes(LOCKS + "Session, OpenSession, AcquireLock, ReleaseLock, Operate", CLIENT, AGENT)
                .changes(LOCKS + "CloseSession", CLIENT, AGENT, OPERATOR)
                .reads(LOCKS + "GetValueBlock, Watch", CLIENT, AGENT, READER)
                .reads(
                        OPERATORS + "ListVolumes, WatchVolumes, ListLocks, ListSessions, ListBlockers, GetContention",
                        READER,
                        AGENT)
                // The service keeps a record of its own of these. An agent takes a lock from a writer that does not
                // answer.
                .reads(OPERATORS + "ForceRelease", OPERATOR, AGENT)
                .reads(OPERATORS + "ConfigureVolume", OPERATOR)
                .reads(GROUP + "Describe", READER, CLIENT, AGENT, LOCKMGR)
                // A member that lost its disk asks to be taken out and in again, and one that comes up for its share of
                // the leads.
                .reads(GROUP + "AddMember, RemoveMember, MoveLead", ADMIN, LOCKMGR)
                .anyone("grpc.health.v1.Health/*")
                .reads("grpc.reflection.v1.ServerReflection/*", READER)
                .build(audit);
    }
}
