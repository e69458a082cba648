package io.terminus.lockmgr.lock;

/**
 * Sessions and their leases: opened, renewed, closed, ended. A lease ends ttl + margin after the last renewal that was
 * answered, and no renewal is answered while a loss is not acknowledged.
 */
final class Sessions {

    private final Turn turn;
    private final Registry registry;
    private final Grants grants;
    private final Deadlines<Session> leases = new Deadlines<>();

    Sessions(Turn turn, Registry registry, Grants grants) {
        this.turn = turn;
        this.registry = registry;
        this.grants = grants;
    }

    void open(Command.OpenSession c) {
        turn.answerTo(c.sessionId(), 0);
        int maxNameLength = turn.settings.maxNameLength();
        String name = Names.wrong("session id", c.sessionId(), "", maxNameLength);
        String owner = Names.wrong("owner", c.owner(), ":/", maxNameLength);
        Session known = registry.sessions.get(c.sessionId());
        if (name != null || owner != null) {
            turn.refuse(Reason.INVALID_NAME, "", name != null ? name : String.valueOf(owner));
        } else if (c.ttlNanos() < 0) {
            turn.refuse(Reason.INVALID_ARGUMENT, "", "ttl of " + c.ttlNanos() + " ns is negative");
        } else if (known != null) {
            if (!known.owner.equals(c.owner()) || known.ttlNanos != ttl(c.ttlNanos())) {
                turn.refuse(
                        Reason.INVALID_ARGUMENT,
                        "",
                        "session " + known.id + " is open already, for " + known.owner + " with a ttl of "
                                + known.ttlNanos + " ns");
            }
        } else if (registry.sessions.size() >= turn.settings.maxSessions()) {
            turn.refuse(
                    Reason.LIMIT_EXCEEDED, "", "there are " + registry.sessions.size() + " sessions, the most allowed");
        } else {
            Session session = new Session(c.sessionId(), c.owner(), ttl(c.ttlNanos()));
            add(session);
            turn.change(new Change.SessionOpened(session.id, session.owner, session.ttlNanos));
        }
    }

    /** What a session gets that asks for this ttl; 0 asks for the default. */
    private long ttl(long askedNanos) {
        Settings settings = turn.settings;
        return askedNanos == 0
                ? settings.defaultTtlNanos()
                : Math.clamp(askedNanos, settings.minTtlNanos(), settings.maxTtlNanos());
    }

    void add(Session session) {
        if (registry.add(session)) {
            extendLease(session);
        }
    }

    private void extendLease(Session session) {
        leases.arm(session, turn.now + session.ttlNanos + LockTable.marginNanos(session.ttlNanos));
    }

    /** Of a session that was restored, and renewed last at this time. */
    void restoreLease(String sessionId, long renewedNanos, long leastNanos) {
        Session session = registry.sessions.get(sessionId);
        if (session != null) {
            long endNanos = renewedNanos + session.ttlNanos + LockTable.marginNanos(session.ttlNanos);
            leases.arm(session, Math.max(endNanos, leastNanos));
        }
    }

    void renew(Command.Renew c) {
        Session session = registry.sessions.get(c.sessionId());
        if (session == null) {
            turn.say(
                    new Notice.SessionEnded(c.sessionId(), "session " + Names.quoted(c.sessionId()) + " is not known"));
        } else if (session.unackedLosses == 0) {
            extendLease(session);
            turn.say(new Notice.RenewalAnswered(session.id, c.sequence()));
        }
    }

    void close(Command.CloseSession c) {
        Session session = registry.sessions.get(c.sessionId());
        if (session != null) {
            end(session, false, c.why());
        }
    }

    /** Ends one session whose lease is over. Returns how much that took away, itself included; 0 if there was none. */
    int endSilent() {
        Session silent = leases.pollDue(turn.now);
        if (silent == null) {
            return 0;
        }
        int ended = 1 + silent.held + silent.waiting;
        end(silent, true, "the lease ended: no renewal was answered for " + silent.ttlNanos + " ns and the margin");
        return ended;
    }

    private void end(Session session, boolean vanished, String why) {
        session.forEachRequest(request -> grants.leave(request, why));
        session.forEachLock(lock -> {
            if (vanished) {
                grants.vanish(lock, why);
            } else {
                grants.remove(lock, LockEvent.Kind.RELEASED, why);
            }
        });
        forget(session);
        turn.change(new Change.SessionClosed(session.id));
        turn.say(new Notice.SessionEnded(session.id, why));
    }

    /** It holds nothing and waits for nothing any more. */
    void forget(Session session) {
        leases.disarm(session);
        registry.remove(session);
    }
}
