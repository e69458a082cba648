package io.terminus.lockmgr.client;

import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.CloseSessionResponse;
import io.terminus.proto.lock.v1.Done;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.GrantedAll;
import io.terminus.proto.lock.v1.LockServiceGrpc.LockServiceImplBase;
import io.terminus.proto.lock.v1.Lost;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Part;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Recall;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.ValueBlock;
import io.terminus.proto.lock.v1.Welcome;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * A lock manager for tests: every acquire is granted at once and as large as desired, except standbys, which wait until promoted, and
 * what is asked for on the volume "busy", which is never free; every change is done at once; one value block; no time.
 *
 * <p>Fault model. It can break all streams ({@link #cutStreams}), lose answers ({@link #loseAnswers}: what was asked is done, the answer
 * never leaves, also not for what is asked again with the same id until answers leave again), forget its sessions
 * ({@link #forgetSessions}), lose its memory so that sessions re-assert ({@link #loseMemory}) and take locks back ({@link #revoke}). It never reorders, never answers twice, never corrupts. The same
 * request id in one session is done once, and {@link #executions} counts.
 */
final class FakeLockService extends LockServiceImplBase {

    private static final class Session {
        final Map<Long, Answer> answers = new HashMap<>();
        final Map<Long, Granted> held = new TreeMap<>();
        final Map<Long, Granted> revoked = new TreeMap<>();
        final Map<Long, Operation> standbys = new TreeMap<>();

        @Nullable
        StreamObserver<ServerMessage> stream;
    }

    private final Map<String, Session> sessions = new HashMap<>();
    private final List<Operation> executed = new ArrayList<>();
    private ValueBlock value =
            ValueBlock.newBuilder().setVolume("v").setVolumeUuid("u").build();
    private boolean losingAnswers;
    private boolean deaf;
    private long lastLockId;
    private int lastSession;
    private int attaches;
    private boolean reassertable;
    private long ttlMillis = 10_000;
    private long marginMillis = 300;

    // What tests do and see.

    synchronized void useTtl(long ttlMillis, long marginMillis) {
        this.ttlMillis = ttlMillis;
        this.marginMillis = marginMillis;
    }

    synchronized void cutStreams() {
        for (Session session : sessions.values()) {
            StreamObserver<ServerMessage> stream = session.stream;
            session.stream = null;
            if (stream != null) {
                stream.onError(Status.UNAVAILABLE.withDescription("cut").asException());
            }
        }
    }

    synchronized void loseAnswers(boolean losing) {
        losingAnswers = losing;
    }

    /** Streams that are opened are cut at once. */
    synchronized void deaf(boolean hearsNothing) {
        deaf = hearsNothing;
    }

    synchronized void forgetSessions() {
        cutStreams();
        sessions.clear();
        notifyAll();
    }

    /** Unlike forgotten sessions, these may come back under their ids and say what they hold. */
    synchronized void loseMemory() {
        cutStreams();
        sessions.clear();
        reassertable = true;
        notifyAll();
    }

    synchronized void revoke(long lockId) {
        for (Session session : sessions.values()) {
            Granted granted = session.held.remove(lockId);
            if (granted != null) {
                session.revoked.put(lockId, granted);
                say(session, ServerMessage.newBuilder().addEvents(lost(lockId)));
            }
        }
    }

    synchronized void recall(long lockId) {
        recall(lockId, null);
    }

    /** {@code keep}: only what lies outside is needed. */
    synchronized void recall(long lockId, @Nullable LockRange keep) {
        for (Session session : sessions.values()) {
            Granted granted = session.held.get(lockId);
            if (granted != null) {
                Recall.Builder recall = Recall.newBuilder()
                        .setLockId(lockId)
                        .setNeeded(granted.getRange())
                        .setWanted(Mode.MODE_EX)
                        .setDeadlineMillis(5000);
                if (keep != null) {
                    recall.setKeep(keep.toProto());
                }
                say(
                        session,
                        ServerMessage.newBuilder().addEvents(Event.newBuilder().setRecall(recall)));
            }
        }
    }

    synchronized int executions(Operation.KindCase kind) {
        return (int) executed.stream().filter(it -> it.getKindCase() == kind).count();
    }

    synchronized int held() {
        return sessions.values().stream().mapToInt(it -> it.held.size()).sum();
    }

    /** What one lock is now; the default instance: not held. */
    synchronized Granted lock(long lockId) {
        for (Session session : sessions.values()) {
            Granted granted = session.held.get(lockId);
            if (granted != null) {
                return granted;
            }
        }
        return Granted.getDefaultInstance();
    }

    synchronized int sessions() {
        return sessions.size();
    }

    synchronized int attaches() {
        return attaches;
    }

    /** Waits, at most 30 s, until what the fake has seen makes this true. */
    synchronized void await(BooleanSupplier condition) throws InterruptedException {
        long endNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!condition.getAsBoolean()) {
            long leftMillis = TimeUnit.NANOSECONDS.toMillis(endNanos - System.nanoTime());
            if (leftMillis <= 0) {
                throw new AssertionError("not seen within 30 s; executed so far: " + executed);
            }
            wait(leftMillis);
        }
    }

    // The service.

    @Override
    public StreamObserver<ClientMessage> session(StreamObserver<ServerMessage> client) {
        return new StreamObserver<>() {
            private @Nullable Session session;

            @Override
            public void onNext(ClientMessage message) {
                synchronized (FakeLockService.this) {
                    if (message.hasAttach()) {
                        session = attach(message.getAttach(), client);
                    } else if (session != null && client.equals(session.stream)) {
                        process(session, message);
                    }
                    FakeLockService.this.notifyAll();
                }
            }

            @Override
            public void onError(Throwable failure) {
                synchronized (FakeLockService.this) {
                    if (session != null && client.equals(session.stream)) {
                        session.stream = null;
                    }
                }
            }

            @Override
            public void onCompleted() {
                client.onCompleted();
            }
        };
    }

    @Override
    public synchronized void closeSession(CloseSessionRequest request, StreamObserver<CloseSessionResponse> client) {
        sessions.remove(request.getSessionId());
        client.onNext(CloseSessionResponse.getDefaultInstance());
        client.onCompleted();
        notifyAll();
    }

    private @Nullable Session attach(Attach attach, StreamObserver<ServerMessage> client) {
        attaches++;
        if (deaf) {
            client.onError(Status.UNAVAILABLE.withDescription("deaf").asException());
            return null;
        }
        String asked = attach.getSessionId();
        String id = asked;
        boolean anew = reassertable && attach.getMayReassert() && !asked.isEmpty() && !sessions.containsKey(asked);
        if (anew) {
            sessions.put(asked, new Session());
        }
        if (asked.isEmpty()) {
            id = "s" + ++lastSession;
            sessions.put(id, new Session());
        }
        Session session = sessions.get(id);
        if (session == null) {
            client.onError(
                    Status.NOT_FOUND.withDescription("unknown session " + asked).asException());
            return null;
        }
        session.stream = client;
        ServerMessage.Builder welcome = ServerMessage.newBuilder()
                .setWelcome(Welcome.newBuilder()
                        .setSessionId(id)
                        .setTtlMillis(ttlMillis)
                        .setMarginMillis(marginMillis)
                        .setEpoch(1)
                        .setReassert(anew)
                        .addAllHeld(session.held.values()));
        session.revoked.keySet().forEach(lockId -> welcome.addEvents(lost(lockId)));
        say(session, welcome);
        return session;
    }

    private void process(Session session, ClientMessage message) {
        ServerMessage.Builder reply = ServerMessage.newBuilder();
        for (Operation operation : message.getOperationsList()) {
            Answer answer = session.answers.get(operation.getRequestId());
            if (answer == null) {
                executed.add(operation);
                answer = execute(session, operation, reply);
            }
            if (answer != null) {
                session.answers.put(operation.getRequestId(), answer);
                reply.addAnswers(answer);
            }
        }
        if (losingAnswers) {
            reply.clearAnswers();
        }
        if (message.hasRenew() && session.revoked.isEmpty()) {
            reply.setRenewal(
                    RenewalAnswer.newBuilder().setSequence(message.getRenew().getSequence()));
        }
        say(session, reply);
    }

    private @Nullable Answer execute(Session session, Operation operation, ServerMessage.Builder reply) {
        Answer.Builder answer = Answer.newBuilder().setRequestId(operation.getRequestId());
        switch (operation.getKindCase()) {
            case ACQUIRE -> {
                if (operation.getAcquire().getStandby()) {
                    session.standbys.put(operation.getRequestId(), operation);
                    return null;
                }
                if (operation.getAcquire().getVolume().equals("busy")) {
                    answer.setRefused(refused(
                            operation.getAcquire().getWaitMillis() == 0 ? Reason.WOULD_BLOCK : Reason.DEADLINE));
                } else if (operation.getAcquire().getAlsoCount() > 0) {
                    GrantedAll.Builder all = GrantedAll.newBuilder().addLocks(grant(session, operation));
                    for (Part part : operation.getAcquire().getAlsoList()) {
                        all.addLocks(
                                grant(session, part.getVolume(), part.getRange(), part.getRange(), part.getMode()));
                    }
                    answer.setGrantedAll(all);
                } else {
                    answer.setGranted(grant(session, operation));
                }
            }
            case CANCEL -> {
                long acquire = operation.getCancel().getAcquireRequestId();
                session.standbys.remove(acquire);
                Answer acquired = session.answers.get(acquire);
                if (acquired != null) {
                    session.held.remove(acquired.getGranted().getLockId());
                    acquired.getGrantedAll().getLocksList().forEach(lock -> session.held.remove(lock.getLockId()));
                }
                answer.setDone(Done.getDefaultInstance());
            }
            case PROMOTE -> {
                long acquire = operation.getPromote().getAcquireRequestId();
                Operation standby = session.standbys.remove(acquire);
                if (standby == null) {
                    answer.setRefused(refused(Reason.UNKNOWN_REQUEST));
                } else {
                    Answer granted = Answer.newBuilder()
                            .setRequestId(acquire)
                            .setGranted(grant(session, standby))
                            .build();
                    session.answers.put(acquire, granted);
                    reply.addAnswers(granted);
                    answer.setDone(Done.getDefaultInstance());
                }
            }
            case RELEASE -> {
                boolean known = session.held.remove(operation.getRelease().getLockId()) != null;
                if (known) {
                    answer.setDone(Done.getDefaultInstance());
                } else {
                    answer.setRefused(refused(Reason.UNKNOWN_LOCK));
                }
            }
            case LOST_ACK -> {
                session.revoked.remove(operation.getLostAck().getLockId());
                answer.setDone(Done.getDefaultInstance());
            }
            case RECALL_PROGRESS -> answer.setDone(Done.getDefaultInstance());
            case GET_VALUE -> answer.setValue(value);
            case PUT_VALUE -> {
                if (operation.getPutValue().getExpectedVersion() == value.getVersion()) {
                    value = value.toBuilder()
                            .setVersion(value.getVersion() + 1)
                            .setValue(operation.getPutValue().getValue())
                            .build();
                    answer.setValue(value);
                } else {
                    answer.setRefused(refused(Reason.VERSION_MISMATCH).setCurrent(value));
                }
            }
            case CONVERT ->
                change(
                        session,
                        answer,
                        operation.getConvert().getLockId(),
                        lock -> lock.setMode(operation.getConvert().getMode()).setToken(++lastLockId));
            case SHRINK ->
                change(
                        session,
                        answer,
                        operation.getShrink().getLockId(),
                        lock -> lock.setRange(operation.getShrink().getRange()));
            case SPLIT -> {
                Granted whole = session.held.get(operation.getSplit().getLockId());
                long at = operation.getSplit().getAt();
                if (whole == null) {
                    answer.setRefused(refused(Reason.UNKNOWN_LOCK));
                } else {
                    Granted low = whole.toBuilder()
                            .setRange(whole.getRange().toBuilder().setEnd(at))
                            .build();
                    session.held.put(low.getLockId(), low);
                    Range upper = whole.getRange().toBuilder().setStart(at).build();
                    answer.setGrantedAll(GrantedAll.newBuilder()
                            .addLocks(low)
                            .addLocks(grant(session, whole.getVolume(), upper, upper, whole.getMode())));
                }
            }
            case REASSERT -> {
                Granted lock = operation.getReassert().getLock();
                session.held.put(lock.getLockId(), lock);
                answer.setGranted(lock);
            }
            case KIND_NOT_SET -> answer.setRefused(refused(Reason.INVALID_ARGUMENT));
        }
        return answer.build();
    }

    private static void change(
            Session session, Answer.Builder answer, long lockId, UnaryOperator<Granted.Builder> change) {
        Granted lock = session.held.get(lockId);
        if (lock == null) {
            answer.setRefused(refused(Reason.UNKNOWN_LOCK));
        } else {
            Granted changed = change.apply(lock.toBuilder()).build();
            session.held.put(lockId, changed);
            answer.setGranted(changed);
        }
    }

    private Granted grant(Session session, Operation operation) {
        Acquire acquire = operation.getAcquire();
        return grant(
                session,
                acquire.getVolume(),
                acquire.getRange(),
                acquire.hasDesired() ? acquire.getDesired() : acquire.getRange(),
                acquire.getMode());
    }

    private Granted grant(Session session, String volume, Range requested, Range range, Mode mode) {
        Granted granted = Granted.newBuilder()
                .setLockId(++lastLockId)
                .setVolume(volume)
                .setVolumeUuid("u")
                .setRequested(requested)
                .setRange(range)
                .setMode(mode)
                .setToken(lastLockId)
                .build();
        session.held.put(lastLockId, granted);
        return granted;
    }

    private static Refused.Builder refused(Reason reason) {
        return Refused.newBuilder().setReason(reason).setMessage("by the fake");
    }

    private static Event lost(long lockId) {
        return Event.newBuilder()
                .setLost(Lost.newBuilder().setLockId(lockId).setWhy("revoked"))
                .build();
    }

    private static void say(Session session, ServerMessage.Builder message) {
        if (session.stream != null) {
            session.stream.onNext(message.build());
        }
    }
}
