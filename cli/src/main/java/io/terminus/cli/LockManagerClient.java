package io.terminus.cli;

import io.terminus.proto.lock.v1.ConfigureVolumeRequest;
import io.terminus.proto.lock.v1.ContentionBucket;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.ListBlockersRequest;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListLocksResponse;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListSessionsResponse;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.ListVolumesResponse;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.SessionInfo;
import io.terminus.proto.lock.v1.VolumeInfo;
import io.terminus.proto.lock.v1.WatchMessage;
import io.terminus.proto.lock.v1.WatchRequest;
import io.terminus.proto.lock.v1.WatchVolumesRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** What the command line asks of the lock manager. Calls throw {@link CallFailure}. */
final class LockManagerClient implements AutoCloseable {

    private static final int PAGE = 1000;

    /** A list is for people: a million locks are counted by {@link #volumes}, not printed. */
    static final int LONGEST_LIST = 10_000;

    private final Connection connection;
    private final LockAdminGrpc.LockAdminBlockingStub stub;

    LockManagerClient(PortPlan ports, Duration deadline) {
        this.connection = new Connection(SetMember.LOCKMGR, ports, deadline);
        this.stub = LockAdminGrpc.newBlockingStub(connection.channel());
    }

    Connection connection() {
        return connection;
    }

    List<VolumeInfo> volumes() {
        List<VolumeInfo> volumes = new ArrayList<>();
        String pageToken = "";
        do {
            ListVolumesRequest request =
                    ListVolumesRequest.newBuilder().setPageToken(pageToken).build();
            ListVolumesResponse page =
                    connection.call(() -> connection.timed(stub).listVolumes(request));
            volumes.addAll(page.getVolumesList());
            pageToken = page.getNextPageToken();
        } while (!pageToken.isEmpty());
        return volumes;
    }

    /** Tells of the volumes as they change, until the lock manager or this connection ends. Has no deadline. */
    void watchVolumes(Consumer<List<VolumeInfo>> to) {
        connection.call(() -> {
            List<VolumeInfo> volumes = new ArrayList<>();
            stub.watchVolumes(WatchVolumesRequest.getDefaultInstance()).forEachRemaining(page -> {
                volumes.addAll(page.getVolumesList());
                if (page.getNextPageToken().isEmpty()) {
                    to.accept(List.copyOf(volumes));
                    volumes.clear();
                }
            });
            return true;
        });
    }

    /** Holders, or waiters, of one volume; at most {@link #LONGEST_LIST}. */
    List<LockInfo> locks(ListLocksRequest query) {
        List<LockInfo> locks = new ArrayList<>();
        String pageToken = "";
        while (locks.size() < LONGEST_LIST) {
            ListLocksRequest request =
                    query.toBuilder().setLimit(PAGE).setPageToken(pageToken).build();
            ListLocksResponse page =
                    connection.call(() -> connection.timed(stub).listLocks(request));
            locks.addAll(page.getLocksList());
            pageToken = page.getNextPageToken();
            if (pageToken.isEmpty()) {
                break;
            }
        }
        return locks;
    }

    /** What is in the way of a request that waits. */
    List<LockInfo> blockers(String sessionId, long requestId) {
        ListBlockersRequest request = ListBlockersRequest.newBuilder()
                .setSessionId(sessionId)
                .setRequestId(requestId)
                .build();
        return connection.call(
                () -> connection.timed(stub).listBlockers(request).getBlockersList());
    }

    List<ContentionBucket> contention(GetContentionRequest request) {
        return connection.call(
                () -> connection.timed(stub).getContention(request).getBucketsList());
    }

    void configure(String volume, Duration lockDelay) {
        ConfigureVolumeRequest request = ConfigureVolumeRequest.newBuilder()
                .setVolume(volume)
                .setLockDelayMillis(lockDelay.toMillis())
                .build();
        connection.call(() -> connection.timed(stub).configureVolume(request));
    }

    /** Shows what comes until the consumer returns false or the lock manager ends it. Has no deadline. */
    void watch(String volume, Predicate<WatchMessage> to) {
        WatchRequest request = WatchRequest.newBuilder().setVolume(volume).build();
        connection.call(() -> {
            Iterator<WatchMessage> messages =
                    LockServiceGrpc.newBlockingStub(connection.channel()).watch(request);
            boolean more = true;
            while (more && messages.hasNext()) {
                more = to.test(messages.next());
            }
            return more;
        });
    }

    /** Those whose owner's name begins so. */
    List<SessionInfo> sessions(String ownerPrefix) {
        List<SessionInfo> sessions = new ArrayList<>();
        String pageToken = "";
        do {
            ListSessionsRequest request = ListSessionsRequest.newBuilder()
                    .setOwnerPrefix(ownerPrefix)
                    .setPageToken(pageToken)
                    .build();
            ListSessionsResponse page =
                    connection.call(() -> connection.timed(stub).listSessions(request));
            sessions.addAll(page.getSessionsList());
            pageToken = page.getNextPageToken();
        } while (!pageToken.isEmpty());
        return sessions;
    }

    /** Returns at once; the range becomes grantable when the holder knows of it or its lease has ended. */
    void forceRelease(String volume, long lockId) {
        ForceReleaseRequest request = ForceReleaseRequest.newBuilder()
                .setVolume(volume)
                .setLockId(lockId)
                .build();
        connection.call(() -> connection.timed(stub).forceRelease(request));
    }

    @Override
    public void close() {
        connection.close();
    }
}
