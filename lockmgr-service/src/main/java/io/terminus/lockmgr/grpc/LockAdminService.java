package io.terminus.lockmgr.grpc;

import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.terminus.lockmgr.lock.ClaimView;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockQuery.Page;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ConfigureVolumeRequest;
import io.terminus.proto.lock.v1.ConfigureVolumeResponse;
import io.terminus.proto.lock.v1.ContentionBucket;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.ForceReleaseResponse;
import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.GetContentionResponse;
import io.terminus.proto.lock.v1.ListBlockersRequest;
import io.terminus.proto.lock.v1.ListBlockersResponse;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListLocksResponse;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListSessionsResponse;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.ListVolumesResponse;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.SessionInfo;
import io.terminus.proto.lock.v1.VolumeInfo;
import io.terminus.proto.lock.v1.WatchVolumesRequest;
import io.terminus.security.Audit;
import io.terminus.security.grpc.Caller;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongFunction;

/** What an operator may ask and do. Lists come from one moment of the table; locks and waiters come in pages. */
public final class LockAdminService extends LockAdminGrpc.LockAdminImplBase {

    private static final int MAX_PAGE = 1000;
    private static final int MAX_BUCKETS = 1000;
    private static final int BUCKETS = 64;

    /** Answers that concern no session are addressed to this one. */
    private static final String OPERATOR = "";

    private final LockLoop loop;
    private final SessionDesk desk;
    private final Audit audit;
    private final AtomicLong requestIds = new AtomicLong(1);

    public LockAdminService(LockLoop loop, SessionDesk desk, Audit audit) {
        this.loop = loop;
        this.desk = desk;
        this.audit = audit;
    }

    /** The service as gRPC is to serve it. */
    public ServerServiceDefinition bind() {
        return bindService();
    }

    @Override
    public void listVolumes(ListVolumesRequest request, StreamObserver<ListVolumesResponse> out) {
        UnaryCall<ListVolumesResponse> call = new UnaryCall<>(out);
        if (isWrong(call, request.getLimit())) {
            return;
        }
        loop.submit(call.lookingStep(turn -> {
            ListVolumesResponse page = volumes(turn, request.getPageToken(), pageSize(request.getLimit()));
            turn.afterwards(() -> call.reply(page));
        }));
    }

    @Override
    public void watchVolumes(WatchVolumesRequest request, StreamObserver<ListVolumesResponse> out) {
        VolumesWatch.begin(
                loop,
                (ServerCallStreamObserver<ListVolumesResponse>) out,
                (turn, token) -> volumes(turn, token, MAX_PAGE));
    }

    private static ListVolumesResponse volumes(LockLoop.Turn turn, String pageToken, int pageSize) {
        Page<LockTable.VolumeView> page = turn.table().volumes(pageToken, pageSize);
        ListVolumesResponse.Builder response = ListVolumesResponse.newBuilder().setNextPageToken(page.next());
        for (LockTable.VolumeView volume : page.items()) {
            response.addVolumes(VolumeInfo.newBuilder()
                    .setName(volume.name())
                    .setUuid(volume.uuid())
                    .setHeld(volume.held())
                    .setWaiting(volume.waiting())
                    .setValueVersion(volume.valueVersion())
                    .setLockDelayMillis(TimeUnit.NANOSECONDS.toMillis(volume.lockDelayNanos())));
        }
        return response.build();
    }

    @Override
    public void listLocks(ListLocksRequest request, StreamObserver<ListLocksResponse> out) {
        UnaryCall<ListLocksResponse> call = new UnaryCall<>(out);
        if (isWrong(call, request.getLimit())) {
            return;
        }
        Mode mode = Wire.mode(request.getMode());
        if (mode == null && request.getModeValue() != 0) {
            call.fail(Reason.INVALID_MODE, Wire.notAMode(request.getModeValue()));
            return;
        }
        if (request.hasRange() && isWrong(call, request.getRange())) {
            return;
        }
        LockQuery query = new LockQuery(
                request.getVolume(),
                request.getRange().getStart(),
                request.getRange().getEnd(),
                mode,
                request.getSessionId(),
                request.getPageToken(),
                pageSize(request.getLimit()));
        loop.submit(call.lookingStepAt(request.getVolume(), turn -> {
            Page<? extends ClaimView> page;
            try {
                page = request.getWaiting()
                        ? turn.table().waiters(query)
                        : turn.table().locks(query);
            } catch (IllegalArgumentException e) {
                turn.afterwards(() -> call.fail(
                        Reason.INVALID_ARGUMENT, "page_token '" + request.getPageToken() + "' is not one of a page"));
                return;
            }
            ListLocksResponse.Builder response = ListLocksResponse.newBuilder().setNextPageToken(page.next());
            page.items().forEach(claim -> response.addLocks(Wire.info(claim)));
            turn.afterwards(() -> call.reply(response.build()));
        }));
    }

    private static boolean isWrong(UnaryCall<?> call, int limit) {
        boolean wrong = limit < 0 || limit > MAX_PAGE;
        if (wrong) {
            call.fail(
                    Reason.INVALID_ARGUMENT,
                    "limit " + limit + " breaks the rule 1 <= limit <= " + MAX_PAGE + " (0: " + MAX_PAGE + ")");
        }
        return wrong;
    }

    private static int pageSize(int limit) {
        return limit == 0 ? MAX_PAGE : limit;
    }

