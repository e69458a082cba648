package io.terminus.lockmgr.lock;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The waits-for graph between sessions, searched when a request starts to wait. An edge leads from the session of an
 * ordinary waiter to the session of each lock and each older ordinary waiter in its way. A session in a cycle can be
 * helped by nobody in it, if, as is assumed, it gives nothing back while it waits.
 *
 * <p>Not edges: standby waiters, because two agents that stand by for each other's volumes are no deadlock; and revoked
 * locks, because they come free whatever their session waits for. Edges only ever vanish or keep their ends while a
 * waiter becomes a holder, so a graph without a cycle stays so until a request starts to wait.
 *
 * <p>Nothing of the graph is kept: the search reads the indexes, breadth first, so the shortest cycle is the one named. It
 * costs the waiters of all sessions reached; if nobody waits for the session that asks, it costs only what is in the way.
 */
final class WaitsFor {

    /** {@code waiter} waits, {@code blocker} is in its way. */
    record Edge(Waiter waiter, Claim blocker) {}

    private static final int EDGES_NAMED = 8;

    private WaitsFor() {}

    /** The cycle a waiter, not yet queued, would close, from its own edge on; empty if it would close none. */
    static List<Edge> cycleThrough(Waiter newest) {
        Session asking = newest.session;
        Search search = new Search(asking);
        if (asking.recalledLocks == 0 && asking.ordinaryWaiters == 0) {
            // Nobody waits for this session, so only a lock of its own, with nobody behind it yet, can close a cycle.
            newest.volume.forEachLockInTheWayOf(newest, lock -> search.follow(newest, lock));
            return search.cycle();
        }
        newest.volume.forEachBlocker(newest, blocker -> search.follow(newest, blocker));
        while (search.closing == null && !search.open.isEmpty()) {
            for (Waiter waiter : search.open.remove().waiters.values()) {
                if (!waiter.standby
                        && !waiter.volume.forEachBlocker(waiter, blocker -> search.follow(waiter, blocker))) {
                    break;
                }
            }
        }
        return search.cycle();
    }

    private static final class Search {
        final Session asking;
        final ArrayDeque<Session> open = new ArrayDeque<>();
        /** Each session that was reached, and the edge that led there. */
        final Map<Session, Edge> reachedBy = new IdentityHashMap<>();

        @Nullable
        Edge closing;

        Search(Session asking) {
            this.asking = asking;
        }

        /** Returns false if this edge closes a cycle. */
        boolean follow(Waiter waiter, Claim blocker) {
            if (blocker instanceof Held lock && lock.revoked) {
                return true;
            }
            if (blocker.session == asking) {
                closing = new Edge(waiter, blocker);
                return false;
            }
            if (!reachedBy.containsKey(blocker.session)) {
                reachedBy.put(blocker.session, new Edge(waiter, blocker));
                open.add(blocker.session);
            }
            return true;
        }

        List<Edge> cycle() {
            List<Edge> cycle = new ArrayList<>();
            for (Edge edge = closing; edge != null; edge = reachedBy.get(edge.waiter().session)) {
                cycle.add(edge);
            }
            Collections.reverse(cycle);
            return cycle;
        }
    }

    /** Names the cycle: who wants what, and who is in the way with what. */
    static String describe(List<Edge> cycle) {
        StringBuilder text = new StringBuilder("deadlock: ");
        for (int i = 0; i < Math.min(cycle.size(), EDGES_NAMED); i++) {
            Waiter waiter = cycle.get(i).waiter();
            Claim blocker = cycle.get(i).blocker();
            text.append(i == 0 ? "" : "; ")
                    .append(waiter.session.owner)
                    .append(" waits for ")
                    .append(waiter.what())
                    .append(" of ")
                    .append(waiter.volume.name)
                    .append(", where ")
                    .append(blocker.session.owner)
                    .append(blocker instanceof Held ? " holds " : " is waiting for ")
                    .append(blocker.what())
                    .append(blocker instanceof Held ? " as lock " : " since request ")
                    .append(blocker instanceof Held ? blocker.id() : blocker.requestId);
        }
        if (cycle.size() > EDGES_NAMED) {
            text.append("; and ").append(cycle.size() - EDGES_NAMED).append(" more");
        }
        return text.toString();
    }
}
