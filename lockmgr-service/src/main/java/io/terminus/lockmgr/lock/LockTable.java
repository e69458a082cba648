package io.terminus.lockmgr.lock;

import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.LockQuery.Page;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The lock rules: one pure state machine over all volumes and sessions. A command and its time go in, changes to be made
 * durable and notices to be sent come out. No thread, socket, file, clock or chance in here, so the same commands at the
 * same times give the same decisions everywhere. Owned by one thread; the read side belongs to that thread as well.
 *
 * <p>docs/lock-rules.md has the rules for those who use locks. In short, and with where they are kept:
 *
 * <ul>
 *   <li>Who is in whose way: {@link Volume}. Every lock is that of one acquire request, so a session's own locks are in
 *       its way like anyone else's.
 *   <li>Whatever leaves (a release, a cancel, an end of a session, a loss acknowledged) goes through {@code remove}; the
 *       step ends in {@code grantWhatCameFree}, which looks at the waiters that what left was in the way of, at no others.
 *   <li>A revoked lock stays in the way until its session cannot believe in it any more: it has acknowledged the loss, or
 *       its lease has ended. No renewal is answered while a loss is not acknowledged, so the lease does end.
 *   <li>Time stands still while nobody calls: if more than a second lies between two commands (there should be a tick
 *       every 100 ms), the process slept, the renewals lie unread, and every deadline moves by the gap.
 * </ul>
 *
 * <p>A token is the epoch of the start in its high 24 bits and a counter of all grants since in the low 40. A lock id is
 * the token of the lock's first grant. Waiters have small ids of their own, below every lock id.
 */
public final class LockTable {

    /** What one command led to: first the changes are made durable, then the notices leave. */
    public record Decision(List<Change> changes, List<Notice> notices, List<LockEvent> events) {}

    /**
     * Limits and times. {@code maxLocksPerSession} and {@code maxLocksPerVolume} count waiters as well, because each of
     * them may become a lock at any time.
     */
    public record Settings(
            long minTtlNanos,
            long maxTtlNanos,
            long defaultTtlNanos,
            long recallDeadlineNanos,
            long recallCapNanos,
            long maxWaitNanos,
            int maxValueBytes,
            int maxLocksPerSession,
            int maxWaitersPerSession,
            int maxLocksPerVolume,
            int maxWaitersPerVolume,
            int maxSessions,
            int maxVolumes,
            int maxNameLength) {

        private static final long SECOND = 1_000_000_000L;

        public Settings {
            require(
                    0 < minTtlNanos && minTtlNanos <= defaultTtlNanos && defaultTtlNanos <= maxTtlNanos,
                    "ttl of " + minTtlNanos + " / " + defaultTtlNanos + " / " + maxTtlNanos
                            + " ns breaks the rule 0 < min <= default <= max");
            require(maxTtlNanos <= 24 * 3600 * SECOND, "max ttl of " + maxTtlNanos + " ns is more than 24 h");
            require(
                    0 < recallDeadlineNanos && recallDeadlineNanos <= recallCapNanos,
                    "recall times of " + recallDeadlineNanos + " / " + recallCapNanos
                            + " ns break the rule 0 < deadline <= cap");
            require(recallCapNanos <= 24 * 3600 * SECOND, "recall cap of " + recallCapNanos + " ns is more than 24 h");
            require(
                    0 < maxWaitNanos && maxWaitNanos <= 366L * 24 * 3600 * SECOND,
                    "max wait of " + maxWaitNanos + " ns breaks the rule 0 < wait <= 366 days");
            requirePositive(maxValueBytes, "max value bytes");
            requirePositive(maxLocksPerSession, "max locks per session");
            requirePositive(maxWaitersPerSession, "max waiters per session");
            requirePositive(maxLocksPerVolume, "max locks per volume");
            requirePositive(maxWaitersPerVolume, "max waiters per volume");
            requirePositive(maxSessions, "max sessions");
            requirePositive(maxVolumes, "max volumes");
            requirePositive(maxNameLength, "max name length");
        }

        public static Settings defaults() {
            return new Settings(
                    SECOND,
                    60 * SECOND,
                    6 * SECOND,
                    5 * SECOND,
                    30 * SECOND,
                    24 * 3600 * SECOND,
                    4096,
                    1 << 21,
                    1 << 16,
                    1 << 22,
                    1 << 17,
                    10_000,
                    100_000,
                    128);
        }

        public Settings withTtl(long minNanos, long maxNanos, long defaultNanos) {
            return new Settings(
                    minNanos,
                    maxNanos,
                    defaultNanos,
                    recallDeadlineNanos,
                    recallCapNanos,
                    maxWaitNanos,
                    maxValueBytes,
                    maxLocksPerSession,
                    maxWaitersPerSession,
                    maxLocksPerVolume,
                    maxWaitersPerVolume,
                    maxSessions,
                    maxVolumes,
                    maxNameLength);
        }

        public Settings withRecall(long deadlineNanos, long capNanos) {
            return new Settings(
                    minTtlNanos,
                    maxTtlNanos,
                    defaultTtlNanos,
                    deadlineNanos,
                    capNanos,
                    maxWaitNanos,
                    maxValueBytes,
                    maxLocksPerSession,
                    maxWaitersPerSession,
                    maxLocksPerVolume,
                    maxWaitersPerVolume,
                    maxSessions,
                    maxVolumes,
                    maxNameLength);
        }

        private static void requirePositive(int value, String name) {
            require(value > 0, name + " of " + value + " must be positive");
        }

        private static void require(boolean holds, String message) {
            if (!holds) {
                throw new IllegalArgumentException(message);
            }
        }
    }

