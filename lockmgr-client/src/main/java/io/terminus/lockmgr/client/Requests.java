package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import org.agrona.collections.Long2ObjectHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What was asked and not answered yet: sent as long as it takes, with one id each, so that the lock manager does it once; given up when
 * its time is over; ended with the session it was sent in.
 *
 * <p>The caller of the library bounds what is here (LockClient.Config.maxInFlight); the library's own requests are at most a few for
 * each request and each grant.
 */
final class Requests {

    /** With values of 4 KiB, a full message stays under gRPC's 4 MiB. */
    static final int MAX_OPERATIONS_PER_MESSAGE = 256;

    private final long patienceNanos;
    private final Consumer<SessionCore.Action> actions;

    private final Long2ObjectHashMap<Pending> pending = new Long2ObjectHashMap<>(1024, 0.4f);
    /** In the order of sending. Empty without a stream: all of {@code pending} is sent when there is one. */
    private final ArrayDeque<Pending> unsent = new ArrayDeque<>();

    private final Deadlines deadlines = new Deadlines();
    /** Releases that the lock manager could not store. They are asked for again, with a new id, beside the next renewal. */
    private final List<Pending.Giving> releasesToRetry = new ArrayList<>();

    private boolean streaming;
    private long lastId;
    /** Requests here whose answer may bring a lock that nobody knows yet. */
    private int bringers;

    Requests(long patienceNanos, Consumer<SessionCore.Action> actions) {
        this.patienceNanos = patienceNanos;
        this.actions = actions;
    }

    long nextId() {
        return ++lastId;
    }

    void add(Pending request) {
        pending.put(request.id, request);
        if (request instanceof Pending.Lock || request instanceof Pending.Splitting) {
            bringers++;
        }
        if (request instanceof Pending.Waiting waiting) {
            deadlines.add(waiting, deadline(waiting));
        }
        if (streaming) {
            unsent.add(request);
        }
    }

    /** Its final answer is here, or none will be minded. Null: it is not known (any more). */
    @Nullable
    Pending take(long id) {
        Pending request = pending.remove(id);
        if (request != null) {
            request.finished = true;
            if (request instanceof Pending.Lock || request instanceof Pending.Splitting) {
                bringers--;
            }
            if (request instanceof Pending.Waiting waiting) {
                deadlines.remove(waiting);
            }
        }
        return request;
    }

    boolean mayBringLocks() {
        return bringers > 0;
    }

    int count() {
        return pending.size();
    }

    void complete(long id, Outcome outcome) {
        actions.accept(new SessionCore.Action.Complete(id, outcome));
    }

    void refuse(long id, RefusalReason reason, String why) {
        complete(id, new Outcome.Refused(reason, why));
    }

    /** All of them, oldest first. Not for hot paths. */
    List<Pending> oldestFirst() {
        List<Pending> all = new ArrayList<>(pending.values());
        all.sort(Comparator.comparingLong(request -> request.id));
        return all;
    }

    // Giving up.

    void cancel(long id) {
        if (pending.get(id) instanceof Pending.Waiting waiting && !waiting.abandoned) {
            giveUp(waiting, RefusalReason.CANCELLED, "the waiter gave up");
        }
    }

    long firstDeadlineNanos() {
        return deadlines.firstNanos();
    }

    void giveUpWhatIsDue(long nowNanos) {
        while (deadlines.firstNanos() <= nowNanos) {
            giveUp(deadlines.first(), RefusalReason.DEADLINE, "the wait ended and the lock manager did not answer");
        }
    }

    private void giveUp(Pending.Waiting waiting, RefusalReason reason, String why) {
        refuse(waiting.id, reason, why);
        deadlines.remove(waiting);
        if (waiting.everSent) {
            waiting.abandoned = true;
            add(new Pending.Cancellation(nextId(), waiting.id));
        } else {
            take(waiting.id);
            if (waiting instanceof Pending.Conversion conversion) {
                conversion.grant.lift(conversion.limit);
            }
        }
    }

    /** Of an acquire that was given up nothing more will come. */
    void cancelled(long id) {
        if (pending.get(id) instanceof Pending.Lock acquire && acquire.abandoned) {
            take(id);
        }
    }

    // Groups.

    /** Before anything was sent: what is not this group's to answer. */
    void endWhatIsElsewhere(Function<Pending, @Nullable Outcome> elsewhere) {
        Map<Long, Outcome> ended = new HashMap<>();
        for (Pending request : oldestFirst()) {
            // What stands in for an acquire goes where that goes.
            Outcome outcome = request instanceof Pending.Promotion promotion
                    ? ended.get(promotion.acquireRequestId)
                    : elsewhere.apply(request);
            if (outcome != null) {
                ended.put(request.id, outcome);
                take(request.id);
                complete(request.id, outcome);
            }
        }
    }

    // Promotion.

    long promote(long acquireId, Duration wait, long nowNanos) {
        long id = nextId();
        if (pending.get(acquireId) instanceof Pending.Lock acquire && !acquire.abandoned) {
            add(new Pending.Promotion(id, acquireId, nowNanos + wait.toNanos()));
        } else {
            refuse(id, RefusalReason.UNKNOWN_REQUEST, "request " + acquireId + " is not waiting any more");
        }
        return id;
    }

