package io.terminus.lockmgr.grpc;

import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.terminus.lockmgr.grpc.LockLoop.Step;
import io.terminus.lockmgr.grpc.LockLoop.Turn;
import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Reason;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.CloseSessionResponse;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.OperateRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Part;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.ValueBlock;
import io.terminus.proto.lock.v1.WatchMessage;
import io.terminus.proto.lock.v1.WatchRequest;
import io.terminus.proto.lock.v1.Welcome;
import io.terminus.security.Identity;
import io.terminus.security.Role;
import io.terminus.security.grpc.Caller;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Session streams and unary calls. gRPC's threads parse and queue; everything that decides runs in steps of the loop.
 *
 * <p>What comes on a session stream is heard on the event loop that read it, which must never wait. When it has read all that
 * there was to read, of all its streams, it runs a turn by itself, so that nobody has to be woken for it and what came
 * together is done together.
 *
 * <p>The session method sends bytes that were written as they go out, see {@link ServerMessageWriter}.
 *
 * <p>A stream has at most {@value #MESSAGES_IN_WORK} messages in work, then it is not read: the client feels that as
 * back-pressure. What a client is told, and how much of it may wait, is {@link SessionStream}'s.
 */
public final class LockService {

    static final int MESSAGES_IN_WORK = 16;
    private static final int SESSION_ID_BYTES = 16;

    /** Ids of requests that have none of their own; far above what a client that counts from 1 reaches. */
    private static final long FIRST_CHOSEN_REQUEST_ID = 1L << 62;

    private static final int CHOSEN_BITS = 38;

    private static final String NO_SESSION = "session_id is empty; OpenSession gives one";

    /** The most that a client's library takes, and what a session's locks are told in when it comes back. */
    private static final int MAX_WELCOME_BYTES = 256 << 20;

    private final LockLoop loop;
    private final SessionDesk desk;
    private final WatchDesk watches;
    private final ServiceLimits limits;
    private final Supplier<@Nullable Executor> eventLoop;
    private final SecureRandom random = new SecureRandom();
    private final AtomicLong chosenRequestIds;

    /** Offered with every acquire, used up by one that brings a volume into being. Owner thread. */
    private String nextVolumeUuid = UUID.randomUUID().toString();

    /** The call that asked last, until that call is over. As many as there are calls at most. Owner of the turn. */
    private final Map<UnaryAcquire, AnswerCaller> lastAskers = new HashMap<>();

    private record UnaryAcquire(String sessionId, long requestId) {}

    /** Sessions opened anew in this recovery; as many as there are sessions at most. Owner thread. */
    private final Set<String> reopened = new HashSet<>();

    /**
     * @param epoch of this start: ids chosen in it are above those of starts before, which locks may remember
     * @param eventLoop of the calling thread, whose tasks come behind what it is reading; null where there is none
     */
    public LockService(
            LockLoop loop,
            SessionDesk desk,
            WatchDesk watches,
            ServiceLimits limits,
            long epoch,
            Supplier<@Nullable Executor> eventLoop) {
        this.loop = loop;
        this.desk = desk;
        this.watches = watches;
        this.limits = limits;
        this.eventLoop = eventLoop;
        this.chosenRequestIds = new AtomicLong(FIRST_CHOSEN_REQUEST_ID + (epoch << CHOSEN_BITS));
    }

    /** The methods as {@link #bind} binds them, each of which does nothing. */
    public static ServerServiceDefinition shape(int longestMessageBytes) {
        return EncodedSession.bind(
                new LockServiceGrpc.LockServiceImplBase() {}.bindService(), longestMessageBytes, out -> {
                    throw new UnsupportedOperationException("nobody serves this");
                });
    }

    /** The service as gRPC is to serve it. */
    public ServerServiceDefinition bind() {
        return EncodedSession.bind(
                new Calls().bindService(),
                limits.messageBytes(),
                out -> new Inbound((ServerCallStreamObserver<byte[]>) out));
    }

    /** The calls that have one answer, and the watch. */
    private final class Calls extends LockServiceGrpc.LockServiceImplBase {
        @Override
        public void openSession(OpenSessionRequest request, StreamObserver<Welcome> out) {
            UnaryCall<Welcome> call = new UnaryCall<>(out);
            String why = SessionOwners.refusal(Caller.current().identity(), request.getOwner());
            if (why != null) {
                call.deny(why);
                return;
            }
            loop.submit(call.step(turn -> {
                Opening opening = open(turn, newSessionId(turn), request.getOwner(), request.getTtlMillis());
                turn.afterwards(() -> {
                    switch (opening) {
                        case Opened opened -> call.reply(opened.welcome());
                        case NotOpened not -> call.fail(Refusals.toProto(not.reason()), not.message());
                    }
                });
            }));
        }

        @Override
        public void closeSession(CloseSessionRequest request, StreamObserver<CloseSessionResponse> out) {
            UnaryCall<CloseSessionResponse> call = new UnaryCall<>(out);
            Identity who = Caller.current().identity();
            loop.submit(call.heavyStep(turn -> {
                // Operators end any session, as they do over REST.
                String why = who.has(Role.OPERATOR)
                        ? null
                        : SessionOwners.refusal(who, turn.table(), request.getSessionId());
                if (why != null) {
                    turn.afterwards(() -> call.deny(why));
                    return;
                }
                turn.apply(new Command.CloseSession(request.getSessionId(), "closed by its client"));
                turn.afterwards(() -> call.reply(CloseSessionResponse.getDefaultInstance()));
            }));
        }

        @Override
        public void acquireLock(AcquireLockRequest request, StreamObserver<Answer> out) {
            String sessionId = request.getSessionId();
            long requestId = request.getRequestId() == 0 ? chosenRequestIds.getAndIncrement() : request.getRequestId();
            UnaryCall<Answer> call = new UnaryCall<>(out);
            AnswerCaller caller = new AnswerCaller(call);
            UnaryAcquire asked = new UnaryAcquire(sessionId, requestId);
            giveUpWithTheCall(call, asked, caller);
            if (sessionId.isEmpty()) {
                call.fail(io.terminus.proto.lock.v1.Reason.UNKNOWN_SESSION, NO_SESSION);
                return;
            }
            loop.submit(call.stepFor(sessionId, turn -> {
                if (call.cancelled()) {
                    return;
                }
                lastAskers.put(asked, caller);
                desk.expect(sessionId, requestId, caller);
                acquire(turn, sessionId, requestId, request.getAcquire());
            }));
        }

        @Override
        public void releaseLock(ReleaseLockRequest request, StreamObserver<Answer> out) {
            UnaryCall<Answer> call = new UnaryCall<>(out);
            if (request.getSessionId().isEmpty()) {
                call.fail(io.terminus.proto.lock.v1.Reason.UNKNOWN_SESSION, NO_SESSION);
                return;
            }
            loop.submit(call.stepFor(request.getSessionId(), turn -> {
                long requestId = chosenRequestIds.getAndIncrement();
                desk.expect(request.getSessionId(), requestId, new AnswerCaller(call));
                turn.apply(new Command.Release(request.getSessionId(), requestId, request.getLockId()));
            }));
        }

        @Override
        public void getValueBlock(GetValue request, StreamObserver<ValueBlock> out) {
            UnaryCall<ValueBlock> call = new UnaryCall<>(out);
            loop.submit(call.lookingStepAt(
                    request.getVolume(),
                    turn -> turn.afterwards(() -> call.reply(Wire.value(turn.table(), request.getVolume())))));
        }

        @Override
        public void operate(OperateRequest request, StreamObserver<Answer> out) {
            UnaryCall<Answer> call = new UnaryCall<>(out);
            AnswerCaller caller = new AnswerCaller(call);
            String sessionId = request.getSessionId();
            Operation operation = request.getOperation();
            long requestId =
                    operation.getRequestId() == 0 ? chosenRequestIds.getAndIncrement() : operation.getRequestId();
            UnaryAcquire asked = new UnaryAcquire(sessionId, requestId);
            if (operation.hasAcquire()) {
                giveUpWithTheCall(call, asked, caller);
            }
            if (sessionId.isEmpty()) {
                call.fail(io.terminus.proto.lock.v1.Reason.UNKNOWN_SESSION, NO_SESSION);
                return;
            }
            loop.submit(call.stepFor(sessionId, turn -> {
                if (!call.cancelled()) {
                    if (operation.hasAcquire()) {
                        lastAskers.put(asked, caller);
                    }
                    desk.expect(sessionId, requestId, caller);
                    LockService.this.operate(turn, sessionId, requestId, operation);
                }
            }));
        }

        @Override
        public void watch(WatchRequest request, StreamObserver<WatchMessage> out) {
            ServerCallStreamObserver<WatchMessage> call = (ServerCallStreamObserver<WatchMessage>) out;
            Watching watching = new Watching(request.getVolume(), call);
            call.setOnReadyHandler(watching::ready);
            call.setOnCancelHandler(watching::leave);
            loop.submit(watching);
        }
    }

    /** A watch, from its call to its end. */
    private final class Watching implements Step {
        private final Watcher watcher;

        Watching(String volume, ServerCallStreamObserver<WatchMessage> call) {
            // The owner of the loop asks as well, and must not wait for room in its own queue.
            this.watcher = new Watcher(
                    volume,
                    limits.watchBacklog(),
                    call,
                    w -> Thread.startVirtualThread(() -> loop.submit(turn -> watches.next(turn, w))));
        }

        @Override
        public void run(Turn turn) {
            watches.open(turn, watcher);
        }

        @Override
        public void refused() {
            watcher.end(stopping());
        }

        void ready() {
            watcher.send();
            watcher.askForPiece();
        }

        void leave() {
            watcher.gone();
            loop.submit(turn -> watches.leave(turn, watcher));
        }
    }

    private static StatusRuntimeException stopping() {
        return Status.UNAVAILABLE
                .withDescription("the lock manager is stopping")
                .asRuntimeException();
    }

    /**
     * The client's half of a session stream. gRPC calls it from one thread at a time, which must not wait here; what is queued
     * is bounded by {@link #MESSAGES_IN_WORK}, and a few steps at the end.
     */
    private final class Inbound implements StreamObserver<SessionMessage> {
        private final SessionStream stream;
        private final Identity who = Caller.current().identity();
        private boolean first = true;
        private boolean refused;

        /** The event loop of this stream, once it is known. */
        private volatile @Nullable Executor here;

        /** On its way to the end of what the event loop is reading. The first calls come from another thread. */
        private final AtomicBoolean turnAsked = new AtomicBoolean();

        /** Empty until attached. Owner of the turn. */
        private String sessionId = "";

        /** Messages of this turn. Owner of the turn. */
        private int taken;

        Inbound(ServerCallStreamObserver<byte[]> call) {
            this.stream = new SessionStream(call, limits.outbound());
            call.disableAutoRequest();
            call.setOnReadyHandler(stream::drain);
            call.setOnCancelHandler(() -> leave(false));
            call.request(MESSAGES_IN_WORK);
        }

        @Override
        public void onNext(SessionMessage message) {
            if (refused || stream.over()) {
                return;
            }
            if (EncodedSession.isTooLong(message)) {
                endWith(
                        Reason.LIMIT_EXCEEDED,
                        "a message is longer than the longest allowed, " + limits.messageBytes() + " bytes");
                return;
            }
            if (first && message.attach() == null) {
                endWith(Reason.INVALID_ARGUMENT, "the first message of a session stream must be Attach");
                return;
            }
            if (!first && message.attach() != null) {
                endWith(Reason.INVALID_ARGUMENT, "Attach comes once, as the first message of a stream");
                return;
            }
            first = false;
            enqueue(new Step() {
                @Override
                public void run(Turn turn) {
                    take(message, turn);
                    // Not one by one: from another thread each time would wake the event loop.
                    if (++taken == 1) {
                        turn.aside(Inbound.this::readOn);
                    }
                }

                @Override
                public int operations() {
                    return message.operations().size();
                }

                /** Who comes back is told all that it holds. */
                @Override
                public boolean heavy() {
                    Attach attach = message.attach();
                    return attach != null && !attach.getSessionId().isEmpty();
                }

                @Override
                public void refused() {
                    stream.abort(stopping());
                }

                /** Mostly the stream is over by now; not if this was to attach it. */
                @Override
                public void unknown(String why) {
                    stream.abort(Status.UNAVAILABLE.withDescription(why).asRuntimeException());
                }
            });
        }

        private void readOn() {
            int more = taken;
            taken = 0;
            Executor eventLoopOfStream = here;
            if (eventLoopOfStream == null) {
                stream.readOn(more);
            } else {
                // Behind the turn: on that thread, what has come already is parsed and heard at once.
                eventLoopOfStream.execute(() -> stream.readOn(more));
            }
        }

        private void enqueue(Step step) {
            Executor loopOfThisThread = here;
            if (loopOfThisThread == null) {
                loopOfThisThread = eventLoop.get();
                here = loopOfThisThread;
            }
            loop.enqueue(step);
            if (loopOfThisThread == null) {
                loop.turn();
            } else if (!turnAsked.get() && turnAsked.compareAndSet(false, true)) {
                loopOfThisThread.execute(this::turn);
            }
        }

        private void turn() {
            turnAsked.set(false);
            loop.turn();
        }

        @Override
        public void onError(Throwable broken) {
            leave(false);
        }

        @Override
        public void onCompleted() {
            leave(true);
        }

        /** Ends the stream, behind the answers to what came before. The owner thread does it: the stream is its own. */
        private void endWith(Reason reason, String message) {
            refused = true;
            StatusRuntimeException status = Refusals.status(reason, message);
            enqueue(new Step() {
                @Override
                public void run(Turn turn) {
                    turn.afterwards(() -> stream.end(status));
                }

                @Override
                public void refused() {
                    stream.abort(status);
                }

                @Override
                public void unknown(String why) {
                    stream.abort(status);
                }
            });
        }

        private void take(SessionMessage message, Turn turn) {
            Attach attach = message.attach();
            if (attach != null) {
                attach(turn, attach);
            }
            if (!desk.speaksFor(sessionId, stream)) {
                return;
            }
            operateAll(turn, message.operations());
            if (message.renews()) {
                String renewing = sessionId;
                turn.renew(new Command.Renew(renewing, message.renewal()), () -> desk.speaksFor(renewing, stream));
            }
        }

        /** A client acknowledges before it asks for more, wherever in the message the acknowledgement stands. */
        private void operateAll(Turn turn, List<SessionMessage.Asked> operations) {
            int count = operations.size();
            if (count > limits.operationsPerMessage()) {
                for (SessionMessage.Asked operation : operations) {
                    refuse(
                            turn,
                            sessionId,
                            operation.requestId(),
                            Reason.LIMIT_EXCEEDED,
                            "one of " + count + " operations in a message; the most allowed are "
                                    + limits.operationsPerMessage() + ", and none of these was done");
                }
                return;
            }
            int acknowledgements = 0;
            for (int i = 0; i < count; i++) {
                if (operations.get(i) instanceof SessionMessage.Other other && other.acknowledges()) {
                    acknowledgements++;
                    operate(turn, sessionId, other.requestId(), other.operation());
                }
            }
            for (int i = 0; acknowledgements < count && i < count; i++) {
                switch (operations.get(i)) {
                    case SessionMessage.Acquire acquire -> acquire(turn, sessionId, acquire);
                    case SessionMessage.Release release ->
                        turn.apply(new Command.Release(sessionId, release.requestId(), release.lockId()));
                    case SessionMessage.Other other -> {
                        if (!other.acknowledges()) {
                            operate(turn, sessionId, other.requestId(), other.operation());
                        }
                    }
                }
            }
        }

        private void attach(Turn turn, Attach attach) {
            // One that is opened anew after a loss of memory is known by its owner alone.
            boolean opens = attach.getSessionId().isEmpty()
                    || (attach.getMayReassert()
                            && turn.table().session(attach.getSessionId()).isEmpty());
            String why = opens
                    ? SessionOwners.refusal(who, attach.getOwner())
                    : SessionOwners.refusal(who, turn.table(), attach.getSessionId());
            if (why != null) {
                turn.afterwards(() ->
                        stream.end(Status.PERMISSION_DENIED.withDescription(why).asRuntimeException()));
                return;
            }
            Opening opening = attach.getSessionId().isEmpty()
                    ? open(turn, newSessionId(turn), attach.getOwner(), attach.getTtlMillis())
                    : attach.getMayReassert() ? reopen(turn, attach) : reattach(turn, attach.getSessionId());
            switch (opening) {
                case NotOpened not -> turn.afterwards(() -> stream.end(Refusals.status(not.reason(), not.message())));
                case Opened opened -> {
                    String id = opened.welcome().getSessionId();
                    byte[] welcome = encode(opened, turn.table().heldBy(id));
                    if (welcome.length > MAX_WELCOME_BYTES) {
                        turn.afterwards(() -> stream.end(Refusals.status(
                                Reason.LIMIT_EXCEEDED,
                                "what session " + id + " holds takes " + welcome.length
                                        + " bytes to tell; the most that can be told are " + MAX_WELCOME_BYTES)));
                        return;
                    }
                    sessionId = id;
                    desk.claim(sessionId, stream);
                    turn.afterwards(() -> desk.attach(sessionId, stream, welcome));
                    // What was said on an older stream may have been lost with it.
                    for (Notice event : turn.table().unansweredEvents(sessionId)) {
                        turn.afterwards(() -> desk.deliver(event, turn.table(), turn.nowNanos()));
                    }
                }
            }
        }

        private void leave(boolean complete) {
            stream.gone(complete);
            enqueue(turn -> turn.aside(() -> desk.detach(sessionId, stream)));
        }
    }

    private void operate(Turn turn, String sessionId, long id, Operation operation) {
        switch (operation.getKindCase()) {
            case ACQUIRE -> acquire(turn, sessionId, id, operation.getAcquire());
            case CANCEL ->
                turn.apply(
                        new Command.Cancel(sessionId, id, operation.getCancel().getAcquireRequestId()));
            case RELEASE ->
                turn.apply(new Command.Release(
                        sessionId, id, operation.getRelease().getLockId()));
            case GET_VALUE -> {
                String volume = operation.getGetValue().getVolume();
                String elsewhere = turn.table().share().refusal(volume);
                if (elsewhere != null) {
                    refuse(turn, sessionId, id, Reason.INVALID_ARGUMENT, elsewhere);
                    return;
                }
                turn.afterwards(() -> desk.answer(
                        sessionId,
                        Answer.newBuilder()
                                .setRequestId(id)
                                .setValue(Wire.value(turn.table(), volume))
                                .build()));
            }
            case PUT_VALUE -> {
                var put = operation.getPutValue();
                turn.apply(new Command.PutValue(
                        sessionId,
                        id,
                        put.getVolume(),
                        put.getLockId(),
                        put.getExpectedVersion(),
                        put.getValue().toByteArray()));
            }
            case PROMOTE -> {
                var promote = operation.getPromote();
                turn.apply(new Command.Promote(
                        sessionId, id, promote.getAcquireRequestId(), Wire.nanos(promote.getWaitMillis())));
            }
            case LOST_ACK ->
                turn.apply(new Command.AckLost(
                        sessionId, id, operation.getLostAck().getLockId()));
            case RECALL_PROGRESS -> {
                var progress = operation.getRecallProgress();
                turn.apply(new Command.Progress(sessionId, id, progress.getLockId(), progress.getProgress()));
            }
            case CONVERT -> {
                var convert = operation.getConvert();
                Mode mode = Wire.mode(convert.getMode());
                if (mode == null) {
                    refuse(turn, sessionId, id, Reason.INVALID_MODE, Wire.notAMode(convert.getModeValue()));
                } else {
                    turn.apply(new Command.Convert(
                            sessionId, id, convert.getLockId(), mode, Wire.nanos(convert.getWaitMillis())));
                }
            }
            case SHRINK -> {
                var shrink = operation.getShrink();
                turn.apply(new Command.Shrink(
                        sessionId,
                        id,
                        shrink.getLockId(),
                        shrink.getRange().getStart(),
                        shrink.getRange().getEnd()));
            }
            case SPLIT -> {
                var split = operation.getSplit();
                turn.apply(new Command.Split(sessionId, id, split.getLockId(), split.getAt()));
            }
            case REASSERT ->
                reassert(turn, sessionId, id, operation.getReassert().getLock());
            case KIND_NOT_SET ->
                refuse(turn, sessionId, id, Reason.INVALID_ARGUMENT, "operation " + id + " does not say what to do");
        }
    }

    private void reassert(Turn turn, String sessionId, long requestId, Granted lock) {
        Mode mode = Wire.mode(lock.getMode());
        if (mode == null) {
            refuse(turn, sessionId, requestId, Reason.INVALID_MODE, Wire.notAMode(lock.getModeValue()));
            return;
        }
        Range requested = lock.hasRequested() ? lock.getRequested() : lock.getRange();
        turn.apply(new Command.Reassert(
                sessionId,
                requestId,
                lock.getVolume(),
                lock.getVolumeUuid(),
                requested.getStart(),
                requested.getEnd(),
                lock.getRange().getStart(),
                lock.getRange().getEnd(),
                mode,
                lock.getLockId(),
                lock.getToken()));
    }

    private void acquire(Turn turn, String sessionId, SessionMessage.Acquire acquire) {
        Mode mode = Wire.mode(io.terminus.proto.lock.v1.Mode.forNumber(acquire.mode()));
        if (mode == null) {
            refuse(turn, sessionId, acquire.requestId(), Reason.INVALID_MODE, Wire.notAMode(acquire.mode()));
            return;
        }
        apply(
                turn,
                new Command.Acquire(
                        sessionId,
                        acquire.requestId(),
                        acquire.volume(),
                        nextVolumeUuid,
                        acquire.start(),
                        acquire.end(),
                        mode,
                        Wire.nanos(acquire.waitMillis()),
                        false));
    }

    private void acquire(Turn turn, String sessionId, long requestId, Acquire acquire) {
        Mode mode = Wire.mode(acquire.getMode());
        if (mode == null) {
            refuse(turn, sessionId, requestId, Reason.INVALID_MODE, Wire.notAMode(acquire.getModeValue()));
            return;
        }
        int ranges = 1 + acquire.getAlsoCount();
        if (ranges > limits.rangesPerRequest()) {
            refuse(
                    turn,
                    sessionId,
                    requestId,
                    Reason.LIMIT_EXCEEDED,
                    "request for " + ranges + " ranges; the most allowed are " + limits.rangesPerRequest());
            return;
        }
        List<Command.Part> also = List.of();
        if (ranges > 1) {
            also = new ArrayList<>(ranges - 1);
            for (Part part : acquire.getAlsoList()) {
                Mode ofPart = Wire.mode(part.getMode());
                if (ofPart == null) {
                    refuse(turn, sessionId, requestId, Reason.INVALID_MODE, Wire.notAMode(part.getModeValue()));
                    return;
                }
                also.add(new Command.Part(
                        part.getVolume(),
                        UUID.randomUUID().toString(),
                        part.getRange().getStart(),
                        part.getRange().getEnd(),
                        ofPart));
            }
        }
        Range range = acquire.getRange();
        Range desired = acquire.getDesired();
        apply(
                turn,
                new Command.Acquire(
                        sessionId,
                        requestId,
                        acquire.getVolume(),
                        nextVolumeUuid,
                        range.getStart(),
                        range.getEnd(),
                        mode,
                        Wire.nanos(acquire.getWaitMillis()),
                        acquire.getStandby(),
                        desired.getStart(),
                        desired.getEnd(),
                        also));
    }

    private void apply(Turn turn, Command.Acquire acquire) {
        LockTable.Decision decision = turn.apply(acquire);
        // A volume is the first thing a decision says if it came into being.
        if (!decision.changes().isEmpty() && decision.changes().getFirst() instanceof Change.VolumePut) {
            nextVolumeUuid = UUID.randomUUID().toString();
        }
    }

    private void giveUpWithTheCall(UnaryCall<Answer> call, UnaryAcquire asked, AnswerCaller caller) {
        call.onCancel(() -> loop.submit(turn -> giveUp(turn, asked, caller)));
        call.onClose(() -> loop.submit(turn -> lastAskers.remove(asked, caller)));
    }

    /** The caller of a unary acquire has gone: nobody would ever release what it is granted. */
    private void giveUp(Turn turn, UnaryAcquire asked, AnswerCaller caller) {
        if (!lastAskers.remove(asked, caller)) {
            return; // it never asked, or another call asked the same since, and was told the same
        }
        if (desk.expected(asked.sessionId, asked.requestId) != null) {
            desk.expect(asked.sessionId, asked.requestId, SessionDesk.NOBODY);
        }
        long cancelId = chosenRequestIds.getAndIncrement();
        desk.expect(asked.sessionId, cancelId, SessionDesk.NOBODY);
        turn.apply(new Command.Cancel(asked.sessionId, cancelId, asked.requestId));
    }

    private void refuse(Turn turn, String sessionId, long requestId, Reason reason, String message) {
        turn.afterwards(() -> desk.answer(sessionId, Wire.refusal(requestId, reason, message)));
    }

    private sealed interface Opening {}

    /** The welcome lacks what the session holds. */
    private record Opened(Welcome welcome, boolean isNew) implements Opening {}

    private record NotOpened(Reason reason, String message) implements Opening {}

    private String newSessionId(Turn turn) {
        byte[] id = new byte[SESSION_ID_BYTES];
        random.nextBytes(id);
        return Groups.sessionPrefix(turn.table().share().group())
                + HexFormat.of().formatHex(id);
    }

    private Opening open(Turn turn, String sessionId, String owner, long ttlMillis) {
        LockTable.Decision decision = turn.apply(new Command.OpenSession(sessionId, owner, Wire.nanos(ttlMillis)));
        for (Notice notice : decision.notices()) {
            if (notice instanceof Notice.Refused refused) {
                return new NotOpened(refused.reason(), refused.message());
            }
        }
        return switch (reattach(turn, sessionId)) {
            case Opened opened -> new Opened(opened.welcome(), true);
            case NotOpened not -> not;
        };
    }

    /** The session, or one anew under its id if the table may have forgotten it. */
    private Opening reopen(Turn turn, Attach attach) {
        String sessionId = attach.getSessionId();
        if (!turn.table().recovering()) {
            reopened.clear();
            return reattach(turn, sessionId);
        }
        Opening opening = turn.table().session(sessionId).isPresent()
                ? reattach(turn, sessionId)
                : open(turn, sessionId, attach.getOwner(), attach.getTtlMillis());
        if (!(opening instanceof Opened opened)) {
            return opening;
        }
        // A stream that broke before all was asserted goes on asserting on the next one.
        boolean reassert = opened.isNew() || reopened.contains(sessionId);
        if (reassert) {
            reopened.add(sessionId);
        }
        return new Opened(opened.welcome().toBuilder().setReassert(reassert).build(), opened.isNew());
    }

    private static Opening reattach(Turn turn, String sessionId) {
        LockTable table = turn.table();
        Optional<LockTable.SessionView> session = table.session(sessionId);
        if (session.isEmpty()) {
            return new NotOpened(
                    Reason.UNKNOWN_SESSION,
                    "session '" + sessionId + "' is not known: it has ended, and what it held is released");
        }
        long ttlNanos = session.get().ttlNanos();
        int groups = table.share().groups();
        return new Opened(
                Welcome.newBuilder()
                        .setSessionId(sessionId)
                        .setTtlMillis(TimeUnit.NANOSECONDS.toMillis(ttlNanos))
                        .setMarginMillis(TimeUnit.NANOSECONDS.toMillis(LockTable.marginNanos(ttlNanos)))
                        .setEpoch(table.epoch())
                        .setGroups(groups == 1 ? 0 : groups)
                        .build(),
                false);
    }

    /**
     * A ServerMessage with the welcome and what the session holds. It is one message however much that is: 80 to 100 bytes a
     * lock, so a million locks are some 90 MB for a moment, which the limits of a session bound.
     */
    private static byte[] encode(Opened opened, List<Notice.Granted> held) {
        ServerMessageWriter welcome = new ServerMessageWriter();
        welcome.message(opened.welcome());
        for (Notice.Granted granted : held) {
            welcome.granted(Welcome.HELD_FIELD_NUMBER, granted);
        }
        ServerMessageWriter message = new ServerMessageWriter();
        message.field(ServerMessage.WELCOME_FIELD_NUMBER, welcome);
        return message.take();
    }
}
