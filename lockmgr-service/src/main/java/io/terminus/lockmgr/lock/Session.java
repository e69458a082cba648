package io.terminus.lockmgr.lock;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** A session, its lease (the deadline), and all it holds and waits for. */
final class Session extends Timed {

    final String id;
    final String owner;
    final long ttlNanos;
    /** By lock id, so that an end of the session gives up its locks in one order everywhere. */
    final TreeMap<Long, Held> locks = new TreeMap<>();
    /** By their order. */
    final TreeMap<Long, Waiter> waiters = new TreeMap<>();
    /** By the request id that made them: a request that comes again finds what it has become. */
    final Map<Long, Claim> requests = new HashMap<>();
    /** Revoked locks the session has not acknowledged; while there are any, no renewal is answered. */
    int unackedLosses;
    /** Locks under recall, and waiters that are not standby: while there are neither, nobody waits for this session. */
    int recalledLocks;

    int ordinaryWaiters;
    /** Kept by {@link WaitsFor}: every session this one waits for, and perhaps some it no longer does; null: not known. */
    @Nullable
    Set<Session> mayWaitFor;

    Session(String id, String owner, long ttlNanos) {
        this.id = id;
        this.owner = owner;
        this.ttlNanos = ttlNanos;
    }
}