    public record VolumeView(String name, String uuid, int held, int waiting, long valueVersion, long lockDelayNanos) {}

    /** {@code leaseEndNanos} is on the clock that {@link #apply} is told. */
    public record SessionView(
            String sessionId,
            String owner,
            long ttlNanos,
            long leaseEndNanos,
            int held,
            int waiting,
            int unackedLosses) {}

    /** Version 0: never written. The bytes belong to the table. */
    public record ValueView(String volume, String volumeUuid, long version, byte[] value) {}

    public static final long WAIT_FOR_EVER = -1;

    private static final int BLOCKERS_SHOWN = 16;
    private static final int COUNTER_BITS = 40;
    private static final long MAX_EPOCH = (1L << 63 - COUNTER_BITS) - 1;
    private static final long SLEPT_NANOS = 1_000_000_000L;
    private static final int QUOTED_LENGTH = 64;
    private static final Mode[] MODES = Mode.values();
    private static final Comparator<Waiter> ORDINARY_FIRST_THEN_OLDEST =
            Comparator.<Waiter, Boolean>comparing(waiter -> waiter.standby).thenComparingLong(waiter -> waiter.order);

    private final Settings settings;
    private final long epoch;
    private final Map<String, Session> sessions = new HashMap<>();
    private final Map<String, Volume> volumes = new HashMap<>();
    private final Deadlines<Session> leases = new Deadlines<>();
    private final Deadlines<Waiter> waits = new Deadlines<>();
    private final Deadlines<Held> recalls = new Deadlines<>();

    private long grants;
    private long waitersSoFar;
    private boolean started;
    /** Nothing is granted while this holds: somebody unknown may still believe in a lock. */
    private boolean recovering;

    private final long recoveryEndNanos;
    private long lastCallNanos;
    /** How long nobody called, in all. The table's own clock is the caller's less this. */
    private long sleptNanos;

    // The command in progress.
    private long now;
    /** Who is answered, and about which request. */
    private String asker = "";

    private long askedRequest;
    private List<Change> changes = new ArrayList<>();
    private List<Notice> notices = new ArrayList<>();
    private final List<Claim> freed = new ArrayList<>();
    private final List<Waiter> candidates = new ArrayList<>();
    private long round;

    /** A table that may grant at once. {@code epoch} must be durable, and higher than that of any earlier start. */
    public LockTable(Settings settings, long epoch, long nowNanos) {
        this(settings, epoch, nowNanos, nowNanos);
    }

    /**
     * A table that grants nothing before {@code recoveryEndNanos}: requests wait, tries are refused RECOVERING.
     *
     * @throws IllegalArgumentException unless {@code 1 <= epoch < 2^23}
     */
    public LockTable(Settings settings, long epoch, long nowNanos, long recoveryEndNanos) {
        if (epoch < 1 || epoch > MAX_EPOCH) {
            throw new IllegalArgumentException("epoch " + epoch + " breaks the rule 1 <= epoch <= " + MAX_EPOCH);
        }
        this.settings = settings;
        this.epoch = epoch;
        this.lastCallNanos = nowNanos;
        this.now = nowNanos;
        this.recoveryEndNanos = recoveryEndNanos;
        this.recovering = recoveryEndNanos > nowNanos;
    }

    /**
     * How long two clocks may disagree over one ttl: 1 % each way, and 100 ms for what is not drift. Holders stop
     * believing this much early, the table ends leases this much late.
     */
    public static long marginNanos(long ttlNanos) {
        return ttlNanos / 50 + 100_000_000L;
    }

    /**
     * Loads what earlier decisions left, in their order or as {@link #forEachDurable} gives it: a session and a volume
     * before their locks. Each session gets one full ttl and margin from the time the table was made. Comes before the
     * first command.
     *
     * @throws IllegalStateException if the state breaks a rule of the table: then nothing may be served from it
     */
    public void restore(Iterable<Change> durable) {
        if (started) {
            throw new IllegalStateException("restore came after the first command");
        }
        Map<Long, Held> locks = new HashMap<>();
        for (Change change : durable) {
            switch (change) {
                case Change.SessionOpened opened ->
                    addSession(new Session(opened.sessionId(), opened.owner(), opened.ttlNanos()));
                case Change.SessionClosed closed -> {
                    Session session = sessions.get(closed.sessionId());
                    if (session != null) {
                        session.locks.keySet().forEach(locks::remove);
                        removeSession(session);
                    }
                }
                case Change.VolumePut created ->
                    volumes.putIfAbsent(created.volume(), new Volume(created.volume(), created.uuid()));
                case Change.LockPut put -> {
                    Held earlier = locks.remove(put.lockId());
                    if (earlier != null) {
                        remove(earlier);
                    }
                    locks.put(put.lockId(), restoreLock(put));
                }
                case Change.LockGone gone -> {
                    Held lock = locks.remove(gone.lockId());
                    if (lock != null) {
                        remove(lock);
                    }
                }
                case Change.ValuePut put -> {
                    Volume volume = known(volumes.get(put.volume()), put);
                    volume.valueVersion = put.version();
                    volume.value = put.value();
                    volume.valueSessionId = put.sessionId();
                    volume.valueRequestId = put.requestId();
                }
            }
            freed.clear();
            changes.clear();
        }
    }

