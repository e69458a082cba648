package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The lock rules once more, as dully as can be: lists that are searched from end to end, deadlines that are scanned and
 * moved one by one, a waits-for graph built from every pair, and grants repeated until nothing changes. Shares nothing
 * with {@link LockTable} but commands, notices and the mode matrix (which has a test of its own).
 */
final class LockModel {

    static final long SECOND = 1_000_000_000L;

    /** A lock, or a range that a request waits for. */
    static final class Item {
        /** Empty: nobody's, while the lock delay runs. */
        String session = "";

        long request;
        String volume = "";
        long start;
        long end;
        Mode mode = Mode.NL;
        boolean held;
        /** Lock id if held, else its own; the parts of one request have one order. */
        long id;

        // Of a lock.
        long token;
        long lastRequest;
        long requestedStart;
        long requestedEnd;
        boolean revoked;
        boolean delayed;
        long delayEnd;
        /** This command granted it, or changed its range or mode. */
        boolean fresh;

        boolean recalled;
        long recalledAt;
        long recallDeadline;
        long neededStart;
        long neededEnd;
        long keepStart;
        long keepEnd;
        Set<Mode> wanted = new HashSet<>();
        /** Ids of the waiters the holder was told about. */
        Set<Long> toldOf = new HashSet<>();

        // Of a waiter.
        long order;
        boolean standby;

        @Nullable
        Item converting;

        boolean atomic;
        long desiredStart;
        long desiredEnd;
        long waitDeadline = Long.MAX_VALUE;

        boolean conflicts(Item other) {
            return start < other.end
                    && other.start < end
                    && !mode.compatibleWith(other.mode)
                    && volume.equals(other.volume);
        }

        /** Waits, and not as a standby. */
        boolean asks() {
            return !held && !standby;
        }

        int rank() {
            return converting != null ? 0 : standby ? 2 : 1;
        }

        boolean live() {
            return held && !revoked && !delayed;
        }

        void forgetRecall() {
            recalled = false;
            wanted.clear();
            toldOf.clear();
        }
    }

    static final class SessionState {
        long ttl;
        long leaseEnd;
    }

    static final class Value {
        long version;
        String session = "";
        long request;
        long lockDelay;
    }

    static final class Contended {
        String volume = "";
        long start;
        long end;
        long until;
    }

    final Settings settings;
    final Map<String, SessionState> sessions = new LinkedHashMap<>();
    /** One for each volume. */
    final Map<String, Value> values = new LinkedHashMap<>();
    /** In no order that matters. */
    final List<Item> items = new ArrayList<>();

    final List<Contended> contended = new ArrayList<>();

    final List<Notice> notices = new ArrayList<>();
    long epoch;
    long counter;
    long orders;
    long now;
    boolean recovering;
    long recoveryEnd;

    LockModel(Settings settings, long epoch, long now, long recoveryEnd) {
        this.settings = settings;
        this.epoch = epoch;
        this.now = now;
        this.recoveryEnd = recoveryEnd;
        this.recovering = recoveryEnd > now;
    }

    /** What a start leaves of the model: sessions with a new lease, locks, values. */
    void restart(long newEpoch, long at, long newRecoveryEnd) {
        epoch = newEpoch;
        counter = 0;
        orders = 0;
        now = at;
        recoveryEnd = newRecoveryEnd;
        recovering = newRecoveryEnd > at;
        items.removeIf(item -> !item.held);
        contended.clear();
        for (Item item : items) {
            item.forgetRecall();
            item.delayEnd = now + value(item.volume).lockDelay;
        }
        sessions.values().forEach(this::newLease);
    }