    private static boolean isWrong(UnaryCall<?> call, Range range) {
        boolean wrong = range.getStart() < 0 || range.getStart() >= range.getEnd();
        if (wrong) {
            call.fail(
                    Reason.INVALID_RANGE,
                    "range [" + range.getStart() + ", " + range.getEnd() + ") breaks the rule 0 <= start < end");
        }
        return wrong;
    }

    @Override
    public void listBlockers(ListBlockersRequest request, StreamObserver<ListBlockersResponse> out) {
        UnaryCall<ListBlockersResponse> call = new UnaryCall<>(out);
        loop.submit(call.lookingStep(turn -> {
            Optional<List<ClaimView>> blockers = turn.table().blockers(request.getSessionId(), request.getRequestId());
            if (blockers.isEmpty()) {
                turn.afterwards(() -> call.fail(
                        Reason.UNKNOWN_REQUEST,
                        "session '" + request.getSessionId() + "' has no request " + request.getRequestId()
                                + " that waits"));
                return;
            }
            ListBlockersResponse.Builder response = ListBlockersResponse.newBuilder();
            blockers.get().forEach(claim -> response.addBlockers(Wire.info(claim)));
            turn.afterwards(() -> call.reply(response.build()));
        }));
    }

    @Override
    public void getContention(GetContentionRequest request, StreamObserver<GetContentionResponse> out) {
        UnaryCall<GetContentionResponse> call = new UnaryCall<>(out);
        if (request.getBuckets() < 0 || request.getBuckets() > MAX_BUCKETS) {
            call.fail(
                    Reason.INVALID_ARGUMENT,
                    request.getBuckets() + " buckets break the rule 1 to " + MAX_BUCKETS + " (0: " + BUCKETS + ")");
            return;
        }
        if (request.hasRange() && isWrong(call, request.getRange())) {
            return;
        }
        loop.submit(call.lookingStepAt(request.getVolume(), turn -> {
            GetContentionResponse.Builder response = GetContentionResponse.newBuilder();
            for (LockQuery.Bucket bucket : turn.table()
                    .contention(
                            request.getVolume(),
                            request.getRange().getStart(),
                            request.getRange().getEnd(),
                            request.getBuckets() == 0 ? BUCKETS : request.getBuckets())) {
                response.addBuckets(ContentionBucket.newBuilder()
                        .setRange(Wire.range(bucket.start(), bucket.end()))
                        .setHeld(bucket.held())
                        .setWaiting(bucket.waiting()));
            }
            turn.afterwards(() -> call.reply(response.build()));
        }));
    }

    @Override
    public void configureVolume(ConfigureVolumeRequest request, StreamObserver<ConfigureVolumeResponse> out) {
        long delayMillis = request.getLockDelayMillis();
        operate(
                "configure-volume",
                request.getVolume() + " lock-delay " + delayMillis + " ms",
                new UnaryCall<>(out),
                ConfigureVolumeResponse.getDefaultInstance(),
                requestId -> new Command.ConfigureVolume(
                        requestId,
                        request.getVolume(),
                        UUID.randomUUID().toString(),
                        TimeUnit.MILLISECONDS.toNanos(delayMillis)));
    }

    @Override
    public void listSessions(ListSessionsRequest request, StreamObserver<ListSessionsResponse> out) {
        UnaryCall<ListSessionsResponse> call = new UnaryCall<>(out);
        if (isWrong(call, request.getLimit())) {
            return;
        }
        loop.submit(call.lookingStep(turn -> {
            Page<LockTable.SessionView> page = turn.table()
                    .sessions(request.getOwnerPrefix(), request.getPageToken(), pageSize(request.getLimit()));
            ListSessionsResponse.Builder response =
                    ListSessionsResponse.newBuilder().setNextPageToken(page.next());
            for (LockTable.SessionView session : page.items()) {
                long leftNanos = Math.max(0, session.leaseEndNanos() - turn.nowNanos());
                response.addSessions(SessionInfo.newBuilder()
                        .setSessionId(session.sessionId())
                        .setOwner(session.owner())
                        .setTtlMillis(TimeUnit.NANOSECONDS.toMillis(session.ttlNanos()))
                        .setExpiresInMillis(TimeUnit.NANOSECONDS.toMillis(leftNanos))
                        .setHeld(session.held())
                        .setWaiting(session.waiting())
                        .setAttached(desk.attached(session.sessionId())));
            }
            turn.afterwards(() -> call.reply(response.build()));
        }));
    }

    @Override
    public void forceRelease(ForceReleaseRequest request, StreamObserver<ForceReleaseResponse> out) {
        operate(
                "force-release",
                request.getVolume() + " lock " + request.getLockId(),
                new UnaryCall<>(out),
                ForceReleaseResponse.getDefaultInstance(),
                requestId -> new Command.ForceRelease(requestId, request.getVolume(), request.getLockId()));
    }

    /** Something an operator does: it is done, kept in the audit log, and answered. */
    private <T> void operate(String action, String what, UnaryCall<T> call, T done, LongFunction<Command> command) {
        String who = Caller.current().toString();
        loop.submit(call.step(turn -> {
            long requestId = requestIds.getAndIncrement();
            desk.expect(OPERATOR, requestId, new SessionDesk.Caller() {
                @Override
                public void answered(Answer answer) {
                    if (answer.hasRefused()) {
                        failed(
                                answer.getRefused().getReason(),
                                answer.getRefused().getMessage());
                    } else {
                        audit.record(who, action, what, "done");
                        call.reply(done);
                    }
                }

                @Override
                public void failed(Reason reason, String message) {
                    audit.record(who, action, what, reason + ": " + message);
                    call.fail(reason, message);
                }
            });
            turn.apply(command.apply(requestId));
        }));
    }
}
