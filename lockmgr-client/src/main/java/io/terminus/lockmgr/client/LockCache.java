package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.StampedLock;
import org.jspecify.annotations.Nullable;

/**
 * Grants that are kept after use, so that this process takes them again without a call.
 *
 * <pre>{@code
 * LockCache cache = new LockCache(locks, 1000, Duration.ofSeconds(30));
 * try (LockCache.Use use = cache.exclusive("vol1", LockRange.of(0, 4096), Duration.ofSeconds(10))) {
 *     write(use.token());
 *     if (use.believed()) reply(); // the guard, as for any grant
 * }
 * }</pre>
 *
 * <p>Among the users of one cached grant the rule is that of readers and writers: a grant in PR serves any number of shared users, one in EX
 * serves those or one exclusive user. It also serves uses of parts of its range; the rule is then still for the grant as a whole. Who
 * waits for exclusive use is not overtaken by new shared users.
 *
 * <p>A grant is given back when somebody else needs it, when it was idle for {@code idle}, or, least recently used first, when there are
 * more than {@code maxGrants}; in each case behind its last user, while new users wait for a new grant. Above the bound there are
 * only grants that are in use. At each entry the grant must be believed in; one that is not is given back and asked for anew. Cached
 * grants do not overlap: what a new use overlaps without being covered is given back first. So a thread must not ask for a use while it
 * holds another one that overlaps: it would wait for itself, until its wait ends.
 *
 * <p>Any thread may call anything; a use may be closed by another thread than took it. Taking a cached grant is one look into a skip list,
 * one at the clock and two compare-and-sets.
 */
public final class LockCache implements AutoCloseable {

    private final LockClient client;
    private final int maxGrants;
    private final long idleNanos;
    private final ScheduledThreadPoolExecutor sweeper;

    /** By volume, then by start. Read by anybody, changed under the monitor of this. */
    private final Map<String, ConcurrentSkipListMap<Long, Cached>> volumes = new ConcurrentHashMap<>();

    // Under the monitor of this.
    /** Granted and not given back, least recently used first as far as was noticed. */
    private final TreeSet<Cached> leastRecent = new TreeSet<>(
            Comparator.<Cached>comparingLong(it -> it.seenUsedNanos).thenComparingLong(it -> it.serial));

    private long lastSerial;
    private boolean closed;

    /**
     * @param maxGrants at least 1
     * @param idle more than zero
     */
    public LockCache(LockClient client, int maxGrants, Duration idle) {
        if (maxGrants < 1) {
            throw new IllegalArgumentException("maxGrants " + maxGrants + " is less than 1");
        }
        if (idle.isNegative() || idle.isZero()) {
            throw new IllegalArgumentException("idle " + idle + " is not more than zero");
        }
        this.client = client;
        this.maxGrants = maxGrants;
        this.idleNanos = idle.toNanos();
        this.sweeper = new ScheduledThreadPoolExecutor(1, task -> {
            Thread thread = new Thread(task, "lock-cache");
            thread.setDaemon(true);
            return thread;
        });
        long everyNanos = Math.max(1_000_000, idleNanos / 4);
        var unused = sweeper.scheduleWithFixedDelay(
                () -> giveBackIdle(client.clock().nanos()), everyNanos, everyNanos, TimeUnit.NANOSECONDS);
    }

    /**
     * For readers.
     *
     * @param wait at most this long, for users here and holders elsewhere; zero: try once
     * @throws LockRefusedException WOULD_BLOCK or DEADLINE if somebody was in the way for that long, or another reason
     */
    public Use shared(String volume, LockRange range, Duration wait) throws InterruptedException {
        return use(volume, range, LockMode.SHARED, wait);
    }

    /** For one writer; as {@link #shared}. */
    public Use exclusive(String volume, LockRange range, Duration wait) throws InterruptedException {
        return use(volume, range, LockMode.EXCLUSIVE, wait);
    }

    /** Cached grants and those in use. */
    public synchronized int size() {
        return leastRecent.size();
    }

    /** Gives everything back, each grant behind its last user. What is asked from now on is refused, CLOSED. */
    @Override
    public void close() {
        List<Cached> all;
        synchronized (this) {
            closed = true;
            all = List.copyOf(leastRecent);
        }
        sweeper.shutdownNow();
        all.forEach(Cached::close);
    }

    private Use use(String volume, LockRange range, LockMode mode, Duration wait) throws InterruptedException {
        NavigableMap<Long, Cached> cached = volumes.get(volume);
        if (cached != null) {
            Map.Entry<Long, Cached> before = cached.floorEntry(range.startInclusive());
            Use use = before == null ? null : before.getValue().enterAtOnce(range, mode);
            if (use != null) {
                return use;
            }
        }
        return useOrAcquire(volume, range, mode, AcquireRequest.requireWait(wait));
    }