    /** The notices a command must lead to. */
    List<Notice> apply(Command command, long at) {
        notices.clear();
        if (at - now > SECOND) {
            moveDeadlines(at - now);
        }
        now = at;
        items.forEach(item -> item.fresh = false);
        switch (command) {
            case Command.OpenSession c -> {
                SessionState state = new SessionState();
                state.ttl = c.ttlNanos();
                newLease(state);
                SessionState before = sessions.putIfAbsent(c.sessionId(), state);
                if (before != null && before.ttl != c.ttlNanos()) {
                    refuse(c.sessionId(), 0, Reason.INVALID_ARGUMENT);
                }
            }
            case Command.CloseSession c -> {
                if (sessions.containsKey(c.sessionId())) {
                    end(c.sessionId(), false);
                }
            }
            case Command.Renew c -> {
                if (!sessions.containsKey(c.sessionId())) {
                    notices.add(new Notice.SessionEnded(c.sessionId(), ""));
                } else if (items.stream().noneMatch(i -> i.session.equals(c.sessionId()) && i.revoked)) {
                    newLease(state(c.sessionId()));
                    notices.add(new Notice.RenewalAnswered(c.sessionId(), c.sequence()));
                }
            }
            case Command.Acquire c -> acquire(c);
            case Command.Cancel c -> cancel(c);
            case Command.Promote c -> promote(c);
            case Command.Release c -> {
                if (isKnown(c.sessionId(), c.requestId())) {
                    remove(byLock(c.sessionId(), c.lockId()));
                    notices.add(new Notice.Done(c.sessionId(), c.requestId()));
                }
            }
            case Command.PutValue c -> putValue(c);
            case Command.AckLost c -> {
                if (isKnown(c.sessionId(), c.requestId())) {
                    Item lock = byLock(c.sessionId(), c.lockId());
                    if (lock != null && !lock.revoked) {
                        refuse(c.sessionId(), c.requestId(), Reason.INVALID_ARGUMENT);
                    } else {
                        remove(lock);
                        notices.add(new Notice.Done(c.sessionId(), c.requestId()));
                    }
                }
            }
            case Command.Progress c -> {
                if (isKnown(c.sessionId(), c.requestId())) {
                    Item lock = byLock(c.sessionId(), c.lockId());
                    if (lock == null) {
                        refuse(c.sessionId(), c.requestId(), Reason.UNKNOWN_LOCK);
                    } else if (lock.revoked) {
                        refuse(c.sessionId(), c.requestId(), Reason.NOT_HOLDER);
                    } else {
                        lock.recallDeadline = Math.min(
                                now + settings.recallDeadlineNanos(), lock.recalledAt + settings.recallCapNanos());
                        notices.add(new Notice.Done(c.sessionId(), c.requestId()));
                    }
                }
            }
            case Command.ForceRelease c -> {
                Item lock = items.stream()
                        .filter(i -> i.held && i.id == c.lockId() && i.volume.equals(c.volume()))
                        .findFirst()
                        .orElse(null);
                if (lock == null) {
                    refuse("", c.requestId(), Reason.UNKNOWN_LOCK);
                } else {
                    if (lock.delayed) {
                        remove(lock);
                    } else if (!lock.revoked) {
                        revoke(lock);
                    }
                    notices.add(new Notice.Done("", c.requestId()));
                }
            }
            case Command.Tick c -> tick();
            case Command.Convert c -> convert(c);
            case Command.Shrink c -> shrink(c);
            case Command.Split c -> split(c);
            case Command.Reassert c -> reassert(c);
            case Command.ConfigureVolume c -> {
                value(c.volume()).lockDelay = c.lockDelayNanos();
                notices.add(new Notice.Done("", c.requestId()));
            }
        }
        grantUntilNothingChanges();
        recallWhatIsNeeded();
        return notices;
    }

    private void moveDeadlines(long by) {
        sessions.values().forEach(state -> state.leaseEnd += by);
        for (Item item : items) {
            if (item.waitDeadline != Long.MAX_VALUE) {
                item.waitDeadline += by;
            }
            item.recalledAt += by;
            item.recallDeadline += by;
            item.delayEnd += by;
        }
        contended.forEach(place -> place.until += by);
        recoveryEnd += by;
    }

    private void newLease(SessionState state) {
        state.leaseEnd = now + state.ttl + state.ttl * 2 / 100 + SECOND / 10;
    }

    private SessionState state(String session) {
        SessionState state = sessions.get(session);
        if (state == null) {
            throw new AssertionError("no session " + session);
        }
        return state;
    }

    private Value value(String volume) {
        return values.computeIfAbsent(volume, name -> new Value());
    }

    // Requests

