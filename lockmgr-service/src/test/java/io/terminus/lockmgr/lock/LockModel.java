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

    static final class Item {
        String session = "";
        long request;
        String volume = "";
        long start;
        long end;
        Mode mode = Mode.NL;
        boolean held;
        boolean standby;
        boolean revoked;
        /** Lock id if held, order if waiting. */
        long id;

        long waitDeadline = Long.MAX_VALUE;
        boolean recalled;
        long recalledAt;
        long recallDeadline;
        long neededStart;
        long neededEnd;
        Set<Mode> wanted = new HashSet<>();
        /** Ids of the waiters the holder was told about. */
        Set<Long> toldOf = new HashSet<>();

        boolean conflicts(Item other) {
            return volume.equals(other.volume)
                    && start < other.end
                    && other.start < end
                    && !mode.compatibleWith(other.mode);
        }

        boolean ordinary() {
            return !held && !standby;
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
    }

    final LockTable.Settings settings;
    final Map<String, SessionState> sessions = new LinkedHashMap<>();
    final Map<String, Value> values = new LinkedHashMap<>();
    /** In no order that matters. */
    final List<Item> items = new ArrayList<>();

    final List<Notice> notices = new ArrayList<>();
    long epoch;
    long counter;
    long orders;
    long now;
    boolean recovering;
    long recoveryEnd;

    LockModel(LockTable.Settings settings, long epoch, long now, long recoveryEnd) {
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
        for (Item item : items) {
            item.recalled = false;
            item.wanted.clear();
            item.toldOf.clear();
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
                    end(c.sessionId());
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
            case Command.Cancel c -> {
                if (isKnown(c.sessionId(), c.requestId())) {
                    Item item = byRequest(c.sessionId(), c.acquireRequestId());
                    if (item != null) {
                        items.remove(item);
                        if (!item.held) {
                            refuse(c.sessionId(), c.acquireRequestId(), Reason.CANCELLED);
                        }
                    }
                    notices.add(new Notice.Done(c.sessionId(), c.requestId()));
                }
            }
            case Command.Promote c -> promote(c);
            case Command.Release c -> {
                if (isKnown(c.sessionId(), c.requestId())) {
                    items.removeIf(i -> i.held && i.id == c.lockId() && i.session.equals(c.sessionId()));
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
                        items.remove(lock);
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
                    if (!lock.revoked) {
                        revoke(lock);
                    }
                    notices.add(new Notice.Done("", c.requestId()));
                }
            }
            case Command.Tick c -> tick();
            case Command.Convert c -> throw new IllegalStateException("not in the model: " + c);
            case Command.Shrink c -> throw new IllegalStateException("not in the model: " + c);
            case Command.Split c -> throw new IllegalStateException("not in the model: " + c);
            case Command.Reassert c -> throw new IllegalStateException("not in the model: " + c);
            case Command.ConfigureVolume c -> throw new IllegalStateException("not in the model: " + c);
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
        }
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

    private void acquire(Command.Acquire c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        Item item = byRequest(c.sessionId(), c.requestId());
        if (item != null) {
            if (item.revoked) {
                refuse(c.sessionId(), c.requestId(), Reason.CANCELLED);
            } else if (item.held) {
                granted(item);
            }
            return;
        }
        item = new Item();
        item.session = c.sessionId();
        item.request = c.requestId();
        item.volume = c.volume();
        item.start = c.start();
        item.end = c.end();
        item.mode = c.mode();
        item.standby = c.standby();
        item.id = orders + 1;
        if (c.waitNanos() == 0 && recovering) {
            refuse(c.sessionId(), c.requestId(), Reason.RECOVERING);
            return;
        }
        values.putIfAbsent(c.volume(), new Value());
        boolean free = !recovering && blockers(item).isEmpty();
        if (!free && c.waitNanos() == 0) {
            refuse(c.sessionId(), c.requestId(), Reason.WOULD_BLOCK);
        } else if (!free && !item.standby && closesCycle(item)) {
            refuse(c.sessionId(), c.requestId(), Reason.DEADLOCK);
        } else if (free) {
            items.add(item);
            grant(item);
        } else {
            orders++;
            item.waitDeadline = c.waitNanos() == -1 ? Long.MAX_VALUE : now + c.waitNanos();
            items.add(item);
        }
    }

    private void promote(Command.Promote c) {
        if (!isKnown(c.sessionId(), c.requestId())) {
            return;
        }
        Item item = byRequest(c.sessionId(), c.acquireRequestId());
        if (item == null) {
            refuse(c.sessionId(), c.requestId(), Reason.UNKNOWN_REQUEST);
            return;
        }
        if (item.standby && !item.held) {
            long oldId = item.id;
            item.standby = false;
            item.id = orders + 1;
            boolean free = !recovering && blockers(item).isEmpty();
            if (!free && closesCycle(item)) {
                item.standby = true;
                item.id = oldId;
                refuse(c.sessionId(), c.requestId(), Reason.DEADLOCK);
                return;
            }
            orders++;
            item.waitDeadline = now + c.waitNanos();
        }
        notices.add(new Notice.Done(c.sessionId(), c.requestId()));
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
            if (!item.held && item.waitDeadline <= now) {
                items.remove(item);
                refuse(item.session, item.request, Reason.DEADLINE);
            }
        }
        for (Map.Entry<String, SessionState> entry : List.copyOf(sessions.entrySet())) {
            if (entry.getValue().leaseEnd <= now) {
                end(entry.getKey());
            }
        }
        for (Item item : items) {
            if (item.held && item.recalled && item.recallDeadline <= now) {
                if (items.stream().anyMatch(other -> other.ordinary() && other.conflicts(item))) {
                    revoke(item);
                } else {
                    item.recalled = false;
                    item.wanted.clear();
                    item.toldOf.clear();
                }
            }
        }
        if (recoveryEnd <= now) {
            recovering = false;
        }
    }

    private void end(String session) {
        sessions.remove(session);
        items.removeIf(item -> item.session.equals(session));
        notices.add(new Notice.SessionEnded(session, ""));
    }

    private void revoke(Item lock) {
        lock.revoked = true;
        lock.recalled = false;
        notices.add(new Notice.Lost(lock.session, lock.id, lock.volume, lock.start, lock.end, ""));
    }

    /** Everything in the way of a waiter, as the rule says it. */
    List<Item> blockers(Item waiter) {
        List<Item> blockers = new ArrayList<>();
        for (Item other : items) {
            if (other != waiter && other.conflicts(waiter)) {
                boolean older = other.id < waiter.id;
                boolean inTheWay;
                if (other.held) {
                    inTheWay = true;
                } else if (other.standby) {
                    inTheWay = waiter.standby && older;
                } else {
                    inTheWay = waiter.standby || older;
                }
                if (inTheWay) {
                    blockers.add(other);
                }
            }
        }
        return blockers;
    }

    private void grantUntilNothingChanges() {
        if (recovering) {
            return;
        }
        while (true) {
            Item next = items.stream()
                    .filter(item -> !item.held && blockers(item).isEmpty())
                    .min(Comparator.<Item, Boolean>comparing(item -> item.standby)
                            .thenComparing(item -> item.id))
                    .orElse(null);
            if (next == null) {
                return;
            }
            grant(next);
        }
    }

    private void grant(Item item) {
        counter++;
        item.held = true;
        item.standby = false;
        item.id = epoch * (1L << 40) + counter;
        granted(item);
    }

    private void granted(Item item) {
        notices.add(new Notice.Granted(
                item.session,
                item.request,
                item.id,
                item.volume,
                "uuid-of-" + item.volume,
                item.start,
                item.end,
                item.start,
                item.end,
                item.mode,
                item.id));
    }

    private void recallWhatIsNeeded() {
        for (Item lock : items) {
            if (!lock.held || lock.revoked) {
                continue;
            }
            List<Item> untold = new ArrayList<>();
            for (Item other : items) {
                if (other.ordinary() && other.conflicts(lock) && !lock.toldOf.contains(other.id)) {
                    untold.add(other);
                }
            }
            if (untold.isEmpty()) {
                continue;
            }
            long start = Long.MAX_VALUE;
            long end = 0;
            Set<Mode> modes = new HashSet<>();
            for (Item waiter : untold) {
                lock.toldOf.add(waiter.id);
                start = Math.min(start, Math.max(lock.start, waiter.start));
                end = Math.max(end, Math.min(lock.end, waiter.end));
                modes.add(waiter.mode);
            }
            boolean sayAll;
            if (lock.recalled) {
                sayAll = start < lock.neededStart || end > lock.neededEnd;
                lock.neededStart = Math.min(start, lock.neededStart);
                lock.neededEnd = Math.max(end, lock.neededEnd);
            } else {
                sayAll = true;
                lock.recalled = true;
                lock.recalledAt = now;
                lock.recallDeadline = now + settings.recallDeadlineNanos();
                lock.neededStart = start;
                lock.neededEnd = end;
            }
            for (Mode mode : modes) {
                if (sayAll || !lock.wanted.contains(mode)) {
                    notices.add(new Notice.Recall(
                            lock.session, lock.id, lock.neededStart, lock.neededEnd, mode, lock.recallDeadline, 0, 0));
                }
            }
            lock.wanted.addAll(modes);
        }
    }

    /** Would the sessions wait for each other in a ring if this item waited too? */
    private boolean closesCycle(Item newest) {
        List<Item> all = new ArrayList<>(items);
        if (!all.contains(newest)) {
            all.add(newest);
        }
        Map<String, Set<String>> reaches = waitsFor(all);
        return reaches.getOrDefault(newest.session, Set.of()).contains(newest.session);
    }

    boolean hasCycle() {
        return waitsFor(items).entrySet().stream().anyMatch(e -> e.getValue().contains(e.getKey()));
    }

    /** Who waits for whom, directly or through others. */
    private Map<String, Set<String>> waitsFor(List<Item> all) {
        Map<String, Set<String>> reaches = new LinkedHashMap<>();
        for (Item waiter : all) {
            if (waiter.ordinary()) {
                for (Item blocker : blockers(waiter)) {
                    if (!blocker.revoked) {
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

    private @Nullable Item byRequest(String session, long request) {
        return items.stream()
                .filter(i -> i.session.equals(session) && i.request == request)
                .findFirst()
                .orElse(null);
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
