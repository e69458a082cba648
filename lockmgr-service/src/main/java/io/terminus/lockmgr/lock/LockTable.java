package io.terminus.lockmgr.lock;

import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.LockQuery.Bucket;
import io.terminus.lockmgr.lock.LockQuery.Page;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The lock rules: one pure state machine over all volumes and sessions. A command and its time go in, changes to be made
 * durable and notices to be sent come out. No thread, socket, file, clock or chance in here, so the same commands at the
 * same times give the same decisions everywhere. Owned by one thread; the read side belongs to that thread as well.
 *
 * <p>docs/lock-rules.md has the rules for those who use locks. This is where they are kept:
 *
 * <pre>
 *   {@link Volume}        who is in whose way                  {@link Turn}        the command in progress, its time, its answers
 *   {@link Sessions}      leases                               {@link Registry}    what there is
 *   {@link Acquiring}     requests for locks                   {@link Grants}      what is held and waits; who is granted next
 *   {@link Changing}      convert, shrink, split, give back    {@link Recalls}     what holders are asked for
 *   {@link Reasserting}   locks of before a loss of memory     {@link Expansion}   how far a grant grows
 *   {@link ValueBlocks}   compare-and-set                      {@link WaitsFor}    deadlocks
 *   {@link IdleVolumes}   volumes that nobody uses any more    {@link Views}       the read side, in {@link Pictures} too
 * </pre>
 *
 * <p>Every lock is that of one request, so a session's own locks are in its way like anyone else's. A revoked lock stays in
 * the way until its session cannot believe in it any more: it has acknowledged the loss, or its lease has ended.
 *
 * <p>A token is the epoch of the start in its high 24 bits and a counter of all grants since in the low 40. A lock id is
 * the token of the lock's first grant. Waiters have small ids of their own, below every lock id.
 */
public final class LockTable {

    /**
     * What one command led to: first the changes are made durable, then the notices leave. {@code events} are of watched
     * volumes only, so they depend on who watches here; the other two do not.
     */
    public record Decision(List<Change> changes, List<Notice> notices, List<LockEvent> events) {}

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

    /** Some tenths of a millisecond. */
    private static final int ENDED_IN_TICK = 256;

    private final Registry registry = new Registry();
    private final Turn turn;
    private final Recalls recalls;
    private final IdleVolumes idleVolumes;
    private final Grants grants;
    private final Sessions sessions;
    private final Acquiring acquiring;
    private final Changing changing;
    private final Reasserting reasserting;
    private final ValueBlocks valueBlocks;
    private final Views views;
    private final Pictures pictures;
    private boolean started;
    private boolean behind;

    /** A table that may grant at once. {@code epoch} must be durable, and higher than that of any earlier start. */
    public LockTable(Settings settings, long epoch, long nowNanos) {
        this(settings, epoch, nowNanos, nowNanos);
    }

    /**
     * A table that grants nothing before {@code recoveryEndNanos}: requests wait, tries are refused RECOVERING, and locks of
     * before may be asserted anew.
     *
     * @throws IllegalArgumentException unless {@code 1 <= epoch < 2^23}
     */
    public LockTable(Settings settings, long epoch, long nowNanos, long recoveryEndNanos) {
        this(settings, Share.ALL, epoch, nowNanos, recoveryEndNanos);
    }

