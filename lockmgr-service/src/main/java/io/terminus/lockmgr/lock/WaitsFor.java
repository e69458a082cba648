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
 * The waits-for graph between sessions, searched when an edge is added. An edge leads from the session of a request that
 * waits, for any of its parts, to the session of each lock, each conversion and each older ordinary waiter in its way. A
 * session in a cycle can be helped by nobody in it, if, as is assumed, it gives nothing back while it waits.
 *
 * <p>Not edges: standby waiters, because two agents that stand by for each other's volumes are no deadlock; and locks that
 * were revoked or whose holder vanished, because they come free whatever their session waits for. Edges only ever vanish or
 * keep their ends while a waiter becomes a holder, so a graph without a cycle stays so until one of these comes:
 *
 * <ul>
 *   <li>an acquire, or a promotion: its edges lead away from it;
 *   <li>a conversion: edges lead to it as well, from those that waited before;
 *   <li>a lock that is asserted anew: edges lead to it only.
 * </ul>
 *
 * <p>Each is in one session, so a new cycle goes through that session.
 *
 * <p>The edges are read from the indexes. In one search each {@link Chain} is followed once, however many wait in it or for
 * it: what is in the way of the older of two is in the way of the younger, but for the lock that a conversion would change,
 * which is followed when the next one asks. And two things spare most searches. If nobody waits for
 * the session that asks, only its own locks can close a cycle. Else each session keeps a set of sessions it <em>may</em>
 * wait for: grown when it starts to wait, not shrunk when a wait ends, so never too small. If those sets know no cycle,
 * there is none; if they do, they are forgotten and the indexes are asked, breadth first, so that the shortest cycle is the
 * one named.
 *
 * <p>Thousands of waiters with overlapping ranges of their own have millions of edges. So a search asks
 * {@link #MOST_ASKED} requests and looks at {@link #MOST_LOOKED_AT} claims; if that was not enough, whoever asked may not wait, as InnoDB
 * has it: nothing else would let the others be served meanwhile, and a cycle that nobody found would stand until
 * somebody's wait ends.
 */
final class WaitsFor {

    /** {@code waiter} waits, {@code blocker} is in its way. */
    record Edge(Waiter waiter, Claim blocker) {}

    /** The shortest cycle found, from its own edge on; empty if there is none, or it was not found out whether there is. */
    record Finding(List<Edge> cycle, boolean gaveUp) {
        private static final Finding NONE = new Finding(List.of(), false);
        private static final Finding GAVE_UP = new Finding(List.of(), true);
    }

    private static final int EDGES_NAMED = 8;
    /** Waiters whose edges one search follows; those that ask for the same count once, and conversions not at all. */
    static final int MOST_ASKED = 1 << 10;
    /** Claims one search looks at: some 10 ms. A writer waits behind a hundred thousand readers, too. */
    static final int MOST_LOOKED_AT = 1 << 18;
    /** A session for which a search gave up is not searched for again so many times: so one client costs all others little. */
    private static final int NOT_SEARCHED_AGAIN = 64;
    /** A set of sessions that has grown beyond this is built anew: some in it may have ended long ago. */
    private static final int MOST_KEPT = 4096;
    /** So much is put into sets in one look at most; a graph with more edges is searched as it is. */
    private static final int MOST_ADDED = 16_384;
    /** A session with no more locks than this is asked for them, another is met in the index. */
    private static final int FEW_LOCKS = 16;

    private long searches;
    /** Sets of an earlier age do not count: edges were added that they do not know. */
    private long age;

    private int addedNow;

    /** The cycle that an acquire, not yet queued, would close. */
    Finding cycleThroughAcquire(Request newest) {
        Session asking = newest.session;
        if (asking.askingRequests > 0 || asking.recalledLocks > 0) {
            return search(asking, List.of(newest));
        }
        Edge own = asking.held == 0 ? null : ownLockInTheWay(newest);
        return own == null ? Finding.NONE : new Finding(List.of(own), false);
    }

    /** The cycle that a conversion closes; it is queued already, even if it can be granted at once. */
    Finding cycleThroughConversion(Request newest, boolean free) {
        age++;
        boolean waitsForNobody = free && newest.session.askingRequests == 1;
        return waitsForNobody ? Finding.NONE : search(newest.session, asking(newest.session));
    }

    /**
     * The newest request of a session, of which a lock was put in the way of others, that is in a cycle; null if none is, or
     * there are too many to look at: then their waits end them.
     */
    @Nullable
    Request deadlocked(Session session) {
        age++;
        for (Request request : asking(session).reversed()) {
            Finding found = search(session, List.of(request));
            if (!found.cycle.isEmpty()) {
                return request;
            }
            if (found.gaveUp) {
                return null;
            }
        }
        return null;
    }

    private static List<Request> asking(Session session) {
        List<Request> asking = new ArrayList<>();
        session.forEachRequest(request -> {
            if (!request.standby()) {
                asking.add(request);
            }
        });
        return asking;
    }

    private static @Nullable Edge ownLockInTheWay(Request newest) {
        Session asking = newest.session;
        Edge[] found = new Edge[1];
        for (Waiter part : newest.parts) {
            if (asking.held <= FEW_LOCKS) {
                asking.forEachLock(lock -> {
                    if (lock.live() && conflict(lock, part)) {
                        found[0] = new Edge(part, lock);
                    }
                });
            } else {
                part.volume.forEachLockInTheWay(part, lock -> {
                    if (lock.live() && lock.session == asking) {
                        found[0] = new Edge(part, lock);
                    }
                    return found[0] == null;
                });
            }
            if (found[0] != null) {
                return found[0];
            }
        }
        return null;
    }

    private static boolean conflict(Held lock, Waiter part) {
        return lock.volume == part.volume
                && lock.start < part.end
                && part.start < lock.end
                && !lock.mode.compatibleWith(part.mode);
    }

    private Finding search(Session asking, List<Request> starts) {
        if (asking.notSearched > 0) {
            asking.notSearched--;
            return Finding.GAVE_UP;
        }
        Search search = new Search(asking, ++searches);
        for (Request start : starts) {
            if (!search.ask(start)) {
                return search.found();
            }
        }
        if (!mayReach(asking, search.open)) {
            return Finding.NONE;
        }
        while (!search.open.isEmpty()) {
            for (Request request = search.open.remove().firstRequest;
                    request != null;
                    request = request.nextOfSession) {
                if (!request.standby() && !search.ask(request)) {
                    return search.found();
                }
            }
        }
        return Finding.NONE;
    }

    /** Could the session be reached from these? Forgets the sets that say so, because they may be out of date. */
    private boolean mayReach(Session asking, Collection<Session> from) {
        addedNow = 0;
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
            if (addedNow >= MOST_ADDED) {
                return true;
            }
        }
        return false;
    }

    private Set<Session> mayWaitFor(Session session) {
        Set<Session> known = session.mayWaitFor;
        if (known == null || session.mayWaitForAge != age) {
            Set<Session> built = Collections.newSetFromMap(new IdentityHashMap<>());
            session.forEachRequest(request -> {
                if (!request.standby()) {
                    addBlockers(request, built);
                }
            });
            known = built;
            // A set that was not filled to the end is good for this look only, which ends here.
            session.mayWaitFor = addedNow < MOST_ADDED ? built : null;
            session.mayWaitForAge = age;
        }
        return known;
    }

    /** Must be told of each request that is not standby once it is queued. */
    void startsToWait(Request request) {
        Session session = request.session;
        Set<Session> known = session.mayWaitFor;
        boolean nobodyMayEverAsk = session.recalledLocks == 0 && session.askingRequests <= 1;
        if (known == null || nobodyMayEverAsk || session.mayWaitForAge != age || known.size() > MOST_KEPT) {
            session.mayWaitFor = null;
            return;
        }
        addedNow = 0;
        addBlockers(request, known);
        if (addedNow >= MOST_ADDED) {
            session.mayWaitFor = null;
        }
    }

    private void addBlockers(Request request, Set<Session> to) {
        for (Waiter part : request.parts) {
            part.volume.forEachBlocker(part, blocker -> {
                if (isEdge(blocker)) {
                    to.add(blocker.session());
                    addedNow++;
                }
                return addedNow < MOST_ADDED;
            });
        }
    }

    private static boolean isEdge(Claim blocker) {
        return !(blocker instanceof Held lock) || lock.live();
    }

    private static final class Search {
        final Session asking;
        final long number;
        final ArrayDeque<Session> open = new ArrayDeque<>();
        /** Each session that was reached, and the edge that led there. */
        final Map<Session, Edge> reachedBy = new IdentityHashMap<>();

        @Nullable
        Edge closing;

        private int asked;
        private int lookedAt;

        Search(Session asking, long number) {
            this.asking = asking;
            this.number = number;
        }

        /** Follows every edge of a request. Returns false if one closes a cycle, or there were too many. */
        boolean ask(Request request) {
            for (Waiter part : request.parts) {
                boolean converts = request.converting != null;
                if (!converts && askedAlready(part)) {
                    continue;
                }
                if ((!converts && ++asked > MOST_ASKED)
                        || !(part.volume.forEachLockChainInTheWay(
                                        part, lock -> see(part, lock, Long.MAX_VALUE, request.converting))
                                && part.volume.forEachBlockingChain(
                                        part, other -> see(part, other, upTo(part, other), null)))) {
                    return false;
                }
            }
            return true;
        }

        private boolean askedAlready(Waiter part) {
            Chain chain = part.chain;
            if (chain == null) {
                return false;
            }
            if (chain.askedBy == number && chain.askedUpTo >= part.id()) {
                return true;
            }
            chain.askedBy = number;
            chain.askedUpTo = part.id();
            return false;
        }

        /** The youngest id that may be in the way of a part, of the chain that another waiter is in. */
        private static long upTo(Waiter part, Waiter other) {
            return other.request.rank == part.request.rank ? part.request.order - 1 : Long.MAX_VALUE;
        }

        /**
         * Follows the edges to a chain, as far as they were not followed before.
         *
         * @param own the lock that a conversion would change, which is in the way of others but not of it; else null
         */
        private boolean see(Waiter part, Claim oldest, long upToId, @Nullable Held own) {
            if (++lookedAt > MOST_LOOKED_AT) {
                return false;
            }
            Chain chain = oldest.chain;
            if (chain == null) {
                return oldest.id() > upToId || oldest == own || follow(part, oldest);
            }
            long seenUpTo = -1;
            Claim leftOut = null;
            if (chain.seenBy == number) {
                seenUpTo = chain.seenUpTo;
                leftOut = chain.leftOut;
            }
            chain.seenBy = number;
            chain.seenUpTo = Math.max(seenUpTo, upToId);
            chain.leftOut = leftOut == own ? leftOut : null;
            if (leftOut != null && leftOut != own && !follow(part, leftOut)) {
                return false;
            }
            for (Claim claim = chain.youngest; claim != null && claim.id() > seenUpTo; claim = claim.older) {
                if (claim == own) {
                    chain.leftOut = own;
                } else if (claim.id() <= upToId && !follow(part, claim)) {
                    return false;
                }
            }
            return true;
        }

        /** Returns false if this edge closes a cycle. */
        private boolean follow(Waiter waiter, Claim blocker) {
            if (++lookedAt > MOST_LOOKED_AT) {
                return false;
            }
            if (!isEdge(blocker)) {
                return true;
            }
            if (blocker.session() == asking) {
                closing = new Edge(waiter, blocker);
                return false;
            }
            // Whoever asks for nothing waits for nobody: of a hundred thousand readers most need not be remembered.
            if (blocker.session().askingRequests > 0 && !reachedBy.containsKey(blocker.session())) {
                reachedBy.put(blocker.session(), new Edge(waiter, blocker));
                open.add(blocker.session());
            }
            return true;
        }

        /** Why it ended early. */
        Finding found() {
            if (closing == null) {
                asking.notSearched = NOT_SEARCHED_AGAIN;
                return Finding.GAVE_UP;
            }
            List<Edge> cycle = new ArrayList<>();
            for (Edge edge = closing;
                    edge != null;
                    edge = reachedBy.get(edge.waiter().session())) {
                cycle.add(edge);
            }
            Collections.reverse(cycle);
            return new Finding(cycle, false);
        }
    }

    /** Names the cycle: who wants what, and who is in the way with what. */
    static String describe(List<Edge> cycle) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < Math.min(cycle.size(), EDGES_NAMED); i++) {
            Waiter waiter = cycle.get(i).waiter();
            Claim blocker = cycle.get(i).blocker();
            text.append(i == 0 ? "" : "; ")
                    .append(waiter.session().owner)
                    .append(" waits for ")
                    .append(waiter.what())
                    .append(" of ")
                    .append(waiter.volume.name)
                    .append(", where ")
                    .append(blocker.session().owner)
                    .append(blocker instanceof Held ? " holds " : " is waiting for ")
                    .append(blocker.what())
                    .append(blocker instanceof Held ? " as lock " : " since request ")
                    .append(blocker instanceof Held ? blocker.id() : blocker.requestId());
        }
        if (cycle.size() > EDGES_NAMED) {
            text.append("; and ").append(cycle.size() - EDGES_NAMED).append(" more");
        }
        return text.toString();
    }
}
