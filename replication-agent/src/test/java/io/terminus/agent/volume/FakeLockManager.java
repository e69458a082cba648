package io.terminus.agent.volume;

import io.terminus.agent.volume.VolumeAuthority.Block;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import io.terminus.agent.volume.VolumeAuthority.HolderEvents;
import io.terminus.agent.volume.VolumeAuthority.Put;
import io.terminus.agent.volume.VolumeAuthority.Waiting;
import io.terminus.agent.volume.VolumeConfig.UnreadableConfigException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * One volume's lock and value block, for agents of one JVM.
 *
 * <p>Faults: the answer to a put may be lost, after it was stored or before ({@link #loseAnswers}), as often as asked for
 * and for every agent; a holder's lease may end without the holder noticing, so that it goes on believing while the next
 * one is granted ({@link #forgetHolder}), or with it ({@link #expireHolder}); it may cease to believe before it is told
 * ({@link #doubtHolder}); what a dead agent would not have said is not heard ({@link #hearNoMoreOf}); and the value block may
 * go back ({@link #restore}). Not modelled: lost reads, late events, grants that come after the waiter gave up, restarts of the
 * lock manager.
 */
final class FakeLockManager {

    private final class Lock implements Grant {
        private final String agent;
        private final HolderEvents events;
        private final long token;
        private volatile boolean believed = true;

        Lock(String agent, HolderEvents events, long token) {
            this.agent = agent;
            this.events = events;
            this.token = token;
        }

        @Override
        public boolean believed() {
            return believed;
        }

        @Override
        public long token() {
            return token;
        }

        @Override
        public CompletableFuture<Put> put(long expectedVersion, VolumeConfig config) {
            return CompletableFuture.completedFuture(FakeLockManager.this.put(this, expectedVersion, config));
        }

        @Override
        public void progress(long progress) {}

        @Override
        public void release() {
            believed = false;
            released(this);
        }
    }

    private record Request(String agent, boolean standby, HolderEvents events, CompletableFuture<Grant> granted)
            implements Waiting {
        @Override
        public void cancel() {
            granted.cancel(false);
        }
    }

    private final List<Request> waiting = new ArrayList<>();
    private final Set<String> dead = new HashSet<>();
    private @Nullable Lock holder;
    private long tokens = 100;
    private long version;
    private byte[] value = new byte[0];
    private int answersToLose;
    private boolean storesWhatItLoses;
    private int lost;

    synchronized void store(VolumeConfig first) {
        version = 1;
        value = first.encode();
    }

    /** Somebody who had the lock for a moment wrote that. */
    synchronized void overwrite(VolumeConfig next) {
        version++;
        value = next.encode();
    }

    /** The next puts are answered with "unknown": stored before that, or not. */
    synchronized void loseAnswers(int count, boolean stored) {
        answersToLose = count;
        storesWhatItLoses = stored;
    }

    synchronized int answersLost() {
        return lost;
    }

    /** The holder's lease ends; it does not notice, and believes on. */
    synchronized void forgetHolder() {
        holder = null;
        grantNext();
    }

    /** The holder has not heard from the lock manager for so long that it believes no more; nobody tells it anything. */
    synchronized void doubtHolder() {
        Lock now = holder;
        if (now != null) {
            now.believed = false;
        }
    }

    /** That agent's process is killed: it releases nothing, and waits for nothing. */
    synchronized void hearNoMoreOf(String agent) {
        dead.add(agent);
        waiting.removeIf(r -> r.agent().equals(agent));
    }

    /** The disk of the lock manager is put back from a backup that was taken when the block was that one. */
    synchronized void restore(Block backup) {
        version = backup.version();
        value = Objects.requireNonNull(backup.config()).encode();
    }

    /** The holder's lease ends, and it is told. */
    void expireHolder() {
        Lock before;
        synchronized (this) {
            before = holder;
            holder = null;
        }
        if (before != null) {
            before.believed = false;
            before.events.lost("lease expired");
        }
        synchronized (this) {
            grantNext();
        }
    }

    synchronized @Nullable String holder() {
        Lock now = holder;
        return now == null ? null : now.agent;
    }

    synchronized boolean isWaitedForBy(String agent) {
        return waiting.stream()
                .anyMatch(r -> r.agent().equals(agent) && !r.granted().isDone());
    }

    synchronized Block block() {
        try {
            return new Block(version, version == 0 ? null : VolumeConfig.decode(value));
        } catch (UnreadableConfigException e) {
            throw new IllegalStateException(e);
        }
    }

    VolumeAuthority as(String agent) {
        return new VolumeAuthority() {
            @Override
            public CompletableFuture<Block> read() {
                return CompletableFuture.completedFuture(block());
            }

            @Override
            public Waiting lock(boolean standby, Duration wait, HolderEvents events) {
                return request(agent, standby, events);
            }

            @Override
            public CompletableFuture<String> revokeHolder() {
                expireHolder();
                return CompletableFuture.completedFuture("revoked");
            }
        };
    }

    private Waiting request(String agent, boolean standby, HolderEvents events) {
        Request request = new Request(agent, standby, events, new CompletableFuture<>());
        Lock inTheWay;
        synchronized (this) {
            waiting.add(request);
            grantNext();
            inTheWay = request.granted().isDone() ? null : holder;
        }
        if (inTheWay != null && !standby) {
            inTheWay.events.recalled();
        }
        return request;
    }

    private synchronized void released(Lock lock) {
        if (lock.equals(holder) && !dead.contains(lock.agent)) {
            holder = null;
            grantNext();
        }
    }

    private synchronized void grantNext() {
        waiting.removeIf(r -> r.granted().isDone());
        if (holder != null || waiting.isEmpty()) {
            return;
        }
        Request next = waiting.stream().filter(r -> !r.standby()).findFirst().orElse(waiting.getFirst());
        waiting.remove(next);
        Lock lock = new Lock(next.agent(), next.events(), ++tokens);
        holder = lock;
        next.granted().complete(lock);
    }

    private synchronized Put put(Lock by, long expectedVersion, VolumeConfig config) {
        if (answersToLose > 0) {
            answersToLose--;
            lost++;
            if (storesWhatItLoses && by.equals(holder) && version == expectedVersion) {
                version++;
                value = config.encode();
            }
            return new Put.Unknown("the answer was lost");
        }
        if (!by.equals(holder)) {
            return new Put.Refused("token " + by.token + " is not that of a live grant");
        }
        if (version != expectedVersion) {
            return new Put.Mismatch(block());
        }
        value = config.encode();
        return new Put.Stored(++version);
    }
}