    private void acquire(Command.Acquire c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        List<Item> before = byRequest(c.sessionId(), c.requestId());
        if (!before.isEmpty()) {
            List<Item> live = before.stream().filter(item -> item.live()).toList();
            if (before.stream().noneMatch(item -> item.held)) {
                return;
            }
            if (live.isEmpty()) {
                refuse(c.sessionId(), c.requestId(), Reason.CANCELLED);
            } else if (c.also().isEmpty()) {
                notices.add(granted(live.getFirst(), c.requestId()));
            } else {
                grantedAll(c.sessionId(), c.requestId(), live);
            }
            return;
        }
        List<Item> parts = new ArrayList<>();
        parts.add(waiter(c.sessionId(), c.requestId(), c.volume(), c.start(), c.end(), c.mode(), orders + 1));
        for (Command.Part part : c.also()) {
            parts.add(waiter(
                    c.sessionId(), c.requestId(), part.volume(), part.start(), part.end(), part.mode(), orders + 1));
        }
        for (int i = 0; i < parts.size(); i++) {
            parts.get(i).id += i;
            parts.get(i).atomic = parts.size() > 1;
            parts.get(i).standby = c.standby();
            for (int j = 0; j < i; j++) {
                if (parts.get(i).conflicts(parts.get(j))) {
                    refuse(c.sessionId(), c.requestId(), Reason.INVALID_ARGUMENT);
                    return;
                }
            }
        }
        parts.getFirst().desiredStart = c.desiredStart();
        parts.getFirst().desiredEnd = c.desiredEnd();
        if (c.waitNanos() == 0 && recovering) {
            refuse(c.sessionId(), c.requestId(), Reason.RECOVERING);
            return;
        }
        boolean free =
                !recovering && parts.stream().allMatch(part -> blockers(part).isEmpty());
        if (!free && c.waitNanos() == 0) {
            refuse(c.sessionId(), c.requestId(), Reason.WOULD_BLOCK);
        } else if (!free && !c.standby() && closesCycle(parts)) {
            refuse(c.sessionId(), c.requestId(), Reason.DEADLOCK);
        } else if (free) {
            parts.forEach(part -> value(part.volume));
            items.addAll(parts);
            grant(parts);
        } else {
            parts.forEach(part -> value(part.volume));
            wait(parts, c.waitNanos());
        }
    }

    private static Item waiter(
            String session, long request, String volume, long start, long end, Mode mode, long order) {
        Item item = new Item();
        item.session = session;
        item.request = request;
        item.volume = volume;
        item.start = start;
        item.end = end;
        item.mode = mode;
        item.order = order;
        item.id = order;
        return item;
    }

    private void wait(List<Item> parts, long waitNanos) {
        orders += parts.size();
        parts.forEach(part -> part.waitDeadline = waitNanos == -1 ? Long.MAX_VALUE : now + waitNanos);
        items.addAll(parts);
    }

    private void cancel(Command.Cancel c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        List<Item> asked = byRequest(c.sessionId(), c.acquireRequestId());
        if (asked.stream().anyMatch(item -> !item.held)) {
            items.removeAll(asked);
            refuse(c.sessionId(), c.acquireRequestId(), Reason.CANCELLED);
        } else {
            asked.forEach(this::remove);
        }
        notices.add(new Notice.Done(c.sessionId(), c.requestId()));
    }

    private void promote(Command.Promote c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        List<Item> asked = byRequest(c.sessionId(), c.acquireRequestId());
        if (asked.isEmpty()) {
            refuse(c.sessionId(), c.requestId(), Reason.UNKNOWN_REQUEST);
            return;
        }
        Item item = asked.getFirst();
        if (item.standby && !item.held) {
            long oldId = item.id;
            item.standby = false;
            item.id = orders + 1;
            item.order = item.id;
            boolean free = !recovering && blockers(item).isEmpty();
            if (!free && closesCycle(List.of())) {
                item.standby = true;
                item.id = oldId;
                item.order = oldId;
                refuse(c.sessionId(), c.requestId(), Reason.DEADLOCK);
                return;
            }
            orders++;
            item.waitDeadline = now + c.waitNanos();
        }
        notices.add(new Notice.Done(c.sessionId(), c.requestId()));
    }

    // Changes of a lock

