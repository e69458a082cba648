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
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.ValueBlock;
import io.terminus.proto.lock.v1.Welcome;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Session streams and unary calls. gRPC's threads parse and queue; everything that decides runs in steps of the loop.
 *
 * <p>A stream has at most {@value #MESSAGES_IN_WORK} messages in work, then it is not read: the client feels that as
 * back-pressure. What a client is told, and how much of it may wait, is {@link SessionStream}'s.
 */
public final class LockService extends LockServiceGrpc.LockServiceImplBase {

    private static final int MESSAGES_IN_WORK = 4;

    /** Ids of requests that have none of their own; far above what a client that counts from 1 reaches. */
    private static final long FIRST_CHOSEN_REQUEST_ID = 1L << 62;

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
        submit(call, turn -> {
            Opened opened = open(turn, request.getOwner(), request.getTtlMillis());
            turn.afterwards(() -> {
                if (opened.welcome() != null) {
                    call.reply(opened.welcome());
                } else {
                    call.refuse(opened.refusal());
                }
            });
        });
    }

    @Override
    public void closeSession(CloseSessionRequest request, StreamObserver<CloseSessionResponse> out) {
        UnaryCall<CloseSessionResponse> call = new UnaryCall<>(out);
        submit(call, turn -> {
            turn.apply(new Command.CloseSession(request.getSessionId(), "closed by its client"));
            turn.afterwards(() -> call.reply(CloseSessionResponse.getDefaultInstance()));
        });
    }

    @Override
    public void acquireLock(AcquireLockRequest request, StreamObserver<Answer> out) {
        String sessionId = request.getSessionId();
        long requestId = request.getRequestId() == 0 ? chosenRequestIds.getAndIncrement() : request.getRequestId();
        UnaryCall<Answer> call = new UnaryCall<>(out);
        AnswerCaller caller = new AnswerCaller(call);
        call.onCancel(() -> loop.submit(turn -> giveUp(turn, sessionId, requestId, caller)));
        submit(call, turn -> {
            if (call.cancelled()) {
                return;
            }
            desk.expect(sessionId, requestId, caller);
            acquire(turn, sessionId, requestId, request.getAcquire());
        });
    }

    @Override
    public void releaseLock(ReleaseLockRequest request, StreamObserver<Answer> out) {
        UnaryCall<Answer> call = new UnaryCall<>(out);
        submit(call, turn -> {
            long requestId = chosenRequestIds.getAndIncrement();
            desk.expect(request.getSessionId(), requestId, new AnswerCaller(call));
            turn.apply(new Command.Release(request.getSessionId(), requestId, request.getLockId()));
        });
    }

    @Override
    public void getValueBlock(GetValue request, StreamObserver<ValueBlock> out) {
        UnaryCall<ValueBlock> call = new UnaryCall<>(out);
        submit(call, turn -> turn.afterwards(() -> call.reply(Wire.value(turn.table(), request.getVolume()))));
    }

    /** The client's half of a session stream. gRPC calls it from one thread at a time. */
    private final class Inbound implements StreamObserver<ClientMessage> {
        private final ServerCallStreamObserver<ServerMessage> call;
        private final SessionStream stream;
        private boolean first = true;

        /** Empty until attached. Owner thread. */
        private String sessionId = "";

        Inbound(ServerCallStreamObserver<ServerMessage> call) {
            this.call = call;
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
                stream.end(Status.INVALID_ARGUMENT.withDescription("the first message of a session stream must be Attach"));
                return;
            }
            if (!first && message.hasAttach()) {
                stream.end(Status.INVALID_ARGUMENT.withDescription("Attach comes once, as the first message of a stream"));
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
                    stream.end(Status.UNAVAILABLE.withDescription("the lock manager is stopping"));
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
            if (message.hasAttach() && !attach(turn, message.getAttach())) {
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

        /** Returns false if the stream has been ended instead. */
        private boolean attach(Turn turn, Attach attach) {
            Opened opened = attach.getSessionId().isEmpty()
                    ? open(turn, attach.getOwner(), attach.getTtlMillis())
                    : reattach(turn, attach.getSessionId());
            Welcome welcome = opened.welcome();
            if (welcome == null) {
                turn.afterwards(() -> stream.end(Refusals.code(Refusals.toProto(opened.refusal().reason()))
                        .toStatus()
                        .withDescription(opened.refusal().reason() + ": "
                                + opened.refusal().message())));
                return false;
            }
            sessionId = welcome.getSessionId();
            turn.afterwards(() -> desk.attach(sessionId, stream, welcome));
            for (Notice.Lost lost : losses(turn.table(), sessionId)) {
                turn.afterwards(() -> desk.deliver(lost, turn.table(), turn.nowNanos()));
            }
            return true;
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
                turn.apply(new Command.Cancel(
                        sessionId, id, operation.getCancel().getAcquireRequestId()));
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
            case KIND_NOT_SET ->
                refuse(turn, sessionId, id, Reason.INVALID_ARGUMENT, "operation " + id + " does not say what to do");
        }
    }

    private void acquire(Turn turn, String sessionId, long requestId, Acquire acquire) {
        Mode mode = Wire.mode(acquire.getMode());
        if (mode == null) {
            refuse(
                    turn,
                    sessionId,
                    requestId,
                    Reason.INVALID_MODE,
                    "mode " + acquire.getModeValue() + " is not one of 1 (NL) to 6 (EX)");
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
            if (change instanceof Change.VolumeCreated) {
                nextVolumeUuid = UUID.randomUUID().toString();
            }
        }
    }

    /** The caller of a unary acquire has gone: nobody would ever release what it is granted. */
    private void giveUp(Turn turn, String sessionId, long requestId, AnswerCaller caller) {
        if (!desk.expects(sessionId, requestId, caller)) {
            return;
        }
        desk.forget(sessionId, requestId);
        long cancelId = chosenRequestIds.getAndIncrement();
        turn.apply(new Command.Cancel(sessionId, cancelId, requestId));
    }

    private void refuse(Turn turn, String sessionId, long requestId, Reason reason, String message) {
        turn.afterwards(() -> desk.answer(sessionId, Wire.refusal(requestId, reason, message)));
    }

    /** Either a welcome or a refusal. */
    private record Opened(@Nullable Welcome welcome, Notice.Refused refusal) {}

    private static final Notice.Refused NOT_REFUSED = new Notice.Refused("", 0, Reason.INVALID_ARGUMENT, "", "");

    private Opened open(Turn turn, String owner, long ttlMillis) {
        byte[] id = new byte[16];
        random.nextBytes(id);
        String sessionId = HexFormat.of().formatHex(id);
        LockTable.Decision decision = turn.apply(new Command.OpenSession(sessionId, owner, Wire.nanos(ttlMillis)));
        for (Notice notice : decision.notices()) {
            if (notice instanceof Notice.Refused refused) {
                return new Opened(null, refused);
            }
        }
        for (Change change : decision.changes()) {
            if (change instanceof Change.SessionOpened opened) {
                return new Opened(welcome(turn.table(), sessionId, opened.ttlNanos()).build(), NOT_REFUSED);
            }
        }
        throw new IllegalStateException("session " + sessionId + " was neither opened nor refused: " + decision);
    }
}
