package io.terminus.lockmgr.grpc;

import io.grpc.Status;
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
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.CloseSessionResponse;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.ValueBlock;
import io.terminus.proto.lock.v1.Welcome;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Session streams and unary calls. gRPC's threads parse and queue; everything that decides runs in steps of the loop.
 *
 * <p>A stream has at most {@value #MESSAGES_IN_WORK} messages in work, then it is not read: the client feels that as
 * back-pressure. What a client is told, and how much of it may wait, is {@link SessionStream}'s.
 */
public final class LockService extends LockServiceGrpc.LockServiceImplBase {

    private static final int MESSAGES_IN_WORK = 4;
    private static final int SESSION_ID_BYTES = 16;

    /** Ids of requests that have none of their own; far above what a client that counts from 1 reaches. */
    private static final long FIRST_CHOSEN_REQUEST_ID = 1L << 62;

    private static final String NO_SESSION = "session_id is empty; OpenSession gives one";

    private final LockLoop loop;
    private final SessionDesk desk;
    private final int outboundLimit;
    private final SecureRandom random = new SecureRandom();
    private final AtomicLong chosenRequestIds = new AtomicLong(FIRST_CHOSEN_REQUEST_ID);

    /** Offered with every acquire, used up by one that brings a volume into being. Owner thread. */
    private String nextVolumeUuid = UUID.randomUUID().toString();

    /** @param outboundLimit how many answers and events may wait for a client that does not read them */
    public LockService(LockLoop loop, SessionDesk desk, int outboundLimit) {
        this.loop = loop;
        this.desk = desk;
        this.outboundLimit = outboundLimit;
    }

    @Override
    public StreamObserver<ClientMessage> session(StreamObserver<ServerMessage> out) {
        return new Inbound((ServerCallStreamObserver<ServerMessage>) out);
    }

    @Override
    public void openSession(OpenSessionRequest request, StreamObserver<Welcome> out) {
        UnaryCall<Welcome> call = new UnaryCall<>(out);
        loop.submit(call.step(turn -> {
            Opening opening = open(turn, request.getOwner(), request.getTtlMillis());
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
        loop.submit(call.step(turn -> {
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
        call.onCancel(() -> loop.submit(turn -> giveUp(turn, sessionId, requestId, caller)));
        if (sessionId.isEmpty()) {
            call.fail(io.terminus.proto.lock.v1.Reason.UNKNOWN_SESSION, NO_SESSION);
            return;
        }
        loop.submit(call.step(turn -> {
            if (call.cancelled()) {
                return;
            }
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
        loop.submit(call.step(turn -> {
            long requestId = chosenRequestIds.getAndIncrement();
            desk.expect(request.getSessionId(), requestId, new AnswerCaller(call));
            turn.apply(new Command.Release(request.getSessionId(), requestId, request.getLockId()));
        }));
    }

    @Override
    public void getValueBlock(GetValue request, StreamObserver<ValueBlock> out) {
        UnaryCall<ValueBlock> call = new UnaryCall<>(out);
        loop.submit(call.step(
                turn -> turn.afterwards(() -> call.reply(Wire.value(turn.table(), request.getVolume())))));
    }

    /** The client's half of a session stream. gRPC calls it from one thread at a time. */
    private final class Inbound implements StreamObserver<ClientMessage> {
        private final SessionStream stream;
        private boolean first = true;

        /** Empty until attached. Owner thread. */
        private String sessionId = "";

        Inbound(ServerCallStreamObserver<ServerMessage> call) {
            this.stream = new SessionStream(call, outboundLimit);
            call.disableAutoRequest();
            call.setOnReadyHandler(stream::drain);
            call.setOnCancelHandler(() -> leave(false));
            call.request(MESSAGES_IN_WORK);
        }

        @Override
        public void onNext(ClientMessage message) {
            if (stream.over()) {
                return;
            }
            if (first && !message.hasAttach()) {
                stream.end(Refusals.status(
                        Reason.INVALID_ARGUMENT, "the first message of a session stream must be Attach"));
                return;
            }
            if (!first && message.hasAttach()) {
                stream.end(Refusals.status(
                        Reason.INVALID_ARGUMENT, "Attach comes once, as the first message of a stream"));
                return;
            }
            first = false;
            loop.submit(new Step() {
                @Override
                public void run(Turn turn) {
                    take(message, turn);
                    turn.afterwards(stream::readOn);
                }

                @Override
                public void refused() {
                    stream.abort(Status.UNAVAILABLE
                            .withDescription("the lock manager is stopping")
                            .asRuntimeException());
                }
            });
        }

        @Override
        public void onError(Throwable broken) {
            leave(false);
        }

        @Override
        public void onCompleted() {
            leave(true);
        }

        private void take(ClientMessage message, Turn turn) {
            if (message.hasAttach()) {
                attach(turn, message.getAttach());
            }
            if (!desk.speaksFor(sessionId, stream)) {
                return;
            }
            // A client acknowledges before it asks for more, wherever in the message the acknowledgement stands.
            for (Operation operation : message.getOperationsList()) {
                if (acknowledges(operation)) {
                    operate(turn, sessionId, operation);
                }
            }
            for (Operation operation : message.getOperationsList()) {
                if (!acknowledges(operation)) {
                    operate(turn, sessionId, operation);
                }
            }
            if (message.hasRenew()) {
                turn.apply(new Command.Renew(sessionId, message.getRenew().getSequence()));
            }
        }

        private void attach(Turn turn, Attach attach) {
            Opening opening = attach.getSessionId().isEmpty()
                    ? open(turn, attach.getOwner(), attach.getTtlMillis())
                    : reattach(turn, attach.getSessionId());
            switch (opening) {
                case NotOpened not -> turn.afterwards(() -> stream.end(Refusals.status(not.reason(), not.message())));
                case Opened opened -> {
                    sessionId = opened.welcome().getSessionId();
                    desk.claim(sessionId, stream);
                    turn.afterwards(() -> desk.attach(sessionId, stream, opened.welcome()));
                    // What was said on an older stream may have been lost with it.
                    for (Notice event : turn.table().unansweredEvents(sessionId)) {
                        turn.afterwards(() -> desk.deliver(event, turn.table(), turn.nowNanos()));
                    }
                }
            }
        }

        private void leave(boolean complete) {
            stream.gone(complete);
            loop.submit(turn -> turn.afterwards(() -> desk.detach(sessionId, stream)));
        }
    }

    private static boolean acknowledges(Operation operation) {
        return operation.hasLostAck() || operation.hasRecallProgress();
    }

    private void operate(Turn turn, String sessionId, Operation operation) {
        long id = operation.getRequestId();
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

    private void acquire(Turn turn, String sessionId, long requestId, Acquire acquire) {
        Mode mode = Wire.mode(acquire.getMode());
        if (mode == null) {
            refuse(turn, sessionId, requestId, Reason.INVALID_MODE, Wire.notAMode(acquire.getModeValue()));
            return;
        }
        LockTable.Decision decision = turn.apply(new Command.Acquire(
                sessionId,
                requestId,
                acquire.getVolume(),
                nextVolumeUuid,
                acquire.getRange().getStart(),
                acquire.getRange().getEnd(),
                mode,
                Wire.nanos(acquire.getWaitMillis()),
                acquire.getStandby()));
        for (Change change : decision.changes()) {
            if (change instanceof Change.VolumePut) {
                nextVolumeUuid = UUID.randomUUID().toString();
            }
        }
    }

    /** The caller of a unary acquire has gone: nobody would ever release what it is granted. */
    private void giveUp(Turn turn, String sessionId, long requestId, AnswerCaller caller) {
        SessionDesk.Caller expected = desk.expected(sessionId, requestId);
        if (expected != null && !expected.equals(caller)) {
            return; // the same request came again by another call
        }
        if (expected != null) {
            desk.expect(sessionId, requestId, SessionDesk.NOBODY);
        }
        long cancelId = chosenRequestIds.getAndIncrement();
        desk.expect(sessionId, cancelId, SessionDesk.NOBODY);
        turn.apply(new Command.Cancel(sessionId, cancelId, requestId));
    }

    private void refuse(Turn turn, String sessionId, long requestId, Reason reason, String message) {
        turn.afterwards(() -> desk.answer(sessionId, Wire.refusal(requestId, reason, message)));
    }

    private sealed interface Opening {}

    private record Opened(Welcome welcome) implements Opening {}

    private record NotOpened(Reason reason, String message) implements Opening {}

    private Opening open(Turn turn, String owner, long ttlMillis) {
        byte[] id = new byte[SESSION_ID_BYTES];
        random.nextBytes(id);
        String sessionId = HexFormat.of().formatHex(id);
        LockTable.Decision decision = turn.apply(new Command.OpenSession(sessionId, owner, Wire.nanos(ttlMillis)));
        for (Notice notice : decision.notices()) {
            if (notice instanceof Notice.Refused refused) {
                return new NotOpened(refused.reason(), refused.message());
            }
        }
        return reattach(turn, sessionId);
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
        Welcome.Builder welcome = Welcome.newBuilder()
                .setSessionId(sessionId)
                .setTtlMillis(TimeUnit.NANOSECONDS.toMillis(ttlNanos))
                .setMarginMillis(TimeUnit.NANOSECONDS.toMillis(LockTable.marginNanos(ttlNanos)))
                .setEpoch(table.epoch());
        for (Notice.Granted granted : table.heldBy(sessionId)) {
            welcome.addHeld(Wire.granted(granted));
        }
        return new Opened(welcome.build());
    }
}
