package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A request that waits, or is about to: for one range, for several together, or for another mode of a lock. All parts of
 * it are granted in one step. The deadline is that of its wait.
 */
final class Request extends Timed implements Asked {

    /** Who goes before whom, whatever their age. */
    enum Rank {
        CONVERSION,
        ORDINARY,
        STANDBY
    }

    final Session session;
    final long requestId;
    /** Of two of one rank the one with the smaller order is older. The parts have ids from here on. */
    final long order;

    final Rank rank;
    /** The lock that is to have another mode; null for an acquire. */
    final @Nullable Held converting;
    /** How far the first part may grow; [0, 0): not at all. */
    final long desiredStart;

    final long desiredEnd;
    /** Answered as several even if it has one part only. */
    final boolean atomic;

    final List<Waiter> parts;

    /** Queued for a look by {@link Grants}. */
    boolean candidate;

    @Nullable
    Request nextOfSession;

    @Nullable
    Request previousOfSession;

    private Request(
            Session session,
            long requestId,
            long order,
            Rank rank,
            @Nullable Held converting,
            long desiredStart,
            long desiredEnd,
            int parts) {
        this.session = session;
        this.requestId = requestId;
        this.order = order;
        this.rank = rank;
        this.converting = converting;
        this.desiredStart = desiredStart;
        this.desiredEnd = desiredEnd;
        this.atomic = parts > 1;
        this.parts = new ArrayList<>(parts);
    }

    /** Its parts are still to be added. */
    static Request acquire(
            Session session,
            long requestId,
            long order,
            boolean standby,
            long desiredStart,
            long desiredEnd,
            int parts) {
        Rank rank = standby ? Rank.STANDBY : Rank.ORDINARY;
        return new Request(session, requestId, order, rank, null, desiredStart, desiredEnd, parts);
    }

    static Request convert(Held lock, Mode mode, long requestId, long order) {
        Request request = new Request(lock.session, requestId, order, Rank.CONVERSION, lock, 0, 0, 1);
        request.add(lock.volume, lock.start, lock.end, mode);
        return request;
    }

    /** The same request as an ordinary one, as old as now. */
    Request promoted(long newOrder) {
        Request ordinary =
                new Request(session, requestId, newOrder, Rank.ORDINARY, null, desiredStart, desiredEnd, parts.size());
        parts.forEach(part -> ordinary.add(part.volume, part.start, part.end, part.mode));
        return ordinary;
    }

    void add(Volume volume, long start, long end, Mode mode) {
        parts.add(new Waiter(this, order + parts.size(), volume, start, end, mode));
    }

    Waiter first() {
        return parts.getFirst();
    }

    boolean standby() {
        return rank == Rank.STANDBY;
    }

    /** For people. */
    String what() {
        Waiter first = first();
        return first.what() + " of " + first.volume.name
                + (atomic ? " and " + (parts.size() - 1) + " more together with it" : "");
    }
}
