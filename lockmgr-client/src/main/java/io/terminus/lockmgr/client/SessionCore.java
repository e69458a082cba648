package io.terminus.lockmgr.client;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One client of the lock manager as a pure state machine: what happened and when goes in, {@link Action}s come out. No thread, socket
 * or clock is used here (the clock it is given is only handed to grants), so {@link LockClient} and the simulator run the same code.
 *
 * <p>One caller at a time. The caller feeds an event, {@link #drain() drains} and carries out the actions in order, offers
 * {@link #flush(long)} the stream while it takes messages, and comes back with {@link #tick(long)} at {@link #wakeAtNanos()}.
 *
 * <pre>
 *   SessionCore   the stream and the session: attaches, takes messages apart in their order, ends what is over
 *     Lease       what was renewed and answered, and until when that is believed
 *     Requests    what was asked and not answered: sent again with the same id, given up, ended with its session
 *     Holdings    what is held: grants, changes, recalls, losses; compared or re-asserted after a break
 * </pre>
 *
 * <p>A message is processed in the order welcome, events, answers, renewal, and a loss clears the grant's flag as soon as it is read, so a
 * renewal that is counted can only speak for grants that are still flagged as held.
 *
 * <p><b>Requests</b> keep their id over reconnects and are sent again until answered. What was sent in a session that is gone is refused as
 * such, or {@link PutOutcome.Unknown}; reads, and what was never sent, go over to the next session.
 *
 * <p><b>The lock manager lost its memory</b> (Welcome.reassert): what is believed in at that moment is said again, and while that is
 * not settled no renewal of the new session, its welcome included, extends the belief in it. If belief ends first, what was not
 * answered by then is lost. Requests go on under the same session id.
 *
 * <p><b>What it relies on</b> beyond the words of the contract: the Welcome of a session that was opened by this Attach counts as
 * an answered renewal on both sides, any other Welcome on neither; an unknown session is
 * told by ending the stream with NOT_FOUND, or by an answer UNKNOWN_SESSION; after an Attach nothing of the session's older streams is
 * processed any more; losses without an ack and open recalls are told again behind a Welcome, and an acquire that is sent again is never
 * answered with a grant that was taken back and acknowledged.
 */
public final class SessionCore {

    /** Without a session there is no lease to be saved by hurrying. */
    private static final long FIRST_ATTACH_PATIENCE_NANOS = 5_000_000_000L;

    private static final long NEVER = Pending.NEVER;
    private static final long NANOS_PER_MILLI = 1_000_000;

    /**
     * @param ttlNanos the lease asked for; what Welcome says counts
     * @param patienceNanos an acquire is given up this long after its wait's end if no answer came
     * @param group the one of several that is asked here
     * @param groups over so many the volumes are spread; 0: the first welcome will say so
     */
    public record Settings(String owner, long ttlNanos, long patienceNanos, int group, int groups) {

        /** Of the first group, of as many as there may be. */
        public Settings(String owner, long ttlNanos, long patienceNanos) {
            this(owner, ttlNanos, patienceNanos, 0, 0);
        }
    }

    /** What the caller is to do. */
    public sealed interface Action {

        /** Open a stream (with back-off), then call {@link SessionCore#streamOpened}. */
        record Connect() implements Action {}

        /** Cut the stream; nothing that still comes from it may be fed. */
        record Disconnect(String why) implements Action {}

        /** @param encoded a {@link ClientMessage}, as it goes out */
        record Send(byte[] encoded) implements Action {

            public ClientMessage message() {
                try {
                    return ClientMessage.parseFrom(encoded);
                } catch (InvalidProtocolBufferException e) {
                    throw new IllegalStateException("what is to be sent is no ClientMessage", e);
                }
            }
        }

        record Complete(long requestId, Outcome outcome) implements Action {}

        /** Release the session by a unary call; nobody believes in its locks any more. */
        record CloseSession(String sessionId) implements Action {}
    }

    /** What the caller is to tell its user. */
    public sealed interface Notice extends Action {

        /** The stream is attached to this session. */
        record Attached(String sessionId) implements Notice {}

        record Recalled(Grant grant, Recall recall) implements Notice {}

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
    private List<Action> actions = new ArrayList<>();
    private List<Action> drained = new ArrayList<>();
    private final Lease lease;
    private final Requests requests;
    private final Holdings holdings;
    /** Empty between two calls. */
    private final ClientMessageWriter writer = new ClientMessageWriter();

    private Phase phase = Phase.IDLE;
    private long attachSentNanos;
    private long graceUntilNanos = Long.MIN_VALUE;

    // The session; its id is the lock manager's.
    private String sessionId = "";
    private long epoch;
    private boolean jeopardy;

    /** Over so many the volumes are spread; 0: not known yet, and then nothing was sent yet either. */
    private int groups;

    public SessionCore(Settings settings, LeaseClock clock, Grant.Owner grantOwner) {
        this.settings = settings;
        this.groups = settings.groups;
        this.lease = new Lease(clock, settings.ttlNanos);
        this.requests = new Requests(settings.patienceNanos, this::add);
        this.holdings = new Holdings(requests, lease, grantOwner, this::add);
    }

    private void add(Action action) {
        actions.add(action);
    }

    // What happens on the stream.

    public void start() {
        require(phase == Phase.IDLE, "started twice");
        phase = Phase.CONNECTING;
        add(new Action.Connect());
    }

    /** A stream is open: attaches. {@code nowNanos} counts as the send time of a renewal, so it must not be later than the sending. */
    public void streamOpened(long nowNanos) {
        if (phase != Phase.CONNECTING) {
            return;
        }
        phase = Phase.ATTACHING;
        attachSentNanos = nowNanos;
        add(new Action.Send(ClientMessage.newBuilder()
                .setAttach(Attach.newBuilder()
                        .setSessionId(sessionId)
                        .setOwner(settings.owner)
                        .setTtlMillis(settings.ttlNanos / NANOS_PER_MILLI)
                        .setMayReassert(holdings.count() > 0 && lease.believed(nowNanos)))
                .build()
                .toByteArray()));
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
        received(Received.of(message), nowNanos);
    }

    void received(Received message, long nowNanos) {
        Welcome welcome = message.welcome();
        if (phase == Phase.ATTACHING && welcome != null) {
            welcomed(welcome, nowNanos);
        }
        List<Event> events = message.events();
        for (int i = 0; i < events.size() && phase == Phase.ATTACHED; i++) {
            Event event = events.get(i);
            switch (event.getKindCase()) {
                case RECALL -> holdings.recalled(event.getRecall());
                case LOST -> holdings.lost(event.getLost(), nowNanos);
                case KIND_NOT_SET -> {} // Of a newer lock manager.
            }
        }
        List<Reply> replies = message.replies();
        for (int i = 0; i < replies.size(); i++) {
            if (phase == Phase.ATTACHED || phase == Phase.ATTACHING) {
                answered(replies.get(i));
            }
        }
        if (phase == Phase.ATTACHED && message.renews()) {
            lease.answered(message.renewal());
        }
        if (phase == Phase.ATTACHED) {
            settleReassertions(nowNanos);
            tellIfSafe(nowNanos);
        }
        if (phase == Phase.ATTACHING) {
            disconnect("the first message of the stream was not a Welcome");
        }
    }

    /** The listener has been told of this loss and returned. */
    public void lossHeard(Grant grant, long nowNanos) {
        holdings.heard(grant, nowNanos);
    }

    // What the user wants.

    public long acquire(AcquireRequest request, long nowNanos) {
        return ask(request, List.of(), false, nowNanos);
    }

    /** All or none; the outcome is {@link Outcome.AcquiredAll}. */
    public long acquireAll(List<AcquireRequest> parts, long nowNanos) {
        List<AcquireRequest> valid = AcquireRequest.requireTogether(parts);
        return ask(valid.getFirst(), valid.subList(1, valid.size()), true, nowNanos);
    }

    private long ask(AcquireRequest request, List<AcquireRequest> also, boolean several, long nowNanos) {
        long id = requests.nextId();
        if (!refuseIfClosed(id)) {
            long endNanos = request.waitTime().isNegative()
                    ? NEVER
                    : nowNanos + request.waitTime().toNanos();
            addIfHere(new Pending.Lock(id, request, also, several, endNanos));
        }
        return id;
    }

    private void addIfHere(Pending request) {
        Outcome elsewhere = elsewhere(request);
        if (elsewhere == null) {
            requests.add(request);
        } else {
            requests.complete(request.id, elsewhere);
        }
    }

    /** Why this group is not asked; null: it is, or it is not known yet. */
    private @Nullable Outcome elsewhere(Pending request) {
        return switch (request) {
            case Pending.Lock acquire -> {
                String first = acquire.request.volume();
                int group = Groups.ofVolume(first, groups);
                for (AcquireRequest part : acquire.also) {
                    int other = Groups.ofVolume(part.volume(), groups);
                    if (other != group) {
                        yield new Outcome.Refused(
                                RefusalReason.INVALID_ARGUMENT,
                                "volumes " + first + " and " + part.volume() + " belong to the groups " + group
                                        + " and " + other
                                        + " of lock managers: together can be locked what is of one group");
                    }
                }
                yield elsewhere(group);
            }
            case Pending.Read read -> elsewhere(Groups.ofVolume(read.volume, groups));
            default -> null;
        };
    }

    private @Nullable Outcome elsewhere(int group) {
        return groups <= 1 || group == settings.group ? null : new Outcome.Elsewhere(group);
    }

    /** The caller of an acquire or a convert gave up. What is granted to an acquire in spite of it is released here. */
    public void cancel(long requestId) {
        requests.cancel(requestId);
    }

    public long promote(long acquireRequestId, Duration wait, long nowNanos) {
        if (phase == Phase.CLOSED) {
            long id = requests.nextId();
            refuseIfClosed(id);
            return id;
        }
        return requests.promote(acquireRequestId, wait, nowNanos);
    }

    public long release(Grant grant) {
        long id = requests.nextId();
        holdings.release(grant, id);
        return id;
    }

    public long convert(Grant grant, LockMode mode, Duration wait, long nowNanos) {
        return convert(grant, mode, wait, grant.limitTo(mode), nowNanos);
    }

    /** The grant was limited already, by the thread that wants the conversion. */
    long convert(Grant grant, LockMode mode, Duration wait, Grant.Limit limit, long nowNanos) {
        long id = requests.nextId();
        if (!refuseIfNotHeld(id, grant)) {
            holdings.change(grant, new Pending.Conversion(id, grant, mode, limit, nowNanos + wait.toNanos()));
        }
        return id;
    }

    public long shrink(Grant grant, LockRange range) {
        return shrink(grant, range, grant.limitTo(range));
    }

    long shrink(Grant grant, LockRange range, Grant.Limit limit) {
        long id = requests.nextId();
        if (!refuseIfNotHeld(id, grant)) {
            holdings.change(grant, new Pending.Shrinking(id, grant, range, limit, false));
        }
        return id;
    }

    /** The outcome brings the upper part. */
    public long split(Grant grant, long at) {
        LockRange whole = grant.range();
        return split(grant, at, whole.endExclusive(), grant.limitTo(new LockRange(whole.startInclusive(), at)));
    }

    long split(Grant grant, long at, long end, Grant.Limit limit) {
        long id = requests.nextId();
        if (!refuseIfNotHeld(id, grant)) {
            holdings.change(grant, new Pending.Splitting(id, grant, at, end, limit));
        }
        return id;
    }

    /** At most one report of a grant is on its way; what is reported meanwhile follows as one. */
    public void progress(Grant grant, long progress) {
        holdings.progress(grant, progress);
    }

    public long value(String volume) {
        long id = requests.nextId();
        if (!refuseIfClosed(id)) {
            addIfHere(new Pending.Read(id, volume));
        }
        return id;
    }

    public long putValue(Grant grant, long expectedVersion, byte[] value) {
        long id = requests.nextId();
        if (phase == Phase.CLOSED) {
            refusePut(id, RefusalReason.CLOSED, "the client is closed");
        } else if (!holdings.holds(grant)) {
            refusePut(id, RefusalReason.NOT_HOLDER, grant + " is no longer held");
        } else {
            requests.add(new Pending.Put(id, grant, expectedVersion, value.clone()));
        }
        return id;
    }

    /** Stops believing in everything, ends every request and gives the session back. */
    public void close() {
        if (phase == Phase.CLOSED) {
            return;
        }
        boolean streaming = phase == Phase.ATTACHING || phase == Phase.ATTACHED;
        phase = Phase.CLOSED;
        lease.end();
        holdings.end();
        requests.streamEnded();
        requests.end(RefusalReason.CLOSED, "the client was closed", false);
        if (streaming) {
            add(new Action.Disconnect("closed"));
        }
        if (!sessionId.isEmpty()) {
            add(new Action.CloseSession(sessionId));
        }
    }

    // Time, and the way out.

    /** Renews, gives up waits, notices silence and the end of belief. Harmless at any time. */
    public void tick(long nowNanos) {
        if (phase == Phase.CLOSED || phase == Phase.IDLE) {
            return;
        }
        long ttlNanos = lease.ttlNanos();
        long wakeAtNanos = wakeAtNanos();
        if (nowNanos < wakeAtNanos && !lease.holdsBack()) {
            return;
        }
        if (wakeAtNanos < NEVER - ttlNanos && nowNanos > wakeAtNanos + ttlNanos / 10) {
            // This process itself slept. Answers may lie unread; silence is judged anew.
            graceUntilNanos = nowNanos + ttlNanos / 10;
        }
        requests.giveUpWhatIsDue(nowNanos);
        if (nowNanos >= silentFromNanos()) {
            disconnect(
                    phase == Phase.ATTACHING
                            ? "the attach was not answered in time"
                            : "a renewal was not answered within a third of the ttl");
        } else if (phase == Phase.ATTACHED && nowNanos >= lease.nextRenewalNanos()) {
            renew(nowNanos);
        }
        settleReassertions(nowNanos);
        tellIfSafe(nowNanos);
        if (!sessionId.isEmpty() && !jeopardy && !lease.believed(nowNanos)) {
            jeopardy = true;
            add(new Notice.Jeopardy());
        }
    }

    /** When {@link #tick} has something to do; {@link Long#MAX_VALUE} if only events can bring that. */
    public long wakeAtNanos() {
        if (phase == Phase.CLOSED || phase == Phase.IDLE) {
            return NEVER;
        }
        long wakeAt = Math.min(silentFromNanos(), requests.firstDeadlineNanos());
        if (phase == Phase.ATTACHED) {
            wakeAt = Math.min(wakeAt, lease.nextRenewalNanos());
        }
        if (!sessionId.isEmpty() && !jeopardy) {
            wakeAt = Math.min(wakeAt, lease.belief().untilNanos());
        }
        return wakeAt;
    }

    /** Makes one message of what is queued. To be called while the stream takes messages; false: nothing was left to send. */
    public boolean flush(long nowNanos) {
        if (phase != Phase.ATTACHED || requests.unsentCount() == 0) {
            return false;
        }
        requests.fill(writer, nowNanos);
        if (writer.operations() == 0) {
            return false;
        }
        add(new Action.Send(writer.take()));
        return true;
    }

    /** The actions since the last call, in order. The list is good until the next call. */
    public List<Action> drain() {
        if (actions.isEmpty()) {
            return List.of();
        }
        List<Action> full = actions;
        drained.clear();
        actions = drained;
        drained = full;
        return full;
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

    /** Over so many groups the volumes are spread; 0: not known yet. */
    public int groups() {
        return groups;
    }

    /** {@link Long#MIN_VALUE}: nothing is believed. */
    public long believedUntilNanos() {
        return lease.belief().untilNanos();
    }

    public int heldCount() {
        return holdings.count();
    }

    public int pendingCount() {
        return requests.count();
    }

    // The session.

    private void welcomed(Welcome welcome, long nowNanos) {
        boolean opened = !welcome.getSessionId().equals(sessionId);
        if (opened) {
            loseSession("the lock manager opened session " + welcome.getSessionId() + " instead");
            sessionId = welcome.getSessionId();
            lease.newSession();
        }
        phase = Phase.ATTACHED;
        epoch = welcome.getEpoch();
        lease.attached(
                attachSentNanos, welcome.getTtlMillis() * NANOS_PER_MILLI, welcome.getMarginMillis() * NANOS_PER_MILLI);

        // First what is no longer held stops being believed, then belief is extended: never the other way round.
        if (welcome.getReassert()) {
            requests.forgotten("the lock manager lost its memory");
            if (lease.believed(nowNanos)) {
                holdings.reassert();
            } else {
                holdings.loseAll("the lock manager lost its memory, and belief ended before it came back");
            }
        } else {
            holdings.compare(welcome.getHeldList());
        }
        if (holdings.reasserting()) {
            lease.holdBack();
        }
        if (opened) {
            lease.proven(attachSentNanos);
        } else {
            // The lock manager extends no lease because a stream came back, least of all behind a loss that nobody
            // heard.
            lease.renewAnew(nowNanos);
        }
        tellIfSafe(nowNanos);
        add(new Notice.Attached(sessionId));

        if (groups == 0) {
            groups = Math.max(1, welcome.getGroups());
            requests.endWhatIsElsewhere(this::elsewhere);
        }
        requests.sendAgain(holdings);
        tick(nowNanos);
    }

    /** The end of the time in which renewals prove nothing, if it has come. */
    private void settleReassertions(long nowNanos) {
        if (!lease.holdsBack()) {
            return;
        }
        if (!lease.believed(nowNanos)) {
            holdings.loseWhatIsNotReasserted(
                    "belief ended before the lock manager, which lost its memory, had taken it back");
        }
        if (!holdings.reasserting()) {
            lease.goOn();
        }
    }

    private void tellIfSafe(long nowNanos) {
        if (jeopardy && lease.believed(nowNanos)) {
            jeopardy = false;
            add(new Notice.Safe());
        }
    }

    private void loseSession(String why) {
        if (sessionId.isEmpty()) {
            return;
        }
        lease.end();
        List<Grant> lost = holdings.end();
        String message = "session " + sessionId + " is over: " + why;
        requests.end(RefusalReason.UNKNOWN_SESSION, message, true);
        sessionId = "";
        jeopardy = false;
        lost.forEach(grant -> add(new Notice.Lost(grant, message)));
        add(new Notice.SessionLost(why));
    }

    private void disconnect(String why) {
        add(new Action.Disconnect(why));
        reconnect();
    }

    private void reconnect() {
        phase = Phase.CONNECTING;
        lease.streamEnded();
        requests.streamEnded();
        add(new Action.Connect());
    }

    private void renew(long nowNanos) {
        requests.retryReleases();
        long sequence = lease.renew(nowNanos);
        if (sequence == 0) {
            return;
        }
        while (holdings.lossesOpen() && requests.unsentCount() > Requests.MAX_OPERATIONS_PER_MESSAGE) {
            // No renewal may overtake the LostAck that it needs.
            flush(nowNanos);
        }
        requests.fill(writer, nowNanos);
        writer.renew(sequence);
        add(new Action.Send(writer.take()));
    }

    /** When the stream counts as dead. While a loss is unheard, renewals are not answered and prove nothing. */
    private long silentFromNanos() {
        if (phase == Phase.ATTACHING) {
            // A third of the ttl here and for a renewal leaves the last third of the lease to attach by another stream.
            long patienceNanos = sessionId.isEmpty() ? FIRST_ATTACH_PATIENCE_NANOS : lease.ttlNanos() / 3;
            return Math.max(attachSentNanos + patienceNanos, graceUntilNanos);
        }
        if (phase == Phase.ATTACHED && !holdings.anythingUnheard()) {
            return Math.max(lease.silentFromNanos(), graceUntilNanos);
        }
        return NEVER;
    }

    // Answers.

    private void answered(Reply reply) {
        if (phase != Phase.ATTACHED || reply instanceof Reply.Other) {
            answered(reply.answer());
            return;
        }
        Pending request = requests.take(reply.requestId());
        if (request instanceof Pending.Lock acquire && !acquire.several && reply instanceof Reply.Granted granted) {
            holdings.acquired(acquire, granted);
            holdings.giveBackUnclaimed();
        } else if (request instanceof Pending.Giving release && reply instanceof Reply.Done) {
            holdings.released(release);
            holdings.giveBackUnclaimed();
        } else {
            answered(request, reply.answer());
        }
    }

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
        answered(requests.take(answer.getRequestId()), answer);
    }

    private void answered(@Nullable Pending request, Answer answer) {
        switch (request) {
            case null -> {
                if (answer.hasGranted()) {
                    holdings.grantedUnasked(answer.getGranted());
                } else if (answer.hasGrantedAll()) {
                    answer.getGrantedAll().getLocksList().forEach(holdings::grantedUnasked);
                }
                return;
            }
            case Pending.Lock acquire -> holdings.acquired(acquire, answer);
            case Pending.Giving release -> holdings.released(release, answer);
            case Pending.Conversion conversion -> holdings.converted(conversion, answer);
            case Pending.Shrinking shrinking -> holdings.shrunk(shrinking, answer);
            case Pending.Splitting splitting -> holdings.split(splitting, answer);
            case Pending.Reassertion reassertion -> holdings.reasserted(reassertion, answer);
            case Pending.Cancellation cancel -> requests.cancelled(cancel.requestId);
            case Pending.Promotion promotion -> {
                if (answer.hasDone()) {
                    requests.promoted(promotion);
                    requests.complete(promotion.id, new Outcome.Done());
                } else {
                    requests.complete(promotion.id, Outcome.Refused.of(answer));
                }
            }
            case Pending.Read read ->
                requests.complete(
                        read.id,
                        answer.hasValue()
                                ? new Outcome.ValueRead(Value.of(answer.getValue()))
                                : Outcome.Refused.of(answer));
            case Pending.Put put -> requests.complete(put.id, new Outcome.Put(put.outcome(answer)));
            case Pending.LossAck ack -> holdings.lossAckAnswered(ack);
            case Pending.Progress report -> holdings.progressAnswered(report);
        }
        holdings.giveBackUnclaimed();
    }

    // Small things.

    private boolean refuseIfClosed(long requestId) {
        if (phase == Phase.CLOSED) {
            requests.refuse(requestId, RefusalReason.CLOSED, "the client is closed");
            return true;
        }
        return false;
    }

    private boolean refuseIfNotHeld(long requestId, Grant grant) {
        if (refuseIfClosed(requestId)) {
            return true;
        }
        if (!holdings.holds(grant)) {
            requests.refuse(requestId, RefusalReason.UNKNOWN_LOCK, grant + " is no longer held");
            return true;
        }
        return false;
    }

    private void refusePut(long requestId, RefusalReason reason, String why) {
        requests.complete(requestId, new Outcome.Put(new PutOutcome.Refused(reason, why)));
    }

    private static void require(boolean holds, String invariant) {
        if (!holds) {
            throw new IllegalStateException(invariant);
        }
    }
}