    private Held restoreLock(Change.LockPut put) {
        Session session = known(sessions.get(put.sessionId()), put);
        Volume volume = known(volumes.get(put.volume()), put);
        if (put.token() >= epoch << COUNTER_BITS) {
            throw new IllegalStateException(
                    "token " + put.token() + " of a stored lock is not older than epoch " + epoch);
        }
        Held lock = new Held(
                session,
                put.requestId(),
                volume,
                put.requestedStart(),
                put.requestedEnd(),
                put.start(),
                put.end(),
                put.mode(),
                put.lockId(),
                put.token());
        Held other = volume.firstConflictingLock(lock.mode, lock.start, lock.end);
        if (other != null) {
            throw new IllegalStateException("stored locks " + lock.id + " (" + lock.what() + ") and " + other.id + " ("
                    + other.what() + ") on volume " + volume.name + " conflict");
        }
        add(lock);
        if (put.revoked()) {
            lock.revoked = true;
            session.unackedLosses++;
        }
        return lock;
    }

    private static <T> T known(@Nullable T found, Change change) {
        if (found == null) {
            throw new IllegalStateException("stored " + change + " names what the store does not have");
        }
        return found;
    }

    /** Everything durable, in an order that {@link #restore} takes. */
    public void forEachDurable(Consumer<? super Change> to) {
        sessions.values()
                .forEach(session -> to.accept(new Change.SessionOpened(session.id, session.owner, session.ttlNanos)));
        for (Volume volume : volumes.values()) {
            to.accept(new Change.VolumePut(volume.name, volume.uuid, 0));
            volume.locks.values().forEach(lock -> to.accept(lock.asChange()));
            if (volume.valueVersion > 0) {
                to.accept(new Change.ValuePut(
                        volume.name, volume.valueVersion, volume.value, volume.valueSessionId, volume.valueRequestId));
            }
        }
    }

    /**
     * Carries out one command. {@code nowNanos} comes from one monotonic clock; a time before the last one counts as the
     * last one. Never throws for what a command says: what is wrong with it comes back as a refusal.
     */
    public Decision apply(Command command, long nowNanos) {
        started = true;
        advance(nowNanos);
        switch (command) {
            case Command.OpenSession open -> open(open);
            case Command.CloseSession close -> close(close);
            case Command.Renew renew -> renew(renew);
            case Command.Acquire acquire -> acquire(acquire);
            case Command.Cancel cancel -> cancel(cancel);
            case Command.Promote promote -> promote(promote);
            case Command.Release release -> release(release);
            case Command.PutValue put -> putValue(put);
            case Command.AckLost ack -> ackLost(ack);
            case Command.Progress progress -> progress(progress);
            case Command.ForceRelease force -> forceRelease(force);
            case Command.Tick tick -> tick();
            case Command.Convert c -> notYet(c.sessionId(), c.requestId());
            case Command.Shrink c -> notYet(c.sessionId(), c.requestId());
            case Command.Split c -> notYet(c.sessionId(), c.requestId());
            case Command.Reassert c -> notYet(c.sessionId(), c.requestId());
            case Command.ConfigureVolume c -> notYet("", c.requestId());
        }
        grantWhatCameFree();
        Decision decision = new Decision(changes, notices, List.of());
        changes = new ArrayList<>();
        notices = new ArrayList<>();
        return decision;
    }

    private void notYet(String sessionId, long requestId) {
        answerTo(sessionId, requestId);
        refuse(Reason.INVALID_ARGUMENT, "", "not known to this version");
    }

    private void advance(long nowNanos) {
        long gapNanos = nowNanos - lastCallNanos;
        if (gapNanos > SLEPT_NANOS) {
            sleptNanos += gapNanos;
        }
        if (gapNanos > 0) {
            lastCallNanos = nowNanos;
        }
        now = lastCallNanos - sleptNanos;
    }

    // Sessions

    private void open(Command.OpenSession c) {
        answerTo(c.sessionId(), 0);
        String name = wrongName("session id", c.sessionId(), "");
        String owner = wrongName("owner", c.owner(), ":/");
        Session known = sessions.get(c.sessionId());
        if (name != null || owner != null) {
            refuse(Reason.INVALID_NAME, "", name != null ? name : String.valueOf(owner));
        } else if (c.ttlNanos() < 0) {
            refuse(Reason.INVALID_ARGUMENT, "", "ttl of " + c.ttlNanos() + " ns is negative");
        } else if (known != null) {
            if (!known.owner.equals(c.owner()) || known.ttlNanos != ttl(c.ttlNanos())) {
                refuse(
                        Reason.INVALID_ARGUMENT,
                        "",
                        "session " + known.id + " is open already, for " + known.owner + " with a ttl of "
                                + known.ttlNanos + " ns");
            }
        } else if (sessions.size() >= settings.maxSessions) {
            refuse(Reason.LIMIT_EXCEEDED, "", "there are " + sessions.size() + " sessions, the most allowed");
        } else {
            Session session = new Session(c.sessionId(), c.owner(), ttl(c.ttlNanos()));
            addSession(session);
            changes.add(new Change.SessionOpened(session.id, session.owner, session.ttlNanos));
        }
    }

    /** What a session gets that asks for this ttl; 0 asks for the default. */
    private long ttl(long askedNanos) {
        return askedNanos == 0
                ? settings.defaultTtlNanos
                : Math.clamp(askedNanos, settings.minTtlNanos, settings.maxTtlNanos);
    }

    private void addSession(Session session) {
        Session before = sessions.putIfAbsent(session.id, session);
        if (before == null) {
            extendLease(session);
        }
    }

    private void extendLease(Session session) {
        leases.arm(session, now + session.ttlNanos + marginNanos(session.ttlNanos));
    }