    private void convert(Command.Convert c) {
        if (!isKnown(c.sessionId(), c.requestId())
                || byRequest(c.sessionId(), c.requestId()).stream().anyMatch(item -> !item.held)) {
            return;
        }
        Item known = byLock(c.sessionId(), c.lockId());
        if (known != null && !known.revoked && c.requestId() < known.lastRequest && known.mode != c.mode()) {
            refuse(c.sessionId(), c.requestId(), Reason.CANCELLED);
            return;
        }
        Item lock = toChange(c.sessionId(), c.requestId(), c.lockId());
        if (lock == null) {
            return;
        }
        if (conversionOf(lock) != null) {
            refuse(c.sessionId(), c.requestId(), Reason.INVALID_ARGUMENT);
            return;
        }
        boolean weaker = true;
        for (Mode other : Mode.values()) {
            weaker &= !lock.mode.compatibleWith(other) || c.mode().compatibleWith(other);
        }
        if (weaker) {
            lock.mode = c.mode();
            changed(lock, c.requestId());
            notices.add(granted(lock, c.requestId()));
            return;
        }
        if (recovering && c.waitNanos() == 0) {
            refuse(c.sessionId(), c.requestId(), Reason.RECOVERING);
            return;
        }
        Item conversion = waiter(c.sessionId(), c.requestId(), lock.volume, lock.start, lock.end, c.mode(), orders + 1);
        conversion.converting = lock;
        boolean free = !recovering && blockers(conversion).isEmpty();
        if (!free && c.waitNanos() == 0) {
            refuse(c.sessionId(), c.requestId(), Reason.WOULD_BLOCK);
        } else if (closesCycle(List.of(conversion))) {
            refuse(c.sessionId(), c.requestId(), Reason.DEADLOCK);
        } else if (free) {
            items.add(conversion);
            grant(List.of(conversion));
        } else {
            wait(List.of(conversion), c.waitNanos());
        }
    }

    private void shrink(Command.Shrink c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        Item lock = toChange(c.sessionId(), c.requestId(), c.lockId());
        if (lock == null) {
            return;
        }
        if (c.start() >= c.end() || c.start() < lock.start || c.end() > lock.end) {
            refuse(c.sessionId(), c.requestId(), Reason.INVALID_RANGE);
            return;
        }
        narrow(lock, c.start(), c.end());
        changed(lock, c.requestId());
        notices.add(granted(lock, c.requestId()));
    }

    private void narrow(Item lock, long start, long end) {
        lock.start = start;
        lock.end = end;
        if (lock.requestedEnd <= start || lock.requestedStart >= end) {
            lock.requestedStart = start;
            lock.requestedEnd = end;
        }
        lock.requestedStart = Math.max(start, lock.requestedStart);
        lock.requestedEnd = Math.min(end, lock.requestedEnd);
        Item conversion = conversionOf(lock);
        if (conversion != null) {
            conversion.start = start;
            conversion.end = end;
        }
    }

    private void split(Command.Split c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        List<Item> made = byRequest(c.sessionId(), c.requestId());
        Item low = byLock(c.sessionId(), c.lockId());
        if (made.size() == 1
                && made.getFirst().held
                && made.getFirst().id > c.lockId()
                && made.getFirst().start >= c.at()
                && (low == null
                        || low.volume.equals(made.getFirst().volume)
                                && low.end <= c.at()
                                && low.lastRequest >= c.requestId())) {
            List<Item> halves = new ArrayList<>();
            if (low != null && low.live()) {
                halves.add(low);
            }
            if (made.getFirst().live()) {
                halves.add(made.getFirst());
            }
            if (halves.isEmpty()) {
                refuse(c.sessionId(), c.requestId(), Reason.NOT_HOLDER);
            } else {
                grantedAll(c.sessionId(), c.requestId(), halves);
            }
            return;
        }
        Item lock = toChange(c.sessionId(), c.requestId(), c.lockId());
        if (lock == null) {
            return;
        }
        if (c.at() <= lock.start || c.at() >= lock.end) {
            refuse(c.sessionId(), c.requestId(), Reason.INVALID_RANGE);
        } else if (conversionOf(lock) != null) {
            refuse(c.sessionId(), c.requestId(), Reason.INVALID_ARGUMENT);
        } else {
            Item upper = waiter(lock.session, c.requestId(), lock.volume, lock.start, lock.end, lock.mode, 0);
            upper.requestedStart = lock.requestedStart;
            upper.requestedEnd = lock.requestedEnd;
            becomeHeld(upper);
            narrow(upper, c.at(), lock.end);
            narrow(lock, lock.start, c.at());
            changed(lock, c.requestId());
            if (lock.recalled) {
                upper.recalled = true;
                upper.recalledAt = lock.recalledAt;
                upper.recallDeadline = lock.recallDeadline;
                upper.neededStart = Long.MAX_VALUE;
                upper.neededEnd = 0;
                upper.keepStart = upper.start;
                upper.keepEnd = upper.end;
            }
            items.add(upper);
            grantedAll(c.sessionId(), c.requestId(), List.of(lock, upper));
        }
    }

