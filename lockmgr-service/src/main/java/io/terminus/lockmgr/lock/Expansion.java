package io.terminus.lockmgr.lock;

import java.util.List;

/**
 * How far a grant grows beyond what was asked for: to the next lock, conversion or ordinary waiter that conflicts, and not
 * at all where it would be asked back soon. Every time an expanded lock is asked back, its range counts as contended for
 * {@link Settings#contentionNanos()} from then; nothing is expanded that would touch it.
 */
final class Expansion {

    record Contended(long start, long end, long untilNanos) {}

    /** More than this on one volume are taken together as one: then grants grow less than they could, which is safe. */
    private static final int MOST_KEPT = 64;

    private final Turn turn;

    Expansion(Turn turn) {
        this.turn = turn;
    }

    /** Where the grant of a request's first part begins. Its parts are in no index. */
    long start(Request request) {
        Waiter part = request.first();
        if (!mayGrow(request)) {
            return part.start;
        }
        long free = request.desiredStart == part.start
                ? part.start
                : part.volume.freeDownTo(part.mode, part.start, request.desiredStart);
        for (Waiter other : request.parts) {
            if (conflicts(other, part) && other.start < part.start) {
                free = Math.max(free, other.end);
            }
        }
        return free;
    }

    long end(Request request) {
        Waiter part = request.first();
        if (!mayGrow(request)) {
            return part.end;
        }
        long free = request.desiredEnd == part.end
                ? part.end
                : part.volume.freeUpTo(part.mode, part.end, request.desiredEnd);
        for (Waiter other : request.parts) {
            if (conflicts(other, part) && other.start >= part.end) {
                free = Math.min(free, other.start);
            }
        }
        return free;
    }

    private static boolean conflicts(Waiter other, Waiter part) {
        return other != part && other.volume == part.volume && !other.mode.compatibleWith(part.mode);
    }

    private boolean mayGrow(Request request) {
        if (request.desiredEnd == 0) {
            return false;
        }
        for (Contended place : request.first().volume.contended) {
            if (place.untilNanos > turn.now && place.start < request.desiredEnd && request.desiredStart < place.end) {
                return false;
            }
        }
        return true;
    }

    /** An expanded lock was asked back. */
    void contended(Held lock) {
        if (!lock.expanded() || turn.settings.contentionNanos() == 0) {
            return;
        }
        List<Contended> places = lock.volume.contended;
        places.removeIf(place -> place.untilNanos <= turn.now || place.start == lock.start && place.end == lock.end);
        long start = lock.start;
        long end = lock.end;
        if (places.size() >= MOST_KEPT) {
            for (Contended place : places) {
                start = Math.min(start, place.start);
                end = Math.max(end, place.end);
            }
            places.clear();
        }
        places.add(new Contended(start, end, turn.now + turn.settings.contentionNanos()));
    }
}