    private void close(Command.CloseSession c) {
        Session session = sessions.get(c.sessionId());
        if (session != null) {
            end(session, c.why());
        }
    }

    private void end(Session session, String why) {
        removeSession(session);
        changes.add(new Change.SessionClosed(session.id));
        notices.add(new Notice.SessionEnded(session.id, why));
    }

    private void removeSession(Session session) {
        List.copyOf(session.waiters.values()).forEach(this::remove);
        List.copyOf(session.locks.values()).forEach(this::remove);
        leases.disarm(session);
        sessions.remove(session.id);
    }

    private void renew(Command.Renew c) {
        Session session = sessions.get(c.sessionId());
        if (session == null) {
            notices.add(new Notice.SessionEnded(c.sessionId(), "session " + quoted(c.sessionId()) + " is not known"));
        } else if (session.unackedLosses == 0) {
            extendLease(session);
            notices.add(new Notice.RenewalAnswered(session.id, c.sequence()));
        }
    }

    // Acquiring

    private void acquire(Command.Acquire c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Claim earlier = session.requests.get(c.requestId());
        if (earlier instanceof Held lock) {
            if (lock.revoked) {
                refuse(
                        Reason.CANCELLED,
                        lock.volume.name,
                        "request " + c.requestId() + " was granted as lock " + lock.id + ", which was revoked since");
            } else {
                notices.add(lock.asAnswer());
            }
            return;
        }
        if (earlier != null || isWrong(c)) {
            return;
        }
        Volume volume = volumes.get(c.volume());
        if (isTooMuch(c, session, volume)) {
            return;
        }
        boolean isTry = c.waitNanos() == 0;
        if (isTry && recovering) {
            refuse(
                    Reason.RECOVERING,
                    c.volume(),
                    "nothing is granted yet: locks of before the restart may still be believed in");
            return;
        }
        if (volume == null) {
            volume = new Volume(c.volume(), c.volumeUuid());
            volumes.put(volume.name, volume);
            changes.add(new Change.VolumePut(volume.name, volume.uuid, 0));
        }
        Waiter waiter =
                new Waiter(session, c.requestId(), volume, c.start(), c.end(), c.mode(), waitersSoFar + 1, c.standby());
        Claim blocker = recovering ? null : volume.firstBlocker(waiter);
        if (!recovering && blocker == null) {
            grant(waiter);
        } else if (isTry && blocker != null) {
            refuse(
                    Reason.WOULD_BLOCK,
                    volume.name,
                    waiter.what() + " of " + volume.name + " would wait: " + inTheWay(blocker));
        } else if (session.waiters.size() >= settings.maxWaitersPerSession) {
            refuse(
                    Reason.LIMIT_EXCEEDED,
                    volume.name,
                    "session " + session.id + " has " + session.waiters.size() + " requests waiting, the most allowed");
        } else if (volume.waiting() >= settings.maxWaitersPerVolume) {
            refuse(
                    Reason.LIMIT_EXCEEDED,
                    volume.name,
                    "volume " + volume.name + " has " + volume.waiting() + " requests waiting, the most allowed");
        } else if (waiter.standby || !wouldDeadlock(waiter)) {
            waitersSoFar++;
            add(waiter);
            if (c.waitNanos() != WAIT_FOR_EVER) {
                waits.arm(waiter, now + c.waitNanos());
            }
            if (!waiter.standby) {
                recallForNew(waiter);
            }
        }
    }

    /** Refuses what is wrong with the command whatever the state of the table. */
    private boolean isWrong(Command.Acquire c) {
        String name = wrongName("volume name", c.volume(), "");
        String uuid = wrongName("volume uuid", c.volumeUuid(), "");
        if (name != null) {
            refuse(Reason.INVALID_NAME, "", name);
        } else if (uuid != null && !volumes.containsKey(c.volume())) {
            refuse(Reason.INVALID_NAME, c.volume(), uuid);
        } else if (c.start() < 0 || c.start() >= c.end()) {
            refuse(
                    Reason.INVALID_RANGE,
                    c.volume(),
                    "range [" + c.start() + ", " + c.end() + ") breaks the rule 0 <= start < end");
        } else if (c.waitNanos() < 0 && !(c.standby() && c.waitNanos() == WAIT_FOR_EVER)) {
            refuse(
                    Reason.INVALID_ARGUMENT,
                    c.volume(),
                    "wait of " + c.waitNanos() + " ns is negative (only a standby may wait for ever, with -1)");
        } else if (c.waitNanos() > settings.maxWaitNanos) {
            refuse(Reason.INVALID_ARGUMENT, c.volume(), tooLong(c.waitNanos()));
        } else {
            return false;
        }
        return true;
    }

