package io.terminus.lockmgr.lock;

import java.util.List;

/**
 * Who waits for whom on one volume, by session.
 *
 * @param complete false: there are more waiters, or more in the way of one, than were looked at
 */
public record WaitGraph(List<Party> parties, List<Edge> edges, boolean complete) {

    /** A session; the empty id stands for what holders that vanished have left. Counts are those of all volumes. */
    public record Party(String sessionId, String owner, int held, int waiting) {}

    /**
     * One session waits for another; the first claim of each is told.
     *
     * @param claims how many pairs of claims it is so for, of those looked at
     * @param queued the other one has nothing that is in the way, but waits in front
     * @param standby it asks nobody to give way
     */
    public record Edge(
            String waiter,
            String blocker,
            int claims,
            boolean queued,
            boolean standby,
            Mode wanted,
            long wantedStart,
            long wantedEnd,
            Mode inTheWay,
            long inTheWayStart,
            long inTheWayEnd) {}
}
