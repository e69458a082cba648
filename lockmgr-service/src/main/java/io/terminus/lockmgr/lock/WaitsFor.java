package io.terminus.lockmgr.lock;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
 * <p>The edges themselves are read from the indexes, which costs a look at every waiter of every session reached. Two
 * things spare that. If nobody waits for the session that asks, only what is in the way matters. Else each session keeps
 * a set of sessions it <em>may</em> wait for: grown when it starts to wait, not shrunk when a wait ends, so never too
 * small. If those sets know no cycle, there is none; if they do, they are forgotten and the indexes are asked, breadth
 * first, so that the shortest cycle is the one named.
 */
final class WaitsFor {

    /** {@code waiter} waits, {@code blocker} is in its way. */
    record Edge(Waiter waiter, Claim blocker) {}

    private static final int EDGES_NAMED = 8;
    /** A set of sessions that has grown beyond this is built anew: some in it may have ended long ago. */
    private static final int MOST_KEPT = 4096;

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
        if (search.closing == null && !mayReach(asking, search.open)) {
            return List.of();
        }
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

    /** Could the session be reached from these? Forgets the sets that say so, because they may be out of date. */
    private static boolean mayReach(Session asking, Collection<Session> from) {
        Set<Session> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        seen.addAll(from);
        ArrayDeque<Session> open = new ArrayDeque<>(from);
        while (!open.isEmpty()) {
            for (Session next : mayWaitFor(open.remove())) {
                if (next == asking) {
                    seen.forEach(session -> session.mayWaitFor = null);
                    return true;
                }
                if (seen.add(next)) {
                    open.add(next);
                }
            }
        }
        return false;
    }

    private static Set<Session> mayWaitFor(Session session) {
        Set<Session> known = session.mayWaitFor;
        if (known == null) {
            known = Collections.newSetFromMap(new IdentityHashMap<>());
            for (Waiter waiter : session.waiters.values()) {
                if (!waiter.standby) {
                    addBlockers(waiter, known);
                }
            }
            session.mayWaitFor = known;
        }
        return known;
    }

    /** Must be told of each ordinary waiter once it is queued. */
    static void startsToWait(Waiter waiter) {
        Session session = waiter.session;
        Set<Session> known = session.mayWaitFor;
        boolean nobodyMayEverAsk = session.recalledLocks == 0 && session.ordinaryWaiters <= 1;
        if (known == null || nobodyMayEverAsk || known.size() > MOST_KEPT) {
            session.mayWaitFor = null;
        } else {
            addBlockers(waiter, known);
        }
    }

    private static void addBlockers(Waiter waiter, Set<Session> to) {
        waiter.volume.forEachBlocker(waiter, blocker -> {
            if (!(blocker instanceof Held lock && lock.revoked)) {
                to.add(blocker.session);
            }
            return true;
        });
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
