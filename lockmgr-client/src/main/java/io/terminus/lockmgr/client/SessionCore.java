package io.terminus.lockmgr.client;

import com.google.protobuf.UnsafeByteOperations;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.Cancel;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LostAck;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Promote;
import io.terminus.proto.lock.v1.PutValue;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Recall;
import io.terminus.proto.lock.v1.RecallProgress;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.Release;
import io.terminus.proto.lock.v1.Renew;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * One client of the lock manager as a pure state machine: what happened and when goes in, {@link Action}s come out. No thread, socket
 * or clock is used here (the clock it is given is only handed to grants), so {@link LockClient} and the simulator run the same code.
 *
 * <p>One caller at a time. The caller feeds an event, {@link #drain() drains} and carries out the actions in order, offers
 * {@link #flush(long)} the stream while it takes messages, and comes back with {@link #tick(long)} at {@link #wakeAtNanos()}.
 *
 * <p><b>Belief</b> (PROTOCOL rule on belief): ends at the send time of the newest answered renewal + ttl - margin. The Attach is the first
 * renewal, its Welcome the answer. A message is processed in the order welcome, events, answers, renewal, and a loss clears the grant's
 * flag as soon as it is read, so a renewal that is counted can only speak for grants that are still flagged as held.
 *
 * <p><b>Losses.</b> A LostAck leaves only after the flag was cleared and the caller reported that the listener has returned
 * ({@link #lossHeard}). Events come before answers within a message, so a Lost or Recall may name a lock whose grant is still to
 * come; it is kept until that grant arrives or no acquire is in flight.
 *
 * <p><b>Requests</b> keep their id over reconnects and are sent again until answered. What was sent in a session that is gone is refused as
 * such, or {@link PutOutcome.Unknown}; reads, and what was never sent, go over to the next session.
 *
 * <p><b>What it relies on</b> beyond the words of the contract: a Welcome counts as an answered renewal on both sides; an unknown session is
 * told by ending the stream with NOT_FOUND, or by an answer UNKNOWN_SESSION; after an Attach nothing of the session's older streams is
 * processed any more; losses without an ack and open recalls are told again behind a Welcome, and an acquire that is sent again is never
 * answered with a grant that was taken back and acknowledged.
 */
public final class SessionCore {

    /** With values of 4 KiB, a full message stays under gRPC's 4 MiB. */
    static final int MAX_OPERATIONS_PER_MESSAGE = 256;

    /** Reached only while a loss is unheard, when renewals are not answered anyway. */
    private static final int MAX_UNANSWERED_RENEWALS = 16;

    /** Without a session there is no lease to be saved by hurrying. */
    private static final long FIRST_ATTACH_PATIENCE_NANOS = 5_000_000_000L;

    private static final long NEVER = Long.MAX_VALUE;
    private static final long NANOS_PER_MILLI = 1_000_000;

    /**
     * @param ttlNanos the lease asked for; what Welcome says counts
     * @param patienceNanos an acquire is given up this long after its wait's end if no answer came
     */
    public record Settings(String owner, long ttlNanos, long patienceNanos) {}

    /** What the caller is to do. */
    public sealed interface Action {

        /** Open a stream (with back-off), then call {@link SessionCore#streamOpened}. */
        record Connect() implements Action {}

        /** Cut the stream; nothing that still comes from it may be fed. */
        record Disconnect(String why) implements Action {}

        record Send(ClientMessage message) implements Action {}

        record Complete(long requestId, Outcome outcome) implements Action {}

        /** Release the session by a unary call; nobody believes in its locks any more. */
        record CloseSession(String sessionId) implements Action {}
    }

    /** What the caller is to tell its user. */
    public sealed interface Notice extends Action {

        /** The stream is attached to this session. */
        record Attached(String sessionId) implements Notice {}

        record Recalled(Grant grant, LockRange needed, Duration deadline) implements Notice {}

        /** {@link SessionCore#lossHeard} is to be called when the user has been told. */
        record Lost(Grant grant, String why) implements Notice {}

        record Jeopardy() implements Notice {}

        record Safe() implements Notice {}

        record SessionLost(String why) implements Notice {}
    }

    private enum Phase {
        IDLE,
        CONNECTING,
        ATTACHING,
        ATTACHED,
        CLOSED
    }

    private final Settings settings;
    private final LeaseClock clock;
    private final Grant.Owner grantOwner;
    private final List<Action> actions = new ArrayList<>();

    private Phase phase = Phase.IDLE;
    private long attachSentNanos;
    private long graceUntilNanos = Long.MIN_VALUE;

    // The session; ids and leases are the lock manager's.
    private String sessionId = "";
    private long ttlNanos;
    private long marginNanos;
    private long epoch;
    private Belief belief;
    private boolean jeopardy;

    // Renewals of this stream, oldest first.
    private final ArrayDeque<SentRenewal> unanswered = new ArrayDeque<>();
    private long renewalSequence;
    private long nextRenewalNanos;

    // Requests, in the order of their ids. The caller bounds them (LockClient.Config.maxInFlight); the library's own
    // are at most a few
    // for each request and each grant.
    private final Map<Long, Pending> pending = new LinkedHashMap<>();
    private final ArrayDeque<Pending> unsent = new ArrayDeque<>();
    private final TreeSet<Deadline> deadlines = new TreeSet<>();
    private final List<PendingRelease> releasesToRetry = new ArrayList<>();
    private long lastRequestId;
    private int acquiresPending;

    private final Map<Long, Held> held = new HashMap<>();
    /** Locks with a release on its way. */
    private final Set<Long> releasing = new HashSet<>();
    /** Lost locks whose LostAck was not answered yet. */
    private final Map<Long, Loss> losses = new HashMap<>();
    /** Losses whose listener has not returned yet. */
    private int unheardLosses;
    /** Events for grants that are still to come; at most one each for each acquire in flight. */
    private final Set<Long> earlyLosses = new HashSet<>();

    private final Map<Long, Recall> earlyRecalls = new HashMap<>();
    /** What Welcome listed and nobody here knew, but an acquire in flight may have been granted. */
    private final Map<Long, Granted> unclaimed = new HashMap<>();

    private record SentRenewal(long sequence, long sentNanos) {}

    private record Deadline(long nanos, long requestId) implements Comparable<Deadline> {
        @Override
        public int compareTo(Deadline other) {
            int byTime = Long.compare(nanos, other.nanos);
            return byTime != 0 ? byTime : Long.compare(requestId, other.requestId);
        }
    }

    private static final class Held {
        final Grant grant;
        long progress;
        boolean reporting;

        Held(Grant grant) {
            this.grant = grant;
        }
    }

    /** {@code grant} is null where nobody here ever held it. */
    private record Loss(@Nullable Grant grant, boolean acknowledged) {}

    public SessionCore(Settings settings, LeaseClock clock, Grant.Owner grantOwner) {
        this.settings = settings;
        this.clock = clock;
        this.grantOwner = grantOwner;
        this.belief = new Belief(clock);
        this.ttlNanos = settings.ttlNanos;
    }

    // What happens on the stream.

    public void start() {
        require(phase == Phase.IDLE, "started twice");
        phase = Phase.CONNECTING;
        actions.add(new Action.Connect());
    }

    /** A stream is open: attaches. {@code nowNanos} counts as the send time of a renewal, so it must not be later than the sending. */
    public void streamOpened(long nowNanos) {
        if (phase != Phase.CONNECTING) {
            return;
        }
        phase = Phase.ATTACHING;
        attachSentNanos = nowNanos;
        actions.add(new Action.Send(ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder()
                        .setSessionId(sessionId)
                        .setOwner(settings.owner)
                        .setTtlMillis(settings.ttlNanos / NANOS_PER_MILLI))
                .build()));
    }

    /** The stream is gone. {@code sessionUnknown}: the lock manager said that it does not know the session. */
    public void streamClosed(boolean sessionUnknown, String why, long nowNanos) {
        if (phase != Phase.ATTACHING && phase != Phase.ATTACHED) {
            return;
        }
        reconnect();
        if (sessionUnknown) {
            loseSession(why);
        }
        tick(nowNanos);
    }

    public void received(ServerMessage message, long nowNanos) {
        if (phase == Phase.ATTACHING && message.hasWelcome()) {
            welcomed(message.getWelcome(), nowNanos);
        }
        for (Event event : message.getEventsList()) {
            if (phase == Phase.ATTACHED) {
                switch (event.getKindCase()) {
                    case RECALL -> recalled(event.getRecall());
                    case LOST -> lost(event.getLost(), nowNanos);
                    case KIND_NOT_SET -> {} // Of a newer lock manager.
                }
            }
        }
        for (Answer answer : message.getAnswersList()) {
            if (phase == Phase.ATTACHED || phase == Phase.ATTACHING) {
                answered(answer);
            }
        }
        if (phase == Phase.ATTACHED && message.hasRenewal()) {
            renewed(message.getRenewal().getSequence(), nowNanos);
        }
        if (phase == Phase.ATTACHING) {
            disconnect("the first message of the stream was not a Welcome");
        }
    }

    /** The listener has been told of this loss and returned. */
    public void lossHeard(Grant grant, long nowNanos) {
        Loss loss = losses.get(grant.lockId());
        if (loss != null && loss.grant == grant && !loss.acknowledged) {
            unheardLosses--;
            acknowledge(grant.lockId(), grant, nowNanos);
        }
    }

    // What the user wants.

    public long acquire(AcquireRequest request, long nowNanos) {
        long endNanos = request.waitTime().isNegative()
                ? NEVER
                : nowNanos + request.waitTime().toNanos();
        PendingLock acquire = new PendingLock(++lastRequestId, request, endNanos);
        if (refuseIfClosed(acquire.id)) {
            return acquire.id;
        }
        acquiresPending++;
        addDeadline(acquire);
        add(acquire);
        return acquire.id;
    }

    /** The waiter gave up. What is granted in spite of it is released here. */
    public void cancel(long acquireRequestId) {
        if (pending.get(acquireRequestId) instanceof PendingLock acquire && !acquire.abandoned) {
            giveUp(acquire, RefusalReason.CANCELLED, "the waiter gave up");
        }
    }

    public long promote(long acquireRequestId, Duration wait, long nowNanos) {
        PendingPromote promote = new PendingPromote(++lastRequestId, acquireRequestId, nowNanos + wait.toNanos());
        if (refuseIfClosed(promote.id)) {
            return promote.id;
        }
        if (pending.get(acquireRequestId) instanceof PendingLock acquire && !acquire.abandoned) {
            add(promote);
        } else {
            complete(
                    promote.id,
                    new Outcome.Refused(
                            RefusalReason.UNKNOWN_REQUEST, "request " + acquireRequestId + " is not waiting any more"));
        }
        return promote.id;
    }

    public long release(Grant grant) {
        long id = ++lastRequestId;
        grant.markGone();
        Held entry = held.get(grant.lockId());
        if (entry == null || entry.grant != grant) {
            // Lost, released before, or of a session that is over: nothing is left to be given back.
            complete(id, new Outcome.Done());
            return id;
        }
        held.remove(grant.lockId());
        releasing.add(grant.lockId());
        add(new PendingRelease(id, grant.lockId(), id));
        return id;
    }

    /** At most one report of a grant is on its way; what is reported meanwhile follows as one. */
    public void progress(Grant grant, long progress) {
        Held entry = held.get(grant.lockId());
        if (entry == null || entry.grant != grant) {
            return;
        }
        entry.progress = Math.max(entry.progress, progress);
        if (!entry.reporting) {
            report(entry);
        }
    }

    public long value(String volume) {
        PendingRead read = new PendingRead(++lastRequestId, volume);
        if (!refuseIfClosed(read.id)) {
            add(read);
        }
        return read.id;
    }

    public long putValue(Grant grant, long expectedVersion, byte[] value) {
        PendingPut put = new PendingPut(++lastRequestId, grant, expectedVersion, value.clone());
        Held entry = held.get(grant.lockId());
        if (phase == Phase.CLOSED) {
            complete(put.id, putRefused(RefusalReason.CLOSED, "the client is closed"));
        } else if (entry == null || entry.grant != grant) {
            complete(put.id, putRefused(RefusalReason.NOT_HOLDER, grant + " is no longer held"));
        } else {
            add(put);
        }
        return put.id;
    }

    /** Stops believing in everything, ends every request and gives the session back. */
    public void close() {
        if (phase == Phase.CLOSED) {
            return;
        }
        boolean streaming = phase == Phase.ATTACHING || phase == Phase.ATTACHED;
        phase = Phase.CLOSED;
        belief.end();
        held.values().forEach(entry -> entry.grant.markGone());
        endRequests(RefusalReason.CLOSED, "the client was closed", false);
        forgetSession();
        if (streaming) {
            actions.add(new Action.Disconnect("closed"));
        }
        if (!sessionId.isEmpty()) {
            actions.add(new Action.CloseSession(sessionId));
        }
    }

    // Time, and the way out.

    /** Renews, gives up waits, notices silence and the end of belief. Harmless at any time. */
    public void tick(long nowNanos) {
        if (phase == Phase.CLOSED || phase == Phase.IDLE) {
            return;
        }
        if (nowNanos > saturatedAdd(wakeAtNanos(), ttlNanos / 10)) {
            // This process itself slept. Answers may lie unread; silence is judged anew.
            graceUntilNanos = nowNanos + ttlNanos / 10;
        }
        while (!deadlines.isEmpty() && deadlines.first().nanos <= nowNanos) {
            Deadline due = deadlines.removeFirst();
            if (pending.get(due.requestId) instanceof PendingLock acquire) {
                giveUp(acquire, RefusalReason.DEADLINE, "the wait ended and the lock manager did not answer");
            }
        }
        if (nowNanos >= silentFromNanos()) {
            disconnect(
                    phase == Phase.ATTACHING
                            ? "the attach was not answered in time"
                            : "a renewal was not answered within a third of the ttl");
        } else if (phase == Phase.ATTACHED && nowNanos >= nextRenewalNanos) {
            renew(nowNanos);
        }
        if (!sessionId.isEmpty() && !jeopardy && nowNanos >= belief.untilNanos()) {
            jeopardy = true;
            actions.add(new Notice.Jeopardy());
        }
    }

    /** When {@link #tick} has something to do; {@link Long#MAX_VALUE} if only events can bring that. */
    public long wakeAtNanos() {
        if (phase == Phase.CLOSED || phase == Phase.IDLE) {
            return NEVER;
        }
        long wakeAt = silentFromNanos();
        if (phase == Phase.ATTACHED) {
            wakeAt = Math.min(wakeAt, nextRenewalNanos);
        }
        if (!deadlines.isEmpty()) {
            wakeAt = Math.min(wakeAt, deadlines.first().nanos);
        }
        if (!sessionId.isEmpty() && !jeopardy) {
            wakeAt = Math.min(wakeAt, belief.untilNanos());
        }
        return wakeAt;
    }

    /** Makes one message of what is queued. To be called while the stream takes messages; false: nothing was left to send. */
    public boolean flush(long nowNanos) {
        if (phase != Phase.ATTACHED) {
            return false;
        }
        ClientMessage.Builder message = ClientMessage.newBuilder();
        takeOperations(message, nowNanos);
        if (message.getOperationsCount() == 0) {
            return false;
        }
        actions.add(new Action.Send(message.build()));
        return true;
    }

    /** The actions since the last call, in order. */
    public List<Action> drain() {
        if (actions.isEmpty()) {
            return List.of();
        }
        List<Action> drained = List.copyOf(actions);
        actions.clear();
        return drained;
    }

    // For status pages and checkers.

    /** Empty: there is none. */
    public String sessionId() {
        return sessionId;
    }

    public boolean attached() {
        return phase == Phase.ATTACHED;
    }

    public boolean inJeopardy() {
        return jeopardy;
    }

    public long epoch() {
        return epoch;
    }

    /** {@link Long#MIN_VALUE}: nothing is believed. */
    public long believedUntilNanos() {
        return belief.untilNanos();
    }

    public int heldCount() {
        return held.size();
    }

    public int pendingCount() {
        return pending.size();
    }

    // The session.

    private void welcomed(Welcome welcome, long nowNanos) {
        boolean other = !welcome.getSessionId().equals(sessionId);
        if (other) {
            loseSession("the lock manager opened session " + welcome.getSessionId() + " instead");
            sessionId = welcome.getSessionId();
            belief = new Belief(clock);
        }
        phase = Phase.ATTACHED;
        ttlNanos = welcome.getTtlMillis() * NANOS_PER_MILLI;
        marginNanos = welcome.getMarginMillis() * NANOS_PER_MILLI;
        epoch = welcome.getEpoch();
        unanswered.clear();
        renewalSequence = 0;
        nextRenewalNanos = attachSentNanos + ttlNanos / 3;

        // First what is no longer held stops being believed, then belief is extended: never the other way round.
        compareHeld(welcome.getHeldList());
        believeFrom(attachSentNanos, nowNanos);
        actions.add(new Notice.Attached(sessionId));

        unsent.clear();
        for (Pending request : pending.values()) {
            // An abandoned acquire is not asked for again; its Cancel is.
            if (!(request instanceof PendingLock acquire && acquire.abandoned)) {
                unsent.add(request);
            }
        }
        tick(nowNanos);
    }

    private void compareHeld(List<Granted> listed) {
        Map<Long, Granted> there = new HashMap<>();
        listed.forEach(granted -> there.put(granted.getLockId(), granted));
        for (Held entry : List.copyOf(held.values())) {
            Granted granted = there.get(entry.grant.lockId());
            if (granted == null || granted.getToken() != entry.grant.token()) {
                lose(entry.grant, "the lock manager no longer has it");
            }
        }
        unclaimed.clear();
        for (Granted granted : listed) {
            // A loss whose listener is still busy must not be turned into a release.
            if (!held.containsKey(granted.getLockId())
                    && !releasing.contains(granted.getLockId())
                    && !losses.containsKey(granted.getLockId())) {
                unclaimed.put(granted.getLockId(), granted);
            }
        }
        releaseUnclaimed();
    }

    /** Releases what nobody here knows and no acquire in flight can have been granted. */
    private void releaseUnclaimed() {
        if (unclaimed.isEmpty()) {
            return;
        }
        Set<Shape> inFlight = new HashSet<>();
        for (Pending request : pending.values()) {
            if (request instanceof PendingLock acquire && acquire.everSent && !acquire.abandoned) {
                inFlight.add(Shape.of(acquire.request));
            }
        }
        for (Granted granted : List.copyOf(unclaimed.values())) {
            if (!inFlight.contains(Shape.of(granted))) {
                unclaimed.remove(granted.getLockId());
                releaseUnasked(granted.getLockId());
            }
        }
    }

    private record Shape(String volume, long start, long end, LockMode mode) {
        static Shape of(AcquireRequest request) {
            return new Shape(
                    request.volume(),
                    request.range().startInclusive(),
                    request.range().endExclusive(),
                    request.mode());
        }

        static Shape of(Granted granted) {
            return new Shape(
                    granted.getVolume(),
                    granted.getRequested().getStart(),
                    granted.getRequested().getEnd(),
                    LockMode.of(granted.getMode()));
        }
    }

    private void loseSession(String why) {
        if (sessionId.isEmpty()) {
            return;
        }
        belief.end();
        List<Grant> lost = held.values().stream().map(entry -> entry.grant).toList();
        lost.forEach(Grant::markGone);
        String message = "session " + sessionId + " is over: " + why;
        endRequests(RefusalReason.UNKNOWN_SESSION, message, true);
        forgetSession();
        sessionId = "";
        jeopardy = false;
        lost.forEach(grant -> actions.add(new Notice.Lost(grant, message)));
        actions.add(new Notice.SessionLost(why));
    }

    private void forgetSession() {
        held.clear();
        releasing.clear();
        losses.clear();
        unheardLosses = 0;
        earlyLosses.clear();
        earlyRecalls.clear();
        unclaimed.clear();
        unanswered.clear();
        releasesToRetry.clear();
    }

    /** Ends the requests of a session that is over; {@code carryOver} keeps those that may as well be asked in the next one. */
    private void endRequests(RefusalReason reason, String why, boolean carryOver) {
        Outcome refused = new Outcome.Refused(reason, why);
        for (Pending request : List.copyOf(pending.values())) {
            boolean kept = false;
            switch (request) {
                case PendingLock acquire -> {
                    kept = carryOver && !acquire.everSent;
                    if (!kept) {
                        deadlines.remove(acquire.deadline);
                        acquiresPending--;
                        if (!acquire.abandoned) {
                            complete(acquire.id, refused);
                        }
                    }
                }
                case PendingPromote promote -> {
                    kept = carryOver && pending.get(promote.acquireRequestId) instanceof PendingLock;
                    if (!kept) {
                        complete(promote.id, refused);
                    }
                }
                case PendingRead read -> {
                    kept = carryOver;
                    if (!kept) {
                        complete(read.id, refused);
                    }
                }
                case PendingPut put ->
                    complete(
                            put.id,
                            put.everSent ? new Outcome.Put(new PutOutcome.Unknown(why)) : putRefused(reason, why));
                case PendingRelease release -> reportReleased(release);
                case PendingCancel cancel -> {}
                case PendingLossAck ack -> {}
                case PendingProgress progress -> {}
            }
            if (kept) {
                request.everSent = false;
            } else {
                request.finished = true;
                pending.remove(request.id);
            }
        }
        for (PendingRelease release : releasesToRetry) {
            reportReleased(release);
        }
    }

    private void disconnect(String why) {
        actions.add(new Action.Disconnect(why));
        reconnect();
    }

    private void reconnect() {
        phase = Phase.CONNECTING;
        unanswered.clear();
        unsent.clear();
        actions.add(new Action.Connect());
    }

    // Belief.

    private void renew(long nowNanos) {
        for (PendingRelease release : releasesToRetry) {
            add(new PendingRelease(++lastRequestId, release.lockId, release.reportId));
        }
        releasesToRetry.clear();
        nextRenewalNanos = nowNanos + ttlNanos / 3;
        if (unanswered.size() < MAX_UNANSWERED_RENEWALS) {
            renewalSequence++;
            unanswered.add(new SentRenewal(renewalSequence, nowNanos));
            while (!losses.isEmpty() && unsent.size() > MAX_OPERATIONS_PER_MESSAGE) {
                // No renewal may overtake the LostAck that it needs.
                flush(nowNanos);
            }
            ClientMessage.Builder message = ClientMessage.newBuilder();
            takeOperations(message, nowNanos);
            message.setRenew(Renew.newBuilder().setSequence(renewalSequence));
            actions.add(new Action.Send(message.build()));
        }
    }

    private void renewed(long sequence, long nowNanos) {
        SentRenewal newest = null;
        while (!unanswered.isEmpty() && unanswered.getFirst().sequence <= sequence) {
            newest = unanswered.removeFirst();
        }
        if (newest != null && newest.sequence == sequence) {
            believeFrom(newest.sentNanos, nowNanos);
        }
    }

    private void believeFrom(long sentNanos, long nowNanos) {
        belief.extendTo(sentNanos + ttlNanos - marginNanos);
        if (jeopardy && nowNanos < belief.untilNanos()) {
            jeopardy = false;
            actions.add(new Notice.Safe());
        }
    }

    /** When the stream counts as dead. While a loss is unheard, renewals are not answered and prove nothing. */
    private long silentFromNanos() {
        if (phase == Phase.ATTACHING) {
            // A third of the ttl here and for a renewal leaves the last third of the lease to attach by another stream.
            long patienceNanos = sessionId.isEmpty() ? FIRST_ATTACH_PATIENCE_NANOS : ttlNanos / 3;
            return Math.max(attachSentNanos + patienceNanos, graceUntilNanos);
        }
        if (phase == Phase.ATTACHED && unheardLosses == 0 && !unanswered.isEmpty()) {
            return Math.max(unanswered.getFirst().sentNanos + ttlNanos / 3, graceUntilNanos);
        }
        return NEVER;
    }

    // Events.

    private void recalled(Recall recall) {
        Held entry = held.get(recall.getLockId());
        if (entry != null) {
            progress(entry.grant, 0);
            actions.add(new Notice.Recalled(
                    entry.grant, LockRange.of(recall.getNeeded()), Duration.ofMillis(recall.getDeadlineMillis())));
        } else if (acquiresPending > 0 && !releasing.contains(recall.getLockId())) {
            earlyRecalls.put(recall.getLockId(), recall);
        }
    }

    private void report(Held entry) {
        entry.reporting = true;
        add(new PendingProgress(++lastRequestId, entry));
    }

    private void lost(io.terminus.proto.lock.v1.Lost lost, long nowNanos) {
        long lockId = lost.getLockId();
        Held entry = held.get(lockId);
        if (entry != null) {
            lose(entry.grant, lost.getWhy());
        } else if (!losses.containsKey(lockId)) {
            if (acquiresPending > 0 && !releasing.contains(lockId)) {
                earlyLosses.add(lockId);
            }
            // Nobody believes in it: it is being released, or its grant is still to come and will be refused.
            acknowledge(lockId, null, nowNanos);
        }
    }

    private void lose(Grant grant, String why) {
        grant.markGone();
        held.remove(grant.lockId());
        losses.put(grant.lockId(), new Loss(grant, false));
        unheardLosses++;
        actions.add(new Notice.Lost(grant, why));
    }

    private void acknowledge(long lockId, @Nullable Grant grant, long nowNanos) {
        losses.put(lockId, new Loss(grant, true));
        add(new PendingLossAck(++lastRequestId, lockId));
        if (unheardLosses == 0) {
            // Renewals that are under way may have come before this ack and then are never answered; one behind it is.
            unanswered.clear();
            nextRenewalNanos = nowNanos;
        }
    }

    // Answers.

    private void answered(Answer answer) {
        if (answer.hasRefused() && answer.getRefused().getReason() == Reason.UNKNOWN_SESSION) {
            String why = answer.getRefused().getMessage();
            disconnect(why);
            loseSession(why);
            return;
        }
        if (phase != Phase.ATTACHED) {
            return;
        }
        Pending request = pending.remove(answer.getRequestId());
        if (request == null) {
            if (answer.hasGranted()) {
                grantedUnasked(answer.getGranted());
            }
            return;
        }
        request.finished = true;
        switch (request) {
            case PendingLock acquire -> acquireAnswered(acquire, answer);
            case PendingCancel cancel -> {
                if (pending.get(cancel.acquireRequestId) instanceof PendingLock acquire && acquire.abandoned) {
                    pending.remove(acquire.id);
                    acquireEnded(acquire);
                }
            }
            case PendingRelease release -> {
                if (answer.hasRefused() && answer.getRefused().getReason() == Reason.UNKNOWN_OUTCOME) {
                    releasesToRetry.add(release);
                } else {
                    // Unknown lock: it is gone, which is what was wanted.
                    releasing.remove(release.lockId);
                    reportReleased(release);
                }
            }
            case PendingRead read ->
                complete(
                        read.id,
                        answer.hasValue() ? new Outcome.ValueRead(Value.of(answer.getValue())) : refusal(answer));
            case PendingPut put -> complete(put.id, new Outcome.Put(putOutcome(put, answer)));
            case PendingPromote promote -> {
                if (answer.hasDone()) {
                    promoted(promote);
                }
                complete(promote.id, answer.hasDone() ? new Outcome.Done() : refusal(answer));
            }
            case PendingLossAck ack -> losses.remove(ack.lockId);
            case PendingProgress report -> {
                report.entry.reporting = false;
                if (report.entry.progress > report.progress && held.get(report.entry.grant.lockId()) == report.entry) {
                    report(report.entry);
                }
            }
        }
        releaseUnclaimed();
    }

    private void acquireAnswered(PendingLock acquire, Answer answer) {
        if (answer.hasGranted()) {
            Granted granted = answer.getGranted();
            long lockId = granted.getLockId();
            unclaimed.remove(lockId);
            if (earlyLosses.remove(lockId)) {
                if (!acquire.abandoned) {
                    complete(
                            acquire.id,
                            new Outcome.Refused(
                                    RefusalReason.REVOKED, "lock " + lockId + " was taken back before it arrived"));
                }
            } else if (acquire.abandoned) {
                releaseUnasked(lockId);
            } else {
                Grant grant = new Grant(
                        lockId,
                        granted.getVolume(),
                        granted.getVolumeUuid(),
                        LockRange.of(granted.getRange()),
                        LockMode.of(granted.getMode()),
                        granted.getToken(),
                        belief,
                        grantOwner);
                held.put(lockId, new Held(grant));
                complete(acquire.id, new Outcome.Acquired(grant));
                Recall recall = earlyRecalls.remove(lockId);
                if (recall != null) {
                    recalled(recall);
                }
            }
        } else if (!acquire.abandoned) {
            Outcome.Refused refused = refusal(answer);
            if (refused.reason() == RefusalReason.UNKNOWN_OUTCOME) {
                // It may have been granted. Cancel releases it then.
                add(new PendingCancel(++lastRequestId, acquire.id));
            }
            complete(acquire.id, refused);
        }
        acquireEnded(acquire);
    }

    private void acquireEnded(PendingLock acquire) {
        acquire.finished = true;
        deadlines.remove(acquire.deadline);
        acquiresPending--;
        if (acquiresPending == 0) {
            earlyLosses.clear();
            earlyRecalls.clear();
        }
    }

    private void promoted(PendingPromote promote) {
        if (pending.get(promote.acquireRequestId) instanceof PendingLock acquire && !acquire.abandoned) {
            deadlines.remove(acquire.deadline);
            // A lock manager that restarts forgets its waiters: sent again, this one must come as an ordinary request.
            acquire.ordinary = true;
            acquire.endNanos = promote.endNanos;
            addDeadline(acquire);
        }
    }

    /** An answer to a request that is no longer known. What it grants is nobody's, unless it only repeats what is held. */
    private void grantedUnasked(Granted granted) {
        long lockId = granted.getLockId();
        if (!held.containsKey(lockId)
                && !releasing.contains(lockId)
                && !losses.containsKey(lockId)
                && !unclaimed.containsKey(lockId)) {
            releaseUnasked(lockId);
        }
    }

    private void releaseUnasked(long lockId) {
        if (releasing.add(lockId)) {
            add(new PendingRelease(++lastRequestId, lockId, 0));
        }
    }

    private void giveUp(PendingLock acquire, RefusalReason reason, String why) {
        complete(acquire.id, new Outcome.Refused(reason, why));
        deadlines.remove(acquire.deadline);
        if (acquire.everSent) {
            acquire.abandoned = true;
            add(new PendingCancel(++lastRequestId, acquire.id));
        } else {
            pending.remove(acquire.id);
            acquireEnded(acquire);
        }
    }

    private static PutOutcome putOutcome(PendingPut put, Answer answer) {
        return switch (answer.getKindCase()) {
            case VALUE -> new PutOutcome.Written(answer.getValue().getVersion());
            case DONE -> new PutOutcome.Written(put.expectedVersion + 1);
            case REFUSED -> {
                Refused refused = answer.getRefused();
                yield switch (RefusalReason.of(refused.getReason())) {
                    case VERSION_MISMATCH -> new PutOutcome.VersionMismatch(Value.of(refused.getCurrent()));
                    case UNKNOWN_OUTCOME -> new PutOutcome.Unknown(refused.getMessage());
                    case INVALID_RANGE,
                            INVALID_MODE,
                            INVALID_NAME,
                            INVALID_ARGUMENT,
                            UNKNOWN_SESSION,
                            UNKNOWN_LOCK,
                            UNKNOWN_REQUEST,
                            WOULD_BLOCK,
                            DEADLINE,
                            CANCELLED,
                            DEADLOCK,
                            NOT_HOLDER,
                            LIMIT_EXCEEDED,
                            RECOVERING,
                            REVOKED,
                            TOO_MANY_IN_FLIGHT,
                            CLOSED ->
                        new PutOutcome.Refused(RefusalReason.of(refused.getReason()), refused.getMessage());
                };
            }
            case GRANTED, GRANTED_ALL, KIND_NOT_SET ->
                new PutOutcome.Unknown("a put was answered with " + answer.getKindCase());
        };
    }

    private static Outcome.Refused refusal(Answer answer) {
        return answer.hasRefused()
                ? new Outcome.Refused(
                        RefusalReason.of(answer.getRefused().getReason()),
                        answer.getRefused().getMessage())
                : new Outcome.Refused(
                        RefusalReason.UNKNOWN_OUTCOME,
                        "request " + answer.getRequestId() + " was answered with " + answer.getKindCase());
    }

    private static Outcome putRefused(RefusalReason reason, String message) {
        return new Outcome.Put(new PutOutcome.Refused(reason, message));
    }

    private void reportReleased(PendingRelease release) {
        if (release.reportId != 0) {
            complete(release.reportId, new Outcome.Done());
        }
    }

    private boolean refuseIfClosed(long requestId) {
        if (phase == Phase.CLOSED) {
            complete(requestId, new Outcome.Refused(RefusalReason.CLOSED, "the client is closed"));
            return true;
        }
        return false;
    }

    private void complete(long requestId, Outcome outcome) {
        actions.add(new Action.Complete(requestId, outcome));
    }

    // Requests on their way.

    private void add(Pending request) {
        pending.put(request.id, request);
        if (phase == Phase.ATTACHED) {
            unsent.add(request);
        }
    }

    private void addDeadline(PendingLock acquire) {
        acquire.deadline = new Deadline(saturatedAdd(acquire.endNanos, settings.patienceNanos), acquire.id);
        if (acquire.endNanos != NEVER) {
            deadlines.add(acquire.deadline);
        }
    }

    private void takeOperations(ClientMessage.Builder message, long nowNanos) {
        while (message.getOperationsCount() < MAX_OPERATIONS_PER_MESSAGE && !unsent.isEmpty()) {
            Pending request = unsent.removeFirst();
            if (!request.finished) {
                request.everSent = true;
                message.addOperations(
                        request.operation(nowNanos).setRequestId(request.id).build());
            }
        }
    }

    /** A request without its final answer. */
    private abstract static sealed class Pending {
        final long id;
        /** In this session: the lock manager may know it. */
        boolean everSent;

        boolean finished;

        Pending(long id) {
            this.id = id;
        }

        abstract Operation.Builder operation(long nowNanos);
    }

    private static final class PendingLock extends Pending {
        final AcquireRequest request;
        long endNanos;
        Deadline deadline = new Deadline(NEVER, 0);
        boolean ordinary;
        /** Its waiter gave up after it was sent; a Cancel is on its way. */
        boolean abandoned;

        PendingLock(long id, AcquireRequest request, long endNanos) {
            super(id);
            this.request = request;
            this.endNanos = endNanos;
            this.ordinary = !request.standby();
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder()
                    .setAcquire(Acquire.newBuilder()
                            .setVolume(request.volume())
                            .setRange(request.range().toProto())
                            .setMode(request.mode().toProto())
                            .setWaitMillis(endNanos == NEVER ? -1 : millisLeft(endNanos, nowNanos))
                            .setStandby(!ordinary));
        }
    }

    private static final class PendingCancel extends Pending {
        final long acquireRequestId;

        PendingCancel(long id, long acquireRequestId) {
            super(id);
            this.acquireRequestId = acquireRequestId;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder().setCancel(Cancel.newBuilder().setAcquireRequestId(acquireRequestId));
        }
    }

    private static final class PendingPromote extends Pending {
        final long acquireRequestId;
        final long endNanos;

        PendingPromote(long id, long acquireRequestId, long endNanos) {
            super(id);
            this.acquireRequestId = acquireRequestId;
            this.endNanos = endNanos;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder()
                    .setPromote(Promote.newBuilder()
                            .setAcquireRequestId(acquireRequestId)
                            .setWaitMillis(millisLeft(endNanos, nowNanos)));
        }
    }

    private static final class PendingRelease extends Pending {
        final long lockId;
        /** The request its end is reported as; 0: nobody waits for it. */
        final long reportId;

        PendingRelease(long id, long lockId, long reportId) {
            super(id);
            this.lockId = lockId;
            this.reportId = reportId;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder().setRelease(Release.newBuilder().setLockId(lockId));
        }
    }

    private static final class PendingRead extends Pending {
        final String volume;

        PendingRead(long id, String volume) {
            super(id);
            this.volume = volume;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder().setGetValue(GetValue.newBuilder().setVolume(volume));
        }
    }

    private static final class PendingPut extends Pending {
        final Grant grant;
        final long expectedVersion;
        final byte[] value;

        PendingPut(long id, Grant grant, long expectedVersion, byte[] value) {
            super(id);
            this.grant = grant;
            this.expectedVersion = expectedVersion;
            this.value = value;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder()
                    .setPutValue(PutValue.newBuilder()
                            .setVolume(grant.volume())
                            .setLockId(grant.lockId())
                            .setExpectedVersion(expectedVersion)
                            .setValue(UnsafeByteOperations.unsafeWrap(value)));
        }
    }

    private static final class PendingLossAck extends Pending {
        final long lockId;

        PendingLossAck(long id, long lockId) {
            super(id);
            this.lockId = lockId;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            return Operation.newBuilder().setLostAck(LostAck.newBuilder().setLockId(lockId));
        }
    }

    private static final class PendingProgress extends Pending {
        final Held entry;
        boolean told;
        long progress;

        PendingProgress(long id, Held entry) {
            super(id);
            this.entry = entry;
        }

        @Override
        Operation.Builder operation(long nowNanos) {
            if (!told) {
                // The newest figure; but an id that is sent again stands for what it said first.
                told = true;
                progress = entry.progress;
            }
            return Operation.newBuilder()
                    .setRecallProgress(RecallProgress.newBuilder()
                            .setLockId(entry.grant.lockId())
                            .setProgress(progress));
        }
    }

    /** Rounded up: a wait must not end before its caller's. */
    private static long millisLeft(long endNanos, long nowNanos) {
        return Math.max(0, Math.ceilDiv(endNanos - nowNanos, NANOS_PER_MILLI));
    }

    private static long saturatedAdd(long a, long b) {
        return a > NEVER - b ? NEVER : a + b;
    }

    private static void require(boolean holds, String invariant) {
        if (!holds) {
            throw new IllegalStateException(invariant);
        }
    }
}