    private Use useOrAcquire(String volume, LockRange range, LockMode mode, Duration wait) throws InterruptedException {
        client.requireNotCallbackThread();
        Wait left = new Wait(wait);
        while (true) {
            Cached mine = null;
            List<Cached> overlapping;
            synchronized (this) {
                if (closed) {
                    throw new LockRefusedException(RefusalReason.CLOSED, "the lock cache is closed");
                }
                overlapping = overlapping(volume, range);
                if (overlapping.isEmpty()) {
                    mine = new Cached(volume, range, mode, ++lastSerial);
                    volumes.computeIfAbsent(volume, name -> new ConcurrentSkipListMap<>())
                            .put(range.startInclusive(), mine);
                }
            }
            Use use;
            if (mine != null) {
                use = mine.acquire(left);
            } else if (overlapping.getFirst().mayServe(range, mode)) {
                use = overlapping.getFirst().enter(range, mode, left);
            } else {
                use = null;
                overlapping.forEach(Cached::close);
                for (Cached other : overlapping) {
                    other.awaitGone(left);
                }
            }
            if (use != null) {
                return use;
            }
        }
    }

    private List<Cached> overlapping(String volume, LockRange range) {
        ConcurrentSkipListMap<Long, Cached> cached = volumes.get(volume);
        if (cached == null) {
            return List.of();
        }
        List<Cached> found = new ArrayList<>();
        Map.Entry<Long, Cached> before = cached.lowerEntry(range.startInclusive());
        if (before != null && before.getValue().range.overlaps(range)) {
            found.add(before.getValue());
        }
        found.addAll(cached.subMap(range.startInclusive(), range.endExclusive()).values());
        return found;
    }

    // Bounds.

    private synchronized void granted(Cached entry) {
        entry.seenUsedNanos = entry.lastUsedNanos;
        leastRecent.add(entry);
        int seen = 0;
        while (leastRecent.size() > maxGrants && seen++ < maxGrants) {
            Cached candidate = leastRecentlyUsed();
            if (candidate.equals(entry) || !candidate.closeIfIdle()) {
                seeUsed(candidate, entry.lastUsedNanos);
            }
        }
        if (closed || leastRecent.size() > maxGrants) {
            // Granted behind the close, or all others are in use: this one is not kept.
            entry.closing = true;
        }
    }

    /** On the sweeper's thread. */
    synchronized void giveBackIdle(long nowNanos) {
        while (!leastRecent.isEmpty()) {
            Cached candidate = leastRecentlyUsed();
            if (nowNanos - candidate.seenUsedNanos < idleNanos) {
                return;
            }
            if (!candidate.closeIfIdle()) {
                seeUsed(candidate, nowNanos);
            }
        }
    }

    /** The first whose last use is the one that its place stands for: all behind it were used later. */
    private Cached leastRecentlyUsed() {
        Cached first = leastRecent.getFirst();
        while (first.lastUsedNanos > first.seenUsedNanos) {
            seeUsed(first, first.lastUsedNanos);
            first = leastRecent.getFirst();
        }
        return first;
    }

    private void seeUsed(Cached entry, long atNanos) {
        if (leastRecent.remove(entry)) {
            entry.seenUsedNanos = atNanos;
            leastRecent.add(entry);
        }
    }

    private synchronized void gone(Cached entry) {
        leastRecent.remove(entry);
        Map<Long, Cached> cached = volumes.get(entry.volume);
        if (cached != null) {
            cached.remove(entry.range.startInclusive(), entry);
            if (cached.isEmpty()) {
                // Who reads this one still finds nothing in it, and asks under the monitor.
                volumes.remove(entry.volume);
            }
        }
    }

    /** What is left of one wait, over all it is waited for. */
    private static final class Wait {
        private final boolean once;
        private final long endNanos;

        Wait(Duration wait) {
            once = wait.isZero();
            endNanos = System.nanoTime() + wait.toNanos();
        }

        long leftNanos() {
            return Math.max(0, endNanos - System.nanoTime());
        }

        LockRefusedException over(String volume, LockRange range) {
            return new LockRefusedException(
                    once ? RefusalReason.WOULD_BLOCK : RefusalReason.DEADLINE,
                    volume + range + " is in use in this process");
        }
    }

    /** One grant and its users. */
    private final class Cached implements Grant.Keeper {
        private final String volume;
        private final LockRange range;
        private final LockMode mode;
        private final long serial;

        private final StampedLock users = new StampedLock();
        /** The first user's, who asks for the grant. */
        private final long fillStamp;

        private final AtomicInteger exclusiveWaiters = new AtomicInteger();
        private final CountDownLatch gone = new CountDownLatch(1);
        /** Null: being asked for, with {@code users} locked. */
        private volatile @Nullable Grant grant;
        /** Nobody enters any more; the last user, or whoever found no user, gives it back. */
        private volatile boolean closing;
        /** Under the write lock of {@code users}. */
        private boolean givenBack;
        /** Written by each user; of two at once either may win. */
        private volatile long lastUsedNanos;
        /** Its place in the order; under the monitor of the cache. */
        private long seenUsedNanos;

        Cached(String volume, LockRange range, LockMode mode, long serial) {
            this.volume = volume;
            this.range = range;
            this.mode = mode;
            this.serial = serial;
            this.fillStamp = users.writeLock();
        }

        boolean mayServe(LockRange wanted, LockMode wantedMode) {
            return !closing && range.contains(wanted) && mode.covers(wantedMode);
        }