    /** As {@link #LockTable(Settings, long, long, long)}, for the volumes of a share. */
    public LockTable(Settings settings, Share share, long epoch, long nowNanos, long recoveryEndNanos) {
        turn = new Turn(settings, share, epoch, nowNanos, recoveryEndNanos, registry);
        Expansion expansion = new Expansion(turn);
        WaitsFor waitsFor = new WaitsFor();
        recalls = new Recalls(turn, expansion);
        idleVolumes = new IdleVolumes(turn, registry);
        grants = new Grants(turn, registry, recalls, expansion, idleVolumes);
        sessions = new Sessions(turn, registry, grants);
        acquiring = new Acquiring(turn, registry, grants, waitsFor);
        changing = new Changing(turn, registry, grants, recalls, acquiring, waitsFor);
        reasserting = new Reasserting(turn, registry, grants, acquiring, waitsFor);
        valueBlocks = new ValueBlocks(turn, registry);
        views = new Views(registry);
        pictures = new Pictures(registry);
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
     * before their locks. Each session gets one full ttl and margin from the time the table was made, each lock whose holder
     * vanished one full lock delay. Comes before the first command.
     *
     * @throws IllegalStateException if the state breaks a rule of the table: then nothing may be served from it
     */
    public void restore(Iterable<Change> durable) {
        if (started) {
            throw new IllegalStateException("restore came after the first command");
        }
        for (Change change : durable) {
            switch (change) {
                case Change.SessionOpened opened ->
                    sessions.add(new Session(opened.sessionId(), opened.owner(), opened.ttlNanos()));
                case Change.SessionClosed closed -> {
                    Session session = registry.sessions.get(closed.sessionId());
                    if (session != null) {
                        session.forEachLock(this::forget);
                        sessions.forget(session);
                    }
                }
                case Change.VolumePut put -> {
                    Volume known = registry.volumes.get(put.volume());
                    Volume volume = known == null ? registry.addVolume(put.volume(), put.uuid()) : known;
                    volume.lockDelayNanos = put.lockDelayNanos();
                }
                case Change.VolumeGone gone -> registry.removeVolume(gone.volume());
                case Change.LockPut put -> {
                    Held earlier = registry.locks.get(put.lockId());
                    if (earlier != null) {
                        forget(earlier);
                    }
                    restoreLock(put);
                }
                case Change.LockGone gone -> {
                    Held lock = registry.locks.get(gone.lockId());
                    if (lock != null) {
                        forget(lock);
                    }
                }
                case Change.ValuePut put -> {
                    Volume volume = known(registry.volumes.get(put.volume()), put);
                    volume.valueVersion = put.version();
                    volume.value = put.value();
                    volume.valueSessionId = put.sessionId();
                    volume.valueRequestId = put.requestId();
                }
            }
        }
        registry.nobody.forEachLock(grants::delay);
        registry.volumes.values().forEach(idleVolumes::left);
    }

    /**
     * Behind {@link #restore} and before the first command: the lease of a session goes on from its last renewal, instead of
     * beginning anew, and to {@code leastNanos} at least. For a table that goes on with the time of another, which was told every renewal.
     */
    public void restoreLease(String sessionId, long renewedNanos, long leastNanos) {
        sessions.restoreLease(sessionId, renewedNanos, leastNanos);
    }

    private void forget(Held lock) {
        grants.remove(lock, LockEvent.Kind.RELEASED, "");
        grants.forgetFreed();
        turn.forget();
    }

    private void restoreLock(Change.LockPut put) {
        boolean nobodys = put.sessionId().isEmpty();
        Session session = nobodys ? registry.nobody : known(registry.sessions.get(put.sessionId()), put);
        Volume volume = known(registry.volumes.get(put.volume()), put);
        if (put.token() >= turn.firstToken()) {
            throw new IllegalStateException(
                    "token " + put.token() + " of a stored lock is not older than epoch " + turn.epoch);
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
        lock.changedBy(put.lastRequestId());
        Held other = volume.firstConflictingLock(lock.mode, lock.start, lock.end);
        if (other != null) {
            throw new IllegalStateException("stored locks " + lock.id + " (" + lock.what() + ") and " + other.id + " ("
                    + other.what() + ") on volume " + volume.name + " conflict");
        }
        grants.add(lock);
        if (put.revoked() && !nobodys) {
            lock.revoked = true;
            session.unackedLosses++;
        }
    }

    private static <T> T known(@Nullable T found, Change change) {
        if (found == null) {
            throw new IllegalStateException("stored " + change + " names what the store does not have");
        }
        return found;
    }

    /** Everything durable, in an order that {@link #restore} takes. */
    public void forEachDurable(Consumer<? super Change> to) {
        for (Volume volume : registry.volumes.values()) {
            to.accept(new Change.VolumePut(volume.name, volume.uuid, volume.lockDelayNanos));
            if (volume.valueVersion > 0) {
                to.accept(new Change.ValuePut(
                        volume.name, volume.valueVersion, volume.value, volume.valueSessionId, volume.valueRequestId));
            }
        }
        for (Session session : registry.sessions.values()) {
            to.accept(new Change.SessionOpened(session.id, session.owner, session.ttlNanos));
            session.forEachLock(lock -> to.accept(lock.asChange()));
        }
        registry.nobody.forEachLock(lock -> to.accept(lock.asChange()));
    }

    /**
     * Carries out one command. {@code nowNanos} comes from one monotonic clock; a time before the last one counts as the
     * last one. Never throws for what a command says: what is wrong with it comes back as a refusal.
     */
    public Decision apply(Command command, long nowNanos) {
        started = true;
        turn.begin(nowNanos);
        switch (command) {
            case Command.OpenSession open -> sessions.open(open);
            case Command.CloseSession close -> sessions.close(close);
            case Command.Renew renew -> sessions.renew(renew);
            case Command.Acquire acquire -> acquiring.acquire(acquire);
            case Command.Cancel cancel -> acquiring.cancel(cancel);
            case Command.Promote promote -> acquiring.promote(promote);
            case Command.Convert convert -> changing.convert(convert);
            case Command.Shrink shrink -> changing.shrink(shrink);
            case Command.Split split -> changing.split(split);
            case Command.Release release -> changing.release(release);
            case Command.AckLost ack -> changing.ackLost(ack);
            case Command.Progress progress -> changing.progress(progress);
            case Command.ForceRelease force -> changing.forceRelease(force);
            case Command.Reassert reassert -> reasserting.reassert(reassert);
            case Command.PutValue put -> valueBlocks.put(put);
            case Command.ConfigureVolume configure -> configure(configure);
            case Command.Tick tick -> tick();
        }
        grants.settle();
        return turn.end();
    }

    private void configure(Command.ConfigureVolume c) {
        turn.answerTo("", c.requestId());
        Settings settings = turn.settings;
        Volume volume = registry.volumes.get(c.volume());
        String name = Names.wrong("volume name", c.volume(), "", settings.maxNameLength());
        String uuid = Names.wrong("volume uuid", c.volumeUuid(), "", settings.maxNameLength());
        String elsewhere = turn.share.refusal(c.volume());
        if (name != null) {
            turn.refuse(Reason.INVALID_NAME, "", name);
        } else if (elsewhere != null) {
            turn.refuse(Reason.INVALID_ARGUMENT, "", elsewhere);
        } else if (volume == null && uuid != null) {
            turn.refuse(Reason.INVALID_NAME, c.volume(), uuid);
        } else if (c.lockDelayNanos() < 0 || c.lockDelayNanos() > Settings.MAX_LOCK_DELAY_NANOS) {
            turn.refuse(
                    Reason.INVALID_ARGUMENT,
                    c.volume(),
                    "lock delay of " + c.lockDelayNanos() + " ns breaks the rule 0 <= delay <= "
                            + Settings.MAX_LOCK_DELAY_NANOS);
        } else if (volume == null && registry.volumes.size() >= settings.maxVolumes()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED,
                    c.volume(),
                    "there are " + registry.volumes.size() + " volumes; the most allowed is " + settings.maxVolumes());
        } else {
            Volume configured = volume == null ? registry.addVolume(c.volume(), c.volumeUuid()) : volume;
            configured.lockDelayNanos = c.lockDelayNanos();
            idleVolumes.left(configured);
            turn.change(new Change.VolumePut(configured.name, configured.uuid, configured.lockDelayNanos));
            turn.done();
        }
    }

    /**
     * Waits end before leases and leases before recalls, so that no lock is revoked for somebody who is gone. A hundred
     * thousand sessions may die at one moment: what is due beyond {@value #ENDED_IN_TICK} claims is left to the next tick, so
     * that others are served in between.
     */
    private void tick() {
        behind = true;
        int left = ENDED_IN_TICK;
        for (Request late = grants.pollLate(); late != null; late = grants.pollLate()) {
            endLate(late);
            left -= late.parts.size();
            if (left <= 0) {
                return;
            }
        }
        for (int ended = sessions.endSilent(); ended > 0; ended = sessions.endSilent()) {
            left -= ended;
            if (left <= 0) {
                return;
            }
        }
        for (Held lock : recalls.pollOverdue()) {
            grants.revoke(lock, "not released by the deadline of its recall");
        }
        for (Held lock = grants.pollDelayed(); lock != null; lock = grants.pollDelayed()) {
            grants.remove(lock, LockEvent.Kind.RELEASED, "the lock delay is over");
            left--;
            if (left <= 0) {
                return;
            }
        }
        behind = false;
        idleVolumes.sweep();
        if (turn.recoveryIsOver()) {
            turn.recovering = false;
            grants.considerAll();
        }
    }

    private void endLate(Request late) {
        Claim blocker = grants.firstBlocker(late);
        String why = turn.recovering
                ? "the lock manager is recovering"
                : blocker == null ? "what was in its way left in this very step" : Turn.inTheWay(blocker);
        grants.refuse(late, Reason.DEADLINE, late.what() + " not granted in time: " + why);
    }

    /**
     * Has the last tick left something that was due already? Then the next one should come as soon as others had their turn,
     * without waiting for its time.
     */
    public boolean behind() {
        return behind;
    }

    /** Are the events of a volume to be told from now on? It need not be there yet. Outside of what is replicated. */
    public void watch(String volume, boolean on) {
        registry.watch(volume, on);
    }

    // The read side, for the thread that owns the table

    public Settings settings() {
        return turn.settings;
    }

    public Share share() {
        return turn.share;
    }

    public long epoch() {
        return turn.epoch;
    }

    /** Does the table still grant nothing, because of what it may have forgotten? */
    public boolean recovering() {
        return turn.recovering;
    }

    /** All volumes, by name. */
    public List<VolumeView> volumes() {
        return registry.volumesByName.values().stream().map(LockTable::view).toList();
    }

    /**
     * Volumes by name.
     *
     * @param pageToken empty for the first page, then {@link Page#next} of the page before
     * @param limit at most so many on a page, at least 1
     */
    public Page<VolumeView> volumes(String pageToken, int limit) {
        return views.volumes(pageToken, limit, LockTable::view);
    }

    public Optional<VolumeView> volume(String name) {
        return Optional.ofNullable(registry.volumes.get(name)).map(LockTable::view);
    }

    private static VolumeView view(Volume volume) {
        return new VolumeView(
                volume.name, volume.uuid, volume.held(), volume.waiting(), volume.valueVersion, volume.lockDelayNanos);
    }

    /** Entries of the indexes of a volume: identical claims are one. 0 if there is no such volume. */
    public int indexEntries(String volumeName) {
        Volume volume = registry.volumes.get(volumeName);
        return volume == null ? 0 : volume.indexEntries();
    }

    /** How often, since the start, a waiter was looked at when something came free: about once for each that is granted. */
    public long looksAtWaiters() {
        return grants.looks;
    }

    /**
     * Locks of a volume, in the order of starts; none if there is no such volume.
     *
     * @throws IllegalArgumentException if the page token is not one that a page has given
     */
    public Page<LockView> locks(LockQuery query) {
        return views.locks(query);
    }

    /**
     * Waiters of a volume, in the order of starts; none if there is no such volume.
     *
     * @throws IllegalArgumentException if the page token is not one that a page has given
     */
    public Page<WaiterView> waiters(LockQuery query) {
        return views.waiters(query);
    }

    /** What is in the way of a request that waits, locks first, at most 1,000; empty if no such request waits. */
    public Optional<List<ClaimView>> blockers(String sessionId, long requestId) {
        return views.blockers(sessionId, requestId);
    }

    /**
     * How much is held and waited for in [start, end), or, if that is [0, 0), from the first to the last byte of which
     * anything is; in so many ranges of equal length at most. A look counts 200,000 entries at most, an equal share of them
     * in each range: where more lie the figure is a lower bound.
     */
    public List<Bucket> contention(String volume, long start, long end, int buckets) {
        return views.contention(volume, start, end, buckets);
    }

    /**
     * [start, end) of a volume as it is drawn, in so many cells at most, each a multiple of {@code unitBytes} long; nothing is
     * held where there is no such volume. Counts 200,000 claims at most, an equal share of them in each cell.
     *
     * @param cells at least 1
     * @param unitBytes at least 1
     */
    public RangeMap rangeMap(String volume, long start, long end, int cells, long unitBytes) {
        return pictures.rangeMap(volume, start, end, cells, unitBytes);
    }

    /** Who waits for whom on a volume; looks at 400 waiters, and at 16 claims in the way of each. */
    public WaitGraph waitGraph(String volume) {
        return pictures.waitGraph(volume);
    }

    /** All sessions, by id. */
    public List<SessionView> sessions() {
        return registry.sessionsById.values().stream().map(this::view).toList();
    }

    /**
     * Sessions by id, of owners whose names begin so.
     *
     * @param pageToken empty for the first page, then {@link Page#next} of the page before
     * @param limit at most so many on a page, at least 1
     */
    public Page<SessionView> sessions(String ownerPrefix, String pageToken, int limit) {
        return views.sessions(ownerPrefix, pageToken, limit, this::view);
    }

    public int sessionCount() {
        return registry.sessions.size();
    }

    public Optional<SessionView> session(String sessionId) {
        return Optional.ofNullable(registry.sessions.get(sessionId)).map(this::view);
    }

    private SessionView view(Session session) {
        return new SessionView(
                session.id,
                session.owner,
                session.ttlNanos,
                session.deadlineNanos + turn.sleptNanos,
                session.held,
                session.waiting,
                session.unackedLosses);
    }

    /** The value block of a volume; empty if there is no such volume. */
    public Optional<ValueView> value(String volumeName) {
        return Optional.ofNullable(registry.volumes.get(volumeName))
                .map(volume -> new ValueView(volume.name, volume.uuid, volume.valueVersion, volume.value));
    }

    /** What a session holds and may believe in, by lock id: what it is told when it comes back. */
    public List<Notice.Granted> heldBy(String sessionId) {
        Session session = registry.sessions.get(sessionId);
        List<Notice.Granted> held = new ArrayList<>();
        if (session != null) {
            session.forEachLock(lock -> {
                if (!lock.revoked) {
                    held.add(lock.asAnswer());
                }
            });
            held.sort(Comparator.comparingLong(Notice.Granted::lockId));
        }
        return held;
    }

    /**
     * The losses a session has not acknowledged and the recalls it has not answered, to be said again when it comes back
     * on a new stream: what was said on the old one may have been lost with it.
     */
    public List<Notice> unansweredEvents(String sessionId) {
        Session session = registry.sessions.get(sessionId);
        List<Notice> events = new ArrayList<>();
        if (session != null) {
            session.forEachLock(lock -> {
                if (lock.revoked) {
                    events.add(new Notice.Lost(
                            session.id, lock.id, lock.volume.name, lock.start, lock.end, "revoked earlier"));
                } else if (lock.recall != null) {
                    events.addAll(recalls.unanswered(lock.recall));
                }
            });
        }
        return events;
    }
}
