package io.terminus.lockmgr.lock;

import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.LockQuery.Bucket;
import io.terminus.lockmgr.lock.LockQuery.Page;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The table as it is shown to those who look on. Every look is bounded, because it holds up the owner of the table: a page
 * looks at {@value #LOOKED_AT} entries, a contention map at {@value #COUNTED}.
 *
 * <p>A listing is in the order of (start, end, mode, id), and a page token is a place in that order, not a number of entries
 * passed, so that it means the same after locks have come and gone.
 */
final class Views {

    private static final int LOOKED_AT = 10_000;
    private static final int COUNTED = 200_000;
    private static final int BLOCKERS_SHOWN = 16;
    private static final int MOST_BLOCKERS = 1_000;
    private static final Mode[] MODES = Mode.values();

    /** A place between two claims in the order of listings. */
    private record Place(long start, long end, int mode, long id) implements Comparable<Place> {

        static final Place FIRST = new Place(0, 0, 0, 0);
        static final Place LAST = new Place(Long.MAX_VALUE, Long.MAX_VALUE, MODES.length, Long.MAX_VALUE);

        static Place of(Claim claim) {
            return new Place(claim.start, claim.end, claim.mode.ordinal(), claim.id());
        }

        /** @throws IllegalArgumentException unless the token came from {@link #token} */
        static Place parse(String token) {
            if (token.isEmpty()) {
                return FIRST;
            }
            String[] parts = token.split("-", -1);
            try {
                if (parts.length == 4) {
                    return new Place(
                            Long.parseLong(parts[0], 36),
                            Long.parseLong(parts[1], 36),
                            Integer.parseInt(parts[2], 36),
                            Long.parseLong(parts[3], 36));
                }
            } catch (NumberFormatException e) {
                throw new IllegalArgumentException("page token " + Names.quoted(token) + " is none of ours", e);
            }
            throw new IllegalArgumentException("page token " + Names.quoted(token) + " is none of ours");
        }

        String token() {
            return Long.toString(start, 36) + "-" + Long.toString(end, 36) + "-" + mode + "-" + Long.toString(id, 36);
        }

        @Override
        public int compareTo(Place other) {
            int byStart = Long.compare(start, other.start);
            int byEnd = byStart != 0 ? byStart : Long.compare(end, other.end);
            int byMode = byEnd != 0 ? byEnd : Integer.compare(mode, other.mode);
            return byMode != 0 ? byMode : Long.compare(id, other.id);
        }
    }

    private final Registry registry;

    Views(Registry registry) {
        this.registry = registry;
    }

    static LockView view(Held lock) {
        return new LockView(
                lock.id,
                lock.volume.name,
                lock.requestedStart,
                lock.requestedEnd,
                lock.start,
                lock.end,
                lock.mode,
                lock.token,
                lock.session.id,
                lock.session.owner,
                lock.requestId,
                lock.revoked,
                lock.recalled(),
                lock.delay != null);
    }

    static WaiterView view(Waiter waiter) {
        List<Long> blockers = new ArrayList<>();
        waiter.volume.forEachBlocker(waiter, blocker -> {
            blockers.add(blocker.id());
            return blockers.size() < BLOCKERS_SHOWN;
        });
        Held converting = waiter.request.converting;
        return new WaiterView(
                waiter.id(),
                waiter.volume.name,
                waiter.start,
                waiter.end,
                waiter.mode,
                waiter.session().id,
                waiter.session().owner,
                waiter.requestId(),
                waiter.request.standby(),
                converting == null ? 0 : converting.id,
                blockers);
    }

    /** Sessions behind an id, by id. */
    <V> Page<V> sessions(String ownerPrefix, String behindId, int limit, Function<Session, V> view) {
        List<V> shown = new ArrayList<>();
        String last = behindId;
        int looks = 0;
        for (Session session : registry.sessionsById.tailMap(behindId, false).values()) {
            boolean wanted = session.owner.startsWith(ownerPrefix);
            if (wanted && shown.size() == limit || looks == LOOKED_AT) {
                return new Page<>(shown, last);
            }
            if (wanted) {
                shown.add(view.apply(session));
            }
            last = session.id;
            looks++;
        }
        return new Page<>(shown, "");
    }

    <V> Page<V> volumes(String behindName, int limit, Function<Volume, V> view) {
        List<V> shown = new ArrayList<>();
        for (Volume volume : registry.volumesByName.tailMap(behindName, false).values()) {
            if (shown.size() == limit) {
                return new Page<>(shown, registry.volumesByName.lowerKey(volume.name));
            }
            shown.add(view.apply(volume));
        }
        return new Page<>(shown, "");
    }

    /** Locks of a volume; none if there is no such volume. */
    Page<LockView> locks(LockQuery query) {
        Volume volume = registry.volumes.get(query.volume());
        return volume == null ? new Page<>(List.of(), "") : page(List.of(volume.locks), query, Views::view);
    }

    /** Waiters of a volume; none if there is no such volume. */
    Page<WaiterView> waiters(LockQuery query) {
        Volume volume = registry.volumes.get(query.volume());
        return volume == null
                ? new Page<>(List.of(), "")
                : page(List.of(volume.conversions, volume.ordinary, volume.standby), query, Views::view);
    }

    /**
     * Each index is followed from the place of the token until enough was found or looked at. What lies before the place up
     * to which all of them came is on the page; the rest is found again by the next one.
     */
    private <C extends Claim, V> Page<V> page(List<ModeIndex<C>> indexes, LockQuery query, Function<C, V> view) {
        Place from = Place.parse(query.pageToken());
        int limit = Math.max(1, query.limit());
        long start = query.end() == 0 ? 0 : Math.max(0, query.start());
        long end = query.end() == 0 ? Long.MAX_VALUE : query.end();
        Place[] seenUpTo = {Place.LAST};
        List<C> found = new ArrayList<>();
        int lookAt = LOOKED_AT / (indexes.size() * MODES.length);
        for (ModeIndex<C> index : indexes) {
            for (Mode mode : MODES) {
                if (start < end && (query.mode() == null || query.mode() == mode)) {
                    int[] left = {lookAt, limit + 1};
                    index.forEachFrom(mode, from.start(), start, end, oldest -> {
                        for (C claim = firstBehind(from, oldest); claim != null; claim = younger(claim)) {
                            if (left[0] == 0 || left[1] == 0) {
                                return false;
                            }
                            left[0]--;
                            if (query.sessionId().isEmpty()
                                    || claim.session().id.equals(query.sessionId())) {
                                left[1]--;
                                found.add(claim);
                            }
                            if (left[0] == 0 || left[1] == 0) {
                                Place here = Place.of(claim);
                                seenUpTo[0] = here.compareTo(seenUpTo[0]) < 0 ? here : seenUpTo[0];
                            }
                        }
                        return true;
                    });
                }
            }
        }
        List<C> shown = new ArrayList<>(found.stream()
                .filter(claim -> Place.of(claim).compareTo(seenUpTo[0]) <= 0)
                .sorted(Comparator.comparing(Place::of))
                .toList());
        String next = seenUpTo[0].equals(Place.LAST) ? "" : seenUpTo[0].token();
        if (shown.size() > limit) {
            shown.subList(limit, shown.size()).clear();
            next = Place.of(shown.getLast()).token();
        }
        return new Page<>(shown.stream().map(view).toList(), next);
    }

    /**
     * The first of a chain that lies behind a place. The claims of a chain differ in their ids only, which rise. The lock
     * that gave the place its id may be elsewhere by now, in a chain that lies before the place as well.
     */
    private <C extends Claim> @Nullable C firstBehind(Place from, C oldest) {
        Place first = Place.of(oldest);
        if (first.compareTo(from) > 0) {
            return oldest;
        }
        if (first.start() != from.start() || first.end() != from.end() || first.mode() != from.mode()) {
            return null;
        }
        Held last = oldest.chain == null ? null : registry.locks.get(from.id());
        C claim = last != null && last.chain == oldest.chain ? younger(Views.<C>cast(last)) : oldest;
        while (claim != null && claim.id() <= from.id()) {
            claim = younger(claim);
        }
        return claim;
    }

    /** Claims of one chain are of one kind. */
    @SuppressWarnings("unchecked")
    private static <C extends Claim> C cast(Claim claim) {
        return (C) claim;
    }

    @SuppressWarnings("unchecked")
    private static <C extends Claim> @Nullable C younger(C claim) {
        return (C) claim.younger;
    }

    /** What is in the way of a request that waits, locks first, the first 1,000; empty if no such request waits. */
    Optional<List<ClaimView>> blockers(String sessionId, long requestId) {
        Session session = registry.sessions.get(sessionId);
        Asked asked = session == null ? null : session.requests.get(requestId);
        if (!(asked instanceof Request request)) {
            return Optional.empty();
        }
        List<ClaimView> locks = new ArrayList<>();
        List<ClaimView> waiters = new ArrayList<>();
        for (Waiter part : request.parts) {
            part.volume.forEachBlocker(part, blocker -> {
                switch (blocker) {
                    case Held lock -> locks.add(view(lock));
                    case Waiter waiter -> waiters.add(view(waiter));
                }
                return locks.size() + waiters.size() < MOST_BLOCKERS;
            });
        }
        locks.addAll(waiters);
        // Two parts may have one thing in their way.
        return Optional.of(locks.stream().distinct().limit(MOST_BLOCKERS).toList());
    }

    /** How much is held and waited for, range by range of equal length; see {@link LockTable#contention}. */
    List<Bucket> contention(String volumeName, long start, long end, int buckets) {
        Volume volume = registry.volumes.get(volumeName);
        if (volume == null || buckets < 1) {
            return List.of();
        }
        long from = end == 0 ? firstByte(volume) : Math.max(0, start);
        long to = end == 0 ? lastByte(volume) : end;
        if (from >= to) {
            return List.of();
        }
        long length = (to - from - 1) / buckets + 1;
        int most = Math.max(1, COUNTED / buckets);
        List<Bucket> counted = new ArrayList<>();
        for (long low = from; low < to; ) {
            long high = to - low > length ? low + length : to;
            long held = count(List.of(volume.locks), low, high, most);
            long waiting = count(List.of(volume.conversions, volume.ordinary, volume.standby), low, high, most);
            counted.add(new Bucket(low, high, held, waiting));
            low = high;
        }
        return counted;
    }

    private static <C extends Claim> long count(List<ModeIndex<C>> indexes, long start, long end, int most) {
        long[] count = {0};
        int[] left = {most};
        for (ModeIndex<C> index : indexes) {
            index.forEachChain(start, end, oldest -> {
                count[0] += oldest.chain == null ? 1 : oldest.chain.size;
                return --left[0] > 0;
            });
        }
        return count[0];
    }

    private static long firstByte(Volume volume) {
        long first = Long.MAX_VALUE;
        for (ModeIndex<?> index : List.of(volume.locks, volume.conversions, volume.ordinary, volume.standby)) {
            first = Math.min(first, index.firstStart());
        }
        return first;
    }

    /** Found by halving: an index tells at once whether anything lies behind an offset. */
    private static long lastByte(Volume volume) {
        long free = Long.MAX_VALUE;
        long taken = 0;
        while (free - taken > 1) {
            long middle = taken + (free - taken) / 2;
            if (volume.anythingFrom(middle)) {
                taken = middle;
            } else {
                free = middle;
            }
        }
        return free;
    }
}