        /** Null: not at once, or not at all. */
        @Nullable
        Use enterAtOnce(LockRange wanted, LockMode wantedMode) {
            if (grant == null || !mayServe(wanted, wantedMode)) {
                return null;
            }
            if (wantedMode == LockMode.EXCLUSIVE) {
                return entered(users.tryWriteLock(), false);
            }
            return exclusiveWaiters.get() > 0 ? null : entered(users.tryReadLock(), false);
        }

        /** Null: it was given back meanwhile. */
        @Nullable
        Use enter(LockRange wanted, LockMode wantedMode, Wait left) throws InterruptedException {
            long stamp;
            if (wantedMode == LockMode.EXCLUSIVE) {
                exclusiveWaiters.incrementAndGet();
                try {
                    stamp = users.tryWriteLock(left.leftNanos(), TimeUnit.NANOSECONDS);
                } finally {
                    exclusiveWaiters.decrementAndGet();
                }
            } else {
                stamp = users.tryReadLock(left.leftNanos(), TimeUnit.NANOSECONDS);
            }
            if (stamp == 0) {
                throw left.over(volume, wanted);
            }
            return entered(stamp, false);
        }

        /**
         * {@code first}: who asked for the grant uses it once, even if it was recalled on its way. Else two processes that want one
         * range could hand it to each other for ever, and neither would get to use it.
         */
        private @Nullable Use entered(long stamp, boolean first) {
            if (stamp == 0) {
                return null;
            }
            Grant there = grant;
            // Closing before belief, which is to be the last look.
            long nowNanos = there == null || closing && !first ? Long.MIN_VALUE : there.believedAtNanos();
            if (there == null || nowNanos == Long.MIN_VALUE) {
                closing = true;
                leave(stamp);
                return null;
            }
            lastUsedNanos = nowNanos;
            return new Use(this, there, stamp);
        }

        void leave(long stamp) {
            users.unlock(stamp);
            if (closing) {
                giveBackIfUnused();
            }
        }

        /** The first user's: asks for the grant. Null: it was lost at once. */
        @Nullable
        Use acquire(Wait left) throws InterruptedException {
            Duration wait = left.once ? Duration.ZERO : Duration.ofNanos(left.leftNanos());
            Grant granted = null;
            try {
                granted = client.await(client.acquire(AcquireRequest.of(volume, range, mode, wait), this));
            } finally {
                if (granted == null) {
                    closing = true;
                    leave(fillStamp);
                }
            }
            lastUsedNanos = client.clock().nanos();
            grant = granted;
            Use use = entered(mode == LockMode.EXCLUSIVE ? fillStamp : users.tryConvertToReadLock(fillStamp), true);
            if (use != null) {
                granted(this);
            }
            return use;
        }

        void close() {
            closing = true;
            giveBackIfUnused();
        }

        boolean closeIfIdle() {
            if (users.isReadLocked() || users.isWriteLocked()) {
                return false;
            }
            close();
            return true;
        }

        /**
         * Whoever sets {@code closing} comes here, and whoever leaves and finds it set. If the former finds a user, that user leaves
         * later and finds it set.
         */
        private void giveBackIfUnused() {
            long stamp = users.tryWriteLock();
            if (stamp == 0) {
                return;
            }
            try {
                if (!givenBack) {
                    givenBack = true;
                    Grant there = grant;
                    if (there != null) {
                        // Before it is out of the map: whoever asks next asks behind this release.
                        there.close();
                    }
                    gone(this);
                    gone.countDown();
                }
            } finally {
                users.unlockWrite(stamp);
            }
        }

        void awaitGone(Wait left) throws InterruptedException {
            if (!gone.await(left.leftNanos(), TimeUnit.NANOSECONDS)) {
                throw left.over(volume, range);
            }
        }

        // On the callback thread.

        @Override
        public void recalled(Grant recalled, Recall recall) {
            close();
        }

        @Override
        public void lost(Grant lost, String why) {
            close();
        }
    }

    /** One use of a cached grant, until it is closed. */
    public static final class Use implements AutoCloseable {
        private final Cached cached;
        private final Grant grant;
        private long stamp;

        private Use(Cached cached, Grant grant, long stamp) {
            this.cached = cached;
            this.grant = grant;
            this.stamp = stamp;
        }

        /** {@link Grant#believed()}: to be asked last, before every reply. */
        public boolean believed() {
            return grant.believed();
        }

        public long token() {
            return grant.token();
        }

        /** What this is a use of. Not to be released or changed. */
        public Grant grant() {
            return grant;
        }

        /** Somebody else waits for it, or it is lost: the sooner this is closed, the better. */
        public boolean wanted() {
            return cached.closing;
        }

        /** {@link Grant#progress}: for long uses that are {@link #wanted()}, so that the grant is not taken away. */
        public void progress(long progress) {
            grant.progress(progress);
        }

        /** Once; a second time does nothing. By one thread. */
        @Override
        public void close() {
            long mine = stamp;
            stamp = 0;
            if (mine != 0) {
                cached.leave(mine);
            }
        }
    }
}