    void promoted(Pending.Promotion promotion) {
        if (pending.get(promotion.acquireRequestId) instanceof Pending.Lock acquire && !acquire.abandoned) {
            deadlines.remove(acquire);
            // A lock manager that restarts forgets its waiters: sent again, this one must come as an ordinary request.
            acquire.ordinary = true;
            acquire.endNanos = promotion.endNanos;
            deadlines.add(acquire, deadline(acquire));
        }
    }

    // Releases.

    void released(Pending.Giving release) {
        if (release.reportId != 0) {
            complete(release.reportId, new Outcome.Done());
        }
    }

    void retryWithNextRenewal(Pending.Giving release) {
        releasesToRetry.add(release);
    }

    void retryReleases() {
        for (Pending.Giving release : releasesToRetry) {
            add(new Pending.Giving(nextId(), release.lockId, release.reportId));
        }
        releasesToRetry.clear();
    }

    // The stream.

    void streamEnded() {
        streaming = false;
        unsent.clear();
    }

    /** A stream is attached: everything is sent again, oldest first, but re-assertions before all that may rely on them. */
    void sendAgain(Holdings holdings) {
        streaming = true;
        unsent.clear();
        List<Pending> others = new ArrayList<>();
        for (Pending request : oldestFirst()) {
            boolean wanted = switch (request) {
                // An abandoned acquire is not asked for again; its Cancel is.
                case Pending.Lock acquire -> !acquire.abandoned;
                case Pending.Reassertion reassertion -> {
                    if (reassertion.abandoned) {
                        take(reassertion.id);
                    } else {
                        unsent.add(reassertion);
                    }
                    yield false;
                }
                // What was given up is withdrawn by the Cancel behind it.
                case Pending.Conversion conversion -> holdings.holds(conversion.grant);
                case Pending.Shrinking shrinking -> holdings.holds(shrinking.grant);
                case Pending.Splitting splitting -> holdings.holds(splitting.grant);
                case Pending.Cancellation cancellation -> true;
                case Pending.Promotion promotion -> true;
                case Pending.Giving release -> true;
                case Pending.Read read -> true;
                case Pending.Put put -> true;
                case Pending.LossAck ack -> true;
                case Pending.Progress progress -> true;
            };
            if (wanted) {
                others.add(request);
            }
        }
        unsent.addAll(others);
    }

    int unsentCount() {
        return unsent.size();
    }

    void fill(ClientMessageWriter message, long nowNanos) {
        int room = MAX_OPERATIONS_PER_MESSAGE - message.operations();
        while (room > 0 && !unsent.isEmpty()) {
            Pending request = unsent.removeFirst();
            if (!request.finished) {
                request.everSent = true;
                request.write(message, nowNanos);
                room--;
            }
        }
    }

    // The end of a session.

    /** The lock manager has forgotten what it was sent before: whether it was done before that, nobody can say. */
    void forgotten(String why) {
        for (Pending request : oldestFirst()) {
            if (request instanceof Pending.Put put && put.everSent) {
                take(put.id);
                complete(put.id, new Outcome.Put(new PutOutcome.Unknown(why)));
            } else if (request instanceof Pending.Splitting splitting && splitting.everSent) {
                // The lower part is re-asserted; the upper one, if it ever was a lock, is nobody's.
                take(splitting.id);
                refuse(splitting.id, RefusalReason.UNKNOWN_OUTCOME, why);
            }
        }
    }

    /** Ends the requests of a session that is over; {@code carryOver} keeps those that may as well be asked in the next one. */
    void end(RefusalReason reason, String why, boolean carryOver) {
        for (Pending request : oldestFirst()) {
            boolean kept = false;
            switch (request) {
                case Pending.Lock acquire -> {
                    kept = carryOver && !acquire.everSent;
                    if (!kept && !acquire.abandoned) {
                        refuse(acquire.id, reason, why);
                    }
                }
                case Pending.Promotion promotion -> {
                    kept = carryOver && pending.containsKey(promotion.acquireRequestId);
                    if (!kept) {
                        refuse(promotion.id, reason, why);
                    }
                }
                case Pending.Read read -> {
                    kept = carryOver;
                    if (!kept) {
                        refuse(read.id, reason, why);
                    }
                }
                case Pending.Put put ->
                    complete(
                            put.id,
                            new Outcome.Put(
                                    put.everSent ? new PutOutcome.Unknown(why) : new PutOutcome.Refused(reason, why)));
                case Pending.Conversion conversion -> {
                    if (!conversion.abandoned) {
                        refuse(conversion.id, reason, why);
                    }
                }
                case Pending.Shrinking shrinking -> {
                    if (!shrinking.ours) {
                        refuse(shrinking.id, reason, why);
                    }
                }
                case Pending.Splitting splitting -> refuse(splitting.id, reason, why);
                case Pending.Giving release -> released(release);
                case Pending.Reassertion reassertion -> {}
                case Pending.Cancellation cancellation -> {}
                case Pending.LossAck ack -> {}
                case Pending.Progress progress -> {}
            }
            if (kept) {
                request.everSent = false;
            } else {
                take(request.id);
            }
        }
        releasesToRetry.forEach(this::released);
        releasesToRetry.clear();
    }

    private long deadline(Pending.Waiting waiting) {
        return waiting.endNanos > Pending.NEVER - patienceNanos ? Pending.NEVER : waiting.endNanos + patienceNanos;
    }
}