    private boolean isTooMuch(Command.Acquire c, Session session, @Nullable Volume volume) {
        int ofSession = session.locks.size() + session.waiters.size();
        int ofVolume = volume == null ? 0 : volume.held() + volume.waiting();
        if (ofSession >= settings.maxLocksPerSession) {
            refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "session " + session.id + " has " + ofSession + " locks and waiting requests, the most allowed");
        } else if (ofVolume >= settings.maxLocksPerVolume) {
            refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "volume " + c.volume() + " has " + ofVolume + " locks and waiting requests, the most allowed");
        } else if (volume == null && volumes.size() >= settings.maxVolumes) {
            refuse(Reason.LIMIT_EXCEEDED, c.volume(), "there are " + volumes.size() + " volumes, the most allowed");
        } else {
            return false;
        }
        return true;
    }

    private String tooLong(long waitNanos) {
        return "wait of " + waitNanos + " ns is longer than the longest allowed, " + settings.maxWaitNanos + " ns";
    }

    /** Refuses the command if the waiter, were it queued as an ordinary one, would close a cycle. */
    private boolean wouldDeadlock(Waiter waiter) {
        List<WaitsFor.Edge> cycle = WaitsFor.cycleThrough(waiter);
        if (!cycle.isEmpty()) {
            refuse(Reason.DEADLOCK, waiter.volume.name, WaitsFor.describe(cycle));
        }
        return !cycle.isEmpty();
    }

    /** Makes a lock of a request that nothing is in the way of, and that is not queued (any more). */
    private Held grant(Waiter waiter) {
        grants++;
        if (grants >= 1L << COUNTER_BITS) {
            throw new IllegalStateException("epoch " + epoch + " has no tokens left");
        }
        long token = epoch << COUNTER_BITS | grants;
        Held lock = new Held(
                waiter.session,
                waiter.requestId,
                waiter.volume,
                waiter.start,
                waiter.end,
                waiter.start,
                waiter.end,
                waiter.mode,
                token,
                token);
        add(lock);
        changes.add(lock.asChange());
        notices.add(lock.asAnswer());
        return lock;
    }

    private void cancel(Command.Cancel c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Claim claim = session.requests.get(c.acquireRequestId());
        switch (claim) {
            case null -> {} // Answered and over, or never sent: nothing waits and nothing is held for it.
            case Waiter waiter -> {
                remove(waiter);
                refuse(waiter, Reason.CANCELLED, "request " + waiter.requestId + " was cancelled by its session");
            }
            case Held lock -> remove(lock);
        }
        done();
    }

    private void promote(Command.Promote c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Claim claim = session.requests.get(c.acquireRequestId());
        String volume = claim == null ? "" : claim.volume.name;
        if (claim == null) {
            refuse(
                    Reason.UNKNOWN_REQUEST,
                    "",
                    "session " + session.id + " has no request " + c.acquireRequestId() + " that waits or holds");
        } else if (c.waitNanos() <= 0) {
            refuse(
                    Reason.INVALID_ARGUMENT,
                    volume,
                    "wait of " + c.waitNanos() + " ns must be positive: an ordinary request waits, and not for ever");
        } else if (c.waitNanos() > settings.maxWaitNanos) {
            refuse(Reason.INVALID_ARGUMENT, volume, tooLong(c.waitNanos()));
        } else if (!(claim instanceof Waiter waiter) || !waiter.standby) {
            done(); // It is a lock by now, or was promoted already.
        } else {
            promote(waiter, c);
        }
    }

    private void promote(Waiter standby, Command.Promote c) {
        Waiter ordinary = new Waiter(
                standby.session,
                standby.requestId,
                standby.volume,
                standby.start,
                standby.end,
                standby.mode,
                waitersSoFar + 1,
                false);
        boolean free = !recovering && standby.volume.firstBlocker(ordinary) == null;
        if (!free && wouldDeadlock(ordinary)) {
            return;
        }
        waitersSoFar++;
        remove(standby);
        done();
        if (free) {
            grant(ordinary);
        } else {
            add(ordinary);
            waits.arm(ordinary, now + c.waitNanos());
            recallForNew(ordinary);
        }
    }

    // Giving back

    private void release(Command.Release c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held lock = session.locks.get(c.lockId());
        if (lock != null) {
            // If it was revoked, this says as much as an acknowledgement: the session is through with it.
            remove(lock);
        }
        done();
    }

    private void ackLost(Command.AckLost c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held lock = session.locks.get(c.lockId());
        if (lock != null && !lock.revoked) {
            refuse(
                    Reason.INVALID_ARGUMENT,
                    lock.volume.name,
                    "lock " + lock.id + " was not revoked: what is not wanted any more is released");
            return;
        }
        if (lock != null) {
            remove(lock);
        }
        done();
    }

    private void progress(Command.Progress c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        Held lock = session.locks.get(c.lockId());
        if (lock == null) {
            refuse(Reason.UNKNOWN_LOCK, "", "session " + session.id + " holds no lock " + c.lockId());
        } else if (lock.revoked) {
            refuse(Reason.NOT_HOLDER, lock.volume.name, "lock " + lock.id + " was revoked: progress comes too late");
        } else if (c.progress() < 0) {
            refuse(Reason.INVALID_ARGUMENT, lock.volume.name, "progress " + c.progress() + " is negative");
        } else {
            if (lock.recalled()) {
                recalls.arm(lock, recallDeadline(lock));
            }
            done();
        }
    }

    private void forceRelease(Command.ForceRelease c) {
        answerTo("", c.requestId());
        Volume volume = volumes.get(c.volume());
        Held lock = volume == null ? null : volume.locks.get(c.lockId());
        if (lock == null) {
            refuse(
                    Reason.UNKNOWN_LOCK,
                    volume == null ? "" : volume.name,
                    "volume " + quoted(c.volume()) + " has no lock " + c.lockId());
            return;
        }
        if (!lock.revoked) {
            revoke(lock, "released by force, by an operator");
        }
        done();
    }

    /** Takes a lock from its holder. It stays in the way of others until the holder cannot believe in it any more. */
    private void revoke(Held lock, String why) {
        forgetRecall(lock);
        lock.revoked = true;
        lock.session.unackedLosses++;
        changes.add(lock.asChange());
        notices.add(new Notice.Lost(lock.session.id, lock.id, lock.volume.name, lock.start, lock.end, why));
    }

    // Recall

    private void recallForNew(Waiter waiter) {
        waiter.volume.forEachLockInTheWayOf(waiter, lock -> {
            recall(lock, waiter.start, waiter.end, 1 << waiter.mode.ordinal());
            return true;
        });
    }

    /** Tells the holder that others wait behind what was granted to it just now. */
    private void recallForAllBehind(Held lock) {
        long[] need = {Long.MAX_VALUE, 0};
        int[] modes = {0};
        lock.volume.forEachOrdinaryBehind(lock, waiter -> {
            need[0] = Math.min(need[0], waiter.start);
            need[1] = Math.max(need[1], waiter.end);
            modes[0] |= 1 << waiter.mode.ordinal();
            return true;
        });
        if (modes[0] != 0) {
            recall(lock, need[0], need[1], modes[0]);
        }
    }

    /**
     * Tells the holder what is needed, if it was not told as much before. Each notice names all that is needed by now, so
     * only the newest counts. A recall has one deadline, however many wait.
     */
    private void recall(Held lock, long start, long end, int modes) {
        if (lock.revoked) {
            return;
        }
        long neededStart = Math.max(start, lock.start);
        long neededEnd = Math.min(end, lock.end);
        int toSay;
        if (!lock.recalled()) {
            lock.recalledAtNanos = now;
            lock.neededStart = neededStart;
            lock.neededEnd = neededEnd;
            lock.session.recalledLocks++;
            recalls.arm(lock, recallDeadline(lock));
            toSay = modes;
        } else if (neededStart < lock.neededStart || neededEnd > lock.neededEnd) {
            lock.neededStart = Math.min(lock.neededStart, neededStart);
            lock.neededEnd = Math.max(lock.neededEnd, neededEnd);
            toSay = modes;
        } else {
            toSay = modes & ~lock.wantedModes;
        }
        lock.wantedModes |= modes;
        sayRecall(lock, toSay, notices);
    }

    private long recallDeadline(Held lock) {
        return Math.min(now + settings.recallDeadlineNanos, lock.recalledAtNanos + settings.recallCapNanos);
    }

    private void sayRecall(Held lock, int modes, List<Notice> to) {
        for (Mode mode : MODES) {
            if ((modes >> mode.ordinal() & 1) != 0) {
                to.add(new Notice.Recall(
                        lock.session.id,
                        lock.id,
                        lock.neededStart,
                        lock.neededEnd,
                        mode,
                        lock.deadlineNanos + sleptNanos,
                        0,
                        0));
            }
        }
    }

    private void forgetRecall(Held lock) {
        if (lock.recalled()) {
            lock.wantedModes = 0;
            lock.session.recalledLocks--;
            recalls.disarm(lock);
        }
    }

    // The value block

    private void putValue(Command.PutValue c) {
        Session session = asking(c.sessionId(), c.requestId());
        if (session == null) {
            return;
        }
        String name = wrongName("volume name", c.volume(), "");
        if (name != null) {
            refuse(Reason.INVALID_NAME, "", name);
            return;
        }
        Volume volume = volumes.get(c.volume());
        if (volume != null
                && volume.valueVersion > 0
                && volume.valueRequestId == c.requestId()
                && volume.valueSessionId.equals(session.id)) {
            stored(volume); // The answer to the first time was lost on its way.
            return;
        }
        Held lock = session.locks.get(c.lockId());
        if (c.value().length > settings.maxValueBytes) {
            refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "value of " + c.value().length + " bytes is longer than the longest allowed, "
                            + settings.maxValueBytes);
        } else if (lock == null || lock.volume != volume) {
            refuse(
                    Reason.NOT_HOLDER,
                    c.volume(),
                    "session " + session.id + " holds no lock " + c.lockId() + " on volume " + c.volume());
        } else if (lock.revoked) {
            refuse(Reason.NOT_HOLDER, c.volume(), "lock " + lock.id + " was revoked");
        } else if (!lock.mode.writes() || lock.start != 0 || lock.end != Long.MAX_VALUE) {
            refuse(
                    Reason.NOT_HOLDER,
                    c.volume(),
                    "lock " + lock.id + " is " + lock.what() + "; the value block needs PW or EX on [0, "
                            + Long.MAX_VALUE + ")");
        } else if (session.deadlineNanos <= now) {
            refuse(Reason.NOT_HOLDER, c.volume(), "the lease of session " + session.id + " has ended");
        } else if (c.expectedVersion() != volume.valueVersion) {
            refuse(
                    Reason.VERSION_MISMATCH,
                    c.volume(),
                    "version " + c.expectedVersion() + " was expected, the value block of " + c.volume() + " is at "
                            + volume.valueVersion);
        } else {
            volume.valueVersion++;
            volume.value = c.value().clone();
            volume.valueSessionId = session.id;
            volume.valueRequestId = c.requestId();
            changes.add(new Change.ValuePut(volume.name, volume.valueVersion, volume.value, session.id, c.requestId()));
            stored(volume);
        }
    }

    private void stored(Volume volume) {
        notices.add(new Notice.ValueStored(
                volume.valueSessionId,
                volume.valueRequestId,
                volume.name,
                volume.uuid,
                volume.valueVersion,
                volume.value));
    }

    // Time

    /** Waits end before leases and leases before recalls, so that no lock is revoked for somebody who is gone. */
    private void tick() {
        for (Waiter late = waits.pollDue(now); late != null; late = waits.pollDue(now)) {
            Claim blocker = late.volume.firstBlocker(late);
            String why = recovering
                    ? "the lock manager is recovering"
                    : blocker == null ? "what was in its way left in this very step" : inTheWay(blocker);
            remove(late);
            refuse(late, Reason.DEADLINE, late.what() + " of " + late.volume.name + " not granted in time: " + why);
        }
        for (Session silent = leases.pollDue(now); silent != null; silent = leases.pollDue(now)) {
            end(silent, "the lease ended: no renewal was answered for " + silent.ttlNanos + " ns and the margin");
        }
        for (Held lock = recalls.pollDue(now); lock != null; lock = recalls.pollDue(now)) {
            boolean stillNeeded = !lock.volume.forEachOrdinaryBehind(lock, waiter -> false);
            if (stillNeeded) {
                revoke(lock, "not released by the deadline of its recall");
            } else {
                forgetRecall(lock);
            }
        }
        if (recovering && now >= recoveryEndNanos) {
            recovering = false;
            round++;
            volumes.values().forEach(volume -> volume.waiters.values().forEach(this::consider));
        }
    }

    // What every command ends in

    private void add(Held lock) {
        lock.volume.add(lock);
        lock.session.locks.put(lock.id, lock);
        lock.session.requests.put(lock.requestId, lock);
    }

    private void add(Waiter waiter) {
        waiter.volume.add(waiter);
        waiter.session.waiters.put(waiter.order, waiter);
        waiter.session.requests.put(waiter.requestId, waiter);
        if (!waiter.standby) {
            waiter.session.ordinaryWaiters++;
            WaitsFor.startsToWait(waiter);
        }
    }

    private void remove(Held lock) {
        forgetRecall(lock);
        lock.volume.remove(lock);
        lock.session.locks.remove(lock.id);
        lock.session.requests.remove(lock.requestId, lock);
        if (lock.revoked) {
            lock.session.unackedLosses--;
        }
        changes.add(new Change.LockGone(lock.id));
        freed.add(lock);
    }

    private void remove(Waiter waiter) {
        waits.disarm(waiter);
        waiter.volume.remove(waiter);
        waiter.session.waiters.remove(waiter.order);
        waiter.session.requests.remove(waiter.requestId, waiter);
        if (!waiter.standby) {
            waiter.session.ordinaryWaiters--;
            if (waiter.session.ordinaryWaiters == 0) {
                waiter.session.mayWaitFor = null;
            }
        }
        freed.add(waiter);
    }

    /**
     * Grants what can be granted now. Only waiters that something freed was in the way of are looked at, oldest first;
     * one pass is enough, because a waiter that becomes a holder is in the way of the same others as before.
     */
    private void grantWhatCameFree() {
        if (recovering) {
            freed.clear();
            return;
        }
        if (freed.isEmpty() && candidates.isEmpty()) {
            return;
        }
        if (candidates.isEmpty()) {
            round++;
        }
        for (Claim claim : freed) {
            claim.volume.forEachOrdinaryBehind(claim, this::consider);
            claim.volume.forEachStandbyBehind(claim, this::consider);
        }
        freed.clear();
        candidates.sort(ORDINARY_FIRST_THEN_OLDEST);
        List<Held> granted = new ArrayList<>();
        for (Waiter waiter : candidates) {
            if (waiter.volume.firstBlocker(waiter) == null) {
                remove(waiter);
                granted.add(grant(waiter));
            }
        }
        freed.clear();
        candidates.clear();
        granted.forEach(this::recallForAllBehind);
    }

    private boolean consider(Waiter waiter) {
        if (waiter.round != round) {
            waiter.round = round;
            candidates.add(waiter);
        }
        return true;
    }

    // Answers and checks

    /** The session a command comes from; if it is not known, the command is refused. */
    private @Nullable Session asking(String sessionId, long requestId) {
        answerTo(sessionId, requestId);
        Session session = sessions.get(sessionId);
        if (session == null) {
            refuse(
                    Reason.UNKNOWN_SESSION,
                    "",
                    "session " + quoted(sessionId) + " is not known: it has ended, and what it held is released");
        }
        return session;
    }

    private void answerTo(String sessionId, long requestId) {
        asker = sessionId;
        askedRequest = requestId;
    }

    private void done() {
        notices.add(new Notice.Done(asker, askedRequest));
    }

    /** The message names the value and the rule; the volume is "" where none is known. */
    private void refuse(Reason reason, String volume, String message) {
        notices.add(new Notice.Refused(asker, askedRequest, reason, message, volume));
    }

    /** Refuses a request of before, which has been waiting until now. */
    private void refuse(Waiter waiter, Reason reason, String message) {
        notices.add(new Notice.Refused(waiter.session.id, waiter.requestId, reason, message, waiter.volume.name));
    }

    private static String inTheWay(Claim blocker) {
        return switch (blocker) {
            case Held lock ->
                lock.session.owner + " holds " + lock.what() + " as lock " + lock.id
                        + (lock.revoked ? " (revoked, not yet given up)" : "");
            case Waiter waiter -> waiter.session.owner + " is waiting for " + waiter.what();
        };
    }

    /** What is wrong with a name; null if nothing is. */
    private @Nullable String wrongName(String what, String name, String alsoAllowed) {
        boolean right = !name.isEmpty() && name.length() <= settings.maxNameLength;
        for (int i = 0; right && i < name.length(); i++) {
            char c = name.charAt(i);
            right = 'a' <= c && c <= 'z'
                    || 'A' <= c && c <= 'Z'
                    || '0' <= c && c <= '9'
                    || c == '.'
                    || c == '_'
                    || c == '-'
                    || alsoAllowed.indexOf(c) >= 0;
        }
        return right
                ? null
                : what + " " + quoted(name) + " breaks the rule: 1 to " + settings.maxNameLength
                        + " characters of A-Z a-z 0-9 . _ -" + (alsoAllowed.isEmpty() ? "" : " : /");
    }

    /** Foreign text, short enough for a message. */
    private static String quoted(String text) {
        return text.length() <= QUOTED_LENGTH
                ? "'" + text + "'"
                : "'" + text.substring(0, QUOTED_LENGTH) + "...' (" + text.length() + " characters)";
    }

    // The read side, for the thread that owns the table

    public Settings settings() {
        return settings;
    }

    public long epoch() {
        return epoch;
    }

    /** Does the table still grant nothing, because of what it may have forgotten? */
    public boolean recovering() {
        return recovering;
    }

    /** All volumes, by name. */
    public List<VolumeView> volumes() {
        return volumes.values().stream()
                .sorted(Comparator.comparing(volume -> volume.name))
                .map(volume -> new VolumeView(
                        volume.name, volume.uuid, volume.held(), volume.waiting(), volume.valueVersion, 0))
                .toList();
    }

    /** Locks of a volume; none if there is no such volume. */
    public Page<LockView> locks(LockQuery query) {
        Volume volume = volumes.get(query.volume());
        return volume == null
                ? new Page<>(List.of(), "")
                : page(
                        volume.locks.values(),
                        query,
                        lock -> new LockView(
                                lock.id,
                                volume.name,
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
                                false));
    }

    /** Waiters of a volume; none if there is no such volume. */
    public Page<WaiterView> waiters(LockQuery query) {
        Volume volume = volumes.get(query.volume());
        return volume == null
                ? new Page<>(List.of(), "")
                : page(
                        volume.waiters.values(),
                        query,
                        waiter -> new WaiterView(
                                waiter.order,
                                volume.name,
                                waiter.start,
                                waiter.end,
                                waiter.mode,
                                waiter.session.id,
                                waiter.session.owner,
                                waiter.requestId,
                                waiter.standby,
                                0,
                                blockedBy(waiter)));
    }

    private static <C extends Claim, V> Page<V> page(Collection<C> claims, LockQuery query, Function<C, V> view) {
        List<C> found = claims.stream()
                .filter(claim -> query.end() == 0 || claim.start < query.end() && query.start() < claim.end)
                .filter(claim -> query.mode() == null || claim.mode == query.mode())
                .filter(claim -> query.sessionId().isEmpty() || claim.session.id.equals(query.sessionId()))
                .filter(claim -> query.pageToken().isEmpty() || claim.id() > Long.parseLong(query.pageToken()))
                .limit(query.limit() + 1L)
                .toList();
        boolean more = found.size() > query.limit();
        List<C> shown = more ? found.subList(0, query.limit()) : found;
        return new Page<>(
                shown.stream().map(view).toList(),
                more ? Long.toString(shown.getLast().id()) : "");
    }

    private static List<Long> blockedBy(Waiter waiter) {
        List<Long> ids = new ArrayList<>();
        waiter.volume.forEachBlocker(waiter, blocker -> {
            ids.add(blocker.id());
            return ids.size() < BLOCKERS_SHOWN;
        });
        return ids;
    }

    /** From now on decisions carry the events of this volume, or no longer do. */
    public void watch(String volume, boolean on) {}

    /** What is in the way of a waiting request, locks first; empty if no such request waits. */
    public Optional<List<ClaimView>> blockers(String sessionId, long requestId) {
        return Optional.empty();
    }

    /** How much is held and waited for; [0, 0): from the first to the last byte locked or waited for. */
    public List<LockQuery.Bucket> contention(String volume, long start, long end, int buckets) {
        return List.of();
    }

    /** All sessions, by id. */
    public List<SessionView> sessions() {
        return sessions.values().stream()
                .sorted(Comparator.comparing(session -> session.id))
                .map(this::view)
                .toList();
    }

    public Optional<SessionView> session(String sessionId) {
        return Optional.ofNullable(sessions.get(sessionId)).map(this::view);
    }

    private SessionView view(Session session) {
        return new SessionView(
                session.id,
                session.owner,
                session.ttlNanos,
                session.deadlineNanos + sleptNanos,
                session.locks.size(),
                session.waiters.size(),
                session.unackedLosses);
    }

    /** The value block of a volume; empty if there is no such volume. */
    public Optional<ValueView> value(String volumeName) {
        return Optional.ofNullable(volumes.get(volumeName))
                .map(volume -> new ValueView(volume.name, volume.uuid, volume.valueVersion, volume.value));
    }

    /** What a session holds and may believe in, by lock id: what it is told when it comes back. */
    public List<Notice.Granted> heldBy(String sessionId) {
        Session session = sessions.get(sessionId);
        return session == null
                ? List.of()
                : session.locks.values().stream()
                        .filter(lock -> !lock.revoked)
                        .map(Held::asAnswer)
                        .toList();
    }

    /**
     * The losses a session has not acknowledged and the recalls it has not answered, to be said again when it comes back
     * on a new stream: what was said on the old one may have been lost with it.
     */
    public List<Notice> unansweredEvents(String sessionId) {
        Session session = sessions.get(sessionId);
        List<Notice> events = new ArrayList<>();
        if (session != null) {
            for (Held lock : session.locks.values()) {
                if (lock.revoked) {
                    events.add(new Notice.Lost(
                            session.id, lock.id, lock.volume.name, lock.start, lock.end, "revoked earlier"));
                } else {
                    sayRecall(lock, lock.wantedModes, events);
                }
            }
        }
        return events;
    }
}