    private @Nullable Item toChange(String session, long request, long lockId) {
        Item lock = byLock(session, lockId);
        if (lock == null) {
            refuse(session, request, Reason.UNKNOWN_LOCK);
        } else if (lock.revoked) {
            refuse(session, request, Reason.NOT_HOLDER);
        } else if (request <= lock.lastRequest) {
            notices.add(granted(lock, request));
        } else if (!byRequest(session, request).isEmpty()) {
            refuse(session, request, Reason.INVALID_ARGUMENT);
        } else {
            return lock;
        }
        return null;
    }

    private static void changed(Item lock, long request) {
        lock.lastRequest = Math.max(lock.lastRequest, request);
        lock.fresh = true;
    }

    private @Nullable Item conversionOf(Item lock) {
        return items.stream()
                .filter(item -> item.converting == lock)
                .findFirst()
                .orElse(null);
    }

    private void reassert(Command.Reassert c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        Item known = items.stream()
                .filter(item -> item.held && item.id == c.lockId())
                .findFirst()
                .orElse(null);
        if (known != null && known.session.equals(c.sessionId()) && known.token >= c.token()) {
            if (known.revoked) {
                refuse(c.sessionId(), c.requestId(), Reason.NOT_HOLDER);
            } else {
                notices.add(granted(known, c.requestId()));
            }
            return;
        }
        List<Item> used = byRequest(c.sessionId(), c.requestId());
        if (!used.isEmpty() && !(used.size() == 1 && used.getFirst() == known)) {
            refuse(c.sessionId(), c.requestId(), Reason.INVALID_ARGUMENT);
            return;
        }
        if (!recovering) {
            refuse(c.sessionId(), c.requestId(), Reason.NOT_HOLDER);
            return;
        }
        if (c.token() >= epoch << 40 || c.lockId() > c.token()) {
            refuse(c.sessionId(), c.requestId(), Reason.INVALID_ARGUMENT);
            return;
        }
        Item lock = waiter(c.sessionId(), c.requestId(), c.volume(), c.start(), c.end(), c.mode(), 0);
        List<Item> others = items.stream()
                .filter(item -> item.held && item != known && item.conflicts(lock))
                .toList();
        if (!c.volumeUuid().equals("uuid-of-" + c.volume()) && values.containsKey(c.volume())
                || known != null && !known.volume.equals(c.volume())
                || known != null && !known.session.equals(c.sessionId()) && (!known.delayed || known.token > c.token())
                || others.stream().anyMatch(item -> item.token >= c.token())) {
            refuse(c.sessionId(), c.requestId(), Reason.NOT_HOLDER);
            return;
        }
        value(c.volume());
        remove(known);
        for (Item other : others) {
            if (other.live()) {
                notices.add(new Notice.Lost(other.session, other.id, other.volume, other.start, other.end, ""));
            }
            remove(other);
        }
        lock.held = true;
        lock.fresh = true;
        lock.id = c.lockId();
        lock.token = c.token();
        lock.lastRequest = c.requestId();
        lock.requestedStart = c.requestedStart();
        lock.requestedEnd = c.requestedEnd();
        items.add(lock);
        notices.add(granted(lock, c.requestId()));
        while (true) {
            Item newest = newestInCycle(c.sessionId());
            if (newest == null) {
                return;
            }
            items.removeAll(byRequest(newest.session, newest.request));
            refuse(newest.session, newest.request, Reason.DEADLOCK);
        }
    }

    private @Nullable Item newestInCycle(String session) {
        Map<String, Set<String>> reaches = waitsFor(items);
        return items.stream()
                .filter(item -> item.asks() && item.session.equals(session))
                .filter(item -> blockers(item).stream()
                        .filter(blocker -> !blocker.held || blocker.live())
                        .anyMatch(blocker -> blocker.session.equals(session)
                                || reaches.getOrDefault(blocker.session, Set.of())
                                        .contains(session)))
                .max(Comparator.comparingLong(item -> item.order))
                .orElse(null);
    }

    private void putValue(Command.PutValue c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        Value value = values.get(c.volume());
        Item lock = byLock(c.sessionId(), c.lockId());
        if (value != null
                && value.version > 0
                && value.session.equals(c.sessionId())
                && value.request == c.requestId()) {
            notices.add(stored(c, value));
        } else if (value == null
                || lock == null
                || lock.revoked
                || !lock.volume.equals(c.volume())
                || lock.start != 0
                || lock.end != Long.MAX_VALUE
                || lock.mode != Mode.PW && lock.mode != Mode.EX
                || state(c.sessionId()).leaseEnd <= now) {
            refuse(c.sessionId(), c.requestId(), Reason.NOT_HOLDER);
        } else if (value.version != c.expectedVersion()) {
            refuse(c.sessionId(), c.requestId(), Reason.VERSION_MISMATCH);
        } else {
            value.version++;
            value.session = c.sessionId();
            value.request = c.requestId();
            notices.add(stored(c, value));
        }
    }

