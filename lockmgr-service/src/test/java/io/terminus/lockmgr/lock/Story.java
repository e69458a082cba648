package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.List;

/** A table, a clock that only the test moves, and what was said since the test last looked. */
final class Story {

    static final long SECOND = 1_000_000_000L;
    static final long WHOLE = Long.MAX_VALUE;
    static final long LONG_WAIT = 3600 * SECOND;

    LockTable table;
    long now = 1_000 * SECOND;
    final List<Notice> said = new ArrayList<>();
    final List<Change> changed = new ArrayList<>();
    /** Everything that ever became durable. */
    final List<Change> log = new ArrayList<>();

    private final Settings settings;
    private long requests;
    private long epoch = 1;

    Story() {
        this(Settings.defaults());
    }

    Story(Settings settings) {
        this.settings = settings;
        table = new LockTable(settings, epoch, now);
    }

    /** Sessions of these names, each its own owner, with the default ttl of 6 s. */
    Story open(String... sessions) {
        for (String session : sessions) {
            apply(new Command.OpenSession(session, session, 0));
        }
        return this;
    }

    List<Notice> apply(Command command) {
        LockTable.Decision decision = table.apply(command, now);
        said.addAll(decision.notices());
        changed.addAll(decision.changes());
        log.addAll(decision.changes());
        return decision.notices();
    }

    /** An ordinary request on volume v that waits long; returns its request id. */
    long ask(String session, Mode mode, long start, long end) {
        return ask(session, mode, start, end, LONG_WAIT, false);
    }

    /** A standby on volume v that waits for ever. */
    long standBy(String session, Mode mode, long start, long end) {
        return ask(session, mode, start, end, LockTable.WAIT_FOR_EVER, true);
    }

    long attempt(String session, Mode mode, long start, long end) {
        return ask(session, mode, start, end, 0, false);
    }

    long ask(String session, Mode mode, long start, long end, long waitNanos, boolean standby) {
        return askOn("v", session, mode, start, end, waitNanos, standby);
    }

    long askOn(String volume, String session, Mode mode, long start, long end, long waitNanos, boolean standby) {
        long request = ++requests;
        askAgain(request, volume, session, mode, start, end, waitNanos, standby);
        return request;
    }

    void askAgain(
            long request,
            String volume,
            String session,
            Mode mode,
            long start,
            long end,
            long waitNanos,
            boolean standby) {
        apply(new Command.Acquire(session, request, volume, "uuid-of-" + volume, start, end, mode, waitNanos, standby));
    }

    /** A lock on volume v that must be granted at once; returns its id. */
    long hold(String session, Mode mode, long start, long end) {
        return lockOf(ask(session, mode, start, end));
    }

    /** The lock a request was granted as. */
    long lockOf(long request) {
        return said.stream()
                .filter(n -> n instanceof Notice.Granted granted && granted.requestId() == request)
                .map(n -> ((Notice.Granted) n).lockId())
                .findFirst()
                .orElseThrow(() -> new AssertionError("request " + request + " was not granted: " + said));
    }

    void release(String session, long lock) {
        apply(new Command.Release(session, ++requests, lock));
    }

    void ackLost(String session, long lock) {
        apply(new Command.AckLost(session, ++requests, lock));
    }

    void progress(String session, long lock) {
        apply(new Command.Progress(session, ++requests, lock, 1));
    }

    long cancel(String session, long request) {
        apply(new Command.Cancel(session, ++requests, request));
        return requests;
    }

    long promote(String session, long request) {
        apply(new Command.Promote(session, ++requests, request, LONG_WAIT));
        return requests;
    }

    long put(String session, long lock, long expectedVersion, String value) {
        apply(new Command.PutValue(
                session,
                ++requests,
                "v",
                lock,
                expectedVersion,
                value.getBytes(java.nio.charset.StandardCharsets.UTF_8)));
        return requests;
    }

    void forceRelease(long lock) {
        apply(new Command.ForceRelease(++requests, "v", lock));
    }

    void renew(String... sessions) {
        for (String session : sessions) {
            apply(new Command.Renew(session, 1));
        }
    }

    /** Lets time pass in ticks of 100 ms, the given sessions renewing with each. */
    void pass(long nanos, String... renewing) {
        long until = now + nanos;
        while (now < until) {
            now = Math.min(until, now + SECOND / 10);
            renew(renewing);
            apply(new Command.Tick());
        }
    }

    /** A new table from what the old one made durable. */
    void restart(long recoveryNanos) {
        table = new LockTable(settings, ++epoch, now, now + recoveryNanos);
        table.restore(log);
    }

    /** What was said since the last look, without the answers to renewals. */
    List<Notice> look() {
        List<Notice> since = said.stream()
                .filter(n -> !(n instanceof Notice.RenewalAnswered))
                .toList();
        said.clear();
        changed.clear();
        return since;
    }

    List<Notice.Granted> granted() {
        return only(Notice.Granted.class);
    }

    List<Notice.Recall> recalls() {
        return only(Notice.Recall.class);
    }

    List<Notice.Lost> losses() {
        return only(Notice.Lost.class);
    }

    List<Notice.Refused> refusals() {
        return only(Notice.Refused.class);
    }

    <N extends Notice> List<N> only(Class<N> kind) {
        return said.stream().filter(kind::isInstance).map(kind::cast).toList();
    }

    List<Long> grantedRequests() {
        return granted().stream().map(Notice.Granted::requestId).toList();
    }

    /** The one refusal said since the last look. */
    Notice.Refused refusal() {
        List<Notice.Refused> refusals = refusals();
        if (refusals.size() != 1) {
            throw new AssertionError("one refusal expected: " + said);
        }
        return refusals.getFirst();
    }
}
