package io.terminus.lockmgr.lock;

import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A session, its lease (the deadline), and all it holds and waits for, each in the order in which it came, so that an end
 * of the session gives up its locks in one order everywhere.
 */
final class Session extends Timed {

    final String id;
    final String owner;
    final long ttlNanos;
    /** By the request id that made them: a request that comes again finds what it has become. */
    final LongMap<Asked> requests = new LongMap<>();

    private @Nullable Held firstLock;
    private @Nullable Held lastLock;
    int held;

    @Nullable
    Request firstRequest;

    private @Nullable Request lastRequest;
    /** Parts of requests that wait, and requests among them that are not standby. */
    int waiting;

    int askingRequests;
    /** Revoked locks the session has not acknowledged; while there are any, no renewal is answered. */
    int unackedLosses;
    /** Locks under recall: while there are none, and no request asks, nobody waits for this session. */
    int recalledLocks;

    /** Kept by {@link WaitsFor}: every session this one waits for, and perhaps some it no longer does; null: not known. */
    @Nullable
    Set<Session> mayWaitFor;

    /** What {@link #mayWaitFor} was built in. */
    long mayWaitForAge;

    /** So many times its requests are not searched for deadlocks, see {@link WaitsFor}. */
    int notSearched;

    Session(String id, String owner, long ttlNanos) {
        this.id = id;
        this.owner = owner;
        this.ttlNanos = ttlNanos;
    }

    /** Nobody sends no requests, and may hold many locks of the same request id. */
    private boolean isNobody() {
        return id.isEmpty();
    }

    void add(Held lock) {
        lock.previousOfSession = lastLock;
        if (lastLock == null) {
            firstLock = lock;
        } else {
            lastLock.nextOfSession = lock;
        }
        lastLock = lock;
        held++;
        if (isNobody()) {
            return;
        }
        switch (requests.get(lock.requestId)) {
            case null -> requests.put(lock.requestId, lock);
            case Held sibling -> requests.put(lock.requestId, Asked.Together.of(sibling, lock));
            case Asked.Together siblings -> siblings.add(lock);
            case Request waiting ->
                throw new IllegalStateException("request " + lock.requestId + " of session " + id + " still waits");
        }
    }

    void remove(Held lock) {
        Held before = lock.previousOfSession;
        Held behind = lock.nextOfSession;
        if (before == null) {
            firstLock = behind;
        } else {
            before.nextOfSession = behind;
        }
        if (behind == null) {
            lastLock = before;
        } else {
            behind.previousOfSession = before;
        }
        lock.previousOfSession = null;
        lock.nextOfSession = null;
        held--;
        if (isNobody()) {
            return;
        }
        if (requests.get(lock.requestId) instanceof Asked.Together siblings) {
            siblings.locks().remove(lock);
            if (siblings.locks().size() == 1) {
                requests.put(lock.requestId, siblings.locks().getFirst());
            }
        } else {
            requests.remove(lock.requestId);
        }
    }

    void add(Request request) {
        request.previousOfSession = lastRequest;
        if (lastRequest == null) {
            firstRequest = request;
        } else {
            lastRequest.nextOfSession = request;
        }
        lastRequest = request;
        waiting += request.parts.size();
        if (!request.standby()) {
            askingRequests++;
        }
        requests.put(request.requestId, request);
    }

    void remove(Request request) {
        Request before = request.previousOfSession;
        Request behind = request.nextOfSession;
        if (before == null) {
            firstRequest = behind;
        } else {
            before.nextOfSession = behind;
        }
        if (behind == null) {
            lastRequest = before;
        } else {
            behind.previousOfSession = before;
        }
        request.previousOfSession = null;
        request.nextOfSession = null;
        waiting -= request.parts.size();
        if (!request.standby()) {
            askingRequests--;
            if (askingRequests == 0) {
                mayWaitFor = null;
            }
        }
        requests.remove(request.requestId);
    }

    /** Oldest first; the visitor may give up the lock it is shown. */
    void forEachLock(Consumer<? super Held> visitor) {
        for (Held lock = firstLock; lock != null; ) {
            Held next = lock.nextOfSession;
            visitor.accept(lock);
            lock = next;
        }
    }

    /** Oldest first; the visitor may give up the request it is shown. */
    void forEachRequest(Consumer<? super Request> visitor) {
        for (Request request = firstRequest; request != null; ) {
            Request next = request.nextOfSession;
            visitor.accept(request);
            request = next;
        }
    }
}
