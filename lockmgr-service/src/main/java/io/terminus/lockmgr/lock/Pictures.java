package io.terminus.lockmgr.lock;

import io.terminus.lockmgr.lock.RangeMap.Cell;
import io.terminus.lockmgr.lock.WaitGraph.Edge;
import io.terminus.lockmgr.lock.WaitGraph.Party;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The table as it is drawn. Each picture is bounded whatever the table holds, because drawing holds up its owner: a map counts
 * {@value #COUNTED} claims at most, an equal share of them in each cell; a graph looks at {@value #WAITERS} waiters, and at
 * {@value #BLOCKERS} claims in the way of each.
 */
final class Pictures {

    private static final int COUNTED = 200_000;
    private static final int WAITERS = 400;
    private static final int BLOCKERS = 16;

    private final Registry registry;

    Pictures(Registry registry) {
        this.registry = registry;
    }

    /** See {@link LockTable#rangeMap}. */
    RangeMap rangeMap(String volumeName, long start, long end, int cells, long unitBytes) {
        Volume volume = registry.volumes.get(volumeName);
        long units = (end - start - 1) / unitBytes + 1;
        long cellBytes = ((units - 1) / cells + 1) * unitBytes;
        List<Cell> counted = new ArrayList<>();
        Count count = new Count(Math.max(1, COUNTED / cells));
        for (long low = start; low < end; ) {
            long high = end - low > cellBytes ? low + cellBytes : end;
            counted.add(volume == null ? Cell.EMPTY : count.of(volume, low, high));
            low = high;
        }
        return new RangeMap(start, end, cellBytes, count.exact, counted);
    }

    /** What overlaps one cell, counted one by one. */
    private static final class Count {

        private final int most;
        private int left;
        private int held;
        private int writing;
        private int recalled;
        private int closing;
        private int waiting;
        private int standby;
        boolean exact = true;

        Count(int most) {
            this.most = most;
        }

        Cell of(Volume volume, long start, long end) {
            left = most;
            held = writing = recalled = closing = waiting = standby = 0;
            each(volume.locks, start, end);
            each(volume.conversions, start, end);
            each(volume.ordinary, start, end);
            each(volume.standby, start, end);
            return new Cell(held, writing, recalled, closing, waiting, standby);
        }

        private <C extends Claim> void each(ModeIndex<C> index, long start, long end) {
            index.forEachChain(start, end, oldest -> {
                for (Claim claim = oldest; claim != null; claim = claim.younger) {
                    if (left == 0) {
                        exact = false;
                        return false;
                    }
                    left--;
                    add(claim);
                }
                return true;
            });
        }

        private void add(Claim claim) {
            switch (claim) {
                case Held lock -> {
                    held++;
                    writing += lock.mode.writes() ? 1 : 0;
                    recalled += lock.recalled() ? 1 : 0;
                    closing += lock.live() ? 0 : 1;
                }
                case Waiter waiter -> {
                    if (waiter.request.standby()) {
                        standby++;
                    } else {
                        waiting++;
                    }
                }
            }
        }
    }

    /** See {@link LockTable#waitGraph}. */
    WaitGraph waitGraph(String volumeName) {
        Graph graph = new Graph();
        Volume volume = registry.volumes.get(volumeName);
        if (volume != null) {
            for (ModeIndex<Waiter> waiters : List.of(volume.conversions, volume.ordinary, volume.standby)) {
                waiters.forEachChain(0, Long.MAX_VALUE, graph::addChain);
            }
        }
        return new WaitGraph(
                List.copyOf(graph.parties.values()),
                graph.edges.values().stream().map(Merged::edge).toList(),
                graph.complete);
    }

    /** {@code queued} and {@code standby} turn false with the first pair that is otherwise. */
    private record Merged(Claim waiter, Claim blocker, int claims, boolean queued, boolean standby) {

        Merged with(Waiter next, Claim inTheWay) {
            boolean lock = inTheWay instanceof Held;
            return new Merged(
                    queued && lock ? next : waiter,
                    queued && lock ? inTheWay : blocker,
                    claims + 1,
                    queued && !lock,
                    standby && next.request.standby());
        }

        Edge edge() {
            return new Edge(
                    waiter.session().id,
                    blocker.session().id,
                    claims,
                    queued,
                    standby,
                    waiter.mode,
                    waiter.start,
                    waiter.end,
                    blocker.mode,
                    blocker.start,
                    blocker.end);
        }
    }

    private static final class Graph {

        private record Pair(String waiter, String blocker) {}

        final Map<String, Party> parties = new LinkedHashMap<>();
        final Map<Pair, Merged> edges = new LinkedHashMap<>();
        boolean complete = true;
        private int waiters;

        boolean addChain(Waiter oldest) {
            for (Claim claim = oldest; claim instanceof Waiter waiter; claim = claim.younger) {
                if (waiters == WAITERS) {
                    complete = false;
                    return false;
                }
                waiters++;
                add(waiter);
            }
            return true;
        }

        private void add(Waiter waiter) {
            party(waiter.session());
            int[] left = {BLOCKERS};
            complete &= waiter.volume.forEachBlocker(waiter, blocker -> {
                if (left[0]-- == 0) {
                    return false;
                }
                party(blocker.session());
                edges.merge(
                        new Pair(waiter.session().id, blocker.session().id),
                        new Merged(waiter, blocker, 1, blocker instanceof Waiter, waiter.request.standby()),
                        (there, one) -> there.with(waiter, blocker));
                return true;
            });
        }

        private void party(Session session) {
            parties.computeIfAbsent(session.id, id -> new Party(id, session.owner, session.held, session.waiting));
        }
    }
}