    private static Notice stored(Command.PutValue c, Value value) {
        return new Notice.ValueStored(
                c.sessionId(), c.requestId(), c.volume(), "uuid-of-" + c.volume(), value.version, new byte[0]);
    }

    private void tick() {
        for (Item item : List.copyOf(items)) {
            if (!item.held && item.waitDeadline <= now && items.contains(item)) {
                items.removeAll(byRequest(item.session, item.request));
                refuse(item.session, item.request, Reason.DEADLINE);
            }
        }
        for (Map.Entry<String, SessionState> entry : List.copyOf(sessions.entrySet())) {
            if (entry.getValue().leaseEnd <= now) {
                end(entry.getKey(), true);
            }
        }
        List<Item> overdue = items.stream()
                .filter(item -> item.held && item.recalled && item.recallDeadline <= now)
                .toList();
        List<Item> needed =
                overdue.stream().filter(item -> !needing(item).isEmpty()).toList();
        overdue.forEach(Item::forgetRecall);
        needed.forEach(this::revoke);
        items.removeIf(item -> item.delayed && item.delayEnd <= now);
        if (recoveryEnd <= now) {
            recovering = false;
        }
    }

    private void end(String session, boolean vanished) {
        sessions.remove(session);
        items.removeIf(
                item -> item.session.equals(session) && (!item.held || !vanished || value(item.volume).lockDelay == 0));
        for (Item item : items) {
            if (item.session.equals(session)) {
                item.session = "";
                item.delayed = true;
                item.revoked = false;
                item.delayEnd = now + value(item.volume).lockDelay;
                item.forgetRecall();
            }
        }
        notices.add(new Notice.SessionEnded(session, ""));
    }

    private void remove(@Nullable Item lock) {
        if (lock != null) {
            items.remove(lock);
            refuseConversion(lock, Reason.UNKNOWN_LOCK);
        }
    }

    private void revoke(Item lock) {
        lock.revoked = true;
        lock.forgetRecall();
        refuseConversion(lock, Reason.CANCELLED);
        notices.add(new Notice.Lost(lock.session, lock.id, lock.volume, lock.start, lock.end, ""));
    }

    private void refuseConversion(Item lock, Reason reason) {
        Item conversion = conversionOf(lock);
        if (conversion != null) {
            items.remove(conversion);
            refuse(conversion.session, conversion.request, reason);
        }
    }

    // Who is in whose way

    /** Everything in the way of a waiter, as the rule says it. */
    List<Item> blockers(Item waiter) {
        List<Item> blockers = new ArrayList<>();
        for (Item other : items) {
            if (isInTheWay(other, waiter)) {
                blockers.add(other);
            }
        }
        return blockers;
    }

    /** Those who want a lock back from its holder. */
    List<Item> needing(Item lock) {
        List<Item> needing = new ArrayList<>();
        for (Item other : items) {
            if (other.asks() && other.converting != lock && other.conflicts(lock)) {
                needing.add(other);
            }
        }
        needing.sort(Comparator.comparingLong(item -> item.id));
        return needing;
    }

    private void grantUntilNothingChanges() {
        while (!recovering) {
            Item next = null;
            for (Item item : items) {
                if (!item.held
                        && (next == null
                                || item.rank() < next.rank()
                                || item.rank() == next.rank() && item.order < next.order)
                        && isFree(item)) {
                    next = item;
                }
            }
            if (next == null) {
                return;
            }
            grant(byRequest(next.session, next.request));
        }
    }

    private boolean isFree(Item item) {
        if (!item.atomic) {
            return !isBlocked(item);
        }
        for (Item part : byRequest(item.session, item.request)) {
            if (isBlocked(part)) {
                return false;
            }
        }
        return true;
    }

    private boolean isBlocked(Item waiter) {
        for (Item other : items) {
            if (isInTheWay(other, waiter)) {
                return true;
            }
        }
        return false;
    }

    private static boolean isInTheWay(Item other, Item waiter) {
        if (other == waiter || !other.conflicts(waiter)) {
            return false;
        }
        return other.held
                ? other != waiter.converting
                : other.rank() < waiter.rank() || other.rank() == waiter.rank() && other.order < waiter.order;
    }

