package io.terminus.lockmgr.lock;

import io.terminus.lockmgr.lock.LockTable.Decision;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The command in progress: its time, who is answered, and what it has led to so far. The one place from which the parts of
 * the table speak.
 *
 * <p>The table's own clock is the caller's less all gaps of more than a second between two commands: there should be a tick
 * every 100 ms, so in such a gap the process slept, the renewals lie unread, and every deadline moves by it.
 */
final class Turn {

    private static final int COUNTER_BITS = 40;
    /** The highest of the counter's, where there are several groups: so no two of them give the same token or id. */
    private static final int GROUP_BITS = 4;

    private static final long MAX_EPOCH = (1L << 63 - COUNTER_BITS) - 1;
    private static final long SLEPT_NANOS = 1_000_000_000L;

    final Settings settings;
    final Share share;
    final long epoch;
    private final Registry registry;
    private final long recoveryEndNanos;

    /** On the table's own clock. */
    long now;
    /** How long nobody called, in all. */
    long sleptNanos;
    /** Nothing is granted while this holds: somebody unknown may still believe in a lock. */
    boolean recovering;

    private long lastCallNanos;
    private long grants;

    private String asker = "";
    private long askedRequest;
    private List<Change> changes = new ArrayList<>();
    private List<Notice> notices = new ArrayList<>();
    private List<LockEvent> events = new ArrayList<>();

    Turn(Settings settings, Share share, long epoch, long nowNanos, long recoveryEndNanos, Registry registry) {
        if (epoch < 1 || epoch > MAX_EPOCH) {
            throw new IllegalArgumentException("epoch " + epoch + " breaks the rule 1 <= epoch <= " + MAX_EPOCH);
        }
        this.settings = settings;
        this.share = share;
        this.epoch = epoch;
        this.registry = registry;
        this.lastCallNanos = nowNanos;
        this.now = nowNanos;
        this.recoveryEndNanos = recoveryEndNanos;
        this.recovering = recoveryEndNanos > nowNanos;
    }

    void begin(long nowNanos) {
        long gapNanos = nowNanos - lastCallNanos;
        if (gapNanos > SLEPT_NANOS) {
            sleptNanos += gapNanos;
        }
        if (gapNanos > 0) {
            lastCallNanos = nowNanos;
        }
        now = lastCallNanos - sleptNanos;
    }

    Decision end() {
        Decision decision = new Decision(changes, notices, events.isEmpty() ? List.of() : events);
        changes = new ArrayList<>();
        notices = new ArrayList<>();
        if (!events.isEmpty()) {
            events = new ArrayList<>();
        }
        return decision;
    }

    /** What was said and changed is not meant: the state was loaded, nothing happened. */
    void forget() {
        changes.clear();
        notices.clear();
        events.clear();
    }

    boolean recoveryIsOver() {
        return recovering && now >= recoveryEndNanos;
    }

    /** A token of this epoch that no grant had before. */
    long nextToken() {
        grants++;
        int bits = share.groups() == 1 ? COUNTER_BITS : COUNTER_BITS - GROUP_BITS;
        if (grants >= 1L << bits) {
            throw new IllegalStateException("epoch " + epoch + " has no tokens left");
        }
        return firstToken() | (long) share.group() << COUNTER_BITS - GROUP_BITS | grants;
    }

    /** Tokens of earlier epochs are below this one. */
    long firstToken() {
        return epoch << COUNTER_BITS;
    }

    // Answers

    /** The session a command comes from; if it is not known, the command is refused. */
    @Nullable
    Session asking(String sessionId, long requestId) {
        answerTo(sessionId, requestId);
        Session session = registry.sessions.get(sessionId);
        if (session == null) {
            refuse(
                    Reason.UNKNOWN_SESSION,
                    "",
                    "session " + Names.quoted(sessionId) + " is not known: it has ended, and what it held is released");
        }
        return session;
    }

    void answerTo(String sessionId, long requestId) {
        asker = sessionId;
        askedRequest = requestId;
    }

    void done() {
        notices.add(new Notice.Done(asker, askedRequest));
    }

    /** Answers with a lock as it is now. */
    void granted(Held lock) {
        notices.add(lock.asAnswerTo(askedRequest));
    }

    /** Answers with several locks as they are now. */
    void granted(List<Held> locks) {
        grantedTo(asker, askedRequest, locks);
    }

    void grantedTo(String sessionId, long requestId, List<Held> locks) {
        notices.add(new Notice.GrantedAll(
                sessionId,
                requestId,
                locks.stream().map(lock -> lock.asAnswerTo(requestId)).toList()));
    }

    /** The message names the value and the rule; the volume is "" where none is known. */
    void refuse(Reason reason, String volume, String message) {
        notices.add(new Notice.Refused(asker, askedRequest, reason, message, volume));
    }

    /** Refuses a request of before, which has been waiting until now. */
    void refuse(Request request, Reason reason, String message) {
        notices.add(new Notice.Refused(
                request.session.id, request.requestId, reason, message, request.first().volume.name));
    }

    void say(Notice notice) {
        notices.add(notice);
    }

    void change(Change change) {
        changes.add(change);
    }

    /** A waiter on a volume that nobody watches, as on most, costs one look. */
    void event(LockEvent.Kind kind, Claim claim, String why) {
        if (claim.volume.watched) {
            ClaimView view = switch (claim) {
                case Held lock -> Views.view(lock);
                case Waiter waiter -> Views.view(waiter);
            };
            events.add(new LockEvent(kind, view, why, claim.volume.valueVersion));
        }
    }

    /** Who and what a blocker is, for a message. */
    static String inTheWay(Claim blocker) {
        return switch (blocker) {
            case Held lock ->
                lock.delay == null
                        ? lock.session.owner + " holds " + lock.what() + " as lock " + lock.id
                                + (lock.revoked ? " (revoked, not yet given up)" : "")
                        : lock.what() + " stays closed for the lock delay: the holder of lock " + lock.id + " vanished";
            case Waiter waiter -> waiter.session().owner + " is waiting for " + waiter.what();
        };
    }
}
