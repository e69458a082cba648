package io.terminus.lockmgr.grpc;

import io.grpc.stub.StreamObserver;
import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockQuery.Page;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.ForceReleaseResponse;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListLocksResponse;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListSessionsResponse;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.ListVolumesResponse;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.SessionInfo;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** What an operator may ask and do. Lists come from one moment of the table; locks and waiters come in pages. */
public final class LockAdminService extends LockAdminGrpc.LockAdminImplBase {

    private static final int MAX_PAGE = 1000;

    /** Answers that concern no session are addressed to this one. */
    private static final String OPERATOR = "";

    private final LockLoop loop;
    private final SessionDesk desk;
    private final AtomicLong requestIds = new AtomicLong(1);

    public LockAdminService(LockLoop loop, SessionDesk desk) {
        this.loop = loop;
        this.desk = desk;
    }

    @Override
    public void listVolumes(ListVolumesRequest request, StreamObserver<ListVolumesResponse> out) {
        UnaryCall<ListVolumesResponse> call = new UnaryCall<>(out);
        loop.submit(call.step(turn -> {
            ListVolumesResponse.Builder response = ListVolumesResponse.newBuilder();
            for (LockTable.VolumeView volume : turn.table().volumes()) {
                response.addVolumes(VolumeInfo.newBuilder()
                        .setName(volume.name())
                        .setUuid(volume.uuid())
                        .setHeld(volume.held())
                        .setWaiting(volume.waiting())
                        .setValueVersion(volume.valueVersion()));
            }
            turn.afterwards(() -> call.reply(response.build()));
        }));
    }

    @Override
    public void listLocks(ListLocksRequest request, StreamObserver<ListLocksResponse> out) {
        UnaryCall<ListLocksResponse> call = new UnaryCall<>(out);
        if (request.getLimit() < 0 || request.getLimit() > MAX_PAGE) {
            call.fail(
                    Reason.INVALID_ARGUMENT,
                    "limit " + request.getLimit() + " breaks the rule 1 <= limit <= " + MAX_PAGE + " (0: " + MAX_PAGE
                            + ")");
            return;
        }
        LockQuery query = new LockQuery(
                request.getVolume(),
                request.getRange().getStart(),
                request.getRange().getEnd(),
                Wire.mode(request.getMode()),
                request.getSessionId(),
                request.getPageToken(),
                request.getLimit() == 0 ? MAX_PAGE : request.getLimit());
        loop.submit(call.step(turn -> {
            ListLocksResponse.Builder response = ListLocksResponse.newBuilder();
            if (request.getWaiting()) {
                Page<WaiterView> waiters = turn.table().waiters(query);
                response.setNextPageToken(waiters.next());
                for (WaiterView waiter : waiters.items()) {
                    response.addLocks(LockInfo.newBuilder()
                            .setId(waiter.id())
                            .setVolume(waiter.volume())
                            .setRange(Wire.range(waiter.start(), waiter.end()))
                            .setMode(Wire.mode(waiter.mode()))
                            .setSessionId(waiter.sessionId())
                            .setOwner(waiter.owner())
                            .setStandby(waiter.standby())
                            .addAllBlockedBy(waiter.blockedBy()));
                }
            } else {
                Page<LockView> locks = turn.table().locks(query);
                response.setNextPageToken(locks.next());
                for (LockView lock : locks.items()) {
                    response.addLocks(LockInfo.newBuilder()
                            .setId(lock.id())
                            .setVolume(lock.volume())
                            .setRange(Wire.range(lock.start(), lock.end()))
                            .setMode(Wire.mode(lock.mode()))
                            .setToken(lock.token())
                            .setSessionId(lock.sessionId())
                            .setOwner(lock.owner())
                            .setRevoked(lock.revoked())
                            .setRecalled(lock.recalled()));
                }
            }
            turn.afterwards(() -> call.reply(response.build()));
        }));
    }

    @Override
    public void listSessions(ListSessionsRequest request, StreamObserver<ListSessionsResponse> out) {
        UnaryCall<ListSessionsResponse> call = new UnaryCall<>(out);
        loop.submit(call.step(turn -> {
            ListSessionsResponse.Builder response = ListSessionsResponse.newBuilder();
            for (LockTable.SessionView session : turn.table().sessions()) {
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
        UnaryCall<ForceReleaseResponse> call = new UnaryCall<>(out);
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
                        call.reply(ForceReleaseResponse.getDefaultInstance());
                    }
                }

                @Override
                public void failed(Reason reason, String message) {
                    call.fail(reason, message);
                }
            });
            turn.apply(new Command.ForceRelease(requestId, request.getVolume(), request.getLockId()));
        }));
    }
}