    private void grant(List<Item> parts) {
        Item first = parts.getFirst();
        Item lock = first.converting;
        if (lock != null) {
            items.remove(first);
            lock.mode = first.mode;
            lock.token = nextToken();
            changed(lock, first.request);
            notices.add(granted(lock, first.request));
            return;
        }
        for (Item part : parts) {
            part.requestedStart = part.start;
            part.requestedEnd = part.end;
        }
        expand(first);
        parts.forEach(this::becomeHeld);
        if (first.atomic) {
            grantedAll(first.session, first.request, parts);
        } else {
            notices.add(granted(first, first.request));
        }
    }

    private void expand(Item lock) {
        if (lock.desiredEnd == 0
                || contended.stream()
                        .anyMatch(place -> place.until > now
                                && place.volume.equals(lock.volume)
                                && place.start < lock.desiredEnd
                                && lock.desiredStart < place.end)) {
            return;
        }
        long start = lock.desiredStart;
        long end = lock.desiredEnd;
        for (Item other : items) {
            if (other != lock
                    && (other.held || !other.standby)
                    && other.volume.equals(lock.volume)
                    && !other.mode.compatibleWith(lock.mode)) {
                if (other.start < lock.start) {
                    start = Math.max(start, Math.min(other.end, lock.start));
                }
                if (other.end > lock.end) {
                    end = Math.min(end, Math.max(other.start, lock.end));
                }
            }
        }
        lock.start = start;
        lock.end = end;
    }

    private void becomeHeld(Item item) {
        item.token = nextToken();
        item.id = item.token;
        item.lastRequest = item.request;
        item.held = true;
        item.standby = false;
        item.fresh = true;
    }

    private long nextToken() {
        counter++;
        return epoch * (1L << 40) + counter;
    }

    private void grantedAll(String session, long request, List<Item> locks) {
        notices.add(new Notice.GrantedAll(
                session,
                request,
                locks.stream().map(lock -> granted(lock, request)).toList()));
    }

    private static Notice.Granted granted(Item item, long request) {
        return new Notice.Granted(
                item.session,
                request,
                item.id,
                item.volume,
                "uuid-of-" + item.volume,
                item.requestedStart,
                item.requestedEnd,
                item.start,
                item.end,
                item.mode,
                item.token);
    }

    // Recalls

    private void recallWhatIsNeeded() {
        for (Item lock : items) {
            if (!lock.live()) {
                continue;
            }
            if (lock.fresh) {
                restate(lock);
                continue;
            }
            for (Item waiter : needing(lock)) {
                if (!lock.toldOf.contains(waiter.id)) {
                    need(lock, waiter);
                }
            }
        }
    }

    private void need(Item lock, Item waiter) {
        if (!lock.recalled) {
            lock.recalled = true;
            lock.recalledAt = now;
            lock.recallDeadline = now + settings.recallDeadlineNanos();
            lock.neededStart = Long.MAX_VALUE;
            lock.neededEnd = 0;
            lock.keepStart = lock.start;
            lock.keepEnd = lock.end;
        }
        boolean anew = add(lock, waiter);
        if (anew || !lock.wanted.contains(waiter.mode)) {
            say(lock, Set.of(waiter.mode));
        }
        lock.wanted.add(waiter.mode);
        lock.toldOf.add(waiter.id);
    }

    private static boolean add(Item lock, Item waiter) {
        long start = Math.max(lock.start, waiter.start);
        long end = Math.min(lock.end, waiter.end);
        long oldStart = lock.neededStart;
        long oldEnd = lock.neededEnd;
        long oldKeepStart = lock.keepStart;
        long oldKeepEnd = lock.keepEnd;
        lock.neededStart = Math.min(start, oldStart);
        lock.neededEnd = Math.max(end, oldEnd);
        if (lock.keepEnd != 0) {
            if (start < lock.requestedEnd && lock.requestedStart < end) {
                lock.keepStart = 0;
                lock.keepEnd = 0;
            } else if (end <= lock.requestedStart) {
                lock.keepStart = Math.max(lock.keepStart, end);
            } else {
                lock.keepEnd = Math.min(lock.keepEnd, start);
            }
        }
        return lock.neededStart != oldStart
                || lock.neededEnd != oldEnd
                || lock.keepStart != oldKeepStart
                || lock.keepEnd != oldKeepEnd;
    }

    private void restate(Item lock) {
        List<Item> needing = needing(lock);
        if (needing.isEmpty()) {
            lock.forgetRecall();
            return;
        }
        boolean before = lock.recalled;
        long saidStart = lock.neededStart;
        long saidEnd = lock.neededEnd;
        long saidKeepStart = Math.max(lock.keepStart, lock.start);
        long saidKeepEnd = lock.keepEnd == 0 ? 0 : Math.min(lock.keepEnd, lock.end);
        Set<Mode> saidModes = new HashSet<>(lock.wanted);
        lock.recalled = true;
        if (!before) {
            lock.recalledAt = now;
            lock.recallDeadline = now + settings.recallDeadlineNanos();
        }
        lock.neededStart = Long.MAX_VALUE;
        lock.neededEnd = 0;
        lock.keepStart = lock.start;
        lock.keepEnd = lock.end;
        lock.wanted.clear();
        lock.toldOf.clear();
        for (Item waiter : needing) {
            add(lock, waiter);
            lock.wanted.add(waiter.mode);
            lock.toldOf.add(waiter.id);
        }
        boolean said = before
                && lock.neededStart >= saidStart
                && lock.neededEnd <= saidEnd
                && (saidKeepEnd == 0
                        || lock.keepEnd != 0 && lock.keepStart <= saidKeepStart && lock.keepEnd >= saidKeepEnd);
        Set<Mode> toSay = new HashSet<>(lock.wanted);
        if (said) {
            toSay.removeAll(saidModes);
        }
        say(lock, toSay);
    }

    private void say(Item lock, Set<Mode> modes) {
        for (Mode mode : modes) {
            notices.add(new Notice.Recall(
                    lock.session,
                    lock.id,
                    lock.neededStart,
                    lock.neededEnd,
                    mode,
                    lock.recallDeadline,
                    lock.keepStart,
                    lock.keepEnd));
        }
        boolean expanded = lock.start < lock.requestedStart || lock.end > lock.requestedEnd;
        if (!modes.isEmpty() && expanded && settings.contentionNanos() > 0) {
            contended.removeIf(place -> place.until <= now);
            Contended place = new Contended();
            place.volume = lock.volume;
            place.start = lock.start;
            place.end = lock.end;
            place.until = now + settings.contentionNanos();
            contended.add(place);
        }
    }

    // Deadlocks

    /** Would the sessions wait for each other in a ring if these waited too? Without any: do they? */
    private boolean closesCycle(List<Item> newest) {
        items.addAll(newest);
        boolean cycle = hasCycle();
        items.removeAll(newest);
        return cycle;
    }

    boolean hasCycle() {
        return waitsFor(items).entrySet().stream().anyMatch(e -> e.getValue().contains(e.getKey()));
    }

    /** Who waits for whom, directly or through others. */
    private Map<String, Set<String>> waitsFor(List<Item> all) {
        Map<String, Set<String>> reaches = new LinkedHashMap<>();
        for (Item waiter : all) {
            if (waiter.asks()) {
                for (Item blocker : blockers(waiter)) {
                    if (!blocker.held || blocker.live()) {
                        reaches.computeIfAbsent(waiter.session, s -> new HashSet<>())
                                .add(blocker.session);
                    }
                }
            }
        }
        boolean grown = true;
        while (grown) {
            grown = false;
            for (Set<String> reached : reaches.values()) {
                for (String via : List.copyOf(reached)) {
                    grown |= reached.addAll(reaches.getOrDefault(via, Set.of()));
                }
            }
        }
        return reaches;
    }

    private boolean isKnown(String session, long request) {
        if (!sessions.containsKey(session)) {
            refuse(session, request, Reason.UNKNOWN_SESSION);
            return false;
        }
        return true;
    }

    /** What a request has become, by id. */
    private List<Item> byRequest(String session, long request) {
        List<Item> found = new ArrayList<>();
        for (Item item : items) {
            if (item.request == request && item.session.equals(session)) {
                found.add(item);
            }
        }
        found.sort(Comparator.comparingLong(item -> item.id));
        return found;
    }

    private @Nullable Item byLock(String session, long lockId) {
        return items.stream()
                .filter(i -> i.held && i.session.equals(session) && i.id == lockId)
                .findFirst()
                .orElse(null);
    }

    /** Texts and volumes of refusals are not compared. */
    private void refuse(String session, long request, Reason reason) {
        notices.add(new Notice.Refused(session, request, reason, "", ""));
    }
}
